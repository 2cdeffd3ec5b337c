"""Close codes (RFC 6455 section 7.4 and the IANA registry)."""

from __future__ import annotations

import dataclasses
import enum

__all__ = ["Close", "CloseCode", "close_code_name"]


class CloseCode(enum.IntEnum):
    """
    Why a connection was closed.

    1005, 1006 and 1015 only label local outcomes and never travel in a Close
    frame. Codes from 4000 to 4999 are for private use; 1016 to 2999 and the
    rest of the 3000s are reserved or unassigned.

    """

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RCVD = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_FRAME_PAYLOAD_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXT = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015
    UNAUTHORIZED = 3000
    FORBIDDEN = 3003
    TIMEOUT = 3008

    # The names that websockets gives to two of them.
    INVALID_DATA = 1007
    MANDATORY_EXTENSION = 1010

    # The names in aiowebsocket's README.
    CLOSE_NORMAL = 1000
    CLOSE_GOING_AWAY = 1001
    CLOSE_PROTOCOL_ERROR = 1002
    CLOSE_UNSUPPORTED = 1003
    CLOSE_NO_STATUS = 1005
    CLOSE_ABNORMAL = 1006
    CLOSE_TOO_LARGE = 1009
    MISSING_EXTENSION = 1010


# Where the registry's name is not that of the member.
_NAMES = {
    1004: "reserved",
    1005: "no status received",
    1010: "mandatory extension",
    1015: "TLS handshake",
}
_NAMES.update(
    (code, code.name.lower().replace("_", " ")) for code in CloseCode if code not in _NAMES
)

# What closes a connection in order: the rest makes ConnectionClosedError.
OK_CLOSE_CODES = frozenset({1000, 1001, 1005})


def close_code_name(code: int) -> str:
    """Return the name of a close code, else the name of its range."""
    name = _NAMES.get(code)
    if name is not None:
        return name
    if code < 1000:
        return "unused"
    if code < 3000:
        return "unassigned"
    if code < 4000:
        return "registered"
    return "private use" if code < 5000 else "invalid"


@dataclasses.dataclass(frozen=True)
class Close:
    """
    What a Close frame says.

    Attributes:
        code: Close code, 1005 when the frame had none.
        reason: Text of at most 123 bytes in UTF-8, often empty.

    """

    code: int
    reason: str = ""

    def __str__(self) -> str:
        text = f"{int(self.code)} ({close_code_name(self.code)})"
        return f"{text}: {self.reason}" if self.reason else text
