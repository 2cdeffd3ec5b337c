"""A client on the picows library."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import picows
from common import Ended, Peer, Refused, serve_input
from picows import WSMsgType


class Listener(picows.WSListener):  # type: ignore[misc]
    def __init__(self) -> None:
        self.messages: asyncio.Queue[str | bytes | Ended] = asyncio.Queue()
        self.pongs: asyncio.Queue[bytes] = asyncio.Queue()
        self._kind: Any = None
        self._parts: list[bytes] = []
        self._end = Ended(1006)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            self._end = Ended(
                int(frame.get_close_code()), (frame.get_close_message() or b"").decode()
            )
            if not transport.is_close_frame_sent:
                code = frame.get_close_code()
                transport.send_close(None if code == 1005 else code)
            transport.disconnect()
        elif kind == WSMsgType.PONG:
            self.pongs.put_nowait(frame.get_payload_as_bytes())
        else:
            if kind != WSMsgType.CONTINUATION:
                self._kind = kind
            self._parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                data = b"".join(self._parts)
                self._parts.clear()
                self.messages.put_nowait(data.decode() if self._kind == WSMsgType.TEXT else data)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.messages.put_nowait(self._end)


class Connection(Peer):
    def __init__(self, transport: picows.WSTransport, listener: Listener) -> None:
        self._transport = transport
        self._listener = listener
        self.subprotocol = transport.response.headers.get("Sec-WebSocket-Protocol")

    async def send(self, message: str | bytes) -> None:
        await self.send_fragments([message])  # type: ignore[list-item]

    async def send_fragments(self, parts: list[str] | list[bytes]) -> None:
        kind = WSMsgType.TEXT if isinstance(parts[0], str) else WSMsgType.BINARY
        for index, part in enumerate(parts):
            data = part.encode() if isinstance(part, str) else part
            opcode = WSMsgType.CONTINUATION if index else kind
            self._transport.send(opcode, data, fin=index == len(parts) - 1)

    async def receive(self) -> str | bytes:
        message = await self._listener.messages.get()
        if isinstance(message, Ended):
            raise message
        return message

    async def ping(self, data: bytes) -> None:
        self._transport.send_ping(data)
        pong = await self._listener.pongs.get()
        assert pong == data, pong

    async def close(self, code: int, reason: str) -> None:
        if code == 1005:
            self._transport.send_close()
        else:
            self._transport.send_close(code, reason.encode())
        await self.receive()


async def open_peer(line: dict[str, Any]) -> Peer:
    context = ssl.create_default_context(cafile=line["ca"]) if "ca" in line else None
    fields = {}
    if "origin" in line:
        fields["Origin"] = line["origin"]
    if "subprotocols" in line:
        fields["Sec-WebSocket-Protocol"] = ", ".join(line["subprotocols"])
    try:
        transport, listener = await picows.ws_connect(
            Listener,
            line["uri"],
            ssl_context=context,
            extra_headers=fields,
            max_frame_size=64 << 20,
            websocket_handshake_timeout=None,
        )
    except picows.WSInvalidStatusError as error:
        raise Refused(int(error.response.status)) from error
    return Connection(transport, listener)


asyncio.run(serve_input(open_peer))
