"""
Connecting with asyncio so that a cancelled opening leaves no descriptor.

create_connection forgets the socket when it is cancelled in the turn in which the
socket connects, and the transport when TLS is about to begin.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import socket
from asyncio.staggered import staggered_race
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

__all__ = ["bind", "connect_socket", "failure", "interleaved", "secure", "transport_of"]

_Entry: TypeAlias = tuple[Any, ...]  # of getaddrinfo


async def connect_socket(
    host: str,
    port: int,
    *,
    family: int,
    local_addr: tuple[str | None, int] | None = None,
    happy_eyeballs_delay: float | None,
    interleave: int,
    all_errors: bool,
) -> socket.socket:
    """
    Return a socket that is connected; the arguments are those of create_connection.

    Raises:
        OSError: No address answered, or the name was not found.
        ExceptionGroup: The same with all_errors, an OSError for each address.

    """
    loop = asyncio.get_running_loop()
    entries: Sequence[_Entry] = await loop.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM
    )
    if interleave:
        entries = interleaved(entries, interleave)
    local: Sequence[_Entry] = []
    if local_addr is not None and local_addr[0]:
        local = await loop.getaddrinfo(*local_addr, family=family, type=socket.SOCK_STREAM)
    connected: list[socket.socket] = []

    async def attempt(entry: _Entry) -> socket.socket:
        sock = socket.socket(*entry[:3])
        try:
            sock.setblocking(False)
            if local_addr is not None:
                bind(sock, local_addr, local)
            await loop.sock_connect(sock, entry[4])
        except BaseException:
            sock.close()
            raise
        connected.append(sock)
        return sock

    winner = None
    try:
        winner, _, errors = await staggered_race(
            [functools.partial(attempt, entry) for entry in entries], happy_eyeballs_delay
        )
    finally:
        for sock in connected:
            if sock is not winner:
                sock.close()
    if winner is None:
        raise failure([error for error in errors if error is not None], all_errors)
    return winner


async def transport_of(
    sock: socket.socket, protocol: asyncio.Protocol, tls: Mapping[str, Any]
) -> asyncio.Transport:
    """Return a transport over sock, whose protocol has it; sock is closed otherwise."""
    loop = asyncio.get_running_loop()
    try:
        sock.setblocking(False)
        transport, _ = await loop.create_connection(
            asyncio.Protocol if tls else lambda: protocol, sock=sock
        )
    except BaseException:
        sock.close()
        raise
    return await secure(transport, protocol, tls) if tls else transport


async def secure(
    transport: asyncio.Transport, protocol: asyncio.Protocol, tls: Mapping[str, Any]
) -> asyncio.Transport:
    """Return a transport for TLS, whose protocol has it; transport is aborted otherwise."""
    options = dict(tls)
    try:
        secured = await asyncio.get_running_loop().start_tls(
            transport, protocol, options.pop("ssl"), **options
        )
        assert secured is not None
    except BaseException:
        transport.abort()
        raise
    protocol.connection_made(secured)
    return secured


def bind(sock: socket.socket, local_addr: tuple[str | None, int], local: Sequence[_Entry]) -> None:
    """Bind sock to local_addr, whose addresses are local."""
    if not local_addr[0]:
        sock.bind(("", local_addr[1]))
        return
    for entry in local:
        if entry[0] == sock.family:
            try:
                sock.bind(entry[4])
            except OSError as error:
                text = f"bind to {entry[4][0]}: {error.strerror}"
                raise OSError(error.errno, text) from None
            return
    raise OSError(f"bind to {local_addr[0]}: no address of the family of {sock.family.name}")


def interleaved(entries: Sequence[_Entry], first: int) -> list[_Entry]:
    """Let the families alternate, after first ones of the first family (RFC 8305 section 4)."""
    families: dict[int, list[_Entry]] = {}
    for entry in entries:
        families.setdefault(entry[0], []).append(entry)
    lists = list(families.values())
    begin, lists[0] = lists[0][: first - 1], lists[0][first - 1 :]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*lists))
    return [*begin, *(entry for entry in turns if entry is not None)]


def failure(errors: list[BaseException], all_errors: bool) -> BaseException:
    """Return what to raise for errors, one for each address."""
    unexpected = [error for error in errors if not isinstance(error, OSError)]
    if unexpected:
        return unexpected[0]
    failed = [error for error in errors if isinstance(error, OSError)]
    if all_errors:
        return ExceptionGroup("create_connection failed", failed)
    if len({str(error) for error in failed}) == 1:
        return failed[0]
    return OSError(f"Multiple exceptions: {', '.join(map(str, failed))}")
