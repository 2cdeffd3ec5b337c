"""websockets, for context."""

from __future__ import annotations

import websockets
from websockets.asyncio.client import connect

from exchange import Job, Meter, main, ping_pong


async def awaiting(job: Job, meter: Meter) -> None:
    await ping_pong(lambda uri: connect(uri, compression=None), job, meter)


if __name__ == "__main__":
    main("websockets", websockets.__version__, {"await": awaiting})
