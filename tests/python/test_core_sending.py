"""Sending with _core: marks, drain, refusals, other threads, fragments, control frames."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aiows import _core
from core_peer import ClosedBadly, ClosedOK, Connection, close_frame, core, texts, turns, until
from scripted import CLOSE, PING, PONG, frame

SMALL_MARKS = {"write_high": 1000, "write_low": 100}
LARGE = bytes(8 << 20)  # more than the sockets' buffers take


async def fill(conn: Connection) -> None:
    """Have more bytes pending than the high mark."""
    task = asyncio.create_task(conn.send(LARGE))
    await turns()
    assert not task.done()
    assert conn.buffered > 1000
    task.cancel()
    await asyncio.wait([task])


def read_large(peer: Any) -> None:
    assert peer.read_frame_length() == len(LARGE)


async def test_send_waits_until_writable(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open(connect=SMALL_MARKS)
        sends = [asyncio.create_task(conn.send(LARGE)), asyncio.create_task(conn.send("small"))]
        drain = asyncio.create_task(conn.drain())
        await turns()
        assert not any(task.done() for task in [*sends, drain])
        await asyncio.to_thread(read_large, peer)
        await asyncio.gather(*sends, drain)
        assert peer.read_frame() == (1, b"small")
        assert conn.buffered == 0
        await conn.drain()


async def test_cancelled_send_goes_out(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open(connect=SMALL_MARKS)
        await fill(conn)
        task = asyncio.create_task(conn.send("kept"))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(read_large, peer)
        assert await asyncio.to_thread(peer.read_frame) == (1, b"kept")


async def test_send_nowait_refuses_above_the_mark(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open(connect=SMALL_MARKS)
        await fill(conn)
        with pytest.raises(_core.Error) as raised:
            conn.send_nowait("refused")
        assert raised.value.code == _core.ERRORS["AGAIN"]
        assert raised.value.message == str(raised.value) != ""
        drain = asyncio.create_task(conn.drain())
        await turns()
        assert not drain.done()
        await asyncio.to_thread(read_large, peer)
        await drain
        conn.send_nowait("taken")
        assert peer.read_frame() == (1, b"taken")


async def test_send_nowait_from_threads(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()

        def send(name: str) -> None:
            for i in range(50):
                conn.send_nowait(f"{name} {i}")

        threads = [threading.Thread(target=send, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        received = [peer.read_frame()[1].decode() for _ in range(150)]
        for name in "abc":
            assert [one for one in received if one[0] == name] == [f"{name} {i}" for i in range(50)]


async def test_large_sends_release_the_lock(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open(connect={"write_high": 1 << 30})
        for size in (16 * 1024, 16 * 1024 + 1, 1 << 20):
            reading = asyncio.create_task(asyncio.to_thread(peer.read_frame_length))
            await conn.send(bytearray(size))
            assert await reading == size


async def test_send_while_closing_waits_for_the_end(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        conn._close(1000, "bye")
        assert conn.state == 2
        task = asyncio.create_task(conn.send("too late"))
        await turns()
        assert not task.done()
        with pytest.raises(ClosedBadly):
            conn.send_nowait("too late")
        assert peer.read_frame() == (CLOSE, b"\x03\xe8bye")
        peer.end(close_frame(1000))
        with pytest.raises(ClosedOK):
            await task


async def test_lost_connection_wakes_senders(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open(connect=SMALL_MARKS)
        task = asyncio.create_task(conn.send(LARGE))
        drain = asyncio.create_task(conn.drain())
        await turns()
        peer.close()
        # What was queued is given up, so that they may also find room first.
        for result in await asyncio.gather(task, drain, return_exceptions=True):
            assert result is None or isinstance(result, ClosedBadly)
        await conn.ended.wait()
        with pytest.raises(ClosedBadly):
            await conn.drain()
        error = conn.error()
        assert error is not None
        assert error.code == _core.ERRORS["LOST"]


async def test_closing_the_loop_wakes_senders(loop_factory: Any) -> None:
    async with core() as c:
        conn, _ = await c.open(connect=SMALL_MARKS)
        tasks = [asyncio.create_task(conn.send(LARGE)), asyncio.create_task(conn.drain())]
        await turns()
        c.close()
        for task in tasks:
            with pytest.raises(ClosedBadly):
                await task


async def test_control_frames(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        conn._ping(b"a")
        conn._pong(bytearray(b"b"))
        assert peer.read_frame() == (PING, b"a")
        assert peer.read_frame() == (PONG, b"b")
        with pytest.raises(_core.Error) as raised:
            conn._ping(bytes(126))
        assert raised.value.code == _core.ERRORS["ARGUMENT"]
        with pytest.raises(TypeError):
            conn._ping(5)
        for code in (5, 1005, 1006, 5000):
            with pytest.raises(_core.Error):
                conn._close(code, "")
        with pytest.raises(_core.Error):
            conn._close(1000, "x" * 124)
        with pytest.raises(ValueError, match="null character"):
            conn._close(1000, "a\0b")
        assert conn.state == 1
        peer.end(close_frame(1000))
        await conn.ended.wait()
        for call in (conn._ping, conn._pong, conn.send_nowait):
            with pytest.raises(ClosedOK):
                call(b"x")
        with pytest.raises(ClosedOK):
            conn.send_fragment(1, True, b"x")
        conn._close(1000, "")
        conn._abort()


async def test_fragments(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open(connect=SMALL_MARKS)
        assert conn.send_fragment(1, False, "é".encode()[:1]) is False
        with pytest.raises(_core.Error) as raised:
            await conn.send("between")
        assert raised.value.code == _core.ERRORS["STATE"]
        assert conn.send_fragment(1, True, "é".encode()[1:]) is False
        assert peer.read_frame() == (1, b"\xc3")
        assert peer.read_frame() == (0, b"\xa9")
        assert conn.send_fragment(2, True, LARGE) is True
        drain = asyncio.create_task(conn.drain())
        await turns()
        assert not drain.done()
        await asyncio.to_thread(read_large, peer)
        await drain


async def test_mapped_errors(loop_factory: Any) -> None:
    class Mapping(Connection):
        def _map_error(self, error: _core.Error, /) -> BaseException:
            return LookupError(error.code)

    class Wrong(Connection):
        def _map_error(self, error: _core.Error, /) -> Any:
            return "no exception"

    async with core() as c:
        conn, _ = await c.open(Mapping)
        with pytest.raises(LookupError) as raised:
            await conn.send(b"\xff", text=True)
        assert raised.value.args == (_core.ERRORS["UTF8"],)
        with pytest.raises(LookupError):
            conn._close(1, "")
        wrong, _ = await c.open(Wrong)
        with pytest.raises(TypeError, match="expected an exception"):
            wrong._ping(bytes(126))


async def test_before_the_connection_is_open(loop_factory: Any) -> None:
    async with core() as c:
        conn = Connection(c.loop)
        assert (conn.state, conn.queued, conn.buffered, conn.paused) == (0, 0, 0, False)
        with pytest.raises(_core.Error) as raised:
            await conn.send("x")
        assert raised.value.code == _core.ERRORS["STATE"]
        with pytest.raises(_core.Error):
            conn._ping(b"")
        for call in (conn.info, conn.stats_):
            with pytest.raises(RuntimeError, match="not started"):
                call()
        assert conn.error() is None
        conn._close(1000, "")
        conn._abort()


async def test_echo_of_every_size(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        for size in (0, 1, 125, 126, 65535, 65536):
            peer.send(frame(2, b"x" * size), texts("y" * size))
            assert await conn.recv() == b"x" * size
            assert await conn.recv() == "y" * size
            await conn.send(b"x" * size)
            assert peer.read_frame() == (2, b"x" * size)
        await until(lambda: conn.stats_()["messages_sent"] == 6)
