"""A server on the aiohttp library."""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web
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


async def handler(request: web.Request) -> web.StreamResponse:
    target = request.raw_path
    headers = [(name.decode(), value.decode()) for name, value in request.raw_headers]
    requests.add(target, headers)
    path, query = route(target)
    if (code := refusal(target, request.headers.get("Origin"))) is not None:
        return web.Response(status=code, text=f"status {code}")
    socket = web.WebSocketResponse(
        protocols=SUBPROTOCOLS, max_msg_size=0, compress=COMPRESS, autoping=path != "/ping"
    )
    await socket.prepare(request)
    try:
        await serve_path(request, socket, path, query)
    finally:
        if not socket.closed:
            await socket.close()
        closes.add(target, socket.close_code, "")
    return socket


async def serve_path(
    request: web.Request, socket: web.WebSocketResponse, path: str, query: dict[str, str]
) -> None:
    if path == "/request":
        headers = [(name.decode(), value.decode()) for name, value in request.raw_headers]
        await socket.send_str(describe(request.raw_path, headers, socket.ws_protocol))
    elif path == "/close":
        await socket.receive()
        code = int(query.get("code", "1000"))
        if code == 1005:
            write_frame(request, WSMsgType.CLOSE, True, b"")
            await socket.receive()
            return
        await socket.close(code=code, message=query.get("reason", "").encode())
        return
    elif path == "/burst":
        for message in burst(query):
            await socket.send_bytes(message)
    elif path == "/fragments":
        writer = socket._writer
        assert writer is not None
        for kind, parts in (
            (WSMsgType.TEXT, [part.encode() for part in FRAGMENTED_TEXT]),
            (WSMsgType.BINARY, FRAGMENTED_BYTES),
        ):
            for index, part in enumerate(parts):
                first, last = index == 0, index == len(parts) - 1
                opcode = kind if first else WSMsgType.CONTINUATION
                write_frame(request, opcode, last, part)
                await asyncio.sleep(0.001)
    elif path == "/ping":
        data = query.get("data", "").encode()
        await socket.ping(data)
        message = await socket.receive()
        assert message.type is WSMsgType.PONG and message.data == data, message
        await socket.send_str("pong")
    elif path == "/collect":
        collector = Collector(query)
        while (answer := collector.add(await socket.receive_bytes())) is None:
            pass
        await socket.send_str(answer)
    elif path == "/ended":
        await socket.send_str(await closes.of(query))
    elif path == "/drop":
        await socket.receive()
        assert request.transport is not None
        request.transport.abort()
        return
    elif path == "/closes":
        await socket.send_str(closes.text())
    elif path == "/requests":
        await socket.send_str(requests.text())
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)


def write_frame(request: web.Request, opcode: WSMsgType, last: bool, payload: bytes) -> None:
    # The library sends no fragments, so this writes the frame (RFC 6455 section 5.2).
    assert request.transport is not None
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    request.transport.write(bytes([(0x80 if last else 0) | opcode]) + length + payload)


async def main() -> None:
    application = web.Application()
    application.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", options.port, ssl_context=tls(options)).start()
    announce(runner.addresses[0][1])
    await asyncio.Event().wait()


options = arguments()
COMPRESS = options.compress
asyncio.run(main())
