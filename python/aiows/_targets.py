"""Where a client connects: the arguments of connect that asyncio's create_connection has."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Never, TypedDict

from ._options import flag, integer, milliseconds, text
from ._quoting import quoted

__all__ = ["HAPPY_EYEBALLS_DELAY", "PathLike", "Refused", "Target", "path_address", "unix_uri"]

HAPPY_EYEBALLS_DELAY = 0.25
"""What RFC 8305 section 5 recommends, in seconds."""

PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]

_FAMILIES = {socket.AF_UNSPEC: 0, socket.AF_INET: 4, socket.AF_INET6: 6}


class Refused(TypedDict, total=False):
    """What create_connection takes and connect does not."""

    proto: Never
    flags: Never


class Target:
    """
    Where connect connects, checked.

    Attributes:
        core: Options of the core by its own names.
        sock: The socket given, which the first opening takes over.
        is_unix: Whether addresses are those of Unix sockets.
        all_errors: Whether an ExceptionGroup tells of each address.

    """

    def __init__(
        self,
        *,
        uris: Sequence[str],
        secure: bool,
        host: object,
        port: object,
        sock: object,
        local_addr: object,
        family: object,
        happy_eyeballs_delay: object,
        interleave: object,
        all_errors: object,
        unix: object,
        path: object,
        ssl_handshake_timeout: object,
        ssl_shutdown_timeout: object,
        max_redirects: object,
        refused: Refused,
    ) -> None:
        for name in refused:
            if name in ("proto", "flags"):
                raise TypeError(f"{name} is not supported: the core resolves names and connects")
            raise TypeError(f"connect() got an unexpected keyword argument {quoted(name)}")
        self.all_errors = flag("all_errors", all_errors)
        self.core: dict[str, Any] = {
            "max_redirects": integer("max_redirects", max_redirects, 0, 2**31 - 1),
        }
        for name, value in (
            ("ssl_handshake_timeout", ssl_handshake_timeout),
            ("ssl_shutdown_timeout", ssl_shutdown_timeout),
        ):
            if value is not None:
                if not secure:
                    raise ValueError(f"{name} needs a wss:// URI")
                option = f"{name.replace('ssl', 'tls')}_ms"
                self.core[option] = milliseconds(name, value, positive=True)
        self.sock = _check_sock(sock)
        if self.sock is not None and len(uris) > 1:
            raise ValueError(f"sock cannot be combined with {len(uris)} URIs")
        self.is_unix = flag("unix", unix) or (
            self.sock is not None and self.sock.family == socket.AF_UNIX
        )
        named = {"host": host, "port": port, "local_addr": local_addr, "interleave": interleave}
        given = [name for name, value in named.items() if value is not None]
        if family != 0:
            given.append("family")
        if happy_eyeballs_delay != HAPPY_EYEBALLS_DELAY:
            given.append("happy_eyeballs_delay")
        if self.all_errors:
            given.append("all_errors")
        if given and (unix or self.sock is not None):
            raise ValueError(f"{given[0]} cannot be combined with {'unix' if unix else 'sock'}")
        if unix:
            self._check_unix(path)
        elif path is not None:
            raise ValueError("path needs unix = True")
        elif self.sock is None:
            self._check_addresses(host, port, local_addr)
            self._check_order(family, happy_eyeballs_delay, interleave)

    def _check_unix(self, path: object) -> None:
        if path is None:
            if self.sock is None:
                raise ValueError("unix = True needs path or sock")
            if self.sock.family != socket.AF_UNIX:
                raise ValueError(f"sock = {quoted(self.sock)}, expected a Unix socket")
            return
        if self.sock is not None:
            raise ValueError("path cannot be combined with sock")
        self.core["unix_path"] = _core_path(path)

    def _check_addresses(self, host: object, port: object, local_addr: object) -> None:
        if host is not None:
            self.core["host"] = text("host", host)
        if port is not None:
            self.core["port"] = integer("port", port, 1, 65535)
        if local_addr is None:
            return
        if not (isinstance(local_addr, (tuple, list)) and 2 <= len(local_addr) <= 4):
            raise TypeError(f"local_addr must be (host, port), got {quoted(local_addr)}")
        if local_addr[0]:
            self.core["local_address"] = text("local_addr", local_addr[0])
        elif local_addr[0] not in (None, ""):
            raise TypeError(f"local_addr must be (host, port), got {quoted(local_addr)}")
        if local_addr[1] is not None:
            self.core["local_port"] = integer("the port of local_addr", local_addr[1], 0, 65535)

    def _check_order(self, family: object, delay: object, interleave: object) -> None:
        if isinstance(family, bool) or not isinstance(family, int):
            raise TypeError(f"family must be int, got {quoted(family)}")
        if family not in _FAMILIES:
            raise ValueError(f"family = {quoted(family)}, expected AF_UNSPEC, AF_INET or AF_INET6")
        self.core["family"] = _FAMILIES[socket.AddressFamily(family)]
        self.core["happy_eyeballs_delay_ms"] = milliseconds("happy_eyeballs_delay", delay)
        if interleave is None:
            self.core["interleave"] = 0 if delay is None else 1
        else:
            self.core["interleave"] = integer("interleave", interleave, 0, 2**31 - 1)

    @contextmanager
    def taken(self) -> Iterator[dict[str, Any]]:
        """
        Give the core the socket for one opening, if there is one; it is closed in the end.

        Raises:
            ValueError: An earlier opening took the socket.

        """
        sock = self.sock
        if sock is None:
            yield {}
            return
        if sock.fileno() < 0:
            raise ValueError(
                f"sock = {quoted(sock)} is closed; each connection needs a socket of its own"
            )
        try:
            yield {"fd": sock.fileno()}
        finally:
            sock.close()  # the core has a duplicate


def _check_sock(sock: object) -> socket.socket | None:
    if sock is None:
        return None
    if isinstance(sock, ssl.SSLSocket):
        raise TypeError("sock is an SSLSocket, expected a plain socket")
    if not isinstance(sock, socket.socket):
        raise TypeError(f"sock must be a socket, got {quoted(sock)}")
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"sock = {quoted(sock)}, expected a stream socket")
    return sock


def _core_path(path: object) -> str:
    """Return the path of a Unix socket as the core has it, @ first for an abstract one."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"path must be a path, got {quoted(path)}")
    name = os.fsdecode(path)
    if not name:
        raise ValueError("path is empty")
    if name[0] == "@":
        name = f"./{name}"
    elif name[0] == "\0":
        name = f"@{name[1:]}"
    if "\0" in name:
        raise ValueError(f"path = {quoted(path)}, expected no null character but at its beginning")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"path = {quoted(path)}, expected UTF-8") from None
    return name


def unix_uri(uri: str | None, options: dict[str, Any]) -> str:
    """Return what the server of a Unix socket is told, with the other options of connect."""
    if uri is not None:
        return uri
    return "wss://localhost/" if options.get("ssl") else "ws://localhost/"


def path_address(text: str) -> str | bytes:
    """Return a Unix socket's address as socket.getsockname does."""
    return b"\0" + os.fsencode(text[1:]) if text.startswith("@") else text
