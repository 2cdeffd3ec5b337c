"""connect: cancelled at each stage of an opening, which leaves no descriptor."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import select
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiows import connect
from namespaces import run_inside
from streams import stream_server

SETTLE_S = 20.0


def sockets() -> set[str]:
    """Return the descriptors of this process and what they are."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
    return {text for text in found if "/fd" not in text}


async def settled(before: set[str]) -> None:
    deadline = time.monotonic() + SETTLE_S
    while left := sockets() - before:
        assert time.monotonic() < deadline, f"left open: {left}"
        gc.collect()
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def stage(name: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Give a URI whose opening stops in a stage, and what tells that it is there."""
    reached = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # What is read first is the beginning of TLS, or the whole request.
        first = await reader.read(1 << 16)
        if name.startswith("redirect") and b"GET /second" not in first:
            length = 1000 if name == "redirect's body" else 0
            head = f"HTTP/1.1 302 Found\r\nLocation: /second\r\nContent-Length: {length}\r\n\r\n"
            writer.write(head.encode())
            if length:
                reached.set()
        elif name != "101's fields" or not first:
            reached.set()
        else:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websock")
            reached.set()
        await reader.read()
        writer.close()

    scheme = "wss" if name == "TLS" else "ws"
    if name == "TCP":
        # Who comes when the backlog is full gets no answer.
        with contextlib.ExitStack() as stack:
            full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(3):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(full.getsockname())
            select.select([full], [], [], SETTLE_S)
            reached.set()
            yield f"ws://127.0.0.1:{full.getsockname()[1]}/", reached
        return
    async with stream_server(serve) as (host, port):
        yield f"{scheme}://{host}:{port}/", reached


STAGES = ["TCP", "TLS", "101", "101's fields", "redirect's body", "redirect"]


@pytest.mark.parametrize("name", STAGES)
async def test_cancelled(name: str) -> None:
    async with stage(name) as (uri, reached):
        before = sockets()
        for _ in range(3):
            if name != "TCP":
                reached.clear()
            opening = asyncio.ensure_future(connect(uri, open_timeout=None)._open())
            await reached.wait()
            async with asyncio.timeout(SETTLE_S):
                while not sockets() - before:
                    await asyncio.sleep(0.001)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            await settled(before)
        with pytest.raises(TimeoutError):
            await connect(uri, open_timeout=0.05)
        await settled(before)


RESOLV = "nameserver 127.0.0.1\noptions timeout:30 attempts:9\n"
PROGRAM = """
import asyncio, gc, os, socket, time
from aiows import connect

def sockets():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink("/proc/self/fd/" + name)
        except FileNotFoundError:
            pass
    return {(name, what) for name, what in found.items() if "/fd" not in what}

async def settled(before):
    deadline = time.monotonic() + 20
    while sockets() - before:
        if time.monotonic() > deadline:
            raise SystemExit(f"left open: {sockets() - before}")
        gc.collect()
        await asyncio.sleep(0.005)

async def main():
    loop = asyncio.get_running_loop()
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 53))
    silent.setblocking(False)
    try:  # what stays open for good
        await connect("ws://127.0.0.1:1/")
    except OSError:
        pass
    before = sockets()
    for _ in range(3):
        try:
            while True:  # a lookup asks for IPv4 and for IPv6
                silent.recv(512)
        except BlockingIOError:
            pass
        opening = asyncio.ensure_future(connect("ws://name.example/", open_timeout=None)._open())
        await loop.sock_recv(silent, 512)  # the lookup has begun
        assert sockets() - before
        opening.cancel()
        try:
            await opening
        except asyncio.CancelledError:
            print("cancelled")
        await settled(before)
    try:
        await connect("ws://name.example/", open_timeout=0.05)
    except TimeoutError as error:
        print(error)
    await settled(before)
    silent.close()

asyncio.run(main())
"""


def test_cancelled_while_a_name_is_looked_up(tmp_path: Path) -> None:
    done = run_inside(tmp_path, PROGRAM, hidden="/etc/resolv.conf", text=RESOLV)
    expected = "cancelled\n" * 3 + 'timed out: resolve "name.example": timed out\n'
    assert done == (0, expected, "")
