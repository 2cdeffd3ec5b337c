"""
What tests of compression share: peers that look closely, frames made by hand.

The peers are of `websockets`, in the test's own loop. zlib inflates into one
buffer and takes references into all of it, however small the window agreed on:
`strict_inflation` has it write 64 bytes at a time, and then it does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import types
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import websockets.asyncio.client
import websockets.asyncio.server
from websockets.extensions import permessage_deflate

import scripted
from aiows import ClientConnection, ServerConnection, connect, serve

Handler = Callable[[Any], Awaitable[None]]

STEP = 64
CONTINUATION, TEXT, BINARY, PING = 0, 1, 2, 9
ACCEPT = "Sec-WebSocket-Extensions"


class StrictDecoder:
    """A zlib.decompressobj that never keeps more than its window of output."""

    unconsumed_tail = b""

    def __init__(self, wbits: int) -> None:
        self._decoder = zlib.decompressobj(wbits=wbits)

    def decompress(self, data: Any, max_length: int = 0) -> bytes:
        pieces = []
        data = bytes(data)
        while True:
            piece = self._decoder.decompress(data, STEP)
            pieces.append(piece)
            data = self._decoder.unconsumed_tail
            if not data and len(piece) < STEP:
                return b"".join(pieces)


@pytest.fixture
def strict_inflation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `websockets` check that no reference reaches beyond the window."""
    names = {name: getattr(zlib, name) for name in ("compressobj", "error", "Z_SYNC_FLUSH")}
    strict = types.SimpleNamespace(decompressobj=StrictDecoder, **names)
    monkeypatch.setattr(permessage_deflate, "zlib", strict)


async def echo(connection: Any) -> None:
    async for message in connection:
        await connection.send(message)


@contextlib.asynccontextmanager
async def with_their_server(
    ours: dict[str, Any], theirs: dict[str, Any], handler: Handler = echo
) -> AsyncIterator[Any]:
    """Yield our client of a server of `websockets`."""
    async with (
        websockets.asyncio.server.serve(handler, "127.0.0.1", 0, **theirs) as server,
        connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", **ours) as ws,
    ):
        yield ws


@contextlib.asynccontextmanager
async def with_their_client(
    ours: dict[str, Any], theirs: dict[str, Any], handler: Handler = echo
) -> AsyncIterator[Any]:
    """Yield their client of our server."""
    async with (
        serve(handler, "127.0.0.1", 0, **ours) as server,
        websockets.asyncio.client.connect(
            f"ws://127.0.0.1:{server.port}/", proxy=None, **theirs
        ) as ws,
    ):
        yield ws


def agreed(connection: Any) -> str | None:
    """Return what both ends agreed on."""
    assert connection.response is not None
    value = connection.response.headers.get(ACCEPT)
    assert value is None or isinstance(value, str)
    return value


def messages(seed: int = 1) -> Iterator[str | bytes]:
    """Yield messages of many sizes: empty, alike, incompressible, and long runs."""
    random_ = random.Random(seed)
    for size in (0, 1, 40, 127, 128, 129, 500, 1024, 5000, 20_000, 40_000, 100_000):
        yield trades(random_, size)
        yield random_.randbytes(size)
        yield bytes(size)
        # What was said before comes again, from further and further back.
        yield trades(random.Random(7), size)


def trades(random_: random.Random, size: int) -> str:
    text = "".join(
        f'{{"s":"BTC-{random_.choice("EUR USD GBP".split())}","p":{random_.random():.5f}}},'
        for _ in range(size // 30 + 1)
    )
    return text[:size]


def deflated(data: bytes, *, last: bool = True, bits: int = 15) -> bytes:
    """Return the payload of a compressed message (RFC 7692 section 7.2.1)."""
    made = zlib.compressobj(wbits=-bits)
    payload = made.compress(data) + made.flush(zlib.Z_SYNC_FLUSH)
    return payload[:-4] if last else payload


def bomb(size: int) -> bytes:
    """Return what inflates to so many zeros, a multiple of 1 MiB."""
    made = zlib.compressobj(9, wbits=-15)
    piece = made.compress(bytes(1 << 20)) + made.flush(zlib.Z_FULL_FLUSH)
    return (piece * (size >> 20))[:-4]


def frame(opcode: int, payload: bytes, *, fin: bool = True, compressed: bool = True) -> bytes:
    """Return a frame; masked with zeros, as a client's, by `masked`."""
    plain = scripted.frame(opcode, payload, fin)
    return bytes([plain[0] | compressed << 6]) + plain[1:]


def masked(unmasked: bytes) -> bytes:
    """Return a frame with the mask bit and a masking key of zeros."""
    head = 2 + {126: 2, 127: 8}.get(unmasked[1], 0)
    first = bytes([unmasked[0], unmasked[1] | 0x80])
    return first + unmasked[2:head] + bytes(4) + unmasked[head:]


async def raw_exchange(role: str, *frames: bytes, **options: Any) -> tuple[list[Any], Any]:
    """
    Send frames to our "client" or "server", which gets them from a peer of octets.

    Returns what it received and the exception that ended it.
    """
    received: list[Any] = []
    ended = asyncio.get_running_loop().create_future()

    async def receive(ws: ClientConnection | ServerConnection) -> None:
        try:
            while True:
                received.append(await ws.recv())
        except Exception as error:
            ended.set_result(error)

    if role == "client":
        await _to_client(frames, receive, options)
    else:
        await _to_server(frames, receive, options)
    return received, await ended


async def _to_client(frames: tuple[bytes, ...], receive: Any, options: dict[str, Any]) -> None:
    async def peer(ws: websockets.asyncio.server.ServerConnection) -> None:
        ws.transport.write(b"".join(frames))
        await ws.wait_closed()

    async with (
        websockets.asyncio.server.serve(peer, "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", **options) as ws,
    ):
        await receive(ws)


async def _to_server(frames: tuple[bytes, ...], receive: Any, options: dict[str, Any]) -> None:
    async with (
        serve(receive, "127.0.0.1", 0, **options) as server,
        websockets.asyncio.client.connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as ws,
    ):
        ws.transport.write(b"".join(map(masked, frames)))
        await ws.wait_closed()
