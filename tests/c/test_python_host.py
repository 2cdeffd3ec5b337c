"""CPython as the host: crashes of the program are told as ever, panics of ours end nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from c_support import Builder, Peer

COMMON = """
import asyncio, ctypes, faulthandler, os, pathlib, socket, sys
import aiows
from aiows import _library

# The library in which a panic can be planted.
_library._PATH = pathlib.Path(sys.argv[1])
URI = sys.argv[2]

async def exchange(ws, text="hello"):
    await ws.send(text)
    assert await ws.recv() == text

def load():
    async def visit():
        async with aiows.connect(URI) as ws:
            await exchange(ws)
    asyncio.run(visit())

def crash():
    ctypes.string_at(8)
"""

Start = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def start(build: Builder, peer: Peer, tmp_path: Path) -> Start:
    """Run a program on the library with planted faults."""

    def started(source: str) -> subprocess.CompletedProcess[str]:
        program = tmp_path / "program.py"
        program.write_text(COMMON + textwrap.dedent(source))
        library = build.library("test") / "libaiows.so"
        return subprocess.run(
            [sys.executable, "-W", "error", str(program), str(library), f"{peer.ws}/echo"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    return started


@pytest.mark.parametrize(
    "order",
    [
        "faulthandler.enable(); load()",
        "load(); faulthandler.enable()",
    ],
    ids=["before", "after"],
)
def test_a_crash_is_told_by_faulthandler(order: str, start: Start) -> None:
    done = start(f"{order}\ncrash()")
    assert done.returncode == -signal.SIGSEGV, done.stderr
    assert "Fatal Python error: Segmentation fault" in done.stderr
    assert "in crash" in done.stderr
    assert "in <module>" in done.stderr


@pytest.mark.parametrize("number", ["SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"])
def test_other_faults_too(number: str, start: Start) -> None:
    source = f"""
    import signal
    faulthandler.enable()
    load()
    signal.raise_signal(signal.{number})
    """
    done = start(source)
    assert done.returncode == -signal.Signals[number], done.stderr
    assert "Fatal Python error" in done.stderr
    assert "in <module>" in done.stderr


def test_a_crash_without_faulthandler_keeps_its_status(start: Start) -> None:
    done = start("load()\ncrash()")
    # The runtime aborts after it told of the crash, or gives the signal back.
    assert done.returncode in (-signal.SIGSEGV, -signal.SIGABRT), done.stderr
    assert done.returncode < 0


def test_a_crash_in_another_thread(start: Start) -> None:
    source = """
    import threading
    load()
    faulthandler.enable()
    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()
    """
    done = start(source)
    assert done.returncode == -signal.SIGSEGV, done.stderr
    assert "in crash" in done.stderr


def test_a_dump_at_a_time_and_by_a_signal(start: Start) -> None:
    source = """
    import signal
    async def main():
        async with aiows.connect(URI) as ws:
            faulthandler.register(signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR1)
            await exchange(ws)
            reader, writer = os.pipe()
            faulthandler.dump_traceback_later(0.05, file=writer)
            os.read(reader, 1) # until it dumps
            faulthandler.cancel_dump_traceback_later()
            os.close(writer)
            with open(reader) as pipe:
                assert "in main" in pipe.read()
            await exchange(ws)
    asyncio.run(main())
    """
    done = start(source)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "in main" in done.stderr


@pytest.mark.parametrize(
    "enable",
    ["", "faulthandler.enable()", "later = True"],
    ids=["without faulthandler", "before", "after"],
)
def test_a_panic_does_not_end_the_host(enable: str, start: Start) -> None:
    source = f"""
    later = False
    {enable}
    load()
    if later:
        faulthandler.enable()

    def told(call):
        try:
            call()
        except RuntimeError as error:
            return str(error)
        return "no RuntimeError"

    async def main():
        ws = await aiows.connect(URI)
        receiving = asyncio.create_task(ws.recv())
        with socket.create_server(("127.0.0.1", 0)) as silent:
            await panic(ws, receiving, f"ws://127.0.0.1:{{silent.getsockname()[1]}}/")

    async def open_one(uri):
        await aiows.connect(uri)

    async def panic(ws, receiving, silent):
        opening = asyncio.create_task(open_one(silent))
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        reported = []
        loop.set_exception_handler(lambda loop, context: reported.append(context["exception"]))
        assert ctypes.CDLL(sys.argv[1]).aiows_test_panic() < 0
        print(told(lambda: ws.send_nowait("x")))
        try:
            await receiving
        except aiows.ConnectionClosedError:
            print("closed")
        try:
            await opening
        except RuntimeError as error:
            print(error)
        assert [type(error) for error in reported] == [RuntimeError], reported
        try:
            await aiows.connect(URI)
        except RuntimeError as error:
            print(error)

    asyncio.run(main())
    print("the host goes on")
    """
    done = start(source)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "internal error" in lines[0]
    assert lines[1:] == ["closed", lines[0], lines[0], "the host goes on"]
