"""What tests wait with where no event loop does."""

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


def settled(count: Callable[[], int]) -> int:
    """Return what count gives once it has stayed the same for a tenth of a second."""
    found, since = count(), time.monotonic()
    while time.monotonic() < since + 0.1:
        time.sleep(0.002)
        if (now := count()) != found:
            found, since = now, time.monotonic()
    return found
