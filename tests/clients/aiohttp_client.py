"""A client on the aiohttp library."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import aiohttp
from aiohttp import WSMsgType
from common import Ended, Peer, Refused, serve_input


class Connection(Peer):
    def __init__(self, session: aiohttp.ClientSession, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._session = session
        self._ws = ws
        self.subprotocol = ws.protocol
        self.extension = "permessage-deflate" if ws.compress else None

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._ws.send_str(message)
        else:
            await self._ws.send_bytes(message)

    async def receive(self) -> str | bytes:
        while True:
            message = await self._ws.receive()
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                data = message.data
                assert isinstance(data, (str, bytes))
                return data
            if message.type is WSMsgType.CLOSE:
                await self._session.close()
                raise Ended(int(message.data) or 1005, message.extra or "")
            if message.type is WSMsgType.PING:
                await self._ws.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                await self._session.close()
                raise Ended(self._ws.close_code or 1006)

    async def ping(self, data: bytes) -> None:
        await self._ws.ping(data)
        message = await self._ws.receive()
        assert message.type is WSMsgType.PONG and message.data == data, message

    async def close(self, code: int, reason: str) -> None:
        if code == 1005:
            await self._ws._writer.send_frame(b"", WSMsgType.CLOSE)
            await self.receive()
        await self._ws.close(code=code, message=reason.encode())
        await self._session.close()
        raise Ended(self._ws.close_code or 1006)


async def open_peer(line: dict[str, Any]) -> Peer:
    context = ssl.create_default_context(cafile=line["ca"]) if "ca" in line else True
    session = aiohttp.ClientSession()
    try:
        ws = await session.ws_connect(
            line["uri"],
            ssl=context,
            origin=line.get("origin"),
            protocols=line.get("subprotocols", ()),
            compress=15 if line.get("compress") else 0,
            max_msg_size=0,
            autoping=False,
        )
    except aiohttp.WSServerHandshakeError as error:
        await session.close()
        raise Refused(error.status) from error
    return Connection(session, ws)


asyncio.run(serve_input(open_peer))
