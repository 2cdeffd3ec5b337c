"""What the clients of asyncio and of threads have in common: the arguments of connect."""

from __future__ import annotations

import logging
import os
import re
import socket
import ssl as _ssl
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack

from . import _core
from ._errors import without_credentials
from ._options import (
    LoggerLike,
    callback,
    connection_options,
    function,
    is_port,
    logger_for,
    milliseconds,
    subprotocol_list,
    text,
)
from ._quoting import quoted
from ._reconnect import backoff, check_policy, process_exception, uri_list
from ._targets import HAPPY_EYEBALLS_DELAY, PathLike, Refused, Target
from .exceptions import InvalidURI
from .headers import HeadersLike, check_once, request_fields
from .proxy import ProxyOptions
from .version import __version__

if TYPE_CHECKING:
    from .extensions.permessage_deflate import ClientPerMessageDeflateFactory

__all__ = ["USER_AGENT", "Connector"]

USER_AGENT = f"aiows/{__version__}"


class Connector:
    """
    The arguments of connect, checked.

    aiows.connect and aiows.sync.connect are made of it: what is added to the
    arguments here reaches both. It knows no event loop.

    Attributes:
        uri: Where the newest attempt went, at first where the first one will.
        uris: All of them, as given.

    """

    # What is made; create_connection is a subclass of it.
    _connection_class: type[Any]
    # Whether the connections belong to one.
    _event_loop = True

    def __init__(
        self,
        uri: str | Sequence[str],
        *,
        origin: str | None = None,
        subprotocols: Iterable[str] | None = None,
        extensions: Sequence[ClientPerMessageDeflateFactory] | None = None,
        compression: str | None = "deflate",
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        proxy: str | Literal[True] | None = True,
        process_exception: Callable[[Exception], Exception | None] = process_exception,
        ssl: _ssl.SSLContext | bool | None = None,
        server_hostname: str | None = None,
        proxy_ssl: _ssl.SSLContext | bool | None = None,
        proxy_server_hostname: str | None = None,
        proxy_ssl_handshake_timeout: float | None = None,
        proxy_ssl_shutdown_timeout: float | None = None,
        host: str | None = None,
        port: int | None = None,
        sock: socket.socket | None = None,
        local_addr: tuple[str | None, int | None] | None = None,
        family: int = 0,
        happy_eyeballs_delay: float | None = HAPPY_EYEBALLS_DELAY,
        interleave: int | None = None,
        all_errors: bool = False,
        unix: bool = False,
        path: PathLike | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        max_redirects: int = 10,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        reconnect_delays: Callable[[], Generator[float, None, None]] = backoff,
        max_size: int | tuple[int | None, int | None] | None = 2**20,
        max_queue: int | tuple[int | None, int | None] | None = 16,
        write_limit: int | tuple[int, int | None] = 2**15,
        logger: LoggerLike | None = None,
        create_connection: type[Any] | None = None,
        on_open: Callable[[Any], Awaitable[object] | object] | None = None,
        on_message: Callable[[Any, Any], object] | None = None,
        on_close: Callable[[Any], object] | None = None,
        **refused: Unpack[Refused],
    ) -> None:
        self.uris = uri_list(uri)
        self._secure = check_uris(self.uris)
        self.uri = self.uris[0]
        check_policy(process_exception, reconnect_delays)
        self._process_exception = process_exception
        self._reconnect_delays = reconnect_delays
        if create_connection is not None:
            self._connection_class = self._check_connection_class(create_connection)
        self._proxy = ProxyOptions(
            proxy,
            proxy_ssl=proxy_ssl,
            proxy_server_hostname=proxy_server_hostname,
            proxy_ssl_handshake_timeout=proxy_ssl_handshake_timeout,
            proxy_ssl_shutdown_timeout=proxy_ssl_shutdown_timeout,
        )
        self._ssl = _check_ssl(ssl, self._secure)
        # Whether Python does TLS: with the proxy, with the server, or inside of the other.
        self._host_tls = _is_plain(self._ssl) or self._proxy.plain
        if self._host_tls:
            _refuse_pins(ssl=self._ssl, proxy_ssl=proxy_ssl)
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
        check_once(core["headers"])
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
        self._target = Target(
            uris=self.uris,
            secure=self._secure,
            host=host,
            port=port,
            sock=sock,
            local_addr=local_addr,
            family=family,
            happy_eyeballs_delay=happy_eyeballs_delay,
            interleave=interleave,
            all_errors=all_errors,
            unix=unix,
            path=path,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            max_redirects=max_redirects,
            refused=refused,
        )
        self._has_no_time = open_timeout == 0
        self._core = core | self._options.core | self._target.core
        self._logger = logger_for(logger, "aiows.client")
        if not self._event_loop:
            callback("on_open", on_open)
        self._on_open = function("on_open", on_open)
        self._on_message = callback("on_message", on_message)
        self._on_close = callback("on_close", on_close)

    def _check_connection_class(self, value: object) -> type[Any]:
        base = self._connection_class
        if not (isinstance(value, type) and issubclass(value, base)):
            name = f"{base.__module__}.{base.__name__}"
            raise TypeError(f"create_connection must be a subclass of {name}, got {quoted(value)}")
        return value

    def _core_options(self, uri: str, *, tls: bool = True) -> dict[str, Any]:
        """
        Return the core's options for a connection to uri; the environment is read now.

        Args:
            tls: Whether the core does TLS with an https:// proxy.

        Raises:
            TimeoutError: open_timeout is 0.

        """
        if self._has_no_time:  # what the core can wait at least, 1 ms, may be enough
            raise TimeoutError(f"timed out: {without_credentials(uri)}: open_timeout = 0")
        options = self._core | {"log_frames": self._logger.isEnabledFor(logging.DEBUG)}
        if self._target.is_unix or self._target.sock is not None:
            return options
        return options | self._proxy.core(uri, tls=tls)

    def _tls(self) -> _core.TLS | None:
        if not self._secure:
            return self._redirect_tls()
        from . import tls

        if isinstance(self._ssl, tls.SSLContext):
            return self._ssl._core_tls(server=False)
        return tls.environment_tls()

    def _redirect_tls(self) -> _core.TLS | None:
        # For a redirect from ws to wss, which is rare: what is wrong with the variables
        # must not disturb the others.
        wanted = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
        if not wanted or not self._core["max_redirects"]:
            return None
        from . import tls

        try:
            return tls.environment_tls()
        except (OSError, ValueError):
            return None


# What no name may hold; the core applies IDNA to the rest.
_is_name = re.compile(r"([^\x00-\x20\"#%/:<>?@\[\\\]^`{|}\x7f]|%[2-9A-Fa-f][0-9A-Fa-f])+").fullmatch
_is_address = re.compile(r"\[[0-9A-Fa-f:.]+(%[^\]]+)?\]").fullmatch
_MALFORMED = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]").search


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
        raise TypeError(f"uri must be str, got {type(uri).__name__}")
    shown = without_credentials(uri)
    bad = _MALFORMED(uri)
    if bad:
        raise InvalidURI(
            shown, f"character {bad.group()!r} at index {bad.start()}, expected it percent-encoded"
        )
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.lower() not in ("ws", "wss"):
        raise InvalidURI(shown, f"scheme {quoted(scheme if separator else '')}, expected ws or wss")
    if "#" in rest:
        raise InvalidURI(shown, "a fragment is not allowed (RFC 6455 section 3)")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0].rpartition("@")[2]
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = authority, ""
    if not host:
        raise InvalidURI(shown, "the host is missing")

    def found(part: str) -> str:
        # What precedes an @ further on may be a password with a slash in it.
        return f" {quoted(part)}" if authority in shown else ""

    if not (_is_address(host) if host.startswith("[") else _is_name(host)):
        raise InvalidURI(shown, f"host{found(host)}, expected a name or an address")
    if port and not is_port(port):
        raise InvalidURI(shown, f"port{found(port)}, expected a number from 1 to 65535")
    return scheme.lower() == "wss"


def check_uris(uris: Sequence[str]) -> bool:
    """
    Return whether uris are secure.

    Raises:
        InvalidURI: One of them cannot be a WebSocket URI.
        ValueError: Some are secure and some are not: to fail over must not mean
            to go on without TLS.

    """
    secure = {check_uri(uri) for uri in uris}
    if len(secure) > 1:
        raise ValueError("uri holds both ws:// and wss:// URIs, expected one scheme")
    return secure.pop()


def _is_plain(ssl: object) -> bool:
    """Tell whether Python's own TLS has to use ssl, as the core cannot read it."""
    if not isinstance(ssl, _ssl.SSLContext):
        return False
    from . import tls

    return not isinstance(ssl, tls.SSLContext)


def _refuse_pins(**contexts: object) -> None:
    from . import tls

    for name, context in contexts.items():
        if isinstance(context, tls.SSLContext) and context.pins:
            other = "proxy_ssl" if name == "ssl" else "ssl"
            raise ValueError(
                f"{other} is a plain ssl.SSLContext, with which Python's TLS does all, and that "
                f"knows no pins, but {name} has some: give an aiows.SSLContext as {other} too"
            )


def _check_ssl(ssl: object, secure: bool) -> Any:
    if ssl is None or isinstance(ssl, bool):
        if ssl and not secure:
            raise ValueError("ssl = True needs a wss:// URI")
        if ssl is False and secure:
            raise ValueError("ssl = False needs a ws:// URI")
        return ssl
    from . import tls

    if isinstance(ssl, _ssl.SSLContext) and not secure:
        raise ValueError("ssl is an SSLContext, which needs a wss:// URI")
    if isinstance(ssl, tls.SSLContext):
        ssl._core_options(server=False)
        return ssl
    if isinstance(ssl, _ssl.SSLContext):
        if ssl.protocol == _ssl.PROTOCOL_TLS_SERVER:
            raise ValueError("ssl is made for servers, expected PROTOCOL_TLS_CLIENT")
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
    raise TypeError(f"ssl must be None, True or an aiows.SSLContext, got {quoted(ssl)}")
