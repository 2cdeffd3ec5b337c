"""websockets: await send and recv, async for, blocking send and recv."""

from __future__ import annotations

from typing import Any

import websockets
from websockets.asyncio.client import connect

from exchange import Client, Job, awaiting, blocking, main


class Connect:
    ssl: Any = None

    async def __call__(self, job: Job) -> Any:
        if job.cafile is not None and self.ssl is None:
            self.ssl = job.ssl()
        return await connect(job.uri, compression=job.compression, proxy=None, ssl=self.ssl)


def connect_blocking(job: Job) -> Any:
    from websockets.sync.client import connect

    return connect(job.uri, compression=job.compression, proxy=None, ssl=job.ssl(), legacy=True)


def client_of(api: str) -> Client:
    return blocking(connect_blocking) if api == "sync" else awaiting(Connect())


if __name__ == "__main__":
    main("websockets", websockets.__version__, client_of)
