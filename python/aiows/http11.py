"""The HTTP messages of an opening handshake (RFC 6455 section 4)."""

from __future__ import annotations

import dataclasses

from .headers import Headers

__all__ = ["Request", "Response"]


@dataclasses.dataclass
class Request:
    """
    Upgrade request.

    Attributes:
        path: Request target: path and query.
        headers: Fields in the order sent or received.
        method: Always GET in a valid handshake.
        protocol: Always HTTP/1.1 in what this library sends.

    """

    path: str
    headers: Headers
    method: str = "GET"
    protocol: str = "HTTP/1.1"


@dataclasses.dataclass
class Response:
    """
    Answer to an upgrade request.

    Attributes:
        status_code: 101 when the connection was opened.
        reason_phrase: Text beside the status.
        headers: Fields in the order sent or received.
        body: Body of an answer other than 101, cut at 64 KiB.

    """

    status_code: int
    reason_phrase: str
    headers: Headers
    body: bytes = b""
