"""Tasks, groups, threads and contexts around the awaitables of a connection."""

from __future__ import annotations

import asyncio
import collections.abc
import contextvars
import gc
import inspect
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from servers.launch import ServerProcess

from aiows import (
    AioWebSocket,
    ClientConnection,
    ConcurrencyError,
    ConnectionClosedError,
    ConnectionClosedOK,
    WriteLimitExceeded,
    connect,
)
from scripted import TEXT, ScriptedServer

eager = pytest.mark.skipif(sys.version_info < (3, 12), reason="needs Python 3.12: eager tasks")


def eager_task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, *, eager_start: bool = True, **options: Any
) -> asyncio.Task[Any]:
    # asyncio.eager_task_factory of Python 3.13.0 refuses the eager_start of uvloop.
    return asyncio.Task(coroutine, loop=loop, eager_start=True, **options)


async def echo(ws: ClientConnection, message: str) -> str | bytes:
    await ws.send(message)
    return await ws.recv()


# Coroutines made in C


async def test_awaitables_are_coroutines(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        for make, name in (
            (ws.recv, "recv"),
            (lambda: ws.send("x"), "send"),
            (ws.__anext__, "__anext__"),
        ):
            coroutine: Any = make()
            assert isinstance(coroutine, collections.abc.Coroutine)
            assert asyncio.iscoroutine(coroutine)
            assert inspect.isawaitable(coroutine)
            assert coroutine.__name__ == name
            assert coroutine.__qualname__ == f"Connection.{name}"
            assert name in repr(coroutine)
            coroutine.close()
            with pytest.raises(RuntimeError, match="already awaited"):
                await coroutine


async def test_nothing_happens_before_the_first_step(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        never = ws.send("never sent")
        await ws.send("first")
        assert await ws.recv() == "first"
        never.close()
        assert ws.stats_()["messages_sent"] == 1


@pytest.mark.parametrize("name", ["recv", "send", "__anext__", "drain"])
async def test_dropped_unawaited_warns(name: str, websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        method: Any = getattr(ws, name)
        with pytest.warns(RuntimeWarning, match=rf"'Connection\.{name}' was never awaited"):
            method(*(["x"] if name == "send" else []))
            gc.collect()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            method(*(["x"] if name == "send" else [])).close()
            gc.collect()


async def test_create_task(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        task = asyncio.create_task(ws.recv(), name="receiver")
        await asyncio.sleep(0)
        # What debuggers and asyncio's own reports ask for.
        assert "Connection.recv" in repr(task)
        assert task.get_stack() == []
        assert asyncio.iscoroutine(task.get_coro())
        session.text("hello")
        assert await task == "hello"
        assert await asyncio.create_task(echo_here(ws, session)) == "echoed"
        session.close()


async def echo_here(ws: ClientConnection, session: Any) -> str | bytes:
    await asyncio.create_task(ws.send("out"))
    assert await session.read() == (TEXT, b"out")
    session.text("echoed")
    return await asyncio.ensure_future(ws.recv())


# Groups


async def test_gather(any_server: ServerProcess, loop_factory: object) -> None:
    connections = await asyncio.gather(
        *(asyncio.ensure_future(open_one(any_server)) for _ in range(20))
    )
    await asyncio.gather(*(ws.send(str(n)) for n, ws in enumerate(connections)))
    received = await asyncio.gather(*(ws.recv() for ws in connections))
    assert received == [str(n) for n in range(20)]
    await asyncio.gather(*(ws.close() for ws in connections))


async def open_one(server: ServerProcess) -> ClientConnection:
    return await connect(server.uri())


async def test_task_group(any_server: ServerProcess, loop_factory: object) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(converse(any_server, number)) for number in range(20)]
    assert [task.result() for task in tasks] == list(range(20))


async def converse(server: ServerProcess, number: int) -> int:
    async with connect(server.uri()) as ws:
        for turn in range(20):
            assert await echo(ws, f"{number} {turn}") == f"{number} {turn}"
    return number


async def test_recv_in_a_cancelled_task_group(loop_factory: object) -> None:
    async with ScriptedServer() as server:
        connections = [await connect(server.uri) for _ in range(3)]
        sessions = [await server.accepted() for _ in range(3)]

        async def fail() -> None:
            assert await connections[0].recv() == "fail"
            raise ZeroDivisionError

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                waiting = [group.create_task(ws.recv()) for ws in connections[1:]]
                await asyncio.sleep(0)
                # All in one batch: two messages whose receivers are cancelled.
                for session, text in zip(sessions, ("fail", "kept", "kept"), strict=True):
                    session.text(text)
        assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]
        for ws, task in zip(connections[1:], waiting, strict=True):
            # Told before the group failed, or still there: never lost.
            assert (await ws.recv() if task.cancelled() else task.result()) == "kept"
        for ws, session in zip(connections, sessions, strict=True):
            session.close()
            await ws.wait_closed()


async def test_shield(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        receiving = asyncio.create_task(ws.recv())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(receiving), 0.001)
        assert not receiving.done()
        session.text("kept")
        assert await receiving == "kept"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(ws.wait_closed()), 0.001)
        session.close()


async def test_as_completed(loop_factory: object) -> None:
    async with ScriptedServer() as server:
        connections = [await connect(server.uri) for _ in range(3)]
        sessions = [await server.accepted() for _ in range(3)]
        order = [2, 0, 1]
        completed = asyncio.as_completed([ws.recv() for ws in connections])
        for number, following in zip(order, completed, strict=True):
            sessions[number].text(str(number))
            assert await following == str(number)
        for ws, session in zip(connections, sessions, strict=True):
            session.close()
            await ws.wait_closed()


@eager
async def test_eager_tasks(any_server: ServerProcess, loop_factory: object) -> None:
    asyncio.get_running_loop().set_task_factory(eager_task)
    async with connect(any_server.uri()) as ws:
        # A send that need not wait is over before create_task returns.
        sending = asyncio.create_task(ws.send("eager"))
        assert sending.done()
        receiving = asyncio.create_task(ws.recv())
        assert await receiving == "eager"
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(converse(any_server, number)) for number in range(10)]
        assert [task.result() for task in tasks] == list(range(10))
        cancelled = asyncio.create_task(ws.recv())
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert await echo(ws, "after") == "after"


@eager
async def test_eager_recv_of_a_queued_message(loop_factory: object) -> None:
    asyncio.get_running_loop().set_task_factory(eager_task)
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        session.text("one", "two")
        while ws.queued < 2:
            await asyncio.sleep(0.001)
        tasks = [asyncio.create_task(ws.recv()) for _ in range(2)]
        assert [task.done() for task in tasks] == [True, True]
        assert [task.result() for task in tasks] == ["one", "two"]
        session.close()


# Who may receive, and when


async def test_two_receivers(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        first = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        with pytest.raises(ConcurrencyError, match="already receiving") as caught:
            await ws.recv()
        assert isinstance(caught.value, RuntimeError)
        with pytest.raises(ConcurrencyError):
            async for _ in ws:
                pass
        session.text("for the first", "for the next")
        assert await first == "for the first"
        assert await ws.recv() == "for the next"
        session.close()


async def test_two_receivers_of_aiowebsocket(loop_factory: object) -> None:
    async with ScriptedServer() as server, AioWebSocket(server.uri) as aws:
        session = await server.accepted()
        converse = aws.manipulator
        assert converse is not None
        first = asyncio.create_task(converse.receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already receiving"):
            await converse.receive()
        session.text("for the first")
        assert await first == b"for the first"
        session.close()


async def test_after_close(any_server: ServerProcess, loop_factory: object) -> None:
    async with connect(any_server.uri()) as ws:
        await ws.close()
        for attempt in (
            lambda: ws.send("late"),
            ws.recv,
            ws.ping,
            ws.pong,
            lambda: asyncio.to_thread(ws.send_nowait, "late"),
        ):
            with pytest.raises(ConnectionClosedOK):
                await attempt()
        assert [message async for message in ws] == []
        await ws.close()
        await ws.wait_closed()


async def test_waiting_receiver_learns_of_the_end(
    any_server: ServerProcess, loop_factory: object
) -> None:
    for abort in (False, True):
        async with connect(any_server.uri()) as ws:
            receiving = asyncio.create_task(ws.recv())
            await asyncio.sleep(0)
            if abort:
                ws._abort()
            else:
                await ws.close()
            with pytest.raises(ConnectionClosedError if abort else ConnectionClosedOK):
                await receiving


async def test_send_while_closing(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        closing = asyncio.create_task(ws.close(1000))
        assert await session.read() == (8, b"\x03\xe8")
        sending = asyncio.create_task(ws.send("too late"))
        await asyncio.sleep(0)
        session.close()
        with pytest.raises(ConnectionClosedOK):
            await sending
        await closing


# Threads


async def test_run_coroutine_threadsafe(any_server: ServerProcess, loop_factory: object) -> None:
    loop = asyncio.get_running_loop()
    async with connect(any_server.uri()) as ws:

        def work() -> list[str | bytes]:
            received = []
            for number in range(100):
                sending = asyncio.run_coroutine_threadsafe(ws.send(str(number)), loop)
                sending.result(60)
                received.append(asyncio.run_coroutine_threadsafe(ws.recv(), loop).result(60))
            return received

        assert await asyncio.to_thread(work) == [str(number) for number in range(100)]


async def test_send_nowait_from_threads(any_server: ServerProcess, loop_factory: object) -> None:
    threads, count = 4, 1000
    async with connect(any_server.uri(), max_queue=None) as ws:
        start = threading.Barrier(threads)
        refused = threading.Event()

        def work(thread: int) -> None:
            start.wait()
            for number in range(count):
                while True:
                    try:
                        ws.send_nowait(f"{thread} {number}")
                        break
                    except WriteLimitExceeded:
                        refused.wait(0.001)

        with ThreadPoolExecutor(threads) as pool:
            loop = asyncio.get_running_loop()
            working = [loop.run_in_executor(pool, work, thread) for thread in range(threads)]
            numbers: dict[int, list[int]] = {thread: [] for thread in range(threads)}
            for _ in range(threads * count):
                thread, number = map(int, (await ws.recv()).split())
                numbers[thread].append(number)
            await asyncio.gather(*working)
        # Order holds for each thread.
        assert numbers == {thread: list(range(count)) for thread in range(threads)}


async def test_send_nowait_above_the_limit(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        sent = 0
        with pytest.raises(WriteLimitExceeded):
            while True:
                ws.send_nowait(f"{sent:<100000}")
                sent += 1
        # What was refused was not queued; everything else arrives.
        assert sent
        for number in range(sent):
            assert int((await session.read())[1]) == number
        while ws.buffered:
            await asyncio.sleep(0.001)
        ws.send_nowait("after")
        assert await session.read() == (TEXT, b"after")
        session.close()


async def test_closed_from_another_thread_while_receiving(
    any_server: ServerProcess, loop_factory: object
) -> None:
    loop = asyncio.get_running_loop()
    async with connect(any_server.uri()) as ws:
        receiving = asyncio.create_task(ws.recv())
        await asyncio.to_thread(
            lambda: asyncio.run_coroutine_threadsafe(ws.close(1001), loop).result(60)
        )
        with pytest.raises(ConnectionClosedOK):
            await receiving


def test_loops_in_several_threads(any_server: ServerProcess) -> None:
    def work(number: int) -> int:
        return asyncio.run(converse(any_server, number))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(12))) == list(range(12))


# Contexts

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")


async def test_task_keeps_its_context(loop_factory: object) -> None:
    async with ScriptedServer() as server:
        connections = [await connect(server.uri) for _ in range(3)]
        sessions = [await server.accepted() for _ in range(3)]

        async def receive(number: int) -> None:
            variable.set(f"task {number}")
            for turn in range(5):
                assert await connections[number].recv() == str(turn)
                assert variable.get() == f"task {number}"
                assert asyncio.current_task() is tasks[number]

        tasks = [asyncio.create_task(receive(number)) for number in range(3)]
        variable.set("main")
        for turn in range(5):
            await asyncio.sleep(0)
            for session in sessions:
                session.text(str(turn))
        await asyncio.gather(*tasks)
        assert variable.get() == "main"
        for ws, session in zip(connections, sessions, strict=True):
            session.close()
            await ws.wait_closed()


async def test_callbacks_run_in_the_context_of_the_opening(loop_factory: object) -> None:
    seen: list[str] = []
    done = asyncio.Event()

    def message(ws: object, text: str) -> None:
        seen.append(f"{variable.get()} {text}")
        assert asyncio.current_task() is None
        variable.set(f"changed by {text}")
        done.set()

    def closed(ws: object) -> None:
        seen.append(f"closed, {variable.get()}")

    async with ScriptedServer() as server:
        variable.set("opening")
        async with connect(server.uri, on_message=message, on_close=closed):
            variable.set("later")
            session = await server.accepted()
            session.text("one")
            await done.wait()
            done.clear()
            session.text("two")
            await done.wait()
            assert variable.get() == "later"
            session.close()
    # One context for all calls of on_message; another copy for on_close.
    assert seen[:2] == ["opening one", "changed by one two"]
    assert seen[2].startswith("closed, ")
    assert "later" not in seen[2]


async def test_first_connection_leaves_its_context_to_nobody(loop_factory: object) -> None:
    # The reader callback is registered by the first task that connects.
    seen: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: seen.append(f"handler {variable.get()}")
    )

    async def first(uri: str) -> ClientConnection:
        variable.set("first")
        return await connect(uri)

    def message(ws: object, text: object) -> None:
        seen.append(f"callback {variable.get()}")
        raise ZeroDivisionError

    async def hooked(uri: str) -> ClientConnection:
        return await connect(uri, on_message=message)

    async with ScriptedServer() as server:
        connections = [
            await asyncio.create_task(first(server.uri)),
            await asyncio.create_task(hooked(server.uri)),
        ]
        sessions = [await server.accepted() for _ in range(2)]
        for session in sessions:
            session.text("hello")
        while len(seen) < 2:
            await asyncio.sleep(0.001)
        assert seen == ["callback default", "handler default"]
        for ws, session in zip(connections, sessions, strict=True):
            session.close()
            await ws.wait_closed()
