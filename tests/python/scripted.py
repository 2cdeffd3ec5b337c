"""
A server inside the test's own event loop that does what the test says.

Both ends share one loop, so a test decides what is in a socket before the
client's loop looks: without sleeping, without races.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from types import TracebackType
from typing import Self, cast

from streams import stream_server

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", fin: bool = True) -> bytes:
    """Return an unmasked frame (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 1 << 16:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes([(0x80 if fin else 0) | opcode]) + length + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[bool, int, bytes]:
    """Return fin, opcode and payload of a client's next frame."""
    first, second = await reader.readexactly(2)
    assert second & 0x80, "clients mask (RFC 6455 section 5.1)"
    size = second & 0x7F
    if size > 125:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    key = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    whole = (key * (size // 4 + 1))[:size]
    plain = int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")
    return bool(first & 0x80), first & 0x0F, plain.to_bytes(size, "big")


class Session:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.path = ""

    async def shake_hands(self) -> None:
        head = await self._reader.readuntil(b"\r\n\r\n")
        self.path = head.split(b" ", 2)[1].decode()
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        digest = hashlib.sha1(lines[b"Sec-WebSocket-Key"] + GUID).digest()
        self._writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )

    def text(self, *messages: str) -> None:
        """Put text messages into the socket at once, in one piece."""
        self._writer.write(b"".join(frame(TEXT, message.encode()) for message in messages))

    def binary(self, *messages: bytes) -> None:
        self._writer.write(b"".join(frame(BINARY, message) for message in messages))

    def write(self, octets: bytes) -> None:
        self._writer.write(octets)

    async def drain(self) -> None:
        await self._writer.drain()
        await asyncio.sleep(0)

    def pause(self) -> None:
        """Read no more from the socket, until resume."""
        cast(asyncio.ReadTransport, self._writer.transport).pause_reading()

    def resume(self) -> None:
        cast(asyncio.ReadTransport, self._writer.transport).resume_reading()

    def pong(self, payload: bytes) -> None:
        self._writer.write(frame(PONG, payload))

    def close(self, code: int = 1000) -> None:
        """Send Close and nothing after it, as a server that answered or began the closing."""
        self._writer.write(frame(CLOSE, code.to_bytes(2, "big")))
        self._writer.write_eof()

    def drop(self) -> None:
        self._writer.transport.abort()

    async def read(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        _, opcode, payload = await read_frame(self._reader)
        return opcode, payload

    async def closed(self) -> int:
        """Return the code of the client's Close, whatever comes before it."""
        while True:
            opcode, payload = await self.read()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")


class ScriptedServer:
    """Accepts connections; `accepted` gives each one's Session to the test."""

    def __init__(self) -> None:
        self._sessions: asyncio.Queue[Session] = asyncio.Queue()
        self._served = contextlib.AsyncExitStack()
        self.uri = ""

    async def __aenter__(self) -> Self:
        host, port = await self._served.enter_async_context(
            stream_server(self._serve, limit=1 << 24)
        )
        self.uri = f"ws://{host}:{port}/"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._served.aclose()

    async def accepted(self) -> Session:
        """Return the next connection whose handshake is done."""
        return await self._sessions.get()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(reader, writer)
        try:
            await session.shake_hands()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        self._sessions.put_nowait(session)
