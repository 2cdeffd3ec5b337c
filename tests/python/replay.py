"""Replays golden vectors: ../golden/README.md says what it reads and prints."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiows import ConnectionClosed, InvalidHandshake, InvalidStatus, connect, serve


def say(line: str) -> None:
    print(line, flush=True)


def options_of(target: str) -> dict[str, Any]:
    query = parse_qs(urlsplit(target).query)
    limit = int(query.get("limit", ["0"])[0])
    return {
        "max_size": limit or None,
        "ping_interval": None,
        "compression": "deflate" if "deflate" in query else None,
    }


async def converse(ws: Any) -> None:
    say(f"open {ws.subprotocol or '-'}")
    try:
        while True:
            message = await ws.recv()
            text = isinstance(message, str)
            kind, data = ("text", message.encode()) if text else ("binary", message)
            say(f"message {kind} {data.hex() or '-'}")
    except ConnectionClosed as closed:
        received, sent = closed.rcvd, closed.sent
    code = received.code if received is not None else 1006
    reason = received.reason.encode().hex() if received is not None else ""
    await ws.wait_closed()
    say(f"end {code} {sent.code if sent is not None else 0} {reason or '-'}")


async def lines() -> AsyncIterator[str]:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield line.decode().rstrip()
    transport.close()


async def client() -> None:
    async for line in lines():
        uri, key, offer = line.split(" ")
        try:
            ws = await connect(
                uri,
                additional_headers={} if key == "-" else {"Sec-WebSocket-Key": key},
                subprotocols=None if offer == "-" else offer.split(","),
                **options_of(uri),
            )
        except InvalidStatus as refused:
            say(f"failed {refused.response.status_code}")
        except InvalidHandshake:
            say("failed 0")
        else:
            await converse(ws)


async def server() -> None:
    async with contextlib.AsyncExitStack() as servers:
        async for query in lines():
            running = await servers.enter_async_context(
                serve(converse, "127.0.0.1", 0, **options_of("?" + query))
            )
            say(f"port {running.sockets[0].getsockname()[1]}")


asyncio.run(client() if sys.argv[1] == "connect" else server())
