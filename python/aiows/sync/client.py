"""The blocking client."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, ParamSpec

from .. import _core, _library
from .._connector import USER_AGENT, Connector
from .._errors import open_error, without_credentials
from .._options import flag
from .._quoting import quoted
from .._reconnect import Attempts, backoff, earlier_attempt, process_exception
from .._targets import PathLike, Target, path_address, unix_uri
from ..close_codes import CloseCode
from .connection import Connection

__all__ = [
    "USER_AGENT",
    "ClientConnection",
    "backoff",
    "connect",
    "process_exception",
    "reconnect",
    "unix_connect",
    "unix_reconnect",
]

_P = ParamSpec("_P")


class ClientConnection(Connection):
    """
    A connection that connect opened.

    Subclasses go to ``create_connection`` of connect. Their ``__init__``, if they
    have one, takes ``*args`` and ``**kwargs`` and hands them to the one here; what
    they are belongs to this package. It runs before the opening.

    """

    _uri = ""
    _target: Target
    # What Python knows of TLS, where it does that.
    _tls_description: dict[str, Any] | None = None

    @property
    def uri(self) -> str:
        """The URI that this connection went to, without user and password."""
        return self._describe()["uri"] or without_credentials(self._uri)

    def _describe(self) -> dict[str, Any]:
        info = super()._describe()
        return info if self._tls_description is None else info | self._tls_description

    def _address(self, text: str) -> Any:
        return path_address(text) if self._target.is_unix else super()._address(text)


class reconnect(Connector):
    """
    Open connections one after the other: ``for ws in reconnect(uri)``.

    An attempt that fails is followed by a delay and another one, unless
    process_exception finds the error fatal: then the loop raises it. An iteration
    that ends, by continue after ConnectionClosed for instance, closes its connection
    and opens the next at once. Leaving by break or an exception closes with 1011.

    Arguments are checked at once, before anything is opened, and are those of
    aiows.connect. on_open, on_message and on_close are plain functions; on_close is
    called by whichever thread notices the end.

    on_message is called by whichever thread waits: in wait_closed, for which it is
    made, in close, for a Pong, or in a send that has to wait; never in two at once, and
    in the context of the opening. It may call any method of the connection, but those
    that receive raise RuntimeError, as messages are not queued for them. An exception
    in it closes with 1011, and is raised by the call that it ran in; close and
    wait_closed wait for the end first. KeyboardInterrupt and others that are no
    Exception are only raised: the next message is for the next call that waits.
    on_close is called after the last message.

    Where ssl is a plain ssl.SSLContext, Python's own TLS uses it, and the thread that
    waits carries the bytes. While none waits nothing is read or written but by send,
    ping, pong and close: no ping is answered, and the keepalive goes on, so that
    after ping_interval and ping_timeout without a call the connection has failed.

    """

    # What is made, for subclasses.
    _connection_class: type[ClientConnection] = ClientConnection
    _event_loop = False
    _entered: ClientConnection | None = None

    def connect(self) -> ClientConnection:
        """
        Open a connection.

        Raises:
            InvalidURI: Not a ws or wss URI.
            OSError: The connection could not be opened; socket.gaierror for the
                name, ssl.SSLError for TLS.
            InvalidHandshake: The server did not agree; InvalidStatus when it
                answered with another status than 101.
            TimeoutError: open_timeout has passed.

        """
        notes = []
        for uri in self.uris[:-1]:
            try:
                return self._open_uri(uri)
            except Exception as error:
                notes.append(earlier_attempt(uri, error))
        try:
            return self._open_uri(self.uris[-1])
        except Exception as error:
            for note in notes:
                error.add_note(note)
            raise

    def __enter__(self) -> ClientConnection:
        if self._entered is not None:
            raise RuntimeError("this reconnect object is in use by another with")
        self._entered = connection = self.connect()
        return connection.__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self._entered = self._entered, None
        if connection is not None:
            connection.__exit__(exc_type, exc_value, traceback)

    def __iter__(self) -> Generator[ClientConnection, None, None]:
        attempts = Attempts(
            self.uris, self._process_exception, self._reconnect_delays, self._logger
        )
        while True:
            try:
                connection = self._open_uri(attempts.next_uri())
            except Exception as error:
                time.sleep(attempts.failed(error))
                continue
            attempts.succeeded()
            with connection:
                yield connection

    def _open_uri(self, uri: str) -> ClientConnection:
        self.uri = uri
        connection = self._connect(uri)
        if self._on_open is not None:
            try:
                result = self._on_open(connection)
                if inspect.isawaitable(result):
                    raise TypeError(f"on_open returned {quoted(result)}, expected nothing to await")
            except BaseException:
                connection.close(CloseCode.INTERNAL_ERROR)
                raise
        return connection

    def _new_connection(self, uri: str) -> ClientConnection:
        connection = self._connection_class(
            self._options, self._logger, on_message=self._on_message, on_close=self._on_close
        )
        connection._uri, connection._target = uri, self._target
        return connection

    def _connect(self, uri: str) -> ClientConnection:
        _library.load()
        if self._host_tls:
            from ._attached import connect_attached

            return connect_attached(self, uri)
        with self._target.taken() as taken:
            options = self._core_options(uri) | taken
            tls = self._tls()
            connection = self._new_connection(uri)
            try:
                connection._open(uri, tls=tls, **options)
            except _core.Error as error:
                info = None if connection._closed is None else connection._describe()
                exception = open_error(error, uri, info, all_errors=self._target.all_errors)
                raise exception from exception.__cause__
        return connection


def _opening(make: Callable[_P, reconnect]) -> Callable[_P, ClientConnection]:
    # Of one signature with reconnect, so that no argument is forgotten here.
    def connect(*args: _P.args, **kwargs: _P.kwargs) -> Any:
        """
        Open a connection: ``with connect(uri) as ws`` or ``ws = connect(uri)``.

        Arguments are checked at once, before anything is opened, and are those of
        aiows.connect; on_open, on_message and on_close are plain functions, of which
        reconnect says more. It has the same arguments, and opens connections one after
        the other.

        Besides, it takes websockets' legacy: False returns a reconnect object, True and
        None, the default, make no difference.

        Returns:
            The open connection, which closes itself on leaving a ``with``.

        Raises:
            TypeError, ValueError: An argument that cannot be used.
            InvalidURI: Not a ws or wss URI.
            OSError: The connection could not be opened; socket.gaierror for the
                name, ssl.SSLError for TLS.
            InvalidHandshake: The server did not agree; InvalidStatus when it
                answered with another status than 101.
            TimeoutError: open_timeout has passed.

        """
        legacy = kwargs.pop("legacy", None)
        if legacy is not None:
            flag("legacy", legacy)
        made = make(*args, **kwargs)
        return made if legacy is False else made.connect()

    parameters = dict(inspect.signature(make).parameters)
    refused = parameters.popitem()[1]  # **refused
    legacy = inspect.Parameter("legacy", inspect.Parameter.KEYWORD_ONLY, default=None)
    all_of_them = [*parameters.values(), legacy, refused]
    connect.__qualname__ = "connect"
    connect.__signature__ = inspect.Signature(all_of_them)  # type: ignore[attr-defined]
    return connect


connect = _opening(reconnect)


def unix_connect(
    path: PathLike | None = None, uri: str | None = None, **kwargs: Any
) -> ClientConnection:
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
        OSError, InvalidHandshake, TimeoutError: As connect does.

    """
    return connect(unix_uri(uri, kwargs), unix=True, path=path, **kwargs)


def unix_reconnect(
    path: PathLike | None = None, uri: str | None = None, **kwargs: Any
) -> reconnect:
    """Open connections over a Unix socket one after the other; see unix_connect, reconnect."""
    return reconnect(unix_uri(uri, kwargs), unix=True, path=path, **kwargs)
