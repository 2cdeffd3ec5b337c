"""A client on aiows."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop
from common import Ended, Peer, Refused, extension_of, serve_input

from aiows import (
    ClientConnection,
    ConnectionClosed,
    InvalidStatus,
    connect,
    create_default_context,
)

TEXT, BINARY = 1, 2


class Connection(Peer):
    def __init__(self, ws: ClientConnection) -> None:
        self._ws = ws
        self.subprotocol = ws.subprotocol
        assert ws.response is not None
        self.extension = extension_of(ws.response.headers.get("Sec-WebSocket-Extensions"))

    async def send(self, message: str | bytes) -> None:
        await self._ws.send(message)

    async def send_fragments(self, parts: list[Any]) -> None:
        kind = TEXT if isinstance(parts[0], str) else BINARY
        for index, part in enumerate(parts):
            self._ws.send_fragment(kind, index == len(parts) - 1, part)

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
        await self._ws.close(code, reason)
        await self.receive()


contexts: dict[str, Any] = {}


async def open_peer(line: dict[str, Any]) -> Peer:
    if "ca" in line and line["ca"] not in contexts:
        contexts[line["ca"]] = create_default_context(cafile=line["ca"])
    try:
        ws = await connect(
            line["uri"],
            ssl=contexts.get(line.get("ca", "")),
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


loop_factory = uvloop.new_event_loop if sys.argv[1:] == ["uvloop"] else asyncio.new_event_loop
with asyncio.Runner(loop_factory=loop_factory) as runner:
    runner.run(serve_input(open_peer))
