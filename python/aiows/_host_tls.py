"""
TLS that Python does, for connections that the core opens and does the rest for.

A plain ssl.SSLContext cannot be read: what it loaded is not to be seen. So Python's own TLS
uses it, over the socket that the core connects, and the core is attached to what comes out.
"""

from __future__ import annotations

import contextlib
import errno
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .proxy import authority

if TYPE_CHECKING:
    from ._connector import Connector

__all__ = ["HostTLS", "description", "handshake"]


class HostTLS:
    """
    What the arguments of connect say about TLS, and the rest for the core.

    Args:
        connector: The arguments.
        uri: Where the first attempt goes.

    Attributes:
        core: The core's options.

    """

    def __init__(self, connector: Connector, uri: str) -> None:
        self.core = connector._core_options(uri, tls=False) | {"dial": True}
        self._context = connector._ssl if isinstance(connector._ssl, ssl.SSLContext) else None
        self._server_name = self.core.pop("server_name", None)
        self._timeouts = {}
        for name in ("handshake", "shutdown"):
            timeout = self.core.get(f"tls_{name}_timeout_ms")
            if timeout is not None:
                self._timeouts[f"ssl_{name}_timeout"] = timeout / 1000
        self._proxy_tls = connector._proxy.asyncio_tls()

    def with_server(self, uri: str) -> dict[str, Any]:
        """Return the arguments of loop.start_tls for uri, none for ws."""
        host, _, secure = authority(uri)
        if not secure:
            return {}
        return {
            "ssl": self._context or ssl.create_default_context(),
            "server_hostname": self._server_name or host.partition("%")[0],
            **self._timeouts,
        }

    def with_proxy(self, url: str) -> dict[str, Any]:
        """Return the same for the proxy at url, none unless that is https."""
        import urllib.parse

        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https":
            return {}
        options = {"server_hostname": parts.hostname, **self._proxy_tls}
        if "ssl" not in options:
            options["ssl"] = ssl.create_default_context()
        return options


@contextlib.contextmanager
def handshake(uri: str, proxy: str = "") -> Iterator[None]:
    """Have errors of TLS name whom it was with: the server of uri, or the proxy at its URL."""
    try:
        yield
    except OSError as error:
        host, port, _ = authority(uri)
        server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        note = f"proxy {proxy}" if proxy else f"tls handshake with {server}"
        if isinstance(error, ConnectionResetError) and not error.args:  # as asyncio has it
            text = f"{note}: the peer closed the connection"
            raise ConnectionResetError(errno.ECONNRESET, text) from None
        error.add_note(note)
        raise


def description(secure: Any) -> dict[str, Any]:
    """Return what secure knows of TLS, by the names that the core's info has."""
    # Anything that looks like an SSLObject: truststore and others wrap it.
    version = secure.version() or ""
    cipher = secure.cipher()
    return {
        "tls_version": version.replace("TLSv", "TLS "),
        "tls_cipher_suite": cipher[0] if cipher else "",
        "tls_alpn": secure.selected_alpn_protocol() or "",
        "tls_peer_certificate": secure.getpeercert(binary_form=True) or b"",
    }
