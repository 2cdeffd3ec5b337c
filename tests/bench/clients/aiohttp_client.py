"""aiohttp: await send_bytes and receive_bytes, async for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from exchange import Awaiting, Client, Job, Meter, awaiting, main


class Connection:
    """aiohttp's names behind those of the others, without a call in between."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.recv = socket.receive_bytes
        self.close = socket.close
        self.send_bytes = socket.send_bytes

    def send(self, message: Any) -> Any:
        if isinstance(message, str):
            return self.socket.send_str(message)
        return self.send_bytes(message)

    def __aiter__(self) -> AsyncIterator[Any]:
        return aiter(self.socket)


def client_of(api: str) -> Client:
    async def client(job: Job, meter: Meter) -> list[int]:
        # aiohttp opens at most 100 connections unless told otherwise.
        connector = aiohttp.TCPConnector(limit=0)
        context = job.ssl()
        options: dict[str, Any] = {} if context is None else {"ssl": context}
        async with aiohttp.ClientSession(connector=connector) as session:

            async def connect(job: Job) -> Awaiting:
                return Connection(await session.ws_connect(job.uri, max_msg_size=0, **options))

            return await awaiting(connect)(job, meter)

    return client


if __name__ == "__main__":
    main("aiohttp", aiohttp.__version__, client_of)
