"""A websockets server, and client, that pings often and gives up soon."""

from __future__ import annotations

import asyncio
import logging
import ssl
import struct
from typing import Any

from common import announce, arguments, route, tls
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

# Of the library under test 0.1 s without a poll are expected to go unnoticed.
KEEPALIVE: Any = {"ping_interval": 0.3, "ping_timeout": 1}


async def feed(connection: Any, query: dict[str, str]) -> None:
    """Once told to, send messages at a pace, each with its number; then echo."""
    await connection.recv()
    for index in range(int(query["n"])):
        await connection.send(struct.pack("!I", index) + bytes(int(query["size"]) - 4))
        await asyncio.sleep(float(query["pause"]))
    async for message in connection:
        await connection.send(message)


async def handler(connection: ServerConnection) -> None:
    assert connection.request is not None
    path, query = route(connection.request.path)
    if path == "/feed":
        await feed(connection, query)
        return
    context = ssl.create_default_context(cafile=query["ca"]) if "ca" in query else None
    async with connect(query["uri"], ssl=context, compression=None, **KEEPALIVE) as theirs:
        await connection.send("connected")
        await feed(theirs, query)


async def main() -> None:
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    options = arguments()
    async with serve(
        handler,
        "127.0.0.1",
        options.port,
        ssl=tls(options),
        compression="deflate" if options.compress else None,
        **KEEPALIVE,
    ) as server:
        announce(server.sockets[0].getsockname()[1])
        await server.serve_forever()


asyncio.run(main())
