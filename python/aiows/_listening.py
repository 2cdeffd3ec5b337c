"""The sockets that servers listen on."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Sequence
from typing import Any

from ._quoting import quoted

__all__ = ["BoundSockets", "bind_path", "bind_ports"]

# How often a free port is looked for that every address has free.
_PORT_TRIES = 20

# What a host without IPv6 answers where a name or "every address" stands for both.
_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class BoundSockets:
    """
    Bound sockets that close together.

    Attributes:
        sockets: The sockets.
        port: Port of the first one, 0 for Unix sockets.

    """

    def __init__(
        self, sockets: Sequence[socket.socket], *, path: str | bytes | None = None
    ) -> None:
        self.sockets = tuple(sockets)
        name = self.sockets[0].getsockname()
        self.port: int = name[1] if isinstance(name, tuple) else 0
        self._path = path
        self._inode = None if path is None else _inode(path)

    @property
    def is_unix(self) -> bool:
        """Whether addresses are paths."""
        return self.sockets[0].family == socket.AF_UNIX

    def close(self) -> None:
        """Close them, and remove the file of a Unix socket that was bound here."""
        self.drop()
        if self._path is not None and self._inode is not None:
            if _inode(self._path) == self._inode:  # not another server's by now
                os.unlink(self._path)
        self._path = None

    def drop(self) -> None:
        """Close them and nothing else, as a forked child must."""
        for found in self.sockets:
            found.close()


async def bind_ports(hosts: Sequence[str | None], port: int, *, reuse_port: bool) -> BoundSockets:
    """
    Bind each address of each host.

    With port 0 all of them get the same port.

    Args:
        hosts: Names or addresses; None stands for every address.
        port: Port, 0 to let the system choose.
        reuse_port: Set SO_REUSEPORT.

    Raises:
        OSError: An address cannot be bound; socket.gaierror for a name.

    """
    addresses: dict[tuple[int, Any], None] = {}
    for host in hosts:
        for family, _, _, _, address in await _resolve(host, port):
            addresses[family, address] = None
    for tries in range(_PORT_TRIES, 0, -1):
        try:
            return BoundSockets(_bind_all(list(addresses), reuse_port))
        except OSError as error:
            if port or len(addresses) == 1 or error.errno != errno.EADDRINUSE or tries == 1:
                raise
    raise AssertionError("unreachable")


def bind_path(path: str | bytes) -> BoundSockets:
    """
    Bind a Unix socket, replacing one that an earlier server left.

    Args:
        path: Where its file is made, removed at the end; a null character
            first means Linux's abstract namespace.

    Raises:
        OSError: It cannot be bound.

    """
    abstract = path[:1] in ("\0", b"\0")
    if not abstract:
        try:
            if stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)
        except FileNotFoundError:
            pass
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        found.bind(path)
    except OSError as error:
        found.close()
        raise _cannot(path, error) from None
    return BoundSockets([found], path=None if abstract else path)


async def _resolve(host: str | None, port: int) -> list[tuple[Any, Any, Any, Any, Any]]:
    flags = socket.AI_PASSIVE
    try:
        # Addresses need neither a thread nor a wait.
        numeric = 0 if host is None else socket.AI_NUMERICHOST
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags | numeric)
    except socket.gaierror:
        if host is None:
            raise
    loop = asyncio.get_running_loop()
    try:
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"host {quoted(host)}: {error.strerror}") from None


def _bind_all(addresses: list[tuple[int, Any]], reuse_port: bool) -> list[socket.socket]:
    bound: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in addresses:
            if bound and not address[1]:
                address = (address[0], bound[0].getsockname()[1], *address[2:])
            try:
                bound.append(_bind(family, address, reuse_port))
            except OSError as error:
                if family != socket.AF_INET6 or error.errno not in _NO_IPV6:
                    raise
                missing = error
        if not bound and missing is not None:
            raise missing
    except BaseException:
        for found in bound:
            found.close()
        raise
    return bound


def _bind(family: int, address: Any, reuse_port: bool) -> socket.socket:
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # IPv4 has a socket of its own.
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind(address)
    except OSError as error:
        found.close()
        raise _cannot(address, error) from None
    except BaseException:
        found.close()
        raise
    return found


def _cannot(address: object, error: OSError) -> OSError:
    return OSError(error.errno, f"cannot bind {quoted(address)}: {error.strerror or error}")


def _inode(path: str | bytes) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
