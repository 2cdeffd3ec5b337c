"""
AioWebSocket, which takes the place of the class of that name in aiowebsocket.

The module's other names are those of ``aiowebsocket.converses``.
"""

from __future__ import annotations

import asyncio
import codecs
import socket
import ssl as _ssl
import warnings
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeAlias, Unpack

from ._connector import check_uris
from ._conversation import Conversation, NotText, open_conversation
from ._errors import without_credentials
from ._lines import default_origin, has_field, last_of_each, merged, request_lines
from ._loop import Driver
from ._options import LoggerLike, callback, function, logger_for, milliseconds, subprotocol_list
from ._quoting import quoted
from ._reconnect import (
    Attempts,
    backoff,
    check_policy,
    process_exception,
    run_on_open,
    try_each,
    uri_list,
)
from ._targets import HAPPY_EYEBALLS_DELAY, PathLike, Refused
from .client import USER_AGENT, ClientConnection
from .close_codes import CloseCode
from .connection import DataLike
from .enumerations import ControlFrames, DataFrames, SocketState
from .headers import HeadersLike, request_fields

if TYPE_CHECKING:
    from .extensions.permessage_deflate import ClientPerMessageDeflateFactory

__all__ = [
    "AioWebSocket",
    "AioWebsocket",
    "ControlFrames",
    "Converse",
    "DataFrames",
    "SocketState",
]

_TEXT = 1  # AIOWS_TEXT
_BINARY = 2  # AIOWS_BINARY


# For what is None only before the opening: a check would be noise in every program.
_MaybeNone: TypeAlias = Any


class _Default(int):
    """A default that can be told from the same number passed on purpose."""


_READ_TIMEOUT = _Default(120)


class AioWebSocket:
    """
    A WebSocket client: ``async with AioWebSocket(uri) as aws``.

    Inside, ``aws.manipulator`` sends and receives. Leaving closes with 1000,
    or 1011 when an exception is the reason. Arguments are checked at once,
    before anything is opened.

    ``async for aws in AioWebSocket(uri)`` reconnects as it does with connect; each
    time ``aws.manipulator`` is another one.

    Args:
        uri: ws:// or wss://, which decides about TLS. A list of them fails
            over, as for connect; manipulator.connection.uri tells which it was.
        headers: A list is the whole request, a line each, sent as it stands;
            a missing Host is added with a warning. A dict holds fields on top
            of the default request.
        union_header: Fields that replace those of the same name in the
            request, or are added to it.
        timeout: Seconds for the opening.
        read_timeout: Only when given: seconds without a message after which
            receive raises TimeoutError. The connection stays usable.
        ssl: As for connect.
        on_open: Called with this object, and awaited if it is a coroutine
            function, whenever a connection is open: subscriptions belong there.
            An exception in it closes with 1011 and fails the opening.
        on_close: Called with this object once the connection has ended.
        on_message: Called as ``on_message(converse, message)`` with bytes for
            each message, instead of receive.
        open_timeout: Takes the place of timeout when given.
        max_size: As for connect. Default 64 MiB.
        compression: As for connect. Default None.
        proxy: As for connect. Default None.
        origin, subprotocols, extensions, additional_headers,
        user_agent_header, server_hostname, proxy_ssl, proxy_server_hostname,
        proxy_ssl_handshake_timeout, proxy_ssl_shutdown_timeout, host, port,
        sock, local_addr, family, happy_eyeballs_delay, interleave, all_errors,
        unix, path, ssl_handshake_timeout, ssl_shutdown_timeout,
        max_redirects, ping_interval, ping_timeout, close_timeout, max_queue,
        write_limit, logger, process_exception, reconnect_delays,
        create_connection: As for connect. What shapes the request cannot be
            combined with a list of lines, with which no redirect is followed.

    Raises:
        TypeError, ValueError: An argument that cannot be used.
        InvalidURI: Not a ws or wss URI.

    Attributes:
        uri, headers, union_header, timeout, read_timeout: As given.
        converse: As manipulator.

    """

    def __init__(
        self,
        uri: str | Sequence[str],
        headers: list[str] | tuple[str, ...] | Mapping[str, Any] = [],  # noqa: B006
        union_header: dict[str, Any] = {},  # noqa: B006
        timeout: float | None = 30,
        read_timeout: float | None = _READ_TIMEOUT,
        *,
        ssl: _ssl.SSLContext | bool | None = None,
        on_open: Callable[[AioWebSocket], Any] | None = None,
        on_close: Callable[[AioWebSocket], object] | None = None,
        on_message: Callable[[Converse, bytes], object] | None = None,
        origin: str | None = None,
        subprotocols: Iterable[str] | None = None,
        extensions: Sequence[ClientPerMessageDeflateFactory] | None = None,
        compression: str | None = None,
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        proxy: str | Literal[True] | None = None,
        process_exception: Callable[[Exception], Exception | None] = process_exception,
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
        open_timeout: float | None = None,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        reconnect_delays: Callable[[], Generator[float, None, None]] = backoff,
        max_size: int | tuple[int | None, int | None] | None = 2**26,
        max_queue: int | tuple[int | None, int | None] | None = 16,
        write_limit: int | tuple[int, int | None] = 2**15,
        logger: LoggerLike | None = None,
        create_connection: type[ClientConnection] | None = None,
        **refused: Unpack[Refused],
    ) -> None:
        self.uri = uri
        self.headers = headers
        self.union_header = union_header
        self.timeout = timeout
        self.read_timeout = read_timeout
        self.converse: Converse | _MaybeNone = None
        self._on_open = function("on_open", on_open)
        self._on_close = callback("on_close", on_close)
        self._on_message = callback("on_message", on_message)
        self._opening = False
        self._leaving_code: int = CloseCode.NORMAL_CLOSURE
        check_policy(process_exception, reconnect_delays)
        self._policy = process_exception, reconnect_delays, logger_for(logger, "aiows.client")
        self._turn: str | None = None
        milliseconds("timeout", timeout)
        milliseconds("read_timeout", read_timeout)
        self._subprotocols = subprotocol_list(subprotocols)
        fields = None if additional_headers is None else request_fields(additional_headers)
        self._request_options: dict[str, Any] = {
            "origin": origin,
            "additional_headers": fields,
            "user_agent_header": user_agent_header,
        }
        self._options: dict[str, Any] = {
            "ssl": ssl,
            "extensions": extensions,
            "compression": compression,
            "proxy": proxy,
            "server_hostname": server_hostname,
            "proxy_ssl": proxy_ssl,
            "proxy_server_hostname": proxy_server_hostname,
            "proxy_ssl_handshake_timeout": proxy_ssl_handshake_timeout,
            "proxy_ssl_shutdown_timeout": proxy_ssl_shutdown_timeout,
            "host": host,
            "port": port,
            "sock": sock,
            "local_addr": local_addr,
            "family": family,
            "happy_eyeballs_delay": happy_eyeballs_delay,
            "interleave": interleave,
            "all_errors": all_errors,
            "unix": unix,
            "path": path,
            "ssl_handshake_timeout": ssl_handshake_timeout,
            "ssl_shutdown_timeout": ssl_shutdown_timeout,
            "max_redirects": max_redirects,
            **refused,
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": close_timeout,
            "max_size": max_size,
            "max_queue": max_queue,
            "write_limit": write_limit,
            "logger": logger,
            "create_connection": create_connection,
        }
        self._open_timeout = open_timeout
        self._check()
        if not isinstance(headers, Mapping) and headers and not has_field(headers, "host"):
            warnings.warn(
                f"headers has no Host line, one is added from {quoted(uri)}",
                UserWarning,
                stacklevel=2,
            )

    @property
    def manipulator(self) -> Converse | _MaybeNone:
        """What sends and receives, None before the connection is open."""
        return self.converse

    @property
    def state(self) -> int:
        """A SocketState as a number: 0 before the opening, 1 open, 2 closing, 3 closed."""
        return 0 if self.converse is None else int(self.converse.connection.state)

    async def create_connection(self) -> None:
        """
        Open the connection; async with calls it.

        Raises:
            ConnectionError: There is a connection already; or the timeout has
                passed; or the server answered with another status than 101
                (then it is an InvalidStatus too); or nothing answered.
            InvalidHandshake: The handshake failed; it is a HandShakeError too.
            OSError: The connection could not be opened otherwise.

        """
        if self._opening or self.converse is not None:
            raise ConnectionError("Connection is already exists.")
        self._opening = True
        try:
            await try_each(self._uris(), self._attempt)
        finally:
            self._opening = False

    async def close_connection(self) -> None:
        """
        Close the connection and wait for its end; async with calls it.

        Nothing happens when there is none, or it is closed already.

        """
        if self.converse is not None:
            await self.converse.connection.close(self._leaving_code)

    async def __aenter__(self) -> Self:
        before = self.converse
        try:
            await self.create_connection()
        except BaseException as error:
            # An overriding method, or on_open, may have failed later than the opening.
            if self.converse is not before:
                await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is GeneratorExit:
            # The coroutine is being destroyed and may not wait any more.
            if self.converse is not None:
                self.converse.connection._abort()
            return
        if self.converse is not None and self.converse.connection._driver.inherited:
            return
        if exc_type is not None:
            self._leaving_code = CloseCode.INTERNAL_ERROR
        await self.close_connection()

    async def __aiter__(self) -> AsyncGenerator[Self, None]:
        if self._opening or self.converse is not None:
            raise ConnectionError("Connection is already exists.")
        attempts = Attempts(self._uris(), *self._policy)
        while True:
            self.converse, self._turn = None, attempts.next_uri()
            try:
                await self.__aenter__()
            except Exception as error:
                await asyncio.sleep(attempts.failed(error))
                continue
            finally:
                self._turn = None
                self._leaving_code = CloseCode.NORMAL_CLOSURE
            attempts.succeeded()
            try:
                yield self
            except BaseException as error:
                # One may wait here, also for GeneratorExit: a task of the loop does this.
                await self.__aexit__(Exception, None, error.__traceback__)
                raise
            else:
                await self.__aexit__(None, None, None)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            _no_attribute(self, name)

    def _uris(self) -> tuple[str, ...]:
        return uri_list(self.uri) if self._turn is None else (self._turn,)

    async def _attempt(self, uri: str) -> None:
        try:
            connection = await self._plan(uri)
        except TimeoutError as error:
            raise ConnectionError(f"Connection time out,exc:{error}") from error
        assert isinstance(connection, Conversation)
        self.converse = connection.converse
        try:
            await run_on_open(self._on_open, self)
        except BaseException as error:
            await connection.__aexit__(type(error), error, error.__traceback__)
            raise

    def _check(self) -> None:
        uris = uri_list(self.uri)
        check_uris(uris)
        for uri in uris:
            self._plan(uri)

    def _plan(self, uri: str) -> _Plan:
        # From the attributes as they are now: they may be changed until the opening.
        raw = None
        options = self._options | self._request_options
        options["subprotocols"] = self._subprotocols
        if not isinstance(self.union_header, dict):
            raise TypeError(f"union_header must be a dict, got {type(self.union_header).__name__}")
        union = request_fields(self.union_header)
        if isinstance(self.headers, Mapping):
            fields = [*request_fields(self.headers), *union]
            fields = [*(options["additional_headers"] or ()), *fields]
            options["additional_headers"] = last_of_each(fields)
        elif isinstance(self.headers, (list, tuple)) or self.headers is None:
            if self.headers:
                self._refuse_beside_lines(uri)
                raw = merged(request_lines(self.headers), union)
            else:
                fields = [*(options["additional_headers"] or ()), *union]
                options["additional_headers"] = last_of_each(fields)
        else:
            raise TypeError(
                f"headers must be a list of lines or a dict, got {type(self.headers).__name__}"
            )
        options["open_timeout"] = self.timeout if self._open_timeout is None else self._open_timeout
        plan = _Plan(self, uri, options)
        if raw is not None:
            plan.set_raw_lines(raw)
        elif options["origin"] is None:
            plan.set_default_origin(default_origin(uri))
        return plan

    def _refuse_beside_lines(self, uri: str) -> None:
        options = self._request_options | {
            "subprotocols": self._subprotocols or None,
            "extensions": self._options["extensions"] or None,
            "compression": self._options["compression"],
        }
        for name, value in options.items():
            if value is not None and value != USER_AGENT:
                raise ValueError(f"{name} cannot be combined with a list of lines as headers")
        if without_credentials(uri) != uri:
            raise ValueError(
                "credentials in the URI cannot be combined with a list of lines as headers; "
                "add an Authorization line"
            )


AioWebsocket = AioWebSocket


class _Plan(open_conversation):
    """How an AioWebSocket opens its connection."""

    def __init__(self, owner: AioWebSocket, uri: str, options: dict[str, Any]) -> None:
        on_close = owner._on_close
        on_message = owner._on_message
        if on_close is not None:
            options["on_close"] = lambda connection: on_close(owner)
        if on_message is not None:
            options["on_message"] = lambda connection, message: on_message(
                connection.converse, message
            )
        super().__init__(uri, **options)
        self._read_timeout = owner.read_timeout

    def _new_connection(self, driver: Driver) -> Conversation:
        connection = super()._new_connection(driver)
        assert isinstance(connection, Conversation)
        connection.converse = Converse(connection, self._read_timeout)
        return connection


class Converse:
    """
    Sends and receives on the connection of an AioWebSocket.

    Attributes:
        connection: The ClientConnection underneath, for everything else; its
            recv returns text as bytes.

    """

    def __init__(self, connection: Conversation, read_timeout: float | None) -> None:
        self.connection = connection
        self._read_timeout = None if isinstance(read_timeout, _Default) else read_timeout
        self._fragment_kind = 0

    @property
    def get_queue_size(self) -> int:
        """How many messages wait to be received."""
        return self.connection.queued

    async def send(
        self,
        message: DataLike,
        fin: bool = True,
        mask: bool = True,
        *,
        binary: bool | None = None,
    ) -> None:
        """
        Send a message.

        Cancelling does not take back a message that has begun to be sent.

        Args:
            message: str is sent as text; bytes as text when they are UTF-8,
                else as binary.
            fin: False starts or continues a message in parts, which the next
                call with True ends. The first part decides on text or binary;
                it may end inside a character.
            mask: True, as RFC 6455 section 5.1 requires of a client.
            binary: True or False sends it as binary or as text all the same.
                Say so for data that is not text: random bytes are valid UTF-8
                surprisingly often, half of all single bytes for example.

        Raises:
            ConnectionClosed: The connection is closed; it is an
                asyncio.IncompleteReadError too.
            TypeError: The message is neither str nor bytes-like.
            ValueError: mask is false; or binary is False and the message is
                not UTF-8; or binary contradicts the first part.

        """
        if not mask:
            raise ValueError("mask = False, but clients mask (RFC 6455 section 5.1)")
        if not isinstance(message, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"message must be str or bytes-like, got {type(message).__name__}")
        if not fin or self._fragment_kind:
            await self._send_part(message, fin, binary)
        elif binary is not None:
            await self.connection.send(message, not binary)
        elif isinstance(message, str):
            await self.connection.send(message)
        else:
            await self._send_bytes(message)

    async def receive(self, text: bool = False, mask: bool = False) -> Any:
        """
        Return the next message as bytes, None for an empty one.

        Cancelling is safe: the message stays queued for the next call.

        Args:
            text: True returns str instead.
            mask: False, as RFC 6455 section 5.1 requires of a server.

        Raises:
            ConnectionClosed: The connection is closed; it is an
                asyncio.IncompleteReadError too, and after the peer broke the
                protocol a FrameError.
            RuntimeError: Another task is already receiving.
            TimeoutError: read_timeout was given and has passed.
            UnicodeDecodeError: text is true and the message is not UTF-8; the
                message is lost.
            ValueError: mask is true.

        """
        if mask:
            raise ValueError("mask = True, but servers never mask (RFC 6455 section 5.1)")
        if self._read_timeout is None:
            message = await self.connection.recv()
        else:
            async with asyncio.timeout(self._read_timeout):
                message = await self.connection.recv()
        if not message:
            return None
        return message.decode() if text and isinstance(message, bytes) else message

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            _no_attribute(self, name)

    async def _send_bytes(self, message: bytes | bytearray | memoryview) -> None:
        # The core validates text anyway, so it is asked, before anything is queued.
        try:
            await self.connection.send(message, True)
        except NotText:
            await self.connection.send(message, False)

    async def _send_part(self, message: DataLike, fin: bool, binary: bool | None) -> None:
        kind = self._fragment_kind
        if not kind:
            kind = _kind_of(message) if binary is None else _BINARY if binary else _TEXT
        elif binary is not None and (kind == _BINARY) != binary:
            begun = "binary" if kind == _BINARY else "text"
            raise ValueError(f"binary = {binary}, but the message was begun as {begun}")
        pending = self.connection.send_fragment(kind, fin, message)
        self._fragment_kind = 0 if fin else kind
        if pending:
            await self.connection.drain()


def _kind_of(message: DataLike) -> int:
    if isinstance(message, str):
        return _TEXT
    try:
        codecs.utf_8_decode(message, "strict", False)
    except UnicodeDecodeError:
        return _BINARY
    return _TEXT


_SUBSTITUTES = {
    "frame": "manipulator.send and manipulator.receive",
    "hands": "manipulator.connection.request and manipulator.connection.response",
    "message_queue": "manipulator.get_queue_size",
    "reader": "manipulator.receive",
    "writer": "manipulator.send",
}


def _no_attribute(owner: object, name: str) -> NoReturn:
    text = f"{type(owner).__name__!r} object has no attribute {quoted(name)}"
    if name in _SUBSTITUTES:
        text += f", use {_SUBSTITUTES[name]}"
    raise AttributeError(text, name=name, obj=owner)
