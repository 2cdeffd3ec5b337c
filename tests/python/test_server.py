"""serve, with clients that others wrote and our own."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import socket
import ssl
from typing import Any

import aiohttp
import pytest
import websockets
from servers.fixtures import Certificates
from websockets.asyncio.client import connect as their_connect

from aiows import (
    ConnectionClosedError,
    InvalidMessage,
    InvalidStatus,
    Server,
    ServerConnection,
    SSLContext,
    State,
    connect,
    serve,
)


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def uri_of(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}/path?query"


async def test_echo() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        async with their_connect(uri_of(server)) as theirs, connect(uri_of(server)) as ours:
            for message in ("", "é", b"\xff", bytes(100_000)):
                await theirs.send(message)
                assert await theirs.recv() == message
                await ours.send(message)
                assert await ours.recv() == message
        async with aiohttp.ClientSession() as session, session.ws_connect(uri_of(server)) as ws:
            await ws.send_str("a")
            assert await ws.receive_str() == "a"


async def test_connection_attributes() -> None:
    seen: list[Any] = []

    async def handler(connection: ServerConnection) -> None:
        seen.append(connection)
        await connection.send("x")

    async with serve(handler, "127.0.0.1", 0, server_header="tests") as server:
        async with connect(uri_of(server), additional_headers={"X-A": "1"}) as ws:
            assert await ws.recv() == "x"
            assert ws.response is not None and ws.response.headers["Server"] == "tests"
            (connection,) = seen
            assert connection.server is server
            assert connection.request.path == "/path?query"
            assert connection.request.headers["x-a"] == "1"
            assert connection.response.status_code == 101
            assert connection.remote_address == ws.local_address
            assert connection.local_address == ws.remote_address == ("127.0.0.1", server.port)
            assert connection.subprotocol is None
            await ws.wait_closed()
            assert ws.close_code == 1000


async def test_no_server_header() -> None:
    async with serve(echo, "127.0.0.1", 0, server_header=None) as server:
        async with connect(uri_of(server)) as ws:
            assert ws.response is not None and "Server" not in ws.response.headers


async def test_handler_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(connection: ServerConnection) -> None:
        raise ZeroDivisionError

    async with serve(handler, "127.0.0.1", 0, logger=logging.getLogger("mine")) as server:
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            async with their_connect(uri_of(server)) as ws:
                await ws.recv()
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1011
    (record,) = [found for found in caplog.records if found.name == "mine"]
    assert record.message == "connection handler failed"
    assert record.exc_info is not None and record.exc_info[0] is ZeroDivisionError


async def test_client_that_leaves_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    done = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        try:
            await connection.recv()
        finally:
            done.set()

    async with serve(handler, "127.0.0.1", 0, logger=logging.getLogger("mine")) as server:
        ws = await connect(uri_of(server))
        ws._abort()
        await done.wait()
        await ws.wait_closed()
    assert not [found for found in caplog.records if found.levelno > logging.INFO]


async def test_close() -> None:
    cancelled = []

    async def handler(connection: ServerConnection) -> None:
        try:
            await connection.recv()
        except ConnectionClosedError:
            cancelled.append("error")
            raise
        except Exception as error:
            cancelled.append(type(error).__name__)

    server = await serve(handler, "127.0.0.1", 0)
    assert server.is_serving() and server.get_loop() is asyncio.get_running_loop()
    ws = await connect(uri_of(server))
    theirs = await their_connect(uri_of(server))
    while len(server.connections) < 2:
        await asyncio.sleep(0.001)
    server.close()
    server.close()
    assert not server.is_serving() and server.sockets == ()
    await asyncio.gather(server.wait_closed(), ws.wait_closed(), theirs.wait_closed())
    assert ws.close_code == theirs.close_code == 1001
    assert cancelled == ["ConnectionClosedOK"] * 2
    with pytest.raises(OSError):
        await connect(uri_of(server))


async def test_close_with_a_code() -> None:
    server = await serve(echo, "127.0.0.1", 0)
    ws = await connect(uri_of(server))
    server.close(code=1012, reason="restart")
    await server.wait_closed()
    await ws.wait_closed()
    assert (ws.close_code, ws.close_reason) == (1012, "restart")


async def test_close_that_leaves_connections() -> None:
    server = await serve(echo, "127.0.0.1", 0)
    ws = await connect(uri_of(server))
    server.close(close_connections=False)
    await ws.send("still here")
    assert await ws.recv() == "still here"
    await ws.close()
    await server.wait_closed()


async def test_serve_forever() -> None:
    server = await serve(echo, "127.0.0.1", 0)
    task = asyncio.create_task(server.serve_forever())
    ws = await connect(uri_of(server))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ws.wait_closed()
    assert ws.close_code == 1001


async def test_handlers_are_waited_for() -> None:
    steps = []

    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()
        await asyncio.sleep(0.05)
        steps.append("handler done")

    async with serve(handler, "127.0.0.1", 0) as server:
        ws = await connect(uri_of(server))
    steps.append("server closed")
    assert steps == ["handler done", "server closed"]
    await ws.wait_closed()


async def test_connection_made_while_closing() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        openings = [asyncio.create_task(connect(uri_of(server))._open()) for _ in range(20)]
        await asyncio.sleep(0.001)
    for result in await asyncio.gather(*openings, return_exceptions=True):
        if isinstance(result, BaseException):
            assert isinstance(result, (OSError, InvalidStatus, InvalidMessage))
        else:
            await result.wait_closed()
            assert result.state is State.CLOSED


async def test_sockets() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        assert server.sockets[0].getsockname() == ("127.0.0.1", server.port)
        assert str(server.port) in repr(server.sockets[0])
    if socket.has_ipv6:
        try:
            six = await serve(echo, "::1", 0)
        except OSError:
            return
        assert six.sockets[0].getsockname() == ("::1", six.port, 0, 0)
        async with connect(f"ws://[::1]:{six.port}/") as ws:
            assert ws.remote_address == ("::1", six.port, 0, 0)
        six.close()
        await six.wait_closed()


async def test_every_address() -> None:
    async with serve(echo) as server:
        hosts = [found.getsockname()[0] for found in server.sockets]
        assert hosts == ["0.0.0.0", "::"]
        async with connect(f"ws://127.0.0.1:{server.port}/") as ws:
            await ws.send("x")
            assert await ws.recv() == "x"


async def test_port_in_use() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        with pytest.raises(OSError) as caught:
            await serve(echo, "127.0.0.1", server.port)
        assert caught.value.errno is not None
        async with connect(uri_of(server)) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"


async def test_reuse_port() -> None:
    async with serve(echo, "127.0.0.1", 0, reuse_port=True) as server:
        async with serve(echo, "127.0.0.1", server.port, reuse_port=True) as second:
            assert second.port == server.port


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["b", "a"], "a"), (["c", "b"], "b"), (["a"], "a")]
)
async def test_subprotocols(offered: list[str], chosen: str) -> None:
    async with serve(echo, "127.0.0.1", 0, subprotocols=["a", "b"]) as server:
        async with connect(uri_of(server), subprotocols=offered) as ws:
            assert ws.subprotocol == chosen


@pytest.mark.parametrize("offered", [[], ["c"]])
async def test_no_common_subprotocol(offered: list[str]) -> None:
    async with serve(echo, "127.0.0.1", 0, subprotocols=["a", "b"]) as server:
        with pytest.raises(InvalidStatus) as caught:
            await connect(uri_of(server), subprotocols=offered)
        assert caught.value.response.status_code == 400
        assert b"a, b" in caught.value.response.body


async def test_options_reach_connections() -> None:
    async with serve(echo, "127.0.0.1", 0, max_size=10) as server:
        async with connect(uri_of(server)) as ws:
            await ws.send(bytes(11))
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
            assert caught.value.rcvd is not None and caught.value.rcvd.code == 1009


async def test_context_of_handlers() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    variable.set(1)
    seen = []

    async def handler(connection: ServerConnection) -> None:
        seen.append(variable.get())
        variable.set(variable.get() + 1)

    async with serve(handler, "127.0.0.1", 0) as server:
        variable.set(100)
        for _ in range(2):
            async with connect(uri_of(server)) as ws:
                await ws.wait_closed()
    assert seen == [1, 1]


async def test_entered_twice() -> None:
    opener = serve(echo, "127.0.0.1", 0)
    async with opener:
        with pytest.raises(RuntimeError, match="in use"):
            await opener.__aenter__()
    async with opener:
        pass


async def test_plain_http_is_refused() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{server.port}/") as response:
                assert response.status in (400, 426)


async def test_tls(certificates: Certificates) -> None:
    context = SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert, certificates.key)
    async with serve(echo, "127.0.0.1", 0, ssl=context) as server:
        client_context = ssl.create_default_context(cafile=str(certificates.ca))
        uri = f"wss://localhost:{server.port}/"
        async with their_connect(uri, ssl=client_context) as ws:
            for message in ("x", bytes(1 << 19)):
                await ws.send(message)
                assert await ws.recv() == message


async def test_two_hundred_clients() -> None:
    async def client(uri: str, index: int) -> None:
        async with their_connect(uri, open_timeout=60) as ws:
            await ws.send(str(index))
            assert await ws.recv() == str(index)

    async with serve(echo, "127.0.0.1", 0, open_timeout=60) as server:
        await asyncio.gather(*(client(uri_of(server), index) for index in range(200)))
        assert len(server._handlers) <= 200
