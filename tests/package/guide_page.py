"""
Run the examples of a page of the guide, one after the other: guide_page.py FILE URI.

FILE holds them as JSON. They find what guides take for granted: modules, the names of
aiows, `uri` of an echo server, a `handler`, an open connection `ws`. An example that goes on
for ever has done its duty after a while.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import aiows

ENOUGH_S = 2.0
MODULES = "asyncio contextlib json logging os socket ssl sys time"
FORMS = {"certificate_pin": "ab" * 32, "next_key_pin": "sha256//" + "A" * 43 + "="}


async def subscribe(ws: Any) -> None:
    await getattr(ws, "manipulator", ws).send("subscribe")


async def handler(connection: aiows.ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def names(uri: str) -> dict[str, Any]:
    from cryptography import x509

    return {
        "__name__": "__main__",
        **{name: __import__(name) for name in MODULES.split()},
        **{name: getattr(aiows, name) for name in aiows.__all__},
        **FORMS,
        "aiows": aiows,
        "x509": x509,
        "uri": uri,
        "uris": [uri],
        "host": "127.0.0.1",
        "port": 0,
        "handler": handler,
        "subscribe": subscribe,
        "handle": len,
        "process": len,
        "print": lambda *values, **options: None,
    }


async def run(number: int, source: str, space: dict[str, Any]) -> None:
    code = compile(source, f"example {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    try:
        async with asyncio.timeout(ENOUGH_S) as limit:
            result = eval(code, space)
            if inspect.isawaitable(result):
                await result
    except TimeoutError:
        if not limit.expired():
            raise


async def main(sources: list[str], uri: str) -> None:
    space = names(uri)
    trusting = None
    if uri.startswith("wss:"):
        trusting = aiows.create_default_context(cafile="company-ca.pem")
    async with aiows.connect(uri, ssl=trusting) as ws:
        for number, source in enumerate(sources, 1):
            for _ in range(5):  # something to receive
                await ws.send('{"from": "the server"}')
            await run(number, source, {**space, "ws": ws, "websocket": ws, "connection": ws})


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2]))
