"""Which proxy the environment names: urllib, websockets, this package and its core agree."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from servers.launch import environment
from websockets.proxy import get_proxy as their_proxy
from websockets.uri import parse_uri

from aiows import InvalidProxy, connect
from aiows.proxy import get_proxy

URIS = (
    "ws://example.com/",
    "wss://example.com/",
    "wss://API.Example.com:8443/x?y",
    "ws://notexample.com:8080/",
    "ws://[2001:db8::1]:81/",
    "wss://127.0.0.1/",
    "ws://bücher.example/",
)
ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"http_proxy": "http://h:1"},
    {"HTTP_PROXY": "http://h:1"},
    {"https_proxy": "http://s:1"},
    {"HTTPS_PROXY": "http://s:1", "https_proxy": ""},
    {"HTTPS_PROXY": "http://s:1", "https_proxy": "http://t:1"},
    {"HTTP_PROXY": "http://h:1", "REQUEST_METHOD": "GET"},
    {"http_proxy": "http://h:1", "REQUEST_METHOD": "GET"},
    {"http_proxy": "http://h:1", "https_proxy": "https://s:1", "socks_proxy": "http://k:1"},
    {"SOCKS_PROXY": "socks4a://k:1", "https_proxy": "http://s:1"},
    {"ws_proxy": "http://w:1", "socks_proxy": "socks5://k:1"},
    {"WSS_PROXY": "http://v:1", "socks_proxy": "socks5://k:1", "http_proxy": "http://h:1"},
    {"Https_Proxy": "http://s:1"},
    {"all_proxy": "http://a:1", "ALL_PROXY": "http://b:1", "ftp_proxy": "http://f:1"},
    {"https_proxy": "http://s:1", "no_proxy": "*"},
    {"https_proxy": "http://s:1", "no_proxy": "example.com"},
    {"https_proxy": "http://s:1", "no_proxy": ".EXAMPLE.com , 127.0.0.1"},
    {"https_proxy": "http://s:1", "NO_PROXY": "api.example.com:8443,127.0.0.1:80"},
    {"https_proxy": "http://s:1", "no_proxy": "example.com:443,2001:db8::1"},
    {"https_proxy": "http://s:1", "no_proxy": "127.0.0.0/8,*.example.com,,."},
    {"https_proxy": "http://s:1", "NO_PROXY": "*", "no_proxy": ""},
    {"https_proxy": "http://s:1", "no_proxy": "com,xn--bcher-kva.example"},
    {"no_proxy": "*"},
]


@pytest.mark.once
@pytest.mark.parametrize("variables", ENVIRONMENTS, ids=str)
async def test_choice(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.lower().endswith("_proxy") or name == "REQUEST_METHOD":
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for uri in URIS:
        expected = their_proxy(parse_uri(uri))
        assert get_proxy(uri) == expected
        # What the core chose is known before anything is opened.
        opening = asyncio.ensure_future(connect(uri).__aenter__())
        await asyncio.sleep(0)
        opening.cancel()
        seen = proxies_seen()
        assert seen == [expected or ""]
        with pytest.raises(asyncio.CancelledError):
            await opening


def proxies_seen() -> list[str]:
    from aiows import _loop

    return [connection.info()["proxy"] for connection in _loop.current().connections]


async def test_environment_is_read_at_each_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    opening = connect("ws://127.0.0.1:1/")
    with pytest.raises(ConnectionRefusedError, match=r"connect to 127\.0\.0\.1:1: "):
        await opening
    monkeypatch.setenv("http_proxy", "ftp://u:secret@127.0.0.1:2")
    with pytest.raises(InvalidProxy, match=r"'ftp://127\.0\.0\.1:2': scheme 'ftp'"):
        await opening
    monkeypatch.setenv("http_proxy", "http://u:sec%ret@127.0.0.1:2")  # what only the core sees
    with pytest.raises(InvalidProxy, match=r"'http://127\.0\.0\.1:2': percent sign") as caught:
        await opening
    assert "sec" not in str(caught.value).replace("without two", "")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:2")
    with pytest.raises(ConnectionRefusedError, match=r"proxy http://127\.0\.0\.1:2: connect"):
        await opening
    with pytest.raises(ConnectionRefusedError, match=r"^\[Errno 111\] connect to"):
        await connect("ws://127.0.0.1:1/", proxy=None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(ConnectionRefusedError, match=r"connect to 127\.0\.0\.1:1: "):
        await opening


@pytest.mark.once
def test_urllib_is_not_imported_for_nothing() -> None:
    program = """
import asyncio, sys
import aiows
async def main():
    try:
        await aiows.connect("ws://127.0.0.1:1/")
    except ConnectionRefusedError:
        print("urllib.request" in sys.modules)
asyncio.run(main())
"""
    clean = {n: v for n, v in environment().items() if not n.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
