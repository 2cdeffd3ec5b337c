"""
A websockets server that counts: nothing may be lost, repeated or out of order.

    /numbers?id=a&n=100&gap=0.001   sends the texts "0" to "n-1", some in fragments, with
                                    pauses of up to gap seconds; notes what comes
    /record?id=a                    the JSON list of what came on that connection, once it
                                    has ended
    /flood?size=65536               sends binary messages for as long as the client reads
    /long?size=65536                the same as one message without an end
    /slow?pause=0.01                reads a message every pause seconds
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator

from common import announce, arguments, route
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

records: dict[str, asyncio.Future[list[str]]] = {}


def record(identity: str) -> asyncio.Future[list[str]]:
    return records.setdefault(identity, asyncio.get_running_loop().create_future())


async def pieces(text: str, gap: float) -> AsyncIterator[str]:
    for character in text:
        if random.random() < 0.3:
            await asyncio.sleep(random.random() * gap)
        yield character


async def endless(part: bytes) -> AsyncIterator[bytes]:
    while True:
        yield part


async def count(connection: ServerConnection, n: int, gap: float) -> None:
    for number in range(n):
        text = str(number)
        await connection.send(pieces(text, gap) if number % 3 == 0 else text)
        if random.random() < 0.2:
            await asyncio.sleep(random.random() * gap)


async def note(connection: ServerConnection, came: list[str]) -> None:
    async for message in connection:
        assert isinstance(message, str)
        came.append(message)


async def handler(connection: ServerConnection) -> None:
    assert connection.request is not None
    path, query = route(connection.request.path)
    try:
        if path == "/numbers":
            came: list[str] = []
            noting = asyncio.create_task(note(connection, came))
            try:
                await count(connection, int(query["n"]), float(query.get("gap", "0.001")))
            except ConnectionClosed:
                pass
            await asyncio.wait([noting])
            noting.exception()  # how it ended is the client's affair
            record(query["id"]).set_result(came)
        elif path == "/record":
            await connection.send(json.dumps(await record(query["id"])))
        elif path == "/flood":
            message = bytes(int(query.get("size", "65536")))
            while True:
                await connection.send(message)
        elif path == "/long":
            await connection.send(endless(bytes(int(query.get("size", "65536")))))
        elif path == "/slow":
            while True:
                await connection.recv()
                await asyncio.sleep(float(query.get("pause", "0.01")))
    except ConnectionClosed:
        pass


async def main() -> None:
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    options = arguments()
    async with serve(
        handler, "127.0.0.1", options.port, max_size=None, ping_interval=None
    ) as server:
        announce(server.sockets[0].getsockname()[1])
        await server.serve_forever()


asyncio.run(main())
