"""AioWebSocket does what aiowebsocket did, where that was right: the opening and its request."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from typing import Any

import pytest
from servers.launch import ServerProcess

from aiows import (
    AioWebSocket,
    Converse,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
)
from aiows.exceptions import HandShakeError
from aiows.extensions.permessage_deflate import ClientPerMessageDeflateFactory


def lines(server: ServerProcess, path: str = "/bytes") -> list[str]:
    """Return a request as seed programs have it, for this server."""
    return [
        f"GET {path} HTTP/1.1",
        "Connection: Upgrade",
        f"Host: 127.0.0.1:{server.port}",
        "Origin: http://coolaf.com",
        "Sec-WebSocket-Key: RmDgZzaqqvC4hGlWBsEmwQ==",
        "Sec-WebSocket-Version: 13",
        "Upgrade: websocket",
    ]


def talking(aws: AioWebSocket) -> Converse:
    assert aws.manipulator is not None
    return aws.manipulator


async def test_timeout(raw_server: ServerProcess) -> None:
    aws = AioWebSocket(raw_server.uri("/silence"), timeout=0.05)
    with pytest.raises(ConnectionError, match=r"^Connection time out") as caught:
        async with aws:
            pass
    assert type(caught.value) is ConnectionError
    assert aws.state == 0


async def test_open_timeout_takes_its_place(raw_server: ServerProcess) -> None:
    with pytest.raises(ConnectionError, match="Connection time out"):
        async with AioWebSocket(raw_server.uri("/silence"), open_timeout=0.05):
            pass


@pytest.mark.parametrize("code", [404, 503])
async def test_status(any_server: ServerProcess, code: int) -> None:
    with pytest.raises(ConnectionError, match=rf"^Connection failed,status code:{code}$") as caught:
        async with AioWebSocket(any_server.uri(f"/status?code={code}")):
            pass
    error = caught.value
    assert isinstance(error, InvalidStatus) and isinstance(error, HandShakeError)
    assert error.response.status_code == code
    assert error.response.body.rstrip() == f"status {code}".encode()


@pytest.mark.parametrize(
    "path",
    "/no-upgrade /no-connection /no-accept /bad-accept /subprotocol /garbage "
    "/long-line /long-field /many-fields /long-head /two-accepts /bad-extension".split(),
)
async def test_handshake_errors(raw_server: ServerProcess, path: str) -> None:
    with pytest.raises(InvalidHandshake) as caught:
        async with AioWebSocket(raw_server.uri(path)):
            pass
    assert isinstance(caught.value, HandShakeError)
    for twin in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert type(twin) is type(caught.value) and str(twin) == str(caught.value)


async def test_any_phrase(raw_server: ServerProcess) -> None:
    async with AioWebSocket(raw_server.uri("/phrase")) as aws:
        assert aws.state == 1


@pytest.mark.parametrize(
    "uri", ["http://example.com", "https://example.com", "example.com", "ws://", "wss:///path"]
)
def test_scheme_and_host(uri: str) -> None:
    with pytest.raises(InvalidURI):
        AioWebSocket(uri)


async def request_of(server: ServerProcess, *arguments: Any, **options: Any) -> dict[str, Any]:
    async with AioWebSocket(server.uri("/request?a=b"), *arguments, **options) as aws:
        seen = json.loads(await talking(aws).receive())
        assert isinstance(seen, dict)
        return seen


async def test_default_request(any_server: ServerProcess) -> None:
    seen = await request_of(any_server)
    assert [name for name, _ in seen["headers"]] == [
        "Host",
        "Connection",
        "Upgrade",
        "User-Agent",
        "Origin",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
    ]
    fields = dict(seen["headers"])
    assert fields["Host"] == f"127.0.0.1:{any_server.port}"
    assert fields["Origin"] == "http://127.0.0.1"
    assert fields["Sec-WebSocket-Version"] == "13"
    assert seen["path"] == "/request?a=b"


async def test_one_space_after_the_colon(raw_server: ServerProcess) -> None:
    async with AioWebSocket(raw_server.uri("/bytes")) as aws:
        head = (await talking(aws).receive()).decode()
    request, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
    assert request == "GET /bytes HTTP/1.1"
    assert all(re.fullmatch(r"[A-Za-z-]+: \S+", field) for field in fields)


def test_default_origin_of_wss() -> None:
    uris = ["wss://me:secret@example.com:8443/path", "wss://[::1]:80/"]
    aws = AioWebSocket(uris)
    origins = [aws._plan(uri)._core["origin"] for uri in uris]
    assert origins == ["https://example.com", "https://[::1]"]


async def test_credentials(websockets_server: ServerProcess) -> None:
    uri = websockets_server.uri("/request").replace("://", "://me:secret@")
    async with AioWebSocket(uri) as aws:
        fields = dict(json.loads(await talking(aws).receive())["headers"])
    assert fields["Authorization"] == "Basic bWU6c2VjcmV0"
    assert fields["Origin"] == "http://127.0.0.1"


async def test_union_header(any_server: ServerProcess) -> None:
    plain = await request_of(any_server)
    seen = await request_of(any_server, union_header={"origin": "https://example.com", "X": 5})
    assert [name.lower() for name, _ in seen["headers"]] == [
        *(name.lower() for name, _ in plain["headers"]),
        "x",
    ]
    fields = {name.lower(): value for name, value in seen["headers"]}
    assert fields["origin"] == "https://example.com" and fields["x"] == "5"


async def test_origin_option(websockets_server: ServerProcess) -> None:
    seen = await request_of(websockets_server, origin="https://example.com")
    assert dict(seen["headers"])["Origin"] == "https://example.com"


@pytest.mark.parametrize("value", [[("Origin", "x")], "Origin: x", None, 5])
def test_union_header_must_be_a_dict(value: Any) -> None:
    with pytest.raises(TypeError, match="union_header must be a dict"):
        AioWebSocket("ws://127.0.0.1/", union_header=value)


@pytest.mark.parametrize(
    "header",
    [{"X\r\nY": "1"}, {"X": "1\r\nY: 2"}, {"X": "1\n"}, {"X": "1\0"}, {"X\0": "1"}, {"X": "\r"}],
)
@pytest.mark.parametrize("name", ["union_header", "headers", "additional_headers"])
def test_injection(name: str, header: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="header field"):
        AioWebSocket("ws://127.0.0.1/", **{name: header})


async def test_headers_as_dict(any_server: ServerProcess) -> None:
    seen = await request_of(any_server, {"X-One": "1", "User-Agent": "mine"}, {"x-one": "2"})
    names = [name.lower() for name, _ in seen["headers"]]
    assert names[:8] == [
        "host",
        "connection",
        "upgrade",
        "x-one",  # before "User-Agent", as in the dict
        "user-agent",
        "origin",
        "sec-websocket-key",
        "sec-websocket-version",
    ]
    fields = {name.lower(): value for name, value in seen["headers"]}
    assert fields["user-agent"] == "mine" and fields["x-one"] == "2"
    assert names.count("x-one") == 1


@pytest.mark.parametrize("ending", [[], [""], ["\r\n"]])
async def test_headers_as_lines(raw_server: ServerProcess, ending: list[str]) -> None:
    request = lines(raw_server)
    async with AioWebSocket(raw_server.uri("/ignored"), headers=[*request, *ending]) as aws:
        assert await talking(aws).receive() == "\r\n".join([*request, "", ""]).encode()


async def test_lines_are_sent_byte_for_byte(raw_server: ServerProcess) -> None:
    request = lines(raw_server)
    request[1:1] = ["x-ODD:no space", "X-Twice: 1", "X-Twice:  2 "]
    async with AioWebSocket(raw_server.uri("/ignored"), headers=tuple(request)) as aws:
        assert await talking(aws).receive() == "\r\n".join([*request, "", ""]).encode()


async def test_lines_with_libraries(any_server: ServerProcess) -> None:
    request = lines(any_server, "/request")
    async with AioWebSocket(any_server.uri("/ignored"), headers=request) as aws:
        seen = json.loads(await talking(aws).receive())
        assert [f"{name}: {value}" for name, value in seen["headers"]] == request[1:]


async def test_lines_without_host(raw_server: ServerProcess) -> None:
    request = lines(raw_server)
    del request[2]
    with pytest.warns(UserWarning, match="no Host line") as warned:
        aws = AioWebSocket(raw_server.uri("/ignored"), headers=request)
    assert warned[0].filename == __file__
    request.insert(1, f"Host: 127.0.0.1:{raw_server.port}")
    async with aws:
        assert await talking(aws).receive() == "\r\n".join([*request, "", ""]).encode()


async def test_union_header_on_top_of_lines(raw_server: ServerProcess) -> None:
    request = lines(raw_server)
    union = {"ORIGIN": "https://example.com", "X-New": "1"}
    async with AioWebSocket(raw_server.uri("/ignored"), request, union) as aws:
        request[3] = "ORIGIN: https://example.com"
        request.append("X-New: 1")
        assert await talking(aws).receive() == "\r\n".join([*request, "", ""]).encode()


@pytest.mark.parametrize(
    "name", ["Connection", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version"]
)
def test_lines_that_lack_a_field(raw_server: ServerProcess, name: str) -> None:
    request = [line for line in lines(raw_server) if not line.startswith(name)]
    with pytest.raises(ValueError, match=f"headers has no {name} line"):
        AioWebSocket(raw_server.uri(), headers=request)


@pytest.mark.parametrize(
    ("index", "line", "text"),
    [
        (0, "POST / HTTP/1.1", "line 1"),
        (0, "GET / HTTP/1.0", "line 1"),
        (0, "Host: example.com", "line 1"),
        (1, "Connection: Upgrade\r\n", r"line 2.*'\\r'"),
        (3, "Origin: x\nInjected: y", r"line 4.*'\\n'"),
        (3, "Origin: \0", r"line 4.*'\\x00'"),
        (3, "", "line 4 of headers is empty"),
        (3, "\r\n", "line 4"),
        (3, "no colon", "line 4 of headers has no colon"),
        (3, "two words: x", "token"),
        (3, "Sec-WebSocket-Extensions: x-other", "expected offers of permessage-deflate"),
        (1, "Connection: close", "connection has the value 'close'"),
        (4, "Sec-WebSocket-Key: short", "16 bytes in base64"),
    ],
)
def test_lines_that_cannot_be_sent(
    raw_server: ServerProcess, index: int, line: str, text: str
) -> None:
    request = lines(raw_server)
    request[index] = line
    with pytest.raises(ValueError, match=text):
        AioWebSocket(raw_server.uri(), headers=request)


@pytest.mark.parametrize("value", ["GET / HTTP/1.1", 5, {"a"}, b"x"])
def test_headers_of_another_type(value: Any) -> None:
    with pytest.raises(TypeError, match="headers must be a list of lines or a dict"):
        AioWebSocket("ws://127.0.0.1/", headers=value)


def test_lines_of_another_type(raw_server: ServerProcess) -> None:
    with pytest.raises(TypeError, match="line 2"):
        AioWebSocket(raw_server.uri(), headers=["GET / HTTP/1.1", b"Host: x"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("origin", "https://example.com"),
        ("subprotocols", ["chat"]),
        ("additional_headers", {"a": "b"}),
        ("user_agent_header", "mine"),
        ("compression", "deflate"),
        ("extensions", [ClientPerMessageDeflateFactory()]),
    ],
)
def test_lines_go_with_no_option_that_shapes_the_request(
    raw_server: ServerProcess, name: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be combined"):
        AioWebSocket(raw_server.uri(), headers=lines(raw_server), **{name: value})


def test_lines_go_with_no_credentials(raw_server: ServerProcess) -> None:
    uri = raw_server.uri().replace("://", "://me:secret@")
    with pytest.raises(ValueError, match="Authorization line"):
        AioWebSocket(uri, headers=lines(raw_server))


async def test_accept_value_of_an_own_key_is_checked(raw_server: ServerProcess) -> None:
    request = lines(raw_server, "/bad-accept")
    with pytest.raises(InvalidHandshake, match="Sec-WebSocket-Accept"):
        async with AioWebSocket(raw_server.uri(), headers=request):
            pass


async def test_attributes_may_change_until_the_opening(raw_server: ServerProcess) -> None:
    aws = AioWebSocket("ws://127.0.0.1/")
    aws.uri = raw_server.uri("/bytes")
    aws.union_header = {"X-Late": "1"}
    async with aws:
        assert b"\r\nX-Late: 1\r\n" in await talking(aws).receive()


def test_defaults_are_not_shared() -> None:
    parameters = inspect.signature(AioWebSocket).parameters
    AioWebSocket("ws://127.0.0.1/", [], {})
    assert parameters["headers"].default == [] and parameters["union_header"].default == {}
