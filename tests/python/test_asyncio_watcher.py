"""Event loops without add_reader: a thread watches the core's descriptor instead."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from servers.launch import ServerProcess

from aiows import ConnectionClosedOK, connect, serve


class Readerless(asyncio.SelectorEventLoop):
    """As the loops of other systems and of GUI toolkits are."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> NoReturn:
        raise NotImplementedError

    def remove_reader(self, fd: Any) -> NoReturn:
        raise NotImplementedError


@pytest.fixture
def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    return Readerless


async def test_exchange(any_server: ServerProcess, loop_factory: object) -> None:
    async with connect(any_server.uri()) as ws:
        for number in range(200):
            await ws.send(str(number))
            assert await ws.recv() == str(number)
        assert await (await ws.ping()) > 0
    with pytest.raises(ConnectionClosedOK):
        await ws.recv()


async def test_burst_and_callbacks(any_server: ServerProcess, loop_factory: object) -> None:
    done = asyncio.Event()
    numbers: list[int] = []

    def message(ws: object, data: bytes) -> None:
        numbers.append(int.from_bytes(data[:4], "big"))
        if len(numbers) == 2000:
            done.set()

    async with connect(any_server.uri("/burst?n=2000"), on_message=message):
        await done.wait()
    assert numbers == list(range(2000))


async def test_several_and_cancelling(any_server: ServerProcess, loop_factory: object) -> None:
    connections = await asyncio.gather(*(open_one(any_server) for _ in range(20)))
    for ws in connections:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.001)
        await ws.send("x")
    assert await asyncio.gather(*(ws.recv() for ws in connections)) == ["x"] * 20
    await asyncio.gather(*(ws.close() for ws in connections))


async def open_one(server: ServerProcess) -> Any:
    return await connect(server.uri())


async def test_server(loop_factory: object) -> None:
    async def echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    async with (
        serve(echo, "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{server.port}/") as ws,
    ):
        await ws.send("hello")
        assert await ws.recv() == "hello"


def test_thread_ends_with_the_last_connection(websockets_server: ServerProcess) -> None:
    names: set[str] = set()

    async def visit(leave: bool) -> None:
        ws = await connect(websockets_server.uri())
        names.update(thread.name for thread in threading.enumerate())
        if not leave:
            await ws.close()

    before = threading.active_count()
    for number in range(10):
        with asyncio.Runner(loop_factory=Readerless) as runner:
            runner.run(visit(leave=number % 2 == 1))
        gc.collect()
    assert "aiows-watcher" in names
    with asyncio.Runner() as runner:
        # Loops that were closed under their connections are swept by the next one.
        runner.run(visit(leave=False))
        runner.run(wait_for_threads(before))


async def wait_for_threads(count: int) -> None:
    while threading.active_count() > count:
        await asyncio.sleep(0.001)
