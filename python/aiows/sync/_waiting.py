"""What waits for a connection in programs that replaced the system's waiting."""

from __future__ import annotations

import sys
from collections.abc import Callable


def cooperative_wait() -> Callable[[int, float | None], object] | None:
    """
    Return what waits for a descriptor under gevent, None elsewhere.

    After ``monkey.patch_all()`` the other greenlets run while one waits.

    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("select"):
        return None
    import select

    def wait(descriptor: int, seconds: float | None) -> object:
        return select.select([descriptor], [], [], seconds)

    return wait
