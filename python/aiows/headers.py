"""HTTP header fields: a multi-valued, case-insensitive, ordered mapping."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol, TypeAlias

from ._quoting import quoted

__all__ = ["Headers", "HeadersLike", "MultipleValuesError"]

_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_key = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==").fullmatch
_PARAMETER = (
    r"(?:(?:server|client)_no_context_takeover|client_max_window_bits"
    r"|(?:server|client)_max_window_bits\s*=\s*(?:[89]|1[0-5]|\"(?:[89]|1[0-5])\"))"
)
_OFFER = rf"permessage-deflate(?:\s*;\s*{_PARAMETER})*"
_is_offer = re.compile(rf"{_OFFER}(?:\s*,\s*{_OFFER})*").fullmatch
# Controls other than HTAB may not stand in a field value (RFC 9110 section 5.5).
_forbidden = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_surrogate = re.compile(r"[\ud800-\udfff]").search


class MultipleValuesError(LookupError):
    """A field that occurs more than once was asked for as if it had one value."""

    def __str__(self) -> str:
        return f"several values for header field {quoted(self.args[0])}, use get_all"


class SupportsKeysAndGetItem(Protocol):
    """What dict() also takes."""

    def keys(self) -> Iterable[str]: ...
    def __getitem__(self, key: str, /) -> Any: ...


class Headers(MutableMapping[str, str]):
    """
    Header fields of a request or a response.

    Names are looked up without regard to case; order and spelling are kept.
    ``headers[name]`` raises KeyError when the field is missing and
    MultipleValuesError when it occurs more than once. Assigning adds another
    field; ``del`` removes all of that name.

    """

    __slots__ = ("_items",)

    def __init__(self, *args: HeadersLike, **fields: str) -> None:
        self._items: list[tuple[str, str]] = []
        self.update(*args, **fields)

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        if len(values) > 1:
            raise MultipleValuesError(name)
        return values[0]

    def __setitem__(self, name: str, value: str) -> None:
        self._items.append(check_field(name, value))

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        lower = name.lower()
        self._items = [item for item in self._items if item[0].lower() != lower]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        lower = name.lower()
        return any(key.lower() == lower for key, _ in self._items)

    def __iter__(self) -> Iterator[str]:
        return iter({name.lower(): None for name, _ in self._items})

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._items})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._by_name() == other._by_name()

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return "".join(f"{name}: {value}\r\n" for name, value in self._items) + "\r\n"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._items!r})"

    def _by_name(self) -> dict[str, list[str]]:
        fields: dict[str, list[str]] = {}
        for name, value in self._items:
            fields.setdefault(name.lower(), []).append(value)
        return fields

    def copy(self) -> Headers:
        """Return an independent copy."""
        return type(self)._trusted(self._items)

    def clear(self) -> None:
        """Remove all fields."""
        self._items = []

    def update(self, *args: HeadersLike, **fields: str) -> None:
        """Add fields from mappings, pairs or keywords."""
        for arg in args:
            self._items.extend(field_list(arg))
        for name, value in fields.items():
            self[name] = value

    def get_all(self, name: str) -> list[str]:
        """Return the values of every field of that name, in order."""
        lower = name.lower()
        return [value for key, value in self._items if key.lower() == lower]

    def raw_items(self) -> Iterator[tuple[str, str]]:
        """Return an iterator over all fields as they stand."""
        return iter(self._items)

    @classmethod
    def _trusted(cls, items: Iterable[tuple[str, str]]) -> Headers:
        # For fields that the core has parsed: they need no second check.
        headers = cls()
        headers._items = list(items)
        return headers


HeadersLike: TypeAlias = (
    Headers | Mapping[str, str] | Iterable[tuple[str, str]] | SupportsKeysAndGetItem
)
"""Types accepted where header fields are expected."""


def check_field(name: object, value: object) -> tuple[str, str]:
    """
    Return a field whose value may travel in a request.

    Raises:
        TypeError: The name is no str, or the value neither str nor a number.
        ValueError: The name is no token, or the value holds CR, LF, NUL or
            another control character.

    """
    if not isinstance(name, str):
        raise TypeError(f"header field name must be str, got {type(name).__name__}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(
            f"value of header field {quoted(name)} must be str, got {type(value).__name__}"
        )
    if not _is_token(name):
        raise ValueError(
            f"header field name {quoted(name)} is not a token (RFC 9110 section 5.6.2)"
        )
    bad = _forbidden(value)
    if bad:
        raise ValueError(
            f"value of header field {quoted(name)} holds {bad.group()!r} at index {bad.start()}"
        )
    return name, value.strip(" \t")


def field_list(fields: object) -> list[tuple[str, str]]:
    """
    Return checked fields from anything that HeadersLike covers.

    Raises:
        TypeError: Not a mapping and not an iterable of pairs.
        ValueError: A field that check_field refuses.

    """
    if isinstance(fields, Headers):
        return list(fields.raw_items())
    if isinstance(fields, (str, bytes)):
        raise TypeError(f"headers must be a mapping or pairs, got {type(fields).__name__}")
    if isinstance(fields, Mapping):
        return [check_field(name, value) for name, value in fields.items()]
    if hasattr(fields, "keys") and hasattr(fields, "__getitem__"):
        return [check_field(name, fields[name]) for name in fields.keys()]
    if not isinstance(fields, Iterable):
        raise TypeError(f"headers must be a mapping or pairs, got {type(fields).__name__}")
    result = []
    for field in fields:
        if isinstance(field, (str, bytes)) or not isinstance(field, Iterable):
            # Not quoted, as below: the value may be a secret.
            found = type(field).__name__
            raise TypeError(f"headers must hold (name, value) pairs, got {found} in it")
        pair = tuple(field)
        if len(pair) != 2:
            raise TypeError(f"headers must hold (name, value) pairs, got {len(pair)} items for one")
        result.append(check_field(*pair))
    return result


def request_fields(fields: object) -> list[tuple[str, str]]:
    """
    Return checked fields for an upgrade request.

    Raises:
        TypeError: As field_list.
        ValueError: As field_list; or no handshake can succeed with one of them.

    """
    result = field_list(fields)
    for name, value in result:
        if bad := _surrogate(value):
            raise ValueError(
                f"value of header field {quoted(name)} holds {bad.group()!r} at index "
                f"{bad.start()}, expected no surrogates"
            )
        check_handshake_field(name, value)
    return result


def check_once(fields: Iterable[tuple[str, str]]) -> None:
    """Raise ValueError for a field that stands twice where it may stand once."""
    names = [name.lower() for name, _ in fields]
    for name in _ONCE:
        count = names.count(name.lower())
        if count > 1:
            raise ValueError(f"header field {name} appears {count} times, expected once")


_ONCE = (
    "Host",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Origin",
    "User-Agent",
    "Authorization",
)


def check_handshake_field(name: str, value: str) -> None:
    """
    Check a field that the opening handshake itself defines (RFC 6455 section 4.1).

    Raises:
        ValueError: No handshake can succeed with it.

    """
    name = name.lower()
    words = [word.strip().lower() for word in value.split(",")]
    expected = None
    if name == "connection" and "upgrade" not in words:
        expected = "Upgrade among its values"
    elif name == "upgrade" and "websocket" not in words:
        expected = "websocket"
    elif name == "sec-websocket-version" and value.strip() != "13":
        expected = "13"
    elif name == "sec-websocket-key" and not _is_key(value.strip()):
        expected = "16 bytes in base64"
    elif name == "host" and not value.strip():
        expected = "a host"
    elif name in ("transfer-encoding", "content-length") and value.strip() != "0":
        expected = "no body in an upgrade request"
    elif name == "sec-websocket-extensions" and not _is_offer(value.strip()):
        expected = "offers of permessage-deflate (RFC 7692 section 7.1)"
    if expected is not None:
        raise ValueError(f"header field {name} has the value {quoted(value)}, expected {expected}")
