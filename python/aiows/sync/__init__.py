"""
A WebSocket client for threads: ``with aiows.sync.connect(uri) as ws``.

It needs no event loop and starts no thread.
"""

from __future__ import annotations

from .client import ClientConnection, connect, reconnect, unix_connect, unix_reconnect
from .connection import Connection, Pong

__all__ = [
    "ClientConnection",
    "Connection",
    "Pong",
    "connect",
    "reconnect",
    "unix_connect",
    "unix_reconnect",
]
