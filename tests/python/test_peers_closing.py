"""Pings, closing, losing and crowding of connections with servers that others wrote."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any
from urllib.parse import quote

import pytest
from servers.fixtures import LIBRARIES, Certificates, tls_process
from servers.launch import ServerProcess

from aiows import (
    AioWebSocket,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    State,
    connect,
    create_default_context,
)
from styles import (
    AIOWEBSOCKET_RECEIVE,
    CONNECT_ON_MESSAGE,
    CONNECT_RECV,
    STYLES,
    Style,
    closed_exception,
)

# What goes over the wire is the core's, with any Python.
pytestmark = pytest.mark.once

styles = pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)


@pytest.fixture
def options(peer_server: ServerProcess, certificates: Certificates) -> dict[str, Any]:
    if not peer_server.secure:
        return {}
    return {"ssl": create_default_context(cafile=certificates.ca)}


async def seen_closing(
    server: ServerProcess, target: str, options: dict[str, Any]
) -> tuple[int, str]:
    """Return close code and reason that the server saw, once target has ended there."""
    while True:
        async with connect(server.uri("/closes"), **options) as ws:
            for path, code, reason in json.loads(await ws.recv()):
                if path == target:
                    return code, reason
        await asyncio.sleep(0.01)


# Pings


@styles
async def test_ping_from_the_server_is_answered(
    style: Style, peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    for data in ("", "abc", "x" * 125):
        # The server compares the payload of the Pong before it says so.
        async with style.open(peer_server.uri(f"/ping?data={data}"), **options) as exchange:
            assert await exchange.receive() == style.of("pong")
            await exchange.send("after")
            assert await exchange.receive() == style.of("after")


async def test_ping_is_answered_though_nobody_receives(
    peer_server: ServerProcess, options: dict[str, Any]
) -> None:
    async with connect(peer_server.uri("/ping?data=abc"), **options) as ws:
        while not ws.queued:
            await asyncio.sleep(0.001)
        assert await ws.recv() == "pong"


@styles
async def test_ping_to_the_server(
    style: Style, peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    async with style.open(peer_server.uri(), **options) as exchange:
        connection = exchange.connection
        assert connection.latency == 0
        for data in (None, b"", "abc", b"x" * 125):
            latency = await (await connection.ping(data))
            assert latency > 0
            assert connection.latency == latency
        waiting = [await connection.ping() for _ in range(20)]
        assert all(latency > 0 for latency in await asyncio.gather(*waiting))
        await connection.pong(b"unasked")
        await exchange.send("after")
        assert await exchange.receive() == style.of("after")


async def test_keepalive(peer_server: ServerProcess, options: dict[str, Any]) -> None:
    async with connect(peer_server.uri(), ping_interval=0.01, ping_timeout=60, **options) as ws:
        while not ws.latency:
            await asyncio.sleep(0.001)
        first = ws.latency
        while ws.latency == first:
            await asyncio.sleep(0.001)
        await ws.send("after")
        assert await ws.recv() == "after"


# Closing


@styles
async def test_close_from_the_server(
    style: Style, peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    for code, reason in ((1000, ""), (1001, "bye é"), (1011, "trouble"), (4001, "own")):
        uri = peer_server.uri(f"/close?code={code}&reason={quote(reason)}")
        async with style.open(uri, **options) as exchange:
            await exchange.send("close, please")
            error = await closed_exception(exchange)
            clean = code in (1000, 1001)
            assert isinstance(error, ConnectionClosedOK if clean else ConnectionClosedError)
            assert isinstance(error, asyncio.IncompleteReadError) == (style.text is bytes)
            assert (error.code, error.reason) == (code, reason)
            assert error.rcvd_then_sent is True
            connection = exchange.connection
            await connection.wait_closed()
            assert connection.state is State.CLOSED
            assert (connection.close_code, connection.close_reason) == (code, reason)


@styles
async def test_close_without_a_code_from_the_server(
    style: Style, peer_server: ServerProcess, options: dict[str, Any]
) -> None:
    async with style.open(peer_server.uri("/close?code=1005"), **options) as exchange:
        await exchange.send("close, please")
        error = await closed_exception(exchange)
        assert isinstance(error, ConnectionClosedOK)
        assert (error.code, error.reason) == (1005, "")


@styles
async def test_close_from_here(
    style: Style, peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    for code, reason in ((1000, ""), (1001, "bye é"), (4999, "r" * 123)):
        target = f"/echo?{uuid.uuid4()}"
        async with style.open(peer_server.uri(target), **options) as exchange:
            await exchange.connection.close(code, reason)
            assert exchange.connection.state is State.CLOSED
            error = await closed_exception(exchange)
            assert error.sent is not None
            assert (error.sent.code, error.sent.reason) == (code, reason)
            assert error.rcvd is not None
            assert error.rcvd_then_sent is False
        seen_code, seen_reason = await seen_closing(peer_server, target, options)
        assert seen_code == code
        if peer_server.name != "aiohttp_server":  # which does not keep the reason
            assert seen_reason == reason


@styles
async def test_leaving_closes_with_1000(
    style: Style, peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    target = f"/echo?{uuid.uuid4()}"
    async with style.open(peer_server.uri(target), **options) as exchange:
        await exchange.send("x")
    assert exchange.connection.state is State.CLOSED
    assert (await seen_closing(peer_server, target, options))[0] == 1000


@styles
async def test_leaving_on_an_exception_closes_with_1011(
    style: Style, peer_server: ServerProcess, options: dict[str, Any]
) -> None:
    target = f"/echo?{uuid.uuid4()}"
    with pytest.raises(ZeroDivisionError):
        async with style.open(peer_server.uri(target), **options):
            raise ZeroDivisionError
    assert (await seen_closing(peer_server, target, options))[0] == 1011


async def test_messages_before_the_close_are_received(
    peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    uri = peer_server.uri("/burst?n=500&size=1000")
    async with connect(uri, max_queue=None, **options) as ws:
        await ws.recv()
        # Ours goes out while theirs are on the way; all of them still come.
        closing = asyncio.create_task(ws.close())
        received = [message async for message in ws]
        await closing
    numbers = [int.from_bytes(message[:4], "big") for message in received]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) == 499


@styles
async def test_everything_sent_arrives_before_the_close(
    style: Style, peer_server: ServerProcess, options: dict[str, Any]
) -> None:
    # A large message is still on its way when the connection is closed.
    target = f"/echo?{uuid.uuid4()}"
    async with style.open(peer_server.uri(target), **options) as exchange:
        sending = asyncio.ensure_future(exchange.send(bytes(1 << 20)))
        await asyncio.sleep(0)
        await exchange.connection.close()
        await asyncio.gather(sending, return_exceptions=True)
    assert (await seen_closing(peer_server, target, options))[0] == 1000


# Losing


@styles
async def test_connection_dropped(
    style: Style, peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    async with style.open(peer_server.uri("/drop"), **options) as exchange:
        await exchange.send("drop it, please")
        error = await closed_exception(exchange)
        assert isinstance(error, ConnectionClosedError)
        assert (error.code, error.rcvd, error.sent) == (1006, None, None)
        with pytest.raises(ConnectionClosedError):
            await exchange.send("too late")


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("library", LIBRARIES)
async def test_server_killed(
    library: str, secure: bool, certificates: Certificates, loop_factory: object
) -> None:
    context = create_default_context(cafile=certificates.ca) if secure else None
    server = tls_process(library, certificates) if secure else ServerProcess(library)
    with server:
        async with (
            CONNECT_RECV.open(server.uri(), ssl=context) as receiving,
            CONNECT_ON_MESSAGE.open(server.uri(), ssl=context) as calling,
            AIOWEBSOCKET_RECEIVE.open(server.uri(), ssl=context) as conversing,
            connect(server.uri(), ssl=context) as iterating,
            connect(server.uri(), ssl=context) as waiting,
        ):
            exchanges = receiving, calling, conversing
            for exchange in exchanges:
                await exchange.send(b"before")
                assert await exchange.receive() == b"before"
            pong = await waiting.ping()
            assert await pong > 0
            ends = [asyncio.create_task(closed_exception(exchange)) for exchange in exchanges]
            iteration = asyncio.create_task(iterating.__aiter__().__anext__())
            closed = asyncio.create_task(waiting.wait_closed())
            await asyncio.sleep(0)
            server.kill()
            for error in await asyncio.gather(*ends):
                assert isinstance(error, ConnectionClosedError)
                assert error.code == 1006
                assert error.rcvd is None
            with pytest.raises(ConnectionClosedError):
                await iteration
            await closed
            assert waiting.close_code == 1006
            with pytest.raises(ConnectionClosedError):
                await receiving.send("too late")
        # Nothing listens there any more.
        with pytest.raises(OSError):
            await connect(server.uri(), ssl=context)


# Crowding


async def test_two_hundred_at_once(
    peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    count = 200
    everyone = asyncio.Barrier(count)

    async def visit(number: int) -> None:
        async with connect(peer_server.uri(), open_timeout=60, **options) as ws:
            await everyone.wait()
            for turn in range(5):
                message = f"{number} {turn}"
                await ws.send(message)
                assert await ws.recv() == message

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(visit(number))


async def test_two_hundred_callbacks_at_once(
    peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    count, turns = 200, 5
    done = asyncio.get_running_loop().create_future()
    finished = 0

    def message(ws: Any, text: str) -> None:
        nonlocal finished
        number, turn = map(int, text.split())
        assert numbers[ws] == number
        if turn + 1 < turns:
            ws.send_nowait(f"{number} {turn + 1}")
            return
        finished += 1
        if finished == count:
            done.set_result(None)

    async def open_one() -> Any:
        return await connect(peer_server.uri(), on_message=message, open_timeout=60, **options)

    connections = await asyncio.gather(*(open_one() for _ in range(count)))
    numbers = {ws: number for number, ws in enumerate(connections)}
    for ws, number in numbers.items():
        ws.send_nowait(f"{number} 0")
    await done
    await asyncio.gather(*(ws.close() for ws in connections))
    assert {ws.close_code for ws in connections} == {1000}


async def test_aiowebsockets_at_once(peer_server: ServerProcess, options: dict[str, Any]) -> None:
    async def visit(number: int) -> bytes:
        async with AioWebSocket(peer_server.uri(), **options) as aws:
            assert aws.manipulator is not None
            await aws.manipulator.send(f"{number}")
            return await aws.manipulator.receive()

    echoed = await asyncio.gather(*map(visit, range(50)))
    assert echoed == [b"%d" % number for number in range(50)]


async def test_closed_exceptions_are_fresh(peer_server: ServerProcess, options: Any) -> None:
    async with connect(peer_server.uri(), **options) as ws:
        await ws.close()
        raised = []
        for _ in range(2):
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
            raised.append(caught.value)
    assert raised[0] is not raised[1]
