"""A name server that never answers, in a network of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from servers.launch import environment

from programs import FLAGS, HANG_S

# Together far longer than HANG_S: who waits for the lookup hangs.
RESOLV = "nameserver 127.0.0.1\noptions timeout:30 attempts:9\n"
ENTER = """
import fcntl, os, socket, struct, subprocess, sys
UP = struct.pack("16sh14x", b"lo", 0x41)  # IFF_UP, IFF_RUNNING
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, UP)  # SIOCSIFFLAGS
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/resolv.conf"], check=True)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
PROGRAM = """
import asyncio, os, signal, socket, sys, threading
import uvloop
from aiows import connect

silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.1", 53))

def interrupt():
    silent.recv(512)  # the lookup has begun
    os.kill(os.getpid(), signal.SIGINT)

async def main():
    await connect("ws://name.example/", open_timeout=None)

threading.Thread(target=interrupt, daemon=True).start()
factory = uvloop.new_event_loop if sys.argv[1] == "uvloop" else asyncio.new_event_loop
try:
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
except KeyboardInterrupt:
    silent.close()
    print("Quit.")
"""
NAMESPACES = ("unshare", "--map-root-user", "--mount", "--net")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_interrupt_while_a_name_is_looked_up(tmp_path: Path, loop: str) -> None:
    if subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to make a network namespace")
    for name, text in (("resolv.conf", RESOLV), ("enter.py", ENTER), ("program.py", PROGRAM)):
        (tmp_path / name).write_text(text)
    inside = (tmp_path / "resolv.conf", *FLAGS, tmp_path / "program.py", loop)
    done = subprocess.run(
        [*NAMESPACES, sys.executable, tmp_path / "enter.py", *inside],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Quit.\n", "")
