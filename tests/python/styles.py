"""
The four ways to use a client connection, behind one face for the tests.

`connect` and `AioWebSocket`, each with a receiving coroutine and with
`on_message`. Text arrives as str from `connect` and as bytes from
`AioWebSocket`; `Style.of` says what to expect.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiows import AioWebSocket, ClientConnection, ConnectionClosed, connect


class Exchange:
    """An open connection: send, receive, and the ClientConnection underneath."""

    def __init__(
        self, connection: ClientConnection, send: Callable[..., Any], receive: Callable[[], Any]
    ) -> None:
        self.connection = connection
        self.send = send
        self.receive = receive


class Inbox:
    """What on_message and on_close bring, to be awaited."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.closed = 0

    def message(self, connection: object, message: str | bytes) -> None:
        self._messages.put_nowait(message)

    def close(self, connection: object) -> None:
        self.closed += 1
        self._messages.put_nowait(None)

    async def get(self, connection: ClientConnection) -> str | bytes:
        message = await self._messages.get()
        if message is None:
            assert self.closed == 1
            raise connection._closed_exception()
        return message


@dataclasses.dataclass(frozen=True)
class Style:
    """One way; `text` is what a text message is told as."""

    name: str
    text: type

    def of(self, message: str | bytes) -> str | bytes:
        """Return what message arrives as."""
        if isinstance(message, str) and self.text is bytes:
            return message.encode()
        return message

    @contextlib.asynccontextmanager
    async def open(self, uri: str, **options: Any) -> AsyncIterator[Exchange]:
        """Open a connection and close it with 1000 on leaving."""
        inbox = Inbox()
        if self.name.endswith("on_message"):
            options |= {"on_message": inbox.message, "on_close": inbox.close}
        if self.name.startswith("connect"):
            async with connect(uri, **options) as ws:
                receive = ws.recv if self is CONNECT_RECV else lambda: inbox.get(ws)
                yield Exchange(ws, ws.send, receive)
        else:
            async with AioWebSocket(uri, **options) as aws:
                converse = aws.manipulator
                assert converse is not None
                connection = converse.connection

                async def receive_bytes() -> str | bytes:
                    if self is AIOWEBSOCKET_RECEIVE:
                        return await converse.receive() or b""
                    return await inbox.get(connection)

                async def send(message: str | bytes) -> None:
                    await converse.send(message, binary=isinstance(message, bytes))

                yield Exchange(connection, send, receive_bytes)


CONNECT_RECV = Style("connect-recv", str)
CONNECT_ON_MESSAGE = Style("connect-on_message", str)
AIOWEBSOCKET_RECEIVE = Style("aiowebsocket-receive", bytes)
AIOWEBSOCKET_ON_MESSAGE = Style("aiowebsocket-on_message", bytes)

STYLES = (CONNECT_RECV, CONNECT_ON_MESSAGE, AIOWEBSOCKET_RECEIVE, AIOWEBSOCKET_ON_MESSAGE)


async def closed_exception(exchange: Exchange) -> ConnectionClosed:
    """Return what receiving raises at the end."""
    try:
        message = await exchange.receive()
    except ConnectionClosed as error:
        return error
    raise AssertionError(f"expected the end, received {message!r}")
