"""An event loop that is blocked, or a program that does not read; the peers are others."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from servers.fixtures import Certificates
from servers.launch import ServerProcess, arguments_for

import aiows
from aiows import ServerConnection, SSLContext, connect, serve

BLOCKED_S = 5
COUNT, SIZE = 100, 5243  # 0.5 MiB
MIB = 1 << 20


PROGRAMS = ("stall_websockets", pytest.param("stall_aiohttp", marks=pytest.mark.once))


@pytest.fixture(scope="module", params=PROGRAMS)
def stall_servers(
    request: pytest.FixtureRequest, certificates: Certificates
) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Run a peer that gives up soon, for ws and for wss."""
    arguments = arguments_for(certificates.cert, certificates.key)
    with (
        ServerProcess(request.param) as plain,
        ServerProcess(request.param, *arguments, secure=True) as secure,
    ):
        yield plain, secure


def query(**more: str) -> str:
    # All of it comes while the loop is blocked.
    return urlencode({"n": COUNT, "size": SIZE, "pause": BLOCKED_S / COUNT / 2} | more)


async def fed(connection: Any) -> None:
    """Take what a peer fed to a loop that did not run; then both sides still talk."""
    for expected in range(COUNT):
        message = await connection.recv()
        assert len(message) == SIZE
        assert int.from_bytes(message[:4], "big") == expected
    await connection.send("still here")
    assert await connection.recv() == "still here"
    assert connection.close_code is None


async def test_blocked_loop_loses_nothing(
    stall_servers: tuple[ServerProcess, ServerProcess],
    certificates: Certificates,
    loop_factory: object,
) -> None:
    stall_server, stall_tls_server = stall_servers
    ours: asyncio.Queue[ServerConnection] = asyncio.Queue()
    over = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        await ours.put(connection)
        await over.wait()

    trusting = aiows.create_default_context(cafile=str(certificates.ca))
    serving = SSLContext(aiows.tls.ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificates.cert, certificates.key)
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        plain = await enter(serve(handler, "127.0.0.1", 0))
        secure = await enter(serve(handler, "127.0.0.1", 0, ssl=serving))
        stack.callback(over.set)
        connections: list[Any] = []
        for server, options in ((stall_server, {}), (stall_tls_server, {"ssl": trusting})):
            connections.append(
                await enter(connect(server.uri(f"/feed?{query()}"), max_queue=4, **options))
            )
        for where in (
            {"uri": f"ws://127.0.0.1:{plain.port}/"},
            {"uri": f"wss://localhost:{secure.port}/", "ca": str(certificates.ca)},
        ):
            control = await enter(connect(stall_server.uri(f"/dial?{query(**where)}")))
            assert await control.recv() == "connected"
            connections.append(await ours.get())
        for connection in connections:
            await connection.send("start")
        ctypes.PyDLL(None).sleep(BLOCKED_S)  # with the GIL held
        await asyncio.gather(*map(fed, connections))


async def test_unread_flood_is_bounded(
    websockets_server: ServerProcess,
    websockets_tls_server: ServerProcess,
    certificates: Certificates,
) -> None:
    size = 64 << 10
    count = 100 * MIB // size
    trusting = aiows.create_default_context(cafile=str(certificates.ca))
    for server, options in ((websockets_server, {}), (websockets_tls_server, {"ssl": trusting})):
        before = resident()
        async with connect(server.uri(f"/burst?n={count}&size={size}"), **options) as ws:
            read = -1
            while read < (now := ws.stats_()["bytes_received"]) or now < MIB:
                read = now
                await asyncio.sleep(0.3)
            assert read < 100 * MIB // 4
            assert resident() - before < 100 * MIB // 4
            for expected in range(count):
                message = await ws.recv()
                assert len(message) == size
                assert int.from_bytes(message[:4], "big") == expected
            await ws.send("after")
            assert await ws.recv() == "after"


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
