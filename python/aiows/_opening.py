"""The opening handshake of a server where the application has a say."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from ._quoting import quoted
from .exceptions import InvalidHandshake, InvalidOrigin, NegotiationError
from .headers import Headers
from .http11 import Response

if TYPE_CHECKING:
    from .http11 import Request
    from .server import ServerConnection

    ProcessRequest: TypeAlias = Callable[
        [ServerConnection, Request], Awaitable[Response | None] | Response | None
    ]
    ProcessResponse: TypeAlias = Callable[
        [ServerConnection, Request, Response], Awaitable[Response | None] | Response | None
    ]
    SelectSubprotocol: TypeAlias = Callable[[ServerConnection, list[str]], str | None]

__all__ = ["Opening", "Origins", "origin_list", "plain_response"]

Origins: TypeAlias = tuple["str | re.Pattern[str] | None", ...]

_FAILED = "Failed to open a WebSocket connection.\nSee server log for more information.\n"


class Opening:
    """
    What decides about requests.

    Attributes:
        origins: What the Origin field may be, None for anything.
        subprotocols: Those supported, preferred ones first.
        select_subprotocol: Chooses instead of the order above.
        process_request: May answer in place of the handshake.
        process_response: May change or replace the answer.
        server_header: The Server field of answers, None for none.

    """

    def __init__(
        self,
        *,
        origins: Origins | None,
        subprotocols: list[str],
        select_subprotocol: SelectSubprotocol | None,
        process_request: ProcessRequest | None,
        process_response: ProcessResponse | None,
        server_header: str | None,
    ) -> None:
        self.origins = origins
        self.subprotocols = subprotocols
        self.select_subprotocol = select_subprotocol
        self.process_request = process_request
        self.process_response = process_response
        self.server_header = server_header

    def accepts_all(self) -> bool:
        """Return whether every request is accepted, with nothing to choose."""
        return (
            self.origins is None
            and not self.subprotocols
            and self.select_subprotocol is None
            and self.process_request is None
            and self.process_response is None
        )

    def decide(
        self,
        connection: ServerConnection,
        request: Request,
        offered: list[str],
        refusal: tuple[int, str, list[tuple[str, str]]] | None,
    ) -> Generator[Awaitable[Any], Any, Response]:
        """
        Return the answer to a request, with status 101 to accept it.

        A generator, so that only what is asynchronous needs a task: it yields
        what has to be awaited and expects the result, or the exception.

        """
        response: Response | None = None
        if self.process_request is not None:
            try:
                found = self.process_request(connection, request)
                response = (yield found) if isinstance(found, Awaitable) else found
                _check_response("process_request", response)
            except Exception:
                connection.logger.error("process_request failed", exc_info=True)
                response = plain_response(500, _FAILED)
        if response is None and refusal is not None:
            # It is no upgrade, as the core found.
            status, why, fields = refusal
            response = plain_response(status, f"{why}\n")
            for name, value in fields:
                if name not in response.headers:
                    response.headers[name] = value
        elif response is None:
            response = self._negotiate(connection, request, offered)
        if self.server_header is not None and "Server" not in response.headers:
            response.headers["Server"] = self.server_header
        if self.process_response is not None:
            connection._response = response
            try:
                found = self.process_response(connection, request, response)
                other = (yield found) if isinstance(found, Awaitable) else found
                _check_response("process_response", other)
            except Exception:
                connection.logger.error("process_response failed", exc_info=True)
                other = plain_response(500, _FAILED)
            if other is not None:
                response = other
        return response

    def _negotiate(
        self, connection: ServerConnection, request: Request, offered: list[str]
    ) -> Response:
        try:
            self._check_origin(request)
            subprotocol = self._choose(connection, offered)
        except InvalidOrigin as error:
            return plain_response(403, f"{error}\n")
        except InvalidHandshake as error:
            return plain_response(400, f"{error}\n")
        except Exception:
            connection.logger.error("select_subprotocol failed", exc_info=True)
            return plain_response(500, _FAILED)
        headers = Headers()
        if subprotocol is not None:
            headers["Sec-WebSocket-Protocol"] = subprotocol
        return Response(101, "Switching Protocols", headers)

    def _check_origin(self, request: Request) -> None:
        # RFC 6455 section 10.2; more than one Origin field the core refuses.
        if self.origins is None:
            return
        origin = request.headers.get("Origin")
        for allowed in self.origins:
            if isinstance(allowed, re.Pattern):
                if origin is not None and allowed.fullmatch(origin) is not None:
                    return
            elif allowed == origin:
                return
        raise InvalidOrigin(origin)

    def _choose(self, connection: ServerConnection, offered: list[str]) -> str | None:
        if self.select_subprotocol is not None:
            chosen = self.select_subprotocol(connection, offered)
            if chosen is not None and chosen not in offered:
                raise ValueError(
                    f"select_subprotocol returned {quoted(chosen)}, "
                    f"expected None or one of {quoted(offered)}"
                )
            return chosen
        if not self.subprotocols:
            return None
        for name in self.subprotocols:
            if name in offered:
                return name
        raise NegotiationError(f"expected a subprotocol of: {', '.join(self.subprotocols)}")


def plain_response(status: int, text: str) -> Response:
    """
    Return a response of plain text.

    Raises:
        ValueError: status is no HTTP status.

    """
    # Both are slow to import, and many servers never refuse anyone.
    import email.utils
    import http

    found = http.HTTPStatus(status)
    headers = Headers(
        [
            ("Date", email.utils.formatdate(usegmt=True)),
            ("Content-Type", "text/plain; charset=utf-8"),
        ]
    )
    return Response(found.value, found.phrase, headers, text.encode())


def answer_fields(response: Response) -> tuple[list[tuple[str, str]], str | None]:
    """Return the fields to add to what the core sends, and the subprotocol."""
    # The core writes these itself; an answer made elsewhere has them, too.
    left_out = {"sec-websocket-protocol"}
    if response.status_code != 101:
        left_out = {"connection", "content-length"}
    fields = [
        (name, value)
        for name, value in response.headers.raw_items()
        if name.lower() not in left_out
    ]
    subprotocol = response.headers.get("Sec-WebSocket-Protocol")
    return fields, subprotocol if response.status_code == 101 else None


def origin_list(value: object) -> Origins | None:
    """
    Return origins: str, compiled patterns, and None for a request without one.

    Raises:
        TypeError: Something else.

    """
    if value is None:
        return None
    if isinstance(value, (str, bytes, re.Pattern)) or not isinstance(value, Iterable):
        raise TypeError(f"origins must be a list of str, patterns and None, got {quoted(value)}")
    origins = tuple(value)
    for origin in origins:
        if isinstance(origin, re.Pattern) and isinstance(origin.pattern, str):
            continue
        if origin is not None and not isinstance(origin, str):
            raise TypeError(
                f"origins must hold str, patterns of str and None, got {quoted(origin)}"
            )
    return origins


def _check_response(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, Response):
        raise TypeError(f"{name} returned {quoted(value)}, expected a Response or None")
    if value.status_code != 101 and not 200 <= value.status_code <= 599:
        raise ValueError(
            f"{name} returned status {quoted(value.status_code)}, expected 101 or 200 to 599"
        )
