"""Connect through a proxy, and say what is wrong with it when that fails."""

import asyncio
import sys

from aiows import InvalidProxyStatus, ProxyError, connect


async def main(uri: str, proxy: str) -> None:
    try:
        async with connect(uri, proxy=proxy) as ws:
            await ws.send("hello")
            print(await ws.recv())
    except InvalidProxyStatus as error:
        print(error)
        print(error.response.headers, error.response.body.decode("utf-8", "replace"))
    except (ProxyError, OSError) as error:  # it refused; or it, or the server, is not there
        print(error)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
