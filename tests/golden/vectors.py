"""The files of golden vectors below libws; README.md beside each describes its format."""

from __future__ import annotations

import dataclasses
from pathlib import Path

LIBWS = Path(__file__).parents[2] / "libws"


@dataclasses.dataclass
class Frames:
    """A case of frames.txt or deflate.txt: what a peer sends, and what comes of it."""

    name: str
    to_server: bool = False
    made_up: bool = False  # needs an extension that nobody has
    extension: str = ""  # what both ends agree on
    limit: int = 0
    octets: bytes = b""
    # message, ping and pong lines, payloads as one field
    events: list[str] = dataclasses.field(default_factory=list)
    # close, fail, open or nothing
    ending: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Head:
    """A block of request.txt, response.txt or negotiation.txt."""

    name: str
    keys: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    sent: bytes = b""
    back: bytes = b""

    def get(self, key: str) -> str:
        return self.keys.get(key, [""])[0]


def unhex(fields: list[str]) -> bytes:
    """Join fields of hexadecimal digits; 3*ff is ffffff, - is nothing."""
    parts = []
    for field in fields:
        count, _, digits = field.rpartition("*")
        parts.append(bytes.fromhex(digits.removeprefix("-")) * int(count or 1))
    return b"".join(parts)


def shown(payload: bytes) -> str:
    return payload.hex() or "-"


def read_frames(path: str = "wire/testdata/frames.txt") -> list[Frames]:
    """Read frames.txt or testdata/deflate.txt."""
    cases: list[Frames] = []
    for line in (LIBWS / path).read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        word, *rest = line.split(" ")
        if word == "case":
            cases.append(Frames(rest[0]))
            continue
        case = cases[-1]
        match word:
            case "to":
                case.to_server = rest[0] == "server"
            case "rsv":
                case.made_up = True
            case "extension":
                case.extension = " ".join(rest)
            case "more":
                case.events[-1] += rest[0]
            case "limit":
                case.limit = int(rest[0])
            case "in":
                case.octets += unhex(rest)
            case "message":
                case.events.append(f"message {rest[0]} {shown(unhex(rest[1:]))}")
            case "ping" | "pong":
                case.events.append(f"{word} {shown(unhex(rest))}")
            case "close":
                case.ending = ["close", rest[0], shown(unhex(rest[1:]))]
            case "fail" | "open":
                case.ending = [word, *rest]
            case "cite" | "frame" | "payload":
                pass
            case _:
                raise ValueError(f"{path}, {case.name}: {line}")
    return cases


def unescape(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def repeated(text: str) -> bytes:
    """Read what follows > or <: octets behind a space, or *COUNT before it."""
    times, _, octets = text.partition(" ")
    return unescape(octets) * int(times.removeprefix("*") or 1)


def read_heads(path: str) -> list[Head]:
    """Read request.txt, response.txt or negotiation.txt."""
    heads: list[Head] = []
    for line in (LIBWS / path).read_text().splitlines():
        if line.startswith("== "):
            heads.append(Head(line[3:]))
        elif line.startswith(">"):
            heads[-1].sent += repeated(line[1:])
        elif line.startswith("<"):
            heads[-1].back += repeated(line[1:])
        elif line and not line.startswith("#"):
            key, _, value = line.partition(":")
            heads[-1].keys.setdefault(key, []).append(value.removeprefix(" "))
    return heads
