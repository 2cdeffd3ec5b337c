"""The asyncio client."""

from __future__ import annotations

import asyncio
import re
import ssl as _ssl
from collections.abc import Callable, Generator, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _core, _loop
from ._errors import open_error, without_credentials
from ._options import (
    LoggerLike,
    callback,
    connection_options,
    logger_for,
    milliseconds,
    subprotocol_list,
    text,
)
from .connection import Connection
from .exceptions import InvalidURI
from .headers import HeadersLike, request_fields
from .version import __version__

if TYPE_CHECKING:
    from .extensions.permessage_deflate import ClientPerMessageDeflateFactory

__all__ = ["USER_AGENT", "ClientConnection", "connect"]

USER_AGENT = f"aiows/{__version__}"


class ClientConnection(Connection):
    """A connection that connect opened."""

    _uri = ""

    def _open_exception(self, error: _core.Error) -> Exception:
        return open_error(error, self._uri, self._describe())


class connect:
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

    def __init__(
        self,
        uri: str,
        *,
        origin: str | None = None,
        subprotocols: Iterable[str] | None = None,
        extensions: Sequence[ClientPerMessageDeflateFactory] | None = None,
        compression: str | None = "deflate",
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        proxy: None = None,
        ssl: _ssl.SSLContext | bool | None = None,
        server_hostname: str | None = None,
        host: str | None = None,
        port: int | None = None,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_size: int | None = 2**20,
        max_queue: int | tuple[int | None, int | None] | None = 16,
        write_limit: int | tuple[int, int | None] = 2**15,
        logger: LoggerLike | None = None,
        on_message: Callable[[Any, Any], object] | None = None,
        on_close: Callable[[Any], object] | None = None,
    ) -> None:
        self._secure = check_uri(uri)
        self.uri = uri
        if proxy is not None:
            raise ValueError(f"proxy = {proxy!r} is not supported, expected None")
        self._ssl = _check_ssl(ssl, self._secure)
        self._options = connection_options(
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_size=max_size,
            max_queue=max_queue,
            write_limit=write_limit,
            compression=compression,
            extensions=extensions,
        )
        core: dict[str, Any] = {
            "open_timeout_ms": milliseconds("open_timeout", open_timeout),
            "subprotocols": subprotocol_list(subprotocols),
            "headers": [] if additional_headers is None else request_fields(additional_headers),
            "user_agent": "",
        }
        pasted = {name.lower() for name, _ in core["headers"]}
        for name, value, field in (
            ("origin", origin, "origin"),
            ("subprotocols", subprotocols, "sec-websocket-protocol"),
            ("extensions", extensions, "sec-websocket-extensions"),
        ):
            if value and field in pasted:
                raise ValueError(f"{name} cannot be combined with a header field {field}")
        if user_agent_header is not None:
            core["user_agent"] = text("user_agent_header", user_agent_header)
        if origin is not None:
            core["origin"] = text("origin", origin)
        if server_hostname is not None:
            if not self._secure:
                raise ValueError("server_hostname needs a wss:// URI")
            core["server_name"] = text("server_hostname", server_hostname)
        if host is not None:
            core["host"] = text("host", host)
        if port is not None:
            core["port"] = _check_port(port)
        self._core = core | self._options.core
        self._logger = logger_for(logger, "aiows.client")
        self._on_message = callback("on_message", on_message)
        self._on_close = callback("on_close", on_close)
        self._entered: ClientConnection | None = None

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

    def _tls(self) -> _core.TLS | None:
        if not self._secure:
            return None
        from . import tls

        if isinstance(self._ssl, tls.SSLContext):
            return self._ssl._core_tls(server=False)
        return tls.environment_tls()


# What no name may hold; the core applies IDNA to the rest.
_is_name = re.compile(r"[^\x00-\x20\"#%/:<>?@\[\\\]^`{|}\x7f]+").fullmatch
_is_address = re.compile(r"\[[0-9A-Fa-f:.]+(%25[^\]]+)?\]").fullmatch
_MALFORMED = re.compile(r"[\x00-\x20\x7f]").search


def check_uri(uri: object) -> bool:
    """
    Return whether uri is secure.

    Only what must be known before anything starts is checked here; the core
    parses it in full.

    Raises:
        TypeError: uri is no str.
        InvalidURI: It cannot be a WebSocket URI.

    """
    if not isinstance(uri, str):
        raise TypeError(f"uri must be str, got {uri!r}")
    shown = without_credentials(uri)
    bad = _MALFORMED(uri)
    if bad:
        raise InvalidURI(
            shown, f"character {bad.group()!r} at index {bad.start()}, expected it percent-encoded"
        )
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.lower() not in ("ws", "wss"):
        raise InvalidURI(shown, f"scheme {scheme if separator else ''!r}, expected ws or wss")
    if "#" in rest:
        raise InvalidURI(shown, "a fragment is not allowed (RFC 6455 section 3)")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0].rpartition("@")[2]
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = authority, ""
    if not host:
        raise InvalidURI(shown, "the host is missing")
    if not (_is_address(host) if host.startswith("[") else _is_name(host)):
        raise InvalidURI(shown, f"host {host!r}, expected a name or an address")
    if port and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise InvalidURI(shown, f"port {port!r}, expected a number from 1 to 65535")
    return scheme.lower() == "wss"


def _check_port(port: object) -> int:
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"port must be int, got {port!r}")
    if not 1 <= port <= 65535:
        raise ValueError(f"port = {port}, expected 1 to 65535")
    return port


def _check_ssl(ssl: object, secure: bool) -> Any:
    if ssl is None or isinstance(ssl, bool):
        if ssl and not secure:
            raise ValueError("ssl = True needs a wss:// URI")
        if ssl is False and secure:
            raise ValueError("ssl = False needs a ws:// URI")
        return ssl
    from . import tls

    if isinstance(ssl, tls.SSLContext):
        if not secure:
            raise ValueError("ssl is an SSLContext, which needs a wss:// URI")
        ssl._core_options(server=False)
        return ssl
    check_ssl_type(ssl)
    return None


def check_ssl_type(ssl: object) -> None:
    """Raise TypeError for what is no aiows.SSLContext."""
    if isinstance(ssl, _ssl.SSLContext):
        raise TypeError(
            "ssl is a plain ssl.SSLContext, whose certificates cannot be read; "
            "make it with aiows.create_default_context or aiows.SSLContext"
        )
    raise TypeError(f"ssl must be None, True or an aiows.SSLContext, got {ssl!r}")
