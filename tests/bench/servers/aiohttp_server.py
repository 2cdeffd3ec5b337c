"""aiohttp: a WebSocketResponse in a web application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import WSMsgType, web

from serving import HOST, Options, main


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=0, compress=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


@contextlib.asynccontextmanager
async def serve(options: Options) -> AsyncIterator[int]:
    application = web.Application()
    application.router.add_get("/", echo)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0, ssl_context=options.python_ssl())
    await site.start()
    yield runner.addresses[0][1]


if __name__ == "__main__":
    main("aiohttp", aiohttp.__version__, serve)
