"""The asyncio server."""

from __future__ import annotations

import asyncio
import contextvars
import ssl as _ssl
from collections.abc import Awaitable, Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Self

from . import _core, _loop
from ._errors import call_error
from ._options import (
    LoggerLike,
    connection_options,
    logger_for,
    milliseconds,
    subprotocol_list,
    text,
)
from .client import check_ssl_type
from .close_codes import CloseCode
from .connection import Connection, State, check_close
from .exceptions import ConnectionClosed
from .version import __version__

__all__ = ["Server", "ServerConnection", "serve"]

SERVER_HEADER = f"aiows/{__version__}"


class ServerConnection(Connection):
    """
    A connection that a server accepted.

    Attributes:
        server: The server.

    """

    server: Server

    def _on_open(self) -> None:
        self.server._opened(self)

    def _end(self) -> None:
        super()._end()
        self.server._connections.discard(self)


class ListeningSocket:
    """Says where a server listens, as the sockets of asyncio.Server do."""

    def __init__(self, host: str, port: int) -> None:
        self._name = (host, port, 0, 0) if ":" in host else (host, port)

    def getsockname(self) -> tuple[Any, ...]:
        """Return the address: (host, port), with two zeros after it for IPv6."""
        return self._name

    def __repr__(self) -> str:
        return f"<ListeningSocket {self._name!r}>"


class Server:
    """
    A running server; serve makes it.

    As an asynchronous context manager it is closed on leaving.

    """

    def __init__(self, settings: serve, driver: _loop.Driver) -> None:
        self._settings = settings
        self._driver = driver
        self._loop = driver.loop
        self._logger = settings._logger
        self._connections: set[ServerConnection] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._closed = self._loop.create_future()
        self._closing: asyncio.Task[None] | None = None
        # Each handler starts from what holds where the server was made.
        self._context = contextvars.copy_context()
        try:
            self._listener = driver.core.listen(
                settings._host,
                settings._port,
                self._requested,
                tls=settings._tls(),
                **settings._core,
            )
        except _core.Error as error:
            raise call_error(error) from None
        self._port = self._listener.port

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._port

    @property
    def sockets(self) -> tuple[ListeningSocket, ...]:
        """Where the server listens; empty once it closes."""
        if self._closing is not None:
            return ()
        hosts = [self._settings._host] if self._settings._host else ["0.0.0.0", "::"]
        return tuple(ListeningSocket(host, self._port) for host in hosts)

    @property
    def connections(self) -> set[ServerConnection]:
        """The connections that are open."""
        return {found for found in self._connections if found.state is State.OPEN}

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the asyncio loop that the server belongs to."""
        return self._loop

    def is_serving(self) -> bool:
        """Return whether connections are accepted."""
        return self._closing is None

    def close(
        self,
        close_connections: bool = True,
        code: int = CloseCode.GOING_AWAY,
        reason: str = "",
    ) -> None:
        """
        Stop: accept no more, close connections, wait for handlers.

        Returns at once; wait_closed waits. Doing it again changes nothing.

        Args:
            close_connections: False leaves closing to the other sides.
            code: Close code for them.
            reason: Close reason for them.

        Raises:
            ProtocolError: A code or a reason that may not be sent.

        """
        check_close(code, reason)
        if self._closing is None:
            self._listener.close()
            self._closing = self._loop.create_task(self._close(close_connections, code, reason))

    async def _close(self, close_connections: bool, code: int, reason: str) -> None:
        try:
            if close_connections:
                for connection in list(self._connections):
                    connection._start_close(code, reason)
            while self._handlers or self._connections:
                # A handler may be starting for a connection accepted just now.
                for connection in list(self._connections):
                    await connection.wait_closed()
                if self._handlers:
                    await asyncio.wait(self._handlers)
            self._driver.release()
        finally:
            if not self._closed.done():
                self._closed.set_result(None)

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its handlers have returned."""
        await asyncio.shield(self._closed)

    async def serve_forever(self) -> None:
        """Wait until the server is closed; cancelling closes it."""
        try:
            await self.wait_closed()
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is GeneratorExit:
            # The coroutine is being destroyed and may not wait any more.
            self._listener.close()
            return
        self.close()
        await self.wait_closed()

    def _requested(self, request: _core.Request) -> None:
        settings = self._settings
        if self._closing is not None:
            request.reject(503)
            return
        subprotocol = None
        if settings._subprotocols:
            offered = request.subprotocols
            subprotocol = next((name for name in settings._subprotocols if name in offered), None)
            if subprotocol is None:
                expected = ", ".join(settings._subprotocols)
                request.reject(400, body=f"expected a subprotocol of: {expected}\n".encode())
                return
        connection = ServerConnection(self._driver, settings._options, self._logger)
        connection.server = self
        try:
            request.accept(connection, subprotocol=subprotocol, **settings._options.core)
        except _core.Error as error:
            # The client left meanwhile, or its time ran out.
            self._logger.debug("connection not accepted: %s", error)
            return
        connection._register()
        self._connections.add(connection)

    def _opened(self, connection: ServerConnection) -> None:
        task = self._loop.create_task(self._handle(connection), context=self._context.copy())
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)
        if self._closing is not None:
            connection._start_close(CloseCode.GOING_AWAY, "")

    async def _handle(self, connection: ServerConnection) -> None:
        try:
            await self._settings._handler(connection)
        except ConnectionClosed as error:
            self._logger.debug("connection handler ended: %s", error)
            await connection.close()
        except Exception:
            self._logger.error("connection handler failed", exc_info=True)
            await connection.close(CloseCode.INTERNAL_ERROR)
        except BaseException as error:
            if isinstance(error, GeneratorExit):
                connection._abort()
            else:
                connection._start_close(CloseCode.GOING_AWAY, "")
            raise
        else:
            await connection.close()


class serve:
    """
    Start a server: ``async with serve(...) as server`` or ``server = await serve(...)``.

    Each connection gets a task that runs handler; when it returns the
    connection is closed with 1000, when it raises with 1011. Arguments are
    checked at once.

    Args:
        handler: Coroutine function that gets the ServerConnection.
        host: Address or name to listen on, None or "" for every address.
        port: Port, None or 0 to let the system choose.
        subprotocols: Those supported, preferred ones first; clients that offer
            none of them get status 400. None agrees on none.
        compression: None.
        server_header: The Server field, None for none.
        ssl: An aiows.SSLContext with a certificate chain for wss://, None for
            ws://.
        open_timeout: Seconds for the opening handshake, None for no limit.
            Default 10.
        ping_interval: As for connect.
        ping_timeout: As for connect.
        close_timeout: As for connect.
        max_size: As for connect.
        max_queue: As for connect.
        write_limit: As for connect.
        backlog: Connections that wait to be accepted. Default 1024.
        reuse_port: Let other processes listen on the same port. Default False.
        logger: Default ``logging.getLogger("aiows.server")``.

    Raises:
        TypeError, ValueError: An argument that cannot be used.
        OSError: The address cannot be listened on.

    """

    def __init__(
        self,
        handler: Callable[[ServerConnection], Awaitable[None]],
        host: str | None = None,
        port: int | None = None,
        *,
        subprotocols: Iterable[str] | None = None,
        compression: None = None,
        server_header: str | None = SERVER_HEADER,
        ssl: _ssl.SSLContext | None = None,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_size: int | None = 2**20,
        max_queue: int | tuple[int | None, int | None] | None = 16,
        write_limit: int | tuple[int, int | None] = 2**15,
        backlog: int = 1024,
        reuse_port: bool = False,
        logger: LoggerLike | None = None,
    ) -> None:
        if not callable(handler):
            raise TypeError(f"handler must be a coroutine function, got {handler!r}")
        self._handler = handler
        self._host = "" if host is None else text("host", host, empty=True)
        self._port = 0 if port is None else port
        if isinstance(self._port, bool) or not isinstance(self._port, int):
            raise TypeError(f"port must be int, got {port!r}")
        if not 0 <= self._port <= 65535:
            raise ValueError(f"port = {port}, expected 0 to 65535")
        self._subprotocols = subprotocol_list(subprotocols)
        if isinstance(backlog, bool) or not isinstance(backlog, int):
            raise TypeError(f"backlog must be int, got {backlog!r}")
        if not 1 <= backlog < 2**31:
            raise ValueError(f"backlog = {backlog}, expected a positive number")
        if not isinstance(reuse_port, bool):
            raise TypeError(f"reuse_port must be bool, got {reuse_port!r}")
        self._options = connection_options(
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_size=max_size,
            max_queue=max_queue,
            write_limit=write_limit,
            compression=compression,
        )
        self._core: dict[str, Any] = {
            "backlog": backlog,
            "reuse_port": reuse_port,
            "open_timeout_ms": milliseconds("open_timeout", open_timeout),
            "server_name": "" if server_header is None else text("server_header", server_header),
        }
        self._ssl: Any = None
        if ssl is not None:
            from . import tls

            if not isinstance(ssl, tls.SSLContext):
                check_ssl_type(ssl)
            else:
                ssl._core_options(server=True)
                self._ssl = ssl
        self._logger = logger_for(logger, "aiows.server")
        self._server: Server | None = None

    def __await__(self) -> Generator[Any, None, Server]:
        return self._start().__await__()

    async def __aenter__(self) -> Server:
        if self._server is not None:
            raise RuntimeError("this serve object is in use by another async with")
        self._server = await self._start()
        return self._server

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.__aexit__(exc_type, exc_value, traceback)

    async def _start(self) -> Server:
        driver = _loop.current()
        try:
            return Server(self, driver)
        except BaseException:
            driver.release()
            raise

    def _tls(self) -> _core.TLS | None:
        return None if self._ssl is None else self._ssl._core_tls(server=True)
