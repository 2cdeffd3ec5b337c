"""Blocking connections whose bytes whoever waits carries, since Python does the TLS."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

from .. import _core
from .._errors import open_error
from .._host_tls import HostTLS, description, handshake

if TYPE_CHECKING:
    from .client import ClientConnection, reconnect

__all__ = ["connect_attached"]

_PIECE = 64 * 1024


class _Expired(Exception):
    """The time for opening is over, which the core tells."""


class _Deadline:
    """When the opening has to be done; seconds from now on, None for no limit."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        return None if self._end is None else self._end - time.monotonic()


class _Layer:
    """
    TLS over a socket, or inside of another one.

    Args:
        sock: What carries it, without blocking.
        outer: What it is inside of.
        tls: Arguments of loop.start_tls.

    """

    def __init__(self, sock: socket.socket, outer: _Layer | None, tls: dict[str, Any]) -> None:
        self._sock, self._outer = sock, outer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context: ssl.SSLContext = tls["ssl"]
        self.secure = context.wrap_bio(
            self.incoming, self.outgoing, server_hostname=tls["server_hostname"]
        )
        self._seconds: float | None = tls.get("ssl_handshake_timeout")

    def shake_hands(self, deadline: _Deadline) -> None:
        """
        Do the handshake.

        Raises:
            OSError, ssl.SSLError: It failed.
            _Expired: deadline has passed.

        """
        own = _Deadline(self._seconds)
        while not self._step():
            self._flush(deadline, own)
            data = self._receive(deadline, own)
            if data:
                self.incoming.write(data)
            else:
                self.incoming.write_eof()
        self._flush(deadline, own)

    def _step(self) -> bool:
        try:
            self.secure.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            with contextlib.suppress(OSError, ssl.SSLError):  # the alert
                self._sock.send(self._wrapped(self.outgoing.read()))
            raise
        return True

    def _wrapped(self, data: bytes) -> bytes:
        outer = self._outer
        if outer is None or not data:
            return data
        outer.secure.write(data)
        return outer.outgoing.read()

    def _flush(self, deadline: _Deadline, own: _Deadline) -> None:
        data = self._wrapped(self.outgoing.read())
        while data:
            self._wait(select.POLLOUT, deadline, own)
            with contextlib.suppress(BlockingIOError):
                data = data[self._sock.send(data) :]

    def _receive(self, deadline: _Deadline, own: _Deadline) -> bytes:
        outer = self._outer
        while True:
            if outer is not None:
                with contextlib.suppress(ssl.SSLWantReadError):
                    return outer.secure.read(_PIECE)
            self._wait(select.POLLIN, deadline, own)
            with contextlib.suppress(BlockingIOError):
                data = self._sock.recv(_PIECE)
                if outer is None:
                    return data
                if data:
                    outer.incoming.write(data)
                else:
                    outer.incoming.write_eof()

    def _wait(self, events: int, deadline: _Deadline, own: _Deadline) -> None:
        poll = select.poll()
        poll.register(self._sock, events)
        while True:
            left, own_left = deadline.left(), own.left()
            if left is not None and left <= 0:
                raise _Expired
            if own_left is not None and own_left <= 0:
                limit = f"ssl_handshake_timeout = {self._seconds} s"
                text = f"the TLS handshake took longer than {limit}"
                raise ConnectionAbortedError(errno.ECONNABORTED, text)
            bounds = [seconds for seconds in (left, own_left) if seconds is not None]
            # Rounded up, so that a wait is not repeated for a fraction.
            if poll.poll(int(min(bounds) * 1000) + 1 if bounds else None):
                return


def _carry(connection: ClientConnection, tls: HostTLS, deadline: _Deadline) -> None:
    """
    Have connection carried over the socket that the core connected.

    Raises:
        OSError, ssl.SSLError: TLS failed, and nothing is left open.
        Error: The core did.
        _Expired: deadline has passed.

    """
    connection._tls_description = {}
    with socket.socket(fileno=connection._await_socket()) as sock:
        info = connection.info()
        outer, inner = tls.with_proxy(info["proxy"]), tls.with_server(info["uri"])
        if not (outer or inner):
            connection._carry(sock.fileno(), None, None, None)
            return
        first = _Layer(sock, None, outer or inner)
        with handshake(info["uri"], info["proxy"] if outer else ""):
            first.shake_hands(deadline)
        connection._carry(sock.fileno(), first.secure, first.incoming, first.outgoing)
        if outer:
            connection._await_tunnel()
        if outer and inner:
            second = _Layer(sock, first, inner)
            with handshake(info["uri"]):
                second.shake_hands(deadline)
            connection._carry_within(second.secure, second.incoming, second.outgoing)
            first = second
        if inner:
            connection._tls_description = description(first.secure)


def connect_attached(connector: reconnect, uri: str) -> ClientConnection:
    """Open a connection as connector says, with the plain context that ssl or proxy_ssl is."""
    tls = HostTLS(connector, uri)
    milliseconds = tls.core["open_timeout_ms"]
    with connector._target.taken() as taken:
        connection = connector._new_connection(uri)
        try:
            connection._attach(uri, **tls.core, **taken)
            _open(connection, tls, _Deadline(milliseconds / 1000 if milliseconds else None))
        except BaseException as error:
            connection._abandon()
            if isinstance(error, _core.Error):
                info = None if connection._closed is None else connection._describe()
                all_errors = connector._target.all_errors
                exception = open_error(error, connection._uri, info, all_errors=all_errors)
                raise exception from exception.__cause__
            raise
    return connection


def _open(connection: ClientConnection, tls: HostTLS, deadline: _Deadline) -> None:
    while True:
        with contextlib.suppress(_Expired):
            _carry(connection, tls, deadline)
        if connection._await_open():
            return
        connection._uri = connection.info()["uri"]
