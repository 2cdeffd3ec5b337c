"""One round of one library in one cell, each in processes of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from cells import Cell
from processes import (
    BUILD,
    CERTIFICATE,
    HERE,
    c_server,
    cpu_seconds,
    listening,
    load,
    messages_of,
    rss_kib,
)
from processes import run_round as run

AT_ONCE = 64  # connections that are opened side by side
PIECE = 4096  # bytes of a message of "exchanged"

Round = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """What the rounds of a cell have in common.

    Attributes:
        uri: The peer's server, for clients.
        seconds: About how long the measured part lasts.
        on: Processors of what is measured.
        other: Processors of the other end.
        latency: Whether to take latencies this time.

    """

    uri: str
    seconds: float
    on: set[int]
    other: set[int]
    latency: bool


def program(kind: str, who: str) -> list[str]:
    name = who.replace(".", "_").replace("-", "_")
    return [sys.executable, str(HERE / f"{kind}s" / f"{name}_{kind}.py")]


def client(cell: Cell, who: str, setting: Setting) -> Round:
    """Echo, flood or JSON, a client under test."""
    messages = cell.messages(who, setting.seconds)
    if who in ("capi", "floor"):
        command = [str(BUILD / "capi_echo"), who, setting.uri, str(cell.connections)]
        return run([*command, str(messages // 10), str(messages)], setting.on)
    command = [
        *[*program("client", who), setting.uri, "--scenario", cell.scenario, "--api", cell.api],
        *["--connections", str(cell.connections), "--size", str(cell.size), "--loop", cell.loop],
        *["--warmup", str(messages // 10), "--messages", str(messages)],
    ]
    if cell.secure:
        command += ["--cafile", str(CERTIFICATE / "cert.pem")]
    if cell.scenario == "json":
        command += ["--json", str(messages_of(cell.size))]
    if setting.latency and cell.scenario == "echo":
        command += ["--latency", str(max(messages // 5, 10))]
    found = run(command, setting.on)
    if cell.scenario == "flood":
        found["mib_per_second"] = found["per_second"] * cell.size / (1 << 20)
    return found


def server(cell: Cell, who: str, setting: Setting) -> Round:
    """Echo, open and stay idle, or open as fast as possible: a server under test."""
    compress = cell.scenario == "exchanged"
    scenario = {"serve": echo, "handshakes": handshakes}.get(cell.scenario, idle)
    with started(cell, who, setting, compress) as (process, said):
        uri, _, version = said.partition(" with ")
        with load(uri, cell.secure, setting.other, compress) as peer:
            # The first connection is the dearest: it loads what is loaded late.
            peer("open", 1, 1)
            found = scenario(cell, who, setting, process, peer)
            # Goodbyes of thousands of connections are nobody's measurement.
            process.kill()
    return {"version": version, **found}


def started(
    cell: Cell, who: str, setting: Setting, compress: bool
) -> AbstractContextManager[tuple[subprocess.Popen[str], str]]:
    """Return the server under test, which says its URI."""
    if cell.api == "c":
        assert compress and who == "aiows"
        return c_server(["-z"], setting.on)
    command = [*program("server", who), "--loop", cell.loop, "--api", cell.api]
    if cell.secure:
        command += ["--certificate", str(CERTIFICATE)]
    if compress:
        command += ["--compress"]
    return listening(command, setting.on)


def echo(cell: Cell, who: str, setting: Setting, process: Any, peer: Any) -> Round:
    if cell.connections > 1:
        peer("open", cell.connections - 1, AT_ONCE)
    each = max(1, cell.messages(who, setting.seconds) // cell.connections)
    peer("echo", max(1, each // 10), cell.size)
    began = cpu_seconds(process.pid)
    told = peer("echo", each, cell.size)
    cpu = cpu_seconds(process.pid) - began
    return {
        "messages": told["count"],
        "cpu_us": cpu * 1e6 / told["count"],
        "wall_us": told["seconds"] * 1e6 / told["count"],
        "per_second": told["count"] / told["seconds"],
        "latency_us": told["latency_us"],
        "rss_kib": rss_kib(process.pid),
    }


def idle(cell: Cell, who: str, setting: Setting, process: Any, peer: Any) -> Round:
    count = cell.connections
    # Caches and pools have their size once some connections are there.
    peer("open", max(1, count // 50), AT_ONCE)
    if cell.size:
        peer("echo", cell.size // PIECE, PIECE)
    settle(process.pid)
    before = rss_kib(process.pid)
    began = cpu_seconds(process.pid)
    peer("open", count, AT_ONCE)
    if cell.size:
        peer("echo", cell.size // PIECE, PIECE)
    settle(process.pid)
    grown = rss_kib(process.pid) - before
    cpu = cpu_seconds(process.pid) - began
    return {
        "connections": count,
        "connection_kib": grown / count,
        "cpu_us": cpu * 1e6 / count,
        "rss_kib": before + grown,
    }


def settle(pid: int) -> None:
    """Wait until a process has nothing left to do: all handlers have started and wait."""
    spent = -1.0
    while cpu_seconds(pid) - spent > 0.001:
        spent = cpu_seconds(pid)
        time.sleep(0.1)


def handshakes(cell: Cell, who: str, setting: Setting, process: Any, peer: Any) -> Round:
    count = cell.connections
    peer("open", max(1, count // 10), AT_ONCE)
    began = cpu_seconds(process.pid)
    told = peer("open", count, AT_ONCE)
    cpu = cpu_seconds(process.pid) - began
    return {
        "messages": count,
        "cpu_us": cpu * 1e6 / count,
        "wall_us": told["seconds"] * 1e6 / count,
        "per_second": count / told["seconds"],
        "latency_us": told["latency_us"],
    }


# What a program that opens a connection imports, and what is loaded late otherwise.
IMPORTS = {
    "aiows": "import aiows, aiows._library; aiows.connect, aiows.serve; aiows._library.load()",
    "picows": "import picows",
    "picows.websockets": "import picows.websockets",
    "websockets": "import websockets.asyncio.client, websockets.asyncio.server",
    "aiohttp": "import aiohttp, aiohttp.web",
}


def importing(cell: Cell, who: str, setting: Setting) -> Round:
    """Import, on top of asyncio and ssl, which every program here has."""
    return run([sys.executable, str(HERE / "clients" / "importing.py"), IMPORTS[who]], setting.on)


def measure(cell: Cell, who: str, setting: Setting) -> Round:
    """Run one round and return its numbers."""
    if cell.scenario in ("echo", "flood", "json"):
        return client(cell, who, setting)
    if cell.scenario == "import":
        return importing(cell, who, setting)
    return server(cell, who, setting)
