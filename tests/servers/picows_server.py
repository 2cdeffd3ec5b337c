"""A server on the picows library."""

from __future__ import annotations

import asyncio
from typing import Any

import picows
from common import (
    FRAGMENTED_BYTES,
    FRAGMENTED_TEXT,
    SUBPROTOCOLS,
    Closes,
    Collector,
    Requests,
    announce,
    arguments,
    burst,
    describe,
    refusal,
    route,
    tls,
)

closes = Closes()
requests = Requests()


class Listener(picows.WSListener):  # type: ignore[misc]
    def __init__(self, request: picows.WSUpgradeRequest, subprotocol: str | None) -> None:
        self.request = request
        self.subprotocol = subprotocol
        self.target = request.path.decode()
        self.path, self.query = route(self.target)
        requests.add(self.target, list(request.headers.items()))
        self.kind: Any = None
        self.parts: list[bytes] = []
        self.closed = 1006, ""
        self.collector = Collector(self.query)
        self.telling: asyncio.Task[None] | None = None

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        if self.path == "/request":
            headers = list(self.request.headers.items())
            self.send_text(transport, describe(self.target, headers, self.subprotocol))
        elif self.path == "/burst":
            for message in burst(self.query):
                transport.send(picows.WSMsgType.BINARY, message)
        elif self.path == "/fragments":
            for kind, parts in (
                (picows.WSMsgType.TEXT, [part.encode() for part in FRAGMENTED_TEXT]),
                (picows.WSMsgType.BINARY, FRAGMENTED_BYTES),
            ):
                for index, part in enumerate(parts):
                    opcode = picows.WSMsgType.CONTINUATION if index else kind
                    transport.send(opcode, part, fin=index == len(parts) - 1)
        elif self.path == "/ping":
            transport.send_ping(self.query.get("data", "").encode())
        elif self.path == "/closes":
            self.send_text(transport, closes.text())
        elif self.path == "/ended":
            self.telling = asyncio.create_task(self.tell_end(transport))
        elif self.path == "/requests":
            self.send_text(transport, requests.text())

    async def tell_end(self, transport: picows.WSTransport) -> None:
        self.send_text(transport, await closes.of(self.query))

    def send_text(self, transport: picows.WSTransport, text: str) -> None:
        transport.send(picows.WSMsgType.TEXT, text.encode())

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if kind == picows.WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == picows.WSMsgType.PONG:
            if self.path == "/ping":
                assert frame.get_payload_as_bytes() == self.query.get("data", "").encode()
                self.send_text(transport, "pong")
        elif kind == picows.WSMsgType.CLOSE:
            code = frame.get_close_code()
            self.closed = int(code), (frame.get_close_message() or b"").decode()
            transport.send_close(code if code != 1005 else picows.WSCloseCode.OK)
            transport.disconnect()
        elif self.path == "/close":
            code = int(self.query.get("code", "1000"))
            if code == 1005:
                transport.underlying_transport.write(b"\x88\x00")
                return
            transport.send_close(code, self.query.get("reason", "").encode())
        elif self.path == "/collect":
            if (answer := self.collector.add(frame.get_payload_as_bytes())) is not None:
                self.send_text(transport, answer)
        elif self.path == "/drop":
            transport.underlying_transport.abort()
        else:
            self.echo(transport, frame)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        closes.add(self.target, *self.closed)

    def echo(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type != picows.WSMsgType.CONTINUATION:
            self.kind = frame.msg_type
        self.parts.append(frame.get_payload_as_bytes())
        if frame.fin:
            transport.send(self.kind, b"".join(self.parts))
            self.parts.clear()


def make_listener(request: picows.WSUpgradeRequest) -> Any:
    code = refusal(request.path.decode(), request.headers.get("Origin"))
    if code is not None:
        refused = picows.WSUpgradeResponse.create_error_response(code, f"status {code}".encode())
        return picows.WSUpgradeResponseWithListener(refused, None)
    offered = request.headers.get("Sec-WebSocket-Protocol", "").replace(" ", "").split(",")
    chosen = next((name for name in SUBPROTOCOLS if name in offered), None)
    extra = {} if chosen is None else {"Sec-WebSocket-Protocol": chosen}
    response = picows.WSUpgradeResponse.create_101_response(extra_headers=extra)
    return picows.WSUpgradeResponseWithListener(response, Listener(request, chosen))


async def main() -> None:
    options = arguments()
    server = await picows.ws_create_server(
        make_listener,
        "127.0.0.1",
        options.port,
        ssl=tls(options),
        enable_auto_pong=False,
        max_frame_size=64 << 20,
    )
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
