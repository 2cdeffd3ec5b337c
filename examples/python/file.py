"""Send a file to an echo server in one message, and write what comes back to another."""

import asyncio
import sys
from collections.abc import Iterator

from aiows import connect


def pieces(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(65536):
            yield piece


async def main(uri: str, source: str, target: str) -> None:
    # Without a limit a message is read frame by frame, a long frame in pieces.
    async with connect(uri, max_size=None) as ws:
        await ws.send(pieces(source))
        with open(target, "wb") as file:
            async for piece in ws.recv_streaming(decode=False):
                file.write(piece)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
