"""What tests of blocking connections wait with."""

from __future__ import annotations

import time
from collections.abc import Callable

# Far above what anything takes: it only ends what hangs.
HANG_S = 60.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
