"""aiohttp, for context."""

from __future__ import annotations

import aiohttp

from exchange import Job, Meter, main, ping_pong


class Connection:
    """aiohttp's names behind those of the others, without a call in between."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.send = socket.send_bytes
        self.recv = socket.receive_bytes
        self.close = socket.close


async def awaiting(job: Job, meter: Meter) -> None:
    # aiohttp opens at most 100 connections unless told otherwise.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def connect(uri: str) -> Connection:
            return Connection(await session.ws_connect(uri))

        await ping_pong(connect, job, meter)


if __name__ == "__main__":
    main("aiohttp", aiohttp.__version__, {"await": awaiting})
