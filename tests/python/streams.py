"""
Servers of asyncio's streams that leave nothing behind.

asyncio forgets whom it serves: a connection that comes in a test's last turns, or whose
handler still waits, would be open when the loop is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

# From a connection in the backlog to its handler's first step.
TURNS = 5


@contextlib.asynccontextmanager
async def stream_server(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    **options: Any,
) -> AsyncIterator[tuple[str, int]]:
    """Serve on loopback and yield the address; in the end handlers are cancelled."""
    handlers: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers[task] = writer
        with contextlib.suppress(asyncio.CancelledError):
            await handle(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()
    finally:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        server.close()
        for task, writer in handlers.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*handlers, return_exceptions=True)
        await server.wait_closed()
