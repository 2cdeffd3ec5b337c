"""Ways through proxies for the blocking client, where Python does the TLS in them."""

from __future__ import annotations

import asyncio
import select
import socket
from typing import Any

from .._tunnel import LINE_LIMIT, Tunnel
from ._dialing import Limit, connect_host, resolve, wait_for

__all__ = ["open_tunnel"]

_PIECE = 4096


class _Stream:
    """
    What Tunnel needs of an asyncio reader and transport, on a socket.

    Its coroutines never suspend: they wait for the socket.

    """

    def __init__(self, sock: socket.socket, limit: Limit) -> None:
        self.sock = sock
        self._limit = limit
        self._buffer = bytearray()

    def write(self, data: bytes) -> None:
        while data:
            wait_for(self.sock, select.POLLOUT, self._limit)
            data = data[self.sock.send(data) :]

    def abort(self) -> None:
        self.sock.close()

    async def readuntil(self, separator: bytes) -> bytes:
        while (end := self._buffer.find(separator)) < 0:
            if len(self._buffer) > LINE_LIMIT:
                raise asyncio.LimitOverrunError("the line is too long", len(self._buffer))
            self._read()
        if end > LINE_LIMIT:
            raise asyncio.LimitOverrunError("the line is too long", end)
        return self._take(end + len(separator))

    async def readexactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._read()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _read(self) -> None:
        wait_for(self.sock, select.POLLIN, self._limit)
        data = self.sock.recv(_PIECE)
        if not data:
            raise asyncio.IncompleteReadError(self._take(len(self._buffer)), None)
        self._buffer += data


class _BlockingTunnel(Tunnel):
    def __init__(self, *args: Any, limit: Limit, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limit = limit

    async def _dial(self) -> tuple[Any, Any]:
        stream = _Stream(connect_host(*self._address, self._limit, **self._options), self._limit)
        return stream, stream

    async def _resolve(self) -> list[str]:
        found = resolve(self._host, self._port, self._name_family, self._limit)
        return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def open_tunnel(
    proxy: str,
    host: str,
    port: int,
    limit: Limit,
    *,
    user_agent: str,
    options: dict[str, Any],
) -> tuple[socket.socket, str]:
    """
    Return a socket that leads to host and port through proxy, and what to show of its URL.

    Raises:
        OSError, ProxyError: As Tunnel.open does.
        Expired: The time is over.

    """
    tunnel = _BlockingTunnel(
        proxy, host, port, user_agent=user_agent, tls={}, options=options, limit=limit
    )
    opening = tunnel.open()
    try:
        opening.send(None)
    except StopIteration as result:
        sock: socket.socket = result.value.sock
        return sock, tunnel.shown
    raise AssertionError("a coroutine that waits without a loop")
