"""The benchmark's processes: the peer, servers under test, loops that keep processors awake."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "bench"
CERTIFICATE = BUILD / "certificate"
PEER = BUILD / "peer"
MESSAGES_TOTAL = 4 << 20  # bytes of the distinct messages of a size: far beyond any window
ROUND_TIMEOUT = 300  # seconds; a round takes about one
CERTIFICATE_AGE = 20 * 86400  # seconds; it is valid for 30 days

# Spins until its parent is gone. SCHED_IDLE: anything else that is ready runs first, at once.
AWAKE = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while os.getppid() == {parent}:
    for _ in range(1000000):
        pass
"""


def processors(layout: str) -> tuple[set[int], set[int], set[int]]:
    """Return the processors of what is measured, of the other end, and those to keep awake."""
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


def raise_descriptor_limit() -> int:
    """Raise the limit of open files as far as it goes, for us and our children; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


# ---------------------------------------------------------------- building


def build_peer() -> None:
    """Build the peer, a Go module of its own, and a certificate for wss."""
    go = os.environ.get("GO") or shutil.which("go")
    if go is None:
        sys.exit("the benchmark's peer needs go 1.26 or later on PATH")
    BUILD.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [go, "build", "-buildvcs=false", "-o", str(PEER), "."],
        cwd=HERE / "peer",
        check=True,
        env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"},
    )
    # Another run may be using the one that is there.
    key = CERTIFICATE / "key.pem"
    if not key.exists() or time.time() - key.stat().st_mtime > CERTIFICATE_AGE:
        CERTIFICATE.mkdir(exist_ok=True)
        subprocess.run([str(PEER), "certificate", str(CERTIFICATE)], check=True)


def messages_of(size: int) -> Path:
    """Return the file of JSON messages of about a size, the same ones for everyone."""
    file = BUILD / f"messages-{size}.txt"
    if not file.exists():
        made = file.with_suffix(f".{os.getpid()}")
        command = [str(PEER), "messages", str(made), str(size), str(MESSAGES_TOTAL)]
        subprocess.run(command, check=True)
        made.rename(file)  # another run may be reading it
    return file


def build_c_programs(library: Path) -> None:
    """Build the client capi_echo and the server capi_serve against the library."""
    for name, source in (
        ("capi_echo", HERE / "clients" / "capi_echo.c"),
        ("capi_serve", ROOT / "examples" / "c" / "echo.c"),
    ):
        subprocess.run(
            [
                *[os.environ.get("CC", "cc"), "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror"],
                *["-pedantic", "-I", str(ROOT / "include"), "-o", str(BUILD / name)],
                *[str(source), str(library), f"-Wl,-rpath,{library.parent}"],
            ],
            check=True,
        )
    # The library's SONAME is what the loader asks for.
    link = library.parent / "libaiows.so.0"
    if not link.exists():
        link.symlink_to(library.name)


# ---------------------------------------------------------------- running


@contextlib.contextmanager
def listening(command: list[str], on: set[int]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server that prints "listening on URI ..." and ends with its standard input."""
    server = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=placed(on),
    )
    assert server.stdin is not None and server.stdout is not None
    try:
        line = server.stdout.readline()
        if not line.startswith("listening on "):
            raise RuntimeError(f"{' '.join(command)} said {line!r}")
        yield server, line.removeprefix("listening on ").strip()
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()


@contextlib.contextmanager
def c_server(options: list[str], on: set[int]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run examples/c/echo.c, which prints its port and ends with a signal."""
    server = subprocess.Popen(
        [str(BUILD / "capi_serve"), *options, "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=placed(on),
    )
    assert server.stdout is not None
    try:
        port = server.stdout.readline().strip()
        if not port.isdigit():
            raise RuntimeError(f"{server.args!r} said {port!r}, expected a port")
        yield server, f"ws://127.0.0.1:{port}/"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@contextlib.contextmanager
def peer_server(secure: bool, on: set[int], compress: bool = False) -> Iterator[str]:
    """Run the peer's server; the value is its URI."""
    options = ["-certificate", str(CERTIFICATE)] if secure else []
    options += ["-compress"] if compress else []
    with listening([str(PEER), "serve", *options], on) as (_, uri):
        yield uri


class Load:
    """The peer's clients, connected to a server under test."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, verb: str, first: int, second: int) -> dict[str, Any]:
        """Give a command: "open" COUNT AT_ONCE or "echo" COUNT SIZE."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(verb, first, second, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load ended at: {verb} {first} {second}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def load(uri: str, secure: bool, on: set[int], compress: bool = False) -> Iterator[Load]:
    options = ["-certificate", str(CERTIFICATE)] if secure else []
    options += ["-compress"] if compress else []
    process = subprocess.Popen(
        [str(PEER), "load", *options, uri],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=placed(on),
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield Load(process)
    finally:
        # Ends it while it still has connections: nothing is measured any more.
        process.kill()
        process.wait()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()


@contextlib.contextmanager
def kept_awake(on: set[int]) -> Iterator[None]:
    """Keep each of the processors busy at the lowest priority there is."""
    program = AWAKE.format(parent=os.getpid())
    loops = [
        subprocess.Popen(
            [sys.executable, "-S", "-c", program],
            preexec_fn=functools.partial(os.sched_setaffinity, 0, {processor}),
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
    """Run one program to its end and return what it measured."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=ROUND_TIMEOUT,
        preexec_fn=placed(on),
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


# ---------------------------------------------------------------- looking at a process


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, all threads, kernel and user."""
    # The clock of a process (clock_getcpuclockid): ~pid shifted by 3, 2 for the scheduler's time.
    return time.clock_gettime(((~pid) << 3) | 2)


def rss_kib(pid: int) -> int:
    """Return the memory of a process that is resident."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/{pid}/smaps_rollup has no Rss")
