"""
Blocking connections whose bytes go through Python's own TLS.

A plain ssl.SSLContext cannot be read: what it loaded is not to be seen. So Python's TLS
uses it, and the core is attached to what comes out. Whoever waits carries the bytes.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
from typing import TYPE_CHECKING, Any

from .. import _core
from .._errors import open_error
from .._route import Route, tls_description
from ..exceptions import ProxyError
from ..proxy import _authority
from ._dialing import Expired, Limit, connect_host, connect_unix, wait_for

if TYPE_CHECKING:
    from .client import ClientConnection, reconnect

__all__ = ["connect_attached", "refuse_proxy"]

_PIECE = 64 * 1024


def refuse_proxy(proxy: object) -> None:
    """Raise ValueError for what would need TLS inside of TLS."""
    if isinstance(proxy, str) and proxy.lower().startswith("https:"):
        raise ValueError(
            "an https:// proxy cannot be combined with a plain ssl.SSLContext here, "
            "expected an aiows.SSLContext or another proxy"
        )


class _Dialer(Route):
    """Connects where the arguments of connect say, and has TLS begin."""

    def dial(self, connection: ClientConnection, uri: str, limit: Limit) -> None:
        """
        Have connection carried over a new socket.

        Raises:
            OSError, ssl.SSLError, ProxyError: There is no way, and nothing is left open.
            Expired: The time is over.

        """
        refuse_proxy(self._proxy)
        host, port, _ = _authority(uri)
        name = self._server_name or host.partition("%")[0]
        sock, more = self._connected(host, port, limit)
        try:
            connection._carried = more | {
                "local_address": sock.getsockname(),
                "remote_address": sock.getpeername(),
            }
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            context: ssl.SSLContext = self._tls["ssl"]
            secure = context.wrap_bio(incoming, outgoing, server_hostname=name)
            self._shake_hands(sock, secure, incoming, outgoing, limit)
            connection._carried |= tls_description(secure)
            # From here on the core closes it, in whatever way this goes on.
            connection._carry(sock.fileno(), secure, incoming, outgoing)
            sock.detach()
        except BaseException:
            if connection._is_carried:
                sock.detach()
            else:
                sock.close()
            raise

    def _connected(
        self, host: str, port: int, limit: Limit
    ) -> tuple[socket.socket, dict[str, Any]]:
        if self._path is not None:
            return connect_unix(self._path, limit), {}
        if self._sock is not None:
            sock, self._sock = self._sock, None
            sock.setblocking(False)
            return sock, {}
        host, port = self._host or host, self._port or port
        options = self._options
        if self._proxy is None:
            return connect_host(host, port, limit, **options), {}
        from ._tunnel import open_tunnel

        agent = self.core.get("user_agent", "")
        sock, shown = open_tunnel(self._proxy, host, port, limit, user_agent=agent, options=options)
        return sock, {"proxy": shown}

    def _shake_hands(
        self,
        sock: socket.socket,
        secure: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        limit: Limit,
    ) -> None:
        seconds = self._tls.get("ssl_handshake_timeout")
        own = Limit(seconds)
        try:
            while not _step(secure, sock, outgoing):
                _send(sock, outgoing.read(), _Both(limit, own))
                wait_for(sock, select.POLLIN, _Both(limit, own))
                with contextlib.suppress(BlockingIOError):
                    data = sock.recv(_PIECE)
                    if data:
                        incoming.write(data)
                    else:
                        incoming.write_eof()
            _send(sock, outgoing.read(), _Both(limit, own))
        except _OwnExpired:
            text = f"the TLS handshake took longer than ssl_handshake_timeout = {seconds} s"
            raise ConnectionAbortedError(errno.ECONNABORTED, text) from None


class _OwnExpired(Exception):
    pass


class _Both(Limit):
    def __init__(self, limit: Limit, own: Limit) -> None:
        self._limit, self._own = limit, own

    def left(self) -> float | None:
        left = self._limit.left()
        try:
            own = self._own.left()
        except Expired:
            raise _OwnExpired from None
        return left if own is None else own if left is None else min(left, own)


def _step(secure: ssl.SSLObject, sock: socket.socket, outgoing: ssl.MemoryBIO) -> bool:
    try:
        secure.do_handshake()
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLError:
        with contextlib.suppress(OSError):
            sock.send(outgoing.read())  # the alert
        raise
    return True


def _send(sock: socket.socket, data: bytes, limit: Limit) -> None:
    while data:
        wait_for(sock, select.POLLOUT, limit)
        with contextlib.suppress(BlockingIOError):
            data = data[sock.send(data) :]


def connect_attached(connector: reconnect, uri: str) -> ClientConnection:
    """Open a connection as connector says, with the plain context that its ssl is."""
    with connector._target.taken() as taken:
        options = connector._core_options(uri) | taken
        proxied = any(name.startswith("proxy") for name in options)
        dialer = _Dialer(
            connector._ssl,
            {name: v for name, v in options.items() if not name.startswith("proxy")},
            all_errors=connector._target.all_errors,
            proxy=connector._proxy.url(uri) if proxied else None,
        )
    try:
        connection = connector._new_connection(uri)
        milliseconds = options["open_timeout_ms"]
        limit = Limit(milliseconds / 1000 if milliseconds else None)
        try:
            _open(connector, connection, dialer, uri, limit, proxied=proxied)
        except BaseException:
            connection._abandon()
            raise
    finally:
        dialer.close()
    return connection


def _open(
    connector: reconnect,
    connection: ClientConnection,
    dialer: _Dialer,
    uri: str,
    limit: Limit,
    *,
    proxied: bool,
) -> None:
    all_errors = connector._target.all_errors
    try:
        connection._attach(uri, **dialer.core)
        while True:
            with contextlib.suppress(Expired):  # which the core tells
                dialer.dial(connection, uri, limit)
            if connection._await_open():
                return
            uri = _follow(connector, connection, dialer, uri, proxied=proxied)
    except _core.Error as error:
        info = None if connection._closed is None else connection._describe()
        exception = open_error(error, connection._uri, info, all_errors=all_errors)
        raise exception from exception.__cause__
    except ProxyError as error:
        raise error from None


def _follow(
    connector: reconnect,
    connection: ClientConnection,
    dialer: _Dialer,
    uri: str,
    *,
    proxied: bool,
) -> str:
    """Return where connection was redirected, if that may be followed."""
    failed = connection._redirect_error()
    assert failed is not None
    new: str = connection.info()["uri"]
    try:
        dialer.redirected(uri, new, connector._proxy.url(new) if proxied else None)
    except Exception as reason:
        raise reason from open_error(failed, uri, connection._failed_info())
    connection._uri = new
    return new
