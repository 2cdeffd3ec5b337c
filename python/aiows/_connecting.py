"""
Transports of asyncio, made so that a cancelled opening leaves no descriptor.

create_connection forgets the socket when it is cancelled, and the transport when TLS is
about to begin.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

__all__ = ["secure", "transport_of"]


async def transport_of(
    sock: socket.socket, protocol: asyncio.Protocol, tls: Mapping[str, Any]
) -> asyncio.Transport:
    """Return a transport over sock, whose protocol has it; sock is closed otherwise."""
    loop = asyncio.get_running_loop()
    make: Callable[..., Coroutine[Any, Any, tuple[asyncio.Transport, asyncio.BaseProtocol]]]
    unix = sock.family == socket.AF_UNIX
    make = loop.create_unix_connection if unix else loop.create_connection
    try:
        transport, _ = await make(asyncio.Protocol if tls else lambda: protocol, sock=sock)
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
