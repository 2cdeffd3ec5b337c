"""The lines of HTTP heads in logs, for what the core does not log: requests that are refused."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ._options import LoggerLike

_WORDS = "auth|cookie|credential|key|passw|secret|session|signature|token"
# As libws/secrets.go has it.
_is_secret = re.compile(rf"(?!sec-websocket-).*({_WORDS})", re.IGNORECASE).match
_hide_user = re.compile(r"(?<=://)[^/?#\s]*@").sub
_hide_parameter = re.compile(
    rf"(?<=[?&])([^=&?#\s\"]*(?:{_WORDS})[^=&?#\s\"]*)=[^&?#\s\"]*", re.IGNORECASE
).sub
_MOST = 512  # characters of a line


def log_head(logger: LoggerLike, arrow: str, start: str, fields: Iterable[tuple[str, str]]) -> None:
    """Log a head at DEBUG, a line each, without what is secret in fields and URIs."""
    lines = [start]
    for name, value in fields:
        lines.append(f"{name}: {'***' if _is_secret(name) else value}")
    for line in lines:
        shown = _hide_parameter(r"\1=***", _hide_user("***@", line))
        if len(shown) > _MOST:
            shown = shown[:_MOST] + "..."
        # No line feed of a peer's may end a line of the log.
        logger.debug("%s %s", arrow, shown.encode("unicode_escape").decode())
