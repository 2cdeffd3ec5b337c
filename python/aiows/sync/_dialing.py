"""Sockets for connections whose TLS Python does: opened here, within the time for opening."""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from .._connecting import bind, failure, interleaved

__all__ = ["Expired", "Limit", "connect_host", "connect_unix", "resolve", "wait_for"]

_Entry: TypeAlias = tuple[Any, ...]  # of getaddrinfo
_FULL_S = 0.01  # until a Unix socket whose backlog is full is tried again


class Expired(Exception):
    """The time for opening is over."""


class Limit:
    """
    When the time is over.

    Args:
        seconds: From now on, None for no limit.

    """

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds left, None for no limit. Raises Expired."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise Expired
        return left


def wait_for(sock: socket.socket, events: int, limit: Limit) -> None:
    """Wait until sock is ready for events of select.poll. Raises Expired."""
    while not _wait({sock.fileno(): events}, limit.left()):
        pass


def _wait(wanted: dict[int, int], seconds: float | None) -> list[int]:
    poll = select.poll()
    for fd, events in wanted.items():
        poll.register(fd, events)
    # Rounded up, so that a wait is not repeated for a fraction.
    found = poll.poll(None if seconds is None else int(seconds * 1000) + 1)
    return [fd for fd, _ in found]


def resolve(host: str, port: int, family: int, limit: Limit) -> list[_Entry]:
    """
    Return the addresses of host.

    Raises:
        socket.gaierror: There are none.
        Expired: The system did not answer in time. Its call cannot be interrupted, so
            that a name, which is no address, has a thread for the length of it.

    """
    kind = socket.SOCK_STREAM
    with contextlib.suppress(socket.gaierror):
        return list(socket.getaddrinfo(host, port, family, kind, 0, socket.AI_NUMERICHOST))
    found: list[Any] = []
    done = threading.Event()

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, family, kind))
        except Exception as error:
            found.append(error)
        done.set()

    if limit.left() is None:
        ask()
    else:
        threading.Thread(target=ask, daemon=True, name="aiows-resolve").start()
        if not done.wait(limit.left()):
            raise Expired
    if isinstance(found[0], Exception):
        raise found[0]
    addresses: list[_Entry] = found[0]
    return addresses


def connect_host(
    host: str,
    port: int,
    limit: Limit,
    *,
    family: int,
    local_addr: tuple[str | None, int] | None = None,
    happy_eyeballs_delay: float | None,
    interleave: int,
    all_errors: bool,
) -> socket.socket:
    """
    Return a socket that is connected and does not block.

    The arguments are those of asyncio's create_connection.

    Raises:
        OSError: No address answered, or the name was not found.
        ExceptionGroup: The same with all_errors, an OSError for each address.
        Expired: The time is over.

    """
    entries: Sequence[_Entry] = resolve(host, port, family, limit)
    if interleave:
        entries = interleaved(entries, interleave)
    local: Sequence[_Entry] = []
    if local_addr is not None and local_addr[0]:
        local = resolve(local_addr[0], local_addr[1], family, limit)

    def begin(entry: _Entry) -> socket.socket:
        sock = socket.socket(*entry[:3])
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if local_addr is not None:
                bind(sock, local_addr, local)
            number = sock.connect_ex(entry[4])
            if number not in (0, errno.EINPROGRESS):
                raise _failed(number, entry[4])
        except BaseException:
            sock.close()
            raise
        return sock

    errors: list[BaseException] = []
    found = _race(entries, begin, happy_eyeballs_delay, errors, limit)
    if found is None:
        raise failure(errors, all_errors)
    return found


def _race(
    entries: Iterable[_Entry],
    begin: Callable[[_Entry], socket.socket],
    delay: float | None,
    errors: list[BaseException],
    limit: Limit,
) -> socket.socket | None:
    # RFC 8305 section 5.
    waiting = collections.deque(entries)
    under_way: dict[int, tuple[socket.socket, Any]] = {}
    winner = None
    next_at = 0.0
    try:
        while waiting or under_way:
            now = time.monotonic()
            if waiting and (not under_way or (delay is not None and now >= next_at)):
                entry = waiting.popleft()
                next_at = now + (delay or 0)
                try:
                    sock = begin(entry)
                except OSError as error:
                    errors.append(error)
                    continue
                under_way[sock.fileno()] = sock, entry[4]
                continue
            left = limit.left()
            if waiting and delay is not None:
                left = min(next_at - now, next_at - now if left is None else left)
            for fd in _wait(dict.fromkeys(under_way, select.POLLOUT), left):
                sock, name = under_way.pop(fd)
                number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if number == 0:
                    winner = sock
                    return sock
                sock.close()
                errors.append(_failed(number, name))
        return None
    finally:
        for sock, _ in under_way.values():
            if sock is not winner:
                sock.close()


def _failed(number: int, name: Any) -> OSError:
    host, port = name[:2]
    shown = f"[{host}]" if ":" in host else host
    return OSError(number, f"{shown}:{port}: {os.strerror(number)}")


def connect_unix(path: str, limit: Limit) -> socket.socket:
    """Return a socket, connected to path, with @ first for an abstract one."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        name = "\0" + path[1:] if path.startswith("@") else path
        while (number := sock.connect_ex(name)) == errno.EAGAIN:  # which nothing ends
            limit.left()
            time.sleep(_FULL_S)
        if number == errno.EINPROGRESS:
            wait_for(sock, select.POLLOUT, limit)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number != 0:
            raise OSError(number, os.strerror(number), path)
    except BaseException:
        sock.close()
        raise
    return sock
