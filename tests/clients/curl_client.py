"""A client on libcurl, through curl_cffi's bare handles."""

from __future__ import annotations

import asyncio
import concurrent.futures
import select
from typing import Any

from common import Ended, Peer, Refused, serve_input
from curl_cffi import Curl, CurlError, CurlInfo, CurlOpt
from curl_cffi.const import CurlECode, CurlWsFlag

THREADS = concurrent.futures.ThreadPoolExecutor(256)
WEBSOCKET = 2  # for CURLOPT_CONNECT_ONLY
NO_AUTO_PONG = 2  # for CURLOPT_WS_OPTIONS


async def blocking(function: Any, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(THREADS, function, *arguments)


class Connection(Peer):
    def __init__(self, curl: Curl, head: bytes) -> None:
        self._curl = curl
        self._socket = curl.getinfo(CurlInfo.ACTIVESOCKET)
        for line in head.decode().splitlines():
            name, _, value = line.partition(":")
            if name.lower() == "sec-websocket-protocol":
                self.subprotocol = value.strip()

    async def send(self, message: str | bytes) -> None:
        await self.send_fragments([message])  # type: ignore[list-item]

    async def send_fragments(self, parts: list[Any]) -> None:
        flag = CurlWsFlag.TEXT if isinstance(parts[0], str) else CurlWsFlag.BINARY
        for index, part in enumerate(parts):
            data = part.encode() if isinstance(part, str) else part
            more = CurlWsFlag.CONT if index < len(parts) - 1 else 0
            await blocking(self._send, data, flag | more)

    def _send(self, data: bytes, flags: int) -> None:
        view = memoryview(data)
        while True:
            try:
                view = view[self._curl.ws_send(bytes(view), flags) :]
            except CurlError as error:
                if error.code != CurlECode.AGAIN:
                    raise
                select.select([], [self._socket], [])
                continue
            if not view:
                return

    async def receive(self) -> str | bytes:
        while True:
            flags, data = await blocking(self._message)
            if flags & CurlWsFlag.TEXT:
                return data.decode()
            if flags & CurlWsFlag.BINARY:
                return data

    def _message(self) -> tuple[int, bytes]:
        """Return the next message or Pong."""
        parts: list[bytes] = []
        while True:
            try:
                part, frame = self._curl.ws_recv()
            except CurlError as error:
                if error.code == CurlECode.AGAIN:
                    select.select([self._socket], [], [])
                    continue
                self._curl.close()
                raise Ended(1006) from error
            if frame.flags & CurlWsFlag.CLOSE:
                if len(part) >= 2:
                    self._answer(part[:2])
                else:
                    self._answer(b"")
                self._curl.close()
                code = int.from_bytes(part[:2], "big") if part else 1005
                raise Ended(code, part[2:].decode())
            if frame.flags & CurlWsFlag.PING:
                self._send(part, CurlWsFlag.PONG)
                continue
            if frame.flags & CurlWsFlag.PONG:
                return frame.flags, part
            parts.append(part)
            if not frame.bytesleft and not frame.flags & CurlWsFlag.CONT:
                return frame.flags, b"".join(parts)

    def _answer(self, payload: bytes) -> None:
        if not self._closing:
            self._closing = True
            self._send(payload, CurlWsFlag.CLOSE)

    _closing = False

    async def ping(self, data: bytes) -> None:
        await blocking(self._send, data, CurlWsFlag.PING)
        flags, got = await blocking(self._message)
        assert flags & CurlWsFlag.PONG and got == data, (flags, got)

    async def close(self, code: int, reason: str) -> None:
        payload = b"" if code == 1005 else code.to_bytes(2, "big") + reason.encode()
        self._answer(payload)
        await self.receive()


def connected(line: dict[str, Any]) -> Peer:
    curl = Curl()
    head: list[bytes] = []
    curl.setopt(CurlOpt.URL, line["uri"].encode())
    curl.setopt(CurlOpt.CONNECT_ONLY, WEBSOCKET)
    curl.setopt(CurlOpt.HEADERFUNCTION, head.append)
    # libcurl 8.21 keeps a Pong of its own until something else is sent.
    curl.setopt(CurlOpt.WS_OPTIONS, NO_AUTO_PONG)
    fields = []
    if "origin" in line:
        fields.append(b"Origin: " + line["origin"].encode())
    if "subprotocols" in line:
        fields.append(b"Sec-WebSocket-Protocol: " + ", ".join(line["subprotocols"]).encode())
    if fields:
        curl.setopt(CurlOpt.HTTPHEADER, fields)
    if "ca" in line:
        curl.setopt(CurlOpt.CAINFO, line["ca"].encode())
    try:
        curl.perform()
    except CurlError as error:
        status = curl.getinfo(CurlInfo.RESPONSE_CODE)
        curl.close()
        if not status:
            raise
        raise Refused(int(status)) from error  # type: ignore[arg-type]
    return Connection(curl, b"".join(head))


async def open_peer(line: dict[str, Any]) -> Peer:
    peer: Peer = await blocking(connected, line)
    return peer


asyncio.run(serve_input(open_peer))
