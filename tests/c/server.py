"""
The `websockets` server that the C tests talk to, a process of its own.

Prints its ports, ws, wss and that of an http proxy for user "c" with password "p ss", as
JSON. What a connection does follows its path:

    /echo      returns every message
    /ping      sends a Ping "are you there", then the payload of the Pong as text
    /close     closes with 4001 "on purpose"
    /flood     sends 10,000 binary messages of 100 bytes
    /headers   sends the request's fields as JSON
    /deaf?name reads nothing until somebody asks for /wake?name
    /impatient?name&seconds
               sends 3 Pings, then 10,000 bytes of text; without a Pong in time it is gone
    /fate?name tells how that went: "alive", or "gave up"
    /drop      closes the socket without a Close frame
    /missing   answers 404 with a body
    /redirect?location
               answers 302
"""

from __future__ import annotations

import asyncio
import base64
import collections
import contextlib
import http
import json
import logging
import ssl
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import unquote

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def ping(ws: ServerConnection) -> None:
    await (await ws.ping("are you there"))
    await ws.send("thank you")
    await echo(ws)


async def close(ws: ServerConnection) -> None:
    await ws.close(4001, "on purpose")


async def flood(ws: ServerConnection) -> None:
    for i in range(10_000):
        await ws.send(i.to_bytes(4, "big") * 25)
    await echo(ws)


async def headers(ws: ServerConnection) -> None:
    assert ws.request is not None
    await ws.send(json.dumps(list(ws.request.headers.raw_items())))
    await echo(ws)


wakes: dict[str, asyncio.Event] = {}


async def deaf(ws: ServerConnection) -> None:
    ws.transport.pause_reading()
    awake = wakes[arguments(ws)[0]] = asyncio.Event()
    await ws.send("asleep")
    await awake.wait()
    ws.transport.resume_reading()
    async for _ in ws:
        pass


async def wake(ws: ServerConnection) -> None:
    wakes[arguments(ws)[0]].set()
    await echo(ws)


fates: collections.defaultdict[str, asyncio.Queue[str]] = collections.defaultdict(asyncio.Queue)


async def impatient(ws: ServerConnection) -> None:
    name, seconds = arguments(ws)
    try:
        for _ in range(3):
            await asyncio.wait_for(await ws.ping(), float(seconds))
    except (TimeoutError, ConnectionClosed):
        ws.transport.abort()
        fates[name].put_nowait("gave up")
        return
    await ws.send("x" * 10_000)
    fates[name].put_nowait("alive")
    await echo(ws)


async def fate(ws: ServerConnection) -> None:
    await ws.send(await fates[arguments(ws)[0]].get())
    await echo(ws)


def arguments(ws: ServerConnection) -> list[str]:
    assert ws.request is not None
    return ws.request.path.partition("?")[2].split("&")


async def drop(ws: ServerConnection) -> None:
    ws.transport.abort()


SERVED = (echo, ping, close, flood, headers, deaf, wake, impatient, fate, drop)
PATHS = {f"/{f.__name__}": f for f in SERVED}


async def handler(ws: ServerConnection) -> None:
    assert ws.request is not None
    await PATHS[ws.request.path.partition("?")[0]](ws)


def refuse(ws: ServerConnection, request: Request) -> Response | None:
    path, _, query = request.path.partition("?")
    if path in PATHS:
        return None
    if path == "/redirect":
        fields = Headers({"Location": unquote(query), "Content-Length": "0"})
        return Response(http.HTTPStatus.FOUND.value, "Found", fields, b"")
    fields = Headers({"X-Reason": "no such path", "Content-Length": "7"})
    return Response(http.HTTPStatus.NOT_FOUND.value, "Not Found", fields, b"nothing")


def choose(ws: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return next((name for name in offered if name == "chat"), None)


def listen(context: ssl.SSLContext | None) -> AbstractAsyncContextManager[Server]:
    return serve(
        handler,
        "127.0.0.1",
        0,
        ssl=context,
        process_request=refuse,
        select_subprotocol=choose,
        max_size=None,
        # Under valgrind a client takes its time.
        open_timeout=120,
        ping_timeout=120,
        ssl_handshake_timeout=None if context is None else 120,
    )


async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if await reader.readexactly(1) != b"C":  # TLS
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        return
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    login = base64.b64encode(b"c:p ss").decode()
    if f"\r\nProxy-Authorization: Basic {login}\r\n" not in head:
        writer.write(b"HTTP/1.1 407 Who Are You\r\nX-Proxy: c\r\nContent-Length: 4\r\n\r\ntell")
        writer.close()
        return
    host, port = head.split()[1].rsplit(":", 1)
    far_reader, far_writer = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(cert: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert)
    async with listen(None) as plain, listen(context) as secure:
        http = await asyncio.start_server(proxy, "127.0.0.1", 0)
        ports = [next(iter(s.sockets)).getsockname()[1] for s in (plain, secure, http)]
        print(json.dumps(ports), flush=True)
        # The tests end the process by closing its input.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        plain.close(close_connections=True)
        secure.close(close_connections=True)
        http.close()


if __name__ == "__main__":
    logging.getLogger("websockets").setLevel(logging.CRITICAL + 1)  # tests abort on purpose
    asyncio.run(main(sys.argv[1]))
