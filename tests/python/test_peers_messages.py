"""Messages between aiows clients and servers that others wrote, in each direction."""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
from typing import Any

import pytest
from servers.fixtures import Certificates
from servers.launch import ServerProcess

from aiows import (
    AioWebSocket,
    ConnectionClosedError,
    PayloadTooBig,
    connect,
    create_default_context,
)
from styles import AIOWEBSOCKET_ON_MESSAGE, AIOWEBSOCKET_RECEIVE, CONNECT_RECV, STYLES, Style

# What goes over the wire is the core's, with any Python.
pytestmark = pytest.mark.once

MIB = 1 << 20
MESSAGES: list[str | bytes] = [
    "text",
    "",
    b"",
    "ä € 😀 \x00 \uffff",
    b"\x00\xff binary",
    bytes(range(256)),
    "x",
    b"y",
]
# Where the length field or a buffer of either side changes its size.
SIZES = (1, 125, 126, 127, 4095, 4096, 16383, 16384, 65535, 65536, 262143, 262144, MIB)

styles = pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
receiving = pytest.mark.parametrize(
    "style", [CONNECT_RECV, AIOWEBSOCKET_RECEIVE], ids=lambda style: style.name
)
two_styles = pytest.mark.parametrize(
    "style", [CONNECT_RECV, AIOWEBSOCKET_ON_MESSAGE], ids=lambda style: style.name
)


@pytest.fixture
def options(peer_server: ServerProcess, certificates: Certificates) -> dict[str, Any]:
    return tls_options(peer_server, certificates)


def tls_options(server: ServerProcess, certificates: Certificates) -> dict[str, Any]:
    return {"ssl": create_default_context(cafile=certificates.ca)} if server.secure else {}


def payload(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@styles
async def test_text_binary_and_empty(
    style: Style, peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    async with style.open(peer_server.uri(), **options) as exchange:
        for message in MESSAGES:
            await exchange.send(message)
            assert await exchange.receive() == style.of(message)


@styles
async def test_every_size(
    style: Style, peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    async with style.open(peer_server.uri(), **options) as exchange:
        for size in SIZES:
            message = payload(size)
            await exchange.send(message)
            assert await exchange.receive() == message


@receiving
async def test_sixteen_mebibytes(
    style: Style, peer_server: ServerProcess, options: dict[str, Any]
) -> None:
    message = payload(16 * MIB)
    async with style.open(peer_server.uri(), max_size=16 * MIB, **options) as exchange:
        await exchange.send(message)
        echoed = await exchange.receive()
    assert hashlib.sha256(echoed).digest() == hashlib.sha256(message).digest()


@styles
async def test_several_in_flight(
    style: Style, peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    messages = [f"{number} é" if number % 3 else payload(number) for number in range(300)]
    async with style.open(peer_server.uri(), **options) as exchange:
        for message in messages:
            await exchange.send(message)
        for message in messages:
            assert await exchange.receive() == style.of(message)


@styles
async def test_fragments_from_the_server(
    style: Style, peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    async with style.open(peer_server.uri("/fragments"), **options) as exchange:
        assert await exchange.receive() == style.of("fragmented é")
        assert await exchange.receive() == bytes(range(256))
        await exchange.send("still works")
        assert await exchange.receive() == style.of("still works")


async def test_fragments_to_the_server(
    peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    async with AioWebSocket(peer_server.uri(), **options) as aws:
        converse = aws.manipulator
        assert converse is not None
        # The text is cut inside a character, and a control frame goes between.
        first, second = "fragmented é".encode()[:-1], "fragmented é".encode()[-1:]
        await converse.send(first, fin=False, binary=False)
        latency = await converse.connection.ping()
        await converse.send(b"", fin=False)
        await converse.send(second)
        assert await converse.receive(text=True) == "fragmented é"
        assert await latency > 0
        for part in (b"\xff", payload(70000), b""):
            await converse.send(part, fin=False)
        await converse.send(b"\xfe")
        assert await converse.receive() == b"\xff" + payload(70000) + b"\xfe"


@two_styles
async def test_burst_in_order(
    style: Style, peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    count = 10_000
    async with style.open(peer_server.uri(f"/burst?n={count}"), **options) as exchange:
        for expected in range(count):
            message = await exchange.receive()
            assert len(message) == 100
            assert int.from_bytes(message[:4], "big") == expected
        await exchange.send("after")
        assert await exchange.receive() == style.of("after")


async def test_slow_reader_holds_the_server_back(
    peer_server: ServerProcess, options: dict[str, Any]
) -> None:
    count = 3000
    uri = peer_server.uri(f"/burst?n={count}&size=10000")
    async with connect(uri, max_queue=(8, 2), **options) as ws:
        most = 0
        while ws.queued <= 8:
            await asyncio.sleep(0.001)
        for expected in range(count):
            if expected % 300 == 0:
                await asyncio.sleep(0.01)
            most = max(most, ws.queued)
            message = await ws.recv()
            assert int.from_bytes(message[:4], "big") == expected
        # Eight, and the batch that goes beyond them: 256 events at most.
        assert 8 < most <= 8 + 256


@two_styles
async def test_large_messages_cross(
    style: Style, peer_server: ServerProcess, options: dict[str, Any], loop_factory: object
) -> None:
    messages = [payload(3 * MIB + number) for number in range(4)]
    small = [str(number) for number in range(20)]
    async with style.open(peer_server.uri(), max_size=4 * MIB, **options) as exchange:

        async def send(message: str | bytes) -> None:
            await exchange.send(message)

        async with asyncio.TaskGroup() as group:
            for large, few in zip(messages, range(0, 20, 5), strict=True):
                group.create_task(send(large))
                for text in small[few : few + 5]:
                    group.create_task(send(text))
            for large, few in zip(messages, range(0, 20, 5), strict=True):
                assert await exchange.receive() == large
                for text in small[few : few + 5]:
                    assert await exchange.receive() == style.of(text)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_of_tls(
    version: ssl.TLSVersion,
    any_tls_server: ServerProcess,
    certificates: Certificates,
    loop_factory: object,
) -> None:
    context = create_default_context(cafile=certificates.ca)
    context.minimum_version = context.maximum_version = version
    async with connect(any_tls_server.uri("/burst?n=500&size=5000"), ssl=context) as ws:
        for expected in range(500):
            assert int.from_bytes((await ws.recv())[:4], "big") == expected
        for size in SIZES:
            await ws.send(payload(size))
            assert await ws.recv() == payload(size)
        assert ws.info()["tls_version"] == {0x303: "TLS 1.2", 0x304: "TLS 1.3"}[version]


async def test_message_over_max_size_is_refused(
    peer_server: ServerProcess, options: dict[str, Any]
) -> None:
    async with CONNECT_RECV.open(peer_server.uri(), max_size=1000, **options) as exchange:
        await exchange.send(payload(1000))
        assert await exchange.receive() == payload(1000)
        await exchange.send(payload(1001))
        with pytest.raises(ConnectionClosedError) as caught:
            await exchange.receive()
    assert caught.value.sent is not None
    assert caught.value.sent.code == 1009
    assert isinstance(caught.value.__cause__, PayloadTooBig)
