"""
Ways through proxies for TLS that Python does itself.

The core goes through proxies on its own. Where the application's ssl.SSLContext is used,
asyncio has the socket, and this opens the tunnel that its TLS runs in, with the same
exceptions and texts.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
import ssl
import urllib.parse
from typing import Any, Never

from ._connecting import connect_socket, transport_of
from ._errors import without_credentials
from .exceptions import InvalidProxyMessage, InvalidProxyStatus, ProxyError
from .headers import Headers
from .http11 import Response

__all__ = ["LINE_LIMIT", "Tunnel"]

_PORTS = {"http": 80, "https": 443}
LINE_LIMIT = 8 * 1024
_MOST_FIELDS = 128
_MOST_HEADS = 8  # with interim ones
_BODY_LIMIT = 64 * 1024
_MOST_ADDRESSES = 8
_WANTED = "credentials are wanted, expected user:password@ in the proxy URL"
_REFUSED = "the credentials were refused"

_SOCKS5_REPLIES = {
    1: "general SOCKS server failure",
    2: "connection not allowed by ruleset",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}
_SOCKS4_REPLIES = {
    91: "request rejected or failed",
    92: "request rejected because the proxy cannot reach identd here",
    93: "request rejected because identd here reports another user id",
}

_status_line = re.compile(r"HTTP/\d\.\d (\d{3})(?: (.*))?").fullmatch
_field_line = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*").fullmatch


class _Reply(ProxyError):
    """A SOCKS reply about the address: another address may be answered otherwise."""


class Tunnel:
    """
    The way to host and port through a proxy.

    Args:
        proxy: The proxy's URL, checked.
        host: Name or address, without brackets.
        port: The port.
        user_agent: Told to http:// and https:// proxies unless it is empty.
        tls: For an https:// proxy, the arguments ssl, server_hostname and timeouts of
            create_connection; ssl and server_hostname have defaults.
        options: What else connect_socket is told for the way to the proxy.

    Attributes:
        shown: The URL without credentials.

    """

    def __init__(
        self,
        proxy: str,
        host: str,
        port: int,
        *,
        user_agent: str,
        tls: dict[str, Any],
        options: dict[str, Any],
    ) -> None:
        parts = urllib.parse.urlsplit(proxy)
        self._scheme = parts.scheme
        self._address = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 1080)
        user = urllib.parse.unquote(parts.username or "")
        self._login = user, urllib.parse.unquote(parts.password or "")
        self._has_login = parts.username is not None
        self.shown = without_credentials(proxy).removesuffix("/")
        self._host = host.partition("%")[0]
        self._port = port
        self._user_agent = user_agent
        self._options = dict(options)
        self._tls: dict[str, Any] = {}
        if self._scheme == "https":
            self._tls = {"server_hostname": self._address[0], **tls}
            if self._tls.get("ssl") is None:
                self._tls["ssl"] = ssl.create_default_context()
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self._target = f"{shown}:{port}"

    async def open(self) -> asyncio.Transport:
        """
        Connect to the proxy and return a transport that leads to the target.

        When it raises, or is cancelled, no transport is left.

        Raises:
            OSError: The proxy was not reached; or the name was not found.
            ProxyError: It refused.

        """
        if self._scheme not in ("socks4", "socks5"):
            return await self._open_to(self._host)
        first: _Reply | None = None
        for address in (await self._resolve())[:_MOST_ADDRESSES]:
            try:
                return await self._open_to(address)
            except _Reply as error:
                first = first or error
        assert first is not None
        raise ProxyError(*first.args)

    @property
    def _name_family(self) -> int:
        return socket.AF_INET if self._scheme == "socks4" else socket.AF_UNSPEC

    async def _resolve(self) -> list[str]:
        found = await asyncio.get_running_loop().getaddrinfo(
            self._host, self._port, family=self._name_family, type=socket.SOCK_STREAM
        )
        return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.Transport]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE_LIMIT, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        sock = await connect_socket(*self._address, **self._options)
        transport = await transport_of(sock, protocol, self._tls)
        return reader, transport

    async def _open_to(self, host: str) -> asyncio.Transport:
        try:
            reader, transport = await self._dial()
        except OSError as error:
            if isinstance(error, (ssl.SSLError, socket.gaierror)) or not error.errno:
                error.add_note(f"proxy {self.shown}")
                raise
            text = f"proxy {self.shown}: {error.strerror}"
            raise OSError(error.errno, text) from None
        try:
            await self._ask(reader, transport, host)
            if reader._buffer:  # type: ignore[attr-defined]
                self._malformed("it sent more than the answer")
        except _Reply as error:
            transport.abort()
            if self._scheme in ("socks4", "socks5"):
                raise
            raise ProxyError(*error.args) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            transport.abort()
            kind = InvalidProxyMessage if self._scheme in _PORTS else ProxyError
            text = f"closed the connection before it answered CONNECT {self._target}"
            raise kind(f"proxy {self.shown}: {text}") from None
        except BaseException:
            transport.abort()
            raise
        return transport

    async def _ask(
        self, reader: asyncio.StreamReader, transport: asyncio.Transport, host: str
    ) -> None:
        if self._scheme in _PORTS:
            await self._connect(reader, transport)
        elif self._scheme in ("socks4", "socks4a"):
            await self._socks4(reader, transport, host)
        else:
            await self._socks5(reader, transport, host)

    def _answered(self, reason: str) -> str:
        return f"proxy {self.shown}: answered {reason} (CONNECT {self._target})"

    def _malformed(self, reason: str) -> Never:
        text = f"proxy {self.shown}: its answer to CONNECT {self._target} is not valid: {reason}"
        raise InvalidProxyMessage(text)

    # HTTP, RFC 9110 section 9.3.6

    async def _connect(self, reader: asyncio.StreamReader, transport: asyncio.Transport) -> None:
        lines = [f"CONNECT {self._target} HTTP/1.1", f"Host: {self._target}"]
        if self._user_agent:
            lines.append(f"User-Agent: {self._user_agent}")
        if self._has_login:
            login = base64.b64encode(":".join(self._login).encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {login}")
        transport.write("\r\n".join([*lines, "", ""]).encode())
        for _ in range(_MOST_HEADS):
            response = await self._head(reader)
            if 200 <= response.status_code < 300:
                return
            if response.status_code >= 200 or response.status_code == 101:
                break
        else:
            self._malformed(f"{_MOST_HEADS} interim answers")
        response.body = await self._body(reader, response.headers)
        refused = InvalidProxyStatus(response)
        refused.msg = self._answered(self._explain(response))
        raise refused

    async def _head(self, reader: asyncio.StreamReader) -> Response:
        status = _status_line(line := await self._line(reader, "start line"))
        if status is None:
            self._malformed(f"status line {line[:80]!r}")
        fields: list[tuple[str, str]] = []
        while line := await self._line(reader, "field line"):
            field = _field_line(line)
            if field is None:
                self._malformed(f"field line {line.partition(':')[0][:80]!r}")
            if len(fields) == _MOST_FIELDS:
                self._malformed(f"head has more than {_MOST_FIELDS} fields")
            fields.append((field[1], field[2]))
        return Response(int(status[1]), status[2] or "", Headers._trusted(fields), b"")

    async def _line(self, reader: asyncio.StreamReader, what: str) -> str:
        try:
            return (await reader.readuntil(b"\r\n")).decode("latin-1")[:-2]
        except asyncio.LimitOverrunError:
            self._malformed(f"{what} is longer than {LINE_LIMIT} bytes")

    async def _body(self, reader: asyncio.StreamReader, headers: Headers) -> bytes:
        length = headers.get("Content-Length", "")
        wanted = min(int(length), _BODY_LIMIT) if length.isascii() and length.isdigit() else None
        if wanted is None and "Transfer-Encoding" in headers:
            return b""
        try:
            return await reader.readexactly(_BODY_LIMIT if wanted is None else wanted)
        except asyncio.IncompleteReadError as error:
            return error.partial

    def _explain(self, response: Response) -> str:
        text = f"{response.status_code} {response.reason_phrase}".rstrip()
        text = text.encode("unicode_escape").decode()[:80]
        if response.status_code == 407 and not self._has_login:
            return f"{text}: {_WANTED}"
        if response.status_code == 407 or (response.status_code == 401 and self._has_login):
            return f"{text}: {_REFUSED}"
        return text

    # SOCKS5, RFC 1928 and RFC 1929

    async def _socks5(
        self, reader: asyncio.StreamReader, transport: asyncio.Transport, host: str
    ) -> None:
        methods = b"\x00\x02" if self._has_login else b"\x00"
        transport.write(bytes([5, len(methods)]) + methods)
        version, method = await reader.readexactly(2)
        self._check_version(version, 5)
        if method == 2 and self._has_login:
            user, password = (part.encode() for part in self._login)
            transport.write(b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
            if (await reader.readexactly(2))[1] != 0:
                text = f"username/password authentication failed: {_REFUSED}"
                raise ProxyError(self._answered(text))
        elif method != 0:
            text = "no acceptable authentication methods"
            raise ProxyError(self._answered(text if self._has_login else f"{text}: {_WANTED}"))
        transport.write(b"\x05\x01\x00" + _socks5_address(host) + self._port.to_bytes(2, "big"))
        version, reply, _, kind = await reader.readexactly(4)
        self._check_version(version, 5)
        if reply != 0:
            raise _Reply(self._answered(_SOCKS5_REPLIES.get(reply, f"unknown code: {reply}")))
        if kind == 3:
            (size,) = await reader.readexactly(1)
        elif kind in (1, 4):
            size = 4 if kind == 1 else 16
        else:
            raise ProxyError(self._answered(f"unknown address type {kind}"))
        await reader.readexactly(size + 2)

    def _check_version(self, version: int, expected: int) -> None:
        if version != expected:
            text = f"unexpected protocol version {version}, expected {expected}"
            raise ProxyError(self._answered(text))

    # SOCKS4 and SOCKS4a

    async def _socks4(
        self, reader: asyncio.StreamReader, transport: asyncio.Transport, host: str
    ) -> None:
        address, name = b"\x00\x00\x00\x01", host.encode() + b"\x00"
        ip = _ip(host)
        if ip is not None:
            if ip.version != 4:
                text = f"CONNECT {self._target}: SOCKS4 has no IPv6 addresses, expected socks5"
                raise ProxyError(f"proxy {self.shown}: {text}")
            address, name = ip.packed, b""
        user = self._login[0].encode() + b"\x00"
        transport.write(b"\x04\x01" + self._port.to_bytes(2, "big") + address + user + name)
        version, reply, *_ = await reader.readexactly(8)
        self._check_version(version, 0)
        if reply != 90:
            raise _Reply(self._answered(_SOCKS4_REPLIES.get(reply, f"reply {reply}, expected 90")))


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _socks5_address(host: str) -> bytes:
    ip = _ip(host)
    if ip is not None:
        return bytes([1 if ip.version == 4 else 4]) + ip.packed
    name = host.encode("ascii")
    return bytes([3, len(name)]) + name
