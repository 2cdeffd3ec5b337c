"""Core loops come and go with asyncio loops; forks are refused, exits are quiet."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import pytest
from servers.launch import ServerProcess

from aiows import AioWebSocket, ClientConnection, ConnectionClosed, _core, _loop, connect
from threads import until

RUNS = 1000


def run_program(program: str, *arguments: str, **environment: str) -> str:
    """Run a program in a process of its own; return its output, errors included."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONASYNCIODEBUG": "", **environment},
        check=False,
    )
    return done.stdout + (f"status {done.returncode}" if done.returncode else "")


def descriptors() -> int:
    """Count them; of a loop that was closed, a goroutine closes the last one."""
    return len(os.listdir("/proc/self/fd"))


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


async def exchange(uri: str) -> None:
    async with connect(uri) as ws:
        await ws.send("x")
        assert await ws.recv() == "x"


def test_a_thousand_runs_leave_nothing(websockets_server: ServerProcess) -> None:
    uri = websockets_server.uri()

    def measure() -> tuple[int, int]:
        gc.collect()
        return descriptors(), len(_loop._drivers)

    for _ in range(20):
        asyncio.run(exchange(uri), debug=False)
    before, running = measure(), threads()
    for _ in range(RUNS):
        asyncio.run(exchange(uri), debug=False)
    until(lambda: measure() == before)
    # The runtime below may start a thread more when the machine is busy; not one for each run.
    assert threads() < running + 20


def test_a_hundred_runs_that_leave_connections_open(websockets_server: ServerProcess) -> None:
    uri = websockets_server.uri()

    async def leave() -> None:
        ws = await connect(uri)
        await ws.send("x")

    before = None
    for index in range(100):
        asyncio.run(leave(), debug=False)
        if index == 10:
            before = descriptors()
    # Whatever the last one left is closed when the next loop is made.
    assert before is not None
    until(lambda: descriptors() <= before)
    asyncio.run(exchange(uri))
    assert len(_loop._drivers) == 0


def test_what_a_closed_loop_left_says_so(websockets_server: ServerProcess) -> None:
    ended = []

    async def leave() -> ClientConnection:
        return await connect(websockets_server.uri(), on_close=ended.append)

    ws = asyncio.run(leave())
    asyncio.run(exchange(websockets_server.uri()))
    assert ws.close_code == 1006

    async def use() -> None:
        with pytest.raises(ConnectionClosed):
            await ws.recv()

    asyncio.run(use())


async def test_one_core_loop_for_each_asyncio_loop(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as one:
        driver = _loop.current()
        async with connect(websockets_server.uri()) as two:
            assert one._driver is two._driver is driver
            assert driver.core.stats()["connections"] == 2

            def elsewhere() -> bool:
                async def main() -> bool:
                    async with connect(websockets_server.uri()) as three:
                        return three._driver is driver

                return asyncio.run(main())

            assert not await asyncio.to_thread(elsewhere)
        assert _loop._lookup(asyncio.get_running_loop()) is driver
    assert _loop._lookup(asyncio.get_running_loop()) is None
    with pytest.raises(RuntimeError, match="closed"):
        driver.core.stats()
    driver.close()
    driver.release()


def test_loops_in_threads(websockets_server: ServerProcess) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                asyncio.run(exchange(websockets_server.uri()))
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []


async def test_failed_openings_leave_no_core_loop() -> None:
    with pytest.raises(OSError):
        await connect("ws://127.0.0.1:1/")
    assert len(_loop._drivers) == 0
    with pytest.raises(ValueError):
        await connect("ws://xn--a/")
    assert len(_loop._drivers) == 0


class NoReader(asyncio.SelectorEventLoop):
    """A loop like the proactor's, which watches no descriptors."""

    def add_reader(self, *arguments: object) -> None:
        raise NotImplementedError

    def remove_reader(self, *arguments: object) -> bool:
        raise NotImplementedError


def test_loop_without_add_reader(websockets_server: ServerProcess) -> None:
    async def main() -> None:
        async with connect(websockets_server.uri()) as ws:
            assert ws._driver._watcher is not None
            for index in range(200):
                await ws.send(str(index))
                assert await ws.recv() == str(index)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.01)
        await asyncio.gather(*(exchange(websockets_server.uri()) for _ in range(20)))

    async def leave() -> None:
        await connect(websockets_server.uri())

    with asyncio.Runner(loop_factory=NoReader) as runner:
        runner.run(main())
    with asyncio.Runner(loop_factory=NoReader) as runner:
        runner.run(leave())
    asyncio.run(exchange(websockets_server.uri()))


async def test_callbacks_run_in_an_empty_context(websockets_server: ServerProcess) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen = {}

    class Watching(ClientConnection):
        def _on_closing(self, code: int, reason: str) -> None:
            seen["reader"] = variable.get()
            super()._on_closing(code, reason)

    class opener(connect):
        _connection_class = Watching

    variable.set("of the opening task")
    async with opener(
        websockets_server.uri(),
        on_message=lambda ws, message: seen.update(message=variable.get()),
        on_close=lambda ws: seen.update(close=variable.get()),
    ) as ws:
        await ws.send("x")
        while "message" not in seen:
            await asyncio.sleep(0.001)
    assert seen == {
        "reader": "unset",
        "message": "of the opening task",
        "close": "of the opening task",
    }


async def test_cancelled_task_closes_and_leaves_nothing(raw_server: ServerProcess) -> None:
    for _ in range(20):
        task = asyncio.create_task(connect(raw_server.uri("/silence"))._open())
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    while len(_loop._drivers):
        await asyncio.sleep(0.001)


def test_import_loads_nothing() -> None:
    program = """
    import sys, os
    before = len(os.listdir("/proc/self/task"))
    import aiows
    assert "asyncio" not in sys.modules and "ssl" not in sys.modules, "too much imported"
    assert aiows.__version__
    from aiows import AioWebSocket, connect, serve, exceptions, converses
    connect("wss://example.com/", ssl=aiows.create_default_context())
    AioWebSocket("ws://example.com/")
    with open("/proc/self/maps") as maps:
        assert "libaiows" not in maps.read(), "library loaded"
    assert len(os.listdir("/proc/self/task")) == before == 1, "threads started"
    assert sorted(aiows.__all__) == aiows.__all__ and set(aiows.__all__) <= set(dir(aiows))
    try:
        aiows.nonsense
    except AttributeError as error:
        assert "nonsense" in str(error)
    """
    assert run_program(program) == ""


FORK = """
    import asyncio, os, sys, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    from aiows import connect

    async def exchange():
        async with connect(sys.argv[1]) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"

    def child(function):
        pid = os.fork()
        if pid == 0:
            try:
                function()
            except BaseException as error:
                print(type(error).__name__, error, flush=True)
            finally:
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
"""


def test_import_then_fork(websockets_server: ServerProcess) -> None:
    program = (
        FORK
        + """
    child(lambda: asyncio.run(exchange()))
    child(lambda: asyncio.run(exchange()))
    asyncio.run(exchange())
    print("fine")
    """
    )
    assert run_program(program, websockets_server.uri()) == "fine\n"


def test_use_then_fork(websockets_server: ServerProcess) -> None:
    program = (
        FORK
        + """
    asyncio.run(exchange())
    child(lambda: asyncio.run(exchange()))

    async def fork_inside():
        async with connect(sys.argv[1]) as ws:
            def use():
                asyncio.events._set_running_loop(None)
                asyncio.run(exchange())
            child(use)
            await ws.send("y")
            assert await ws.recv() == "y"
    asyncio.run(fork_inside())
    print("fine")
    """
    )
    first, second, last = run_program(program, websockets_server.uri()).splitlines()
    assert last == "fine"
    for line in (first, second):
        assert line.startswith("RuntimeError")
        assert "fork" in line


@pytest.mark.parametrize(
    "ending",
    ["", "sys.exit(3)", "raise SystemExit(3)", "os.kill(os.getpid(), 15)", "del ws, loop"],
)
def test_exit_with_everything_open(raw_server: ServerProcess, ending: str) -> None:
    program = f"""
    import asyncio, os, sys, warnings
    warnings.simplefilter("ignore", ResourceWarning)
    from aiows import connect
    loop = asyncio.new_event_loop()
    ws = loop.run_until_complete(connect(sys.argv[1])._open())
    {ending}
    """
    status = {"": "", "del ws, loop": "", "os.kill(os.getpid(), 15)": "status -15"}
    expected = status.get(ending, "status 3")
    assert run_program(program, raw_server.uri("/stall")) == expected


def test_exit_with_a_loop_running_in_a_thread(websockets_server: ServerProcess) -> None:
    program = """
    import asyncio, sys, threading
    from aiows import connect
    ready = threading.Event()

    async def main():
        async with connect(sys.argv[1]) as ws:
            ready.set()
            await ws.recv()

    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
    ready.wait()
    """
    assert run_program(program, websockets_server.uri()) == ""


def test_few_descriptors() -> None:
    program = """
    import asyncio, resource
    from aiows import connect
    async def main():
        resource.setrlimit(resource.RLIMIT_NOFILE, (10, 4096))
        await connect("ws://127.0.0.1:1/")
    try:
        asyncio.run(main())
    except OSError as error:
        print(type(error).__name__, error)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096))
    try:
        asyncio.run(connect("ws://127.0.0.1:1/")._open())
    except ConnectionRefusedError:
        print("usable")
    """
    first, second = run_program(program).splitlines()
    assert first.startswith("OSError [Errno 24]") and second == "usable"


def test_little_address_space() -> None:
    program = """
    import asyncio, resource
    from aiows import connect
    resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))
    try:
        asyncio.run(connect("ws://127.0.0.1:1/")._open())
    except OSError as error:
        print(error)
    """
    assert "address space" in run_program(program)


def test_missing_library() -> None:
    program = """
    from pathlib import Path
    from aiows import _library
    _library._PATH = Path("/missing/libaiows.so")
    try:
        _library.load()
    except ImportError as error:
        print(error)
    """
    assert "/missing/libaiows.so" in run_program(program)


def test_versions_agree() -> None:
    import aiows
    from aiows import _library

    assert _library.version() == aiows.__version__
    assert _core.loaded()


@pytest.mark.parametrize("client", [connect, AioWebSocket])
def test_no_running_loop(client: Callable[..., Any]) -> None:
    opening = client("ws://127.0.0.1:1/").__aenter__()
    with pytest.raises(RuntimeError, match="no running event loop"):
        opening.send(None)
