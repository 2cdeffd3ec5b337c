"""Programs that end with connections still open, in every way a program can end."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from servers.launch import ServerProcess

from programs import Program

OPEN = """
import asyncio, sys, os, threading
from aiows import AioWebSocket, connect, serve

async def open_one():
    ws = await connect(sys.argv[1])
    await ws.send("hello")
    assert await ws.recv() == "hello"
    return ws
"""

WAYS = {
    "main returns": "asyncio.run(open_one())",
    "kept in a global": "ws = asyncio.run(open_one())",
    "kept in a cycle": """
async def main():
    ws = await open_one()
    ws.itself = ws
    ws.task = asyncio.current_task()
asyncio.run(main())
""",
    "loop closed under it": """
loop = asyncio.new_event_loop()
ws = loop.run_until_complete(open_one())
loop.close()
""",
    "loop left open": """
import warnings
warnings.simplefilter("ignore", ResourceWarning)
loop = asyncio.new_event_loop()
ws = loop.run_until_complete(open_one())
""",
    "task left waiting": """
import warnings
warnings.simplefilter("ignore", ResourceWarning)
loop = asyncio.new_event_loop()
async def main():
    ws = await open_one()
    asyncio.get_running_loop().create_task(ws.recv())
    await asyncio.sleep(0)
loop.run_until_complete(main())
""",
    "recv left half way": """
async def main():
    ws = await open_one()
    global recv
    recv = ws.recv()
    recv.send(None)
asyncio.run(main())
""",
    "callbacks": """
async def main():
    global ws
    ws = await connect(sys.argv[1], on_message=lambda *_: None, on_close=lambda *_: None)
    await ws.send("hello")
asyncio.run(main())
""",
    "while opening": """
async def main():
    global task
    async def opening():
        await connect(sys.argv[2])
    task = asyncio.create_task(opening())
    await asyncio.sleep(0.05)
asyncio.run(main())
""",
    "unread flood": """
async def main():
    global ws
    ws = await connect(sys.argv[1].replace("/echo", "/burst?n=5000&size=1000"))
    await ws.recv()
asyncio.run(main())
""",
    "unsent flood": """
async def main():
    global ws
    ws = await connect(sys.argv[1])
    for _ in range(20):
        try:
            ws.send_nowait(bytes(1 << 20))
        except Exception as error:
            assert type(error).__name__ == "WriteLimitExceeded"
asyncio.run(main())
""",
    "server": """
async def main():
    global server
    async def echo(ws):
        await ws.recv()
    server = await serve(echo, "127.0.0.1", 0)
asyncio.run(main())
""",
    "daemon thread": """
opened = threading.Event()
async def main():
    ws = await open_one()
    opened.set()
    await ws.recv()
threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
opened.wait()
""",
    "many": """
async def main():
    global connections
    connections = await asyncio.gather(*(open_one() for _ in range(50)))
asyncio.run(main())
""",
    "hook at the end": """
import atexit
async def late():
    async with connect(sys.argv[1]) as ws:
        await ws.send("late")
        assert await ws.recv() == "late"
atexit.register(lambda: asyncio.run(late()))
asyncio.run(open_one())
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_end_is_clean(
    way: str, websockets_server: ServerProcess, raw_server: ServerProcess, tmp_path: Path
) -> None:
    uris = websockets_server.uri(), raw_server.uri("/silence")
    with Program(tmp_path, OPEN + WAYS[way], *uris) as program:
        assert program.end() == (0, "", "")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [("sys.exit(3)", 3), ("os._exit(4)", 4), ("raise ZeroDivisionError", 1)],
    ids=["exit", "_exit", "raise"],
)
@pytest.mark.parametrize("where", ["inside", "outside"])
def test_status_is_kept(
    statement: str,
    expected: int,
    where: str,
    websockets_server: ServerProcess,
    tmp_path: Path,
) -> None:
    source = f"""{OPEN}
async def main():
    global ws
    ws = await open_one()
    {statement if where == "inside" else "pass"}
asyncio.run(main())
{statement if where == "outside" else ""}
"""
    with Program(tmp_path, source, websockets_server.uri()) as program:
        status, output, errors = program.end()
    assert (status, output) == (expected, "")
    if expected == 1:
        assert errors.rstrip().endswith("ZeroDivisionError")
        assert errors.count("Traceback") == 1
    else:
        assert errors == ""


def test_checker_sees_an_unclean_end(websockets_server: ServerProcess, tmp_path: Path) -> None:
    # Planted: what a library that forgets its sockets would leave on stderr.
    source = f"{OPEN}\nimport socket\nasyncio.run(open_one())\nleft = socket.socket()\ndel left\n"
    with Program(tmp_path, source, websockets_server.uri()) as program:
        status, output, errors = program.end()
    assert (status, output) == (0, "")
    assert "ResourceWarning" in errors


# Debug mode tells of each step that takes 0.1 s, which a busy machine makes of any.
QUIET = f"{OPEN}\nimport logging\nlogging.getLogger('asyncio').setLevel(logging.ERROR)\n"
MORE_WAYS = WAYS | {
    "several daemon threads": """
barrier = threading.Barrier(5)
async def main():
    ws = await open_one()
    barrier.wait()
    while True:
        await ws.send("hello")
        await ws.recv()
for _ in range(4):
    threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
barrier.wait()
""",
    "server in a daemon thread": """
opened = threading.Event()
async def main():
    async def echo(ws):
        opened.set()
        await ws.recv()
    async with serve(echo, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as ws:
            await ws.recv()
threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
opened.wait()
""",
    "thread that sends": """
async def main():
    ws = await open_one()
    def sending():
        while True:
            try:
                ws.send_nowait("x")
            except Exception:
                pass
    threading.Thread(target=sending, daemon=True).start()
    await ws.recv()
asyncio.run(main())
""",
    "closing": """
async def main():
    global task
    ws = await connect(sys.argv[2].replace("/silence", "/deaf"), close_timeout=None)
    task = asyncio.create_task(ws.close())
    await asyncio.sleep(0)
asyncio.run(main())
""",
    "finalizers": """
class Late:
    def __init__(self, ws):
        self.ws, self.itself = ws, self
    def __del__(self):
        for use in (lambda: self.ws.send_nowait("x"), lambda: self.ws.state, self.ws._abort):
            try:
                use()
            except Exception as error:
                assert type(error).__name__ in ("ConnectionClosedError", "RuntimeError"), error
async def main():
    return Late(await open_one())
late = asyncio.run(main())
""",
}


@pytest.mark.once
def test_end_is_clean_in_development_mode(
    websockets_server: ServerProcess, raw_server: ServerProcess, tmp_path: Path
) -> None:
    # asyncio's debug mode, Python's checks of memory, faulthandler: all of -X dev.
    uris = websockets_server.uri(), raw_server.uri("/silence")
    with ExitStack() as stack:
        programs = {
            way: stack.enter_context(
                Program(tmp_path / way.replace(" ", "_"), QUIET + source, *uris, PYTHONDEVMODE="1")
            )
            for way, source in MORE_WAYS.items()
        }
        ends = {way: program.end() for way, program in programs.items()}
    assert ends == dict.fromkeys(MORE_WAYS, (0, "", ""))


def test_end_is_clean_while_imports_are_timed(
    websockets_server: ServerProcess, tmp_path: Path
) -> None:
    source = f"{OPEN}\nws = asyncio.run(open_one())"
    with Program(tmp_path, source, websockets_server.uri(), PYTHONPROFILEIMPORTTIME="1") as program:
        status, output, errors = program.end()
    assert (status, output) == (0, "")
    assert "aiows._core" in errors
    assert all(line.startswith("import time:") for line in errors.splitlines()), errors
