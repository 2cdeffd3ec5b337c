"""The commands of ``python -m aiows``."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """Exit status of ``aiows connect``."""

    CLOSED = 0
    NOT_OPENED = 1
    USAGE = 2
    CLOSED_WITH_ERROR = 3
    LOST = 4
    INTERRUPTED = 130
    PIPE_BROKEN = 141


STATUS_HELP = (
    "exit status: 0 closed in order; 1 not opened, or input that cannot be sent; 2 wrong use; "
    "3 closed with another code than 1000 or 1001; 4 lost without a closing; "
    "130 interrupted; 141 nobody reads the output"
)
