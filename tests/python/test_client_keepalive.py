"""connect finds a peer that vanished, and takes nobody for dead who is not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from servers.launch import environment

from aiows import ConnectionClosedError, State, connect
from programs import FLAGS, HANG_S
from scripted import PING, ScriptedServer

NETWORK = ("unshare", "--map-root-user", "--net")
VANISH = Path(__file__).parents[1] / "servers" / "vanish.py"
# What a client does until the server is found to be gone. A busy machine may take
# longer, but far less than TCP, which gives up after a quarter of an hour.
CLIENT = """
import asyncio, sys, time
from aiows import ConnectionClosedError, connect

async def main():
    how, uri = sys.argv[1:]
    asyncio.get_running_loop().slow_callback_duration = 60  # no word about a busy machine
    async with asyncio.timeout(60), connect(uri, ping_interval=1, ping_timeout=1) as ws:
        await ws.send("hello")
        await ws.recv()
        last = ws.received_at
        print("open", flush=True)
        try:
            while True:
                if how == "sending":
                    await ws.send("x" * 1000)
                    await asyncio.sleep(0.05)
                else:
                    await ws.recv()
        except ConnectionClosedError as error:
            print(error.rcvd, error.sent.code, type(error.__cause__).__name__)
        silence = (time.monotonic_ns() - last) / 1e9
        print("in time" if 1 <= silence < 12 else f"after {silence} s")

asyncio.run(main())
"""


@pytest.mark.once
@pytest.mark.parametrize("how", ["receiving", "sending"])
def test_a_peer_that_vanishes_is_found(tmp_path: Path, how: str) -> None:
    if subprocess.run([*NETWORK, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to make a network namespace")
    program = tmp_path / "program.py"
    program.write_text(CLIENT)
    done = subprocess.run(
        [*NETWORK, sys.executable, VANISH, sys.executable, *FLAGS, program, how],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        env=environment(),
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == "open\nNone 1011 TimeoutError\nin time\n"


async def live(life: str, server: ScriptedServer, timeout: float) -> None:
    """Be a peer that answers no ping but says something, then one that says nothing."""
    async with connect(server.uri, ping_interval=timeout / 4, ping_timeout=timeout) as ws:
        session = await server.accepted()
        long = b"\x81\x7e\x10\x00" + b"x" * 4096
        for sent in range(25):
            if life == "pong":
                session.pong(b"nobody asked")
            elif life == "ping":
                session.write(b"\x89\x00")
            elif life == "message":
                session.text("x")
                await ws.recv()
            else:  # an octet of a message that takes longer than the timeout
                session.write(long[sent : sent + 1])
            await asyncio.sleep(timeout / 10)
        assert ws.state is State.OPEN, life
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        assert caught.value.sent is not None and caught.value.sent.code == 1011
        assert isinstance(caught.value.__cause__, TimeoutError)


@pytest.mark.once
async def test_whatever_arrives_is_life() -> None:
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        for life in ("pong", "ping", "message", "octet"):
            server = await stack.enter_async_context(ScriptedServer())
            tasks.create_task(live(life, server, 2.0))


async def test_the_pings() -> None:
    async with ScriptedServer() as server:
        async with connect(server.uri, ping_interval=0.01, ping_timeout=None) as ws:
            session = await server.accepted()
            payloads = []
            for _ in range(3):
                opcode, payload = await session.read()
                assert opcode == PING
                session.pong(payload)
                payloads.append(payload)
            assert len(set(payloads)) == 3
            assert ws.state is State.OPEN
            session.drop()
        async with connect(server.uri, ping_interval=None) as ws:
            session = await server.accepted()
            with pytest.raises(asyncio.TimeoutError):
                async with asyncio.timeout(0.1):
                    await session.read()
            session.drop()


async def test_pings_without_an_answer_and_without_a_timeout() -> None:
    """ping_timeout=None sends pings, and waits for none."""
    async with (
        ScriptedServer() as server,
        connect(server.uri, ping_interval=0.01, ping_timeout=None) as ws,
    ):
        session = await server.accepted()
        for _ in range(3):
            assert (await session.read())[0] == PING
        assert ws.state is State.OPEN and ws.latency == 0.0
        session.drop()
