"""Follow a feed over several servers, subscribing again after each reconnect."""

import asyncio
import sys

from aiows import ClientConnection, ConnectionClosed, connect


async def subscribe(ws: ClientConnection) -> None:
    await ws.send_json({"subscribe": "prices"})


async def main(uris: list[str]) -> None:
    async for ws in connect(uris, on_open=subscribe):
        print("connected to", ws.uri)
        try:
            async for message in ws:
                print(message)
        except ConnectionClosed as error:
            print("lost:", error)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
