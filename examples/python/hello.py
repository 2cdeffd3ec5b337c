import asyncio
import sys

from aiows import AioWebSocket


async def main(uri: str, message: str) -> None:
    async with AioWebSocket(uri) as aws:
        converse = aws.manipulator
        await converse.send(message)
        print(await converse.receive(text=True))


asyncio.run(main(sys.argv[1], sys.argv[2]))
