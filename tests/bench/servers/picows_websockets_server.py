"""picows.websockets: serve() with a handler."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import picows
import picows.websockets

from serving import HOST, Options, main, port_of


async def echo(connection: picows.websockets.ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def serve(options: Options) -> AbstractAsyncContextManager[int]:
    context = options.python_ssl()
    extra = {} if context is None else {"ssl": context}
    compression = options.compression
    return port_of(picows.websockets.serve(echo, HOST, 0, compression=compression, **extra))


if __name__ == "__main__":
    main("picows.websockets", picows.__version__, serve)
