"""Who gets a turn of the event loop, and what a task may do while the reader steps it."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
import weakref
from typing import Any

import pytest
from servers.launch import ServerProcess

from aiows import ClientConnection, ConnectionClosed, ConnectionClosedError, connect
from scripted import ScriptedServer, Session


class Ticker:
    """Notes at every turn of the event loop how far a flood has come."""

    def __init__(self) -> None:
        self.progress = 0
        self.marks: list[int] = []
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        if self.marks[-1:] != [self.progress]:
            self.marks.append(self.progress)
        self._handle = self._loop.call_soon(self._tick)

    def stop(self) -> int:
        """Return the longest way that was made without a turn."""
        self._handle.cancel()
        marks = [0, *self.marks, self.progress]
        return max(after - before for before, after in itertools.pairwise(marks))


async def open_several(
    server: ScriptedServer, count: int, **options: Any
) -> tuple[list[ClientConnection], list[Session]]:
    connections = [await connect(server.uri, **options) for _ in range(count)]
    return connections, [await server.accepted() for _ in range(count)]


async def end(connections: list[ClientConnection], sessions: list[Session]) -> None:
    for session in sessions:
        session.close()
    for ws in connections:
        await ws.wait_closed()


async def wait_queued(ws: ClientConnection, count: int) -> None:
    while ws.queued < count:
        await asyncio.sleep(0.001)


# Starvation


async def test_flood_of_queued_messages_leaves_turns(loop_factory: object) -> None:
    count = 5000
    async with ScriptedServer() as server, connect(server.uri, max_queue=None) as ws:
        session = await server.accepted()
        session.text(*map(str, range(count)))
        await wait_queued(ws, count)
        ticker = Ticker()
        while ticker.progress < count:
            await ws.recv()
            ticker.progress += 1
        assert ticker.stop() <= 65
        session.close()


async def test_flood_of_sends_leaves_turns(websockets_server: ServerProcess) -> None:
    count = 2000
    async with connect(websockets_server.uri(), max_queue=None) as ws:
        ticker = Ticker()
        while ticker.progress < count:
            await ws.send("x")
            ticker.progress += 1
        assert ticker.stop() <= 65


async def test_timers_fire_during_a_flood_from_a_server(
    any_server: ServerProcess, loop_factory: object
) -> None:
    async with connect(any_server.uri("/burst?n=10000&size=500"), max_queue=None) as ws:
        loop = asyncio.get_running_loop()
        fired = received = 0
        fired_at: list[int] = []

        def fire() -> None:
            nonlocal fired
            fired += 1
            fired_at.append(received)
            loop.call_later(0, fire)

        loop.call_later(0, fire)
        async for _ in ws:
            received += 1
            if received == 10_000:
                break
        during = [mark for mark in fired_at if 0 < mark < 10_000]
        assert len(set(during)) >= 10_000 // 1000


async def test_steps_that_take_long_leave_turns(loop_factory: object) -> None:
    # Twenty tasks are due in one batch, each of which takes longer than a turn may.
    async with ScriptedServer() as server:
        connections, sessions = await open_several(server, 20)
        ticker = Ticker()

        async def work(ws: ClientConnection) -> None:
            await ws.recv()
            time.sleep(0.002)
            ticker.progress += 1

        tasks = [asyncio.create_task(work(ws)) for ws in connections]
        await asyncio.sleep(0)
        for session in sessions:
            session.text("go")
        await asyncio.gather(*tasks)
        assert ticker.stop() <= 2
        await end(connections, sessions)


async def test_callbacks_that_take_long_leave_turns(loop_factory: object) -> None:
    count = 30
    done = asyncio.Event()

    def message(ws: object, text: object) -> None:
        time.sleep(0.002)
        ticker.progress += 1
        if ticker.progress == count:
            done.set()

    async with ScriptedServer() as server, connect(server.uri, on_message=message):
        session = await server.accepted()
        ticker = Ticker()
        session.text(*map(str, range(count)))
        await done.wait()
        assert ticker.stop() <= 2
        session.close()


async def test_ticker_sees_a_task_that_gives_no_turn() -> None:
    ticker = Ticker()
    await asyncio.sleep(0)
    for _ in range(1000):
        ticker.progress += 1
    await asyncio.sleep(0)
    assert ticker.stop() == 1000


async def test_flood_of_one_connection_does_not_starve_the_others(loop_factory: object) -> None:
    async with ScriptedServer() as server:
        connections, sessions = await open_several(server, 2, max_queue=None)
        flooded, quiet = connections
        stop = asyncio.Event()

        async def flood() -> None:
            while not stop.is_set():
                sessions[0].text(*["x" * 1000] * 200)
                await asyncio.sleep(0)

        async def drain() -> None:
            while not stop.is_set():
                await flooded.recv()

        tasks = [asyncio.create_task(flood()), asyncio.create_task(drain())]
        for number in range(20):
            sessions[1].text(str(number))
            assert await quiet.recv() == str(number)
        stop.set()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        sessions[0].drop()
        await flooded.wait_closed()
        await end([quiet], sessions[1:])


# What a step may do


@pytest.mark.parametrize("way", ["close", "abort", "cancel", "forget", "drop the server's end"])
async def test_step_ends_the_other_connection(way: str, loop_factory: object) -> None:
    # Both have a message in one batch; whoever is stepped first ends the other.
    for _ in range(5):
        async with ScriptedServer() as server:
            connections, sessions = await open_several(server, 2)
            tasks: list[asyncio.Task[None]] = []
            stepped: list[int] = []
            closing: list[asyncio.Task[None]] = []

            async def receive(
                number: int,
                connections: list[ClientConnection] = connections,
                sessions: list[Session] = sessions,
                tasks: list[asyncio.Task[None]] = tasks,
                stepped: list[int] = stepped,
                closing: list[asyncio.Task[None]] = closing,
            ) -> None:
                ws = connections[number]
                assert await ws.recv() == "message"
                stepped.append(number)
                other = connections[1 - number]
                if way == "close":
                    closing.append(asyncio.create_task(other.close()))
                    await asyncio.sleep(0)
                elif way == "abort":
                    other._abort()
                elif way == "cancel":
                    tasks[1 - number].cancel()
                elif way == "forget":
                    tasks[1 - number].cancel()
                    connections[1 - number] = ws
                    del other
                    gc.collect()
                else:
                    sessions[1 - number].drop()

            tasks += [asyncio.create_task(receive(number)) for number in range(2)]
            await asyncio.sleep(0)
            for session in sessions:
                session.text("message")
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert stepped
            for outcome in outcomes:
                assert outcome is None or isinstance(
                    outcome, (asyncio.CancelledError, ConnectionClosed)
                )
            for session in sessions:
                session.drop()
            for ws in connections:
                await ws.wait_closed()
            await asyncio.gather(*closing)


async def test_step_opens_and_closes_connections(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()

        async def nest() -> str | bytes:
            await ws.recv()
            async with connect(server.uri) as inner:
                inner_session = await server.accepted()
                inner_session.text("inner")
                message = await inner.recv()
                inner_session.close()
            return message

        task = asyncio.create_task(nest())
        await asyncio.sleep(0)
        session.text("go")
        assert await task == "inner"
        session.close()


async def test_step_wakes_other_tasks(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri, max_queue=None) as ws:
        session = await server.accepted()
        queue: asyncio.Queue[str | bytes] = asyncio.Queue()
        done = asyncio.Event()

        async def pump() -> None:
            async for message in ws:
                queue.put_nowait(message)
                if message == "99":
                    done.set()

        async def consume() -> list[str | bytes]:
            return [await queue.get() for _ in range(100)]

        pumping = asyncio.create_task(pump())
        consuming = asyncio.create_task(consume())
        await asyncio.sleep(0)
        session.text(*map(str, range(100)))
        await done.wait()
        assert await consuming == [str(number) for number in range(100)]
        session.close()
        await pumping


async def test_exception_in_a_step_reaches_its_task_alone(loop_factory: object) -> None:
    async with ScriptedServer() as server:
        connections, sessions = await open_several(server, 5)

        async def receive(number: int) -> str | bytes:
            message = await connections[number].recv()
            if number % 2:
                raise ZeroDivisionError(message)
            return message

        tasks = [asyncio.create_task(receive(number)) for number in range(5)]
        await asyncio.sleep(0)
        for session in sessions:
            session.text("message")
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [outcome == "message" for outcome in outcomes] == [True, False] * 2 + [True]
        assert isinstance(outcomes[1], ZeroDivisionError)
        await end(connections, sessions)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_exception_that_ends_the_program(kind: type[BaseException], loop_factory: Any) -> None:
    received: list[int] = []

    async def receive(number: int, ws: ClientConnection) -> None:
        await ws.recv()
        received.append(number)
        if len(received) == 2:
            raise kind

    async def main() -> None:
        async with ScriptedServer() as server:
            connections, sessions = await open_several(server, 4)
            try:
                tasks = [
                    asyncio.create_task(receive(*numbered)) for numbered in enumerate(connections)
                ]
                await asyncio.sleep(0)
                for session in sessions:
                    session.text("message")
                await asyncio.wait(tasks)
            finally:
                for session in sessions:
                    session.drop()
                for ws in connections:
                    await ws.wait_closed()

    with pytest.raises(kind), asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
    # What the others were told is not lost with the one that raised.
    assert len(received) >= 2


def test_stopping_the_loop_in_a_step() -> None:
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    received: list[str | bytes] = []

    async def receive(ws: ClientConnection) -> None:
        received.append(await ws.recv())
        loop.stop()
        received.append(await ws.recv())

    async def start() -> tuple[ScriptedServer, ClientConnection, Session, Any]:
        server = await ScriptedServer().__aenter__()
        ws = await connect(server.uri)
        session = await server.accepted()
        task = asyncio.create_task(receive(ws))
        await asyncio.sleep(0)
        return server, ws, session, task

    async def finish(server: ScriptedServer, ws: ClientConnection, session: Session) -> None:
        session.close()
        await ws.wait_closed()
        await server.__aexit__(None, None, None)

    server, ws, session, task = loop.run_until_complete(start())
    loop.call_soon(session.text, "one", "two")
    loop.run_forever()
    assert received  # it was stopped by the step
    loop.run_until_complete(task)
    loop.run_until_complete(finish(server, ws, session))
    loop.close()
    assert received == ["one", "two"]


async def test_exception_in_on_message_closes_with_1011(loop_factory: object) -> None:
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))
    seen: list[object] = []

    def message(ws: object, text: object) -> None:
        seen.append(text)
        raise ZeroDivisionError("in the callback")

    async with ScriptedServer() as server, connect(server.uri, on_message=message) as ws:
        session = await server.accepted()
        session.text("one", "two")
        assert await session.read() == (8, b"\x03\xf3")
        session.close(1011)
        await ws.wait_closed()
    assert seen == ["one"]
    assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError]


async def test_recv_with_on_message_is_refused(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri, on_message=print) as ws:
        session = await server.accepted()
        with pytest.raises(RuntimeError, match="on_message"):
            await ws.recv()
        session.close()


async def test_callback_closes_other_connections(loop_factory: object) -> None:
    async with ScriptedServer() as server:
        connections: list[ClientConnection] = []
        called: list[int] = []

        def message(ws: ClientConnection, text: object) -> None:
            called.append(connections.index(ws))
            for other in connections:
                if other is not ws:
                    other._abort()

        opened, sessions = await open_several(server, 3, on_message=message)
        connections += opened
        for session in sessions:
            session.text("message")
        while not called:
            await asyncio.sleep(0.001)
        for session in sessions:
            session.drop()
        for ws in connections:
            await ws.wait_closed()
        assert called


# References


async def test_closed_connections_are_let_go(any_server: ServerProcess) -> None:
    references = []
    for _ in range(3):
        async with connect(any_server.uri()) as ws:
            receiving = asyncio.create_task(ws.recv())
            await ws.send("x")
            assert await receiving == "x"
        references.append(weakref.ref(ws))
        del ws, receiving
    await asyncio.sleep(0)
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


async def test_open_connection_nobody_refers_to_is_kept(loop_factory: object) -> None:
    # Its task waits, and only the connection leads to the task.
    async with ScriptedServer() as server:
        received: list[str | bytes] = []
        ended = asyncio.Event()

        async def work() -> None:
            ws = await connect(server.uri)
            try:
                received.append(await ws.recv())
                await ws.recv()
            except ConnectionClosedError:
                ended.set()

        reference = weakref.ref(asyncio.create_task(work()))
        session = await server.accepted()
        for _ in range(3):
            gc.collect()
            await asyncio.sleep(0)
        assert reference() is not None
        session.text("still here")
        while not received:
            await asyncio.sleep(0.001)
        session.drop()
        await ended.wait()
