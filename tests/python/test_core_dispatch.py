"""The reader callback of _core: order, steps, callbacks, fairness, what a step may do."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import os
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from aiows import _core
from core_peer import (
    CLEAN,
    PEER_FIRST,
    ClosedBadly,
    ClosedOK,
    Connection,
    close_frame,
    core,
    texts,
    turns,
    until,
)
from scripted import BINARY, CLOSE, PING, PONG, frame

# A message of 2,000 bytes stays in its event until it is received.
LENGTHS = pytest.mark.parametrize("length", [1, 2000])


async def test_steps_inside_the_reader_callback(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        order: list[Any] = []

        async def receive() -> None:
            while True:
                order.append(await conn.recv())

        task = asyncio.create_task(receive())
        await turns()
        peer.send(texts("a", "b", "c"))
        found: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

        def callback() -> None:
            while not order:
                c.loop.ready()
            found.set_result(list(order))

        asyncio.get_running_loop().call_soon(callback)
        assert await found == ["a", "b", "c"]
        task.cancel()
        await asyncio.wait([task])


async def test_does_not_step_inside_a_task(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        task = asyncio.create_task(conn.recv())
        await turns()
        peer.send(texts("a"))
        while not conn.queued:
            c.loop.ready()
        assert not task.done()
        assert await task == "a"


async def test_does_not_step_in_another_thread(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        asyncio.get_running_loop().remove_reader(c.loop.fileno())
        stepped_in = []

        async def receive() -> None:
            await conn.recv()
            stepped_in.append(threading.get_ident())

        task = asyncio.create_task(receive())
        await turns()
        peer.send(texts("a"))
        asyncio.get_running_loop().set_debug(False)  # which forbids call_soon elsewhere

        def poll() -> None:
            while not conn.queued:
                c.loop.ready()

        thread = threading.Thread(target=poll)
        thread.start()
        thread.join()
        await task
        assert stepped_in == [threading.get_ident()]


async def test_order_of_events(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open(connect={"auto_pong": False})
        peer.end(frame(PING, b"1"), frame(PONG, b"2"), frame(PING), close_frame(1001, "äway"))
        await conn.ended.wait()
        assert conn.seen == [
            "open",
            ("ping", b"1"),
            ("pong", b"2"),
            ("ping", b""),
            ("closing", 1001, "äway"),
            ("closed", 1001, "äway", 1001, CLEAN | PEER_FIRST),
        ]
        assert peer.read_frame() == (CLOSE, b"\x03\xe9" + "äway".encode())


@LENGTHS
async def test_messages_before_the_close_are_received(loop_factory: Any, length: int) -> None:
    async with core() as c:
        conn, peer = await c.open()
        peer.end(texts("a" * length), frame(BINARY, b"b" * length), close_frame(1000))
        await conn.ended.wait()
        assert (conn.state, conn.queued) == (3, 2)
        assert await conn.recv() == "a" * length
        assert await conn.recv() == b"b" * length
        with pytest.raises(ClosedOK):
            await conn.recv()


@pytest.mark.parametrize("lengths", [(2000, 1), (1, 2000, 1, 1, 2000, 1)])
async def test_long_and_short_messages_keep_their_order(
    loop_factory: Any, lengths: tuple[int, ...]
) -> None:
    async with core() as c:
        conn, peer = await c.open()
        sent = [str(index) * length for index, length in enumerate(lengths)]
        peer.end(texts(*sent), close_frame(1000))
        await conn.ended.wait()
        assert [await conn.recv() for _ in sent] == sent


async def test_closed_method_comes_before_receivers(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        seen = []

        async def receive() -> None:
            try:
                await conn.recv()
            except ClosedOK:
                seen.append(list(conn.seen))

        task = asyncio.create_task(receive())
        await turns()
        peer.end(close_frame(1000))
        await task
        assert seen[0][-1][0] == "closed"


async def test_on_message_order_and_context(loop_factory: Any) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    async with core() as c:
        got: list[Any] = []
        variable.set(1)
        conn, peer = await c.open(on_message=lambda conn, m: got.append((conn, m, variable.get())))
        variable.set(2)
        peer.end(texts(*map(str, range(300))), close_frame(1000))
        await conn.ended.wait()
        assert got == [(conn, str(i), 1) for i in range(300)]
        assert conn.received_at > 0


async def test_on_message_and_recv(loop_factory: Any) -> None:
    async with core() as c:
        got: list[Any] = []
        conn, peer = await c.open(on_message=lambda _, m: got.append(m), text_as_bytes=True)
        with pytest.raises(RuntimeError, match="go to its on_message"):
            await conn.recv()
        peer.send(texts("a"))
        await until(lambda: got)
        assert got == [b"a"]


async def test_on_message_echo(loop_factory: Any) -> None:
    async with core() as c:
        _, peer = await c.open(on_message=lambda conn, message: conn.send_nowait(message))
        peer.send(texts("a"), frame(BINARY, b"b"))
        await turns(10)
        assert await asyncio.to_thread(peer.read_frame) == (1, b"a")
        assert await asyncio.to_thread(peer.read_frame) == (2, b"b")


async def test_exception_in_on_message(loop_factory: Any) -> None:
    async with core() as c:
        got = []

        def fail(conn: Connection, message: Any) -> None:
            got.append(message)
            raise ValueError("planned")

        conn, peer = await c.open(on_message=fail)
        other, other_peer = await c.open()
        peer.send(texts("a", "b"))
        assert await asyncio.to_thread(peer.read_frame) == (CLOSE, b"\x03\xf3")
        assert got == ["a"]
        (about,) = c.reported
        assert str(about["exception"]) == "planned"
        assert about["connection"] is conn
        c.reported.clear()
        peer.end(texts("c"), close_frame(1011))
        await conn.ended.wait()
        assert got == ["a"]
        other_peer.send(texts("unharmed"))
        assert await other.recv() == "unharmed"


async def test_exceptions_in_event_methods(loop_factory: Any) -> None:
    class Failing(Connection):
        def _on_ping(self, data: bytes, /) -> None:
            raise ValueError("ping")

        def _on_closed(self, code: int, reason: str, sent: int, flags: int, /) -> None:
            super()._on_closed(code, reason, sent, flags)
            raise ValueError("closed")

    async with core() as c:
        conn, peer = await c.open(Failing)
        task = asyncio.create_task(conn.recv())
        await turns()
        peer.end(frame(PING, b"x"), close_frame(1000))
        with pytest.raises(ClosedOK):
            await task
        assert [str(about["exception"]) for about in c.reported] == ["ping", "closed"]
        c.reported.clear()


async def test_many_receives_give_the_loop_turns(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open(max_queue=(None, None))
        peer.send(texts(*map(str, range(1000))))
        await until(lambda: conn.queued == 1000)
        count = 0

        async def count_turns() -> None:
            nonlocal count
            while True:
                count += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(count_turns())
        for i in range(1000):
            assert await conn.recv() == str(i)
        assert 1000 // 65 <= count <= 1000 // 64 + 20
        before = count
        for i in range(640):
            await conn.send(str(i))
        assert count - before >= 640 // 65
        before = count
        for _ in range(20):  # 64 KiB counts as several
            await conn.send(bytes(65536))
            peer.read(65536)
        assert count - before >= 1
        task.cancel()
        await asyncio.wait([task])


async def test_slow_callbacks_let_timers_fire(loop_factory: Any) -> None:
    async with core() as c:
        got = []

        def slow(conn: Connection, message: Any) -> None:
            got.append(message)
            finished = os.times().elapsed + 0.02
            while os.times().elapsed < finished:
                pass

        _, peer = await c.open(on_message=slow)
        peer.send(texts(*map(str, range(20))))
        between = []
        while len(got) < 20:
            between.append(len(got))
            await asyncio.sleep(0)
        assert got == [str(i) for i in range(20)]
        # Each turn of the event loop handled few of one batch.
        assert max(b - a for a, b in itertools.pairwise(between)) <= 2


@LENGTHS
async def test_reader_that_keeps_up_is_never_paused(loop_factory: Any, length: int) -> None:
    async with core() as c:
        conn, peer = await c.open(max_queue=(4, 1))
        paused = []

        async def receive() -> None:
            for _ in range(60):
                await conn.recv()
                paused.append(conn.paused)

        task = asyncio.create_task(receive())
        await turns()
        peer.send(texts(*(str(i) * length for i in range(60))))
        await task
        assert not any(paused)


@LENGTHS
async def test_queue_marks(loop_factory: Any, length: int) -> None:
    async with core() as c:
        conn, peer = await c.open(max_queue=(16, 4))
        peer.send(texts(*(str(i) * length for i in range(16))))
        await until(lambda: conn.queued == 16)
        assert not conn.paused
        peer.send(texts("16" * length))
        await until(lambda: conn.queued == 17)
        await until(lambda: conn.paused)
        peer.send(texts("17" * length))
        for i in range(12):
            assert await conn.recv() == str(i) * length
        assert conn.paused
        assert await conn.recv() == "12" * length
        assert not conn.paused
        for i in range(13, 18):
            assert await conn.recv() == str(i) * length


@LENGTHS
async def test_a_step_may_cancel_abort_and_poll(loop_factory: Any, length: int) -> None:
    async with core() as c:
        first, first_peer = await c.open()
        second, second_peer = await c.open()
        third, _ = await c.open()
        got = []

        async def receive_first() -> None:
            got.append(await first.recv())
            victim.cancel()
            third._abort()
            c.loop.ready()
            got.append(await first.recv())

        async def receive_second() -> None:
            got.append(await second.recv())

        waiting = asyncio.create_task(third.recv())
        victim = asyncio.create_task(receive_second())
        task = asyncio.create_task(receive_first())
        await turns()
        first_peer.send(texts("a" * length, "b" * length))
        second_peer.send(texts("c" * length))
        await task
        await asyncio.wait([victim])
        a, b, other = "a" * length, "b" * length, "c" * length
        assert got[-2:] == [a, b] or got == [a, other, b]
        if victim.cancelled():
            assert await second.recv() == other
        with pytest.raises(ClosedBadly):
            await waiting


@LENGTHS
async def test_a_step_may_close_the_loop(loop_factory: Any, length: int) -> None:
    async with core() as c:
        conn, peer = await c.open()
        other, _ = await c.open()

        async def receive() -> None:
            await conn.recv()
            c.close()

        waiting = asyncio.create_task(other.recv())
        task = asyncio.create_task(receive())
        await turns()
        peer.send(texts("a" * length, "left over" * length), frame(PING, b"not told"))
        await task
        with pytest.raises(ClosedBadly):
            await waiting
        assert ("ping", b"not told") not in conn.seen
        assert await conn.recv() == "left over" * length
        assert conn.state == other.state == 3
        assert conn.info()["uri"].startswith("ws://127.0.0.1:")
        assert conn.stats_()["messages_received"] >= 1
        with pytest.raises(ClosedBadly):
            await conn.send("x")
        for call in (c.loop.fileno, c.loop.stats):
            with pytest.raises(RuntimeError, match="loop is closed"):
                call()
        with pytest.raises(RuntimeError, match="loop is closed"):
            c.loop.connect(Connection(c.loop), "ws://127.0.0.1/")
        with pytest.raises(RuntimeError, match="loop is closed"):
            c.loop.listen("", 0, print)
        c.loop.ready()
        c.loop.close()


async def test_a_callback_may_close_the_loop(loop_factory: Any) -> None:
    async with core() as c:
        got = []

        def receive(conn: Connection, message: Any) -> None:
            got.append(message)
            c.close()

        _, peer = await c.open(on_message=receive)
        peer.send(texts("a", "b"))
        await until(lambda: got)
        await turns()
        assert got == ["a"]


async def test_on_idle(loop_factory: Any) -> None:
    async with core() as c:
        with pytest.raises(TypeError, match="not callable"):
            c.loop.on_idle = 5  # type: ignore[assignment]
        calls = []

        def idle() -> None:
            calls.append(c.loop.connections)
            c.close()

        c.loop.on_idle = idle
        first, first_peer = await c.open()
        second, second_peer = await c.open()
        assert c.loop.connections == 2
        first_peer.end(close_frame(1000))
        await first.ended.wait()
        await turns()
        assert not calls
        second_peer.end(close_frame(1000))
        with pytest.raises(ClosedOK):
            await second.recv()
        await until(lambda: calls)
        assert calls == [0]
        assert second.info()["close_received"] == 1000
        assert second.error() is None


async def test_on_idle_after_a_refused_connect(loop_factory: Any) -> None:
    async with core() as c:
        calls: list[int] = []
        c.loop.on_idle = lambda: calls.append(1)
        with pytest.raises(_core.Error):
            c.loop.connect(Connection(c.loop), "http://127.0.0.1/")
        await until(lambda: calls)
        listener = c.loop.listen("127.0.0.1", 0, print)
        listener.close()
        await until(lambda: len(calls) == 2)


async def test_exception_in_on_idle(loop_factory: Any) -> None:
    async with core() as c:

        def idle() -> None:
            raise ValueError("planned")

        c.loop.on_idle = idle
        _, peer = await c.open()
        peer.end(close_frame(1000))
        await until(lambda: c.reported)
        assert str(c.reported.pop()["exception"]) == "planned"


@pytest.mark.parametrize("where", ["task", "callback", "method"])
def test_interrupt_in_a_step(where: str) -> None:
    """An interrupt ends run() as everywhere; the rest of the batch comes afterwards."""
    program = """
        import asyncio, sys
        from core_peer import Connection, core, texts, turns

        class Interrupted(Connection):
            def _on_ping(self, data):
                raise KeyboardInterrupt

        def callback(conn, message):
            raise KeyboardInterrupt

        async def receive(conn):
            await conn.recv()
            raise KeyboardInterrupt

        async def collect(conn, got):
            while True:
                got.append(await conn.recv())

        async def main(where, got):
            async with core() as c:
                options = {"on_message": callback} if where == "callback" else {}
                first, first_peer = await c.open(Interrupted, **options)
                second, second_peer = await c.open()
                if where == "task":
                    task = asyncio.create_task(receive(first))
                tasks = asyncio.create_task(collect(second, got))
                await turns()
                first_peer.send(b"\\x89\\0" if where == "method" else texts("x"))
                second_peer.send(texts("1", "2"))
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    while len(got) < 2 and second.queued + len(got) < 2:
                        await asyncio.sleep(0)
                    got.extend([await second.recv() for _ in range(second.queued)])
                    raise

        got = []
        try:
            asyncio.run(main(sys.argv[1], got))
        except KeyboardInterrupt:
            print(*got)
    """
    output = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), where],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
    )
    assert output.stdout.split() == ["1", "2"]
    assert "Traceback" not in output.stderr
