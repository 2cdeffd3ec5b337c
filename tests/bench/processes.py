"""The benchmark's processes: the echo server, the loops that keep processors awake, the clients."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "bench"
ROUND_TIMEOUT = 300  # seconds; a round takes about one

# Spins until its parent is gone. SCHED_IDLE: anything else that is ready runs first, at once.
AWAKE = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while os.getppid() == {parent}:
    for _ in range(1000000):
        pass
"""


def processors(layout: str) -> tuple[set[int], set[int], set[int]]:
    """Return the processors of the client, of the server, and those to keep awake."""
    usable = sorted(os.sched_getaffinity(0))
    first, last = {usable[0]}, {usable[-1]}
    if layout == "shared":
        return first, first, set(usable) - first
    if layout == "split":
        return first, last, first | last
    return set(usable), set(usable), set(usable)


def placed(on: set[int]) -> Callable[[], None]:
    """Return what a child does before it becomes its program: take its place."""

    def place() -> None:
        os.sched_setaffinity(0, on)
        with contextlib.suppress(PermissionError):  # root only: ahead of whatever else runs
            os.setpriority(os.PRIO_PROCESS, 0, -10)

    return place


def build_server() -> Path:
    """Build the echo server, a Go module of its own, and return its path."""
    target = BUILD / "server"
    go = os.environ.get("GO") or shutil.which("go")
    if go is None:
        sys.exit("the echo server needs go 1.26 or later on PATH")
    subprocess.run(
        [go, "build", "-buildvcs=false", "-o", str(target), "."],
        cwd=HERE / "server",
        check=True,
        env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"},
    )
    return target


def build_c_client(library: Path) -> Path:
    """Build capi_echo against the library and return its path."""
    target = BUILD / "capi_echo"
    subprocess.run(
        [
            *[os.environ.get("CC", "cc"), "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror"],
            *["-pedantic", "-I", str(ROOT / "include"), "-o", str(target)],
            *[str(HERE / "capi_echo.c"), str(library), f"-Wl,-rpath,{library.parent}"],
        ],
        check=True,
    )
    # The library's SONAME is what the loader asks for.
    link = library.parent / "libaiows.so.0"
    if not link.exists():
        link.symlink_to(library.name)
    return target


@contextlib.contextmanager
def echo_server(on: set[int]) -> Iterator[str]:
    """Run the echo server; the value is its URI."""
    server = subprocess.Popen(
        [str(BUILD / "server")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=placed(on),
    )
    assert server.stdin is not None and server.stdout is not None
    try:
        line = server.stdout.readline()
        if not line.startswith("listening on "):
            raise RuntimeError(f"the echo server said {line!r}")
        yield line.removeprefix("listening on ").strip()
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()


@contextlib.contextmanager
def kept_awake(on: set[int]) -> Iterator[None]:
    """Keep each of the processors busy at the lowest priority there is."""
    program = AWAKE.format(parent=os.getpid())
    loops = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            preexec_fn=lambda processor=processor: os.sched_setaffinity(0, {processor}),
        )
        for processor in sorted(on)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def run_round(command: list[str], on: set[int]) -> dict[str, Any]:
    """Run one client to its end and return what it measured."""
    done = subprocess.run(
        command,
        cwd=HERE,
        stdout=subprocess.PIPE,
        text=True,
        timeout=ROUND_TIMEOUT,
        preexec_fn=placed(on),
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result
