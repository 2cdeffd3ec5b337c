"""permessage-deflate with other libraries, bombs, and a loop that is blocked."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import picows.websockets
import pytest
import websockets.asyncio.client
import websockets.asyncio.server
from aiohttp import web
from servers.launch import ServerProcess

from aiows import connect, serve
from deflating import ACCEPT, BINARY, agreed, bomb, echo, frame, masked, messages, trades

MIB = 1 << 20


# ---------------------------------------------------------------- aiohttp


@contextlib.asynccontextmanager
async def aiohttp_echo() -> AsyncIterator[str]:
    """Yield the URI of an echo server of aiohttp, which compresses for who offers it."""

    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)
        return socket

    application = web.Application()
    application.router.add_get("/", handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def test_our_client_and_aiohttp() -> None:
    async with aiohttp_echo() as uri, connect(uri) as ws:
        assert (agreed(ws) or "").startswith("permessage-deflate")
        for message in messages():
            await ws.send(message)
            assert await ws.recv() == message


@pytest.mark.parametrize("bits", [9, 12, 15])
async def test_aiohttp_and_our_server(bits: int) -> None:
    async with (
        serve(echo, "127.0.0.1", 0) as server,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{server.port}/", compress=bits, max_msg_size=0) as ws,
    ):
        assert ws.compress == 15
        value = ws._response.headers[ACCEPT]
        assert (f"server_max_window_bits={bits}" in value) == (bits < 15)
        for message in messages(bits):
            if isinstance(message, str):
                await ws.send_str(message)
                assert await ws.receive_str() == message
            else:
                await ws.send_bytes(message)
                assert await ws.receive_bytes() == message


# ---------------------------------------------------------------- picows.websockets


async def test_our_client_and_picows() -> None:
    server = await picows.websockets.serve(echo, "127.0.0.1", 0, max_size=None)
    try:
        async with connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as ws:
            assert (agreed(ws) or "").startswith("permessage-deflate")
            for message in messages():
                await ws.send(message)
                assert await ws.recv() == message
    finally:
        server.close()
        await server.wait_closed()


async def test_picows_and_our_server() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        ws = await picows.websockets.connect(f"ws://127.0.0.1:{server.port}/", proxy=None)
        try:
            assert "permessage-deflate" in str(ws.response.headers[ACCEPT])
            for message in messages():
                await ws.send(message)
                assert await ws.recv() == message
        finally:
            await ws.close()


# ---------------------------------------------------------------- bombs

# Tells how much memory a bomb took at the most, in another process than the test.
VICTIM = """
import asyncio, json, sys
from aiows import ConnectionClosed, connect, serve

def peak():
    with open("/proc/self/status") as file:
        return int(file.read().partition("VmHWM:")[2].split()[0]) << 10

def tell(**found):
    print(json.dumps(found), flush=True)

async def take(ws):
    await ws.recv()
    before = peak()
    await ws.send("ready")
    try:
        while True:
            await ws.recv()
    except ConnectionClosed as error:
        tell(code=error.sent.code, cause=repr(error.__cause__), grown=peak() - before)

async def main(role, uri):
    if role == "client":
        async with connect(uri) as ws:
            await take(ws)
        return
    async with serve(take, "127.0.0.1", 0) as server:
        tell(port=server.port)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main(*sys.argv[1:]))
"""


def victim(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", VICTIM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


BOMB = frame(BINARY, bomb(1000 * MIB))


@pytest.mark.parametrize("role", ["client", "server"])
async def test_bomb(role: str) -> None:
    assert len(BOMB) < MIB  # below the limit itself
    exploding = BOMB if role == "client" else masked(BOMB)

    async def send_bomb(ws: Any) -> None:
        await ws.send(trades(random.Random(1), 100_000))
        assert await ws.recv() == "ready"
        ws.transport.write(exploding)
        await ws.wait_closed()

    if role == "client":
        async with websockets.asyncio.server.serve(send_bomb, "127.0.0.1", 0) as server:
            uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            found = await finished(victim(role, uri))
    else:
        process = victim(role, "")
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        async with websockets.asyncio.client.connect(f"ws://127.0.0.1:{port}/", proxy=None) as ws:
            await send_bomb(ws)
        found = await finished(process)
    assert found["code"] == 1009
    assert re.match(r"PayloadTooBig", found["cause"])
    # 1 MiB of it gathered, 1 MiB inflated, and what inflates.
    assert found["grown"] < 8 * MIB


async def finished(process: subprocess.Popen[str]) -> Any:
    out, _ = await asyncio.to_thread(process.communicate, "")
    assert process.returncode == 0
    return json.loads(out)


# ---------------------------------------------------------------- a blocked loop

BLOCKED_S = 3
COUNT, SIZE = 100, 5243


@pytest.mark.once
async def test_blocked_loop_loses_nothing() -> None:
    # The peer pings every 0.3 s and gives up after 1 s.
    query = urlencode({"n": COUNT, "size": SIZE, "pause": BLOCKED_S / COUNT / 2})
    with ServerProcess("stall_websockets", "--compress") as server:
        async with connect(server.uri(f"/feed?{query}"), max_queue=4) as ws:
            assert (agreed(ws) or "").startswith("permessage-deflate")
            await ws.send("start")
            ctypes.PyDLL(None).sleep(BLOCKED_S)  # with the GIL held
            for expected in range(COUNT):
                message = await ws.recv()
                assert message == expected.to_bytes(4, "big") + bytes(SIZE - 4)
            await ws.send("still here")
            assert await ws.recv() == "still here"
            assert ws.stats_()["bytes_received"] < COUNT * SIZE / 10
