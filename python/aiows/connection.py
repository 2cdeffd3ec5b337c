"""What client and server connections have in common."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from . import _core
from ._control import check_close, control_payload
from ._description import Description
from ._errors import STATE, call_error
from ._options import ConnectionOptions, LoggerLike
from ._quoting import quoted
from ._stats import ConnectionStats, stats_of
from ._streaming import Parts, send_parts
from ._types import Data, DataLike, State
from .close_codes import Close, CloseCode
from .exceptions import ConcurrencyError, ConnectionClosed, ConnectionClosedOK
from .http11 import Request, Response

if TYPE_CHECKING:
    import uuid

    from ._loop import Driver

__all__ = ["Connection", "Data", "DataLike", "State"]

_PEER_FIRST = 4  # AIOWS_EVF_PEER


def _dumps(value: Any) -> str:
    import json

    return json.dumps(value)


def _loads(message: Data) -> Any:
    import json

    return json.loads(message)


class Connection(Description, _core.Connection):
    """
    A WebSocket connection on an asyncio loop.

    connect and serve make the instances. Apart from send_nowait, methods
    belong to the thread that runs the loop. Attributes stay readable when the
    connection is closed.

    As an asynchronous context manager it is closed on leaving, with 1000, or
    1011 when an exception is the reason; a forked child leaves it to the parent.
    As an asynchronous iterator it yields messages until the connection is closed
    in order, and raises ConnectionClosedError after another end.

    ``await recv(decode=None)`` returns the next message: str for text, bytes
    for binary; decode=True makes str and decode=False bytes of either.
    Cancelling is safe: the message stays queued. Raises ConnectionClosed once
    the connection is closed and the queue empty, and ConcurrencyError while
    another task is receiving, or recv_streaming is in the middle of a message.

    ``await recv_many(max=None)`` returns a list of all messages that are queued,
    at most max, as soon as there is one; otherwise it is like recv.

    ``await send(message, text=None)`` sends str as text and a bytes-like object
    as binary; text=True or False says otherwise. The whole message is queued at
    once, and goes out even if waiting is cancelled; then it waits while more
    than write_limit is to be sent. Raises ConnectionClosed; TypeError at the
    call for another type; ValueError when text=True and it is not UTF-8.
    An iterable or asynchronous iterable of str, or of bytes-like objects, is sent
    as one message with a frame for each item, and an empty one at the end; nothing
    when it is empty. Other messages wait until it is complete, in order. When the
    iterable raises, mixes types or send is cancelled, the connection is closed with
    1011, as nothing may follow half a message; an asynchronous iterable's aclose is
    awaited.

    ``send_nowait(message, text=None)`` does not wait, and any thread may call
    it. Raises WriteLimitExceeded, and queues nothing, when more than
    write_limit is to be sent already.

    Attributes:
        queued: Messages that wait for recv; frames where they are read one by one.
        buffered: Bytes that wait to be sent.
        received_at: When the last message was read from the socket, in
            nanoseconds of time.monotonic_ns.
        paused: Whether reading has stopped because max_queue is reached.

    """

    # A dict of its own for each would cost an idle connection 0.4 KiB. Subclasses
    # have one, made when the application adds an attribute.
    __slots__ = (
        "_base_logger",
        "_close_rcvd",
        "_close_sent",
        "_close_waiter",
        "_context",
        "_core_latency",
        "_cut",
        "_driver",
        "_ended",
        "_error",
        "_id",
        "_info",
        "_latency",
        "_logger",
        "_loop",
        "_max_size",
        "_on_close",
        "_opened",
        "_pings",
        "_rcvd_then_sent",
        "_reader",
        "_request",
        "_response",
        "_sending",
        "_stats",
        "_streamed",
        "_unbounded",
    )

    def __init__(
        self,
        driver: Driver,
        options: ConnectionOptions,
        logger: LoggerLike,
        *,
        on_message: Callable[[Any, Any], object] | None = None,
        on_close: Callable[[Any], object] | None = None,
        text_as_bytes: bool = False,
    ) -> None:
        super().__init__(
            driver.core,
            max_queue=options.max_queue,
            text_as_bytes=text_as_bytes,
            on_message=on_message,
        )
        self._driver = driver
        self._loop = driver.loop
        self._max_size = options.max_size
        self._base_logger = logger
        self._on_close = on_close
        self._context = contextvars.copy_context() if on_close is not None else None
        self._opened: asyncio.Future[None] | None = None
        self._close_waiter: asyncio.Future[None] | None = None
        # Made with the first ping.
        self._pings: dict[bytes, tuple[asyncio.Future[float], float]] | None = None
        self._latency = 0.0
        self._core_latency = 0
        self._info: dict[str, Any] | None = None
        self._error: _core.Error | None = None
        self._ended = False
        self._close_rcvd: Close | None = None
        self._close_sent: Close | None = None
        self._rcvd_then_sent: bool | None = None
        self._id: uuid.UUID | None = None
        self._logger: logging.LoggerAdapter[Any] | None = None
        self._request: Request | None = None
        self._response: Response | None = None
        self._stats: dict[str, int] = {}
        # Its messages come in parts from the start, as nothing else bounds what is kept of one.
        self._unbounded = options.max_size[0] is None and on_message is None
        self._reader: weakref.ref[Parts] | None = None
        self._streamed = 0
        self._cut = b""
        self._sending = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # The iterator in C would go past a recv that is overridden.
        if "recv" in cls.__dict__ and "__anext__" not in cls.__dict__:
            cls.__anext__ = _next_received  # type: ignore[method-assign,assignment]

    # Attributes

    @property
    def state(self) -> State:
        """Where in its life the connection is."""
        return State.CLOSED if self._ended else State(super().state)

    @property
    def latency(self) -> float:
        """Round trip of the newest answered ping in seconds, 0.0 before the first."""
        if not self._ended:
            self._count()
        return self._latency

    @property
    def stats(self) -> ConnectionStats:
        """What the connection counted until now, or until its end; a new object each time."""
        if not self._ended:
            self._count()
        return stats_of(
            self._stats, queued=self.queued, buffered=self.buffered, latency=self._latency
        )

    # Methods

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._driver.inherited:
            return
        if exc_type is None:
            await self.close()
        elif exc_type is GeneratorExit:
            # The coroutine is being destroyed and may not wait any more.
            self._abort()
        else:
            await self.close(CloseCode.INTERNAL_ERROR)

    @overload
    def recv_streaming(self, decode: Literal[True]) -> AsyncIterator[str]: ...

    @overload
    def recv_streaming(self, decode: Literal[False]) -> AsyncIterator[bytes]: ...

    @overload
    def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Data]: ...

    def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Any]:
        """
        Return an iterator over the fragments of the next message, as they arrive.

        Each is one frame's payload, str for text and bytes for binary, and may be
        empty; a frame longer than 1 MiB comes in several. A message that came before
        recv_streaming was first called on this connection is one fragment.

        Cancelling is safe: an iterator that was cancelled or left goes on with the
        next fragment, or the next recv_streaming does. Until the last fragment is
        taken, other methods that receive raise ConcurrencyError.

        Args:
            decode: True makes str and False bytes of fragments of either kind.

        Raises:
            ConnectionClosed: As recv, also in the middle of a message; and after
                decode=True met what is not UTF-8, which closes with 1007.
            ConcurrencyError: Another task is receiving, or another iterator that is
                in use has begun the message.

        """
        return Parts(self, decode)

    async def send_json(self, value: Any, *, dumps: Callable[[Any], DataLike] = _dumps) -> None:
        """
        Send value as JSON, in a text message.

        Args:
            dumps: What makes JSON of it, str or bytes-like. Default json.dumps.

        Raises:
            ConnectionClosed: The connection is closed.
            TypeError, ValueError: What dumps raises.

        """
        await self.send(dumps(value), text=True)

    async def recv_json(self, *, loads: Callable[[Data], Any] = _loads) -> Any:
        """
        Return the next message, text or binary, as what its JSON stands for.

        Cancelling is safe, as for recv.

        Args:
            loads: What reads it. Default json.loads.

        Raises:
            ConnectionClosed, ConcurrencyError: As recv.
            ValueError: What loads raises for something else than JSON; the
                message is lost.

        """
        return loads(await self.recv())

    async def ping(self, data: DataLike | None = None) -> Awaitable[float]:
        """
        Send a Ping (RFC 6455 section 5.5.2).

        Args:
            data: At most 125 bytes; four random ones when None.

        Returns:
            A future for the latency in seconds, done when the Pong comes. It
            need not be awaited.

        Raises:
            ConnectionClosed: The connection is closed; also what the future
                raises when that happens before the Pong.
            ConcurrencyError: A ping with the same data waits for its Pong.
            ProtocolError: data is longer than 125 bytes.

        """
        pings = self._pings
        if pings is None:
            pings = self._pings = {}
        if data is None:
            payload = os.urandom(4)
            while payload in pings:
                payload = os.urandom(4)
        else:
            payload = control_payload(data)
            if payload in pings:
                raise ConcurrencyError(f"a ping with the data {quoted(payload)} waits for its pong")
        await self._control(self._ping, payload)
        pong = self._loop.create_future()
        pings[payload] = pong, time.monotonic()
        return pong

    async def pong(self, data: DataLike = b"") -> None:
        """
        Send a Pong that no Ping asked for (RFC 6455 section 5.5.3).

        Pings are answered without the application's help.

        Raises:
            ConnectionClosed: The connection is closed.
            ProtocolError: data is longer than 125 bytes.

        """
        await self._control(self._pong, control_payload(data))

    async def _control(self, send: Callable[[bytes], None], payload: bytes) -> None:
        try:
            send(payload)
        except ConnectionClosed:
            if self._ended or self._driver.inherited:
                raise
            # As send does: what closed the connection is known at its end.
            await self.wait_closed()
            exception = self._closed_exception()
            raise exception from exception.__cause__

    async def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """
        Close the connection and wait for its end.

        Messages that are queued are sent first. It takes at most close_timeout,
        also when the other side does not answer. Cancelling stops the waiting,
        not the closing. Closing again only waits.
        What arrives until the end can be received, also later: 2 MiB beyond
        max_queue, then the rest is dropped.

        Args:
            code: 1000 to 1014 without 1004, 1005 and 1006, or 3000 to 4999.
            reason: At most 123 bytes in UTF-8.

        Raises:
            ProtocolError: A code or reason that may not be sent.

        """
        if self._sending:
            check_close(code, reason)
            code, reason = CloseCode.INTERNAL_ERROR, "a message was left unfinished"
        self._start_close(code, reason)
        await self.wait_closed()

    async def wait_closed(self) -> None:
        """Wait for the end of the connection, whoever closes it."""
        if self._ended:
            return
        if self._driver.inherited:
            self._driver.core.fileno()  # raises, and says why
        if self._close_waiter is None:
            self._close_waiter = self._loop.create_future()
        await asyncio.shield(self._close_waiter)

    # For this package

    def _start_close(self, code: int, reason: str) -> None:
        check_close(code, reason)
        self._close(code, reason)

    def _register(self) -> None:
        self._driver.connections.add(self)

    def _has_ended(self) -> bool:
        return self._ended

    def _cause(self) -> _core.Error | None:
        return self._error

    def _count(self) -> None:
        self._stats = self.stats_()
        measured = self._stats["latency_ns"]
        if measured != self._core_latency:
            self._core_latency = measured
            self._latency = measured / 1e9

    # Called by _core

    def _send_parts(self, message: object, text: bool | None) -> Coroutine[Any, Any, None]:
        return send_parts(self, message, text)

    def _map_error(self, error: _core.Error) -> BaseException:
        if self._sending and error.code == STATE:
            return ConcurrencyError("a fragmented message is being sent")
        return call_error(error)

    def _concurrency_error(self) -> BaseException:
        if self._streaming:
            return ConcurrencyError("recv_streaming has begun a message and not ended it")
        return ConcurrencyError("another task is already receiving from this connection")

    def _closing_state(self) -> tuple[Close | None, Close | None, bool | None]:
        if self._ended:
            return self._close_rcvd, self._close_sent, self._rcvd_then_sent
        rcvd, sent = self._closing_so_far()
        both = rcvd is not None and sent is not None
        return rcvd, sent, self._rcvd_then_sent is True if both else None

    def _on_open(self) -> None:
        if self._base_logger.isEnabledFor(logging.DEBUG):
            self.logger.debug("= connection is OPEN")
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    def _on_ping(self, data: bytes) -> None:
        pass  # answered by the core

    def _on_pong(self, data: bytes) -> None:
        pings = self._pings
        if not pings or data not in pings:
            return
        # A pong also answers the pings before it (RFC 6455 section 5.5.3).
        now = time.monotonic()
        for payload in list(pings):
            pong, sent_at = pings.pop(payload)
            if not pong.done():
                pong.set_result(now - sent_at)
            if payload == data:
                self._count()
                self._latency = now - sent_at
                return

    def _on_closing(self, code: int, reason: str) -> None:
        # The peer's Close is here; whether ours was sent before decides.
        self._rcvd_then_sent = not self.info()["close_sent"]

    def _on_closed(self, code: int, reason: str, sent: int, flags: int) -> None:
        try:
            # Kept: the core may be gone when somebody asks.
            self._info = self.info()
            self._count()
            self._error = self.error()
        except RuntimeError:
            # The library has stopped after a fault of its own, perhaps while opening.
            if self._opened is not None and not self._opened.done():
                text = _core.strerror(_core.ERRORS["INTERNAL"])
                self._opened.set_exception(RuntimeError(text))
        if code != CloseCode.ABNORMAL_CLOSURE:
            self._close_rcvd = Close(code, reason)
        if sent:
            self._close_sent = Close(sent, self._describe()["close_reason_sent"])
        both = self._close_rcvd is not None and self._close_sent is not None
        self._rcvd_then_sent = bool(flags & _PEER_FIRST) if both else None
        self._end()
        if self._base_logger.isEnabledFor(logging.DEBUG):
            self.logger.debug("= connection is CLOSED: %s", self._closed_exception())
        if self._on_close is not None and self._context is not None:
            # Let go of, as it often refers back to the connection.
            on_close, self._on_close = self._on_close, None
            self._context.run(on_close, self)

    def _on_failed(self, error: _core.Error) -> None:
        self._info = self.info()
        self._error = error
        self._end()
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(self._open_exception(error))

    def _open_exception(self, error: _core.Error) -> Exception:
        return call_error(error)

    def _dropped(self) -> None:
        """End without an event: the loop of this connection is closed."""
        if self._ended:
            return
        self._end()
        if self._opened is not None and not self._opened.done() and not self._loop.is_closed():
            self._opened.set_exception(ConnectionAbortedError("the process is about to end"))

    def _end(self) -> None:
        self._ended = True
        self._driver.connections.discard(self)
        if self._loop.is_closed():
            return
        if self._close_waiter is not None and not self._close_waiter.done():
            self._close_waiter.set_result(None)
        pings, self._pings = self._pings, None
        for pong, _ in pings.values() if pings else ():
            if not pong.done():
                pong.set_exception(self._closed_exception())
                pong.exception()  # read, so that one nobody awaits is not reported


async def _next_received(connection: Connection) -> Data:
    try:
        return await connection.recv()
    except ConnectionClosedOK:
        raise StopAsyncIteration from None
