"""A name server that never answers, in a network of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from namespaces import run_inside

# Together far longer than namespaces.HANG_S: who waits for the lookup hangs.
RESOLV = "nameserver 127.0.0.1\noptions timeout:30 attempts:9\n"
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


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_interrupt_while_a_name_is_looked_up(tmp_path: Path, loop: str) -> None:
    done = run_inside(tmp_path, PROGRAM, loop, hidden="/etc/resolv.conf", text=RESOLV)
    assert done == (0, "Quit.\n", "")
