"""``aiows echo``: a server that sends every message back."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from ssl import PROTOCOL_TLS_SERVER

from ..server import ServerConnection, serve


def run(options: argparse.Namespace) -> int:
    try:
        asyncio.run(_echo(options))
    except (OSError, ValueError) as error:
        print(f"aiows: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


async def _echo(options: argparse.Namespace) -> None:
    ssl = None
    if options.tls_cert:
        from ..tls import SSLContext

        ssl = SSLContext(PROTOCOL_TLS_SERVER)
        ssl.load_cert_chain(options.tls_cert, options.tls_key)

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, options.host, options.port, ssl=ssl, max_size=None) as server:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.close)
        scheme = "ws" if ssl is None else "wss"
        host = f"[{options.host}]" if ":" in options.host else options.host or "localhost"
        print(f"listening on {scheme}://{host}:{server.port} pid {os.getpid()}", flush=True)
        await server.wait_closed()
