"""The lines of a request, as AioWebSocket takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ._quoting import quoted
from .headers import check_field, check_handshake_field

__all__ = ["default_origin", "has_field", "last_of_each", "merged", "request_lines"]

_is_request_line = re.compile(r"GET (\S+) HTTP/1\.1").fullmatch
_forbidden = re.compile(r"[\x00\r\n]").search
_REQUIRED = ("Connection", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version")


def request_lines(headers: Iterable[object]) -> list[str]:
    """
    Return the lines of a request without the blank one at the end.

    Raises:
        TypeError: A line is no str.
        ValueError: A line that cannot be sent, or a missing field.

    """
    lines = list(headers)
    while lines and lines[-1] in ("", "\r\n"):
        lines.pop()
    if not lines:
        raise ValueError("headers has no request line, expected one such as 'GET / HTTP/1.1'")
    for number, line in enumerate(lines, 1):
        if not isinstance(line, str):
            raise TypeError(
                f"headers must be a list of str, got {type(line).__name__} in line {number}"
            )
        bad = _forbidden(line)
        if bad:
            raise ValueError(
                f"line {number} of headers holds {bad.group()!r} at index {bad.start()}"
            )
        if not line:
            raise ValueError(f"line {number} of headers is empty, expected that of the last only")
    result = [str(line) for line in lines]
    if not _is_request_line(result[0]):
        raise ValueError(f"line 1 of headers is {quoted(result[0])}, expected 'GET /path HTTP/1.1'")
    for number, line in enumerate(result[1:], 2):
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"line {number} of headers has no colon, expected 'Name: value'")
        check_handshake_field(*check_field(name, value))
    for name in _REQUIRED:
        if not has_field(result, name):
            raise ValueError(f"headers has no {name} line")
    return result


def has_field(lines: Iterable[str], name: str) -> bool:
    """Return whether one of lines is a field of that name."""
    return any(line.partition(":")[0].lower() == name.lower() for line in lines)


def merged(lines: list[str], fields: list[tuple[str, str]]) -> list[str]:
    """Return lines in which fields replace those of the same name, or follow."""
    for name, value in fields:
        line = f"{name}: {value}"
        same = [
            index
            for index, old in enumerate(lines)
            if index and old.partition(":")[0].lower() == name.lower()
        ]
        if same:
            lines[same[0]] = line
            for index in reversed(same[1:]):
                del lines[index]
        else:
            lines.append(line)
    return lines


def last_of_each(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return fields with the last value for each name, in the place of its first."""
    result: dict[str, tuple[str, str]] = {}
    for name, value in fields:
        result[name.lower()] = name, value
    return list(result.values())


def default_origin(uri: str) -> str:
    """Return the Origin that aiowebsocket sends to uri."""
    scheme, _, rest = uri.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    bare = re.sub(r":\d*$", "", host)
    return f"{'https' if scheme.lower() == 'wss' else 'http'}://{bare}"
