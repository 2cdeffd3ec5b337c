"""recv_streaming, recv_many and send of iterables: messages in parts, and many at a time."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from servers.launch import ServerProcess

import aiows.sync
from aiows import (
    ConcurrencyError,
    ConnectionClosedError,
    ConnectionClosedOK,
    PayloadTooBig,
    State,
    connect,
)
from scripted import BINARY, TEXT, ScriptedServer, Session, frame

CONTINUATION = 0


def parts(session: Session, *payloads: bytes, kind: int = TEXT, fin: bool = True) -> None:
    """Put frames of one message into the socket at once."""
    opcodes = [kind] + [CONTINUATION] * len(payloads)
    ends = [False] * (len(payloads) - 1) + [fin]
    session.write(b"".join(map(frame, opcodes, payloads, ends)))


async def collect(iterator: AsyncIterator[Any]) -> list[Any]:
    return [part async for part in iterator]


# --- receiving


async def test_each_frame_is_a_fragment(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri("/fragments"), max_size=(None, 2**20)) as ws:
        text = await collect(ws.recv_streaming())
        data = await collect(ws.recv_streaming())
        assert len(text) > 2
        assert all(isinstance(part, str) for part in text)
        assert len(data) > 2
        assert all(isinstance(part, bytes) for part in data)
    async with connect(websockets_server.uri("/fragments")) as ws:
        assert "".join(text) == await ws.recv()
        assert b"".join(data) == await ws.recv()


@pytest.mark.parametrize(
    ("decode", "kind", "expected"),
    [
        (None, TEXT, ["gr", "üß", "", "e"]),
        (True, BINARY, ["gr", "üß", "", "e"]),
        (False, TEXT, [b"gr\xc3", b"\xbc\xc3\x9f", b"", b"e"]),
        (None, BINARY, [b"gr\xc3", b"\xbc\xc3\x9f", b"", b"e"]),
    ],
)
async def test_decode(decode: bool | None, kind: int, expected: list[Any]) -> None:
    async with ScriptedServer() as server, connect(server.uri, max_size=(None, 100)) as ws:
        session = await server.accepted()
        parts(session, b"gr\xc3", b"\xbc\xc3\x9f", b"", b"e", kind=kind)
        assert await collect(ws.recv_streaming(decode)) == expected
        parts(session, b"gr\xc3", b"\xbc", kind=kind)
        assert await ws.recv(decode) == ("grü" if isinstance(expected[0], str) else b"gr\xc3\xbc")
        session.close()


async def test_what_is_no_text_closes() -> None:
    async with ScriptedServer() as server, connect(server.uri, max_size=(None, 100)) as ws:
        session = await server.accepted()
        parts(session, b"good", b"\xff", kind=BINARY)
        iterator = ws.recv_streaming(decode=True)
        assert await anext(iterator) == "good"
        reading = asyncio.ensure_future(anext(iterator))
        assert await session.closed() == 1007
        session.close(1007)
        with pytest.raises(ConnectionClosedError) as caught:
            await reading
        assert isinstance(caught.value.__cause__, UnicodeDecodeError)


async def test_half_a_message_then_the_rest() -> None:
    # The first part came before anybody asked for parts.
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        before = ws.stats.bytes_received
        parts(session, b"one ", b"two ", fin=False)
        session.pong(b"")
        while ws.stats.bytes_received < before + 14:
            await asyncio.sleep(0)
        for _ in range(2):  # in which what was only read ahead is told
            await asyncio.sleep(0)
        iterator = ws.recv_streaming()
        assert await anext(iterator) == "one two "
        session.write(frame(CONTINUATION, b"three", False))
        assert await anext(iterator) == "three"
        session.write(frame(CONTINUATION, b"", True))
        assert await collect(iterator) == [""]
        session.text("whole")
        assert await collect(ws.recv_streaming()) == ["whole"]
        session.close()
        with pytest.raises(ConnectionClosedOK):
            await anext(ws.recv_streaming())


async def test_cancelled_stream_goes_on() -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        iterator = ws.recv_streaming()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(iterator), 0.001)
        parts(session, b"a\xc3", b"\xa4", b"b", fin=False)
        assert await anext(iterator) == "a"
        assert await anext(iterator) == "ä"
        assert await anext(iterator) == "b"
        for _ in range(2):  # the same iterator, or another one
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(iterator), 0.001)
            session.write(frame(CONTINUATION, b"c", False))
            assert await anext(iterator) == "c"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(iterator), 0.001)
            iterator = ws.recv_streaming()
        for method in (ws.recv, ws.recv_many, ws.__anext__):
            with pytest.raises(ConcurrencyError, match="recv_streaming has begun"):
                await method()
        session.write(frame(CONTINUATION, b"end", True))
        assert await collect(iterator) == ["end"]
        session.text("next")
        assert await ws.recv() == "next"
        session.close()


async def test_stream_that_is_left() -> None:
    async with ScriptedServer() as server, connect(server.uri, max_size=(None, 100)) as ws:
        session = await server.accepted()
        parts(session, b"a", b"b", b"c", b"d", b"e")
        async for part in ws.recv_streaming():
            assert part == "a"
            break
        gc.collect()
        async with aclosing(ws.recv_streaming()) as iterator:  # type: ignore[type-var]
            assert await anext(iterator) == "b"
            with pytest.raises(ConcurrencyError, match="another recv_streaming has begun"):
                await anext(ws.recv_streaming())
        first, second = ws.recv_streaming(), ws.recv_streaming()
        assert await anext(first) == "c"
        await first.aclose()  # type: ignore[attr-defined]
        assert await collect(first) == []
        assert await collect(second) == ["d", "e"]
        session.close()


async def test_an_iterator_whose_message_another_one_ended() -> None:
    async with ScriptedServer() as server, connect(server.uri, max_size=(None, 100)) as ws:
        session = await server.accepted()
        parts(session, b"a", fin=False)
        first = ws.recv_streaming()
        assert await anext(first) == "a"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(first), 0.001)
        session.write(frame(CONTINUATION, b"b", True))
        assert await collect(ws.recv_streaming()) == ["b"]
        session.text("next")
        with pytest.raises(ConcurrencyError, match="another recv_streaming has ended"):
            await anext(first)
        assert await ws.recv() == "next"
        session.close()


async def test_recv_puts_parts_together_and_a_stream_goes_on_with_them() -> None:
    async with ScriptedServer() as server, connect(server.uri, max_queue=2) as ws:
        session = await server.accepted()
        session.text("first")
        assert await collect(ws.recv_streaming()) == ["first"]
        numbers = [b"%d," % n for n in range(100)]  # far more than max_queue
        parts(session, *numbers)
        assert await ws.recv() == b"".join(numbers).decode()
        parts(session, *numbers, kind=BINARY)
        parts(session, *numbers)
        assert await ws.recv_many(1) == [b"".join(numbers)]
        assert [message async for message in first(ws)] == [b"".join(numbers).decode()]
        # A recv that was cancelled half way leaves all to a stream, or to the next recv.
        for again in (True, False):
            parts(session, *numbers, fin=False)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.01)
            session.write(frame(CONTINUATION, b"end", True))
            if again:
                assert await ws.recv() == b"".join(numbers).decode() + "end"
            else:
                assert await collect(ws.recv_streaming(decode=False)) == [*numbers, b"end"]
        session.close()


async def first(ws: Any) -> AsyncIterator[Any]:
    async for message in ws:
        yield message
        return


async def test_closed_in_the_middle() -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        iterator = ws.recv_streaming()
        reading = asyncio.ensure_future(anext(iterator))
        await asyncio.sleep(0)
        parts(session, b"a", fin=False)
        assert await reading == "a"
        session.close()
        for method in (iterator.__anext__, ws.recv, ws.recv_many, ws.recv_streaming().__anext__):
            with pytest.raises(ConnectionClosedOK):
                await method()


async def test_two_receivers() -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        reading = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        with pytest.raises(ConcurrencyError, match="already receiving"):
            await anext(ws.recv_streaming())
        with pytest.raises(ConcurrencyError, match="already receiving"):
            await ws.recv_many()
        session.text("a")
        assert await reading == "a"
        session.close()


@pytest.mark.parametrize("max_size", [(100, 10), (None, 10), (25, None)])
async def test_limits(max_size: tuple[int | None, int | None]) -> None:
    async with ScriptedServer() as server, connect(server.uri, max_size=max_size) as ws:
        session = await server.accepted()
        parts(session, b"0123456789", b"0123456789")
        assert await ws.recv() == "0123456789" * 2
        parts(session, b"0123456789", b"0123456789abcdef")
        assert await session.closed() == 1009
        session.close(1009)
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        cause = caught.value.__cause__
        assert isinstance(cause, PayloadTooBig)
        assert cause.max_size == (max_size[1] or max_size[0])


@pytest.mark.parametrize("max_size", [(1,), (0, 1), (1, -1), (1.5, 2), "1", (True, None)])
async def test_limits_are_checked(max_size: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="max_size"):
        connect("ws://localhost/", max_size=max_size)


# --- recv_many


async def test_recv_many(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri("/burst?n=500&size=8")) as ws:
        numbers: list[int] = []
        before = ws.received_at
        while len(numbers) < 500:
            limit = 7 if len(numbers) < 250 else None
            messages = await ws.recv_many(limit)
            assert 1 <= len(messages) <= (limit or 500)
            assert before <= ws.received_at
            before = ws.received_at
            numbers += [int.from_bytes(message[:4], "big") for message in messages]  # type: ignore[arg-type]
        assert numbers == list(range(500))


@pytest.mark.parametrize("wrong", [0, -1, 2**70, 1.5, True, "1"])
async def test_recv_many_refuses(websockets_server: ServerProcess, wrong: Any) -> None:
    expected = (ValueError, "max = {!r}, expected 1 to") if type(wrong) is int else None
    error, text = expected or (TypeError, "max must be int, got {!r}")
    async with connect(websockets_server.uri()) as ws:
        with pytest.raises(error, match=text.format(wrong)):
            ws.recv_many(wrong)
    with aiows.sync.connect(websockets_server.uri()) as blocking:
        with pytest.raises(error, match=text.format(wrong)):
            blocking.recv_many(wrong)


async def test_received_at() -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        loop = asyncio.get_running_loop()
        seen = []
        for receive in (ws.recv, ws.recv_many, ws.recv_streaming().__anext__):
            start = loop.time()
            session.text("a")
            while not ws.queued:
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            await receive()
            assert start * 1e9 <= ws.received_at <= loop.time() * 1e9 - 1e6
            seen.append(ws.received_at)
        assert seen == sorted(seen)
        session.close()


# --- sending


async def pieces(items: list[Any], log: list[str] | None = None) -> AsyncIterator[Any]:
    try:
        for item in items:
            if isinstance(item, type):
                raise item
            await asyncio.sleep(0)
            yield item
    finally:
        if log is not None:
            log.append("closed")


@pytest.mark.parametrize(
    ("items", "text", "expected"),
    [
        (["a", "ü", ""], None, ["a", "ü", "", ""]),
        (["a", "ü"], False, [b"a", "ü".encode(), b""]),
        ([b"a", bytearray(b"b"), memoryview(b"c")], None, [b"a", b"b", b"c", b""]),
        ([b"\xc3", b"\xbc"], True, ["", "ü", ""]),
        ([], None, None),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_send_iterable(
    websockets_server: ServerProcess,
    items: list[Any],
    text: bool | None,
    expected: list[Any] | None,
    asynchronous: bool,
) -> None:
    async with connect(websockets_server.uri("/parts")) as ws:
        await ws.send(pieces(items) if asynchronous else iter(items), text=text)
        if expected is None:
            await ws.send("whole")
            expected = ["whole"]
        answer = json.loads(await ws.recv())
        assert answer == [repr(part) for part in expected]


class FailingError(Exception):
    pass


@pytest.mark.parametrize(
    ("items", "error"),
    [
        (["a", b"b"], TypeError),
        ([b"a", "b"], TypeError),
        (["a", 1], TypeError),
        ([1], TypeError),
        (["a", FailingError], FailingError),
        ([b"\xc3", b"a"], ValueError),
        ([b"\xc3"], ValueError),
    ],
)
async def test_failing_iterable_closes(
    websockets_server: ServerProcess, items: list[Any], error: type[Exception]
) -> None:
    for asynchronous in (False, True):
        log: list[str] = []
        async with connect(websockets_server.uri()) as ws:
            message = pieces(items, log) if asynchronous else raising(items)
            with pytest.raises(error):
                await ws.send(message, text=True if error is ValueError else None)
            assert ws.state is State.CLOSED
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.send("more")
            assert caught.value.sent is not None
            assert caught.value.sent.code == 1011
            assert log == (["closed"] if asynchronous else [])


def raising(items: list[Any]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, type):
            raise item
        yield item


async def test_wrong_messages(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        for wrong in ({"a": 1}, 5, None):
            with pytest.raises(TypeError):
                await ws.send(wrong)  # type: ignore[arg-type]
        with pytest.raises(FailingError):
            await ws.send(raising([FailingError]))
        await ws.send("still open")
        assert await ws.recv() == "still open"


async def test_cancelled_iterable_closes(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        log: list[str] = []
        begun = asyncio.Event()

        async def slow() -> AsyncIterator[str]:
            try:
                yield "a"
                begun.set()
                await asyncio.sleep(60)
            finally:
                log.append("closed")

        sending = asyncio.create_task(ws.send(slow()))
        await begun.wait()
        others = [asyncio.create_task(ws.send(f"{n}")) for n in range(3)]
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert log == ["closed"]
        for other in others:
            with pytest.raises(ConnectionClosedError) as caught:
                await other
            assert caught.value.sent is not None
            assert caught.value.sent.code == 1011


async def test_others_wait_for_a_message_in_parts(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        go_on = asyncio.Event()

        async def slow(name: str) -> AsyncIterator[str]:
            yield name
            await go_on.wait()
            yield "end"

        tasks = [asyncio.create_task(ws.send(slow("s")))]
        await asyncio.sleep(0.01)
        for n in range(5):
            tasks.append(asyncio.create_task(ws.send(f"{n}")))
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(ws.send([b"t", b"u"])))
        tasks.append(asyncio.create_task(ws.send("last")))
        await (await ws.ping())  # control frames pass
        with pytest.raises(ConcurrencyError, match="fragmented message is being sent"):
            ws.send_nowait("no")
        assert not any(task.done() for task in tasks)
        tasks[2].cancel()
        await asyncio.sleep(0)
        assert tasks[2].cancelled()
        go_on.set()
        await asyncio.wait(tasks)
        await ws.send("after")
        expected = ["send", "0", "2", "3", "4", b"tu", "last", "after"]
        assert [await ws.recv() for _ in expected] == expected


async def test_close_in_the_middle_of_a_message(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:

        async def slow() -> AsyncIterator[str]:
            yield "a"
            await asyncio.sleep(0.01)
            yield "b"

        sending = asyncio.create_task(ws.send(slow()))
        await asyncio.sleep(0.005)
        await ws.close()
        with pytest.raises(ConnectionClosedError) as caught:
            await sending
        assert caught.value.sent is not None
        assert caught.value.sent.code == 1011


# --- the guide


@pytest.mark.once
def test_the_guides_program(websockets_server: ServerProcess, tmp_path: Path) -> None:
    program = Path(__file__).parents[2] / "examples" / "python" / "file.py"
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(3_000_000))
    command = [sys.executable, program, websockets_server.uri(), source, target]
    subprocess.run(command, check=True, timeout=60)
    assert target.read_bytes() == source.read_bytes()
