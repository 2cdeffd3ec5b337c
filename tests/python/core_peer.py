"""Connections of _core whose other end is a plain socket in the test's hands."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import contextvars
import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiows import _core, _library
from scripted import CLOSE, GUID, TEXT, frame

CLEAN, PEER_FIRST = 2, 4
SOCKET_TIMEOUT_S = 60.0


def texts(*messages: str) -> bytes:
    return b"".join(frame(TEXT, message.encode()) for message in messages)


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


class ClosedOK(Exception):
    """What a Connection closed with 1000 raises."""


class ClosedBadly(Exception):
    """What a Connection closed otherwise raises."""


class Busy(RuntimeError):
    """What a second receiver raises."""


class Connection(_core.Connection):
    """Records what its event methods are called with."""

    def __init__(self, loop: _core.Loop, **options: Any) -> None:
        super().__init__(loop, **options)
        self.seen: list[Any] = []
        self.opened = asyncio.Event()
        self.ended = asyncio.Event()
        self.code = 0

    def _on_open(self) -> None:
        self.seen.append("open")
        self.opened.set()

    def _on_failed(self, error: _core.Error, /) -> None:
        self.seen.append(("failed", error))
        self.ended.set()

    def _on_ping(self, data: bytes, /) -> None:
        self.seen.append(("ping", data))

    def _on_pong(self, data: bytes, /) -> None:
        self.seen.append(("pong", data))

    def _on_closing(self, code: int, reason: str, /) -> None:
        self.seen.append(("closing", code, reason))

    def _on_closed(self, code: int, reason: str, sent: int, flags: int, /) -> None:
        self.seen.append(("closed", code, reason, sent, flags))
        self.code = code
        self.ended.set()

    def _closed_exception(self) -> BaseException:
        return ClosedOK(self.code) if self.code == 1000 else ClosedBadly(self.code)

    def _concurrency_error(self) -> BaseException:
        return Busy("busy")


class Peer:
    """The server's end of a connection, blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, *octets: bytes) -> None:
        """Send all in one call, which one poll of the client's loop then reads."""
        self.sock.sendall(b"".join(octets))

    def end(self, *octets: bytes) -> None:
        """Send all, then end the stream as a server does first (RFC 6455 section 7.1.1)."""
        self.send(*octets)
        self.sock.shutdown(socket.SHUT_WR)

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def read_frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame, unmasked."""
        first, second = self.read(2)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(self.read(2 if size == 126 else 8), "big")
        key = self.read(4)
        payload = self.read(size)
        return first & 15, bytes(octet ^ key[i % 4] for i, octet in enumerate(payload))

    def read_frame_length(self) -> int:
        """Read a frame of 126 bytes or more, and return how many its payload has."""
        _, second = self.read(2)
        size = int.from_bytes(self.read(2 if second & 0x7F == 126 else 8), "big")
        left = 4 + size
        while left:
            piece = self.sock.recv(min(left, 1 << 20))
            if not piece:
                raise EOFError
            left -= len(piece)
        return size

    def close(self) -> None:
        self.sock.close()


class Core:
    """A core loop watched by the running asyncio loop."""

    def __init__(self) -> None:
        _library.load()
        self.asyncio_loop = asyncio.get_running_loop()
        self.loop = _core.Loop(self.asyncio_loop)
        self.fd = self.loop.fileno()
        self.reported: list[dict[str, Any]] = []
        self._peers: list[Peer] = []
        self.asyncio_loop.set_exception_handler(lambda loop, about: self.reported.append(about))
        contextvars.Context().run(self.asyncio_loop.add_reader, self.fd, self.loop.ready)

    async def open(
        self,
        kind: Callable[..., Any] = Connection,
        connect: dict[str, Any] | None = None,
        **made: Any,
    ) -> tuple[Any, Peer]:
        """Return an open connection, made with the options given, and its peer."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            conn = kind(self.loop, **made)
            port = listener.getsockname()[1]
            self.loop.connect(conn, f"ws://127.0.0.1:{port}/", **(connect or {}))
            sock, _ = await self.asyncio_loop.sock_accept(listener)
        peer = Peer(sock)
        self._peers.append(peer)
        sock.setblocking(False)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await self.asyncio_loop.sock_recv(sock, 65536)
        sock.settimeout(SOCKET_TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = next(
            line.split(b":", 1)[1].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        peer.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        await conn.opened.wait()
        return conn, peer

    def close(self) -> None:
        if self.fd >= 0:
            self.asyncio_loop.remove_reader(self.fd)
            self.fd = -1
        self.loop.close()

    def finish(self) -> None:
        self.close()
        for peer in self._peers:
            peer.close()


@contextlib.asynccontextmanager
async def core() -> AsyncIterator[Core]:
    """Yield a Core; nothing may have been reported at the end."""
    _core.set_closed_ok(ClosedOK)
    found = Core()
    try:
        yield found
    finally:
        found.finish()
        from aiows.exceptions import ConnectionClosedOK

        _core.set_closed_ok(ConnectionClosedOK)
    assert not found.reported, found.reported


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop turn until condition holds."""
    while not condition():
        await asyncio.sleep(0.001)


async def turns(number: int = 3) -> None:
    for _ in range(number):
        await asyncio.sleep(0)
