"""How ``aiows connect`` shows messages and notes, on a terminal and in pipes."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Bytes of a binary message that a terminal gets to see, and characters of a text message.
TERMINAL_BYTES = 1024
TERMINAL_CHARACTERS = 16384

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

RECEIVED = "\x1b[32m"
NOTE = "\x1b[2m"
FAULT = "\x1b[31m"
_PLAIN = "\x1b[0m"


@dataclass(frozen=True)
class Style:
    """
    What the options and the output ask for.

    Attributes:
        raw: Messages as they came.
        timings: Seconds since the opening in front of each message.
        terminal: A person reads it: what would move the cursor is escaped,
            long messages are cut, each begins with a sign.
        colours: Colours on a terminal.

    """

    raw: bool = False
    timings: bool = False
    terminal: bool = False
    colours: bool = False

    def message(self, message: str | bytes, elapsed: float) -> bytes:
        """Return what is written for a message."""
        if self.raw:
            return message.encode() if isinstance(message, str) else message
        if self.terminal:
            shown = _for_terminal(message)
        else:
            shown = message if isinstance(message, str) else message.hex()
        sign = "< " if self.terminal else ""
        time = f"{elapsed:.6f} " if self.timings else ""
        return (self.coloured(f"{time}{sign}{shown}", RECEIVED) + "\n").encode()

    def coloured(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self.colours else text


def escaped(text: str) -> str:
    """Return text without characters by which a server could control a terminal."""
    return _CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)


def _for_terminal(message: str | bytes) -> str:
    if isinstance(message, str):
        left = len(message) - TERMINAL_CHARACTERS
        shown = escaped(message[:TERMINAL_CHARACTERS])
        return f"{shown}… {left:,} more characters" if left > 0 else shown
    left = len(message) - TERMINAL_BYTES
    shown = message[:TERMINAL_BYTES].hex(" ")
    more = f" … {left:,} more" if left > 0 else ""
    return f"binary, {len(message):,} bytes: {shown}{more}" if message else "binary, 0 bytes"
