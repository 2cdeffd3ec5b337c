"""connect: the ways in which a connection ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from servers.launch import ServerProcess

from aiows import (
    Close,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    PayloadTooBig,
    ProtocolError,
    State,
    WriteLimitExceeded,
    connect,
)
from scripted import BINARY, PING, TEXT, ScriptedServer, Session, frame


async def last_close(server: ServerProcess, path: str) -> tuple[int, str]:
    async with asyncio.timeout(60):
        while True:
            async with connect(server.uri("/closes")) as ws:
                for target, code, reason in reversed(json.loads(await ws.recv())):
                    if target == path:
                        return code, reason
            await asyncio.sleep(0.01)


async def test_close_from_here(any_server: ServerProcess) -> None:
    path = f"/echo?{os.urandom(4).hex()}"
    ws = await connect(any_server.uri(path))
    await ws.close(4001, "had enough é")
    assert ws.state is State.CLOSED
    with pytest.raises(ConnectionClosedError) as caught:
        await ws.recv()
    assert caught.value.sent == Close(4001, "had enough é")
    assert caught.value.rcvd is not None and caught.value.rcvd.code == ws.close_code
    assert caught.value.rcvd_then_sent is False
    code, reason = await last_close(any_server, path)
    assert code == 4001 and reason in ("had enough é", "")


async def test_default_close(any_server: ServerProcess) -> None:
    path = f"/echo?{os.urandom(4).hex()}"
    async with connect(any_server.uri(path)) as ws:
        pass
    assert ws.close_code == 1000
    assert (await last_close(any_server, path))[0] == 1000


async def test_leaving_on_an_exception(any_server: ServerProcess) -> None:
    path = f"/echo?{os.urandom(4).hex()}"
    with pytest.raises(ZeroDivisionError):
        async with connect(any_server.uri(path)):
            raise ZeroDivisionError
    assert (await last_close(any_server, path))[0] == 1011


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
async def test_close_from_there(any_server: ServerProcess, code: int) -> None:
    ws = await connect(any_server.uri(f"/close?code={code}&reason=bye"))
    await ws.send("close, please")
    kind = ConnectionClosedOK if code in (1000, 1001) else ConnectionClosedError
    with pytest.raises(kind) as caught:
        await ws.recv()
    assert caught.value.rcvd == Close(code, "bye")
    assert caught.value.sent is not None and caught.value.sent.code == code
    assert caught.value.rcvd_then_sent is True
    assert (ws.close_code, ws.close_reason) == (code, "bye")
    assert (caught.value.code, caught.value.reason) == (code, "bye")


async def test_close_without_a_code(any_server: ServerProcess) -> None:
    ws = await connect(any_server.uri("/close?code=1005"))
    await ws.send("close, please")
    with pytest.raises(ConnectionClosedOK) as caught:
        await ws.recv()
    assert caught.value.rcvd == Close(1005, "")
    assert ws.close_code == 1005 and ws.close_reason == ""
    await ws.wait_closed()


async def test_dropped(any_server: ServerProcess) -> None:
    ws = await connect(any_server.uri("/drop"))
    await ws.send("drop, please")
    with pytest.raises(ConnectionClosedError, match="without a close handshake") as caught:
        await ws.recv()
    assert caught.value.rcvd is None and caught.value.sent is None
    assert ws.close_code == 1006 and ws.close_reason == ""
    with pytest.raises(ConnectionClosedError):
        await ws.send("x")


async def test_nothing_is_sent_after_an_abort(loop_factory: Any) -> None:
    async with ScriptedServer() as server:
        ws = await connect(server.uri, compression=None)
        session = await server.accepted()
        await ws.send("before")
        ws._abort()
        closing = asyncio.create_task(ws.close())
        with pytest.raises(ConnectionClosedError):
            await ws.send("after")
        assert await session.read() == (TEXT, b"before")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)) as caught:
            await session.read()
        assert getattr(caught.value, "partial", b"") == b""
        await closing
        assert ws.close_code == 1006


async def test_server_killed() -> None:
    with ServerProcess("websockets_server") as server:
        async with connect(server.uri()) as ws:
            waiting = asyncio.create_task(ws.recv())
            await ws.send("x")
            await waiting
            waiting = asyncio.create_task(ws.recv())
            await asyncio.sleep(0)
            server.kill()
            with pytest.raises(ConnectionClosedError):
                await waiting
        assert ws.close_code == 1006


async def test_messages_before_the_close_are_received(websockets_server: ServerProcess) -> None:
    ws = await connect(websockets_server.uri("/burst?n=10&size=8"))
    while ws.queued < 10:
        await asyncio.sleep(0.001)
    await ws.close()
    received = []
    with pytest.raises(ConnectionClosedOK):
        while True:
            received.append(await ws.recv())
    assert len(received) == 10


async def test_close_wakes_a_receiver(websockets_server: ServerProcess) -> None:
    ws = await connect(websockets_server.uri())
    waiting = asyncio.create_task(ws.recv())
    await asyncio.sleep(0)
    await ws.close()
    with pytest.raises(ConnectionClosedOK):
        await waiting


async def test_close_timeout(raw_server: ServerProcess) -> None:
    ws = await connect(raw_server.uri("/deaf"), close_timeout=0.1)
    await ws.close()
    assert ws.state is State.CLOSED and ws.close_code == 1006
    with pytest.raises(ConnectionClosedError, match=r"sent close 1000 .*, received none"):
        await ws.recv()


async def test_close_timeout_of_nothing(raw_server: ServerProcess) -> None:
    async with connect(raw_server.uri("/deaf"), close_timeout=0) as ws:
        pass
    assert ws.close_code == 1006


async def closed_beside(uri: str, how: str) -> None:
    messages = 0

    def on_message(ws: Any, message: Any) -> None:
        nonlocal messages
        messages += 1

    ws = await connect(
        uri,
        close_timeout=0.5,
        max_size=2**26,
        ping_interval=None,
        compression=None,
        on_message=on_message if how == "callback" else None,
    )
    receiver = None
    if how == "backlog":
        with pytest.raises(WriteLimitExceeded):
            while True:
                ws.send_nowait(bytes(2**20))
    elif how == "receiving":

        async def receive() -> None:
            async for _ in ws:
                pass

        receiver = asyncio.create_task(receive())
    await asyncio.sleep(0.1)  # the flood begins
    async with asyncio.timeout(30):
        await ws.close()
    assert ws.state is State.CLOSED and ws.buffered == 0
    with pytest.raises(ConnectionClosed):
        await receiver if receiver is not None else await ws.send("x")


@pytest.mark.once
async def test_close_is_bounded_whatever_the_peer_does(raw_server: ServerProcess) -> None:
    """It floods, never reads, or both, and here nobody reads, or somebody does."""
    async with asyncio.TaskGroup() as tasks:
        for peer in ("flood?messages", "flood?pings", "flood?fragments", "flood?slow", "stall"):
            for how in ("idle", "receiving", "callback", "backlog"):
                tasks.create_task(closed_beside(raw_server.uri(f"/{peer}"), how), name=peer + how)


async def test_cancelled_close_goes_on(raw_server: ServerProcess) -> None:
    ws = await connect(raw_server.uri("/deaf"), close_timeout=1)
    states = []

    async def close() -> None:
        try:
            await ws.close()
        finally:
            states.append(ws.state)

    task = asyncio.create_task(close())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert states == [State.CLOSING]
    with pytest.raises(ConnectionClosedError, match="1000"):
        await ws.send("x")
    await ws.wait_closed()
    assert ws.state is State.CLOSED


async def test_concurrent_closes(websockets_server: ServerProcess) -> None:
    ws = await connect(websockets_server.uri())
    await asyncio.gather(ws.close(4000, "first"), ws.close(4001), ws.wait_closed())
    with pytest.raises(ConnectionClosedError) as caught:
        await ws.recv()
    assert caught.value.sent == Close(4000, "first")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2000, 5000, -1])
async def test_codes_that_may_not_be_sent(websockets_server: ServerProcess, code: int) -> None:
    async with connect(websockets_server.uri()) as ws:
        with pytest.raises(ProtocolError, match=str(code)):
            await ws.close(code)
        assert ws.state is State.OPEN


async def test_reason_and_types(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        with pytest.raises(ProtocolError, match="124 bytes"):
            await ws.close(1000, "é" * 62)
        with pytest.raises(TypeError, match="code"):
            await ws.close("1000")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="reason"):
            await ws.close(1000, b"bye")  # type: ignore[arg-type]
        assert ws.close_code is None and ws.close_reason is None


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/reserved-bits", 1002),
        ("/masked", 1002),
        ("/reserved-opcode", 1002),
        ("/fragmented-ping", 1002),
        ("/lone-continuation", 1002),
        ("/bad-close-code", 1002),
        ("/one-byte-close", 1002),
        ("/bad-utf8", 1007),
    ],
)
async def test_broken_protocol(raw_server: ServerProcess, path: str, code: int) -> None:
    ws = await connect(raw_server.uri(path), close_timeout=0.2)
    with pytest.raises(ConnectionClosedError) as caught:
        await ws.recv()
    assert caught.value.sent is not None and caught.value.sent.code == code
    assert isinstance(caught.value.__cause__, ProtocolError)
    assert "RFC" in str(caught.value.__cause__)
    await ws.wait_closed()


async def test_message_over_the_limit(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri(), max_size=1000) as ws:
        await ws.send(bytes(1000))
        assert len(await ws.recv()) == 1000
        await ws.send(bytes(1001))
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
    assert caught.value.sent is not None and caught.value.sent.code == 1009
    cause = caught.value.__cause__
    assert isinstance(cause, PayloadTooBig) and cause.max_size == 1000


async def test_keepalive_finds_a_dead_peer(raw_server: ServerProcess) -> None:
    ws = await connect(
        raw_server.uri("/deaf"), ping_interval=0.05, ping_timeout=0.1, close_timeout=0.1
    )
    with pytest.raises(ConnectionClosedError) as caught:
        await ws.recv()
    assert caught.value.sent is not None and caught.value.sent.code == 1011
    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_frozen_server_is_no_reason_to_wait(raw_server: ServerProcess) -> None:
    with ServerProcess("websockets_server") as server:
        ws = await connect(server.uri(), close_timeout=0.2)
        os.kill(server.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, server.pid, os.WSTOPPED)
        try:
            await ws.close()
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert ws.close_code == 1006


async def test_fresh_exception_each_time(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        pass
    seen = []
    for _ in range(2):
        with pytest.raises(ConnectionClosedOK) as caught:
            await ws.recv()
        seen.append(caught.value)
    assert seen[0] is not seen[1]


async def test_destroyed_while_inside(websockets_server: ServerProcess) -> None:
    ws = await connect(websockets_server.uri())

    async def program() -> None:
        async with ws:
            await asyncio.get_running_loop().create_future()

    coroutine = program()
    coroutine.send(None)
    coroutine.close()  # what the interpreter does to a coroutine that nobody runs any more
    await ws.wait_closed()
    assert ws.close_code == 1006


async def flood(session: Session, octets: bytes) -> None:
    while True:
        session.write(octets)
        await session.drain()


MISBEHAVIOUR = {
    "messages": frame(BINARY, bytes(60000)) * 4,
    "small messages": frame(TEXT, b"x") * 20000,
    "pings": frame(PING, b"x") * 5000,
    "an endless message": frame(0, bytes(60000), fin=False) * 4,
    "half a frame": frame(BINARY, bytes(1000))[:500],
    "nothing": b"",
}


@pytest.mark.once
@pytest.mark.parametrize("reading", ["recv", "recv_streaming", "nothing"])
@pytest.mark.parametrize("peer", MISBEHAVIOUR)
async def test_close_ends_whatever_the_peer_does(peer: str, reading: str) -> None:
    # The peer never reads, and never answers; what we send fills every buffer.
    octets = MISBEHAVIOUR[peer]
    async with ScriptedServer() as server:
        ws = await connect(server.uri, close_timeout=0.3, ping_interval=None, max_size=None)
        session = await server.accepted()
        session.write(frame(BINARY, b"begun", fin=peer != "an endless message"))
        session.write(octets)
        flooding = asyncio.create_task(flood(session, octets if "half" not in peer else b""))

        async def read() -> None:
            while reading == "recv":
                await ws.recv()
            while reading == "recv_streaming":
                async for _ in ws.recv_streaming():
                    pass
            await ws.wait_closed()

        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield bytes(1 << 20)

        tasks = [asyncio.create_task(read()), asyncio.create_task(ws.send(bytes(32 << 20)))]
        tasks += [asyncio.create_task(ws.send(parts())), asyncio.create_task(ws.send("queued"))]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(20):
            await ws.close()
        assert ws.state is State.CLOSED
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, ConnectionClosedError)
        flooding.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await flooding


async def test_messages_that_arrive_while_closing() -> None:
    """A receiver that takes its time gets all that the peer sent before its Close."""
    async with ScriptedServer() as server:
        ws = await connect(server.uri, compression=None)
        session = await server.accepted()
        session.text(*map(str, range(100)))
        while not ws.paused:
            await asyncio.sleep(0.001)
        closing = asyncio.create_task(ws.close())
        assert await session.closed() == 1000
        session.text(*map(str, range(100, 300)))
        session.close()
        received = []
        with pytest.raises(ConnectionClosedOK):
            while True:
                received.append(int(await ws.recv()))
                await asyncio.sleep(0)
        await closing
        assert received == list(range(300))


async def test_flood_while_closing_leaves_no_gap() -> None:
    """More than is kept is dropped from there on, also when some is received meanwhile."""
    async with ScriptedServer() as server:
        ws = await connect(server.uri, compression=None, close_timeout=60)
        session = await server.accepted()
        closing = asyncio.create_task(ws.close())
        assert await session.closed() == 1000
        payload, sent, received, most = bytes(8192), 0, [], 0

        async def receive() -> None:
            message = await ws.recv()
            assert isinstance(message, bytes)
            received.append(int.from_bytes(message[:4], "big"))

        while sent < 1600:
            for _ in range(16):
                session.binary(sent.to_bytes(4, "big") + payload)
                sent += 1
            await session.drain()
            most = max(most, ws.queued)
            await receive()
        session.close()
        with pytest.raises(ConnectionClosedOK):
            while True:
                await receive()
        await closing
        assert received == list(range(len(received)))
        assert len(received) < sent and most * len(payload) < 4 << 20
