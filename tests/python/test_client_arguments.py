"""What the constructors of connect, serve and AioWebSocket refuse, before any socket."""

from __future__ import annotations

import inspect
import logging
import math
import ssl
from typing import Any

import pytest
import websockets.asyncio.client
import websockets.asyncio.server

from aiows import AioWebSocket, Headers, InvalidProxy, InvalidURI, SSLContext, connect, serve
from aiows.extensions.permessage_deflate import ClientPerMessageDeflateFactory

URI = "ws://127.0.0.1:9/"


async def coroutine_function(*arguments: object) -> None:
    pass


BOTH: list[tuple[str, Any, type[Exception], str]] = [
    ("compression", "gzip", ValueError, "compression = 'gzip', expected 'deflate' or None"),
    ("compression", True, ValueError, "compression = True"),
    ("extensions", ["permessage-deflate"], TypeError, "PerMessageDeflateFactory"),
    ("open_timeout", "1", TypeError, "open_timeout"),
    ("open_timeout", -1, ValueError, "open_timeout = -1"),
    ("open_timeout", math.nan, ValueError, "open_timeout = nan"),
    ("open_timeout", math.inf, ValueError, "open_timeout = inf"),
    ("ping_interval", 0, ValueError, "ping_interval = 0"),
    ("ping_interval", True, TypeError, "ping_interval"),
    ("ping_timeout", -0.1, ValueError, "ping_timeout = -0.1"),
    ("close_timeout", [], TypeError, "close_timeout"),
    ("max_size", 0, ValueError, "max_size = 0"),
    ("max_size", -1, ValueError, "max_size = -1"),
    ("max_size", 2.5, TypeError, "max_size"),
    ("max_size", (1, "2"), TypeError, "max_size"),
    ("max_size", 2**63, ValueError, "max_size"),
    ("max_queue", 0, ValueError, "max_queue = 0"),
    ("max_queue", "4", TypeError, "max_queue"),
    ("max_queue", (4, 5), ValueError, "low not above high"),
    ("max_queue", (None, 5), ValueError, "without a high one"),
    ("max_queue", (1, 2, 3), ValueError, "expected .high, low."),
    ("write_limit", -1, ValueError, "write_limit = -1"),
    ("write_limit", None, TypeError, "write_limit"),
    ("write_limit", (1, 2), ValueError, "low not above high"),
    ("subprotocols", "chat", TypeError, "subprotocols"),
    ("subprotocols", [5], TypeError, "subprotocols"),
    ("subprotocols", ["a b"], ValueError, "'a b' is not a token"),
    ("subprotocols", ["a", "a"], ValueError, "listed twice"),
    ("logger", "aiows", TypeError, "logger"),
    ("ssl", "yes", TypeError, "ssl"),
]

CLIENT: list[tuple[str, Any, type[Exception], str]] = [
    *BOTH,
    ("ssl", ssl.create_default_context(), ValueError, "needs a wss:// URI"),
    ("origin", 5, TypeError, "origin"),
    ("origin", "http://a\r\nX: 1", ValueError, "origin"),
    ("user_agent_header", 5, TypeError, "user_agent_header"),
    ("user_agent_header", "a\0", ValueError, "user_agent_header"),
    ("origin", "\ud800", ValueError, r"origin = '\\ud800'"),
    ("host", "\udce9", ValueError, r"host = '\\udce9'"),
    ("additional_headers", {"a": "\udce9"}, ValueError, "'a' holds '.udce9' at index 0, expected"),
    ("proxy", "http://\ud800", InvalidProxy, "surrogate"),
    ("additional_headers", "a: b", TypeError, "mapping or pairs"),
    ("additional_headers", {"a": "b\r\n"}, ValueError, "'a' holds"),
    ("additional_headers", {"a\n": "b"}, ValueError, "token"),
    (
        "additional_headers",
        {"sec-websocket-EXTENSIONS": "permessage-deflate, x-webkit-deflate-frame"},
        ValueError,
        "expected offers of permessage-deflate",
    ),
    ("additional_headers", {"Connection": "close"}, ValueError, "connection.*'close'"),
    ("additional_headers", {"Upgrade": "h2c"}, ValueError, "upgrade.*'h2c'"),
    ("additional_headers", {"Sec-WebSocket-Version": 8}, ValueError, "version.*'8'"),
    ("additional_headers", {"Sec-WebSocket-Key": "x"}, ValueError, "key.*'x'"),
    ("additional_headers", {"Host": ""}, ValueError, "host.*''"),
    ("additional_headers", {"Transfer-Encoding": "chunked"}, ValueError, "no body"),
    ("additional_headers", {"Content-Length": 5}, ValueError, "no body"),
    ("proxy", False, TypeError, "proxy must be a str, True or None"),
    ("proxy", b"http://proxy", TypeError, "proxy must be a str, True or None"),
    ("proxy", "", InvalidProxy, "scheme ''"),
    ("proxy", "env", InvalidProxy, "scheme ''"),
    ("proxy", "ftp://u:secret@proxy", InvalidProxy, "'ftp://proxy': scheme 'ftp'"),
    ("proxy", "http://u:secret@", InvalidProxy, "'http://': the host is missing"),
    ("proxy", "http://u:secret@proxy/p", InvalidProxy, "'http://proxy/p': a path"),
    ("proxy", "http://proxy?q", InvalidProxy, "a path, query or fragment"),
    ("proxy", "http://proxy:0", InvalidProxy, "port '0'"),
    ("proxy", "http://proxy\r\n", InvalidProxy, "control character"),
    ("proxy", "http://user@proxy", InvalidProxy, "'http://proxy': a user name without a password"),
    ("proxy_ssl", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ValueError, "made for servers"),
    ("proxy_ssl", False, ValueError, "proxy_ssl = False"),
    ("proxy_ssl", "yes", TypeError, "proxy_ssl"),
    ("proxy_ssl", SSLContext(ssl.PROTOCOL_TLS_SERVER), ValueError, "server's context"),
    ("proxy_server_hostname", "", ValueError, "proxy_server_hostname"),
    ("host", 5, TypeError, "host"),
    ("host", "", ValueError, "host = ''"),
    ("port", "80", TypeError, "port"),
    ("port", 0, ValueError, "port = 0"),
    ("port", 65536, ValueError, "port = 65536"),
    ("server_hostname", "x", ValueError, "wss://"),
    ("ssl", True, ValueError, "wss://"),
    ("ssl", SSLContext(), ValueError, "wss://"),
    ("on_message", 5, TypeError, "on_message"),
    ("on_message", coroutine_function, TypeError, "on_message"),
    ("on_close", coroutine_function, TypeError, "on_close"),
]

SERVER: list[tuple[str, Any, type[Exception], str]] = [
    *BOTH,
    ("host", 5, TypeError, "host"),
    ("port", "80", TypeError, "port"),
    ("port", -1, ValueError, "port = -1"),
    ("port", 65536, ValueError, "port = 65536"),
    ("backlog", 0, ValueError, "backlog = 0"),
    ("backlog", "1", TypeError, "backlog"),
    ("reuse_port", 1, TypeError, "reuse_port"),
    ("server_header", "a\r\n", ValueError, "server_header"),
    ("ssl", True, TypeError, "ssl"),
    ("ssl", ssl.create_default_context(), TypeError, "create_default_context"),
    ("ssl", SSLContext(ssl.PROTOCOL_TLS_SERVER), ValueError, "load_cert_chain"),
    ("ssl", SSLContext(), ValueError, "client's context"),
]


@pytest.mark.parametrize(("name", "value", "error", "text"), CLIENT)
@pytest.mark.parametrize("client", [connect, AioWebSocket])
def test_client_refuses(
    client: Any, name: str, value: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        client(URI, **{name: value})


@pytest.mark.parametrize(("name", "value", "error", "text"), SERVER)
def test_server_refuses(name: str, value: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        serve(coroutine_function, **{"host": "127.0.0.1", "port": 0, name: value})


def test_server_refuses_a_handler_that_is_none() -> None:
    with pytest.raises(TypeError, match="handler"):
        serve("handler", "127.0.0.1", 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("http://example.com/", "scheme 'http', expected ws or wss"),
        ("example.com", "expected ws or wss"),
        ("ws:/example.com", "expected ws or wss"),
        ("", "expected ws or wss"),
        ("ws://", "host is missing"),
        ("ws:///path", "host is missing"),
        ("ws://exa%00mple.com/", "host 'exa%00mple.com'"),
        ("ws://a:b:80/", "host 'a:b'"),
        ("ws://[::1/", "expected a name or an address"),
        ("ws://[localhost]/", "expected a name or an address"),
        ("ws://a\\b/", "expected a name or an address"),
        ("ws://:80/", "host is missing"),
        ("ws://example.com:0/", "port '0'"),
        ("ws://example.com:65536/", "port '65536'"),
        ("ws://example.com:http/", "port 'http'"),
        ("ws://example.com/#top", "fragment"),
        ("ws://example.com/a b", "index 18"),
        ("ws://example.com/\r\nX: 1", r"'\\r'"),
    ],
)
@pytest.mark.parametrize("client", [connect, AioWebSocket])
def test_client_refuses_uri(client: Any, uri: str, text: str) -> None:
    with pytest.raises(InvalidURI, match=text) as caught:
        client(uri)
    assert isinstance(caught.value, ValueError)
    assert caught.value.uri == uri


@pytest.mark.parametrize("client", [connect, AioWebSocket])
def test_client_refuses_what_is_no_text(client: Any) -> None:
    with pytest.raises(TypeError, match="uri must be str"):
        client(b"ws://example.com/")


@pytest.mark.parametrize("client", [connect, AioWebSocket])
@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("subprotocols", ["a"], "Sec-WebSocket-Protocol"),
        ("origin", "http://a", "Origin"),
        ("extensions", [ClientPerMessageDeflateFactory()], "Sec-WebSocket-Extensions"),
    ],
)
def test_client_refuses_what_is_said_twice(client: Any, name: str, value: Any, field: str) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be combined"):
        client(URI, **{name: value, "additional_headers": {field: "permessage-deflate"}})


@pytest.mark.parametrize(
    "uri", ["ws://[fe80::1%25eth0]:80/", "ws://münchen.example/", "ws://a_b/?c", "ws://1.2.3.4"]
)
def test_uris_for_the_core(uri: str) -> None:
    connect(uri)


def test_no_password_in_an_error() -> None:
    with pytest.raises(InvalidURI) as caught:
        connect("ws://user:secret@example.com/#x")
    assert "secret" not in repr(caught.value) + str(caught.value)


def test_wss_without_tls() -> None:
    with pytest.raises(ValueError, match="ssl = False"):
        connect("wss://example.com/", ssl=False)


def test_accepted() -> None:
    connect(
        "wss://user:password@[::1]:8443/path?query",
        origin="https://example.com",
        subprotocols=("a", "b"),
        additional_headers=Headers(a="1"),
        user_agent_header=None,
        proxy=None,
        compression=None,
        ssl=True,
        server_hostname="example.com",
        host="127.0.0.1",
        port=1,
        open_timeout=None,
        ping_interval=None,
        ping_timeout=0,
        close_timeout=0,
        max_size=None,
        max_queue=(None, None),
        write_limit=(10, 0),
        logger=logging.LoggerAdapter(logging.getLogger("x"), {}),
        on_message=print,
        on_close=print,
    )
    connect("WS://example.com", ssl=False, max_queue=None)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (connect, websockets.asyncio.client.connect),
        (serve, websockets.asyncio.server.serve),
    ],
)
def test_defaults_are_those_of_websockets(ours: Any, theirs: Any) -> None:
    theirs = inspect.signature(inspect.unwrap(theirs.__init__))
    different = {"user_agent_header", "server_header"}
    # Functions of our own, which test_client_reconnect compares with theirs.
    different |= {"process_exception", "reconnect_delays"}
    for name, parameter in inspect.signature(ours).parameters.items():
        if name in theirs.parameters and name not in different:
            assert parameter.default == theirs.parameters[name].default, name
            assert parameter.kind == theirs.parameters[name].kind, name


def test_positions_and_defaults_of_aiowebsocket() -> None:
    parameters = inspect.signature(AioWebSocket).parameters
    positional = {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }
    assert positional == {
        "uri": inspect.Parameter.empty,
        "headers": [],
        "union_header": {},
        "timeout": 30,
        "read_timeout": 120,
    }
    assert list(positional) == ["uri", "headers", "union_header", "timeout", "read_timeout"]
    own = {"compression": None, "max_size": 64 << 20, "proxy": None, "open_timeout": None}
    for name, parameter in inspect.signature(connect).parameters.items():
        if name != "uri":
            assert parameters[name].default == own.get(name, parameter.default), name
            assert parameters[name].kind is parameter.kind is not parameter.POSITIONAL_OR_KEYWORD
