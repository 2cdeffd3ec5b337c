"""From the core's errors to exceptions."""

from __future__ import annotations

import errno as _errno
import re
from collections.abc import Mapping
from typing import Any

from . import _core, exceptions
from .headers import Headers
from .http11 import Request, Response

_CODES = _core.ERRORS
AGAIN = _CODES["AGAIN"]
CLOSED = _CODES["CLOSED"]
UTF8 = _CODES["UTF8"]
STATE = _CODES["STATE"]
HANDSHAKE = _CODES["HANDSHAKE"]


def request_of(info: Mapping[str, Any]) -> Request | None:
    """Return the request of a connection's info, None before there is one."""
    if not info["request_target"]:
        return None
    headers = Headers._trusted(info["request_headers"])
    # Only of what is no upgrade another one is known.
    return Request(info["request_target"], headers, info.get("request_method", "GET"))


def response_of(info: Mapping[str, Any]) -> Response | None:
    """Return the response of a connection's info, None when none came."""
    if not info["response_status"]:
        return None
    return Response(
        info["response_status"],
        info["response_reason"],
        Headers._trusted(info["response_headers"]),
        info["response_body"] or b"",
    )


def call_error(error: _core.Error) -> Exception:
    """Return what a call raises that the core refused with error."""
    code = error.code
    if code == AGAIN:
        return exceptions.WriteLimitExceeded(error.message)
    if code == STATE:
        return exceptions.ConcurrencyError(error.message)
    if code in (
        UTF8,
        _CODES["ARGUMENT"],
        _CODES["HEADER"],
        _CODES["UNSUPPORTED"],
        _CODES["TOO_BIG"],
    ):
        return ValueError(error.message)
    return _common_error(error) or _other(error)


def open_error(
    error: _core.Error,
    uri: str,
    info: Mapping[str, Any] | None,
    *,
    all_errors: bool = False,
) -> Exception:
    """
    Return why a connection could not be opened.

    With all_errors that is an ExceptionGroup where addresses did not answer. A redirect
    that could not be followed is the cause of what came of it.

    """
    # What open_timeout ended is no answer of the addresses.
    timed_out = error.message.startswith("timed out: ")
    if all_errors and info is not None and info["attempts"] and not timed_out:
        failed = [
            OSError(number, text) if number else OSError(text)
            for _, number, text in info["attempts"]
        ]
        return ExceptionGroup("create_connection failed", failed)
    exception = _open_error(error, uri, info)
    response = response_of(info) if info is not None else None
    if response is not None and 300 <= response.status_code < 400:
        if not isinstance(exception, (exceptions.InvalidStatus, exceptions.InvalidProxyStatus)):
            exception.__cause__ = exceptions.InvalidStatus(response)
    return exception


def _open_error(error: _core.Error, uri: str, info: Mapping[str, Any] | None) -> Exception:
    code = error.code
    if code == _CODES["URI"]:
        uri = without_credentials(uri)
        if info is not None and info["uri"]:
            uri = info["uri"]
        return exceptions.InvalidURI(uri, error.message)
    if code == _CODES["ARGUMENT"] and (refused := _PROXY_URL(error.message)):
        return exceptions.InvalidProxy(*refused.groups())
    if code in (_CODES["ARGUMENT"], _CODES["HEADER"], _CODES["UNSUPPORTED"]):
        return ValueError(error.message)
    if code == _CODES["ABORTED"]:
        return ConnectionAbortedError(_errno.ECONNABORTED, error.message)
    response = response_of(info) if info is not None else None
    if code == _CODES["PROXY"] and info is not None:
        return _proxy_error(error, info["proxy"], response)
    if code == _CODES["STATUS"] and response is not None:
        return exceptions.InvalidStatus(response)
    if code in (_CODES["HANDSHAKE"], _CODES["PROTOCOL"], _CODES["STATUS"]):
        return _handshake_error(error, response)
    if code == _CODES["LOST"] and not error.os_errno:
        return _no_answer(error)
    return _common_error(error) or _other(error)


def closed_cause(
    error: _core.Error | None, max_size: tuple[int | None, int | None]
) -> Exception | None:
    """Return what made a connection close, None after a clean end."""
    if error is None or error.code == 0:
        return None
    code = error.code
    if code == _CODES["TOO_BIG"]:
        fragment = "fragment" in error.message
        return exceptions.PayloadTooBig(None, max_size[1 if fragment else 0])
    if code in (_CODES["PROTOCOL"], UTF8):
        return exceptions.ProtocolError(error.message)
    if code in (_CODES["LOST"], _CODES["ABORTED"], CLOSED) and not error.os_errno:
        return None
    return _common_error(error) or _other(error)


def _common_error(error: _core.Error) -> Exception | None:
    code = error.code
    if code == _CODES["TIMEOUT"] and error.os_errno == _errno.ECONNABORTED:
        return ConnectionAbortedError(error.os_errno, error.message)
    if code in (_CODES["TIMEOUT"], _CODES["KEEPALIVE"]):
        return TimeoutError(error.message)
    if code == _CODES["RESOLVE"]:
        import socket

        return socket.gaierror(socket.EAI_NONAME, error.message)
    if code in (_CODES["TLS"], _CODES["CERTIFICATE"]):
        from ._tls_errors import certificate_error, tls_error

        make = tls_error if code == _CODES["TLS"] else certificate_error
        return make(error.message)
    if error.os_errno:
        return OSError(error.os_errno, error.message)
    if code in (_CODES["CONNECT"], _CODES["SYSTEM"], _CODES["LOST"]):
        return OSError(error.message)
    return None


def _other(error: _core.Error) -> Exception:
    return RuntimeError(error.message or str(error))


# What it says when the server left in place of an answer.
_NO_ANSWER = "closed the connection before it answered"
# How the core's texts begin, where the answer's fields alone do not tell.
_BEGINNINGS: dict[str, type[Exception]] = {
    "start line is longer": exceptions.StatusLineTooLong,
    "head has more than": exceptions.TooManyHeaders,
    "field line is longer": exceptions.HeaderLineTooLong,
    "head is longer": exceptions.SecurityError,
    "redirect from wss": exceptions.SecurityError,
    "more than": exceptions.SecurityError,
    "server chose a": exceptions.NegotiationError,
    "server accepted permessage-deflate": exceptions.NegotiationError,
    "server did not confirm": exceptions.NegotiationError,
    "server_max_window_bits": exceptions.NegotiationError,
    "client_max_window_bits": exceptions.NegotiationError,
}
# What may be wrong with a parameter of an extension, which follows as NAME or NAME=VALUE.
_PARAMETERS = re.compile(
    r"parameter of permessage-deflate "
    r"(?:is not (defined)|stands there (twice)|has no valid value): ([^=,\s]*)(?:=([^,\s]*))?"
).match


# How the core refuses the URL of a proxy; it quotes what it shows.
_PROXY_URL = re.compile(r'proxy "([^"]*)": (.*)', re.DOTALL).fullmatch


def _proxy_error(error: _core.Error, proxy: str, response: Response | None) -> Exception:
    if response is not None:
        refused = exceptions.InvalidProxyStatus(response)
        refused.msg = error.message
        return refused
    kind = exceptions.InvalidProxyMessage if proxy.startswith("http") else exceptions.ProxyError
    return kind(error.message)


def _handshake_error(error: _core.Error, response: Response | None) -> Exception:
    if found := _PARAMETERS(error.message):
        undefined, twice, name, value = found.groups()
        if undefined:
            return _because(error, exceptions.InvalidParameterName(name))
        if twice:
            return _because(error, exceptions.DuplicateParameter(name))
        return _because(error, exceptions.InvalidParameterValue(name, value))
    chosen = ", ".join(response.headers.get_all("Sec-WebSocket-Protocol")) if response else ""
    if "," in chosen and ("chose a sub" in error.message or "Sec-WebSocket-P" in error.message):
        exception = exceptions.InvalidHeader("Sec-WebSocket-Protocol", f"several values: {chosen}")
        return _because(error, exception)
    for beginning, kind in _BEGINNINGS.items():
        if error.message.startswith(beginning):
            return kind(error.message)
    if response is None and (error.os_errno or _NO_ANSWER in error.message):
        return _no_answer(error)
    if response is None or response.status_code != 101:
        return exceptions.InvalidMessage(error.message)
    headers = response.headers
    for name, token in (("Upgrade", "websocket"), ("Connection", "upgrade")):
        values = headers.get_all(name)
        words = [word.strip().lower() for value in values for word in value.split(",")]
        if token not in words or error.message.startswith(f"{name} field"):
            return _because(error, exceptions.InvalidUpgrade(name, ", ".join(values) or None))
    accept = headers.get_all("Sec-WebSocket-Accept")
    if not accept:
        return _because(error, exceptions.InvalidHeader("Sec-WebSocket-Accept"))
    if len(accept) > 1:
        value = f"several values: {', '.join(accept)}"
        return _because(error, exceptions.InvalidHeader("Sec-WebSocket-Accept", value))
    if error.message.startswith("Sec-WebSocket-Extensions is malformed"):
        name = "Sec-WebSocket-Extensions"
        value = ", ".join(headers.get_all(name))
        return _because(
            error, exceptions.InvalidHeaderFormat(name, "expected a list of extensions", value, 0)
        )
    for name in ("Sec-WebSocket-Accept", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"):
        if name in error.message:
            value = ", ".join(headers.get_all(name))
            return _because(error, exceptions.InvalidHeaderValue(name, value))
    return exceptions.InvalidHandshake(error.message)


def _no_answer(error: _core.Error) -> Exception:
    # process_exception tells by the cause that the server is not the one to blame.
    exception = exceptions.InvalidMessage(error.message)
    exception.__cause__ = EOFError(error.message)
    return exception


def _because(error: _core.Error, exception: Exception) -> Exception:
    exception.add_note(error.message)
    return exception


def without_credentials(uri: str) -> str:
    """Return uri without what may be user and password."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri.rpartition("@")[2]
    if "@" not in rest:
        return uri
    return scheme + separator + rest.rpartition("@")[2]
