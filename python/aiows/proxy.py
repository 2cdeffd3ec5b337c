"""Which proxy a connection goes through."""

from __future__ import annotations

import os
import re
import ssl
import sys
from typing import Any

from ._errors import without_credentials
from ._options import is_port, milliseconds, text
from ._quoting import quoted
from .exceptions import InvalidProxy

__all__ = ["get_proxy"]

SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")

_MALFORMED = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]").search
# Userinfo, host, port, and what no proxy has. A later @ belongs to the userinfo.
_parts = re.compile(r"(?:(.*)@)?(\[[^\]]*\]|[^:/?#]*)(?::([^/?#]*))?(/?)(.*)", re.DOTALL).fullmatch


def get_proxy(uri: str) -> str | None:
    """
    Return the URL of the proxy that the environment names for uri, None for none.

    It comes from ``urllib.request.getproxies``: wss_proxy or ws_proxy,
    socks_proxy, https_proxy and, for ws:// alone, http_proxy; the first that
    is set. Hosts that ``urllib.request.proxy_bypass`` knows, those of no_proxy,
    have none.

    Args:
        uri: A ws:// or wss:// URI.

    """
    return _choose(_getproxies(), uri)


def _getproxies() -> dict[str, str]:
    # Without a variable urllib.request has nothing to say, but takes 30 ms to import and
    # longer to look: 25 us with 35 variables, where this takes 11.
    if sys.platform == "linux":
        if b"_proxy\0" not in b"\0".join((*os.environb, b"")).lower():
            return {}
    import urllib.request

    return urllib.request.getproxies()


def _choose(proxies: dict[str, str], uri: str) -> str | None:
    if not proxies:
        return None
    import urllib.request

    host, port, secure = authority(uri)
    if urllib.request.proxy_bypass(f"{host}:{port}"):
        return None
    for scheme in ("wss", "socks", "https") if secure else ("ws", "socks", "https", "http"):
        proxy = proxies.get(scheme)
        if proxy is not None:
            if scheme == "socks" and proxy.startswith("http://"):
                return "socks5h://" + proxy.removeprefix("http://")
            return proxy
    return None


def authority(uri: str) -> tuple[str, int, bool]:
    """Return host and port of uri, and whether it is wss."""
    import urllib.parse

    parts = urllib.parse.urlsplit(uri)
    host = parts.hostname or ""
    if not host.isascii():
        host = host.encode("idna").decode()
    secure = parts.scheme == "wss"
    return host, parts.port or (443 if secure else 80), secure


class ProxyOptions:
    """
    The parameters of connect that are about proxies, checked.

    Raises:
        TypeError, ValueError: One of them cannot be used.
        InvalidProxy: Not the URL of a proxy.

    """

    def __init__(
        self,
        proxy: object,
        *,
        proxy_ssl: object = None,
        proxy_server_hostname: object = None,
        proxy_ssl_handshake_timeout: object = None,
        proxy_ssl_shutdown_timeout: object = None,
    ) -> None:
        self._proxy = proxy
        self._ssl = proxy_ssl
        if proxy_ssl is not None and proxy_ssl is not True:
            _check_ssl(proxy_ssl)
        self._given: dict[str, object] = {"proxy_ssl": proxy_ssl}
        self._secure: dict[str, object] = {}  # for an https:// proxy alone
        if proxy_server_hostname is not None:
            name = text("proxy_server_hostname", proxy_server_hostname)
            self._given["proxy_server_hostname"] = name
            self._secure["proxy_server_name"] = name
        for name, value in (
            ("proxy_ssl_handshake_timeout", proxy_ssl_handshake_timeout),
            ("proxy_ssl_shutdown_timeout", proxy_ssl_shutdown_timeout),
        ):
            if value is not None:
                self._given[name] = value
                option = f"{name.replace('ssl', 'tls')}_ms"
                self._secure[option] = milliseconds(name, value, positive=True)
        if proxy is None:
            self._refuse_tls("no proxy")
        elif proxy is not True:
            self._check(proxy)

    @property
    def plain(self) -> bool:
        """Whether TLS with the proxy is a plain ssl.SSLContext's, which the core cannot read."""
        from . import tls

        return isinstance(self._ssl, ssl.SSLContext) and not isinstance(self._ssl, tls.SSLContext)

    def asyncio_tls(self) -> dict[str, Any]:
        """Return what is said of TLS with an https:// proxy, as loop.start_tls has it."""
        given = {name.removeprefix("proxy_"): value for name, value in self._given.items()}
        return {
            name: value for name, value in given.items() if value is not None and value is not True
        }

    def core(self, uri: str, *, tls: bool = True) -> dict[str, Any]:
        """
        Return what the core is told for a connection to uri.

        Args:
            tls: Whether the core does TLS with an https:// proxy.

        Raises:
            InvalidProxy: What the environment names is not the URL of a proxy.
            ValueError: It is no https:// proxy and proxy_ssl or
                proxy_server_hostname is given.

        """
        if self._proxy is None:
            return {}
        if self._proxy is not True:
            secure = self._check(self._proxy) == "https"
            return {"proxy": self._proxy, **(self._tls(tls) if secure else {})}
        proxies = _getproxies()
        if not proxies.keys() - {"no"}:
            return {}
        chosen = _choose(proxies, uri)
        if chosen is not None:
            self._check(chosen)
        # The core chooses, the same, since it does so anew where a redirect leads.
        return {
            "proxy": "env",
            "proxy_environment": [
                f"{name}_proxy={proxies[name]}".encode(errors="replace").decode()
                for name in ("wss", "ws", "socks", "https", "http", "no")
                if name in proxies
            ],
            **self._tls(tls),
        }

    def _check(self, proxy: object) -> str:
        scheme = check_proxy(proxy)
        if scheme != "https":
            self._refuse_tls(
                f"an {scheme}:// proxy" if scheme == "http" else f"a {scheme}:// proxy"
            )
        return scheme

    def _refuse_tls(self, what: str) -> None:
        for name, value in self._given.items():
            if value is not None:
                raise ValueError(f"{name} is incompatible with {what}, expected an https:// proxy")

    def _tls(self, by_core: bool) -> dict[str, Any]:
        from . import tls

        if not by_core:
            return {name: v for name, v in self._secure.items() if name != "proxy_server_name"}
        if isinstance(self._ssl, tls.SSLContext):
            handle: Any = self._ssl._core_tls(server=False)
        else:
            handle = tls.environment_tls()
        return {"proxy_tls": handle, **self._secure}


def _check_ssl(proxy_ssl: object) -> None:
    from . import tls

    if isinstance(proxy_ssl, tls.SSLContext):
        proxy_ssl._core_options(server=False)
    elif proxy_ssl is False:
        raise ValueError("proxy_ssl = False, expected True or an SSLContext")
    elif not isinstance(proxy_ssl, ssl.SSLContext):
        raise TypeError(f"proxy_ssl must be None, True or an SSLContext, got {quoted(proxy_ssl)}")
    elif proxy_ssl.protocol == ssl.PROTOCOL_TLS_SERVER:
        raise ValueError("proxy_ssl is made for servers, expected PROTOCOL_TLS_CLIENT")


def check_proxy(proxy: object) -> str:
    """
    Return the scheme of a proxy's URL.

    Only what must be known before anything starts is checked here; the core
    parses it in full.

    Raises:
        TypeError: proxy is no str.
        InvalidProxy: It cannot be the URL of a proxy.

    """
    if not isinstance(proxy, str):
        raise TypeError(f"proxy must be a str, True or None, got {type(proxy).__name__}")
    shown = without_credentials(proxy)
    if _MALFORMED(proxy):
        raise InvalidProxy(
            shown, "a space, control character or surrogate, expected it percent-encoded"
        )
    scheme, separator, rest = proxy.partition("://")
    scheme = scheme.lower() if separator else ""
    if scheme not in SCHEMES:
        raise InvalidProxy(shown, f"scheme {quoted(scheme)}, expected one of {', '.join(SCHEMES)}")
    parts = _parts(rest)
    assert parts is not None
    user, host, port, _, more = parts.groups()
    if more:
        raise InvalidProxy(shown, "a path, query or fragment, which mean nothing here")
    if not host:
        raise InvalidProxy(shown, "the host is missing")
    if port and not is_port(port):
        raise InvalidProxy(shown, f"port {quoted(port)}, expected a number from 1 to 65535")
    if user is not None and ":" not in user and not scheme.startswith("socks4"):
        raise InvalidProxy(shown, "a user name without a password")
    return scheme
