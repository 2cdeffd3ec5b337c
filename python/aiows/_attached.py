"""
Connections whose bytes an asyncio transport carries.

A plain ssl.SSLContext cannot be read: what it loaded is not to be seen. So Python's own
TLS uses it, and the core is attached to what comes out.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from . import _core, _loop
from ._connecting import connect_socket, secure, transport_of
from ._errors import open_error
from ._route import Route, tls_description
from .exceptions import InvalidStatus, ProxyError
from .proxy import _authority

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
        next: What follow made, None before that.
        local_address: As the transport tells it, None before it is connected.
        remote_address: The same of the other side.
        description: What is known of TLS, by the names that the core's info has.

    """

    def __init__(
        self,
        connection: ClientConnection,
        loop: asyncio.AbstractEventLoop,
        follow: Callable[[], ClientConnection],
    ) -> None:
        self._connection = connection
        self._follow: Callable[[], ClientConnection] | None = follow
        self.next: ClientConnection | None = None
        self._loop = loop
        self._ready = connection._driver.core.ready
        # As the reader callback of the core has one: nothing leaks into other tasks.
        self._context = contextvars.Context()
        self._transport: asyncio.Transport | None = None
        self._full = False
        self._paused = False
        self._ended = False  # the connection has
        self._serving = False
        self._peer_left = False
        self._lost_early: list[Exception | None] = []
        self._lost: asyncio.Future[None] | None = None
        self._guard: asyncio.TimerHandle | None = None
        self.local_address: Any = None
        self.remote_address: Any = None
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
        self._transport = transport = cast(asyncio.Transport, transport)
        self.local_address = transport.get_extra_info("sockname")
        self.remote_address = transport.get_extra_info("peername")
        secure = transport.get_extra_info("ssl_object")
        if secure is not None:
            self.description = tls_description(secure)
        if self._lost_early:
            self.connection_lost(self._lost_early.pop())
        elif self._ended:
            self._leave()
        else:
            self.pump()

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if self._connection._feed(data) and transport is not None and not transport.is_closing():
            self._paused = True
            transport.pause_reading()
        self._serve()

    def eof_received(self) -> None:
        self._peer_left = True
        self._connection._feed_end()
        # The peer's Close may be among what was read: it is answered before the transport
        # closes itself.
        self._serve()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            # While TLS began, as uvloop tells it: whoever began it gets to know why.
            self._lost_early = [exc]
            return
        self._transport = None
        if self._guard is not None:
            self._guard.cancel()
            self._guard = None
        number = exc.errno if isinstance(exc, OSError) and not isinstance(exc, ssl.SSLError) else 0
        text = None if exc is None else (str(exc) or type(exc).__name__).replace("\0", " ")
        self._connection._feed_end(max(number or 0, 0), text)
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self.pump()

    # Called by the connection

    def pump(self) -> None:
        """Give the transport what waits, as far as it takes it."""
        transport = self._transport
        while transport is not None and not self._full and not transport.is_closing():
            data = self._connection._drain_output(_PIECE)
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


class Dialer(Route):
    """Connects with asyncio, where the arguments of connect say."""

    _carrier: Carrier

    def carry(self, carrier: Carrier) -> None:
        """Have carrier be the protocol of what is connected next."""
        self._carrier = carrier

    async def open(self, uri: str, opened: asyncio.Future[None]) -> None:
        """
        Connect, and wait until the connection is open.

        When it raises, or is cancelled, no transport is left.

        Args:
            opened: Done when the connection is open, or failed: the core limits the time
                for all of it.

        """
        dialing = asyncio.get_running_loop().create_task(self._dial(uri))
        try:
            await asyncio.wait([dialing, opened], return_when=asyncio.FIRST_COMPLETED)
            if not opened.done():
                dialing.result()
            await opened
        except GeneratorExit:  # nothing can be awaited any more
            dialing.cancel()
            self._carrier.abort()
            raise
        except BaseException:
            dialing.cancel()
            self._carrier.abort()
            await asyncio.wait([dialing])
            if not dialing.cancelled():
                dialing.exception()  # read; the other reason came first
            await self._carrier.wait_lost()
            await asyncio.sleep(0)  # in which a transport that never was closes its socket
            raise

    async def _dial(self, uri: str) -> None:
        loop = asyncio.get_running_loop()
        host, port, wss = _authority(uri)
        name = self._server_name or host.partition("%")[0]
        tls = {"server_hostname": name, **self._tls} if wss else {}
        if wss and "ssl" not in tls:  # a redirect from ws
            tls["ssl"] = ssl.create_default_context()
        if self._path is not None:
            path = self._path
            path = "\0" + path[1:] if path.startswith("@") else path
            transport, _ = await loop.create_unix_connection(asyncio.Protocol, path)
            await self._carry_over(transport, tls)
            return
        host, port = self._host or host, self._port or port
        if self._proxy is not None:
            await self._dial_proxy(host, port, tls)
            return
        sock, self._sock = self._sock, None
        if sock is None:
            sock = await connect_socket(host, port, **self._options)
        await transport_of(sock, self._carrier, tls)

    async def _dial_proxy(self, host: str, port: int, tls: dict[str, Any]) -> None:
        from ._tunnel import Tunnel

        assert self._proxy is not None
        agent = self.core.get("user_agent", "")
        way = Tunnel(
            self._proxy, host, port, user_agent=agent, tls=self._proxy_tls, options=self._options
        )
        await self._carry_over(await way.open(), tls)
        self._carrier.description["proxy"] = way.shown

    async def _carry_over(self, transport: asyncio.Transport, tls: dict[str, Any]) -> None:
        if tls:
            await secure(transport, self._carrier, tls)
        else:
            transport.set_protocol(self._carrier)
            self._carrier.connection_made(transport)
            self._carrier.description.clear()  # TLS ends at the proxy


async def connect_attached(connector: connect, uri: str) -> ClientConnection:
    """Open a connection as connector says, with the plain context that ssl or proxy_ssl is."""
    with connector._target.taken() as taken:
        options = connector._core_options(uri) | taken
        proxied = any(name.startswith("proxy") for name in options)
        dialer = Dialer(
            _context(connector),
            {name: v for name, v in options.items() if not name.startswith("proxy")},
            all_errors=connector._target.all_errors,
            proxy=connector._proxy.url(uri) if proxied else None,
            proxy_tls=connector._proxy.asyncio_tls() if proxied else {},
        )
    try:
        connection = _start(connector, _loop.current(), dialer, uri, None)
        while True:
            carrier = connection._carrier
            opened = connection._opened
            assert carrier is not None and opened is not None
            dialer.carry(carrier)
            try:
                await dialer.open(uri, opened)
            except BaseException as error:
                connection._abort()
                following, carrier.next = carrier.next, None
                if following is None and isinstance(error, ProxyError):
                    raise connection._own_exception(error) from None
                if following is None:
                    raise
                try:
                    if not isinstance(error, InvalidStatus):
                        raise
                    new = following._uri = following.info()["uri"]
                    dialer.redirected(uri, new, connector._proxy.url(new) if proxied else None)
                except BaseException as reason:
                    following._opened = None
                    following._abort()
                    if reason is error:
                        raise
                    raise reason from error
                connection, uri = following, new
            else:
                return connection
            finally:
                if connection._opened is opened:
                    connection._opened = None
                if opened.done() and not opened.cancelled():
                    opened.exception()  # read; another reason may have come first
    finally:
        dialer.close()


def _context(connector: connect) -> ssl.SSLContext | None:
    if not connector._secure:
        return None
    if isinstance(connector._ssl, ssl.SSLContext):
        return connector._ssl
    return ssl.create_default_context()


def _start(
    connector: connect,
    driver: _loop.Driver,
    dialer: Dialer,
    uri: str,
    redirected: ClientConnection | None,
) -> ClientConnection:
    def follow() -> ClientConnection:
        return _start(connector, driver, dialer, uri, connection)

    try:
        connection = connector._new_connection(driver)
        connection._uri, connection._target = uri, connector._target
        connection._opened = driver.loop.create_future()
        connection._carrier = Carrier(connection, driver.loop, follow)
        if redirected is not None:
            driver.core.attach_redirect(connection, redirected)
        else:
            try:
                driver.core.attach(connection, uri, stream=connection._unbounded, **dialer.core)
            except _core.Error as error:
                raise open_error(error, uri, None) from None
    except BaseException:
        if redirected is None:
            driver.release()
        raise
    connection._register()
    return connection
