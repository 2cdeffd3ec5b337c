"""What recv, send and drain of _core return behaves as a coroutine to every kind of task."""

from __future__ import annotations

import asyncio
import collections.abc
import contextvars
import inspect
import sys
import threading
from typing import Any

import pytest

from core_peer import Busy, ClosedBadly, ClosedOK, close_frame, core, texts, turns, until
from scripted import BINARY, frame

KINDS = ["c", "python", *(["eager"] if sys.version_info >= (3, 12) else [])]


def python_task(loop: Any, coro: Any, **options: Any) -> Any:
    return asyncio.tasks._PyTask(coro, loop=loop, **options)


def eager_task(loop: Any, coro: Any, **options: Any) -> Any:
    return asyncio.Task(coro, loop=loop, **(options | {"eager_start": True}))


@pytest.fixture(params=KINDS, autouse=True)
def tasks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with asyncio's tasks in C, those in Python, and eager ones."""
    if request.param == "c":
        return
    factory = python_task if request.param == "python" else eager_task
    original = asyncio.Runner.run

    def run(self: asyncio.Runner, coro: Any, **options: Any) -> Any:
        self.get_loop().set_task_factory(factory)
        return original(self, coro, **options)

    monkeypatch.setattr(asyncio.Runner, "run", run)


async def test_is_a_coroutine(loop_factory: Any) -> None:
    async with core() as c:
        conn, _ = await c.open()
        made = {
            "recv": conn.recv(),
            "send": conn.send("x"),
            "drain": conn.drain(),
            "__anext__": conn.__anext__(),
            "recv_many": conn.recv_many(),
            "_recv_part": conn._recv_part(),
            "_take_turn": conn._take_turn(),
        }
        for name, coro in made.items():
            assert isinstance(coro, collections.abc.Coroutine)
            assert asyncio.iscoroutine(coro)
            assert inspect.isawaitable(coro)
            assert coro.__name__ == name
            assert coro.__qualname__ == f"Connection.{name}"
            assert f"Connection.{name}" in repr(coro)
            assert not coro.cr_running
            coro.close()
            coro.close()
            with pytest.raises(RuntimeError, match="cannot reuse"):
                coro.send(None)
            with pytest.raises(RuntimeError, match="cannot reuse"):
                coro.throw(ValueError)


async def test_nothing_before_the_first_step(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        for make, name in (
            (conn.recv, "recv"),
            (conn.drain, "drain"),
            (conn.recv_many, "recv_many"),
            (conn._take_turn, "_take_turn"),
        ):
            with pytest.warns(RuntimeWarning, match=f"'Connection.{name}' was never awaited"):
                make()
        with pytest.warns(RuntimeWarning, match=r"'Connection\.send' was never awaited"):
            conn.send("dropped")
        await conn.send("kept")
        assert peer.read_frame() == (1, b"kept")


async def test_stepping_by_hand(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        coro = conn.send("x")
        with pytest.raises(TypeError, match="just-started"):
            coro.send(1)
        with pytest.raises(StopIteration) as stop:
            coro.send(None)
        assert stop.value.value is None
        coro = conn.recv()
        waiter = coro.send(None)
        assert asyncio.isfuture(waiter)
        assert not waiter.done()
        with pytest.raises(asyncio.InvalidStateError):
            waiter.result()
        with pytest.raises(RuntimeError, match="being awaited already"):
            coro.send(None)
        peer.send(frame(BINARY, b"by hand"))
        await until(waiter.done)
        with pytest.raises(StopIteration) as stop:
            coro.send(None)
        assert stop.value.value == b"by hand"
        peer.send(texts("a", "b"))
        await until(lambda: conn.queued == 2)
        for coro, value in (
            (conn._recv_part(), ("a", True, True)),
            (conn.recv_many(), ["b"]),
            (conn._take_turn(), None),
        ):
            with pytest.raises(StopIteration) as stop:
                coro.send(None)
            assert stop.value.value == value
        waiting = conn.send("y")
        waiter = waiting.send(None)
        assert not waiter.done()
        conn._end_turn()
        assert waiter.done()
        with pytest.raises(RuntimeError, match="without _take_turn"):
            waiting.close() or conn._end_turn()


async def test_throw(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        for arguments in (
            (ValueError("a"),),
            (ValueError, "a"),
            (ValueError, ValueError("a")),
            (ValueError, ("a",), None),
        ):
            coro = conn.recv()
            coro.send(None)
            with pytest.raises(ValueError, match=r"^a$"):
                coro.throw(*arguments)
        coro = conn.recv()
        for wrong in ((1,), (ValueError("a"), "b"), (ValueError, None, "no traceback")):
            with pytest.raises(TypeError):
                coro.throw(*wrong)
        coro.close()
        peer.send(texts("still works"))
        assert await conn.recv() == "still works"


async def test_task_repr_in_debug_mode(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        task = asyncio.create_task(conn.recv())
        await turns()
        assert "Connection.recv()" in repr(task)
        assert "Waiter pending" in repr(task)
        peer.send(texts("a"))
        assert await task == "a"


async def test_cancel_keeps_the_message(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()

        async def receive() -> Any:
            return await conn.recv()

        task = asyncio.create_task(receive())
        await turns()
        peer.send(texts("kept"))
        # In a task nothing is stepped: the wake-up is scheduled, and overtaken.
        while not conn.queued:
            c.loop.ready()
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await conn.recv() == "kept"


async def test_cancel_message(loop_factory: Any) -> None:
    async with core() as c:
        conn, _ = await c.open()
        caught = []

        async def receive() -> None:
            try:
                await conn.recv()
            except asyncio.CancelledError as error:
                caught.append(error.args)
                raise

        task = asyncio.create_task(receive())
        await turns()
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert caught == [("why",)]


async def test_cancel_lets_the_next_receiver_in_at_once(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        first = asyncio.create_task(conn.recv())
        await turns()
        first.cancel()
        second = asyncio.create_task(conn.recv())
        await turns()
        peer.send(texts("x"))
        assert await second == "x"
        assert first.cancelled()


async def test_cancelled_before_it_began(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()

        async def send() -> None:
            await asyncio.sleep(0)
            await conn.send("never")

        task = asyncio.create_task(send())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await conn.send("sent")
        assert peer.read_frame() == (1, b"sent")


async def test_asyncio_functions(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(conn.recv(), 0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await conn.recv()
        task = asyncio.create_task(asyncio.wait_for(conn.recv(), 60))
        await turns()
        peer.send(texts("a"))
        assert await task == "a"
        inner = asyncio.ensure_future(conn.recv())
        outer = asyncio.shield(inner)
        await turns()
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        peer.send(texts("b"))
        assert await inner == "b"
        peer.send(texts("c"))
        assert await asyncio.gather(conn.recv(), conn.send("x"), conn.drain()) == ["c", None, None]
        async with asyncio.TaskGroup() as group:
            received = group.create_task(conn.recv())
            group.create_task(conn.send("y"))
            peer.send(texts("d"))
        assert received.result() == "d"
        done, _ = await asyncio.wait([asyncio.create_task(conn.drain())])
        assert done.pop().result() is None


async def test_run_coroutine_threadsafe(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        loop = asyncio.get_running_loop()
        results = []

        def other() -> None:
            asyncio.run_coroutine_threadsafe(conn.send("from a thread"), loop).result(60)
            results.append(asyncio.run_coroutine_threadsafe(conn.recv(), loop).result(60))

        thread = threading.Thread(target=other)
        thread.start()
        peer.send(texts("to a thread"))
        await until(lambda: results)
        thread.join()
        assert results == ["to a thread"]
        assert peer.read_frame() == (1, b"from a thread")


async def test_two_receivers(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        task = asyncio.create_task(conn.recv())
        await turns()
        with pytest.raises(Busy):
            await conn.recv()
        with pytest.raises(Busy):
            await conn.__anext__()
        peer.send(texts("x"))
        assert await task == "x"


async def test_same_coroutine_in_two_tasks(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        coro = conn.recv()
        first = asyncio.create_task(coro)
        await turns()
        second = asyncio.create_task(coro)
        with pytest.raises(RuntimeError, match="being awaited already"):
            await second
        peer.send(texts("x"))
        assert await first == "x"


async def test_async_for(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        peer.end(texts(*map(str, range(200))), close_frame(1000))
        assert [message async for message in conn] == [str(i) for i in range(200)]
        conn, peer = await c.open()
        peer.end(texts("a"), close_frame(1001))
        received = []
        with pytest.raises(ClosedBadly):
            async for message in conn:
                received.append(message)
        assert received == ["a"]


async def test_contexts(loop_factory: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    async with core() as c:
        conn, peer = await c.open()
        seen = []

        async def receive(value: str) -> None:
            variable.set(value)
            for _ in range(3):
                await conn.recv()
                seen.append(variable.get())

        task = asyncio.create_task(receive("mine"))
        await turns()
        for i in range(3):
            peer.send(texts(str(i)))
            await until(lambda wanted=i: len(seen) > wanted)
        await task
        assert seen == ["mine"] * 3
        assert variable.get() == "none"


async def test_current_task_while_stepped(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        seen = []

        async def receive() -> None:
            await conn.recv()
            seen.append(asyncio.current_task())

        task = asyncio.create_task(receive())
        await turns()
        peer.send(texts("x"))
        await task
        assert seen == [task]


async def test_exceptions_of_closed(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        waiting = asyncio.create_task(conn.recv())
        await turns()
        peer.end(close_frame(1000))
        with pytest.raises(ClosedOK):
            await waiting
        first = second = None
        for call in (conn.recv, conn.drain, lambda: conn.send("x")):
            with pytest.raises(ClosedOK) as raised:
                await call()
            first, second = second, raised.value
            assert first is not second


async def test_arguments(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        for wrong in (None, 1, ["a"], {"a": 1}, object()):
            with pytest.raises(TypeError, match="expected str or a bytes-like object"):
                conn.send(wrong)
            with pytest.raises(TypeError, match="expected str or a bytes-like object"):
                conn.send_nowait(wrong)
        for call in (
            lambda: conn.send(),
            lambda: conn.send("a", None, 1),
            lambda: conn.send("a", unknown=1),
            lambda: conn.send("a", message="b"),
            lambda: conn.recv(None, None),
            lambda: conn.recv(unknown=1),
        ):
            with pytest.raises(TypeError):
                call()
        with pytest.raises(BufferError):
            await conn.send(memoryview(b"abcd")[::2])
        with pytest.raises(UnicodeEncodeError):
            await conn.send("\ud800")
        await conn.send(message=bytearray(b"a"), text=True)
        assert peer.read_frame() == (1, b"a")
        peer.send(frame(BINARY, b"\xff"), frame(BINARY, b"a"), texts("b", "c"))
        with pytest.raises(UnicodeDecodeError):
            await conn.recv(decode=True)
        assert await conn.recv(True) == "a"
        assert await conn.recv(decode=False) == b"b"
        assert await conn.recv(decode=None) == "c"
