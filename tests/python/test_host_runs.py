"""A thousand event loops in a row, each with connections, leave nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from servers.fixtures import Certificates
from servers.launch import ServerProcess

from programs import run

# Go's heap and threads grow by about 8 MB over the first thousand runs and by
# less than 2 MB over each thousand after that, until they stay as they are.
WARM_UP = 1000
SPARE_BYTES = 6 << 20

SOURCE = """
import asyncio, gc, json, os, pathlib, sys, threading, time, warnings
from aiows import AioWebSocket, _loop, connect, create_default_context

uri, silent, refused, authority, warm_up, runs, fault = sys.argv[1:]
ssl = create_default_context(cafile=authority) if uri.startswith("wss") else None
leaked = []
handles = set()

def measure():
    gc.collect()
    status = pathlib.Path("/proc/self/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    kinds = [type(found).__qualname__ for found in gc.get_objects()]
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": int(fields["Threads"]),
        "bytes": int(fields["VmRSS"].split()[0]) * 1024,
        "drivers": len(_loop._drivers),
        "connections": sum(kind.endswith("Connection") for kind in kinds),
        "handles": max(handles, default=0),
    }

async def open_silent():
    async with connect(silent):
        pass

async def visit(number):
    async with connect(uri, ssl=ssl) as ws:
        await ws.send("hello")
        assert await ws.recv() == "hello"
        handles.add(_loop.current().core.stats()["handles"])
        if fault == "connections":
            leaked.append(ws)
    if number % 4 == 1:
        async with AioWebSocket(uri, ssl=ssl) as aws:
            await aws.manipulator.send("hello")
            assert await aws.manipulator.receive() == b"hello"
    elif number % 4 == 2:
        # Left open, and left opening: the loop ends under them.
        ws = await connect(uri, ssl=ssl)
        task = asyncio.create_task(ws.recv())
        opening = asyncio.create_task(open_silent())
        await asyncio.sleep(0)
    elif number % 4 == 3:
        try:
            await connect(refused)
        except OSError:
            pass

def plant():
    if fault == "descriptors":
        os.dup(0)
    elif fault == "threads":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    elif fault == "bytes":
        leaked.append(os.urandom(1 << 18))
    elif fault == "drivers":
        loop = asyncio.new_event_loop()
        loop.close()
        leaked.append(loop)
        _loop._drivers[loop] = lambda: None

def repeat(count):
    for number in range(count):
        asyncio.run(visit(number))
        plant()

def settled(before):
    # A goroutine closes the last descriptor of a loop, and that of an opening left.
    deadline = time.monotonic() + (1 if fault else 60)
    while True:
        after = measure()
        if after["descriptors"] <= before["descriptors"] or time.monotonic() > deadline:
            return after
        time.sleep(0.01)

repeat(int(warm_up))
before = measure()
repeat(int(runs))
print(json.dumps([before, settled(before)]))
"""


def faults(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return what has grown with the runs."""
    allowed = {"threads": 3, "bytes": SPARE_BYTES}
    return [name for name in before if after[name] - before[name] > allowed.get(name, 0)]


def measure(
    folder: Path,
    server: ServerProcess,
    raw_server: ServerProcess,
    certificates: Certificates,
    warm_up: int,
    runs: int,
    fault: str = "",
) -> Any:
    return run(
        folder,
        SOURCE,
        server.uri(),
        raw_server.uri("/silence"),
        "ws://127.0.0.1:1/",
        str(certificates.ca),
        str(warm_up),
        str(runs),
        fault,
    )


def test_thousand_runs(
    websockets_server: ServerProcess,
    raw_server: ServerProcess,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    before, after = measure(tmp_path, websockets_server, raw_server, certificates, WARM_UP, 1000)
    assert faults(before, after) == [], (before, after)
    assert after["connections"] == after["drivers"] == 0


def test_runs_over_tls(
    websockets_tls_server: ServerProcess,
    raw_server: ServerProcess,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    before, after = measure(tmp_path, websockets_tls_server, raw_server, certificates, 200, 200)
    assert faults(before, after) == [], (before, after)


@pytest.mark.parametrize("fault", ["descriptors", "threads", "bytes", "drivers", "connections"])
def test_checker_sees_what_is_left_behind(
    fault: str,
    websockets_server: ServerProcess,
    raw_server: ServerProcess,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    before, after = measure(tmp_path, websockets_server, raw_server, certificates, 20, 50, fault)
    assert fault in faults(before, after), (before, after)
