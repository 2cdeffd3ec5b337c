"""aiows: serve() with a handler."""

from __future__ import annotations

import ssl
from contextlib import AbstractAsyncContextManager

import aiows
from serving import HOST, Options, main, port_of


async def echo(connection: aiows.ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def serve(options: Options) -> AbstractAsyncContextManager[int]:
    context = options.ssl(lambda: aiows.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    return port_of(aiows.serve(echo, HOST, 0, ssl=context))


if __name__ == "__main__":
    main("aiows", aiows.__version__, serve)
