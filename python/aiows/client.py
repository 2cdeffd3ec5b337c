"""The asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _core, _loop
from ._connector import USER_AGENT, Connector
from ._errors import open_error, without_credentials
from ._reconnect import Attempts, backoff, process_exception, run_on_open, try_each
from ._targets import PathLike, Target, path_address, unix_uri
from .close_codes import CloseCode
from .connection import Connection

if TYPE_CHECKING:
    from ._attached import Carrier

__all__ = [
    "USER_AGENT",
    "ClientConnection",
    "backoff",
    "connect",
    "process_exception",
    "unix_connect",
]


class ClientConnection(Connection):
    """
    A connection that connect opened.

    Subclasses go to ``create_connection`` of connect. Their ``__init__``, if they
    have one, takes ``*args`` and ``**kwargs`` and hands them to the one here; what
    they are belongs to this package. It runs before the opening: attributes such as
    response have their values once the connection is open. Methods may be overridden:
    leaving an ``async with`` calls close, and iterating calls recv.

    """

    _uri = ""
    _target: Target
    _carrier: Carrier | None = None

    @property
    def uri(self) -> str:
        """The URI that this connection went to, without user and password."""
        return self._describe()["uri"] or without_credentials(self._uri)

    def _open_exception(self, error: _core.Error) -> Exception:
        info = self._describe()
        return open_error(error, self._uri, info, all_errors=self._target.all_errors)

    def _address(self, text: str) -> Any:
        return path_address(text) if self._target.is_unix else super()._address(text)

    # What is carried by a transport of asyncio

    async def wait_closed(self) -> None:
        """Wait for the end of the connection, whoever closes it."""
        await super().wait_closed()
        if self._carrier is not None:
            await self._carrier.wait_lost()

    def _describe(self) -> dict[str, Any]:
        info = super()._describe()
        return info if self._carrier is None else info | self._carrier.description

    def _on_output(self) -> None:
        if self._carrier is not None:
            self._carrier.pump()

    def _on_input(self) -> None:
        if self._carrier is not None:
            self._carrier.resume()

    def _on_socket(self) -> None:
        if self._carrier is not None:
            self._carrier.reached("socket")

    def _on_tunnel(self) -> None:
        if self._carrier is not None:
            self._carrier.reached("tunnel")

    def _on_failed(self, error: _core.Error) -> None:
        if self._carrier is not None:
            self._carrier.failed(error)
        super()._on_failed(error)

    def _end(self) -> None:
        super()._end()
        if self._carrier is not None:
            self._carrier.end()


class connect(Connector):
    """
    Open a connection: ``async with connect(uri) as ws`` or ``ws = await connect(uri)``.

    Every await opens a new connection. Arguments are checked at once, before
    anything is opened. Cancelling an opening aborts it.

    ``async for ws in connect(uri)`` opens one after the other. An attempt that
    fails is followed by a delay and another one, unless process_exception finds
    the error fatal: then the loop raises it. An iteration that ends, by continue
    after ConnectionClosed for instance, closes its connection and opens the next at
    once. Leaving by break or an exception closes with 1011, in the background: wrap
    the loop's iterator in contextlib.aclosing to wait for that.

    Args:
        uri: ws:// or wss://; user and password are sent as Basic credentials.
            A list or tuple of URIs, all ws:// or all wss://, fails over: each
            attempt takes the next one, after the last the first again, and
            delays only follow when all have failed. Without ``async for`` each is
            tried once, in order, and the last one's error raised, with the
            others as notes. ClientConnection.uri tells which it was.
        origin: The Origin field, None for none.
        subprotocols: Subprotocols to offer, preferred ones first.
        extensions: Offers of compression with more to say, preferred ones
            first: ClientPerMessageDeflateFactory of
            aiows.extensions.permessage_deflate. They take the place of the one
            that compression makes.
        compression: "deflate", the default, offers to compress messages
            (RFC 7692); the server decides. None does not.
        additional_headers: More header fields; they replace default ones of
            the same name.
        user_agent_header: The User-Agent field, None for none.
        proxy: True, the default, goes through the proxy that the environment
            names (wss_proxy, ws_proxy, socks_proxy, https_proxy, http_proxy,
            no_proxy), None through none, a URL through that one: http://,
            https://, socks4://, socks4a://, socks5:// or socks5h://, with
            user:password@ for credentials. Beside sock and unix there is none.
        process_exception: For ``async for``: called with the Exception that
            ended an attempt. Returns None to try again, or an exception, the
            same or another, which ends the loop. Default
            aiows.client.process_exception: network errors, timeouts and
            status 500, 502, 503 and 504 are tried again.
        ssl: For wss://, None or True verifies the server against the system's
            authorities; aiows.SSLContext says otherwise. Any other
            ssl.SSLContext is used by Python's own TLS, over which the core's
            bytes go: slower, and with every setting that it has. Exceptions are
            those of ssl then.
        server_hostname: Name for TLS instead of the URI's host.
        proxy_ssl: For an https:// proxy, as ssl is for the server.
        proxy_server_hostname: Name for TLS instead of an https:// proxy's host.
        proxy_ssl_handshake_timeout: Seconds for the TLS handshake with an
            https:// proxy. Default 60.
        proxy_ssl_shutdown_timeout: Seconds for the end of TLS with an https://
            proxy, where that is all the TLS there is. Default 30.
        host: Connect to this host instead of the URI's.
        port: Connect to this port instead of the URI's.
        sock: Connect over this socket, a stream that is connected, TCP or Unix. The
            first await takes it over and closes it, as soon as the core has a
            duplicate, also when it fails; no other one can use it.
        local_addr: (host, port) to bind to before connecting; None or 0 for any.
        family: socket.AF_INET or AF_INET6 for addresses of this family alone.
            Default socket.AF_UNSPEC.
        happy_eyeballs_delay: Seconds after which the next address is tried
            beside one that does not answer (RFC 8305), None to wait until that
            has failed. Default 0.25.
        interleave: How many addresses of the first family are tried before
            families alternate, 0 for the order of the name's addresses. Default
            1, with happy_eyeballs_delay = None 0.
        all_errors: Raise an ExceptionGroup of an OSError for each address when
            none answers, instead of one OSError whose text tells of them.
        unix: Connect to the Unix socket at path; see unix_connect.
        path: Of the Unix socket, a null character first for an abstract one.
        ssl_handshake_timeout: Seconds for the TLS handshake, after which it is a
            ConnectionAbortedError. Default 60, within open_timeout.
        ssl_shutdown_timeout: Seconds from the second Close frame until TLS has
            ended. Default 30, within close_timeout.
        max_redirects: How many redirects are followed, 0 for none. Default 10.
        open_timeout: Seconds from name resolution to the handshake's end, 0 for
            a TimeoutError at once, None for no limit. Default 10.
        ping_interval: Seconds between keepalive pings, None for none. Default 20.
        ping_timeout: Seconds to wait for the answer to one before the
            connection is closed with 1011, None for no limit. Default 20.
        close_timeout: Seconds from our Close frame to the end, None for no
            limit. Default 10.
        reconnect_delays: For ``async for``: called when attempts begin to
            fail, returns a generator of seconds to wait after each; where it
            ends, the last error is raised. A success begins anew. Default
            aiows.client.backoff: up to 5 s at random, then 3.1 s growing by
            1.618 up to 90 s.
        max_size: Bytes of a message, None for no limit, or (message, fragment) with
            a limit for each of its frames; more closes with 1009. Without a limit of
            a message they are read frame by frame, as recv_streaming does from its
            first call. Default 1 MiB.
        max_queue: Messages that are queued before reading stops, or (high,
            low) where it stops and goes on, None for no limit. Default 16 and
            a quarter of it.
        write_limit: Bytes waiting to be sent above which send waits, or (high,
            low). Default 32 KiB and a quarter of it.
        logger: Default ``logging.getLogger("aiows.client")``.
        create_connection: Subclass of ClientConnection to make. Default
            ClientConnection.
        on_open: Called as ``on_open(connection)``, and awaited if that returns an
            awaitable, whenever a connection is open, before it is handed out:
            subscriptions belong there. An exception in it, or cancelling it,
            closes the connection with 1011 and fails the attempt. open_timeout
            does not limit it. Messages that arrive meanwhile are queued, or go
            to on_message.
        on_message: Called as ``on_message(connection, message)`` for each
            message, in the context of the opening; nothing is queued for recv
            then. An exception in it is reported and closes with 1011.
        on_close: Called as ``on_close(connection)`` once the connection has
            ended, in the context of the opening.

    Redirects (status 300, 301, 302, 303, 307, 308 with a Location) are followed
    within open_timeout. A Location may be relative, or begin with http for ws and
    https for wss. Credentials of the URI and the header fields Authorization, Cookie,
    Proxy-Authorization and Host do not go to another scheme, host or port.

    Raises:
        TypeError, ValueError: An argument that cannot be used. asyncio's proto and
            flags are refused. ValueError also for a redirect that sock, or to
            another origin that unix, host or port stand against.
        InvalidURI: Not a ws or wss URI; or such a redirect.
        InvalidProxy: Not the URL of a proxy.
        SecurityError: A redirect from wss to ws, or more than max_redirects.
        OSError: The connection could not be opened; socket.gaierror for the
            name, ssl.SSLError for TLS.
        ProxyError: The proxy refused; InvalidProxyStatus when an http:// or
            https:// one answered with another status than 2xx.
        InvalidHandshake: The server did not agree; InvalidStatus when it
            answered with another status than 101.
        TimeoutError: open_timeout has passed.

    """

    # What is made, for subclasses.
    _connection_class: type[ClientConnection] = ClientConnection
    _text_as_bytes = False
    _entered: ClientConnection | None = None

    def __await__(self) -> Generator[Any, None, ClientConnection]:
        return self._open().__await__()

    async def __aenter__(self) -> ClientConnection:
        if self._entered is not None:
            raise RuntimeError("this connect object is in use by another async with")
        self._entered = connection = await self._open()
        return await connection.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self._entered = self._entered, None
        if connection is not None:
            await connection.__aexit__(exc_type, exc_value, traceback)

    async def __aiter__(self) -> AsyncGenerator[ClientConnection, None]:
        attempts = Attempts(
            self.uris, self._process_exception, self._reconnect_delays, self._logger
        )
        while True:
            try:
                connection = await self._open_uri(attempts.next_uri())
            except Exception as error:
                await asyncio.sleep(attempts.failed(error))
                continue
            attempts.succeeded()
            try:
                yield await connection.__aenter__()
            except GeneratorExit:
                # break, return or an exception: who knows. One may wait here, unlike in
                # a coroutine that is destroyed: a task of the loop does this.
                if not connection._driver.inherited:
                    await connection.close(CloseCode.INTERNAL_ERROR)
                raise
            except BaseException as error:
                await connection.__aexit__(type(error), error, error.__traceback__)
                raise
            else:
                await connection.__aexit__(None, None, None)

    async def _open(self) -> ClientConnection:
        return await try_each(self.uris, self._open_uri)

    async def _open_uri(self, uri: str) -> ClientConnection:
        self.uri = uri
        connection = await self._connect(uri)
        try:
            await run_on_open(self._on_open, connection)
        except BaseException as error:
            await connection.__aexit__(type(error), error, error.__traceback__)
            raise
        return connection

    def _new_connection(self, driver: _loop.Driver) -> ClientConnection:
        return self._connection_class(
            driver,
            self._options,
            self._logger,
            on_message=self._on_message,
            on_close=self._on_close,
            text_as_bytes=self._text_as_bytes,
        )

    async def _connect(self, uri: str) -> ClientConnection:
        if self._host_tls:
            from ._attached import connect_attached

            return await connect_attached(self, uri)
        with self._target.taken() as taken:
            driver = _loop.current()
            try:
                options = self._core_options(uri) | taken
                tls = self._tls()
                connection = self._new_connection(driver)
                connection._uri, connection._target = uri, self._target
                connection._opened = opened = driver.loop.create_future()
                try:
                    driver.core.connect(
                        connection, uri, tls=tls, stream=connection._unbounded, **options
                    )
                except _core.Error as error:
                    raise open_error(error, uri, None) from None
            except BaseException:
                driver.release()
                raise
        connection._register()
        try:
            await opened
        except (asyncio.CancelledError, GeneratorExit):
            connection._abort()
            raise
        finally:
            connection._opened = None
        return connection


def unix_connect(path: PathLike | None = None, uri: str | None = None, **kwargs: Any) -> connect:
    """
    Open a connection over a Unix socket.

    Args:
        path: Of the socket, a null character first for an abstract one; None
            with ``sock=``.
        uri: What the server is told. Default ws://localhost/, or
            wss://localhost/ with ssl.
        kwargs: As for connect.

    Raises:
        TypeError, ValueError, InvalidURI: An argument that cannot be used.

    """
    return connect(unix_uri(uri, kwargs), unix=True, path=path, **kwargs)
