"""Limits of size and of queues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from harness import ASYNCIO, Run, scenario
from peer import BINARY, CLOSE, CONTINUATION, TEXT, Session


def sends(seen: list[Any], *frames: tuple[int, bytes, bool]) -> Callable[[Session], Any]:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        for frame in frames:
            session.frame(*frame)
        seen.extend(
            payload[:2]
            for _, opcode, payload in await session.read_until_close()
            if opcode == CLOSE
        )

    return script


@scenario("connect.max_size")
async def messages_that_are_too_big(run: Run) -> None:
    for name, limit, frames in (
        ("fits", 100, [(TEXT, b"x" * 100, True)]),
        ("one more", 100, [(TEXT, b"x" * 101, True)]),
        ("in fragments", 100, [(BINARY, b"x" * 60, False), (CONTINUATION, b"x" * 60, True)]),
        ("no limit", None, [(BINARY, b"x" * 2_000_000, True)]),
        ("default", 2**20, [(BINARY, b"x" * (2**20 + 1), True)]),
    ):
        seen: list[Any] = []
        ws = await run.open(sends(seen, *frames), max_size=limit, compression=None)

        async def size(ws: Any = ws) -> int:
            return len(await ws.recv())

        await run.cause(name, size())
        await ws.close()
        run.note("server saw", seen)


@scenario("connect.max_size")
async def compressed_messages_that_are_too_big(run: Run) -> None:
    async def script(session: Session) -> None:
        session.write(session.upgrade(sec_websocket_extensions="permessage-deflate"))
        session.write(bytes.fromhex("c107f248cdc9c90700"))
        seen.extend(
            payload[:2]
            for _, opcode, payload in await session.read_until_close()
            if opcode == CLOSE
        )

    seen: list[Any] = []
    ws = await run.open(script, max_size=4)
    exception = await run.outcome("recv", ws.recv())
    run.note("cause", type(exception.__cause__).__name__)
    await ws.wait_closed()
    run.note("server saw", seen)


@scenario("connect.max_size")
async def fragments_that_are_too_big(run: Run) -> None:
    for name, limit, frames in (
        ("fits", (100, 50), [(TEXT, b"x" * 50, False), (CONTINUATION, b"x" * 50, True)]),
        ("fragment", (100, 50), [(TEXT, b"x" * 51, True)]),
        (
            "message",
            (100, 50),
            [
                (TEXT, b"x" * 50, False),
                (CONTINUATION, b"x" * 50, False),
                (CONTINUATION, b"x", True),
            ],
        ),
        (
            "no message limit",
            (None, 50),
            [(TEXT, b"x" * 50, False)] * 1
            + [(CONTINUATION, b"x" * 50, False)] * 3
            + [(CONTINUATION, b"", True)],
        ),
        ("no fragment limit", (100, None), [(TEXT, b"x" * 100, True)]),
    ):
        seen: list[Any] = []
        ws = await run.open(sends(seen, *frames), max_size=limit, compression=None)

        async def size(ws: Any = ws) -> int:
            return len(await ws.recv())

        await run.outcome(name, size())
        await ws.close()
        run.note("server saw", seen)


@scenario("connect.max_size", difference="payload-sizes")
async def the_size_of_what_is_too_big(run: Run) -> None:
    ws = await run.open(sends([], (TEXT, b"x" * 101, True)), max_size=100, compression=None)
    try:
        await ws.recv()
    except run.exceptions.ConnectionClosed as exception:
        run.note("size", exception.__cause__.size)


@scenario("connect.max_queue")
async def a_queue_that_is_full(run: Run) -> None:
    """Reading stops, so that the sender cannot go on; then it goes on."""
    total, size = 200, 65536

    async def script(session: Session) -> None:
        session.shrink()
        session.write(session.upgrade())
        for _ in range(total):
            session.frame(BINARY, bytes(size))
            await session.writer.drain()
            sent.append(1)
        session.close(1000)
        await session.wait_end()

    for given in (1, (4, 1), (4, None)):
        sent: list[int] = []
        ws = await run.open(script, max_queue=given, compression=None)
        await asyncio.sleep(0.15)
        run.note("the sender waits", len(sent) < total)
        count = 0
        async for message in ws:
            count += len(message) == size
        run.note("all came", count)


@scenario("connect.max_queue")
async def a_queue_without_limit(run: Run) -> None:
    # While no thread waits, aiows.sync reads 1 MiB ahead, and the system holds some more.
    total, size = 300 if run.library.flavor == "asyncio" else 100, 16384

    async def script(session: Session) -> None:
        session.write(session.upgrade())
        for _ in range(total):
            session.frame(BINARY, bytes(size))
            await session.writer.drain()
            sent.append(1)
        await session.read_until_close()

    sent: list[int] = []
    ws = await run.open(script, max_queue=None, compression=None)
    for _ in range(2000):
        if len(sent) == total:
            break
        await asyncio.sleep(0.01)
    run.note("nobody waits", len(sent))
    await run.outcome("first", ws.recv())
    del ws


@scenario("connect.write_limit", flavors=ASYNCIO)
async def writes_that_wait(run: Run) -> None:
    go = asyncio.Event()

    async def script(session: Session) -> None:
        session.shrink()
        session.write(session.upgrade())
        transport = session.writer.transport
        transport.pause_reading()  # type: ignore[attr-defined]
        await go.wait()
        transport.resume_reading()  # type: ignore[attr-defined]
        while True:
            _, opcode, payload = await session.read()
            if opcode == CLOSE:
                session.frame(CLOSE, payload)
                return
            received.append(len(payload))

    for given in (1024, (1024, 512), (1024, None)):
        received: list[int] = []
        go.clear()
        ws = await run.open(script, write_limit=given, compression=None)
        task = asyncio.create_task(send_many(ws))
        await asyncio.sleep(0.1)
        run.note("waits", not task.done())
        go.set()
        await task
        await ws.close()
        run.note("all came", sum(received))


async def send_many(ws: Any) -> None:
    for _ in range(10):
        await ws.send(bytes(2**20))
