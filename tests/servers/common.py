"""What the server programs share."""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import ssl
import struct
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

SUBPROTOCOLS = ["superchat", "chat"]
FRAGMENTED_TEXT = ["frag", "mented", " é"]
FRAGMENTED_BYTES = [bytes(range(100)), bytes(range(100, 101)), b"", bytes(range(101, 256))]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    made.add_argument("--port", type=int, default=0)
    made.add_argument("--cert")
    made.add_argument("--key")
    made.add_argument("--compress", action="store_true")
    return made


def arguments() -> argparse.Namespace:
    return parser().parse_args()


def tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    return context


def announce(*ports: int) -> None:
    print("listening on", *ports, flush=True)


def route(target: str) -> tuple[str, dict[str, str]]:
    """Return path and query of a request target."""
    parts = urlsplit(target)
    return parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}


def refusal(target: str, origin: str | None) -> int | None:
    """Return the status that a handshake is refused with."""
    path, query = route(target)
    if path == "/status":
        return int(query.get("code", "404"))
    if path == "/origin" and origin != query["only"]:
        return 403
    return None


def describe(target: str, headers: list[tuple[str, str]], subprotocol: str | None) -> str:
    """Return what /request answers with."""
    return json.dumps({"path": target, "headers": headers, "subprotocol": subprotocol})


def burst(query: dict[str, str]) -> Iterator[bytes]:
    size = int(query.get("size", "100"))
    for index in range(int(query.get("n", "10000"))):
        yield struct.pack("!I", index) + bytes(size - 4)


class Collector:
    """Checks the numbered messages that /collect gets, as burst makes them."""

    def __init__(self, query: dict[str, str]) -> None:
        self._count = int(query.get("n", "10000"))
        self._next = 0

    def add(self, message: str | bytes) -> str | None:
        """Return the answer once all messages are there."""
        assert isinstance(message, bytes), message
        (number,) = struct.unpack_from("!I", message)
        assert number == self._next, f"message {number}, expected {self._next}"
        self._next += 1
        return f"{self._count} in order" if self._next == self._count else None


class Closes:
    """Remembers how connections ended."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, int | None, str | None]] = []
        self._added = asyncio.Event()

    def add(self, target: str, code: int | None, reason: str | None) -> None:
        self._seen.append((target, code, reason))
        self._added.set()
        self._added = asyncio.Event()

    async def of(self, query: dict[str, str]) -> str:
        """Return code and reason of the n connections to a target, once they have ended."""
        count = int(query.get("n", "1"))
        while True:
            found = [end[1:] for end in self._seen if end[0] == query["target"]]
            if len(found) >= count:
                return json.dumps(found)
            await self._added.wait()

    def text(self) -> str:
        return json.dumps(self._seen)


class Requests:
    """Remembers the fields of the newest requests."""

    def __init__(self) -> None:
        self._seen: collections.deque[tuple[str, list[tuple[str, str]]]] = collections.deque(
            maxlen=50
        )

    def add(self, target: str, headers: list[tuple[str, str]]) -> None:
        self._seen.append((target, headers))

    def text(self) -> str:
        return json.dumps(list(self._seen))
