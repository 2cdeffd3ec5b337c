"""
The connection and the exceptions of AioWebSocket.

Code written for aiowebsocket catches ConnectionError, HandShakeError,
FrameError and asyncio.IncompleteReadError. What AioWebSocket raises is one of
these and one of aiows.exceptions at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from . import _core
from ._errors import UTF8
from ._quoting import quoted
from .client import ClientConnection, connect
from .close_codes import Close
from .exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    DuplicateParameter,
    FrameError,
    HandShakeError,
    HeaderLineTooLong,
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderFormat,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidParameterName,
    InvalidParameterValue,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidUpgrade,
    NegotiationError,
    ProxyError,
    SecurityError,
    StatusLineTooLong,
    TooManyHeaders,
)

if TYPE_CHECKING:
    from .converses import Converse


class ConversationClosedOK(ConnectionClosedOK, asyncio.IncompleteReadError):
    """ConnectionClosedOK that code written for streams catches too."""

    def __init__(
        self, rcvd: Close | None, sent: Close | None, rcvd_then_sent: bool | None = None
    ) -> None:
        ConnectionClosedOK.__init__(self, rcvd, sent, rcvd_then_sent)
        self.partial = b""
        self.expected = None


class ConversationClosedError(ConnectionClosedError, asyncio.IncompleteReadError):
    """ConnectionClosedError that code written for streams catches too."""

    def __init__(
        self, rcvd: Close | None, sent: Close | None, rcvd_then_sent: bool | None = None
    ) -> None:
        ConnectionClosedError.__init__(self, rcvd, sent, rcvd_then_sent)
        self.partial = b""
        self.expected = None


class ConversationFrameError(ConversationClosedError, FrameError):
    """ConversationClosedError after the peer broke the protocol."""


class ConversationProxyError(ProxyError, HandShakeError):
    """ProxyError as AioWebSocket raises it."""


class ConversationProxyMessageError(InvalidProxyMessage, HandShakeError):
    """InvalidProxyMessage as AioWebSocket raises it."""


class ConversationProxyStatusError(InvalidProxyStatus, HandShakeError):
    """InvalidProxyStatus as AioWebSocket raises it."""


class ConversationStatusError(InvalidStatus, HandShakeError, ConnectionError):
    """The server answered with a status other than 101."""

    def __str__(self) -> str:
        return f"Connection failed,status code:{self.response.status_code}"


class ConversationHandshakeError(InvalidHandshake, HandShakeError):
    """InvalidHandshake as AioWebSocket raises it."""


class ConversationMessageError(InvalidMessage, HandShakeError):
    """InvalidMessage as AioWebSocket raises it."""


class ConversationSecurityError(SecurityError, HandShakeError):
    """SecurityError as AioWebSocket raises it."""


class ConversationStatusLineError(StatusLineTooLong, HandShakeError):
    """StatusLineTooLong as AioWebSocket raises it."""


class ConversationHeaderLineError(HeaderLineTooLong, HandShakeError):
    """HeaderLineTooLong as AioWebSocket raises it."""


class ConversationHeaderCountError(TooManyHeaders, HandShakeError):
    """TooManyHeaders as AioWebSocket raises it."""


class ConversationHeaderError(InvalidHeader, HandShakeError):
    """InvalidHeader as AioWebSocket raises it."""


class ConversationHeaderFormatError(InvalidHeaderFormat, HandShakeError):
    """InvalidHeaderFormat as AioWebSocket raises it."""

    def __init__(self, name: str, value: str | None = None) -> None:
        InvalidHeader.__init__(self, name, value)


class ConversationHeaderValueError(InvalidHeaderValue, HandShakeError):
    """InvalidHeaderValue as AioWebSocket raises it."""


class ConversationUpgradeError(InvalidUpgrade, HandShakeError):
    """InvalidUpgrade as AioWebSocket raises it."""


class ConversationNegotiationError(NegotiationError, HandShakeError):
    """NegotiationError as AioWebSocket raises it."""


class ConversationDuplicateParameter(DuplicateParameter, HandShakeError):
    """DuplicateParameter as AioWebSocket raises it."""


class ConversationParameterNameError(InvalidParameterName, HandShakeError):
    """InvalidParameterName as AioWebSocket raises it."""


class ConversationParameterValueError(InvalidParameterValue, HandShakeError):
    """InvalidParameterValue as AioWebSocket raises it."""


_OWN: dict[type[Exception], type[Exception]] = {
    DuplicateParameter: ConversationDuplicateParameter,
    HeaderLineTooLong: ConversationHeaderLineError,
    InvalidHandshake: ConversationHandshakeError,
    InvalidHeader: ConversationHeaderError,
    InvalidHeaderFormat: ConversationHeaderFormatError,
    InvalidHeaderValue: ConversationHeaderValueError,
    InvalidMessage: ConversationMessageError,
    InvalidParameterName: ConversationParameterNameError,
    InvalidParameterValue: ConversationParameterValueError,
    InvalidProxyMessage: ConversationProxyMessageError,
    InvalidProxyStatus: ConversationProxyStatusError,
    InvalidStatus: ConversationStatusError,
    InvalidUpgrade: ConversationUpgradeError,
    NegotiationError: ConversationNegotiationError,
    ProxyError: ConversationProxyError,
    SecurityError: ConversationSecurityError,
    StatusLineTooLong: ConversationStatusLineError,
    TooManyHeaders: ConversationHeaderCountError,
}


class NotText(ValueError):
    """A message to be sent as text is not UTF-8."""


class Conversation(ClientConnection):
    """
    The connection of an AioWebSocket.

    Attributes:
        converse: What the application talks to.

    """

    converse: Converse

    def _open_exception(self, error: _core.Error) -> Exception:
        return self._own_exception(super()._open_exception(error))

    def _own_exception(self, exception: Exception) -> Exception:
        own = _OWN.get(type(exception))
        if own is None:
            return exception
        converted = own(*exception.args)
        converted.__cause__ = exception.__cause__
        converted.__dict__.update(exception.__dict__)  # notes too
        return converted

    def _map_error(self, error: _core.Error) -> BaseException:
        return NotText(error.message) if error.code == UTF8 else super()._map_error(error)

    def _closed_type(self, rcvd: Close | None, sent: Close | None) -> type[ConnectionClosed]:
        if super()._closed_type(rcvd, sent) is ConnectionClosedOK:
            return ConversationClosedOK
        if self._error is not None and self._error.code in (_core.ERRORS["PROTOCOL"], UTF8):
            return ConversationFrameError
        return ConversationClosedError


class open_conversation(connect):
    """connect as AioWebSocket uses it; the request's lines may be given as they are."""

    _connection_class = Conversation
    _text_as_bytes = True

    def _check_connection_class(self, value: object) -> type[Any]:
        if isinstance(value, type) and issubclass(value, Conversation):
            return value
        if not (isinstance(value, type) and issubclass(value, ClientConnection)):
            raise TypeError(
                "create_connection must be a subclass of aiows.ClientConnection, "
                f"got {quoted(value)}"
            )
        return type(value.__name__, (value, Conversation), {})

    def set_raw_lines(self, lines: list[str]) -> None:
        """Send these lines instead of a request made from options."""
        for name in ("headers", "subprotocols", "user_agent", "origin"):
            self._core.pop(name, None)
        self._core["raw_lines"] = lines

    def set_default_origin(self, origin: str) -> None:
        """Send this Origin unless the header fields have one, which replaces it in its place."""
        self._core["origin"] = origin
