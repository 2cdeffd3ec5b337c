"""Checks of the options that connect, serve and AioWebSocket share."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from ._quoting import quoted

__all__ = ["ConnectionOptions", "LoggerLike"]

LoggerLike: TypeAlias = logging.Logger | logging.LoggerAdapter[Any]
"""Types accepted where a logger is expected."""

_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_MAX_SECONDS = 10 * 365 * 86400
_MAX_SIZE = 2**63 - 1
_MAX_FACTORIES = 16  # aiows_conn_options.deflate


@dataclasses.dataclass(frozen=True)
class ConnectionOptions:
    """
    What holds for connections of both roles, checked.

    Attributes:
        core: Options of the core by its own names.
        max_queue: High and low mark of the queue in messages.
        max_size: Limits of a message and of a frame in bytes, None for none.

    """

    core: dict[str, Any]
    max_queue: tuple[int | None, int | None]
    max_size: tuple[int | None, int | None]


def connection_options(
    *,
    ping_interval: float | None,
    ping_timeout: float | None,
    close_timeout: float | None,
    max_size: int | tuple[int | None, int | None] | None,
    max_queue: int | tuple[int | None, int | None] | None,
    write_limit: int | tuple[int, int | None],
    compression: object,
    extensions: object,
    server: bool = False,
) -> ConnectionOptions:
    """
    Check options that both roles have.

    Raises:
        TypeError, ValueError: One of them cannot be used; the text names it.

    """
    sizes = _max_size(max_size)
    high, low = _write_limit(write_limit)
    core = {
        "close_timeout_ms": milliseconds("close_timeout", close_timeout),
        "ping_interval_ms": milliseconds("ping_interval", ping_interval, positive=True),
        "ping_timeout_ms": milliseconds("ping_timeout", ping_timeout),
        "max_message_size": sizes[0] or 0,
        "max_fragment_size": sizes[1] or 0,
        "write_high": high,
        "write_low": low,
        **compression_options(compression, extensions, server=server),
    }
    return ConnectionOptions(core, _max_queue(max_queue), sizes)


def compression_options(compression: object, extensions: object, *, server: bool) -> dict[str, Any]:
    """
    Return what the core is told about compression.

    Raises:
        TypeError: extensions holds something else than our factories of this role.
        ValueError: compression is neither "deflate" nor None; or there are
            too many factories.

    """
    if compression is not None and compression != "deflate":
        raise ValueError(f"compression = {quoted(compression)}, expected 'deflate' or None")
    factories = [] if extensions is None else _factories(extensions, server)
    if not factories:
        return {"compression": int(compression is not None)}
    return {"compression": 1, "deflate": [factory._core() for factory in factories]}


def _factories(extensions: object, server: bool) -> list[Any]:
    from .extensions import permessage_deflate as deflate

    expected: type[Any] = deflate.ClientPerMessageDeflateFactory
    if server:
        expected = deflate.ServerPerMessageDeflateFactory
    wanted = f"a list of {expected.__module__}.{expected.__name__}"
    if isinstance(extensions, (str, bytes)) or not isinstance(extensions, Iterable):
        raise TypeError(f"extensions must be {wanted}, got {quoted(extensions)}")
    factories = list(extensions)
    if len(factories) > _MAX_FACTORIES:
        raise ValueError(
            f"extensions has {len(factories)} factories, expected at most {_MAX_FACTORIES}"
        )
    for factory in factories:
        if not isinstance(factory, expected):
            found = f"{type(factory).__module__}.{type(factory).__qualname__}"
            raise TypeError(f"extensions must be {wanted}, got {quoted(factory)} of type {found}")
    return factories


def milliseconds(name: str, value: object, *, positive: bool = False) -> int:
    """Return seconds as the core's milliseconds, 0 for None, which means no limit."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or None, got {quoted(value)}")
    if not 0 <= value < math.inf or (positive and value == 0):
        least = "a positive number" if positive else "a number"
        raise ValueError(f"{name} = {quoted(value)}, expected {least} of seconds or None")
    # At least 1, as 0 switches the timer off in the core.
    return max(1, math.ceil(min(value, _MAX_SECONDS) * 1000))


def _integer(name: str, value: object, least: int, expected: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be {expected}, got {quoted(value)}")
    if not least <= value <= _MAX_SIZE:
        raise ValueError(f"{name} = {quoted(value)}, expected {expected}")
    return value


def integer(name: str, value: object, least: int, most: int) -> int:
    """Return value, which must be an int from least to most."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be int, got {quoted(value)}")
    if not least <= value <= most:
        raise ValueError(f"{name} = {quoted(value)}, expected {least} to {most}")
    return value


def is_port(digits: str) -> bool:
    """Return whether digits are a number from 1 to 65535."""
    number = digits.lstrip("0")
    is_number = digits.isascii() and digits.isdigit()
    return is_number and 1 <= len(number) <= 5 and int(number) <= 65535


def flag(name: str, value: object) -> bool:
    """Return value, which must be a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be bool, got {quoted(value)}")
    return value


def _pair(name: str, value: object) -> tuple[Any, Any]:
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ValueError(f"{name} = {quoted(value)}, expected (high, low)")
        return value
    return value, None


def _max_size(value: object) -> tuple[int | None, int | None]:
    message, fragment = value, None
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ValueError(f"max_size = {quoted(value)}, expected (message, fragment)")
        message, fragment = value
    expected = "a positive number of bytes, None, or (message, fragment)"
    if message is not None:
        message = _integer("max_size", message, 1, expected)
    if fragment is not None:
        fragment = _integer("max_size", fragment, 1, expected)
    return message, fragment


def _max_queue(value: object) -> tuple[int | None, int | None]:
    high, low = _pair("max_queue", value)
    expected = "a positive number of messages, None, or (high, low)"
    if high is None:
        if low is not None:
            raise ValueError(
                f"max_queue = {quoted(value)}, expected no low mark without a high one"
            )
        return None, None
    high = _integer("max_queue", high, 1, expected)
    low = high // 4 if low is None else _integer("max_queue", low, 0, expected)
    if low > high:
        raise ValueError(f"max_queue = {quoted(value)}, expected low not above high")
    return high, low


def _write_limit(value: object) -> tuple[int, int]:
    high, low = _pair("write_limit", value)
    expected = "a number of bytes or (high, low)"
    high = _integer("write_limit", high, 0, expected)
    low = high // 4 if low is None else _integer("write_limit", low, 0, expected)
    if low > high:
        raise ValueError(f"write_limit = {quoted(value)}, expected low not above high")
    return high, low


def subprotocol_list(value: Iterable[str] | None) -> list[str]:
    """Return subprotocols, each a token that occurs once (RFC 6455 section 4.1)."""
    if value is None:
        return []
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"subprotocols must be a list of str, got {quoted(value)}")
    names = list(value)
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise TypeError(f"subprotocols must be a list of str, got {quoted(name)} in it")
        if not _is_token(name):
            raise ValueError(f"subprotocol {quoted(name)} is not a token (RFC 9110 section 5.6.2)")
        if name in names[:index]:
            raise ValueError(f"subprotocol {quoted(name)} is listed twice")
    return names


def function(name: str, value: Callable[..., Any] | None) -> Any:
    """Return value, which must be None or can be called."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be callable, got {quoted(value)}")
    return value


def callback(name: str, value: Callable[..., Any] | None) -> Any:
    """Return value, which must be None or a plain function."""
    if inspect.iscoroutinefunction(function(name, value)):
        raise TypeError(f"{name} must be a plain function, got coroutine function {quoted(value)}")
    return value


def logger_for(value: LoggerLike | None, name: str) -> LoggerLike:
    """Return the logger given, else the one called name."""
    if value is None:
        return logging.getLogger(name)
    if not isinstance(value, (logging.Logger, logging.LoggerAdapter)):
        raise TypeError(f"logger must be a Logger or LoggerAdapter, got {quoted(value)}")
    return value


def text(name: str, value: object, *, empty: bool = False) -> str:
    """Return a str without control characters."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be str, got {quoted(value)}")
    if not (value or empty) or re.search(r"[\x00-\x1f\x7f]", value):
        raise ValueError(f"{name} = {quoted(value)}, expected text without control characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} = {quoted(value)}, expected text without surrogates") from None
    return value
