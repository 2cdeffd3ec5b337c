"""
Loading of libaiows, at the first connection or server.

Importing aiows loads nothing, so that a program may import, fork, and use it
in the children.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from . import _core

_PATH = Path(__file__).with_name("libaiows.so")
_lock = threading.Lock()
_loaded = False

# A runtime that cannot open its descriptors or map its heap while it starts
# ends the process, so both are tried before.
_DESCRIPTORS = 8
_ADDRESS_SPACE = 1 << 30


def load() -> None:
    """
    Load the library unless it is.

    Raises:
        ImportError: The library is missing, or of another ABI.
        OSError: Too few descriptors or too little address space are left.

    """
    global _loaded
    if _loaded:
        return
    with _lock:
        if _loaded:
            return
        _check_limits()
        _core.load(os.fspath(_PATH))
        os.register_at_fork(after_in_child=_after_fork)
        _loaded = True


def version() -> str:
    """Return the version of the library, loading it."""
    load()
    return _core.version()


def _check_limits() -> None:
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < _ADDRESS_SPACE:
        raise OSError(
            f"{limit} bytes of address space (ulimit -v), expected at least {_ADDRESS_SPACE}"
        )
    taken = []
    try:
        for _ in range(_DESCRIPTORS):
            taken.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    finally:
        for descriptor in taken:
            os.close(descriptor)


def _after_fork() -> None:
    # Another thread of the parent may have held the locks. The library itself
    # stays loaded and answers every call with an error from now on.
    global _lock
    _lock = threading.Lock()
    # Only a program that uses asyncio has imported this one.
    loops = sys.modules.get("aiows._loop")
    if loops is not None:
        loops.after_fork()
