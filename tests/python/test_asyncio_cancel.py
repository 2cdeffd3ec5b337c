"""Cancelling what waits on a connection: nothing is lost, nothing stays behind."""

from __future__ import annotations

import asyncio
import random

import pytest

from aiows import AioWebSocket, ClientConnection, connect
from scripted import PING, ScriptedServer, Session
from streams import stream_server


async def pair(server: ScriptedServer) -> tuple[ClientConnection, Session]:
    connection = await connect(server.uri)
    return connection, await server.accepted()


async def settle() -> None:
    """Let tasks run up to where they wait for the network."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_cancelled_recv_leaves_the_next_message(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        task = asyncio.create_task(ws.recv())
        await settle()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("enough",)
        session.text("one", "two")
        assert await ws.recv() == "one"
        assert await ws.recv() == "two"
        session.close()


async def test_recv_cancelled_before_its_first_step(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        task = asyncio.create_task(ws.recv())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        session.text("one")
        assert await ws.recv() == "one"
        session.close()


async def test_recv_cancelled_when_a_message_is_there_already(loop_factory: object) -> None:
    # Both messages come in one batch. Whichever task runs first cancels the
    # other, whose message is in the queue and whose wake-up is due.
    async with ScriptedServer() as server:
        connections = [await pair(server) for _ in range(2)]
        tasks: list[asyncio.Task[object]] = []
        outcomes: list[str] = []

        async def receive(number: int) -> None:
            try:
                outcomes.append(f"{number} {await connections[number][0].recv()}")
            except asyncio.CancelledError:
                outcomes.append(f"{number} cancelled")
                raise
            tasks[1 - number].cancel()

        for _ in range(20):
            tasks[:] = [asyncio.create_task(receive(number)) for number in range(2)]
            await settle()
            outcomes.clear()
            for _, session in connections:
                session.text("message")
            await asyncio.wait(tasks)
            assert sorted(outcome.split()[1] for outcome in outcomes) == ["cancelled", "message"]
            cancelled = next(number for number in range(2) if tasks[number].cancelled())
            assert await connections[cancelled][0].recv() == "message"
            assert [ws.queued for ws, _ in connections] == [0, 0]
        for ws, session in connections:
            session.close()
            await ws.wait_closed()


@pytest.mark.parametrize("way", ["wait_for", "timeout", "wait"])
async def test_timeouts_lose_nothing(way: str, loop_factory: object) -> None:
    count = 300
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        delays = random.Random(way)
        timeouts = 0

        async def send() -> None:
            for number in range(count):
                session.text(str(number))
                if delays.random() < 0.5:
                    await asyncio.sleep(delays.random() / 500)
                while number > 10 * timeouts:
                    await asyncio.sleep(0.001)

        async def receive() -> str | bytes:
            limit = delays.random() / 1000
            if way == "wait_for":
                return await asyncio.wait_for(ws.recv(), limit)
            if way == "timeout":
                async with asyncio.timeout(limit):
                    return await ws.recv()
            task = asyncio.create_task(ws.recv())
            done, _ = await asyncio.wait([task], timeout=limit)
            if not done:
                task.cancel()
                try:
                    return await task
                except asyncio.CancelledError:
                    raise TimeoutError from None
            return await task

        sending = asyncio.create_task(send())
        received: list[str | bytes] = []
        while len(received) < count:
            try:
                received.append(await receive())
            except TimeoutError:
                timeouts += 1
        assert received == [str(number) for number in range(count)]
        assert timeouts >= (count - 1) // 10
        await sending
        session.close()


async def test_wait_for_with_no_time_takes_what_is_there(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.001)
        session.text("one", "two")
        while ws.queued < 2:
            await asyncio.sleep(0.001)
        assert await asyncio.wait_for(ws.recv(), 60) == "one"
        async with asyncio.timeout(None):
            assert await ws.recv() == "two"
        session.close()


async def test_read_timeout_of_aiowebsocket_leaves_it_usable(loop_factory: object) -> None:
    async with (
        ScriptedServer() as server,
        AioWebSocket(server.uri, read_timeout=0.01) as aws,
    ):
        session = await server.accepted()
        assert aws.manipulator is not None
        for message in ("one", "two"):
            with pytest.raises(TimeoutError):
                await aws.manipulator.receive()
            session.text(message)
            while not aws.manipulator.get_queue_size:
                await asyncio.sleep(0.001)
            assert await aws.manipulator.receive() == message.encode()
        session.close()


async def test_cancelled_async_for_leaves_the_next_message(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        seen: list[str | bytes] = []

        async def iterate() -> None:
            async for message in ws:
                seen.append(message)

        task = asyncio.create_task(iterate())
        session.text("one")
        while not seen:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        session.text("two")
        async for message in ws:
            assert message == "two"
            break
        assert seen == ["one"]
        session.close()


async def test_task_that_swallows_the_cancellation_goes_on(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        cancellations = 0

        async def stubborn() -> str | bytes:
            nonlocal cancellations
            while True:
                try:
                    return await ws.recv()
                except asyncio.CancelledError:
                    cancellations += 1

        task = asyncio.create_task(stubborn())
        for _ in range(5):
            await settle()
            task.cancel()
        await settle()
        session.text("finally")
        assert await task == "finally"
        assert cancellations == 5
        session.close()


async def test_cancelled_send_goes_out_all_the_same(loop_factory: object) -> None:
    big = bytes(16 << 20)  # more than the kernel takes
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        session.pause()  # so that send has to wait
        task = asyncio.create_task(ws.send(big))
        await settle()
        assert not task.done()
        assert ws.buffered
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        session.resume()
        after = asyncio.create_task(ws.send("after"))
        assert await session.read() == (2, big)
        assert await session.read() == (1, b"after")
        await after
        session.close()


async def test_cancelled_wait_for_a_pong(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        pong = await ws.ping(b"abc")
        assert await session.read() == (PING, b"abc")
        assert isinstance(pong, asyncio.Future)
        pong.cancel()
        session.pong(b"abc")
        session.text("after")
        assert await ws.recv() == "after"
        session.close()


async def test_cancelled_close_closes_all_the_same(loop_factory: object) -> None:
    async with ScriptedServer() as server, connect(server.uri) as ws:
        session = await server.accepted()
        task = asyncio.create_task(ws.close(1001, "bye"))
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await session.read() == (8, b"\x03\xe9bye")
        session.close(1001)
        await ws.wait_closed()
        assert ws.close_code == 1001


async def test_cancelled_opening_leaves_nothing(loop_factory: object) -> None:
    accepted: asyncio.Queue[None] = asyncio.Queue()
    ended: asyncio.Queue[bytes] = asyncio.Queue()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait(None)
        ended.put_nowait(await reader.read())
        writer.close()

    async with stream_server(silent) as (host, port):
        uri = f"ws://{host}:{port}/"

        async def open_it() -> None:
            await connect(uri)

        task = asyncio.create_task(open_it())
        await accepted.get()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await ended.get())[:6] in (b"", b"GET / ")

        async def expire(limit: asyncio.Timeout) -> None:
            await accepted.get()
            limit.reschedule(asyncio.get_running_loop().time())

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                expiring = asyncio.create_task(expire(limit))
                async with connect(uri):
                    pass
        await expiring
        assert (await ended.get())[:6] in (b"", b"GET / ")


async def test_cancelled_from_another_connection_many_times(loop_factory: object) -> None:
    # The first of two to receive wins, the other is cancelled: a race in every turn.
    count = 200
    async with ScriptedServer() as server:
        (first, first_session), (second, second_session) = [await pair(server) for _ in range(2)]
        received: dict[str, list[int]] = {"first": [], "second": []}

        async def feed(session: Session, seed: int) -> None:
            delays = random.Random(seed)
            for number in range(count):
                session.text(str(number))
                if delays.random() < 0.7:
                    await asyncio.sleep(0 if delays.random() < 0.5 else 0.0005)

        feeding = asyncio.gather(feed(first_session, 1), feed(second_session, 2))
        while any(len(numbers) < count for numbers in received.values()):
            tasks = {
                asyncio.create_task(ws.recv(), name=name)
                for name, ws in (("first", first), ("second", second))
                if len(received[name]) < count
            }
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            waiting = [task for task in tasks if not task.done()]
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            for task in tasks:
                if not task.cancelled():
                    received[task.get_name()].append(int(task.result()))
        await feeding
        assert received == {"first": list(range(count)), "second": list(range(count))}
        for ws, session in ((first, first_session), (second, second_session)):
            session.close()
            await ws.wait_closed()
