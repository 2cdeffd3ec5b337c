"""connect and AioWebSocket: the fields of requests octet by octet, and those of answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

import pytest
import websockets.asyncio.server as peer
from aiohttp import web
from servers.launch import ServerProcess
from websockets.datastructures import Headers as PeerHeaders
from websockets.http11 import Request, Response

from aiows import AioWebSocket, Headers, InvalidStatus, connect
from streams import stream_server

pytestmark = pytest.mark.once

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
OWN = [
    ("hOST", "own.test:1"),
    ("CONNECTION", "keep-alive, Upgrade"),
    ("upgrade", "WebSocket"),
    ("USER-agent", "own/1"),
    ("oRIGIN", "https://own.test"),
    ("SEC-WEBSOCKET-KEY", KEY),
    ("sec-websocket-version", "13"),
    ("Sec-Websocket-Protocol", "one, two"),
    ("Sec-Websocket-Extensions", "permessage-deflate; server_no_context_takeover"),
    ("AUTHORIZATION", "Bearer own"),
]
FORMS: list[Callable[[list[tuple[str, str]]], Any]] = [dict, list, Headers]


async def sent(server: ServerProcess, style: str, **options: Any) -> list[tuple[str, str]]:
    """Return the fields of a request as they were on the wire."""
    uri = server.uri("/bytes").replace("//", "//user:secret@")
    if style == "connect":
        async with connect(uri, **options) as ws:
            head = await ws.recv()
    else:
        options = {"compression": "deflate"} | options
        async with AioWebSocket(uri, **options) as aws:
            head = await aws.manipulator.receive()
    assert isinstance(head, bytes)
    first, *lines, end, none = head.decode().split("\r\n")
    assert (first, end, none) == ("GET /bytes HTTP/1.1", "", "")
    fields = [tuple(line.split(": ", 1)) for line in lines]
    return [(name, value) for name, value in fields]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("style", ["connect", "AioWebSocket"])
async def test_a_field_of_the_user_replaces_ours(
    raw_server: ServerProcess, style: str, form: Callable[[list[tuple[str, str]]], Any]
) -> None:
    default = await sent(raw_server, style)
    for name, value in OWN:
        fields = await sent(raw_server, style, additional_headers=form([(name, value)]))
        same = [field for field in fields if field[0].lower() == name.lower()]
        assert same == [(name, value)]
        names = [field[0].lower() for field in fields]
        assert len(set(names)) == len(names)
        # In the place of ours, if there was one; and nothing else changed.
        expected = [field[0].lower() for field in default]
        if name.lower() not in expected:
            expected.append(name.lower())
        assert names == expected


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("style", ["connect", "AioWebSocket"])
async def test_order_and_casing(
    raw_server: ServerProcess, style: str, form: Callable[[list[tuple[str, str]]], Any]
) -> None:
    mixed = [("X-one", "1"), *reversed(OWN), ("x-TWO", "2")]
    assert await sent(raw_server, style, additional_headers=form(mixed)) == mixed


async def test_fields_that_stand_twice(raw_server: ServerProcess) -> None:
    twice = [("X", "1"), ("Sec-WebSocket-Protocol", "a"), ("x", "2"), ("X", "3")]
    twice.append(("Sec-WebSocket-Protocol", "b"))
    for given in (twice, Headers(twice)):
        fields = await sent(raw_server, "connect", additional_headers=given)
        assert [field for field in fields if field in twice] == twice
    for name in ("Host", "Origin", "Sec-WebSocket-Key", "User-Agent", "Authorization"):
        with pytest.raises(ValueError, match=f"{name} appears 2 times"):
            connect("ws://h/", additional_headers=[(name.lower(), KEY), (name, KEY)])


async def test_no_user_agent_and_no_origin(raw_server: ServerProcess) -> None:
    fields = dict(await sent(raw_server, "connect", user_agent_header=None))
    assert not fields.keys() & {"User-Agent", "Origin"}
    fields = dict(await sent(raw_server, "connect", user_agent_header="a/1", origin="http://o"))
    assert (fields["User-Agent"], fields["Origin"]) == ("a/1", "http://o")


BODY = bytes(range(256)) * 4
ANSWER = [("X-Twice", "1"), ("Set-Cookie", "a=1"), ("x-twice", "2"), ("Set-Cookie", "b=2")]


@contextlib.asynccontextmanager
async def aiohttp_peer() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.StreamResponse:
        size = int(request.query["size"])
        if request.path == "/open":
            ws = web.WebSocketResponse()
            for name, value in ANSWER:
                ws.headers.add(name, value)
            await ws.prepare(request)
            return ws
        response = web.StreamResponse(status=int(request.query["status"]), reason="As you like")
        for name, value in ANSWER:
            response.headers.add(name, value)
        if request.path == "/chunked":
            response.enable_chunked_encoding()
        elif request.path == "/length":
            response.content_length = size * len(BODY)
        else:
            response.force_close()
            response._length_check = False
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(size):
                await response.write(BODY)
            await response.write_eof()
        return response

    app = web.Application()
    app.add_routes([web.get("/{name}", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def websockets_peer() -> AsyncIterator[str]:
    def answer(connection: peer.ServerConnection, request: Request) -> Response | None:
        path, _, query = request.path.partition("?")
        if path == "/open":
            return None
        options = dict(pair.split("=") for pair in query.split("&"))
        body = BODY * int(options["size"])
        fields = PeerHeaders([*ANSWER, ("Content-Length", str(len(body)))])
        return Response(int(options["status"]), "As you like", fields, body)

    def add(connection: peer.ServerConnection, request: Request, response: Response) -> None:
        if response.status_code == 101:
            for name, value in ANSWER:
                response.headers[name] = value

    async def nothing(connection: peer.ServerConnection) -> None:
        pass

    async with peer.serve(
        nothing, "127.0.0.1", 0, process_request=answer, process_response=add
    ) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


PEERS = {"aiohttp": aiohttp_peer, "websockets": websockets_peer}


@pytest.mark.parametrize("library", PEERS)
async def test_fields_of_the_answer(library: str) -> None:
    async with PEERS[library]() as uri, connect(f"{uri}/open?size=0") as ws:
        assert ws.response is not None and ws.response.status_code == 101
        headers = ws.response.headers
        assert headers.get_all("X-TWICE") == ["1", "2"]
        assert headers.get_all("set-cookie") == ["a=1", "b=2"]
        assert [pair for pair in headers.raw_items() if pair in ANSWER] == ANSWER
        assert headers["upgrade"] == "websocket"


@pytest.mark.parametrize("size", [0, 1, 64, 65, 1000])
@pytest.mark.parametrize(
    ("library", "path"),
    [
        ("aiohttp", "/length"),
        ("aiohttp", "/chunked"),
        ("aiohttp", "/until-the-end"),
        ("websockets", "/length"),
    ],
)
async def test_invalid_status(library: str, path: str, size: int) -> None:
    async with PEERS[library]() as uri:
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{uri}{path}?status=418&size={size}")
    response = caught.value.response
    assert (response.status_code, response.reason_phrase) == (418, "As you like")
    assert response.headers.get_all("X-Twice") == ["1", "2"]
    assert response.body == (BODY * size)[: 64 << 10]
    if path == "/chunked":
        assert response.headers["Transfer-Encoding"] == "chunked"


async def test_statuses_without_a_body() -> None:
    # What follows is no body, whatever the server does (RFC 9112 section 6.3).
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ")[1].strip(b"/"))
        writer.write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n\r\n".encode())
        await reader.read()
        writer.close()

    async with stream_server(answer) as (_, port):
        for status in (204, 304):
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"ws://127.0.0.1:{port}/{status}", open_timeout=None)
            assert caught.value.response.body == b""
