"""The bars: what aiows has to reach, each in one line, and nowhere else.

A bar compares the median of one number of a cell with a limit. It is met when the
interval of the median reaches the limit: its favourable end decides.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        cell: Name of the cell, as ``--list`` shows it.
        rival: Whom aiows is compared with, "best" for the best of all in the
            cell, None when the limit is a number by itself.
        limit: The limit of ours / theirs, or of ours without a rival.
        number: Which number of the rounds.
        at_least: The limit is to be reached from above.

    """

    cell: str
    rival: str | None
    limit: float
    number: str = "cpu_us"
    at_least: bool = False


BARS = (
    Bar("echo/256/1/callback", "picows", 1.05),
    Bar("echo/256/10/callback", "picows", 0.95),
    Bar("echo/256/200/callback", "picows", 0.85),
    Bar("echo/256/2000/callback", "picows", 0.75),
    Bar("echo/256/1/await", "picows.websockets", 0.8),
    Bar("echo/256/10/await", "picows.websockets", 0.7),
    Bar("echo/256/200/await", "picows.websockets", 0.65),
    Bar("echo/256/1/sync", "websocket-client", 0.6),
    Bar("flood/128/iterate", "best", 0.8),
    Bar("flood/8192/iterate", "best", 1.0),
    Bar("flood/1048576/iterate", "best", 1.0),
    Bar("echo/256/10/callback/wss", "picows", 1.25),
    Bar("flood/8192/callback/wss", "picows", 1.3),
    Bar("serve/256/500", "picows", 0.9),
    Bar("idle/5000", None, 8.0, number="connection_kib"),
    Bar("handshakes", "picows", 1.2, number="per_second", at_least=True),
    Bar("json/128", "websockets", 0.6),
    Bar("json/128", "websockets", 1.25, number="sent_bytes"),
    Bar("json/1024", "websockets", 0.6),
    Bar("json/1024", "websockets", 1.1, number="sent_bytes"),
    Bar("json/16384", "websockets", 0.6),
    Bar("json/16384", "websockets", 1.1, number="sent_bytes"),
    Bar("exchanged/2000", None, 48.0, number="connection_kib"),
    Bar("exchanged/2000/c", None, 40.0, number="connection_kib"),
)
