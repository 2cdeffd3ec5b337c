"""Programs that run in a network of their own, with names of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from servers.launch import environment

from programs import FLAGS

HANG_S = 120.0
COMMAND = ("unshare", "--map-root-user", "--mount", "--net")
ENTER = """
import fcntl, os, socket, struct, subprocess, sys
UP = struct.pack("16sh14x", b"lo", 0x41)  # IFF_UP, IFF_RUNNING
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, UP)  # SIOCSIFFLAGS
subprocess.run(["mount", "--bind", sys.argv[1], sys.argv[2]], check=True)
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])
"""


def run_inside(
    folder: Path, program: str, *arguments: str, hidden: str, text: str
) -> tuple[int, str, str]:
    """
    Run a Python program where loopback is the only network.

    Args:
        folder: Where files may be left.
        program: Its source.
        arguments: What it is called with.
        hidden: A file of the system that has another content inside.
        text: That content.

    """
    if subprocess.run([*COMMAND, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to make a network namespace")
    for name, content in (("file", text), ("enter.py", ENTER), ("program.py", program)):
        (folder / name).write_text(content)
    inside = (folder / "file", hidden, *FLAGS, folder / "program.py", *arguments)
    done = subprocess.run(
        [*COMMAND, sys.executable, folder / "enter.py", *inside],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        env=environment(),
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
