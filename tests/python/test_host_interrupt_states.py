"""Ctrl-C wherever a connection or a server may be: the program ends as Python programs do."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from servers.launch import ServerProcess

from programs import Program

COMMON = """
import asyncio, socket, sys
from aiows import AioWebSocket, connect, serve

URI, RAW = sys.argv[1:3]

def ready():
    print("ready", flush=True)

def later():
    # Once what follows waits.
    asyncio.get_running_loop().call_later(0.02, ready)
"""

STATES = {
    "TCP": """
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = [socket.socket() for _ in range(2)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
    with full, fillers[0], fillers[1]:
        later()
        await connect(f"ws://127.0.0.1:{full.getsockname()[1]}/", open_timeout=None)
""",
    "TLS": """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        later()
        await connect(f"wss://127.0.0.1:{silent.getsockname()[1]}/", open_timeout=None)
""",
    "opening": """
    later()
    async with connect(RAW + "/silence", open_timeout=None):
        pass
""",
    "opening an AioWebSocket": """
    later()
    async with AioWebSocket(RAW + "/silence"):
        pass
""",
    "receive": """
    async with AioWebSocket(URI) as aws:
        later()
        await aws.manipulator.receive()
""",
    "send": """
    async with connect(RAW + "/stall", close_timeout=0.05) as ws:
        later()
        while True:
            await ws.send(bytes(1 << 20))
""",
    "send from many tasks": """
    async with connect(RAW + "/stall", close_timeout=0.05) as ws:
        later()
        await asyncio.gather(*(ws.send(bytes(1 << 20)) for _ in range(20)))
""",
    "ping": """
    async with connect(RAW + "/deaf", close_timeout=0.05) as ws:
        pong = await ws.ping()
        later()
        await pong
""",
    "close": """
    ws = await connect(RAW + "/deaf", close_timeout=None)
    later()
    await ws.close()
""",
    "leaving": """
    async with connect(RAW + "/deaf", close_timeout=None) as ws:
        later()
""",
    "wait_closed": """
    async with connect(URI) as ws:
        later()
        await ws.wait_closed()
""",
    "async for": """
    async with connect(URI) as ws:
        later()
        async for message in ws:
            pass
""",
    "recv with a timeout": """
    async with connect(URI) as ws:
        later()
        async with asyncio.timeout(3600):
            await ws.recv()
""",
    "thread": """
    async with connect(URI) as ws:
        def sending():
            for _ in range(100):
                ws.send_nowait("x")
        await asyncio.to_thread(sending)
        later()
        while True:
            await ws.recv()
""",
    "handler": """
    async def handler(ws):
        ready()
        await ws.recv()
    async with serve(handler, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}/") as ws:
            await ws.recv()
""",
    "serve_forever": """
    async def handler(ws):
        await ws.recv()
    async with serve(handler, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}/") as ws:
            later()
            await server.serve_forever()
""",
    "serve": """
    async def handler(ws):
        pass
    server = await serve(handler, "127.0.0.1", 0)
    later()
    await server.serve_forever()
""",
}

# asyncio.run cancels the main task first, which does not stop who computes; without it
# the interrupt comes out of the callback.
COMPUTING = {
    "on_message": """
    def computing(ws, message):
        ready()
        while True:
            pass
    async with connect(URI, on_message=computing) as ws:
        await ws.send("go")
        await ws.wait_closed()
""",
    "receiver": """
    async with connect(URI) as ws:
        await ws.send("go")
        await ws.recv() # whose task the reader callback steps
        ready()
        while True:
            pass
""",
}

WAYS = {
    "asyncio": "asyncio.run(main())",
    "uvloop": """
import uvloop
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
""",
}


@pytest.mark.once
@pytest.mark.parametrize("way", WAYS)
def test_ends_by_the_interrupt(
    way: str, websockets_server: ServerProcess, raw_server: ServerProcess, tmp_path: Path
) -> None:
    sources = {name: f"async def main():{body}\n{WAYS[way]}" for name, body in STATES.items()}
    interrupt(tmp_path, sources, websockets_server, raw_server)


def test_computing_ends_by_the_interrupt(
    websockets_server: ServerProcess, raw_server: ServerProcess, tmp_path: Path
) -> None:
    run = """
import warnings
warnings.simplefilter("ignore", ResourceWarning) # the loop stays open
asyncio.new_event_loop().run_until_complete(main())
"""
    sources = {name: f"async def main():{body}\n{run}" for name, body in COMPUTING.items()}
    interrupt(tmp_path, sources, websockets_server, raw_server)


def interrupt(
    folder: Path, sources: Mapping[str, str], server: ServerProcess, raw_server: ServerProcess
) -> None:
    with ExitStack() as stack:
        programs = {
            name: stack.enter_context(
                Program(
                    folder / name.replace(" ", "_"),
                    f"{COMMON}\n{source}",
                    server.uri(),
                    raw_server.uri(""),
                )
            )
            for name, source in sources.items()
        }
        for name, program in programs.items():
            assert program.line() == "ready", (name, program.end())
            program.interrupt()
        for name, program in programs.items():
            status, output, errors = program.end()
            assert (status, output) == (-signal.SIGINT, ""), (name, status, output, errors)
            assert errors.rstrip().endswith("KeyboardInterrupt"), (name, errors)
            for complaint in ("Exception ignored", "never", "Warning", "pending"):
                assert complaint not in errors, (name, errors)
