"""What a program may put into control frames (RFC 6455 section 5.5)."""

from __future__ import annotations

from ._quoting import quoted
from .exceptions import ProtocolError

_NOT_ON_WIRE = frozenset({1004, 1005, 1006})


def check_close(code: object, reason: object) -> None:
    """
    Check what a Close frame is to say (RFC 6455 section 7.4).

    Raises:
        ProtocolError: A code or a reason that may not be sent.
        TypeError: code is no int or reason no str.

    """
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"code must be int, got {quoted(code)}")
    if not isinstance(reason, str):
        raise TypeError(f"reason must be str, got {quoted(reason)}")
    if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in _NOT_ON_WIRE:
        raise ProtocolError(
            f"close code {quoted(code)} may not be sent, expected 1000 or 3000 to 4999"
        )
    size = len(reason.encode())
    if size > 123:
        raise ProtocolError(f"close reason of {size} bytes, expected at most 123")


def control_payload(data: object) -> bytes:
    """
    Return the payload of a Ping or Pong.

    Raises:
        ProtocolError: It is longer than 125 bytes.
        TypeError: data is neither str nor bytes-like.

    """
    if isinstance(data, str):
        payload = data.encode()
    elif isinstance(data, (bytes, bytearray, memoryview)):
        payload = bytes(data)
    else:
        raise TypeError(f"data must be str or bytes-like, got {type(data).__name__}")
    if len(payload) > 125:
        raise ProtocolError(f"control payload of {len(payload)} bytes, expected at most 125")
    return payload
