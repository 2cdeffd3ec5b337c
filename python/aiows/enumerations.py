"""The names of ``aiowebsocket.enumerations``, with the same values."""

from __future__ import annotations

import enum

__all__ = ["ControlFrames", "DataFrames", "SocketState", "StatusCodes"]

# The close codes of RFC 6455 section 7.4.1 that may travel in a Close frame;
# aiows.CloseCode has them all, with names.
StatusCodes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011]


class SocketState(enum.IntEnum):
    """State of an AioWebSocket; zero and connecting are one."""

    zero = 0
    connecting = 0
    opened = 1
    closing = 2
    closed = 3


class DataFrames(enum.IntEnum):
    """Opcodes of data frames (RFC 6455 section 5.6)."""

    cont = 0x0
    text = 0x1
    binary = 0x2


class ControlFrames(enum.IntEnum):
    """Opcodes of control frames (RFC 6455 section 5.5)."""

    close = 0x8
    ping = 0x9
    pong = 0xA
