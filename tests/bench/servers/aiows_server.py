"""aiows: serve() with a handler, or with on_message=."""

from __future__ import annotations

import ssl
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiows
from serving import HOST, Options, main, port_of


async def echo(connection: aiows.ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def echo_back(connection: aiows.ServerConnection, message: str | bytes) -> None:
    connection.send_nowait(message)


def serve(options: Options) -> AbstractAsyncContextManager[int]:
    context = options.ssl(lambda: aiows.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    shared: Any = {"ssl": context, "compression": options.compression}
    if options.api == "callback":
        return port_of(aiows.serve(None, HOST, 0, on_message=echo_back, **shared))
    return port_of(aiows.serve(echo, HOST, 0, **shared))


if __name__ == "__main__":
    main("aiows", aiows.__version__, serve)
