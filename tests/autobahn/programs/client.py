"""The client under test: asks a fuzzing server for its cases, and sends every message back."""

from __future__ import annotations

import argparse
import asyncio

import aiows
from aiows.extensions.permessage_deflate import ClientPerMessageDeflateFactory

MAX_SIZE = 64 << 20  # the longest message of the suite has 16 MiB
# kosoku's cases 13.2, 13.5 and 13.6 want an offer that speaks of client_no_context_takeover:
# it comes second.
OFFERS = (
    ClientPerMessageDeflateFactory(client_max_window_bits=True),
    ClientPerMessageDeflateFactory(client_max_window_bits=True, client_no_context_takeover=True),
)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("uri")
    parser.add_argument("agent", help="the name in the report")
    parser.add_argument("--ca", help="authority of the server's certificate, for wss")
    parser.add_argument("--at-once", type=int, default=1, help="cases run side by side (1)")
    arguments = parser.parse_args()
    context = None
    if arguments.ca is not None:
        context = aiows.create_default_context(cafile=arguments.ca)

    def connect(path: str) -> aiows.connect:
        return aiows.connect(
            arguments.uri + path,
            max_size=MAX_SIZE,
            ssl=context,
            compression=None,
            extensions=OFFERS,
        )

    async def run(case: int) -> None:
        async with room:
            try:
                async with connect(f"/runCase?case={case}&agent={arguments.agent}") as connection:
                    async for message in connection:
                        await connection.send(message)
            except aiows.ConnectionClosed:
                pass  # most cases end a connection on purpose

    room = asyncio.Semaphore(arguments.at_once)
    async with connect("/getCaseCount") as connection:
        count = int(await connection.recv())
    async with asyncio.TaskGroup() as cases:
        for case in range(1, count + 1):
            cases.create_task(run(case))
    async with connect(f"/updateReports?agent={arguments.agent}") as connection:
        await connection.wait_closed()


asyncio.run(main())
