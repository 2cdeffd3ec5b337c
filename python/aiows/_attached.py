"""Connections whose bytes an asyncio transport carries, since Python does the TLS."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from . import _core, _loop
from ._connecting import secure, transport_of
from ._errors import open_error
from ._host_tls import HostTLS, description, handshake
from .exceptions import InvalidStatus

if TYPE_CHECKING:
    from .client import ClientConnection, connect

__all__ = ["Carrier", "connect_attached"]

# How much is given to the transport at a time.
_PIECE = 64 * 1024
# What an end of TLS may take once the connection has ended, in seconds.
_SHUTDOWN_LIMIT = 1.0


class Carrier(asyncio.Protocol):
    """
    Carries the bytes of one connection over a transport, both ways.

    It reads no more while the core holds too much, and drains no more while the
    transport does. It belongs to the thread of the loop.

    Args:
        connection: Whose bytes they are.
        follow: Makes the connection to where this one was redirected, or raises Error.

    Attributes:
        connection: Whose bytes they are.
        next: What follow made, None before that.
        inner: TLS with the server follows in the one with an https:// proxy.
        description: What is known of TLS, by the names that the core's info has.

    """

    def __init__(
        self,
        connection: ClientConnection,
        loop: asyncio.AbstractEventLoop,
        follow: Callable[[], ClientConnection],
    ) -> None:
        self.connection = connection
        self._follow: Callable[[], ClientConnection] | None = follow
        self.next: ClientConnection | None = None
        self._loop = loop
        self._ready = connection._driver.core.ready
        # As the reader callback of the core has one: nothing leaks into other tasks.
        self._context = contextvars.Context()
        self._transport: asyncio.Transport | None = None
        # What the core has come to: connected, and let through by an https:// proxy.
        self._steps = {name: loop.create_future() for name in ("socket", "tunnel")}
        self.inner = False
        self._held = False  # the core's output is for a TLS that has not begun
        self._full = False
        self._paused = False
        self._ended = False  # the connection has
        self._serving = False
        self._peer_left = False
        self._lost_early: list[Exception | None] = []
        self._lost: asyncio.Future[None] | None = None
        self._guard: asyncio.TimerHandle | None = None
        self.description: dict[str, Any] = {}

    async def wait_lost(self) -> None:
        """Wait until the transport is gone, if there was one, but not for long."""
        if self._transport is None:
            return
        if self._lost is None:
            self._lost = self._loop.create_future()
        # uvloop never tells of one whose opening was cancelled at its end.
        await asyncio.wait([self._lost], timeout=2 * _SHUTDOWN_LIMIT)

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._held = False
        if self._lost_early:
            self.connection_lost(self._lost_early.pop())
        elif self._ended:
            self._leave()
        else:
            self.pump()

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if self.connection._feed(data) and transport is not None and not transport.is_closing():
            self._paused = True
            transport.pause_reading()
        self._serve()

    def eof_received(self) -> None:
        self._peer_left = True
        self.connection._feed_end()
        # The peer's Close may be among what was read: it is answered before the transport
        # closes itself.
        self._serve()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None or self._held:
            # While TLS began, as uvloop tells it: whoever began it gets to know why.
            self._transport = None
            self._lost_early = [exc]
            return
        self._transport = None
        if self._guard is not None:
            self._guard.cancel()
            self._guard = None
        number = exc.errno if isinstance(exc, OSError) and not isinstance(exc, ssl.SSLError) else 0
        text = None if exc is None else (str(exc) or type(exc).__name__).replace("\0", " ")
        self.connection._feed_end(max(number or 0, 0), text)
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self.pump()

    # Called by the connection

    def reached(self, step: str) -> None:
        """Note that the opening has come to "socket" or "tunnel"."""
        self._held = self.inner and step == "tunnel"
        if not self._steps[step].done():
            self._steps[step].set_result(None)

    async def until(self, step: str) -> None:
        """Wait for a step of the opening."""
        await self._steps[step]

    def pump(self) -> None:
        """Give the transport what waits, as far as it takes it."""
        transport = self._transport
        while transport is not None and not (self._full or self._held or transport.is_closing()):
            data = self.connection._drain_output(_PIECE)
            if data is None:
                transport.close()  # which sends what it has
            elif not data:
                break
            else:
                transport.write(data)

    def resume(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def end(self) -> None:
        """Close the transport: the connection has ended. What it sent last still goes out."""
        if not self._ended:
            self._full = False
            if not self._loop.is_closed():
                self.pump()
            self._ended = True
            self._leave()

    def failed(self, error: _core.Error) -> None:
        """Follow a redirect: now, since the core's loop ends with its last connection."""
        follow, self._follow = self._follow, None  # it refers back
        if error.code == _core.ERRORS["STATUS"] and follow is not None:
            with contextlib.suppress(_core.Error):
                self.next = follow()

    def abort(self) -> None:
        """Close the transport at once."""
        self._ended = True
        self._leave()

    def _leave(self) -> None:
        if self._transport is None or self._loop.is_closed():
            return
        if self._peer_left:
            # TLS is about to end on both sides.
            self._transport.close()
            if self._guard is None:
                self._guard = self._loop.call_later(_SHUTDOWN_LIMIT, self._transport.abort)
        else:
            self._transport.abort()

    def _serve(self) -> None:
        # What waits for the message runs now, as it would if the core had a socket; what
        # it sends goes out with it. Inside the reader callback this does nothing.
        # The transport may call in from inside a call of its own.
        if self._ended or self._serving:
            return
        self._serving = True
        try:
            self._context.run(self._ready)
        finally:
            self._serving = False
        self.pump()


async def _open(carrier: Carrier, tls: HostTLS, opened: asyncio.Future[None]) -> None:
    """
    Wait until the connection is open, doing TLS where the core has connected.

    When it raises, or is cancelled, no transport is left.

    Args:
        opened: Done when the connection is open, or failed: the core limits the time
            for all of it.

    """
    carrying = asyncio.get_running_loop().create_task(_carry(carrier, tls))
    try:
        await asyncio.wait([carrying, opened], return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            carrying.result()
        await opened
    except GeneratorExit:  # nothing can be awaited any more
        carrying.cancel()
        carrier.abort()
        raise
    except BaseException:
        carrying.cancel()
        carrier.abort()
        await asyncio.wait([carrying])
        if not carrying.cancelled():
            carrying.exception()  # read; the other reason came first
        await carrier.wait_lost()
        await asyncio.sleep(0)  # in which a transport that never was closes its socket
        raise


async def _carry(carrier: Carrier, tls: HostTLS) -> None:
    await carrier.until("socket")
    connection = carrier.connection
    info = connection.info()
    outer, inner = tls.with_proxy(info["proxy"]), tls.with_server(info["uri"])
    carrier.inner = bool(outer and inner)
    sock = socket.socket(fileno=connection._take_socket())
    with handshake(info["uri"], info["proxy"] if outer else ""):
        transport = await transport_of(sock, carrier, outer or inner)
    if outer:
        try:
            await carrier.until("tunnel")
        except BaseException:
            transport.abort()
            raise
        if inner:
            with handshake(info["uri"]):
                transport = await secure(transport, carrier, inner)
    if inner:
        carrier.description = description(transport.get_extra_info("ssl_object"))


async def connect_attached(connector: connect, uri: str) -> ClientConnection:
    """Open a connection as connector says, with the plain context that ssl or proxy_ssl is."""
    tls = HostTLS(connector, uri)
    with connector._target.taken() as taken:
        connection = _start(connector, _loop.current(), tls.core | taken, uri, None)
    while True:
        carrier, opened = connection._carrier, connection._opened
        assert carrier is not None and opened is not None
        try:
            await _open(carrier, tls, opened)
        except BaseException as error:
            connection._abort()
            following, carrier.next = carrier.next, None
            if following is None:
                raise
            if not isinstance(error, InvalidStatus):
                following._opened = None
                following._abort()
                raise
            following._uri = following.info()["uri"]
            connection = following
        else:
            return connection
        finally:
            if carrier.connection._opened is opened:
                carrier.connection._opened = None
            if opened.done() and not opened.cancelled():
                opened.exception()  # read; another reason may have come first


def _start(
    connector: connect,
    driver: _loop.Driver,
    options: dict[str, Any],
    uri: str,
    redirected: ClientConnection | None,
) -> ClientConnection:
    def follow() -> ClientConnection:
        return _start(connector, driver, options, uri, connection)

    try:
        connection = connector._new_connection(driver)
        connection._uri, connection._target = uri, connector._target
        connection._opened = driver.loop.create_future()
        connection._carrier = Carrier(connection, driver.loop, follow)
        if redirected is not None:
            driver.core.attach_redirect(connection, redirected)
        else:
            try:
                driver.core.attach(connection, uri, stream=connection._unbounded, **options)
            except _core.Error as error:
                raise open_error(error, uri, None) from None
    except BaseException:
        if redirected is None:
            driver.release()
        raise
    connection._register()
    return connection
