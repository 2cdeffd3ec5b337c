"""A server in the scenario's own event loop that does, octet for octet, what a script says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from scripted import BINARY, CLOSE, GUID, PING, PONG, TEXT, frame, read_frame

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "Peer",
    "Script",
    "Session",
    "echo",
    "frame",
]

CONTINUATION = 0
TURNS = 10


class Session:
    """
    The server's end of one connection.

    Attributes:
        lines: The request's lines.
        fields: The request's header fields by their names in lower case.

    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.lines: list[str] = []
        self.fields: dict[str, str] = {}

    @property
    def path(self) -> str:
        return self.lines[0].split(" ")[1]

    async def request(self) -> None:
        """Read a request head."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.lines = head.split("\r\n")[:-2]
        pairs = [line.split(": ", 1) for line in self.lines[1:]]
        self.fields = {pair[0].lower(): pair[-1] for pair in pairs}

    def upgrade(self, **changes: str | None) -> bytes:
        """Return the 101; changes replace or add fields, None leaves one out."""
        key = self.fields.get("sec-websocket-key", "").encode()
        digest = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        fields = {"upgrade": "websocket", "connection": "Upgrade", "sec_websocket_accept": digest}
        merged = {name: value for name, value in (fields | changes).items() if value is not None}
        lines = [f"{name.replace('_', '-').title()}: {value}" for name, value in merged.items()]
        return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""]).encode("latin-1")

    def shrink(self) -> None:
        """Give the socket little memory, so that a full one takes few megabytes."""
        sock = self.writer.get_extra_info("socket")
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 65536)

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def frame(self, opcode: int, payload: bytes | str = b"", fin: bool = True) -> None:
        data = payload.encode() if isinstance(payload, str) else payload
        self.writer.write(frame(opcode, data, fin))

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send Close; code None is one without a code."""
        code_octets = b"" if code is None else code.to_bytes(2, "big")
        self.frame(CLOSE, code_octets + reason.encode())

    def drop(self) -> None:
        """Reset the connection."""
        self.writer.transport.abort()

    async def read(self) -> tuple[bool, int, bytes]:
        """Return fin, opcode and payload of the next frame."""
        return await read_frame(self.reader)

    async def read_until_close(self) -> list[tuple[bool, int, bytes]]:
        """Return the frames up to the Close, and answer that with what it said."""
        frames = []
        while True:
            frames.append(await self.read())
            if frames[-1][1] == CLOSE:
                self.frame(CLOSE, frames[-1][2])
                self.end()
                return frames

    async def echo(self) -> None:
        """Answer every frame in kind until the Close."""
        while True:
            fin, opcode, payload = await self.read()
            if opcode == PING:
                self.frame(PONG, payload)
            elif opcode == CLOSE:
                self.frame(CLOSE, payload)
                self.end()
                return
            elif opcode != PONG:
                self.frame(opcode, payload, fin)

    async def wait_end(self) -> None:
        """Read up to the client's Close and end the stream, as a server does."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while (await self.read())[1] != CLOSE:
                pass
            self.end()
            await self.reader.read()

    def end(self) -> None:
        """End the stream, of which the client may know nothing any more."""
        if not self.writer.can_write_eof():
            self.writer.close()
            return
        with contextlib.suppress(OSError):
            self.writer.write_eof()

    async def rest(self) -> bytes:
        """Return what still comes until the client's end of the stream."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read()
        return b""


Script = Callable[[Session], Awaitable[None]]


async def echo(session: Session) -> None:
    """Accept and answer every frame in kind."""
    session.write(session.upgrade())
    await session.echo()


class Peer:
    """
    Runs a script for each connection, after its request was read.

    With several scripts the first connection gets the first, and so on; the
    last one is also for all that follow. raw leaves the request to the script.

    Attributes:
        uri: ws:// or wss://, "" on a Unix socket.
        port: TCP port.
        lines: The lines of every request.
        failures: What a script raised other than the connection's end.

    """

    def __init__(
        self,
        *scripts: Script,
        tls: ssl.SSLContext | None = None,
        unix: str | None = None,
        raw: bool = False,
    ) -> None:
        self._raw = raw
        self._scripts = list(scripts) or [echo]
        self._tls = tls
        self._unix = unix
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.lines: list[list[str]] = []
        self.failures: list[BaseException] = []
        self.uri = ""
        self.port = 0

    async def __aenter__(self) -> Self:
        if self._unix is not None:
            self._server: asyncio.Server = await asyncio.start_unix_server(
                self._serve, self._unix, ssl=self._tls, limit=1 << 24
            )
            return self
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self._tls, limit=1 << 24
        )
        self.port = self._server.sockets[0].getsockname()[1]
        secure = self._tls is not None
        self.uri = f"{'wss://localhost' if secure else 'ws://127.0.0.1'}:{self.port}/"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A connection that the kernel has just accepted gets its task then, to be ended with it.
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        for writer in self._writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        session = Session(reader, writer)
        try:
            if not self._raw:
                await session.request()
                self.lines.append(session.lines)
            await script(session)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            pass
        except BaseException as failure:
            self.failures.append(failure)
        finally:
            self._tasks.discard(task)
            writer.close()
