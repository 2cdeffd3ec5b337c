"""Where a server listens, when it starts and ends, and what its handlers end with."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import websockets
from servers.fixtures import Certificates
from websockets.asyncio.client import connect as their_connect
from websockets.asyncio.client import unix_connect

from aiows import Server, ServerConnection, SSLContext, serve, unix_serve

LOGGER = logging.getLogger("tests.server")


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def works(host: str, port: int, **options: Any) -> None:
    async with their_connect(f"ws://{host}:{port}/", proxy=None, **options) as ws:
        await ws.send("x")
        assert await ws.recv() == "x"


@contextlib.asynccontextmanager
async def silent_client(server: Server, frames: bytes = b"") -> AsyncIterator[asyncio.StreamReader]:
    """Connect, send frames, and answer nothing."""
    # The limit: no more than that and a socket's buffer is taken from the server.
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 16)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" + frames
    )
    await reader.readuntil(b"\r\n\r\n")
    yield reader
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_several_hosts_share_a_port(loop_factory: Any) -> None:
    async with serve(echo, ["127.0.0.1", "127.0.0.2"], 0) as server:
        assert [found.getsockname() for found in server.sockets] == [
            ("127.0.0.1", server.port),
            ("127.0.0.2", server.port),
        ]
        for host in ("127.0.0.1", "127.0.0.2"):
            await works(host, server.port)
        assert isinstance(server.sockets[0], socket.socket)


async def test_names_are_resolved_by_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    asked = []

    async def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    async with serve(echo, ["127.0.0.1", "some.name"]) as server:
        assert asked == ["some.name"] and len(server.sockets) == 1
        await works("127.0.0.1", server.port)


async def test_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(socket.gaierror, match=re.escape("'some.name'")):
        await serve(echo, "some.name")


async def test_sock(loop_factory: Any) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    async with serve(echo, sock=sock) as server:
        assert server.sockets == (sock,)
        await works("127.0.0.1", server.port)
    assert sock.fileno() == -1
    with pytest.raises(ValueError, match="closed"):
        await serve(echo, sock=sock)


async def test_unix(tmp_path: Path, loop_factory: Any) -> None:
    path = tmp_path / "socket"
    seen: list[Any] = []

    async def handler(connection: ServerConnection) -> None:
        seen.extend([connection.local_address, connection.remote_address])
        await echo(connection)

    for _ in range(2):  # also over the file that a server of before left
        async with unix_serve(handler, path) as server:
            async with unix_connect(str(path)) as ws:
                await ws.send("x")
                assert await ws.recv() == "x"
            assert server.port == 0 and seen == [str(path), ""]
        assert not path.exists()
        seen.clear()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))


async def test_unix_sock_and_abstract_names(tmp_path: Path) -> None:
    name = f"\0aiows-tests-{tmp_path}"
    seen: list[Any] = []

    async def handler(connection: ServerConnection) -> None:
        seen.append(connection.local_address)

    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(name)
        async with unix_serve(handler, sock=sock):
            async with unix_connect(name) as ws:
                await ws.wait_closed()
    async with unix_serve(handler, name):
        async with unix_connect(name) as ws:
            await ws.wait_closed()
    assert seen == [name.encode()] * 2


async def test_file_that_is_no_socket(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(OSError, match="file"):
        await unix_serve(echo, path)
    assert path.read_text() == "x"


async def test_start_serving(loop_factory: Any) -> None:
    server = await serve(echo, "127.0.0.1", start_serving=False)
    assert not server.is_serving() and server.port
    with pytest.raises(ConnectionRefusedError):
        await works("127.0.0.1", server.port)
    await server.start_serving()
    await server.start_serving()
    assert server.is_serving()
    await works("127.0.0.1", server.port)
    server.close()
    await server.wait_closed()
    with pytest.raises(RuntimeError, match="closed"):
        await server.start_serving()
    await server.serve_forever()


async def test_serve_forever_starts(loop_factory: Any) -> None:
    server = await serve(echo, "127.0.0.1", start_serving=False)
    task = asyncio.create_task(server.serve_forever())
    while not server.is_serving():
        await asyncio.sleep(0)
    await works("127.0.0.1", server.port)
    server.close()
    await task


async def test_close_before_serving() -> None:
    async with serve(echo, "127.0.0.1", start_serving=False) as server:
        pass
    assert server.sockets == () and not server.is_serving()


async def test_awaiting_again_returns_the_same_server(loop_factory: Any) -> None:
    opener = serve(echo, "127.0.0.1")
    first, other = await asyncio.gather(opener, opener)
    assert first is other
    async with opener as entered:
        assert entered is first and await opener is first
        await works("127.0.0.1", first.port)
    assert not first.is_serving()
    async with opener as second:
        assert second is not first
        await works("127.0.0.1", second.port)
    third = await opener
    third.close()
    fourth = await opener
    assert fourth is not third and fourth.is_serving()
    fourth.close()
    await asyncio.gather(third.wait_closed(), fourth.wait_closed())


def test_serve_object_outlives_its_loop() -> None:
    opener = serve(echo, "127.0.0.1")

    async def use() -> Server:
        server = await opener
        await works("127.0.0.1", server.port)
        server.close()
        await server.wait_closed()
        return server

    assert asyncio.run(use()) is not asyncio.run(use())


async def test_callbacks_without_a_handler(loop_factory: Any) -> None:
    ended = asyncio.Event()

    def on_message(connection: ServerConnection, message: str | bytes) -> None:
        connection.send_nowait(message)

    async with serve(
        None, "127.0.0.1", on_message=on_message, on_close=lambda connection: ended.set()
    ) as server:
        await works("127.0.0.1", server.port)
        await ended.wait()
        assert not server._handlers and not server._connections


@pytest.mark.parametrize("kind", ["plain", "partial", "future"])
async def test_handler_that_is_no_coroutine_function(kind: str) -> None:
    def plain(connection: ServerConnection) -> Any:
        return echo(connection)

    def future(connection: ServerConnection) -> Any:
        return asyncio.ensure_future(echo(connection))

    handler: Callable[..., Any] = {"plain": plain, "future": future}.get(kind, echo)
    async with serve(handler, "127.0.0.1") as server:
        assert server.handler is handler
        await works("127.0.0.1", server.port)


async def test_failure_is_logged_once(caplog: pytest.LogCaptureFixture, loop_factory: Any) -> None:
    found: list[ServerConnection] = []

    async def handler(connection: ServerConnection) -> None:
        found.append(connection)
        raise ZeroDivisionError

    async with serve(handler, "127.0.0.1", logger=LOGGER) as server:
        async with their_connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as ws:
            await ws.wait_closed()
            assert ws.close_code == 1011
    (record,) = [record for record in caplog.records if record.levelno > logging.INFO]
    assert record.message == "connection handler failed" and record.name == LOGGER.name
    assert record.websocket.id == found[0].id  # type: ignore[attr-defined]


async def test_handler_that_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(connection: ServerConnection) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await connection.recv()

    async with serve(handler, "127.0.0.1") as server:
        async with their_connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as ws:
            await ws.wait_closed()
            assert ws.close_code == 1001
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_what_is_logged_of_a_server(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER.name)
    async with serve(echo, "127.0.0.1", logger=LOGGER) as server:
        assert server.logger is LOGGER
        port = server.port
    assert [record.message for record in caplog.records if record.name == LOGGER.name] == [
        f"server listening on ('127.0.0.1', {port})",
        "server closing",
        "server closed",
    ]


async def test_pings_and_timeouts_reach_connections() -> None:
    pinged = asyncio.Event()

    class Client(websockets.ClientConnection):
        def process_event(self, event: Any) -> None:
            if getattr(event, "opcode", None) == websockets.frames.Opcode.PING:
                pinged.set()
            super().process_event(event)

    async with serve(echo, "127.0.0.1", ping_interval=0.01, ping_timeout=None) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        async with their_connect(uri, proxy=None, create_connection=Client):
            await pinged.wait()


async def test_missing_pong_ends_a_connection() -> None:
    ended = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()
        ended.set()

    async with (
        serve(handler, "127.0.0.1", ping_interval=0.01, ping_timeout=0.01) as server,
        silent_client(server) as reader,
    ):
        assert await reader.readexactly(2) == b"\x89\x08"
        await reader.readexactly(8)
        rest = await reader.read()
        assert rest.endswith(b"\x88\x18\x03\xf3keepalive ping timeout")
        await ended.wait()


@pytest.mark.parametrize(("limit", "waits"), [(10_000, True), (1 << 20, False)])
async def test_write_limit_reaches_connections(limit: int, waits: bool) -> None:
    waited = asyncio.get_running_loop().create_future()

    async def handler(connection: ServerConnection) -> None:
        while connection.buffered <= 10_000:
            connection.send_nowait(bytes(1 << 16))
        sending = asyncio.create_task(connection.send(b"x"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waited.set_result(not sending.done())
        connection._abort()
        await asyncio.wait([sending])
        sending.exception()

    async with serve(handler, "127.0.0.1", write_limit=limit) as server, silent_client(server):
        assert await waited is waits


async def test_backlog_reaches_the_kernel() -> None:
    for backlog in (3, 40):
        async with serve(echo, "127.0.0.1", backlog=backlog) as server:
            (listening,) = server.sockets
            # Of a listening socket tcpi_sacked is the backlog (tcp(7)).
            info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            assert struct.unpack_from("=I", info, 28) == (backlog,)


async def test_max_queue_and_close_timeout_reach_connections() -> None:
    paused = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        while not connection.paused:
            await asyncio.sleep(0.001)
        paused.set()
        # The client does not answer our Close: the time set ends it.
        await connection.close()

    async with serve(handler, "127.0.0.1", max_queue=1, close_timeout=0.01) as server:
        async with silent_client(server, b"\x81\x80\x00\x00\x00\x00" * 4) as reader:
            await paused.wait()
            assert (await reader.read())[:1] == b"\x88"


async def test_tls_on_a_sock(certificates: Certificates) -> None:
    context = SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert, certificates.key)
    trusting = ssl.create_default_context(cafile=str(certificates.ca))
    seen: list[Any] = []

    async def process_request(connection: ServerConnection, request: Any) -> None:
        seen.append(request.path)

    sock = socket.create_server(("127.0.0.1", 0))
    async with serve(echo, sock=sock, ssl=context, process_request=process_request) as server:
        async with their_connect(
            f"wss://localhost:{server.port}/a", sock=None, host="127.0.0.1", ssl=trusting
        ) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"
    assert seen == ["/a"]


async def coroutine_function(*args: object) -> None:
    pass


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"handler": None}, TypeError, "handler"),
        ({"handler": 1}, TypeError, "handler"),
        ({"host": 1}, TypeError, "host"),
        ({"host": b"h"}, TypeError, "host"),
        ({"host": []}, ValueError, "host"),
        ({"host": "a\0b"}, ValueError, "host"),
        ({"port": "1"}, TypeError, "port"),
        ({"port": True}, TypeError, "port"),
        ({"port": 65536}, ValueError, "port = 65536"),
        ({"origins": "https://a"}, TypeError, "origins"),
        ({"origins": [1]}, TypeError, "origins"),
        ({"origins": [re.compile(b"a")]}, TypeError, "origins"),
        ({"subprotocols": "a"}, TypeError, "subprotocols"),
        ({"subprotocols": ["a b"]}, ValueError, "subprotocol"),
        ({"select_subprotocol": 1}, TypeError, "select_subprotocol"),
        ({"select_subprotocol": coroutine_function}, TypeError, "select_subprotocol"),
        ({"compression": "gzip"}, ValueError, "compression"),
        ({"process_request": 1}, TypeError, "process_request"),
        ({"process_response": 1}, TypeError, "process_response"),
        ({"server_header": 1}, TypeError, "server_header"),
        ({"server_header": "a\nb"}, ValueError, "server_header"),
        ({"open_timeout": -1}, ValueError, "open_timeout"),
        ({"ping_interval": 0}, ValueError, "ping_interval"),
        ({"ping_timeout": "1"}, TypeError, "ping_timeout"),
        ({"close_timeout": -1}, ValueError, "close_timeout"),
        ({"max_size": 0}, ValueError, "max_size"),
        ({"max_queue": 0}, ValueError, "max_queue"),
        ({"write_limit": -1}, ValueError, "write_limit"),
        ({"logger": "x"}, TypeError, "logger"),
        ({"create_connection": 1}, TypeError, "create_connection"),
        ({"create_connection": int}, TypeError, "create_connection"),
        ({"ssl": True}, TypeError, "ssl"),
        ({"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, TypeError, "plain ssl.SSLContext"),
        ({"ssl": SSLContext(ssl.PROTOCOL_TLS_SERVER)}, ValueError, "load_cert_chain"),
        ({"ssl": SSLContext(ssl.PROTOCOL_TLS_CLIENT)}, ValueError, "client's context"),
        ({"sock": 1}, TypeError, "sock"),
        ({"backlog": 0}, ValueError, "backlog"),
        ({"backlog": "1"}, TypeError, "backlog"),
        ({"reuse_port": 1}, TypeError, "reuse_port"),
        ({"start_serving": None}, TypeError, "start_serving"),
        ({"on_message": coroutine_function}, TypeError, "on_message"),
        ({"on_close": 1}, TypeError, "on_close"),
        ({"extensions": 5}, TypeError, "extensions"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], error: type[Exception], text: str) -> None:
    arguments = {"handler": echo, **options}
    with pytest.raises(error, match=text):
        serve(arguments.pop("handler"), **arguments)


def test_wrong_sockets() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(ValueError, match="stream socket"):
            serve(echo, sock=sock)
    with socket.socket() as sock:
        for options in ({"host": "h"}, {"port": 0}, {"reuse_port": True}):
            with pytest.raises(ValueError, match="cannot be combined"):
                serve(echo, sock=sock, **options)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="expected a Unix socket"):
            unix_serve(echo, sock=sock)
    for options in ({}, {"path": "p", "host": "h"}):
        with pytest.raises((TypeError, ValueError)):
            unix_serve(echo, **options)  # type: ignore[arg-type]


def test_server_left_open_at_the_end_of_its_loop() -> None:
    async def main() -> Server:
        return await serve(echo, "127.0.0.1")

    server = asyncio.run(main())
    assert server.sockets[0].fileno() >= 0
    server._stop_listening()
