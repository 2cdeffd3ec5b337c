"""The asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from types import TracebackType
from typing import Any

from . import _core, _loop
from ._connector import USER_AGENT, Connector
from ._errors import open_error
from .connection import Connection

__all__ = ["USER_AGENT", "ClientConnection", "connect"]


class ClientConnection(Connection):
    """A connection that connect opened."""

    _uri = ""

    def _open_exception(self, error: _core.Error) -> Exception:
        return open_error(error, self._uri, self._describe())


class connect(Connector):
    """
    Open a connection: ``async with connect(uri) as ws`` or ``ws = await connect(uri)``.

    Every await opens a new connection. Arguments are checked at once, before
    anything is opened. Cancelling an opening aborts it.

    Args:
        uri: ws:// or wss://; user and password are sent as Basic credentials.
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
        proxy: None.
        ssl: For wss://, None or True verifies the server against the system's
            authorities; aiows.SSLContext says otherwise.
        server_hostname: Name for TLS instead of the URI's host.
        host: Connect to this host instead of the URI's.
        port: Connect to this port instead of the URI's.
        open_timeout: Seconds from name resolution to the handshake's end, None
            for no limit. Default 10.
        ping_interval: Seconds between keepalive pings, None for none. Default 20.
        ping_timeout: Seconds to wait for the answer to one before the
            connection is closed with 1011, None for no limit. Default 20.
        close_timeout: Seconds from our Close frame to the end, None for no
            limit. Default 10.
        max_size: Bytes of a message, None for no limit; a larger one closes
            with 1009. Default 1 MiB.
        max_queue: Messages that are queued before reading stops, or (high,
            low) where it stops and goes on, None for no limit. Default 16 and
            a quarter of it.
        write_limit: Bytes waiting to be sent above which send waits, or (high,
            low). Default 32 KiB and a quarter of it.
        logger: Default ``logging.getLogger("aiows.client")``.
        on_message: Called as ``on_message(connection, message)`` for each
            message, in the context of the opening; nothing is queued for recv
            then. An exception in it is reported and closes with 1011.
        on_close: Called as ``on_close(connection)`` once the connection has
            ended, in the context of the opening.

    Raises:
        TypeError, ValueError: An argument that cannot be used.
        InvalidURI: Not a ws or wss URI.
        OSError: The connection could not be opened; socket.gaierror for the
            name, ssl.SSLError for TLS.
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
        self._entered = await self._open()
        return self._entered

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self._entered = self._entered, None
        if connection is not None:
            await connection.__aexit__(exc_type, exc_value, traceback)

    def _new_connection(self, driver: _loop.Driver) -> ClientConnection:
        return self._connection_class(
            driver,
            self._options,
            self._logger,
            on_message=self._on_message,
            on_close=self._on_close,
            text_as_bytes=self._text_as_bytes,
        )

    async def _open(self) -> ClientConnection:
        driver = _loop.current()
        try:
            tls = self._tls()
            connection = self._new_connection(driver)
            connection._uri = self.uri
            connection._opened = opened = driver.loop.create_future()
            try:
                driver.core.connect(connection, self.uri, tls=tls, **self._core)
            except _core.Error as error:
                raise open_error(error, self.uri, None) from None
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
