"""A running server and its connections."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import inspect
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

from . import _core, _listening, _loop
from ._control import check_close
from ._errors import CLOSED, HANDSHAKE, STATE, call_error
from ._heads import log_head
from ._opening import Opening, answer_fields, plain_response
from ._options import ConnectionOptions, LoggerLike
from ._quoting import quoted
from ._targets import path_address
from .close_codes import CloseCode
from .connection import Connection, State
from .exceptions import ConnectionClosed
from .http11 import Response

__all__ = ["Handler", "Server", "ServerConnection", "Settings"]


class ServerConnection(Connection):
    """
    A connection that a server accepted, or is about to accept.

    Applications may give it attributes of their own.

    Attributes:
        server: The server.

    """

    __slots__ = ("__dict__", "_asked", "server")

    server: Server
    _asked: _core.Request | None

    def respond(self, status: int, text: str) -> Response:
        """
        Return a response of plain text, for process_request and process_response.

        Args:
            status: HTTP status, 200 to 599.
            text: The body, sent in UTF-8.

        Raises:
            ValueError: status is no HTTP status.

        """
        return plain_response(status, text)

    def _describe(self) -> dict[str, Any]:
        asked = self._asked
        if asked is None:
            return super()._describe()
        return {
            "request_method": asked.method,
            "request_target": asked.target,
            "request_headers": asked.headers,
            "response_status": 0,
            "subprotocol": "",
            "local_address": asked.local_address,
            "remote_address": asked.remote_address,
        }

    def _address(self, text: str) -> Any:
        return path_address(text) if self.server._is_unix else super()._address(text)

    def _start_close(self, code: int, reason: str) -> None:
        super()._start_close(code, reason)
        self._refuse()

    def _abort(self) -> None:
        super()._abort()
        self._refuse()

    def _refuse(self) -> None:
        # Closed before there was an answer: it is 503.
        asked = self._asked
        if asked is not None:
            try:
                asked.reject(503)
            except _core.Error:
                pass  # the client left, or the server closed
            self._refused()

    def _refused(self) -> None:
        self._info = self._describe()
        self._asked = None
        self._end()

    def _on_open(self) -> None:
        super()._on_open()
        if self._base_logger.isEnabledFor(logging.INFO):
            self.logger.info("connection open")
        self.server._opened(self)

    def _on_closed(self, code: int, reason: str, sent: int, flags: int) -> None:
        super()._on_closed(code, reason, sent, flags)
        if self._base_logger.isEnabledFor(logging.INFO):
            self.logger.info("connection closed")

    def _end(self) -> None:
        super()._end()
        self.server._connections.discard(self)


Handler: TypeAlias = Callable[[ServerConnection], Awaitable[object]]


@dataclasses.dataclass(frozen=True)
class Settings:
    """
    What serve was given, checked.

    Attributes:
        handler: What runs for each connection, None for nothing.
        opening: What decides about requests.
        connection: Options of connections.
        listener: Options of listeners by the core's names.
        create_connection: Makes connections.
        on_message: Gets messages instead of recv.
        on_close: Gets connections that have ended.
        logger: Where failures are reported.
        owns_sockets: Whether the library made the sockets.

    """

    handler: Handler | None
    opening: Opening
    connection: ConnectionOptions
    listener: dict[str, Any]
    create_connection: Callable[..., ServerConnection]
    on_message: Callable[[Any, Any], object] | None
    on_close: Callable[[Any], object] | None
    logger: LoggerLike
    owns_sockets: bool


class Server:
    """
    A running server; serve makes it.

    As an asynchronous context manager it is closed on leaving.

    Attributes:
        handler: What runs for each connection.
        logger: Where failures are reported.

    """

    def __init__(
        self, settings: Settings, bound: _listening.BoundSockets, tls: _core.TLS | None
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._bound = bound
        self._is_unix = bound.is_unix
        self._loop = asyncio.get_running_loop()
        self.handler = settings.handler
        self.logger = settings.logger
        self._is_coroutine = inspect.iscoroutinefunction(settings.handler)
        # Whatever the application gets to run has the context of the handler.
        self._needs_context = not (
            settings.opening.accepts_all()
            and settings.on_message is None
            and settings.on_close is None
        )
        self._driver: _loop.Driver | None = None
        self._listeners: list[_core.Listener] = []
        self._connections: set[ServerConnection] = set()
        self._handlers: dict[asyncio.Task[Any], ServerConnection] = {}
        self._openings: set[asyncio.Task[None]] = set()
        self._closed = self._loop.create_future()
        self._closing: asyncio.Task[None] | None = None
        self._farewell: tuple[int, str] | None = None
        # Each handler starts from what holds where the server was made.
        self._context = contextvars.copy_context()

    @property
    def port(self) -> int:
        """The port that the server listens on, 0 for a Unix socket."""
        return self._bound.port

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The sockets that the server listens on; empty once it closes."""
        return () if self._closing is not None else self._bound.sockets

    @property
    def connections(self) -> set[ServerConnection]:
        """The connections that are open."""
        return {found for found in self._connections if found.state is State.OPEN}

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the asyncio loop that the server belongs to."""
        return self._loop

    def is_serving(self) -> bool:
        """Return whether connections are accepted."""
        return bool(self._listeners) and self._closing is None

    def _is_over(self) -> bool:
        return self._closing is not None or self._loop.is_closed()

    async def start_serving(self) -> None:
        """
        Begin to accept connections, after ``serve(..., start_serving=False)``.

        Nothing happens when the server accepts them already.

        Raises:
            RuntimeError: The server is closed.
            OSError: The sockets cannot be listened on.

        """
        if self._closing is not None:
            raise RuntimeError("the server is closed")
        if not self._listeners:
            self._listen()

    async def serve_forever(self) -> None:
        """Accept connections until the server is closed; cancelling closes it."""
        try:
            if self._closing is None:
                await self.start_serving()
            await self.wait_closed()
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise

    def close(
        self,
        close_connections: bool = True,
        code: int = CloseCode.GOING_AWAY,
        reason: str = "",
    ) -> None:
        """
        Stop: accept no more, close connections, wait for handlers.

        Returns at once; wait_closed waits. Clients that wait for an answer to
        their handshake get status 503, and what process_request does for them
        is cancelled. Doing it again changes nothing.

        Args:
            close_connections: False leaves closing to the other sides.
            code: Close code for them.
            reason: Close reason for them.

        Raises:
            ProtocolError: A code or a reason that may not be sent.

        """
        check_close(code, reason)
        if self._closing is not None:
            return
        self.logger.info("server closing")
        if close_connections:
            self._farewell = code, reason
        self._stop_listening()
        for task in self._openings:
            task.cancel()
        self._closing = self._loop.create_task(self._close())

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its handlers have returned."""
        await asyncio.shield(self._closed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._driver is not None and self._driver.inherited:
            return
        if exc_type is GeneratorExit:
            # The coroutine is being destroyed and may not wait any more.
            self._stop_listening()
            return
        self.close()
        await self.wait_closed()

    # Listening

    def _listen(self) -> None:
        self._driver = driver = _loop.current()
        try:
            for found in self._bound.sockets:
                listener = driver.core.listen(
                    "",
                    0,
                    self._requested,
                    tls=self._tls,
                    fd=found.fileno(),
                    **self._settings.listener,
                )
                self._listeners.append(listener)
        except _core.Error as error:
            self._stop_listening()
            driver.release()
            raise call_error(error) from None
        driver.servers.add(self)
        for found in self._bound.sockets:
            self.logger.info("server listening on %s", found.getsockname())

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._bound.close()
        if self._driver is not None:
            self._driver.servers.discard(self)

    def _forked(self) -> None:
        # Of the parent's sockets the child keeps only what the application made.
        if self._settings.owns_sockets:
            self._bound.drop()

    async def _close(self) -> None:
        try:
            if self._farewell is not None:
                for connection in list(self._connections):
                    connection._start_close(*self._farewell)
            while self._handlers or self._connections or self._openings:
                # A handler may be starting for a connection accepted just now.
                if tasks := [*self._openings, *self._handlers]:
                    await asyncio.wait(tasks)
                for connection in list(self._connections):
                    await connection.wait_closed()
            if self._driver is not None:
                self._driver.release()
            self.logger.info("server closed")
        finally:
            if not self._closed.done():
                self._closed.set_result(None)

    # Opening

    def _requested(self, asked: _core.Request) -> None:
        if self._closing is not None:
            asked.reject(503)
            return
        context = self._context.copy() if self._needs_context else None
        try:
            if context is None:
                connection = self._connection()
            else:
                connection = context.run(self._connection)
        except Exception:
            self.logger.error("create_connection failed", exc_info=True)
            asked.reject(500)
            return
        connection.server = self
        connection._asked = asked
        if context is None:
            self._accept(connection, asked, None, None)
        else:
            connection._context = context
            context.run(self._decide, connection, asked)

    def _connection(self) -> ServerConnection:
        settings = self._settings
        assert self._driver is not None
        connection = settings.create_connection(
            self._driver,
            settings.connection,
            self.logger,
            on_message=settings.on_message,
            on_close=settings.on_close,
        )
        if not isinstance(connection, ServerConnection):
            raise TypeError(f"expected a ServerConnection, got {quoted(connection)}")
        return connection

    def _decide(self, connection: ServerConnection, asked: _core.Request) -> None:
        request = connection.request
        assert request is not None
        steps = self._settings.opening.decide(
            connection, request, asked.subprotocols, asked.refusal
        )
        try:
            awaitable = next(steps)
        except StopIteration as end:
            response: Response | None = end.value
        else:
            response = None
        if response is not None:
            self._answer(connection, asked, response)
            return
        task = self._loop.create_task(
            self._decide_later(connection, asked, steps, awaitable), context=connection._context
        )
        self._openings.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._openings.discard(task)
            asked.on_gone = None
            if inspect.iscoroutine(awaitable):
                awaitable.close()  # a task that is cancelled at once never began it
            if connection._asked is not None:
                connection._refuse()

        task.add_done_callback(done)
        # It left, or open_timeout has passed.
        asked.on_gone = task.cancel

    async def _decide_later(
        self,
        connection: ServerConnection,
        asked: _core.Request,
        steps: Generator[Awaitable[Any], Any, Response],
        awaitable: Awaitable[Any],
    ) -> None:
        try:
            while True:
                try:
                    result = await awaitable
                except Exception as error:
                    awaitable = steps.throw(error)
                else:
                    awaitable = steps.send(result)
        except StopIteration as end:
            response = end.value
        self._answer(connection, asked, response)

    def _answer(
        self, connection: ServerConnection, asked: _core.Request, response: Response
    ) -> None:
        if connection._asked is None:
            return  # closed by what was to decide
        fields, subprotocol = answer_fields(response)
        if response.status_code == 101:
            connection._response = None  # what is sent has more fields
            self._accept(connection, asked, subprotocol, fields)
            return
        connection._response = response
        if connection._base_logger.isEnabledFor(logging.DEBUG):
            logger = connection.logger
            log_head(logger, "<", f"{asked.method} {asked.target} HTTP/1.1", asked.headers)
            answer = f"HTTP/1.1 {response.status_code} {response.reason_phrase}"
            log_head(logger, ">", answer, response.headers.raw_items())
        connection.logger.info(
            "connection rejected (%d %s)", response.status_code, response.reason_phrase
        )
        try:
            asked.reject(response.status_code, fields, response.body)
        except Exception as error:
            self._not_answered(connection, asked, error)
        connection._refused()

    def _accept(
        self,
        connection: ServerConnection,
        asked: _core.Request,
        subprotocol: str | None,
        fields: Sequence[tuple[str, str]] | None,
    ) -> None:
        core = self._settings.connection.core
        try:
            if connection._base_logger.isEnabledFor(logging.DEBUG):
                core = core | {"log_frames": True}
            if connection._unbounded:
                core = core | {"stream": True}
            if fields or subprotocol is not None:
                asked.accept(connection, subprotocol=subprotocol, headers=fields, **core)
            else:
                asked.accept(connection, **core)
        except Exception as error:
            self._not_answered(connection, asked, error)
            connection._refused()
            return
        connection._asked = None
        connection._register()
        self._connections.add(connection)

    def _not_answered(
        self, connection: ServerConnection, asked: _core.Request, error: Exception
    ) -> None:
        if isinstance(error, _core.Error) and error.code in (CLOSED, STATE, HANDSHAKE):
            # The client left meanwhile, its time ran out, or it did not ask for
            # a WebSocket, which the core told it.
            connection.logger.debug("connection not accepted: %s", error)
            return
        connection.logger.error("opening handshake failed", exc_info=error)
        try:
            asked.reject(500)
        except _core.Error:
            pass

    # Handlers

    def _opened(self, connection: ServerConnection) -> None:
        handler = self.handler
        if handler is not None:
            context = connection._context
            if context is None:
                context = self._context.copy()
            coroutine: Coroutine[Any, Any, object]
            if self._is_coroutine:
                coroutine = handler(connection)  # type: ignore[assignment]
            else:
                coroutine = _await(handler, connection)
            # No wrapper around the handler: it would cost each connection a frame.
            task = self._loop.create_task(coroutine, context=context)
            self._handlers[task] = connection
            task.add_done_callback(self._returned, context=context)
        if self._farewell is not None:
            connection._start_close(*self._farewell)

    def _returned(self, task: asyncio.Task[Any]) -> None:
        connection = self._handlers.pop(task)
        code = CloseCode.NORMAL_CLOSURE
        if task.cancelled():
            code = CloseCode.GOING_AWAY
        else:
            error = task.exception()
            if isinstance(error, ConnectionClosed):
                self.logger.debug("connection handler ended: %s", error)
            elif isinstance(error, Exception):
                connection.logger.error("connection handler failed", exc_info=error)
                code = CloseCode.INTERNAL_ERROR
            elif error is not None:  # KeyboardInterrupt or SystemExit, which end the loop
                code = CloseCode.GOING_AWAY
        if not connection._driver.inherited:
            connection._start_close(code, "")


async def _await(handler: Handler, connection: ServerConnection) -> None:
    await handler(connection)
