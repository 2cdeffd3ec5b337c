"""
Exceptions, with the names and bases of those in websockets.

::

    WebSocketException
    ├── ConnectionClosed
    │   ├── ConnectionClosedOK
    │   └── ConnectionClosedError
    ├── InvalidURI (also ValueError)
    ├── InvalidProxy
    ├── InvalidHandshake
    │   ├── SecurityError
    │   │   ├── RequestLineTooLong
    │   │   ├── StatusLineTooLong
    │   │   ├── HeaderLineTooLong
    │   │   └── TooManyHeaders
    │   ├── ProxyError
    │   │   ├── InvalidProxyMessage
    │   │   └── InvalidProxyStatus
    │   ├── InvalidMessage
    │   ├── InvalidMethod
    │   ├── InvalidProtocol
    │   ├── InvalidStatus
    │   ├── InvalidHeader
    │   │   ├── InvalidHeaderFormat
    │   │   ├── InvalidHeaderValue
    │   │   ├── InvalidOrigin
    │   │   └── InvalidUpgrade
    │   └── NegotiationError
    │       ├── DuplicateParameter
    │       ├── InvalidParameterName
    │       └── InvalidParameterValue
    ├── ProtocolError
    ├── PayloadTooBig
    ├── TooManyFragments
    ├── InvalidState (also AssertionError)
    ├── ConcurrencyError (also RuntimeError)
    └── WriteLimitExceeded

    HandShakeError, FrameError (the names of aiowebsocket; only AioWebSocket
    raises subclasses of them, see aiows.converses)

All of them survive pickle and copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ._quoting import quoted, shortened
from .close_codes import Close, CloseCode

if TYPE_CHECKING:
    from .http11 import Response

__all__ = [
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DuplicateParameter",
    "FrameError",
    "HandShakeError",
    "HeaderLineTooLong",
    "InvalidHandshake",
    "InvalidHeader",
    "InvalidHeaderFormat",
    "InvalidHeaderValue",
    "InvalidMessage",
    "InvalidMethod",
    "InvalidOrigin",
    "InvalidParameterName",
    "InvalidParameterValue",
    "InvalidProtocol",
    "InvalidProxy",
    "InvalidProxyMessage",
    "InvalidProxyStatus",
    "InvalidState",
    "InvalidStatus",
    "InvalidURI",
    "InvalidUpgrade",
    "NegotiationError",
    "PayloadTooBig",
    "ProtocolError",
    "ProxyError",
    "RequestLineTooLong",
    "SecurityError",
    "StatusLineTooLong",
    "TooManyFragments",
    "TooManyHeaders",
    "WebSocketException",
    "WriteLimitExceeded",
]

_E = TypeVar("_E", bound=BaseException)


def _rebuild(cls: type[_E], args: tuple[Any, ...], state: dict[str, Any]) -> _E:
    exception: _E = cls.__new__(cls, *args)
    exception.args = args
    exception.__dict__.update(state)
    return exception


class WebSocketException(Exception):
    """Base of every exception that is particular to WebSocket."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Not through __init__: several make their text from other arguments,
        # and keyword arguments never reach args.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class ConnectionClosed(WebSocketException):
    """
    The connection is closed.

    Attributes:
        rcvd: What the peer's Close frame said, None when none came.
        sent: What our Close frame said, None when none was sent.
        rcvd_then_sent: True when the peer's came first, False when ours did,
            None unless both exist.

    """

    def __init__(
        self, rcvd: Close | None, sent: Close | None, rcvd_then_sent: bool | None = None
    ) -> None:
        if (rcvd_then_sent is None) != (rcvd is None or sent is None):
            raise ValueError("rcvd_then_sent goes with both rcvd and sent, or with neither")
        # Not super(): a subclass with a second base has another __init__ there.
        Exception.__init__(self, rcvd, sent, rcvd_then_sent)
        self.rcvd = rcvd
        self.sent = sent
        self.rcvd_then_sent = rcvd_then_sent

    @property
    def code(self) -> int:
        """Close code received, 1006 when no Close frame came."""
        return CloseCode.ABNORMAL_CLOSURE if self.rcvd is None else self.rcvd.code

    @property
    def reason(self) -> str:
        """Close reason received, empty when no Close frame came."""
        return "" if self.rcvd is None else self.rcvd.reason

    def __str__(self) -> str:
        if self.rcvd is None and self.sent is None:
            return "connection lost without a close handshake"
        if self.rcvd is None:
            return f"sent close {self.sent}, received none"
        if self.sent is None:
            return f"received close {self.rcvd}, sent none"
        if self.rcvd_then_sent:
            return f"closed by the peer with {self.rcvd}, answered {self.sent}"
        return f"closed by this side with {self.sent}, answered {self.rcvd}"


class ConnectionClosedOK(ConnectionClosed):
    """The connection was closed in order: 1000, 1001 or no code, both ways."""


class ConnectionClosedError(ConnectionClosed):
    """The connection was closed with another code, or lost."""


class InvalidURI(WebSocketException, ValueError):
    """
    The URI is not a WebSocket URI (RFC 6455 section 3).

    Attributes:
        uri: The URI, without credentials.
        msg: What is wrong with it.

    """

    def __init__(self, uri: str, msg: str) -> None:
        super().__init__(uri, msg)
        self.uri = uri
        self.msg = msg

    def __str__(self) -> str:
        return f"invalid URI {quoted(self.uri)}: {self.msg}"


class InvalidProxy(WebSocketException):
    """
    The proxy's URL cannot be used.

    Attributes:
        proxy: The URL, without credentials.
        msg: What is wrong with it.

    """

    def __init__(self, proxy: str, msg: str) -> None:
        super().__init__(proxy, msg)
        self.proxy = proxy
        self.msg = msg

    def __str__(self) -> str:
        return f"invalid proxy {quoted(self.proxy)}: {self.msg}"


class InvalidHandshake(WebSocketException):
    """The opening handshake failed (RFC 6455 section 4)."""


class SecurityError(InvalidHandshake):
    """The peer's handshake exceeds a limit."""


class RequestLineTooLong(SecurityError):
    """The request line exceeds 8 KiB."""


class StatusLineTooLong(SecurityError):
    """The status line exceeds 8 KiB."""


class HeaderLineTooLong(SecurityError):
    """A header field exceeds 8 KiB."""


class TooManyHeaders(SecurityError):
    """There are more than 128 header fields."""


class ProxyError(InvalidHandshake):
    """The proxy did not open a way to the server."""


class InvalidProxyMessage(ProxyError):
    """The proxy's answer is malformed."""


class InvalidProxyStatus(ProxyError):
    """
    The proxy refused.

    Attributes:
        response: Its answer.
        msg: What it refused, naming the proxy; empty when nobody said.

    """

    msg = ""

    def __init__(self, response: Response) -> None:
        # Not super(): a subclass with a second base has another __init__ there.
        Exception.__init__(self, response)
        self.response = response

    def __str__(self) -> str:
        if self.msg:
            return self.msg
        return f"proxy answered {_status(self.response)}, expected 2xx"


class InvalidMessage(InvalidHandshake):
    """The peer's handshake is not HTTP/1.1, or ended early."""


class InvalidMethod(InvalidHandshake):
    """
    The request's method is not GET.

    Attributes:
        method: The method.

    """

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self.method = method

    def __str__(self) -> str:
        return f"HTTP method {quoted(self.method)}, expected GET"


class InvalidProtocol(InvalidHandshake):
    """
    The request's protocol is not HTTP/1.1.

    Attributes:
        protocol: The protocol.

    """

    def __init__(self, protocol: str) -> None:
        super().__init__(protocol)
        self.protocol = protocol

    def __str__(self) -> str:
        return f"protocol {quoted(self.protocol)}, expected HTTP/1.1"


class InvalidStatus(InvalidHandshake):
    """
    The server answered with a status other than 101.

    Attributes:
        response: The answer: status, header fields, body.

    """

    def __init__(self, response: Response) -> None:
        # Not super(): a subclass with a second base has another __init__ there.
        Exception.__init__(self, response)
        self.response = response

    def __str__(self) -> str:
        return f"server answered {_status(self.response)}, expected 101"


class InvalidHeader(InvalidHandshake):
    """
    A header field of the handshake is missing or wrong.

    Attributes:
        name: Its name.
        value: Its value, None when it is missing.

    """

    def __init__(self, name: str, value: str | None = None) -> None:
        super().__init__(name, value)
        self.name = name
        self.value = value

    def __str__(self) -> str:
        if self.value is None:
            return f"header field {self.name} is missing"
        if not self.value:
            return f"header field {self.name} is empty"
        return f"header field {self.name} has the value {quoted(self.value)}"


class InvalidHeaderFormat(InvalidHeader):
    """A header field does not follow its grammar."""

    def __init__(self, name: str, error: str, header: str, pos: int) -> None:
        super().__init__(name, f"{error} at {pos} in {header}")


class InvalidHeaderValue(InvalidHeader):
    """A header field follows its grammar, but its value is wrong."""


class InvalidOrigin(InvalidHeader):
    """The Origin is not among the allowed ones."""

    def __init__(self, origin: str | None) -> None:
        super().__init__("Origin", origin)


class InvalidUpgrade(InvalidHeader):
    """Upgrade or Connection does not ask for, or agree to, websocket."""


class NegotiationError(InvalidHandshake):
    """The peers do not agree on a subprotocol or an extension."""


class DuplicateParameter(NegotiationError):
    """
    A parameter of an extension occurs twice.

    Attributes:
        name: Its name.

    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"parameter {self.name} occurs twice"


class InvalidParameterName(NegotiationError):
    """
    A parameter of an extension is unknown.

    Attributes:
        name: Its name.

    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"unknown parameter {self.name}"


class InvalidParameterValue(NegotiationError):
    """
    A parameter of an extension has a value that is not allowed.

    Attributes:
        name: Its name.
        value: Its value, None when it has none.

    """

    def __init__(self, name: str, value: str | None) -> None:
        super().__init__(name, value)
        self.name = name
        self.value = value

    def __str__(self) -> str:
        if self.value is None:
            return f"parameter {self.name} needs a value"
        return f"parameter {self.name} has the value {quoted(self.value)}"


class ProtocolError(WebSocketException):
    """A frame breaks RFC 6455, or would."""


class PayloadTooBig(WebSocketException):
    """
    A message exceeds the size limit.

    Attributes:
        size: Bytes of the frame, None when unknown.
        max_size: The limit in bytes.
        current_size: Bytes of the message before that frame, None when unknown.

    """

    def __init__(
        self, size: int | None, max_size: int | None = None, current_size: int | None = None
    ) -> None:
        super().__init__(size, max_size, current_size)
        self.size = size
        self.max_size = max_size
        self.current_size = current_size

    def __str__(self) -> str:
        text = "message" if self.size is None else f"frame of {self.size} bytes"
        if self.current_size is not None:
            text += f" after {self.current_size} bytes of the message"
        limit = "the limit" if self.max_size is None else f"the limit of {self.max_size} bytes"
        return f"{text} exceeds {limit}"


class TooManyFragments(WebSocketException):
    """
    A message comes in too many frames.

    Attributes:
        max_fragments: The limit.

    """

    def __init__(self, max_fragments: int) -> None:
        super().__init__(max_fragments)
        self.max_fragments = max_fragments

    def __str__(self) -> str:
        return f"message in more than {self.max_fragments} frames"


class InvalidState(WebSocketException, AssertionError):
    """The state of the connection does not allow this."""


class ConcurrencyError(WebSocketException, RuntimeError):
    """Two tasks receive, or send parts of messages, at once."""


class WriteLimitExceeded(WebSocketException):
    """More bytes wait to be sent than the write limit allows; nothing was queued."""


class HandShakeError(Exception):
    """The opening handshake of an AioWebSocket failed."""


class FrameError(Exception):
    """The peer of an AioWebSocket broke the protocol."""


def _status(response: Response) -> str:
    status = f"{response.status_code} {response.reason_phrase}".rstrip()
    # A surrogate, which stands for what is not UTF-8, could not be printed.
    return shortened(status.encode(errors="backslashreplace").decode())
