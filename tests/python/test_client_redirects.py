"""connect: redirects."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import websockets.asyncio.server as peer
from aiohttp import web
from servers.fixtures import Certificates, server_context
from websockets.http11 import Request, Response

from aiows import (
    AioWebSocket,
    ClientConnection,
    InvalidStatus,
    InvalidURI,
    SecurityError,
    connect,
    create_default_context,
    unix_connect,
)
from scripted import ScriptedServer
from streams import stream_server

pytestmark = pytest.mark.once

SECRETS = {"authorization", "cookie", "proxy-authorization"}


async def tell(connection: peer.ServerConnection) -> None:
    """Send what the request was."""
    request = connection.request
    assert request is not None
    await connection.send(json.dumps([request.path, list(request.headers.raw_items())]))


def redirect(connection: peer.ServerConnection, request: Request) -> Response | None:
    """Answer /to?STATUS=LOCATION, and /hops?n=N by a redirect to the one below."""
    parts = urlsplit(request.path)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if parts.path == "/hops" and query["n"] != "0":
        query = {"302": f"/hops?n={int(query['n']) - 1}"}
    elif parts.path != "/to":
        return None
    ((status, location),) = query.items()
    response = connection.respond(404, "go there\n")
    response.status_code = int(status)
    response.headers["Location"] = location
    return response


@contextlib.asynccontextmanager
async def origin(**options: Any) -> AsyncIterator[str]:
    """Run a server that redirects; its address without a scheme."""
    async with peer.serve(tell, "127.0.0.1", 0, process_request=redirect, **options) as server:
        name = "localhost" if "ssl" in options else "127.0.0.1"
        yield f"{name}:{server.sockets[0].getsockname()[1]}"


async def told(connection: ClientConnection) -> tuple[str, list[tuple[str, str]]]:
    path, headers = json.loads(await connection.recv())
    assert connection.request is not None and connection.request.path == path
    return path, [(name, value) for name, value in headers]


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_statuses(status: int) -> None:
    async with origin() as one:
        async with connect(f"ws://{one}/to?{status}=/there%3Fx") as ws:
            assert (await told(ws))[0] == "/there?x"
            assert ws.uri == f"ws://{one}/there?x"
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"ws://{one}/to?{status}=/there", max_redirects=0)
        assert caught.value.response.status_code == status
        assert caught.value.response.headers["Location"] == "/there"
        assert caught.value.response.body == b"go there\n"


@pytest.mark.parametrize("status", [304, 305, 404])
async def test_statuses_that_are_no_redirects(status: int) -> None:
    async with origin() as one:
        with pytest.raises(InvalidStatus):
            await connect(f"ws://{one}/to?{status}=/there")


async def test_limit() -> None:
    async with origin() as one:
        async with connect(f"ws://{one}/hops?n=10") as ws:
            assert (await told(ws))[0] == "/hops?n=0"
        with pytest.raises(SecurityError, match=r'^more than 10 redirects, the last one to "/hops'):
            await connect(f"ws://{one}/hops?n=11")
        async with connect(f"ws://{one}/hops?n=1", max_redirects=1) as ws:
            await told(ws)
        with pytest.raises(SecurityError) as caught:
            await connect(f"ws://{one}/hops?n=2", max_redirects=1)
        assert isinstance(caught.value.__cause__, InvalidStatus)
        assert caught.value.__cause__.response.headers["Location"] == "/hops?n=0"


async def test_secrets_stay_at_their_origin() -> None:
    headers = [
        ("X-First", "1"),
        ("AUTHORIZATION", "Bearer secret"),
        ("Cookie", "a=secret"),
        ("Proxy-Authorization", "Basic secret"),
        ("Host", "own.test"),
        ("X-Last", "2"),
    ]
    async with origin() as one, origin() as other:
        uri = f"ws://{one}/to?302=/to%3F302=/there"
        async with connect(uri, additional_headers=headers) as ws:
            _, seen = await told(ws)
            assert set(headers) <= set(seen)
        # There and back: what was left out stays out.
        uri = f"ws://{one}/to?302=ws://{other}/to%3F302=ws://{one}/there"
        for there in (f"ws://{one}/to?302=ws://{other}/there", uri):
            async with connect(there, additional_headers=headers) as ws:
                _, seen = await told(ws)
                names = {name.lower() for name, _ in seen}
                assert not names & SECRETS
                assert [pair for pair in seen if pair[0].startswith("X-")] == [
                    ("X-First", "1"),
                    ("X-Last", "2"),
                ]
                assert dict(seen)["Host"] == urlsplit(ws.uri).netloc
        for there, sent in (
            ("/there", True),
            (f"ws://{one}/there", True),
            (f"ws://{other}/", False),
        ):
            async with connect(f"ws://user:secret@{one}/to?302={there}") as ws:
                _, seen = await told(ws)
                assert ("Authorization" in dict(seen)) is sent
                assert "secret" not in ws.uri


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_schemes(scheme: str, certificates: Certificates) -> None:
    trust = create_default_context(cafile=str(certificates.ca))
    async with origin() as plain, origin(ssl=server_context(certificates)) as secure:
        async with connect(f"ws://{plain}/to?302={scheme}://{plain}/there") as ws:
            assert ws.uri == f"ws://{plain}/there"
        async with connect(f"wss://{secure}/to?302={scheme}s://{secure}/there", ssl=trust) as ws:
            assert ws.uri == f"wss://{secure}/there"
            await told(ws)
        with pytest.raises(SecurityError, match=rf'^redirect from wss to "ws://{plain}/there"'):
            await connect(f"wss://{secure}/to?302={scheme}://{plain}/there", ssl=trust)


async def test_from_ws_to_wss(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    async with origin() as plain, origin(ssl=server_context(certificates)) as secure:
        uri = f"ws://{plain}/to?302=wss://{secure}/there"
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(uri)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
        async with connect(uri) as ws:
            assert ws.uri == f"wss://{secure}/there"


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("ftp://user:secret@h/", "ftp://h/"),
        ("/there%23fragment", "/there#fragment"),
        ("http:nothing", "http:nothing"),
        ("ws://h:99999/", "ws://h:99999/"),
    ],
)
async def test_locations_that_are_no_uris(location: str, shown: str) -> None:
    async with origin() as one:
        with pytest.raises(InvalidURI) as caught:
            await connect(f"ws://{one}/to?302={location}")
        assert caught.value.uri == shown
        assert "secret" not in str(caught.value)
        assert isinstance(caught.value.__cause__, InvalidStatus)


async def test_given_targets(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    async with origin() as one, peer.unix_serve(tell, path, process_request=redirect):
        port = int(one.partition(":")[2])
        uri = "ws://name.test/to?302=%s"
        async with connect(uri % "/there", host="127.0.0.1", port=port) as ws:
            assert ws.uri == "ws://name.test/there"
        async with unix_connect(path, uri % "ws://name.test:80/there") as ws:
            assert ws.uri == "ws://name.test:80/there"
        for options in ({"host": "127.0.0.1", "port": port}, {"unix": True, "path": path}):
            with pytest.raises(
                ValueError, match=r'^redirect to "ws://other.test/", another origin'
            ):
                await connect(uri % "ws://other.test/", **options)
        with pytest.raises(ValueError, match="another origin"):
            await connect(f"ws://127.0.0.1/to?302=ws://{one}/", port=port)


async def test_lines_are_sent_to_one_server_only() -> None:
    async with origin() as one:
        lines = [
            "GET /to?302=/there HTTP/1.1",
            f"Host: {one}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ]
        with pytest.raises(InvalidStatus, match="status code:302"):
            async with AioWebSocket(f"ws://{one}/", headers=lines):
                pass
        async with AioWebSocket(f"ws://{one}/to?302=/there") as aws:
            assert aws.manipulator.connection.uri == f"ws://{one}/there"


async def test_one_timeout_for_all() -> None:
    async def slow(connection: peer.ServerConnection, request: Request) -> Response | None:
        await asyncio.sleep(0.1)
        return redirect(connection, request)

    async with peer.serve(tell, "127.0.0.1", 0, process_request=slow) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            await connect(f"ws://127.0.0.1:{port}/hops?n=9", open_timeout=0.5)


async def test_aiohttp_redirects() -> None:
    async def there(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.send_str(request.path_qs)
        return ws

    async def here(request: web.Request) -> web.Response:
        raise web.HTTPFound("../there?a=b")

    app = web.Application()
    app.add_routes([web.get("/there", there), web.get("/x/y", here)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with connect(f"ws://127.0.0.1:{port}/x/y") as ws:
            assert await ws.recv() == "/there?a=b"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("body", [b"", b"\r\nContent-Length: 99999999", b"\r\nX: until the end"])
async def test_body_that_never_ends(body: bytes) -> None:
    async with ScriptedServer() as server:
        port = int(server.uri.rpartition(":")[2].strip("/"))

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            location = b"Location: " + server.uri.encode() + body
            writer.write(b"HTTP/1.1 302 Found\r\n" + location + b"\r\n\r\n" + b"x" * 100)
            await reader.read()
            writer.close()

        async with stream_server(answer) as first:
            uri = f"ws://127.0.0.1:{first[1]}/"
            async with connect(uri, open_timeout=60, close_timeout=0) as ws:
                await server.accepted()
                assert ws.remote_address == ("127.0.0.1", port)


async def test_two_locations() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"
    theirs, ours = socket.socketpair()
    with theirs:
        theirs.sendall(answer)
        with pytest.raises(InvalidStatus) as caught:
            await connect("ws://h/", sock=ours)
        assert caught.value.response.headers.get_all("Location") == ["/a", "/b"]
