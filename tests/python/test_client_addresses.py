"""connect: names with several addresses, in a network whose names and addresses are ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from namespaces import run_inside

pytestmark = pytest.mark.once

HOSTS = """
127.0.0.1 localhost
::1 both.test
127.0.0.1 both.test
fd00::1 many.test
fd00::2 many.test
fd00::3 many.test
127.0.0.1 many.test
127.0.0.2 many.test
"""
PROGRAM = r"""
import asyncio, contextlib, json, re, select, socket
import websockets.asyncio.server as peer
from aiows import connect

async def handle(connection):
    await connection.wait_closed()

async def address(port, **options):
    async with connect(f"ws://both.test:{port}/", **options) as ws:
        return ws.remote_address[0]

async def failures(**options):
    try:
        await connect("ws://many.test:1/", all_errors=True, **options)
    except ExceptionGroup as group:
        assert all(isinstance(error, OSError) and error.errno for error in group.exceptions)
        return [re.search(r"\((.*):1\)", str(error))[1] for error in group.exceptions]

async def main():
    found = {}
    async with peer.serve(handle, ["127.0.0.1", "::1"], 8000):
        found["4"] = await address(8000, family=socket.AF_INET)
        found["6"] = await address(8000, family=socket.AF_INET6)
        found["any"] = await address(8000, happy_eyeballs_delay=None)
        found["from IPv4"] = await address(8000, local_addr=("127.0.0.7", 0))
        found["from a name"] = await address(8000, local_addr=("localhost", 0))
    first, other = ("::1", "127.0.0.1") if found["any"] == "::1" else ("127.0.0.1", "::1")
    async with peer.serve(handle, other, 8001):
        found["refused"] = await address(8001, happy_eyeballs_delay=None) == other
        with contextlib.ExitStack() as stack:
            # Nobody who comes to a full backlog gets an answer.
            family = socket.AF_INET6 if ":" in first else socket.AF_INET
            full = stack.enter_context(
                socket.create_server((first, 8001), family=family, backlog=0)
            )
            for _ in range(3):
                client = stack.enter_context(socket.socket(family))
                client.setblocking(False)
                client.connect_ex((first, 8001))
            select.select([full], [], [], 60)
            found["overtaken"] = await address(8001, happy_eyeballs_delay=0.01) == other
            try:
                await address(
                    8001, happy_eyeballs_delay=None, open_timeout=0.5, all_errors=True
                )
            except TimeoutError:
                found["waited for"] = True
    for name, options in {
        "default": {},
        "0": {"interleave": 0},
        "1": {"interleave": 1},
        "2": {"interleave": 2},
        "no delay": {"happy_eyeballs_delay": None},
        "no delay, 1": {"happy_eyeballs_delay": None, "interleave": 1},
        "IPv4": {"family": socket.AF_INET},
    }.items():
        found[f"interleave {name}"] = await failures(**options)
    try:
        await connect("ws://many.test:1/")
    except OSError as error:
        found["one error"] = [type(error).__name__, str(error)]
    print(json.dumps(found))

asyncio.run(main())
"""


def families(addresses: list[str]) -> str:
    return "".join("6" if ":" in address else "4" for address in addresses)


def test_several_addresses(tmp_path: Path) -> None:
    code, output, errors = run_inside(tmp_path, PROGRAM, hidden="/etc/hosts", text=HOSTS)
    assert (code, errors) == (0, "")
    found = json.loads(output)
    assert (found["4"], found["6"]) == ("127.0.0.1", "::1")
    assert found["from IPv4"] == found["from a name"] == "127.0.0.1"
    assert found["refused"] and found["overtaken"] and found["waited for"]

    # Which family is the first is the system's choice (RFC 6724).
    kept = found["interleave 0"]
    first, other = ("6", "4") if ":" in kept[0] else ("4", "6")
    n = 3 if first == "6" else 2
    assert len(set(kept)) == 5 and families(kept) == first * n + other * (5 - n)
    assert found["interleave no delay"] == kept
    assert found["interleave default"] == found["interleave 1"] == found["interleave no delay, 1"]
    assert families(found["interleave 1"])[:4] == (first + other) * 2
    assert families(found["interleave 2"])[:3] == first * 2 + other
    assert sorted(found["interleave 2"]) == sorted(kept)
    assert found["interleave IPv4"] == ["127.0.0.1", "127.0.0.2"]
    kind, text = found["one error"]
    assert kind in ("OSError", "ConnectionRefusedError")
    assert "many.test:1: " in text and "(127.0.0.1:1)" in text
