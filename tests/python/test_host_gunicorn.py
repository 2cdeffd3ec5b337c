"""gunicorn --preload: the application is imported once, then forked into workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from servers.launch import ServerProcess, environment

from programs import HANG_S

pytestmark = pytest.mark.once

COMMON = """
import asyncio, json, os
from aiows import AioWebSocket, connect

URI = os.environ["AIOWS_URI"]

async def exchange():
    async with connect(URI) as ws:
        await ws.send("hello")
        return await ws.recv()

def application(environ, start_response):
    try:
        answer = asyncio.run(exchange())
    except RuntimeError as error:
        answer = f"RuntimeError: {error}"
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([os.getpid(), answer]).encode()]
"""


@contextmanager
def gunicorn(folder: Path, source: str, uri: str) -> Iterator[int]:
    """Run two workers that preloaded source; yield their port."""
    (folder / "app.py").write_text(source)
    log = folder / "log"
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-m", "gunicorn"]
    options = ["--preload", "--workers=2", "--bind=127.0.0.1:0", "--graceful-timeout=5"]
    with log.open("w") as stream:
        master = subprocess.Popen(
            [*command, *options, "--no-control-socket", "app:application"],
            cwd=folder,
            env=environment() | {"AIOWS_URI": uri},
            stdout=stream,
            stderr=stream,
        )
    try:
        port = listening_port(log, master)
        yield port
        master.send_signal(signal.SIGTERM)
        assert master.wait(HANG_S) == 0, log.read_text()
        assert "Traceback" not in log.read_text(), log.read_text()
        assert "TIMEOUT" not in log.read_text(), log.read_text()
    finally:
        if master.poll() is None:
            master.kill()
        master.wait()


def listening_port(log: Path, master: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline and master.poll() is None:
        for line in log.read_text().splitlines():
            if "Listening at: http://127.0.0.1:" in line:
                return int(line.split("127.0.0.1:")[1].split()[0].rstrip("/"))
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def answers(port: int) -> list[Any]:
    """Ask until both workers have answered."""
    found: dict[int, Any] = {}
    deadline = time.monotonic() + HANG_S
    while len(found) < 2 and time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=HANG_S) as response:
            pid, answer = json.load(response)
            found[pid] = answer
    assert len(found) == 2 and os.getpid() not in found
    return list(found.values())


def test_connecting_in_each_worker(websockets_server: ServerProcess, tmp_path: Path) -> None:
    # Made, but not opened, in the master.
    source = f"{COMMON}\nAioWebSocket(URI)\nconnect(URI)\n"
    with gunicorn(tmp_path, source, websockets_server.uri()) as port:
        assert answers(port) == ["hello", "hello"]


def test_connected_in_the_master(websockets_server: ServerProcess, tmp_path: Path) -> None:
    source = f"{COMMON}\nassert asyncio.run(exchange()) == 'hello'\n"
    with gunicorn(tmp_path, source, websockets_server.uri()) as port:
        for answer in answers(port):
            assert answer.startswith("RuntimeError: ")
            for word in ("fork", "spawn", "forkserver", "connect after fork"):
                assert word in answer
