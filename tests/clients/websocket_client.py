"""A client on the websocket-client library: each connection blocks in threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ssl
from typing import Any

import websocket
from common import Ended, Peer, Refused, serve_input
from websocket import ABNF

THREADS = concurrent.futures.ThreadPoolExecutor(256)


async def blocking(function: Any, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(THREADS, function, *arguments)


class Connection(Peer):
    def __init__(self, ws: websocket.WebSocket) -> None:
        self._ws = ws
        self.subprotocol = ws.getsubprotocol()

    async def send(self, message: str | bytes) -> None:
        await blocking(
            self._ws.send_text if isinstance(message, str) else self._ws.send,
            *((message,) if isinstance(message, str) else (message, ABNF.OPCODE_BINARY)),
        )

    async def send_fragments(self, parts: list[Any]) -> None:
        kind = ABNF.OPCODE_TEXT if isinstance(parts[0], str) else ABNF.OPCODE_BINARY
        for index, part in enumerate(parts):
            data = part.encode() if isinstance(part, str) else part
            last = index == len(parts) - 1
            opcode = ABNF.OPCODE_CONT if index else kind
            await blocking(self._ws.send_frame, ABNF(int(last), 0, 0, 0, opcode, 1, data))

    async def receive(self) -> str | bytes:
        opcode, data = await blocking(self._frame)
        return data.decode() if opcode == ABNF.OPCODE_TEXT else data

    def _frame(self, control: bool = False) -> tuple[int, bytes]:
        try:
            opcode, frame = self._ws.recv_data_frame(control)
        except (websocket.WebSocketConnectionClosedException, ConnectionError) as error:
            self._ws.shutdown()
            raise Ended(1006) from error
        data = bytes(frame.data)
        if opcode == ABNF.OPCODE_CLOSE:
            self._ws.shutdown()
            raise ended(data)
        return opcode, data

    async def ping(self, data: bytes) -> None:
        self._ws.ping(data)
        opcode, got = await blocking(self._frame, True)
        assert (opcode, got) == (ABNF.OPCODE_PONG, data), (opcode, got)

    async def close(self, code: int, reason: str) -> None:
        if code == 1005:
            self._ws.send(b"", ABNF.OPCODE_CLOSE)
            await blocking(self._frame)
        await blocking(self._ws.close, code, reason, None)
        if self._ws.close_frame is None:
            raise Ended(1006)
        raise ended(bytes(self._ws.close_frame.data))


def ended(data: bytes) -> Ended:
    """Return what the payload of a Close frame says (RFC 6455 section 5.5.1)."""
    return Ended(int.from_bytes(data[:2], "big") if data else 1005, data[2:].decode())


async def open_peer(line: dict[str, Any]) -> Peer:
    options: dict[str, Any] = {}
    if "ca" in line:
        options["sslopt"] = {"ca_certs": line["ca"], "cert_reqs": ssl.CERT_REQUIRED}
    for name in ("origin", "subprotocols"):
        if name in line:
            options[name] = line[name]
    try:
        ws = await blocking(lambda: websocket.create_connection(line["uri"], **options))
    except websocket.WebSocketBadStatusException as error:
        raise Refused(error.status_code) from error
    return Connection(ws)


asyncio.run(serve_input(open_peer))
