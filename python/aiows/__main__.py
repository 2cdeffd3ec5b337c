"""The command line: ``python -m aiows``."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import sys
from collections.abc import Sequence
from ssl import PROTOCOL_TLS_SERVER

from .version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="aiows", description="WebSocket tools.")
    parser.add_argument("--version", action="store_true", help="print versions and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    echo = commands.add_parser(
        "echo",
        help="run a server that sends every message back",
        description="Run a server that sends every message back, until interrupted.",
    )
    echo.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    echo.add_argument(
        "--port", type=int, default=0, help="port (default: one that the system chooses)"
    )
    echo.add_argument("--tls-cert", metavar="FILE", help="PEM chain, for wss")
    echo.add_argument(
        "--tls-key", metavar="FILE", help="PEM key (default: in the file of the chain)"
    )
    options = parser.parse_args(arguments)
    if options.version:
        from ._library import version

        print(f"aiows {__version__}, libaiows {version()}, Python {platform.python_version()}")
        return 0
    if options.command is None:
        parser.print_usage(sys.stderr)
        return 2
    if options.tls_key and not options.tls_cert:
        parser.error("--tls-key needs --tls-cert")
    try:
        asyncio.run(_echo(options))
    except (OSError, ValueError) as error:
        print(f"aiows: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


async def _echo(options: argparse.Namespace) -> None:
    from .server import ServerConnection, serve

    ssl = None
    if options.tls_cert:
        from .tls import SSLContext

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


if __name__ == "__main__":
    sys.exit(main())
