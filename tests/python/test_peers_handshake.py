"""The opening handshake with servers that others wrote: fields, subprotocols, TLS, first frames."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from servers.fixtures import Certificates
from servers.launch import ServerProcess, environment

from aiows import (
    AioWebSocket,
    InvalidHandshake,
    InvalidStatus,
    SSLContext,
    connect,
    create_default_context,
)
from styles import AIOWEBSOCKET_RECEIVE, CONNECT_RECV, STYLES, Style

# What goes over the wire is the core's, with any Python.
pytestmark = pytest.mark.once

styles = pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
receiving = pytest.mark.parametrize(
    "style", [CONNECT_RECV, AIOWEBSOCKET_RECEIVE], ids=lambda style: style.name
)


@pytest.fixture
def options(peer_server: ServerProcess, certificates: Certificates) -> dict[str, Any]:
    if not peer_server.secure:
        return {}
    return {"ssl": create_default_context(cafile=certificates.ca)}


async def ask(server: ServerProcess, path: str, options: dict[str, Any]) -> Any:
    """Return what the server tells at path, from JSON."""
    async with connect(server.uri(path), **options) as ws:
        return json.loads(await ws.recv())


async def seen_at(server: ServerProcess, target: str, options: dict[str, Any]) -> Any:
    """Return the fields of the request for target."""
    return dict(await ask(server, "/requests", options))[target]


async def closing_of(server: ServerProcess, target: str, options: dict[str, Any]) -> Any:
    """Return the close code that the server saw for target, once it has ended there."""
    while True:
        for path, code, _ in await ask(server, "/closes", options):
            if path == target:
                return code
        await asyncio.sleep(0.01)


# The README's program with nothing around it.
PROGRAM = """
import asyncio
from aiows import AioWebSocket

async def main(uri):
    async with AioWebSocket(uri, union_header={'Origin': 'https://example.com'}) as aws:
        c = aws.manipulator
        await c.send(b'hello')
        print(await c.receive())

asyncio.run(main(%r))
"""


async def test_program_of_a_newcomer(
    peer_server: ServerProcess, certificates: Certificates, options: dict[str, Any]
) -> None:
    target = f"/echo?{uuid.uuid4()}"
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-c", PROGRAM % peer_server.uri(target)],
        env=environment() | {"SSL_CERT_FILE": str(certificates.ca)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "b'hello'\n", "")
    fields = await seen_at(peer_server, target, options)
    assert [value for name, value in fields if name.lower() == "origin"] == ["https://example.com"]
    assert await closing_of(peer_server, target, options) == 1000


async def test_default_fields(peer_server: ServerProcess, options: dict[str, Any]) -> None:
    async with AioWebSocket(peer_server.uri("/request"), **options) as aws:
        assert aws.manipulator is not None
        seen = json.loads(await aws.manipulator.receive())
    names = [name for name, _ in seen["headers"]]
    assert names == [
        "Host",
        "Connection",
        "Upgrade",
        "User-Agent",
        "Origin",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
    ]
    fields = dict(seen["headers"])
    scheme, authority = peer_server.uri("").split("://")
    host = authority.partition(":")[0]
    assert fields["Host"] == authority
    assert fields["Origin"] == f"{'https' if scheme == 'wss' else 'http'}://{host}"
    assert len(base64.b64decode(fields["Sec-WebSocket-Key"], validate=True)) == 16
    assert fields["Sec-WebSocket-Version"] == "13"


async def test_list_of_lines_arrives_as_given(
    peer_server: ServerProcess, options: dict[str, Any]
) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /request?a=1&b=%20 HTTP/1.1",
        "x-first: 1",
        f"Host: {peer_server.uri('').partition('://')[2]}",
        # picows as a server takes no list here.
        f"Connection: {'' if peer_server.name == 'picows_server' else 'keep-alive, '}Upgrade",
        "upgrade: websocket",
        "Cookie: a=b; c=d",
        "X-Twice: one",
        "Origin: https://example.com",
        f"Sec-WebSocket-Key: {key}",
        "X-Twice: two",
        "Sec-WebSocket-Version: 13",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
    ]
    async with AioWebSocket(peer_server.uri("/ignored"), headers=lines, **options) as aws:
        assert aws.manipulator is not None
        seen = json.loads(await aws.manipulator.receive())
    assert seen["path"] == "/request?a=1&b=%20"
    assert [f"{name}: {value}" for name, value in seen["headers"]] == lines[1:]


@pytest.mark.parametrize("last", [(), ("",), ("\r\n",)], ids=["nothing", "empty", "crlf"])
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
async def test_list_of_lines_octet_by_octet(
    raw_server: ServerProcess,
    raw_tls_server: ServerProcess,
    certificates: Certificates,
    secure: bool,
    last: tuple[str, ...],
) -> None:
    server = raw_tls_server if secure else raw_server
    context = create_default_context(cafile=certificates.ca) if secure else None
    lines = [
        "GET /bytes HTTP/1.1",
        "hOsT:no-space.example",
        "Upgrade:    websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "X-Empty:",
    ]
    async with AioWebSocket(server.uri("/echo"), headers=[*lines, *last], ssl=context) as aws:
        assert aws.manipulator is not None
        octets = await aws.manipulator.receive()
    assert octets == "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


@receiving
async def test_fields_given_once_are_seen_once(
    style: Style, peer_server: ServerProcess, options: dict[str, Any]
) -> None:
    own = {
        "Host": "other.example:81",
        "User-Agent": "mine/1",
        "Origin": "https://example.com",
        "Authorization": "Bearer token",
        "X-Own": "1",
    }
    async with style.open(
        peer_server.uri("/request"), additional_headers=own, **options
    ) as exchange:
        seen = json.loads(await exchange.receive())
    names = [name.lower() for name, _ in seen["headers"]]
    assert len(names) == len(set(names))
    assert own.items() <= dict(seen["headers"]).items()


@receiving
@pytest.mark.parametrize(
    ("offered", "agreed"),
    [(["chat", "superchat"], "superchat"), (["chat"], "chat"), (["other"], None), (None, None)],
)
async def test_subprotocol(
    style: Style,
    offered: list[str] | None,
    agreed: str | None,
    peer_server: ServerProcess,
    options: dict[str, Any],
) -> None:
    if offered and len(offered) > 1 and peer_server.name == "aiohttp_server":
        agreed = offered[0]  # it goes by the client's order, the others by their own
    async with style.open(peer_server.uri("/request"), subprotocols=offered, **options) as exchange:
        seen = json.loads(await exchange.receive())
        assert exchange.connection.subprotocol == agreed
    assert seen["subprotocol"] == agreed
    fields = {name.lower(): value for name, value in seen["headers"]}
    assert fields.get("sec-websocket-protocol") == (", ".join(offered) if offered else None)


async def test_credentials_of_the_uri(peer_server: ServerProcess, options: dict[str, Any]) -> None:
    uri = peer_server.uri("/request").replace("://", "://us%40er:pass%3Aword@")
    async with connect(uri, **options) as ws:
        seen = json.loads(await ws.recv())
    token = base64.b64encode(b"us@er:pass:word").decode()
    assert dict(seen["headers"])["Authorization"] == f"Basic {token}"


@receiving
async def test_status_instead_of_101(
    style: Style, peer_server: ServerProcess, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with style.open(peer_server.uri("/status?code=403"), **options):
            pass
    response = caught.value.response
    assert response.status_code == 403
    assert b"status 403" in response.body
    if style is AIOWEBSOCKET_RECEIVE:
        assert isinstance(caught.value, ConnectionError)
        assert str(caught.value) == "Connection failed,status code:403"


@styles
@pytest.mark.parametrize("secure", [False, True], ids=["segment", "record"])
async def test_frames_together_with_the_101(
    style: Style,
    secure: bool,
    raw_server: ServerProcess,
    raw_tls_server: ServerProcess,
    certificates: Certificates,
    loop_factory: object,
) -> None:
    server = raw_tls_server if secure else raw_server
    context = create_default_context(cafile=certificates.ca) if secure else None
    for _ in range(10):
        async with style.open(server.uri("/together"), ssl=context) as exchange:
            assert await exchange.receive() == style.of("one")
            assert await exchange.receive() == b"two"
            assert await exchange.receive() == style.of("three")
            await exchange.send("after")
            assert await exchange.receive() == style.of("after")


# TLS


@styles
async def test_private_authority(
    style: Style, any_tls_server: ServerProcess, certificates: Certificates, loop_factory: object
) -> None:
    context = create_default_context(cafile=certificates.ca)
    # One context for many: certificates are parsed once, sessions resume.
    for _ in range(5):
        async with style.open(any_tls_server.uri(), ssl=context) as exchange:
            await exchange.send("over TLS")
            assert await exchange.receive() == style.of("over TLS")


def trusting(path: Path) -> SSLContext:
    return create_default_context(cafile=path)


@receiving
async def test_wrong_authority(
    style: Style, any_tls_server: ServerProcess, certificates: Certificates, loop_factory: object
) -> None:
    wrong = trusting(certificates.other_ca)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"certificate.*not trusted"):
        async with style.open(any_tls_server.uri(), ssl=wrong):
            pass
    # It was the certificate alone.
    async with style.open(any_tls_server.uri(), ssl=trusting(certificates.ca)) as exchange:
        await exchange.send("x")
        assert await exchange.receive() == style.of("x")


@receiving
async def test_authorities_of_the_system_do_not_know_it(
    style: Style, any_tls_server: ServerProcess
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"certificate.*not trusted"):
        async with style.open(any_tls_server.uri()):
            pass


@receiving
async def test_certificate_for_another_name(
    style: Style, any_tls_server: ServerProcess, certificates: Certificates
) -> None:
    context = trusting(certificates.ca)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.example"):
        async with style.open(any_tls_server.uri(), ssl=context, server_hostname="other.example"):
            pass


@receiving
async def test_verification_switched_off(style: Style, any_tls_server: ServerProcess) -> None:
    context = SSLContext()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with style.open(any_tls_server.uri(), ssl=context) as exchange:
        await exchange.send("unverified")
        assert await exchange.receive() == style.of("unverified")


@receiving
async def test_address_in_the_certificate(
    style: Style, any_tls_server: ServerProcess, certificates: Certificates
) -> None:
    uri = any_tls_server.uri().replace("localhost", "127.0.0.1")
    async with style.open(uri, ssl=trusting(certificates.ca)) as exchange:
        await exchange.send("by address")
        assert await exchange.receive() == style.of("by address")


@receiving
async def test_tls_with_a_server_that_speaks_none(
    style: Style, websockets_server: ServerProcess, certificates: Certificates
) -> None:
    uri = websockets_server.uri().replace("ws://", "wss://")
    with pytest.raises(ssl.SSLError):
        async with style.open(uri, ssl=trusting(certificates.ca)):
            pass


@receiving
async def test_plain_with_a_server_that_speaks_tls(
    style: Style, any_tls_server: ServerProcess
) -> None:
    uri = any_tls_server.uri().replace("wss://", "ws://")
    with pytest.raises((InvalidHandshake, OSError)) as caught:
        async with style.open(uri):
            pass
    assert not isinstance(caught.value, TimeoutError)
