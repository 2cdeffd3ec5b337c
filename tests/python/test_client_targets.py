"""connect: where it connects instead of the URI's host and port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import websockets.asyncio.server as peer
from servers.fixtures import Certificates, server_context
from servers.launch import ServerProcess
from websockets.http11 import Request, Response

from aiows import ClientConnection, InvalidStatus, connect, create_default_context, unix_connect

URI = "ws://example.test/path"


async def handle(connection: peer.ServerConnection) -> None:
    """Tell what this server sees of the client, then echo."""
    assert connection.request is not None
    await connection.send(f"{connection.request.headers['Host']} {connection.remote_address}")
    async for message in connection:
        await connection.send(message)


def refuse(connection: peer.ServerConnection, request: Request) -> Response | None:
    if request.path == "/refuse":
        return connection.respond(404, "none")
    if request.path == "/redirect":
        response = connection.respond(302, "")
        response.headers["Location"] = "/elsewhere"
        return response
    return None


@contextlib.asynccontextmanager
async def tcp_server(**options: Any) -> AsyncIterator[tuple[str, int]]:
    async with peer.serve(handle, "127.0.0.1", 0, process_request=refuse, **options) as server:
        yield server.sockets[0].getsockname()


async def stream(kind: str, address: Any) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return sock


async def check(connection: ClientConnection, host: str) -> str:
    """Return what the server sees of us, having proved that messages go both ways."""
    seen = await connection.recv()
    assert isinstance(seen, str)
    name, _, address = seen.partition(" ")
    assert name == host
    await connection.send("x" * 100_000)
    assert await connection.recv() == "x" * 100_000
    return address


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_sock(kind: str, tmp_path: Path, loop_factory: Any) -> None:
    path = str(tmp_path / "socket")
    async with tcp_server() as tcp, peer.unix_serve(handle, path, process_request=refuse):
        address = path if kind == "unix" else tcp
        sock = await stream(kind, address)
        mine = sock.getsockname()
        client = connect(URI, sock=sock)
        async with client as ws:
            assert sock.fileno() == -1
            await check(ws, "example.test")
            assert (ws.local_address, ws.remote_address) == (mine, address)
        with pytest.raises(ValueError, match="each connection needs a socket of its own"):
            await client
        for target in ("/refuse", "/redirect"):
            sock = await stream(kind, address)
            with pytest.raises(InvalidStatus if target == "/refuse" else ValueError) as caught:
                await connect(f"ws://example.test{target}", sock=sock)
            assert sock.fileno() == -1
        assert "over a given socket" in str(caught.value)
        assert isinstance(caught.value.__cause__, InvalidStatus)


async def test_sock_that_is_not_connected() -> None:
    sock = socket.socket()
    with pytest.raises(ValueError, match="expected a socket that is connected"):
        await connect(URI, sock=sock)
    assert sock.fileno() == -1


async def test_sock_of_a_cancelled_opening() -> None:
    theirs, ours = socket.socketpair()
    with theirs:
        theirs.setblocking(False)
        task = asyncio.ensure_future(connect(URI, sock=ours, open_timeout=None)._open())
        head = await asyncio.get_running_loop().sock_recv(theirs, 4096)
        assert head.startswith(b"GET /path HTTP/1.1\r\nHost: example.test\r\n")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ours.fileno() == -1
        assert await asyncio.get_running_loop().sock_recv(theirs, 1) == b""


async def test_sock_with_tls(certificates: Certificates) -> None:
    trust = create_default_context(cafile=str(certificates.ca))
    async with tcp_server(ssl=server_context(certificates)) as address:
        sock = await stream("tcp", address)
        async with connect("wss://localhost/", sock=sock, ssl=trust) as ws:
            await check(ws, "localhost")


@pytest.mark.parametrize("form", ["str", "Path", "bytes", "@ in a file's name", "abstract"])
async def test_unix(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path: Any = tmp_path / "a:1"
    expected: Any = str(path)
    match form:
        case "str":
            path = str(path)
        case "bytes":
            path = os.fsencode(path)
        case "@ in a file's name":
            path, expected = "@socket", None  # what is bound here looks like an abstract name
        case "abstract":
            path = f"\0aiows-{tmp_path}"
            expected = path.encode()
    async with peer.unix_serve(handle, path):
        async with unix_connect(path) as ws:
            await check(ws, "localhost")
            assert ws.local_address == ""
            assert ws.remote_address == expected or expected is None
        async with unix_connect(path, "ws://user:x@name.test:81/p?q") as ws:
            await check(ws, "name.test:81")
            assert ws.request is not None and ws.request.path == "/p?q"


async def test_unix_with_tls(certificates: Certificates, tmp_path: Path) -> None:
    trust = create_default_context(cafile=str(certificates.ca))
    async with peer.unix_serve(handle, str(tmp_path / "socket"), ssl=server_context(certificates)):
        async with unix_connect(tmp_path / "socket", ssl=trust) as ws:
            await check(ws, "localhost")


async def test_unix_failures(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'unix socket ".*/none"'):
        await unix_connect(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(ConnectionRefusedError):
        await unix_connect(tmp_path / "file")
    with pytest.raises(OSError, match=r"path of 3.. octets, expected at most 107"):
        await unix_connect(f"{tmp_path}/{'x' * 300}")


async def from_a_port(uri: str, address: str, given: str | None) -> ClientConnection:
    """Connect from a port that is free, or was: the tests beside this one take some, too."""
    for _ in range(20):
        with socket.socket() as unused:
            unused.bind((address, 0))
            port = unused.getsockname()[1]
        with contextlib.suppress(OSError):
            ws = await connect(uri, local_addr=(given, port))
            assert ws.local_address == (address, port)
            return ws
    raise AssertionError("no port stays free")


async def test_local_addr() -> None:
    async with tcp_server() as (host, server_port):
        uri = f"ws://{host}:{server_port}/"
        for opening in (
            from_a_port(uri, "127.0.0.3", "127.0.0.3"),
            from_a_port(uri, "127.0.0.1", None),
            connect(uri, local_addr=("localhost", 0)),
        ):
            async with await opening as ws:
                assert await check(ws, f"{host}:{server_port}") == str(ws.local_address)
        assert ws.local_address[0] == "127.0.0.1"
        with pytest.raises(OSError, match=r"no local address of the family of 127\.0\.0\.1"):
            await connect(uri, local_addr=("::1", 0))
        with pytest.raises(OSError, match="cannot assign requested address"):
            await connect(uri, local_addr=("192.0.2.1", 0))


async def test_family_of_an_address() -> None:
    async with tcp_server() as (host, port):
        async with connect(f"ws://{host}:{port}/", family=socket.AF_INET) as ws:
            await check(ws, f"{host}:{port}")
        with pytest.raises(socket.gaierror, match="no address of IPv6"):
            await connect(f"ws://{host}:{port}/", family=socket.AF_INET6)


async def test_host_and_port_leave_the_host_field_alone() -> None:
    async with tcp_server() as (host, port):
        async with connect(URI, host=host, port=port) as ws:
            await check(ws, "example.test")
        async with connect(f"ws://{host}:1/", port=port) as ws:
            await check(ws, f"{host}:1")


async def test_all_errors() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"ws://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(ExceptionGroup, match="create_connection failed") as caught:
            await connect(uri, all_errors=True)
        (error,) = caught.value.exceptions
        assert type(error) is ConnectionRefusedError
        with pytest.raises(ConnectionRefusedError):
            await connect(uri)


async def test_tls_handshake_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"wss://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(ConnectionAbortedError, match="timed out after 50ms"):
            await connect(uri, ssl_handshake_timeout=0.05, open_timeout=None)
        with pytest.raises(TimeoutError):
            await connect(uri, open_timeout=0.05)


@pytest.mark.parametrize("make", [create_default_context, ssl.create_default_context])
async def test_tls_shutdown_timeout(
    raw_tls_server: ServerProcess, certificates: Certificates, make: Callable[..., Any]
) -> None:
    trust = make(cafile=str(certificates.ca))
    uri = raw_tls_server.uri("/close-open")
    ws = await connect(uri, ssl=trust, close_timeout=None, ssl_shutdown_timeout=0.05)
    await asyncio.wait_for(ws.wait_closed(), 20)
    assert ws.close_code == 1001


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"proto": 0}, TypeError, "proto is not supported"),
        ({"flags": 0}, TypeError, "flags is not supported"),
        ({"protocol_factory": None}, TypeError, "unexpected keyword argument 'protocol_factory'"),
        ({"sock": 5}, TypeError, "sock must be a socket, got 5"),
        ({"host": "h", "sock": ...}, ValueError, "host cannot be combined with sock"),
        ({"port": 1, "sock": ...}, ValueError, "port cannot be combined with sock"),
        ({"local_addr": ("h", 1), "sock": ...}, ValueError, "local_addr cannot be combined"),
        ({"family": socket.AF_INET, "sock": ...}, ValueError, "family cannot be combined"),
        ({"interleave": 1, "sock": ...}, ValueError, "interleave cannot be combined"),
        ({"happy_eyeballs_delay": 1, "sock": ...}, ValueError, "delay cannot be combined"),
        ({"all_errors": True, "sock": ...}, ValueError, "all_errors cannot be combined"),
        ({"unix": True, "sock": ..., "path": "p"}, ValueError, "path cannot be combined with sock"),
        ({"unix": True, "sock": ...}, ValueError, "expected a Unix socket"),
        ({"unix": True}, ValueError, "unix = True needs path or sock"),
        ({"unix": True, "path": "p", "host": "h"}, ValueError, "host cannot be combined with unix"),
        ({"unix": True, "path": ""}, ValueError, "path is empty"),
        ({"unix": True, "path": "a\0b"}, ValueError, "null character"),
        ({"unix": True, "path": b"\xff"}, ValueError, "expected UTF-8"),
        ({"unix": True, "path": 5}, TypeError, "path must be a path"),
        ({"unix": 1, "path": "p"}, TypeError, "unix must be bool"),
        ({"path": "p"}, ValueError, "path needs unix = True"),
        ({"local_addr": "h"}, TypeError, "local_addr must be .host, port."),
        ({"local_addr": (5, 5)}, TypeError, "local_addr must be"),
        ({"local_addr": ("h", 65536)}, ValueError, "65536, expected 0 to 65535"),
        ({"family": "4"}, TypeError, "family must be int"),
        ({"family": socket.AF_UNIX}, ValueError, "expected AF_UNSPEC, AF_INET or AF_INET6"),
        ({"happy_eyeballs_delay": -1}, ValueError, "happy_eyeballs_delay = -1"),
        ({"interleave": -1}, ValueError, "interleave = -1"),
        ({"all_errors": 1}, TypeError, "all_errors must be bool"),
        ({"max_redirects": -1}, ValueError, "max_redirects = -1"),
        ({"ssl_handshake_timeout": 1}, ValueError, "ssl_handshake_timeout needs a wss:// URI"),
        ({"ssl_shutdown_timeout": 1}, ValueError, "ssl_shutdown_timeout needs a wss:// URI"),
        ({"uri": "wss://h/", "ssl_handshake_timeout": 0}, ValueError, "expected a positive"),
        (
            {"uri": ["ws://a/", "ws://b/"], "sock": ...},
            ValueError,
            "sock cannot be combined with 2",
        ),
    ],
)
def test_refusals(options: dict[str, Any], kind: type[Exception], text: str) -> None:
    with socket.socket() as sock, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        given = {name: sock if value is ... else value for name, value in options.items()}
        with pytest.raises(kind, match=text):
            connect(**{"uri": "ws://127.0.0.1:9/"} | given)
        with pytest.raises(ValueError, match="expected a stream socket"):
            connect(URI, sock=datagrams)
        assert sock.fileno() >= 0  # still the caller's


async def test_blocking_clients_have_them_too(tmp_path: Path) -> None:
    from aiows.sync import connect as blocking

    def exchange(**options: Any) -> Any:
        with blocking("ws://example.test/", proxy=None, **options) as ws:
            seen = ws.recv()
            assert isinstance(seen, str) and seen.startswith("example.test ")
            return ws.remote_address

    path = str(tmp_path / "socket")
    async with tcp_server() as tcp, peer.unix_serve(handle, path):
        for kind, address in (("tcp", tcp), ("unix", path)):
            sock = await stream(kind, address)
            sock.setblocking(True)
            assert await asyncio.to_thread(exchange, sock=sock) == address
            assert sock.fileno() == -1
        assert await asyncio.to_thread(exchange, unix=True, path=path) == path
