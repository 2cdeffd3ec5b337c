"""The server under test: `serve` sends every message back."""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl

import aiows

MAX_SIZE = 64 << 20  # the longest message of the suite has 16 MiB


async def echo(connection: aiows.ServerConnection) -> None:
    try:
        async for message in connection:
            await connection.send(message)
    except aiows.ConnectionClosed:
        pass  # most cases end a connection on purpose


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert", help="certificate chain in PEM, for wss")
    parser.add_argument("--key")
    arguments = parser.parse_args()
    context = None
    if arguments.cert is not None:
        context = aiows.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.cert, arguments.key)

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with aiows.serve(echo, "127.0.0.1", 0, max_size=MAX_SIZE, ssl=context) as server:
        print(server.port, flush=True)
        await stop.wait()


asyncio.run(main())
