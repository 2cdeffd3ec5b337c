"""
Servers that do one thing wrong, which the gate must notice.

usage: faulty_server.py FAULT
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import aiows

LIVES = 5  # connections until the program is gone


async def change(connection: aiows.ServerConnection) -> None:
    """Send every message back with its last octet changed."""
    async for message in connection:
        if isinstance(message, bytes) and message:
            message = message[:-1] + bytes([message[-1] ^ 1])
        await connection.send(message)


async def hang_up(connection: aiows.ServerConnection) -> None:
    """End the connection after the first message, without a close handshake."""
    async for message in connection:
        await connection.send(message)
        connection._abort()


async def echo(connection: aiows.ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def die(connection: aiows.ServerConnection) -> None:
    """End the whole program in the middle of the cases."""
    global LIVES
    LIVES -= 1
    if LIVES == 0:
        os._exit(3)
    await echo(connection)


async def main(fault: str) -> None:
    handlers = {"change": change, "hang-up": hang_up, "die": die, "no-compression": echo}
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    compression = None if fault == "no-compression" else "deflate"
    async with aiows.serve(
        handlers[fault], "127.0.0.1", 0, compression=compression, max_size=1 << 26
    ) as server:
        print(server.port, flush=True)
        await stop.wait()


asyncio.run(main(sys.argv[1]))
