"""A server on aiows."""

from __future__ import annotations

import argparse
import asyncio
import logging
import ssl
from typing import Any

import uvloop
from common import (
    FRAGMENTED_BYTES,
    FRAGMENTED_TEXT,
    SUBPROTOCOLS,
    Closes,
    Collector,
    Requests,
    announce,
    burst,
    describe,
    parser,
    refusal,
    route,
)

import aiows

TEXT, BINARY = 1, 2
MAX_SIZE = 32 << 20

closes = Closes()
requests = Requests()


async def echo(connection: aiows.ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def handler(connection: aiows.ServerConnection) -> None:
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
    connection: aiows.ServerConnection, path: str, query: dict[str, str], target: str
) -> None:
    if path == "/request":
        assert connection.request is not None
        headers = list(connection.request.headers.raw_items())
        await connection.send(describe(target, headers, connection.subprotocol))
    elif path == "/close":
        await connection.recv()
        await connection.close(int(query.get("code", "1000")), query.get("reason", ""))
        return
    elif path == "/burst":
        for message in burst(query):
            await connection.send(message)
    elif path == "/collect":
        collector = Collector(query)
        while (answer := collector.add(await connection.recv())) is None:
            pass
        await connection.send(answer)
    elif path == "/fragments":
        for kind, parts in ((TEXT, FRAGMENTED_TEXT), (BINARY, FRAGMENTED_BYTES)):
            for index, part in enumerate(parts):
                connection.send_fragment(kind, index == len(parts) - 1, part)
                await asyncio.sleep(0.001)
    elif path == "/ping":
        await (await connection.ping(query.get("data", "")))
        await connection.send("pong")
    elif path == "/keepalive":
        # Several times: a client that answers once only would be lost at the second Ping.
        seen = {0.0}
        while len(seen) < 4:
            await asyncio.sleep(0.005)
            seen.add(connection.latency)
        await connection.send("alive")
    elif path == "/drop":
        await connection.recv()
        connection._abort()
        await connection.wait_closed()
        return
    elif path == "/closes":
        await connection.send(closes.text())
    elif path == "/ended":
        await connection.send(await closes.of(query))
    elif path == "/requests":
        await connection.send(requests.text())
    await echo(connection)


def process_request(
    connection: aiows.ServerConnection, request: aiows.Request
) -> aiows.Response | None:
    code = refusal(request.path, request.headers.get("Origin"))
    return None if code is None else connection.respond(code, f"status {code}")


async def main(options: argparse.Namespace) -> None:
    # Tests end connections in every way; the traceback of each says nothing.
    logging.getLogger("aiows").setLevel(logging.CRITICAL)
    context = None
    if options.cert is not None:
        context = aiows.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
    shared: dict[str, Any] = {
        "ssl": context,
        "max_size": MAX_SIZE,
        "open_timeout": None,
        "ping_timeout": None,
        "process_request": process_request,
        "compression": "deflate" if options.compress else None,
    }
    async with (
        aiows.serve(handler, "127.0.0.1", options.port, ping_interval=None, **shared) as server,
        # Clients that offer none of the subprotocols are refused, hence a port of its own.
        aiows.serve(
            handler, "127.0.0.1", 0, ping_interval=0.05, subprotocols=SUBPROTOCOLS, **shared
        ) as strict,
    ):
        announce(server.port, strict.port)
        await server.serve_forever()


arguments = parser()
arguments.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
options = arguments.parse_args()
loop_factory = uvloop.new_event_loop if options.loop == "uvloop" else asyncio.new_event_loop
with asyncio.Runner(loop_factory=loop_factory) as runner:
    runner.run(main(options))
