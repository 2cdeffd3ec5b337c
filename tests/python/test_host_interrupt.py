"""Ctrl-C: a program that waits ends in order, whatever it waits for."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from servers.fixtures import Certificates
from servers.launch import ServerProcess

from programs import Program

RECEIVING = """
import asyncio, sys
from aiows import AioWebSocket

async def main(uri):
    async with AioWebSocket(uri) as aws:
        converse = aws.manipulator
        await converse.send("hello")
        while True:
            print((await converse.receive()).decode(), flush=True)
"""
# The three ways to run a program, each ended by a KeyboardInterrupt that the
# program catches.
RUN = """
try:
    asyncio.run(main(sys.argv[1]))
except KeyboardInterrupt:
    print('Quit.')
"""
RUN_UNTIL_COMPLETE = """
try:
    asyncio.get_event_loop().run_until_complete(main(sys.argv[1]))
except KeyboardInterrupt:
    print('Quit.')
"""
RUN_IN_UVLOOP = """
import uvloop
try:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1]))
except KeyboardInterrupt:
    print('Quit.')
"""

only_before_314 = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="needs Python 3.13 or older: get_event_loop makes a loop"
)
ways = pytest.mark.parametrize(
    "way",
    [
        pytest.param(RUN, id="run"),
        pytest.param(RUN_IN_UVLOOP, id="uvloop"),
        pytest.param(RUN_UNTIL_COMPLETE, id="run_until_complete", marks=only_before_314),
    ],
)


def quits(program: Program) -> None:
    status, output, errors = program.end()
    assert (status, output, errors) == (0, "Quit.\n", "")


@ways
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_in_receive(
    way: str,
    secure: bool,
    websockets_server: ServerProcess,
    websockets_tls_server: ServerProcess,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    server = websockets_tls_server if secure else websockets_server
    source = silence_get_event_loop(RECEIVING + way)
    with Program(tmp_path, source, server.uri(), SSL_CERT_FILE=str(certificates.ca)) as program:
        assert program.line() == "hello"
        program.interrupt()
        quits(program)


def silence_get_event_loop(source: str) -> str:
    # Python 3.12 warns that the function makes no loop from 3.14 on.
    return (
        "import warnings\n"
        "warnings.filterwarnings('ignore', 'There is no current event loop', DeprecationWarning)\n"
        "warnings.filterwarnings('ignore', 'unclosed event loop', ResourceWarning)\n"
        f"{source}"
    )


OTHERS = {
    "recv": """
        async with connect(uri) as ws:
            print("ready", flush=True)
            await ws.recv()
    """,
    "async for": """
        async with connect(uri) as ws:
            print("ready", flush=True)
            async for message in ws:
                pass
    """,
    "callbacks": """
        async with connect(uri, on_message=print) as ws:
            print("ready", flush=True)
            await ws.wait_closed()
    """,
    "a hundred connections": """
        connections = await asyncio.gather(*(open_one(uri) for _ in range(100)))
        async with asyncio.TaskGroup() as group:
            for ws in connections:
                group.create_task(ws.recv())
            await asyncio.sleep(0)  # all of them wait now
            print("ready", flush=True)
    """,
    # Ctrl-C may come between the call of recv and its await, with any coroutine.
    "a flood": """
        import warnings
        warnings.filterwarnings("ignore", "coroutine 'Connection.*' was never awaited")
        async with connect(uri) as ws:
            print("ready", flush=True)
            while True:
                await ws.send("x")
                await ws.recv()
    """,
    "no close": """
        ws = await connect(uri)
        print("ready", flush=True)
        await ws.recv()
    """,
    "a task of its own": """
        ws = await connect(uri)
        task = asyncio.create_task(ws.recv())
        print("ready", flush=True)
        await asyncio.sleep(3600)
    """,
}


@ways
@pytest.mark.parametrize("waiting", OTHERS)
def test_elsewhere(
    waiting: str, way: str, websockets_server: ServerProcess, tmp_path: Path
) -> None:
    source = f"""import asyncio, sys
from aiows import connect

async def open_one(uri):
    return await connect(uri)

async def main(uri):{OTHERS[waiting].replace(chr(10) + "    ", chr(10))}
{way}"""
    with Program(tmp_path, silence_get_event_loop(source), websockets_server.uri()) as program:
        assert program.line() == "ready"
        program.interrupt()
        quits(program)


@ways
def test_while_opening(way: str, raw_server: ServerProcess, tmp_path: Path) -> None:
    source = f"""import asyncio, sys
from aiows import connect

async def main(uri):
    asyncio.get_running_loop().call_later(0.05, print, "ready")
    async with connect(uri):
        print("opened")
{way}"""
    uri = raw_server.uri("/silence")
    with Program(tmp_path, silence_get_event_loop(source), uri) as program:
        assert program.line() == "ready"
        program.interrupt()
        quits(program)


def test_twice_with_a_server_that_never_answers(raw_server: ServerProcess, tmp_path: Path) -> None:
    # The first one leaves the context, which waits for the server's Close; the
    # second one ends that too.
    source = f"""import asyncio, sys
from aiows import connect

async def main(uri):
    async with connect(uri, close_timeout=None) as ws:
        print("ready", flush=True)
        try:
            await ws.recv()
        finally:
            print("leaving", flush=True)
            asyncio.get_running_loop().call_later(0.05, print, "waiting")
{RUN}"""
    with Program(tmp_path, source, raw_server.uri("/deaf")) as program:
        assert program.line() == "ready"
        program.interrupt()
        assert program.line() == "leaving"
        assert program.line() == "waiting"
        program.interrupt()
        quits(program)


def test_uncaught_interrupt_is_that_of_python(
    websockets_server: ServerProcess, tmp_path: Path
) -> None:
    with Program(
        tmp_path, f"{RECEIVING}\nasyncio.run(main(sys.argv[1]))", websockets_server.uri()
    ) as program:
        assert program.line() == "hello"
        program.interrupt()
        status, output, errors = program.end()
    assert status == -signal.SIGINT
    assert output == ""
    assert errors.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_other_signals_end_it(
    number: signal.Signals, websockets_server: ServerProcess, tmp_path: Path
) -> None:
    with Program(
        tmp_path, f"{RECEIVING}\nasyncio.run(main(sys.argv[1]))", websockets_server.uri()
    ) as program:
        assert program.line() == "hello"
        program.send(number)
        assert program.end() == (-number, "", "")
