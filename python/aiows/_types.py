"""Types of what connections of asyncio and of threads exchange."""

from __future__ import annotations

import enum
from typing import TypeAlias

__all__ = ["Data", "DataLike", "State"]

Data: TypeAlias = str | bytes
"""A message received: str for text, bytes for binary."""

DataLike: TypeAlias = str | bytes | bytearray | memoryview
"""A message to send."""


class State(enum.IntEnum):
    """State of a connection (RFC 6455)."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3
