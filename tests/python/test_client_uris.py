"""connect: what a URI means, beside what it means to websockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest
import websockets.exceptions
import websockets.uri

from aiows import InvalidHandshake, InvalidURI, connect
from streams import stream_server

pytestmark = pytest.mark.once

# Both take these for the same.
SAME = [
    "ws://h",
    "ws://h/",
    "WS://H.Example/Path?Query",
    "ws://h?",
    "ws://h/?",
    "ws://h/p?",
    "ws://h/p??",
    "ws://h?q",
    "ws://h/a?b?c/d",
    "ws://h/a//b/../c/./d",
    "ws://h:80/",
    "ws://h:443/",
    "ws://h:/",
    "ws://h:81",
    "ws://h:0081/",
    "ws://h:65535?q",
    "ws://u:p@h/",
    "ws://u:@h:81/",
    "ws://:p@h/",
    "ws://:@h/",
    "ws://u%40x:p%3Aq%2F%23@h/",
    "ws://u:p:q@h/",
    "ws://u:p@q@h/",
    "ws://%C3%BC:%E2%82%AC@h/",
    "ws://ü:€@h/",
    "ws://h/%7euser%2Fx%23",
    "ws://h/ü?ö=ß",
    "ws://bücher.example/",
    "ws://BÜCHER.example:81/x",
    "ws://xn--bcher-kva.example/",
    "ws://日本語。jp/",
    "ws://💩.example/",
    "ws://[::1]/",
    "ws://[::1]:81?q",
    "ws://[2001:DB8::1]/",
    "ws://[fe80::1%lo]/",
    "ws://127.0.0.1/",
    "ws://h./",
    "ws://a_b.example/",
    "ws://-h-/",
    "ws://h/p;a=1,b!c$d'e(f)*+@:",
]
# Both take these, and mean something else: what is sent, and why.
DIFFERENT = [
    ("ws://h/100%", "h", "/100%25", "a percent sign has two digits behind it (RFC 3986 2.1)"),
    ("ws://h/a%20ü", "h", "/a%20%C3%BC", "what is encoded is not encoded again"),
    ('ws://h/"<>\\^`{|}[]', "h", "/%22%3C%3E%5C%5E%60%7B%7C%7D%5B%5D", "RFC 3986 3.3"),
    ("ws://straße.example/", "xn--strae-oqa.example", "/", "IDNA 2008, as browsers do"),
    ("ws://[2001:db8::0:1]/", "[2001:db8::1]", "/", "one form of an address (RFC 5952)"),
    ("ws://[fe80::1%25lo]/", "[fe80::1]", "/", "a zone is not sent (RFC 6874 4)"),
    ("ws://h%41.example/", "ha.example", "/", "names may be encoded (RFC 3986 3.2.2)"),
]
# websockets takes these, which cannot be sent or mean nothing.
REFUSED = [
    ("ws://h/a b", "a space in a request line"),
    ("ws://h/\tx", "a control character"),
    ("ws://h/?q#", "a fragment, though empty (RFC 6455 3)"),
    ("ws://h:0/", "a port that cannot be connected to"),
    ("ws://h\\x/", "no character of names"),
    ("ws://127.1/", "resolvers disagree about it"),
    ("ws://1.2.3.256/", "an address that is none"),
    ("ws://[v1.x]/", "no IP address"),
    ("ws://u%:p@h/", "a percent sign without digits"),
    ("ws://h%2F/", "a slash in a name"),
]
# Neither takes these.
NEITHER = [
    "http://h/",
    "//h/",
    "ws:/h",
    "ws:h",
    "ws:///p",
    "ws://",
    "ws://h/#f",
    "ws://h:65536/",
    "ws://h:x/",
    "ws://[h]/",
    "ws://[::1/",
]


class Recorder:
    """A server that keeps the request and refuses it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heads: asyncio.Queue[bytes] = asyncio.Queue()

    async def asked(self, uri: str) -> tuple[str, str, tuple[str, str] | None]:
        """Return the Host field, the target and the credentials of a request to uri."""
        with pytest.raises(InvalidHandshake):
            await connect(uri, host="127.0.0.1", port=self.port)
        line, *lines = (await self.heads.get()).decode().split("\r\n")
        fields = dict(field.split(": ", 1) for field in lines[:-2])
        credentials = None
        if "Authorization" in fields:
            scheme, _, encoded = fields["Authorization"].partition(" ")
            assert scheme == "Basic"
            user, _, password = base64.b64decode(encoded).decode().partition(":")
            credentials = user, password
        return fields["Host"], line.split(" ")[1], credentials


@contextlib.asynccontextmanager
async def recorder() -> AsyncIterator[Recorder]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.heads.put_nowait(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with stream_server(handle) as (_, port):
        found = Recorder(port)
        yield found


def expected(uri: str) -> tuple[str, str, tuple[str, str] | None]:
    """Return what websockets makes of uri."""
    parsed: Any = websockets.uri.parse_uri(uri)
    host = parsed.host.partition("%")[0]
    host = f"[{host}]" if ":" in host else host
    if parsed.port != (443 if parsed.secure else 80):
        host += f":{parsed.port}"
    return host, parsed.resource_name, parsed.user_info


async def test_same() -> None:
    async with recorder() as server:
        for uri in SAME:
            host, target, credentials = await server.asked(uri)
            assert (host, target, credentials) == expected(uri), uri


async def test_different() -> None:
    async with recorder() as server:
        for uri, host, target, why in DIFFERENT:
            assert await server.asked(uri) == (host, target, None), (uri, why)
            assert expected(uri)[:2] != (host, target) or "%25" in uri, f"{uri} is the same now"
            assert unquote(target) == unquote(expected(uri)[1]) or "%2520" in expected(uri)[1]


async def test_refused() -> None:
    for uri, why in REFUSED:
        with contextlib.suppress(UnicodeDecodeError):
            expected(uri)
        with pytest.raises(InvalidURI):
            await connect(uri)
            pytest.fail(f"{uri!r}: {why}")


@pytest.mark.parametrize("uri", NEITHER)
def test_neither(uri: str) -> None:
    with pytest.raises((websockets.exceptions.InvalidURI, ValueError)):
        expected(uri)
    with pytest.raises(InvalidURI):
        connect(uri)


async def test_a_user_without_a_password_is_taken() -> None:
    with pytest.raises(websockets.exceptions.InvalidURI):
        expected("ws://u@h/")
    async with recorder() as server:
        assert (await server.asked("ws://u@h/"))[2] == ("u", "")
