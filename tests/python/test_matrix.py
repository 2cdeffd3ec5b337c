"""Every client library meets our server, and ours every server library: see matrix.py."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from clients.common import made, tell
from clients.launch import HANG_S, ClientProcess
from servers.fixtures import Certificates
from servers.launch import ServerProcess, arguments_for
from websockets.asyncio.client import connect

from matrix import (
    CELLS,
    SCENARIOS,
    Cell,
    Client,
    Scenario,
    Server,
)

# What goes over the wire is the core's, with any Python.
pytestmark = pytest.mark.once


class Processes:
    """Starts each client and server program when it is first wanted."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self._running = contextlib.ExitStack()
        self._clients: dict[tuple[str, str], ClientProcess] = {}
        self._servers: dict[tuple[str, str, str], ServerProcess] = {}
        self.context = ssl.create_default_context(cafile=certificates.ca)

    def client(self, client: Client, loop: str) -> ClientProcess:
        key = client.name, loop if client.ours else ""
        if key not in self._clients or self._clients[key].lost:
            self._clients[key] = self._running.enter_context(self.new_client(client, loop))
        return self._clients[key]

    def new_client(self, client: Client, loop: str) -> ClientProcess:
        ca = str(self._certificates.ca)
        if client.ours:
            return ClientProcess(client.program, loop)
        if client.name == "chromium":
            return ClientProcess(client.program, str(self._certificates.cert))
        return ClientProcess(client.program, NODE_EXTRA_CA_CERTS=ca)

    def server(self, server: Server, scheme: str, loop: str) -> ServerProcess:
        key = server.name, scheme, loop if server.ours else ""
        if key not in self._servers:
            started = self._running.enter_context(self.new_server(server, scheme, loop))
            self._servers[key] = started
        return self._servers[key]

    def new_server(self, server: Server, scheme: str, loop: str) -> ServerProcess:
        secure = scheme == "wss"
        arguments = ["--loop", loop] if server.ours else []
        if "compression" not in server.lacks:
            arguments.append("--compress")
        if secure:
            arguments += arguments_for(self._certificates.cert, self._certificates.key)
        return ServerProcess(server.program, *arguments, secure=secure)

    def line(self, uri: str, **more: Any) -> dict[str, Any]:
        """Return a scenario for a client program."""
        line = {"uri": uri, **more}
        return line | {"ca": str(self._certificates.ca)} if uri.startswith("wss") else line

    def ask(self, server: ServerProcess, path: str) -> Any:
        """Return what the server tells at path, from JSON."""
        context = self.context if server.secure else None

        async def told() -> Any:
            async with asyncio.timeout(HANG_S), connect(server.uri(path), ssl=context) as ws:
                return json.loads(await ws.recv())

        # Not the blocking client: its two threads share one TLS connection, and it can hang.
        return asyncio.run(told())

    def close(self) -> None:
        self._running.close()


@pytest.fixture(scope="module")
def processes(certificates: Certificates) -> Iterator[Processes]:
    started = Processes(certificates)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture
def client_process(processes: Processes, cell: Cell) -> ClientProcess:
    return processes.client(cell.client, cell.loop)


@pytest.fixture
def server_process(processes: Processes, cell: Cell) -> ServerProcess:
    return processes.server(cell.server, cell.scheme, cell.loop)


targets = map("{}".format, itertools.count())


def cases() -> list[Any]:
    return [
        pytest.param(
            cell, scenario, id=f"{cell}-{scenario.name}", marks=[pytest.mark.once] * cell.once
        )
        for cell, scenario in itertools.product(CELLS, SCENARIOS)
        if scenario.fits(cell)
    ]


@pytest.mark.parametrize(("cell", "scenario"), cases())
def test_scenario(
    cell: Cell,
    scenario: Scenario,
    processes: Processes,
    client_process: ClientProcess,
    server_process: ServerProcess,
) -> None:
    separator = "&" if "?" in scenario.path else "?"
    target = f"{scenario.path}{separator}case={next(targets)}"
    uri = server_process.uri(target)
    if scenario.strict:
        uri = uri.replace(f":{server_process.port}/", f":{server_process.strict_port}/")
    line = processes.line(uri, steps=scenario.steps, compress=cell.compress, **scenario.options)
    assert client_process.run(line) == [scenario.told_by(cell)]
    if scenario.sees is not None:
        code, reason = scenario.sees
        ((seen_code, seen_reason),) = processes.ask(
            server_process, f"/ended?target={quote(target)}"
        )
        assert seen_code == code
        if "reason" not in cell.server.lacks:
            assert seen_reason == reason


CROWD = 200
CROWDED = [
    pytest.param(cell, id=str(cell), marks=[pytest.mark.once] * cell.once)
    for cell in CELLS
    if cell.server.ours and cell.scheme == "ws" and "crowd" not in cell.client.lacks
]


@pytest.mark.parametrize("cell", CROWDED)
def test_two_hundred_at_once(
    client_process: ClientProcess, server_process: ServerProcess, cell: Cell
) -> None:
    steps = [["meet"], ["send", "letters:1000"], ["receive"], ["close", 1000, ""]]
    line = {"uri": server_process.uri(), "compress": cell.compress, "copies": CROWD}
    number = client_process.start({**line, "steps": steps})
    # All are open at the same time before the first of them goes on.
    client_process.wait_met(number)
    client_process.go(number)
    assert client_process.told(number) == [[tell(made("letters:1000")), "closed 1000"]]


KILLED = [
    pytest.param(cell, path, id=f"{cell}-{path[1:]}")
    for cell in CELLS
    if cell.server.ours and cell.client.name == "websockets"
    # With messages still unread, the end of the client is a reset.
    for path in ("/echo", "/burst")
]


@pytest.mark.parametrize(("cell", "path"), KILLED)
def test_client_killed(
    cell: Cell, path: str, processes: Processes, server_process: ServerProcess
) -> None:
    target = f"{path}?case={next(targets)}"
    steps = [["send", "text:x"], ["receive"], ["die"]]
    with processes.new_client(cell.client, cell.loop) as client:
        client.start(processes.line(server_process.uri(target), steps=steps))
        client.wait_killed()
    ended = processes.ask(server_process, f"/ended?target={quote(target)}")
    assert ended == [[1006, ""]]
