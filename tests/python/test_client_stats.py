"""stats and latency of a connection."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle

import pytest
import websockets.asyncio.server as peer
from servers.launch import ServerProcess

from aiows import ConnectionClosed, connect, serve
from scripted import ScriptedServer


async def test_what_is_counted(any_server: ServerProcess) -> None:
    text = "abc" * 1000
    async with connect(any_server.uri(), compression=None) as ws:
        assert dataclasses.astuple(ws.stats)[:2] == (0, 0)
        for _ in range(3):
            await ws.send(text)
            await ws.recv()
        stats = ws.stats
        assert (stats.messages_sent, stats.messages_received) == (3, 3)
        assert stats.frames_sent == 3
        assert stats.message_bytes_sent == stats.payload_bytes_sent == 9000
        assert stats.message_bytes_received == stats.payload_bytes_received == 9000
        assert stats.bytes_sent == 9000 + 3 * 8
        assert stats.bytes_received >= 9000 + 3 * 4
        assert stats.compression_sent == stats.compression_received == 0.0
        assert (stats.queued, stats.buffered) == (0, 0)
    assert ws.stats.messages_sent == 3 and ws.stats.frames_sent == 4
    assert pickle.loads(pickle.dumps(stats)) == copy.copy(stats) == stats
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.queued = 3  # type: ignore[misc]


async def echo(ws: peer.ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def test_what_compression_saved() -> None:
    async with (
        peer.serve(echo, "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}") as ws,
    ):
        await ws.send("abc" * 1000)
        await ws.recv()
        await ws.send("x")
        await ws.recv()
        stats = ws.stats
    assert stats.message_bytes_sent == stats.message_bytes_received == 3001
    assert 0 < stats.payload_bytes_sent < 300 and 0 < stats.payload_bytes_received < 300
    assert stats.compression_sent == 1 - stats.payload_bytes_sent / 3001 > 0.9
    assert stats.compression_received > 0.9


async def test_round_trips_of_pings(any_server: ServerProcess) -> None:
    async with connect(any_server.uri()) as ws:
        assert (ws.stats.rtt_samples, ws.stats.rtt_max, ws.latency) == (0, 0.0, 0.0)
        for _ in range(20):
            await (await ws.ping())
        stats = ws.stats
        assert stats.rtt_samples == 20
        assert 0 < stats.rtt_p50 <= stats.rtt_p90 <= stats.rtt_p99 <= stats.rtt_max < 60
        assert 0 < stats.latency < 60
    assert ws.stats.rtt_samples == 20


async def test_round_trips_of_keepalive() -> None:
    async with ScriptedServer() as server, connect(server.uri, ping_interval=0.01) as ws:
        session = await server.accepted()
        for _ in range(3):
            session.pong((await session.read())[1])
        while ws.stats.rtt_samples < 3:
            await asyncio.sleep(0.001)
        assert 0 < ws.latency <= ws.stats.rtt_max
        session.drop()


async def test_what_waits_is_counted() -> None:
    async with serve(lambda ws: ws.wait_closed(), "127.0.0.1", 0) as server:
        (ws,) = [await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")]
        (theirs,) = server.connections
        await theirs.send("a")
        await theirs.send("b")
        while ws.stats.queued < 2:
            await asyncio.sleep(0.001)
        assert theirs.stats.messages_sent == 2
        await ws.close()
        with pytest.raises(ConnectionClosed):
            while True:
                await ws.recv()
