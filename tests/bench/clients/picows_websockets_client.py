"""picows.websockets: await send and recv, async for."""

from __future__ import annotations

from typing import Any

import picows
import picows.websockets

from exchange import Client, Job, awaiting, main


class Connect:
    ssl: Any = None

    async def __call__(self, job: Job) -> Any:
        if job.cafile is not None and self.ssl is None:
            self.ssl = job.ssl()
        options: dict[str, Any] = {} if self.ssl is None else {"ssl": self.ssl}
        return await picows.websockets.connect(
            job.uri, compression=job.compression, proxy=None, **options
        )


def client_of(api: str) -> Client:
    return awaiting(Connect())


if __name__ == "__main__":
    main("picows.websockets", picows.__version__, client_of)
