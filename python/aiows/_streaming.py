"""Messages in parts, as they come in and as they go out."""

from __future__ import annotations

import codecs
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ._quoting import quoted
from ._types import Data, DataLike, State
from .close_codes import CloseCode
from .exceptions import ConcurrencyError, ConnectionClosed

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["Parts", "send_parts"]

_TEXT, _BINARY = 1, 2  # AIOWS_TEXT, AIOWS_BINARY


class _Decoding(Protocol):
    _cut: bytes  # the beginning of a character


class Parts(AsyncIterator[Data]):
    """What recv_streaming returns: the fragments of one message."""

    __slots__ = ("__weakref__", "_connection", "_decode", "_message", "_over")

    def __init__(self, connection: Connection, decode: bool | None) -> None:
        self._connection = connection
        self._decode = decode
        self._message: int | None = None  # which one it has begun
        self._over = False

    async def __anext__(self) -> Data:
        connection = self._connection
        if self._over:
            raise StopAsyncIteration
        reader = connection._reader
        if connection._streaming:
            owner = None if reader is None else reader()
            if owner is not None and owner is not self:
                raise ConcurrencyError("another recv_streaming has begun this message")
        if self._message is not None and self._message != connection._streamed:
            raise ConcurrencyError("another recv_streaming has ended this message")
        connection._stream()
        try:
            data, fin, text = await connection._recv_part()
        except BaseException:
            # The message can be gone on with, by this iterator or another one.
            if reader is not None and reader() is self:
                connection._reader = None
            raise
        self._message = connection._streamed
        connection._reader = weakref.ref(self)
        if fin:
            self._over = True
            connection._reader = None
            connection._streamed += 1
        decode = text if self._decode is None else self._decode
        try:
            return decoded(connection, data, fin, decode)
        except UnicodeDecodeError as error:
            self._over = True
            connection._close(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")
            await connection.wait_closed()
            raise connection._closed_exception() from error

    async def aclose(self) -> None:
        """Leave the rest of the message to the next recv_streaming."""
        self._over = True
        reader = self._connection._reader
        if reader is not None and reader() is self:
            self._connection._reader = None


def decoded(connection: _Decoding, data: Data, fin: bool, decode: bool) -> Data:
    """Return data as str or bytes; a character that is cut waits for the next fragment."""
    if isinstance(data, str):
        return data if decode else data.encode()
    if connection._cut:
        data, connection._cut = connection._cut + data, b""
    if not decode:
        return data
    text, used = codecs.utf_8_decode(data, "strict", fin)
    if used < len(data):
        connection._cut = data[used:]
    return text


def send_parts(
    connection: Connection, message: object, text: bool | None
) -> Coroutine[Any, Any, None]:
    """
    Return what sends each item of an iterable in a frame of its own, and an empty one last.

    Raises:
        TypeError: The message is no iterable, or a mapping. When awaited: it holds
            something else than str or bytes-like objects, or both.

    """
    if isinstance(message, Mapping):
        raise TypeError(f"message must not be a mapping, got {type(message).__name__}")
    if isinstance(message, Iterable):
        return _send_iterable(connection, message, text)
    if isinstance(message, AsyncIterable):
        return _send_async_iterable(connection, message, text)
    raise TypeError(
        "message must be str, bytes-like, or an iterable or asynchronous iterable of them, "
        f"got {type(message).__name__}"
    )


async def _send_iterable(connection: Connection, message: Iterable[Any], text: bool | None) -> None:
    parts = iter(message)
    try:
        first = next(parts)
    except StopIteration:
        return
    async with _Fragments(connection, text) as fragments:
        await fragments.send(first)
        for part in parts:
            await fragments.send(part)


async def _send_async_iterable(
    connection: Connection, message: AsyncIterable[Any], text: bool | None
) -> None:
    parts = aiter(message)
    try:
        try:
            first = await anext(parts)
        except StopAsyncIteration:
            return
        async with _Fragments(connection, text) as fragments:
            await fragments.send(first)
            async for part in parts:
                await fragments.send(part)
    finally:
        close = getattr(parts, "aclose", None)
        if close is not None:
            await close()


class _Fragments:
    """A message that is sent in fragments, while others wait."""

    def __init__(self, connection: Connection, text: bool | None) -> None:
        self._connection = connection
        self._text = text
        self._kind = 0
        self._is_str = False

    async def __aenter__(self) -> _Fragments:
        await self._connection._take_turn()
        self._connection._sending = True
        return self

    async def send(self, part: DataLike) -> None:
        is_str = isinstance(part, str)
        if not is_str and not isinstance(part, (bytes, bytearray, memoryview)):
            raise TypeError(f"fragments must be str or bytes-like, got {quoted(part)}")
        if not self._kind:
            self._is_str = is_str
            self._kind = _TEXT if (is_str if self._text is None else self._text) else _BINARY
        elif is_str != self._is_str:
            expected = "str" if self._is_str else "bytes-like, as the first one"
            raise TypeError(
                f"fragments must be of one kind, got {quoted(part)}, expected {expected}"
            )
        if self._connection.send_fragment(self._kind, False, part):
            await self._connection.drain()

    async def __aexit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        connection = self._connection
        pending = False
        if error is None:
            try:
                pending = connection.send_fragment(self._kind, True, b"")
            except Exception as late:
                error = late
        if error is not None and connection.state < State.CLOSING:
            # Half a message is sent, which nothing may follow.
            connection._close(CloseCode.INTERNAL_ERROR, "the iterable of a message failed")
        connection._sending = False
        connection._end_turn()
        if pending:
            await connection.drain()
        if isinstance(error, Exception):
            await connection.wait_closed()
            raise connection._closed_exception() if isinstance(error, ConnectionClosed) else error
