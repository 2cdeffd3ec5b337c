"""A server on the websockets library."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from common import (
    FRAGMENTED_BYTES,
    FRAGMENTED_TEXT,
    SUBPROTOCOLS,
    Closes,
    Collector,
    Requests,
    announce,
    arguments,
    burst,
    describe,
    refusal,
    route,
    tls,
)
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

closes = Closes()
requests = Requests()


async def pieces(parts: list[Any]) -> AsyncIterator[Any]:
    for part in parts:
        yield part
        await asyncio.sleep(0.001)


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def handler(connection: ServerConnection) -> None:
    assert connection.request is not None
    target = connection.request.path
    requests.add(target, list(connection.request.headers.raw_items()))
    path, query = route(target)
    try:
        await serve_path(connection, path, query, target)
    finally:
        await connection.close()
        closes.add(target, connection.close_code, connection.close_reason)


async def serve_path(
    connection: ServerConnection, path: str, query: dict[str, str], target: str
) -> None:
    if path == "/request":
        assert connection.request is not None
        headers = list(connection.request.headers.raw_items())
        await connection.send(describe(target, headers, connection.subprotocol))
    elif path == "/close":
        await connection.recv()
        code = int(query.get("code", "1000"))
        if code == 1005:
            connection.protocol.send_close()
            connection.send_data()
            await connection.wait_closed()
        else:
            await connection.close(code, query.get("reason", ""))
    elif path == "/burst":
        for message in burst(query):
            await connection.send(message)
    elif path == "/fragments":
        await connection.send(pieces(FRAGMENTED_TEXT))
        await connection.send(pieces(FRAGMENTED_BYTES))
    elif path == "/parts":
        while True:
            parts = [repr(part) async for part in connection.recv_streaming()]
            await connection.send(json.dumps(parts))
    elif path == "/ping":
        await (await connection.ping(query.get("data", "")))
        await connection.send("pong")
    elif path == "/collect":
        collector = Collector(query)
        while (answer := collector.add(await connection.recv())) is None:
            pass
        await connection.send(answer)
    elif path == "/keepalive":
        connection.ping_interval = 0.05
        connection.start_keepalive()
        while not connection.latency:
            await asyncio.sleep(0.005)
        await connection.send("alive")
    elif path == "/ended":
        await connection.send(await closes.of(query))
    elif path == "/drop":
        await connection.recv()
        connection.transport.abort()
    elif path == "/closes":
        await connection.send(closes.text())
    elif path == "/requests":
        await connection.send(requests.text())
    await echo(connection)


def process_request(connection: ServerConnection, request: Request) -> Response | None:
    code = refusal(request.path, request.headers.get("Origin"))
    return None if code is None else connection.respond(code, f"status {code}")  # type: ignore[arg-type]


def choose(connection: ServerConnection, offered: Any) -> Any:
    return next((name for name in SUBPROTOCOLS if name in offered), None)


async def main() -> None:
    # Tests end connections in every way; the traceback of each says nothing.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    options = arguments()
    async with serve(
        handler,
        "127.0.0.1",
        options.port,
        ssl=tls(options),
        select_subprotocol=choose,
        process_request=process_request,
        compression="deflate" if options.compress else None,
        max_size=None,
        ping_interval=None,
        ping_timeout=None,
    ) as server:
        announce(server.sockets[0].getsockname()[1])
        await server.serve_forever()


asyncio.run(main())
