"""Importing aiows starts nothing; what is loaded later leaves the process as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers.launch import ServerProcess

from programs import run

MEASURE = """
import json, os, pathlib, resource, sys

def measure():
    maps = pathlib.Path("/proc/self/maps").read_text()
    return {
        "threads": len(os.listdir("/proc/self/task")),
        "loaded": "libaiows" in maps,
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
    }
"""


@pytest.mark.parametrize(
    "statements",
    [
        "import aiows",
        "from aiows import *",
        "import aiows.converses, aiows.enumerations, aiows.exceptions, aiows.server, aiows.tls",
        "from aiows import AioWebSocket, connect, serve\n"
        "AioWebSocket('wss://localhost/'); connect('ws://localhost/'); serve(print)\n",
        "from aiows import create_default_context\ncreate_default_context()",
    ],
    ids=["package", "names", "modules", "objects", "context"],
)
def test_importing_starts_nothing(statements: str, tmp_path: Path) -> None:
    source = f"{MEASURE}\nimport asyncio\nbefore = measure()\n{statements}\n"
    before, after = run(tmp_path, f"{source}print(json.dumps([before, measure()]))")
    assert before["threads"] == 1
    assert not before["loaded"]
    assert after == before


def test_first_connection_loads_it(websockets_server: ServerProcess, tmp_path: Path) -> None:
    # The counterpart: what the test above looks for is there once it is used.
    source = f"""{MEASURE}
import asyncio
from aiows import connect

before = measure()

async def main():
    async with connect(sys.argv[1]):
        pass

asyncio.run(main())
print(json.dumps([before, measure()]))
"""
    before, after = run(tmp_path, source, websockets_server.uri())
    assert after["loaded"]
    assert after["threads"] > 1
    assert after["limit"] == before["limit"]


def test_threads_of_the_library_take_no_signals(
    websockets_server: ServerProcess, tmp_path: Path
) -> None:
    source = """
    import asyncio, json, os, pathlib, signal, sys
    from aiows import connect

    async def main():
        async with connect(sys.argv[1]) as ws:
            await ws.send("x")
            await ws.recv()
            masks = []
            for thread in os.listdir("/proc/self/task"):
                status = pathlib.Path(f"/proc/self/task/{thread}/status").read_text()
                for line in status.splitlines():
                    if line.startswith("SigBlk:") and int(thread) != os.getpid():
                        masks.append(int(line.split()[1], 16))
            # Not SIGCHLD: Go unblocks it in each of its threads.
            wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM)
            open_to = [n for mask in masks for n in wanted if not mask >> (n - 1) & 1]
            print(json.dumps([len(masks), open_to]))

    asyncio.run(main())
    """
    threads, open_to = run(tmp_path, source, websockets_server.uri())
    assert threads
    assert open_to == []


def test_handlers_timers_and_children_go_on(
    websockets_server: ServerProcess, tmp_path: Path
) -> None:
    source = """
    import asyncio, faulthandler, json, os, signal, subprocess, sys
    from aiows import connect

    faulthandler.enable()
    alarms = []
    signal.signal(signal.SIGALRM, lambda number, frame: alarms.append(number))

    async def main():
        async with connect(sys.argv[1]) as ws:
            await ws.send("x")
            await ws.recv()
            usr = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, usr.set)
            os.kill(os.getpid(), signal.SIGUSR1)
            await usr.wait()
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            while not alarms:
                await ws.send("y")
                await ws.recv()
            child = await asyncio.create_subprocess_exec("true")
            assert await child.wait() == 0
            assert subprocess.run(["false"]).returncode == 1
            assert os.system("exit 3") == 3 << 8
            await ws.send("z")
            print(json.dumps(await ws.recv()))

    asyncio.run(main())
    """
    assert run(tmp_path, source, websockets_server.uri()) == "z"
