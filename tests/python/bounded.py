"""
A client whose memory must not grow, for test_client_memory.

    bounded.py receive|stream URI SECONDS   read slowly what comes fast
    bounded.py send URI SECONDS             send fast what is read slowly

Prints the megabytes of RSS after a tenth of the time, the most of them later on, and
how many messages or fragments were exchanged.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator

from aiows import ClientConnection, connect

SIZE = 65536
PAUSE_S = 0.01


def rss() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


async def exchange(ws: ClientConnection, how: str) -> AsyncIterator[None]:
    while True:
        if how == "receive":
            await ws.recv()
            await asyncio.sleep(PAUSE_S)
            yield
        elif how == "stream":
            async for _ in ws.recv_streaming():
                await asyncio.sleep(PAUSE_S)
                yield
        else:
            await ws.send(bytes(SIZE))
            yield


async def main(how: str, uri: str, seconds: float) -> None:
    start = settled = most = 0.0
    count = 0
    async with connect(uri, max_size=(None, 2**20), compression=None) as ws:
        async for _ in exchange(ws, how):
            count += 1
            start = start or time.monotonic()
            passed = time.monotonic() - start
            if passed < seconds / 10:
                settled = rss()
            else:
                most = max(most, rss())
            if passed > seconds:
                break
        await ws.close()
    print(f"{settled:.1f} {most:.1f} {count}")


asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
