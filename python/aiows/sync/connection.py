"""A connection for threads."""

from __future__ import annotations

import contextvars
import functools
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from .. import _core
from .._control import check_close, control_payload
from .._description import Description
from .._errors import call_error
from .._options import ConnectionOptions, LoggerLike, integer
from .._stats import ConnectionStats, stats_of
from .._streaming import decoded
from .._types import Data, DataLike, State
from ..close_codes import Close, CloseCode
from ..exceptions import ConcurrencyError, ConnectionClosed
from ._waiting import cooperative_wait

if TYPE_CHECKING:
    import logging
    import uuid

    from ..http11 import Request, Response

__all__ = ["Connection", "Pong"]

_PEER_FIRST = 4  # AIOWS_EVF_PEER
_TEXT, _BINARY = 1, 2  # AIOWS_TEXT, AIOWS_BINARY


class Pong(threading.Event):
    """
    What ping returns: an event that is set when the Pong comes.

    Waiting for it takes part in receiving, so it needs no other thread that
    receives. Messages that arrive meanwhile are queued, or go to on_message.

    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def is_set(self) -> bool:
        """Return whether the Pong has come, or the connection closed with ack_on_close."""
        if not super().is_set():
            self._connection._glance()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """
        Wait for the Pong.

        Args:
            timeout: Seconds, None for no limit.

        Returns:
            Whether the event is set: False after the timeout, and when the
            connection has closed before the Pong, unless ack_on_close was given.

        Raises:
            RuntimeError: The connection was opened before this process was forked.
            Exception: Of on_message, which closes the connection.

        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not super().is_set():
            if self._connection._closed is not None:
                break
            left = None if deadline is None else deadline - time.monotonic()
            if not self._connection._turn(left):
                break
        return super().is_set()


class Connection(Description, _core.BlockingConnection):
    """
    A WebSocket connection that threads use.

    connect makes the instances. Any thread may call any method; only one at a time
    may receive. Attributes stay readable when the connection is closed.

    Nothing runs beside the program: the thread that waits, in whichever method,
    does the work for all. While none waits the library goes on answering pings and
    keeping timeouts, and reads ahead a little. A signal handler, such as that of
    Ctrl-C, runs at once in whatever waits; no message is lost to it.

    As a context manager it is closed on leaving, with 1000, or 1011 when an
    exception is the reason; a forked child leaves it to the parent. As an iterator
    it yields messages until the connection is closed in order, and raises
    ConnectionClosedError after another end.

    ``recv(timeout=None, decode=None)`` returns the next message: str for text,
    bytes for binary; decode=True makes str and decode=False bytes of either. Raises
    TimeoutError after timeout seconds, and loses nothing: the message is for the
    next call. With 0 or less it returns what has arrived. Raises ConnectionClosed
    once the connection is closed and nothing is left, and ConcurrencyError while
    another thread is receiving.

    ``send(message, text=None)`` sends str as text and a bytes-like object as
    binary; text=True or False says otherwise. It waits while more than write_limit
    is to be sent. An iterable of either kind is one message, each item a frame
    (RFC 6455 section 5.4). Messages of several threads are never mixed: while one
    sends an iterable the others get ConcurrencyError. Raises ConnectionClosed;
    TypeError for another type, a dict among them; ValueError when text=True and it
    is not UTF-8. An iterable that fails, or whose items are of two kinds, closes
    with 1011.

    Attributes:
        queued: Messages that have been read and wait for recv, or for on_message.
        buffered: Bytes that wait to be sent.
        received_at: When the last message was read from the socket, in
            nanoseconds of time.monotonic_ns.
        paused: Whether reading has stopped because max_queue is reached.

    """

    def __init__(
        self,
        options: ConnectionOptions,
        logger: LoggerLike,
        *,
        on_message: Callable[[Any, Any], object] | None = None,
        on_close: Callable[[Any], object] | None = None,
    ) -> None:
        if on_message is not None:
            run: Callable[..., object] = contextvars.copy_context().run
            on_message = functools.partial(run, on_message)
        super().__init__(
            max_queue=options.max_queue, wait=cooperative_wait(), on_message=on_message
        )
        self._max_size = options.max_size
        self._base_logger = logger
        self._on_close = on_close
        self._pings: dict[bytes, tuple[Pong, float, bool]] = {}
        self._fragmenting = threading.Lock()
        self._streamed = 0  # messages that recv_streaming ended
        self._cut = b""
        self._latency = 0.0
        self._core_latency = 0
        self._info: dict[str, Any] | None = None
        self._id: uuid.UUID | None = None
        self._logger: logging.LoggerAdapter[Any] | None = None
        self._request: Request | None = None
        self._response: Response | None = None

    # Attributes

    @property
    def state(self) -> State:
        """Where in its life the connection is."""
        self._glance()
        return State(super().state)

    @property
    def latency(self) -> float:
        """Round trip of the newest answered ping in seconds, 0.0 before the first."""
        self._glance()
        self._note_latency()
        return self._latency

    @property
    def stats(self) -> ConnectionStats:
        """What the connection counted until now, or until its end; a new object each time."""
        self._glance()
        self._note_latency()
        return stats_of(
            self.stats_(), queued=self.queued, buffered=self.buffered, latency=self._latency
        )

    # Methods

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._inherited:
            return
        if exc_type is None:
            self.close()
        else:
            self.close(CloseCode.INTERNAL_ERROR)

    @overload
    def recv_streaming(self, decode: Literal[True]) -> Iterator[str]: ...

    @overload
    def recv_streaming(self, decode: Literal[False]) -> Iterator[bytes]: ...

    @overload
    def recv_streaming(self, decode: bool | None = None) -> Iterator[Data]: ...

    def recv_streaming(self, decode: bool | None = None) -> Iterator[Any]:
        """
        Return an iterator over the fragments of the next message, as they arrive.

        Each is one frame's payload, str for text and bytes for binary, and may be
        empty; a frame longer than 1 MiB comes in several. A message that came before
        recv_streaming was first called on this connection is one fragment.

        An interrupt loses nothing: the next recv_streaming goes on with the next
        fragment, as it does when an iterator was left. Until the last fragment is
        taken, other methods that receive raise ConcurrencyError.

        Args:
            decode: True makes str and False bytes of fragments of either kind.

        Raises:
            ConnectionClosed: As recv, also in the middle of a message; and after
                decode=True met what is not UTF-8, which closes with 1007.
            ConcurrencyError: Another thread is receiving, or another iterator has
                ended the message.

        """
        fin, message = False, None
        while not fin:
            if message not in (None, self._streamed):
                raise ConcurrencyError("another recv_streaming has ended this message")
            self._stream()
            data, fin, text = self._recv_part()
            message = self._streamed
            if fin:
                self._streamed += 1
            try:
                part = decoded(self, data, fin, text if decode is None else decode)
            except UnicodeDecodeError as error:
                self._glance()  # the other side may have closed already
                self.close(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")
                raise self._closed_exception() from error
            yield part

    def recv_many(self, max: int | None = None, timeout: float | None = None) -> list[Data]:
        """
        Wait for a message, and return it with those that are there already.

        Args:
            max: How many at most, None for no limit.
            timeout: As for recv.

        Raises:
            ConnectionClosed, ConcurrencyError, TimeoutError: As recv does.

        """
        if max is not None:
            integer("max", max, 1, sys.maxsize)
        messages: list[Data] = [self.recv(timeout)]
        while max is None or len(messages) < max:
            message = self._take()
            if message is None:
                break
            messages.append(message)
        return messages

    def send_json(self, value: Any, *, dumps: Callable[[Any], str] = json.dumps) -> None:
        """
        Send value as JSON, in a text message.

        Args:
            value: What dumps takes.
            dumps: Makes a str of it.

        Raises:
            ConnectionClosed, ConcurrencyError: As send does.

        """
        self.send(dumps(value), text=True)

    def recv_json(
        self, timeout: float | None = None, *, loads: Callable[[str | bytes], Any] = json.loads
    ) -> Any:
        """
        Return the value of the next message, which holds JSON.

        Args:
            timeout: As for recv.
            loads: Makes a value of the message.

        Raises:
            ConnectionClosed, ConcurrencyError, TimeoutError: As recv does.
            ValueError: The message is no JSON.

        """
        return loads(self.recv(timeout))

    def ping(self, data: DataLike | None = None, *, ack_on_close: bool = False) -> Pong:
        """
        Send a Ping (RFC 6455 section 5.5.2).

        Args:
            data: At most 125 bytes; four random ones when None.
            ack_on_close: Whether the event is also set when the connection is
                closed before the Pong comes.

        Returns:
            An event that is set when the Pong comes. It need not be waited for.

        Raises:
            ConnectionClosed: The connection is closed.
            ConcurrencyError: A ping with the same data waits for its Pong.
            ProtocolError: data is longer than 125 bytes.

        """
        payload = os.urandom(4) if data is None else control_payload(data)
        pong = Pong(self)
        entry = pong, time.monotonic(), ack_on_close
        # setdefault decides between threads.
        while self._pings.setdefault(payload, entry) is not entry:
            if data is not None:
                raise ConcurrencyError(f"a ping with the data {payload!r} waits for its pong")
            payload = os.urandom(4)
        try:
            self._ping(payload)
        except BaseException:
            self._pings.pop(payload, None)
            raise
        return pong

    def pong(self, data: DataLike = b"") -> None:
        """
        Send a Pong that no Ping asked for (RFC 6455 section 5.5.3).

        Pings are answered without the application's help.

        Raises:
            ConnectionClosed: The connection is closed.
            ProtocolError: data is longer than 125 bytes.

        """
        self._pong(control_payload(data))

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """
        Close the connection and wait for its end.

        What is to be sent is sent first. It takes at most close_timeout, also when
        the other side does not answer, or floods. An interrupt ends the waiting,
        not the closing. Closing again only waits.
        What arrives until the end can be received, also later: 2 MiB beyond
        max_queue, then the rest is dropped. It goes to on_message instead, if there is
        one; close does not wait for another thread that is inside it.

        Args:
            code: 1000 to 1014 without 1004, 1005 and 1006, or 3000 to 4999.
            reason: At most 123 bytes in UTF-8.

        Raises:
            ProtocolError: A code or reason that may not be sent.
            Exception: Of on_message, after the end.

        """
        check_close(code, reason)
        self._close(code, reason)
        self._wait_for_end(None, others=False)

    def wait_closed(self, timeout: float | None = None) -> bool:
        """
        Wait for the end of the connection, whoever closes it.

        Messages that arrive meanwhile are queued, up to max_queue; or on_message is
        called for each, also for those that are left at the end. When another thread is
        doing that, this one waits until it has done so, unless it is inside on_message
        itself.

        Args:
            timeout: Seconds, None for no limit. With 0 or less on_message gets what has
                arrived, so that a loop of the program's own may call this.

        Returns:
            Whether the connection is closed, and on_message has had the last message.

        Raises:
            Exception: Of on_message, which closes with 1011; after the end, or the
                timeout.

        """
        return self._wait_for_end(timeout, others=True)

    def _wait_for_end(self, timeout: float | None, *, others: bool) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            return self._await_end(timeout, others)
        except Exception:
            if self._muted:
                # Of on_message. The connection is closing, and is not left half closed.
                left = None if deadline is None else deadline - time.monotonic()
                self._await_end(left, others)
            raise

    # For this package

    def _has_ended(self) -> bool:
        self._glance()
        return self._closed is not None

    def _cause(self) -> _core.Error | None:
        return self.error()

    def _note_latency(self) -> None:
        measured = self.stats_()["latency_ns"]
        if measured != self._core_latency:
            self._core_latency = measured
            self._latency = measured / 1e9

    def _closing_state(self) -> tuple[Close | None, Close | None, bool | None]:
        closed = self._closed
        if closed is None:
            rcvd, sent = self._closing_so_far()
            return rcvd, sent, False if rcvd and sent else None
        code, reason, sent_code, flags = closed
        rcvd = None if code == CloseCode.ABNORMAL_CLOSURE else Close(code, reason)
        sent = Close(sent_code, self._describe()["close_reason_sent"]) if sent_code else None
        return rcvd, sent, bool(flags & _PEER_FIRST) if rcvd and sent else None

    def _acknowledge(self, data: bytes | None) -> None:
        # A pong also answers the pings before it (RFC 6455 section 5.5.3).
        now = time.monotonic()
        for payload in list(self._pings):
            pong, sent_at, _ = self._pings.pop(payload)
            pong.set()
            if payload == data:
                self._note_latency()
                self._latency = now - sent_at
                return

    # Called by _core

    def _send_parts(self, message: object, text: bool | None) -> None:
        if isinstance(message, Mapping):
            raise TypeError("message is a mapping, expected str, bytes-like or an iterable of them")
        if not isinstance(message, Iterable):
            raise TypeError(
                "message must be str, bytes-like or an iterable of them, "
                f"got {type(message).__name__}"
            )
        remaining = iter(message)
        try:
            first = next(remaining)
        except StopIteration:
            return
        if not self._fragmenting.acquire(blocking=False):
            raise ConcurrencyError("another thread is sending an iterable")
        try:
            for kind, part in _parts(itertools.chain((first,), remaining), text):
                self._send_fragment(kind, False, part)
            self._send_fragment(kind, True, b"")
        except ConnectionClosed:
            raise
        except BaseException:
            # Also when the first part is the wrong one, as the asyncio client does.
            self._close(CloseCode.INTERNAL_ERROR, "the iterable of a message failed")
            raise
        finally:
            self._fragmenting.release()

    def _map_error(self, error: _core.Error) -> BaseException:
        return call_error(error)

    def _concurrency_error(self) -> BaseException:
        if self._streaming:
            return ConcurrencyError("recv_streaming has begun a message and not ended it")
        return ConcurrencyError("another thread is already receiving from this connection")

    def _on_pong(self, data: bytes) -> None:
        if data in self._pings:
            self._acknowledge(data)

    def _on_closed(self) -> None:
        self._info = self.info()
        self._note_latency()
        pings, self._pings = self._pings, {}
        for pong, _, ack_on_close in pings.values():
            if ack_on_close:
                pong.set()
        if self._base_logger.isEnabledFor(10):  # logging.DEBUG
            self.logger.debug("= connection is CLOSED: %s", self._closed_exception())

    def _on_finished(self) -> None:
        if self._on_close is not None:
            # Let go of, as it often refers back to the connection.
            on_close, self._on_close = self._on_close, None
            on_close(self)


def _parts(message: Iterable[Any], text: bool | None) -> Iterator[tuple[int, DataLike]]:
    first: type[Any] | None = None
    for part in message:
        if not isinstance(part, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"expected items of str or bytes-like, got {type(part).__name__}")
        is_text = isinstance(part, str)
        if first is None:
            first = str if is_text else bytes
        elif is_text != (first is str):
            raise TypeError("expected items of one kind, got both str and bytes-like")
        yield _TEXT if (is_text if text is None else text) else _BINARY, part
