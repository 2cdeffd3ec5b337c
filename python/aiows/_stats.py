"""What a connection counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["ConnectionStats"]


@dataclasses.dataclass(frozen=True, slots=True)
class ConnectionStats:
    """
    What a connection counted until it was asked, or until its end.

    Attributes:
        messages_received, messages_sent: Whole messages.
        frames_received, frames_sent: Frames, control frames included.
        bytes_received, bytes_sent: Bytes of the socket, before TLS.
        message_bytes_received, message_bytes_sent: Bytes of messages.
        payload_bytes_received, payload_bytes_sent: Bytes of the frames that
            carried them: the same, unless compression was negotiated.
        bytes_ahead: Bytes read while the connection was paused or the event
            loop blocked.
        queued: Messages that wait for recv.
        buffered: Bytes that wait to be sent.
        latency: Round trip of the newest answered ping in seconds, 0.0 before
            the first.
        rtt_samples: Answered pings, those of keepalive and those of ping().
        rtt_p50, rtt_p90, rtt_p99: Percentiles of their round trips in seconds,
            off by at most 1/16; of very many the newer ones weigh more.
        rtt_max: The longest.

    """

    messages_received: int
    messages_sent: int
    frames_received: int
    frames_sent: int
    bytes_received: int
    bytes_sent: int
    message_bytes_received: int
    message_bytes_sent: int
    payload_bytes_received: int
    payload_bytes_sent: int
    bytes_ahead: int
    queued: int
    buffered: int
    latency: float
    rtt_samples: int
    rtt_p50: float
    rtt_p90: float
    rtt_p99: float
    rtt_max: float

    @property
    def compression_received(self) -> float:
        """How much compression saved of what was received: 0.0 nothing, 0.9 nine tenths."""
        return _saved(self.message_bytes_received, self.payload_bytes_received)

    @property
    def compression_sent(self) -> float:
        """How much compression saved of what was sent: 0.0 nothing, 0.9 nine tenths."""
        return _saved(self.message_bytes_sent, self.payload_bytes_sent)


def _saved(before: int, after: int) -> float:
    return 1 - after / before if before else 0.0


# What the core counts in nanoseconds.
_TIMES = ("rtt_p50", "rtt_p90", "rtt_p99", "rtt_max")
_COUNTS = [
    field.name
    for field in dataclasses.fields(ConnectionStats)
    if field.name not in (*_TIMES, "queued", "buffered", "latency")
]


def stats_of(
    counted: Mapping[str, int], *, queued: int, buffered: int, latency: float
) -> ConnectionStats:
    """Return what the core counted, nothing for what it did not, as ConnectionStats."""
    values: dict[str, Any] = {name: counted.get(name, 0) for name in _COUNTS}
    values |= {name: counted.get(f"{name}_ns", 0) / 1e9 for name in _TIMES}
    return ConnectionStats(**values, queued=queued, buffered=buffered, latency=latency)
