"""websockets: serve() with a handler."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import websockets
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as websockets_serve

from serving import HOST, Options, main, port_of


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def serve(options: Options) -> AbstractAsyncContextManager[int]:
    context = options.python_ssl()
    return port_of(websockets_serve(echo, HOST, 0, compression=options.compression, ssl=context))


if __name__ == "__main__":
    main("websockets", websockets.__version__, serve)
