"""websockets: await send and recv, async for."""

from __future__ import annotations

from typing import Any

import websockets
from websockets.asyncio.client import connect

from exchange import Client, Job, awaiting, main


class Connect:
    ssl: Any = None

    async def __call__(self, job: Job) -> Any:
        if job.cafile is not None and self.ssl is None:
            self.ssl = job.ssl()
        return await connect(job.uri, compression=job.compression, proxy=None, ssl=self.ssl)


def client_of(api: str) -> Client:
    return awaiting(Connect())


if __name__ == "__main__":
    main("websockets", websockets.__version__, client_of)
