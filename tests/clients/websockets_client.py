"""A client on the websockets library."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

from common import Ended, Peer, Refused, extension_of, serve_input
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


class Connection(Peer):
    def __init__(self, ws: ClientConnection) -> None:
        self._ws = ws
        self.subprotocol = ws.subprotocol
        assert ws.response is not None
        self.extension = extension_of(ws.response.headers.get("Sec-WebSocket-Extensions"))

    async def send(self, message: str | bytes) -> None:
        await self._ws.send(message)

    async def send_fragments(self, parts: list[Any]) -> None:
        async def pieces() -> AsyncIterator[Any]:
            for part in parts:
                yield part

        await self._ws.send(pieces())

    async def receive(self) -> str | bytes:
        try:
            return await self._ws.recv()
        except ConnectionClosed as error:
            if error.rcvd is None:
                raise Ended(1006) from error
            raise Ended(error.rcvd.code, error.rcvd.reason) from error

    async def ping(self, data: bytes) -> None:
        await (await self._ws.ping(data))

    async def keepalive(self) -> None:
        while not self._ws.latency:
            await asyncio.sleep(0.005)

    async def close(self, code: int, reason: str) -> None:
        if code == 1005:
            self._ws.protocol.send_close()
            self._ws.send_data()
        else:
            await self._ws.close(code, reason)
        await self.receive()


async def open_peer(line: dict[str, Any]) -> Peer:
    context = ssl.create_default_context(cafile=line["ca"]) if "ca" in line else None
    try:
        ws = await connect(
            line["uri"],
            ssl=context,
            origin=line.get("origin"),
            subprotocols=line.get("subprotocols"),
            compression="deflate" if line.get("compress") else None,
            max_size=None,
            open_timeout=None,
            ping_interval=0.05 if line.get("keepalive") else None,
            ping_timeout=None,
        )
    except InvalidStatus as error:
        raise Refused(error.response.status_code) from error
    return Connection(ws)


asyncio.run(serve_input(open_peer))
