"""
TLS for peers of which one thread reads while another writes, as websockets' blocking ones do.

OpenSSL takes one caller of a connection at a time, and CPython does not see to that: of some
1,000 connections of websockets' client one hung in its opening.
"""

from __future__ import annotations

import contextlib
import select
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

__all__ = ["one_at_a_time"]

T = TypeVar("T")


class Locked:
    """What ssl makes with __new__ alone, with a lock."""

    _lock: threading.Lock

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self._lock = threading.Lock()
        return self


class LockedSocket(Locked, ssl.SSLSocket):
    """An SSLSocket that waits outside of OpenSSL, and enters it one thread at a time."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        return self._wait(select.POLLIN, lambda: ssl.SSLSocket.recv(self, buflen, flags))

    def send(self, data: Any, flags: int = 0) -> int:  # sendall calls it
        return self._wait(select.POLLOUT, lambda: ssl.SSLSocket.send(self, data, flags))

    def shutdown(self, how: int) -> None:
        with self._lock:
            super().shutdown(how)

    def settimeout(self, value: float | None) -> None:
        with self._lock:
            super().settimeout(value)

    def _wait(self, event: int, step: Callable[[], T]) -> T:
        """Take step once it would not block, within the socket's timeout."""
        with self._lock:
            limit = self.gettimeout()
        deadline = None if limit is None else time.monotonic() + limit
        while True:
            try:
                with self._lock, self._unblocked():
                    return step()
            except ssl.SSLWantReadError:
                event = select.POLLIN
            except ssl.SSLWantWriteError:
                event = select.POLLOUT
            except BlockingIOError:  # without TLS: after shutdown
                pass
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError("timed out")
            poll = select.poll()
            poll.register(self, event)
            poll.poll(None if left is None else left * 1000)

    @contextlib.contextmanager
    def _unblocked(self) -> Any:
        limit = self.gettimeout()
        super().settimeout(0)
        try:
            yield
        finally:
            super().settimeout(limit)


class LockedObject(Locked, ssl.SSLObject):
    """The same for an SSLObject, which never waits: TLS in TLS."""

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        with self._lock:
            return super().read(len, buffer)

    def write(self, data: Any) -> int:
        with self._lock:
            return super().write(data)


def one_at_a_time(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have the connections of context be safe for several threads; return it."""
    context.sslsocket_class = LockedSocket
    context.sslobject_class = LockedObject
    return context
