"""What the client programs share: the scenarios they read, the steps, what they tell."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import sys
import threading
import traceback
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

# Not a divisor of any buffer's size, so that a lost or doubled piece shows.
PERIOD = bytes(range(256)) + b"\xff"
LETTERS = "aé€😀"
# Text longer than this is told by size and checksum.
TOLD_WHOLE = 4000


class Ended(Exception):
    """The connection is over: the close code received, or 1006, and the reason."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Refused(Exception):
    """The server answered with this status instead of 101; None where the library hides it."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status


class Peer:
    """An open connection; each program derives its own, open makes it."""

    subprotocol: str | None = None
    extension: str | None = None  # the name of the one agreed on

    async def send(self, message: str | bytes) -> None:
        raise NotImplementedError

    async def send_fragments(self, parts: list[str] | list[bytes]) -> None:
        """Send one message, each part in a frame of its own."""
        raise NotImplementedError

    async def receive(self) -> str | bytes:
        """Return the next message, or raise Ended."""
        raise NotImplementedError

    async def ping(self, data: bytes) -> None:
        """Send a Ping and return once the Pong with the same data has come."""
        raise NotImplementedError

    async def keepalive(self) -> None:
        """Return once a Ping that the library sent by itself was answered."""
        raise NotImplementedError

    async def close(self, code: int, reason: str) -> None:
        """Send Close, without a code if it is 1005, and raise Ended at the end."""
        raise NotImplementedError


Open = Callable[[dict[str, Any]], Awaitable[Peer]]


@functools.cache
def made(spec: str) -> str | bytes:
    """Return the message that spec stands for: `text:hello`, `letters:100`, `binary:100`."""
    kind, _, rest = spec.partition(":")
    if kind == "text":
        return rest
    if kind == "letters":
        return (LETTERS * (int(rest) // len(LETTERS) + 1))[: int(rest)]
    assert kind == "binary", spec
    return (PERIOD * (int(rest) // len(PERIOD) + 1))[: int(rest)]


def extension_of(field: str | None) -> str | None:
    """Return the name of the extension in an answer's Sec-WebSocket-Extensions."""
    return None if field is None else field.partition(";")[0].strip()


def tell(message: str | bytes) -> str:
    """Return what is told of a message that was received."""
    if isinstance(message, str) and len(message) <= TOLD_WHOLE:
        return f"text {message}"
    data = message.encode() if isinstance(message, str) else message
    kind = "text" if isinstance(message, str) else "binary"
    return f"{kind} of {len(data)} bytes, checksum {zlib.adler32(data)}"


def numbered(number: int, size: int) -> bytes:
    return number.to_bytes(4, "big") + bytes(size - 4)


class Scenario:
    """One line of the input: the same steps on some connections at once."""

    def __init__(self, line: dict[str, Any], open_peer: Open) -> None:
        self._line = line
        self._open = open_peer
        self._copies: int = line.get("copies", 1)
        self._met = 0
        self._go = asyncio.Event()

    def go(self) -> None:
        self._go.set()

    async def run(self) -> None:
        number = self._line["id"]
        try:
            copies = (self._one() for _ in range(self._copies))
            told = await asyncio.gather(*copies)
        except BaseException:
            report({"id": number, "failed": traceback.format_exc()})
            return
        different = [list(lines) for lines in dict.fromkeys(map(tuple, told))]
        report({"id": number, "told": different})

    async def _one(self) -> list[str]:
        told: list[str] = []
        try:
            peer = await self._open(self._line)
            for verb, *arguments in self._line["steps"]:
                try:
                    await self._step(peer, told, verb, *arguments)
                except Ended as end:
                    told.append(f"closed {end.code} {end.reason}".rstrip())
        except Refused as refusal:
            told.append(f"refused {refusal.status}")
        except Exception as error:
            error.add_note(f"told before: {[line[:100] for line in told]}")
            raise
        return told

    async def _step(self, peer: Peer, told: list[str], verb: str, *arguments: Any) -> None:
        if verb == "send":
            await peer.send(made(arguments[0]))
        elif verb == "fragments":
            await peer.send_fragments([made(part) for part in arguments])  # type: ignore[misc]
        elif verb == "receive":
            told.append(tell(await peer.receive()))
        elif verb == "collect":  # for the server's /collect
            count, size = arguments
            for number in range(count):
                await peer.send(numbered(number, size))
        elif verb == "burst":  # of the server's /burst
            for number in range(arguments[0]):
                message = await peer.receive()
                assert isinstance(message, bytes), message
                assert int.from_bytes(message[:4], "big") == number, (number, message[:4])
            told.append(f"{arguments[0]} in order")
        elif verb == "ping":
            await peer.ping(arguments[0].encode())
            told.append("pong")
        elif verb == "keepalive":
            await peer.keepalive()
            told.append("alive")
        elif verb == "subprotocol":
            told.append(f"subprotocol {peer.subprotocol}")
        elif verb == "extension":
            told.append(f"extension {peer.extension}")
        elif verb == "close":
            # Servers may repeat the reason or not (RFC 6455 section 5.5.1).
            try:
                await peer.close(*arguments)
            except Ended as end:
                raise Ended(end.code) from end
        elif verb == "meet":
            await self._meet()
        elif verb == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            raise ValueError(f"unknown step {verb!r}")

    async def _meet(self) -> None:
        self._met += 1
        if self._met == self._copies:
            report({"id": self._line["id"], "met": True})
        await self._go.wait()


def report(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


async def serve_input(open_peer: Open) -> None:
    """Run what standard input asks for, until it ends."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    report({"ready": True})
    scenarios: dict[int, Scenario] = {}
    tasks: set[asyncio.Task[None]] = set()
    while text := await lines.get():
        line = json.loads(text)
        if "go" in line:
            scenarios[line["go"]].go()
            continue
        scenario = scenarios[line["id"]] = Scenario(line, open_peer)
        task = asyncio.create_task(scenario.run())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    for task in tasks:
        task.cancel()
