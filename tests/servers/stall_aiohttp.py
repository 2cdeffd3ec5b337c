"""An aiohttp server, and client, whose heartbeat gives up soon."""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import Any

import aiohttp
from aiohttp import web
from common import announce, arguments, route, tls

# A ping after this time without data, and half of it for the answer.
HEARTBEAT_S = 3.0


async def feed(socket: Any, query: dict[str, str]) -> None:
    """Once told to, send messages at a pace, each with its number; then echo."""
    await socket.receive_str()
    # Without reading aiohttp sees no pong.
    reading = asyncio.create_task(socket.receive_str())
    for index in range(int(query["n"])):
        await socket.send_bytes(struct.pack("!I", index) + bytes(int(query["size"]) - 4))
        await asyncio.sleep(float(query["pause"]))
    await socket.send_str(await reading)
    async for message in socket:
        await socket.send_str(message.data)


async def handler(request: web.Request) -> web.StreamResponse:
    path, query = route(request.raw_path)
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, compress=False)
    await socket.prepare(request)
    if path == "/feed":
        await feed(socket, query)
        return socket
    context = ssl.create_default_context(cafile=query["ca"]) if "ca" in query else True
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(query["uri"], heartbeat=HEARTBEAT_S, ssl=context) as theirs,
    ):
        await socket.send_str("connected")
        await feed(theirs, query)
    return socket


async def main() -> None:
    options = arguments()
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", options.port, ssl_context=tls(options))
    await site.start()
    announce(runner.addresses[0][1])
    await asyncio.Event().wait()


asyncio.run(main())
