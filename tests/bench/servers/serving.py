"""What the servers under test share: they echo until standard input ends."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Options:
    api: str  # "callback" or "iterate" (a handler with async for), for those that have both
    certificate: Path | None
    compression: str | None  # what libraries are to be given as compression=

    def ssl(self, create: Callable[[], Any]) -> Any:
        """Return a context made with create and our certificate, or None for ws."""
        if self.certificate is None:
            return None
        context = create()
        context.load_cert_chain(self.certificate / "cert.pem", self.certificate / "key.pem")
        return context

    def python_ssl(self) -> ssl.SSLContext | None:
        """Return a context of the ssl module, or None for ws."""
        found: ssl.SSLContext | None = self.ssl(lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        return found


# A server: yields the port.
Serve = Callable[[Options], AbstractAsyncContextManager[int]]


async def _serve(serve: Serve, options: Options, version: str) -> None:
    scheme = "ws" if options.certificate is None else "wss"
    async with serve(options) as port:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
        print(f"listening on {scheme}://{HOST}:{port}/ with {version}", flush=True)
        await ended.wait()


def main(name: str, version: str, serve: Serve) -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(description=f"an echo server of {name}")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--api", choices=["callback", "iterate"], default="iterate")
    parser.add_argument("--certificate", type=Path, help="directory of cert.pem and key.pem")
    parser.add_argument("--compress", action="store_true", help="agree to permessage-deflate")
    arguments = parser.parse_args()
    compression = "deflate" if arguments.compress else None
    options = Options(arguments.api, arguments.certificate, compression)
    running = _serve(serve, options, version)
    if arguments.loop == "uvloop":
        import uvloop

        uvloop.run(running)
    else:
        asyncio.run(running)


@contextlib.asynccontextmanager
async def port_of(starting: Any) -> AsyncIterator[int]:
    """Start what `await` starts and yield the port of its first socket."""
    server = await starting
    yield server.sockets[0].getsockname()[1]
