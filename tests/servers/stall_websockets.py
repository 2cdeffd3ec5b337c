"""A websockets server, and client, that pings often and gives up soon."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import struct
from collections.abc import AsyncIterator
from typing import Any

from common import announce, arguments, route, tls
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

# Of the library under test 0.1 s without a poll are expected to go unnoticed.
INTERVAL_S, TIMEOUT_S, TURNS = 0.3, 1.0, 10


async def keepalive(connection: Any) -> None:
    """
    Ping every 0.3 s, give up after 1 s.

    The library's own keepalive takes the time in which this process did not run
    for the other side's: here the answer has as many turns of the event loop.

    """
    while True:
        await asyncio.sleep(INTERVAL_S)
        pong = await connection.ping()
        for _ in range(TURNS):
            if (await asyncio.wait([pong], timeout=TIMEOUT_S / TURNS))[0]:
                break
        else:
            await connection.close(1011, "no pong")
            return


@contextlib.asynccontextmanager
async def kept_alive(connection: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(keepalive(connection))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
            await task


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
    async with kept_alive(connection):
        if path == "/feed":
            await feed(connection, query)
            return
        context = ssl.create_default_context(cafile=query["ca"]) if "ca" in query else None
        async with (
            connect(query["uri"], ssl=context, compression=None, ping_interval=None) as theirs,
            kept_alive(theirs),
        ):
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
        ping_interval=None,
    ) as server:
        announce(server.sockets[0].getsockname()[1])
        await server.serve_forever()


asyncio.run(main())
