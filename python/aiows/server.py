"""The asyncio server."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import ssl as _ssl
from collections.abc import Callable, Generator, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _listening
from ._connector import check_ssl_type
from ._opening import Opening, origin_list
from ._options import (
    LoggerLike,
    callback,
    connection_options,
    flag,
    function,
    integer,
    logger_for,
    milliseconds,
    subprotocol_list,
    text,
)
from ._quoting import quoted
from ._server import Handler, Server, ServerConnection, Settings
from .version import __version__

if TYPE_CHECKING:
    import re

    from ._opening import ProcessRequest, ProcessResponse, SelectSubprotocol
    from .extensions.permessage_deflate import ServerPerMessageDeflateFactory

__all__ = ["SERVER_HEADER", "Server", "ServerConnection", "serve", "unix_serve"]

SERVER_HEADER = f"aiows/{__version__}"


class serve:
    """
    Start a server: ``async with serve(...) as server`` or ``server = await serve(...)``.

    Each connection gets a task that runs handler; when it returns the
    connection is closed with 1000, when it raises with 1011 and a line in the
    log. Arguments are checked at once. Awaiting it again returns the same
    server until that is closed, then starts another one.

    Args:
        handler: Coroutine function that gets the ServerConnection. None only
            with on_message: the connection then lives until either side
            closes it.
        host: Address or name to listen on, or several of them; None or "" for
            every address.
        port: Port, None or 0 to let the system choose.
        origins: What the Origin field may be, against requests that foreign
            web pages make (RFC 6455 section 10.2): str, patterns compiled by
            re.compile that match all of it, None for a request without one;
            others get status 403. None allows everything.
        subprotocols: Those supported, preferred ones first; clients that offer
            none of them get status 400. None agrees on none.
        select_subprotocol: Called as ``select_subprotocol(connection, offered)``
            to choose instead; returns one of offered, or None to go on
            without. NegotiationError in it is answered with 400.
        extensions: What is agreed to about compression, tried in this order:
            ServerPerMessageDeflateFactory of
            aiows.extensions.permessage_deflate. They take the place of the one
            that compression makes.
        compression: "deflate", the default, compresses messages for clients
            that offer it (RFC 7692). None does not.
        process_request: Function or coroutine function, called as
            ``process_request(connection, request)`` before anything else is
            decided, also for requests that are no WebSocket handshake. None
            goes on; a Response, as connection.respond makes it, is the
            answer. An exception is logged and answered with 500. It is
            cancelled when the client leaves or open_timeout has passed.
        process_response: Function or coroutine function, called as
            ``process_response(connection, request, response)`` with the answer,
            which it may change, or replace by returning another; also with the
            one to a request that is no WebSocket handshake. Of an answer with
            101 it has what the core does not add itself.
        server_header: The Server field, None for none.
        open_timeout: Seconds for the opening handshake, process_request
            included, None for no limit. Default 10.
        ping_interval: As for connect.
        ping_timeout: As for connect.
        close_timeout: As for connect.
        max_size: As for connect.
        max_queue: As for connect.
        write_limit: As for connect.
        logger: Default ``logging.getLogger("aiows.server")``.
        create_connection: Subclass of ServerConnection, or what takes the same
            arguments and returns one. Default ServerConnection.
        ssl: An aiows.SSLContext with a certificate chain for wss://, None for
            ws://. Its verify_mode says whether clients show certificates.
        sock: A bound stream socket to listen on instead of host and port; it
            belongs to the server from then on.
        backlog: Connections that wait to be accepted. Default 1024.
        reuse_port: Let other processes listen on the same port. Default False.
        start_serving: False binds only; Server.start_serving or
            Server.serve_forever begins to accept. Default True.
        on_message: As for connect.
        on_close: As for connect.

    Raises:
        TypeError, ValueError: An argument that cannot be used.
        OSError: An address cannot be listened on; socket.gaierror for a name.

    """

    def __init__(
        self,
        handler: Handler | None,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        origins: Sequence[str | re.Pattern[str] | None] | None = None,
        subprotocols: Iterable[str] | None = None,
        select_subprotocol: SelectSubprotocol | None = None,
        extensions: Sequence[ServerPerMessageDeflateFactory] | None = None,
        compression: str | None = "deflate",
        process_request: ProcessRequest | None = None,
        process_response: ProcessResponse | None = None,
        server_header: str | None = SERVER_HEADER,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_size: int | tuple[int | None, int | None] | None = 2**20,
        max_queue: int | tuple[int | None, int | None] | None = 16,
        write_limit: int | tuple[int, int | None] = 2**15,
        logger: LoggerLike | None = None,
        create_connection: Callable[..., ServerConnection] | None = None,
        ssl: _ssl.SSLContext | None = None,
        sock: socket.socket | None = None,
        backlog: int = 1024,
        reuse_port: bool = False,
        start_serving: bool = True,
        on_message: Callable[[Any, Any], object] | None = None,
        on_close: Callable[[Any], object] | None = None,
    ) -> None:
        on_message = callback("on_message", on_message)
        if not callable(handler) and (handler is not None or on_message is None):
            raise TypeError(f"handler must be a coroutine function, got {quoted(handler)}")
        self._sock = _check_sock(sock, host, port, reuse_port)
        self._hosts = _check_hosts(host)
        self._port = 0 if port is None else integer("port", port, 0, 65535)
        self._reuse_port = flag("reuse_port", reuse_port)
        self._start_serving = flag("start_serving", start_serving)
        header = None if server_header is None else text("server_header", server_header)
        opening = Opening(
            origins=origin_list(origins),
            subprotocols=subprotocol_list(subprotocols),
            select_subprotocol=function("select_subprotocol", select_subprotocol),
            process_request=function("process_request", process_request),
            process_response=function("process_response", process_response),
            server_header=header,
        )
        if inspect.iscoroutinefunction(select_subprotocol):
            raise TypeError("select_subprotocol must be a plain function, got a coroutine function")
        function("create_connection", create_connection)
        if isinstance(create_connection, type) and not issubclass(
            create_connection, ServerConnection
        ):
            raise TypeError(
                f"create_connection must make a ServerConnection, got {quoted(create_connection)}"
            )
        self._settings = Settings(
            handler=handler,
            opening=opening,
            connection=connection_options(
                ping_interval=ping_interval,
                ping_timeout=ping_timeout,
                close_timeout=close_timeout,
                max_size=max_size,
                max_queue=max_queue,
                write_limit=write_limit,
                compression=compression,
                extensions=extensions,
                server=True,
            ),
            listener={
                "backlog": integer("backlog", backlog, 1, 2**31 - 1),
                "open_timeout_ms": milliseconds("open_timeout", open_timeout),
                "any_request": process_request is not None or process_response is not None,
                # The core adds it only to the answers it makes alone.
                "server_name": header if header is not None and opening.accepts_all() else "",
            },
            create_connection=create_connection or ServerConnection,
            on_message=on_message,
            on_close=callback("on_close", on_close),
            logger=logger_for(logger, "aiows.server"),
            owns_sockets=sock is None,
        )
        self._ssl: Any = None
        if ssl is not None:
            from . import tls

            if not isinstance(ssl, tls.SSLContext):
                check_ssl_type(ssl)
            else:
                ssl._core_options(server=True)
                self._ssl = ssl
        self._server: Server | None = None
        self._starting = asyncio.Lock()
        self._entered = False

    def __await__(self) -> Generator[Any, None, Server]:
        return self._running().__await__()

    async def __aenter__(self) -> Server:
        if self._entered:
            raise RuntimeError("this serve object is in use by another async with")
        self._entered = True
        try:
            return await self._running()
        except BaseException:
            self._entered = False
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        server, self._server, self._entered = self._server, None, False
        if server is not None:
            await server.__aexit__(exc_type, exc_value, traceback)

    async def _running(self) -> Server:
        async with self._starting:
            server = self._server
            if server is None or server._is_over():
                self._server = server = await self._start()
            return server

    async def _start(self) -> Server:
        bound = await self._bind()
        try:
            tls = None if self._ssl is None else self._ssl._core_tls(server=True)
            server = Server(self._settings, bound, tls)
            if self._start_serving:
                await server.start_serving()
        except BaseException:
            bound.close()
            raise
        return server

    async def _bind(self) -> _listening.BoundSockets:
        if self._sock is not None:
            if self._sock.fileno() < 0:
                raise ValueError("sock is closed")
            return _listening.BoundSockets([self._sock])
        return await _listening.bind_ports(self._hosts, self._port, reuse_port=self._reuse_port)


class unix_serve(serve):
    """
    Start a server on a Unix socket.

    Args:
        handler: As for serve.
        path: Where the socket's file is made, replacing one that an earlier
            server left; it is removed when the server closes. None with sock.
        options: Those of serve without host, port and reuse_port.

    Raises:
        TypeError, ValueError: An argument that cannot be used.
        OSError: The path cannot be listened on.

    """

    def __init__(
        self,
        handler: Handler | None,
        path: str | bytes | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        for name in ("host", "port", "reuse_port"):
            if name in options:
                raise TypeError(f"unix_serve has no parameter {name}")
        super().__init__(handler, **options)
        if (path is None) == (self._sock is None):
            raise ValueError("expected either path or sock")
        if self._sock is not None and self._sock.family != socket.AF_UNIX:
            raise ValueError(f"sock = {quoted(self._sock)}, expected a Unix socket")
        self._path = None if path is None else os.fspath(path)

    async def _bind(self) -> _listening.BoundSockets:
        if self._path is None:
            return await super()._bind()
        return _listening.bind_path(self._path)


def _check_hosts(host: object) -> list[str | None]:
    if host is None:
        return [None]
    if isinstance(host, str):
        return [text("host", host, empty=True) or None]
    if isinstance(host, bytes) or not isinstance(host, Iterable):
        raise TypeError(f"host must be str, a sequence of them or None, got {quoted(host)}")
    hosts: list[str | None] = [text("host", found, empty=True) or None for found in host]
    if not hosts:
        raise ValueError("host is an empty sequence, expected a host at least")
    return hosts


def _check_sock(
    sock: object, host: object, port: object, reuse_port: object
) -> socket.socket | None:
    if sock is None:
        return None
    if not isinstance(sock, socket.socket):
        raise TypeError(f"sock must be a socket, got {quoted(sock)}")
    if host is not None or port is not None or reuse_port:
        raise ValueError("sock cannot be combined with host, port or reuse_port")
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    if sock.type != socket.SOCK_STREAM or sock.family not in families:
        raise ValueError(f"sock = {quoted(sock)}, expected a stream socket of IPv4, IPv6 or Unix")
    return sock
