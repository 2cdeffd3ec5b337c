"""
WebSocket client and server for asyncio on a core in Go.

Importing this package starts nothing: the core is loaded at the first
connection or server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .version import __version__ as __version__

if TYPE_CHECKING:
    from ._stats import ConnectionStats as ConnectionStats
    from .client import ClientConnection as ClientConnection
    from .client import connect as connect
    from .client import unix_connect as unix_connect
    from .close_codes import Close as Close
    from .close_codes import CloseCode as CloseCode
    from .connection import Connection as Connection
    from .connection import Data as Data
    from .connection import DataLike as DataLike
    from .connection import State as State
    from .converses import AioWebSocket as AioWebSocket
    from .converses import AioWebsocket as AioWebsocket
    from .converses import Converse as Converse
    from .exceptions import ConcurrencyError as ConcurrencyError
    from .exceptions import ConnectionClosed as ConnectionClosed
    from .exceptions import ConnectionClosedError as ConnectionClosedError
    from .exceptions import ConnectionClosedOK as ConnectionClosedOK
    from .exceptions import DuplicateParameter as DuplicateParameter
    from .exceptions import FrameError as FrameError
    from .exceptions import HandShakeError as HandShakeError
    from .exceptions import HeaderLineTooLong as HeaderLineTooLong
    from .exceptions import InvalidHandshake as InvalidHandshake
    from .exceptions import InvalidHeader as InvalidHeader
    from .exceptions import InvalidHeaderFormat as InvalidHeaderFormat
    from .exceptions import InvalidHeaderValue as InvalidHeaderValue
    from .exceptions import InvalidMessage as InvalidMessage
    from .exceptions import InvalidMethod as InvalidMethod
    from .exceptions import InvalidOrigin as InvalidOrigin
    from .exceptions import InvalidParameterName as InvalidParameterName
    from .exceptions import InvalidParameterValue as InvalidParameterValue
    from .exceptions import InvalidProtocol as InvalidProtocol
    from .exceptions import InvalidProxy as InvalidProxy
    from .exceptions import InvalidProxyMessage as InvalidProxyMessage
    from .exceptions import InvalidProxyStatus as InvalidProxyStatus
    from .exceptions import InvalidState as InvalidState
    from .exceptions import InvalidStatus as InvalidStatus
    from .exceptions import InvalidUpgrade as InvalidUpgrade
    from .exceptions import InvalidURI as InvalidURI
    from .exceptions import NegotiationError as NegotiationError
    from .exceptions import PayloadTooBig as PayloadTooBig
    from .exceptions import ProtocolError as ProtocolError
    from .exceptions import ProxyError as ProxyError
    from .exceptions import RequestLineTooLong as RequestLineTooLong
    from .exceptions import SecurityError as SecurityError
    from .exceptions import StatusLineTooLong as StatusLineTooLong
    from .exceptions import TooManyFragments as TooManyFragments
    from .exceptions import TooManyHeaders as TooManyHeaders
    from .exceptions import WebSocketException as WebSocketException
    from .exceptions import WriteLimitExceeded as WriteLimitExceeded
    from .headers import Headers as Headers
    from .headers import HeadersLike as HeadersLike
    from .headers import MultipleValuesError as MultipleValuesError
    from .http11 import Request as Request
    from .http11 import Response as Response
    from .server import Server as Server
    from .server import ServerConnection as ServerConnection
    from .server import serve as serve
    from .server import unix_serve as unix_serve
    from .tls import SSLContext as SSLContext
    from .tls import create_default_context as create_default_context

_MODULES = {
    "_stats": ("ConnectionStats",),
    "client": ("ClientConnection", "connect", "unix_connect"),
    "close_codes": ("Close", "CloseCode"),
    "connection": ("Connection", "Data", "DataLike", "State"),
    "converses": ("AioWebSocket", "AioWebsocket", "Converse"),
    "exceptions": (
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
        "InvalidUpgrade",
        "InvalidURI",
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
    ),
    "headers": ("Headers", "HeadersLike", "MultipleValuesError"),
    "http11": ("Request", "Response"),
    "server": ("Server", "ServerConnection", "serve", "unix_serve"),
    "tls": ("SSLContext", "create_default_context"),
}
_ORIGINS = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_ORIGINS)


def __getattr__(name: str) -> object:
    module = _ORIGINS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ORIGINS})
