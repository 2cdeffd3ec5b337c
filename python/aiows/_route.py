"""Where connections go that the core is attached to: what connect says about it."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .proxy import _authority

__all__ = ["Route", "tls_description"]

_FAMILIES = {0: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}


class Route:
    """
    What the arguments of connect say about connecting.

    Args:
        context: What does TLS, None for none.
        options: Those of the core. What says where to connect is taken; what is left is
            for the core, as the attribute core.
        all_errors: Raise an ExceptionGroup of an OSError for each address.
        proxy: The URL of the proxy to go through, None for none.
        proxy_tls: For an https:// proxy, arguments of create_connection.

    """

    def __init__(
        self,
        context: ssl.SSLContext | None,
        options: Mapping[str, Any],
        *,
        all_errors: bool,
        proxy: str | None = None,
        proxy_tls: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._proxy = proxy
        self._proxy_tls = dict(proxy_tls)
        self.core = dict(options)
        take = self.core.pop
        self._tls: dict[str, Any] = {} if context is None else {"ssl": context}
        for name in ("handshake", "shutdown"):
            timeout = take(f"tls_{name}_timeout_ms", None)
            if timeout is not None and context is not None:
                self._tls[f"ssl_{name}_timeout"] = timeout / 1000
        self._server_name = take("server_name", None)
        self._path = take("unix_path", None)
        self._host = take("host", None)
        self._port = take("port", None)
        fd = take("fd", None)
        self._sock = None if fd is None else socket.socket(fileno=os.dup(fd))
        self._given_sock = fd is not None
        self._options: dict[str, Any] = {
            "family": _FAMILIES[take("family", None) or 0],
            "happy_eyeballs_delay": (take("happy_eyeballs_delay_ms", None) or 0) / 1000 or None,
            "interleave": take("interleave", None) or 0,
            "all_errors": all_errors,
        }
        local = take("local_address", None), take("local_port", None)
        if local != (None, None):
            self._options["local_addr"] = local[0], local[1] or 0

    def redirected(self, uri: str, new: str, proxy: str | None) -> None:
        """Go by proxy next. Raises ValueError when new must not take the place of uri."""
        self._proxy = proxy
        shown = f"redirect to {new!r}"
        if self._given_sock:
            raise ValueError(f"{shown}, which cannot be followed over a given socket")
        if _authority(uri) == _authority(new):
            return
        if self._path is not None:
            what = "over a Unix socket"
        elif self._host is not None or self._port is not None:
            what = "with a host or port given"
        else:
            return
        raise ValueError(f"{shown}, another origin, which cannot be followed {what}")

    def close(self) -> None:
        """Give up what was not used."""
        if self._sock is not None:
            self._sock.close()


def tls_description(secure: Any) -> dict[str, Any]:
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
