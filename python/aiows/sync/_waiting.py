"""What waits for a connection in programs that replaced the system's waiting."""

from __future__ import annotations

import sys
from collections.abc import Callable


def cooperative_wait() -> Callable[..., object] | None:
    """
    Return what waits for a descriptor under gevent, None elsewhere.

    It is called with the descriptor and seconds or None; for a connection whose bytes
    Python's TLS carries also with a second descriptor, and whether to wait for that one to
    be readable and writable.

    After ``monkey.patch_all()`` the other greenlets run while one waits.

    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("select"):
        return None
    import select

    def wait(
        descriptor: int,
        seconds: float | None,
        other: int = -1,
        reading: bool = False,
        writing: bool = False,
    ) -> object:
        readers = [descriptor, other] if reading else [descriptor]
        return select.select(readers, [other] if writing else [], [], seconds)

    return wait
