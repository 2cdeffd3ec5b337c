"""What errors say about the values that they are about: how they begin, and no secret."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from servers.launch import ServerProcess

import aiows.sync
from aiows import AioWebSocket, Headers, InvalidStatus, Response, connect
from aiows._quoting import quoted
from aiows.exceptions import InvalidHeaderValue, InvalidProxy, InvalidURI, ProtocolError

pytestmark = pytest.mark.once

URI = "ws://127.0.0.1:9/"
LONG = "a" * 100_000
MANY = [LONG] * 10
DIGITS = 10**5000  # more of them than repr writes
CLIENTS: list[Any] = [connect, AioWebSocket, aiows.sync.connect]


class Wrong:
    """It has no repr."""

    def __repr__(self) -> str:
        raise ZeroDivisionError


def whole(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error))


def test_quoted() -> None:
    for value in (LONG, LONG.encode(), "\U0001f600" * 1000, "\x01" * 1000, MANY):
        assert quoted(value) == f"{repr(value)[:200]}...{repr(value)[-1]}"


def test_quoted_in_full() -> None:
    assert quoted("a" * 198) == repr("a" * 198)
    assert quoted(1.5) == "1.5"
    assert "Wrong object" in quoted(Wrong())
    assert "int object" in quoted(DIGITS)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("additional_headers", [LONG, {f"{LONG} ": ""}, {LONG: 1j}, {"Host": "\0" * 999}, MANY]),
        ("additional_headers", [{"Connection": LONG}, {"Sec-WebSocket-Extensions": LONG}]),
        ("compression", [LONG, MANY, DIGITS, Wrong()]),
        ("create_connection", [LONG, type(LONG, (), {})]),
        ("extensions", [LONG, MANY, DIGITS]),
        ("family", [LONG, DIGITS]),
        ("host", [MANY, f"{LONG}\n"]),
        ("local_addr", [LONG, (MANY, 1), (f"{LONG}\n", 1), ("", DIGITS)]),
        ("logger", [LONG, Wrong()]),
        ("max_queue", [LONG, DIGITS, -DIGITS, MANY, tuple(MANY), (1, DIGITS)]),
        ("max_size", [LONG, DIGITS, -DIGITS, MANY, tuple(MANY), (1, DIGITS)]),
        ("on_close", [LONG, MANY]),
        ("on_open", [LONG, MANY]),
        ("origin", [MANY, f"{LONG}\n", f"{LONG}\ud800"]),
        ("path", [LONG]),
        ("ping_interval", [LONG, MANY, -DIGITS, Wrong()]),
        ("process_exception", [LONG, MANY]),
        ("proxy", [LONG, MANY, f"{LONG}://h", f"http://h:{LONG}", f"http://h:{'9' * 9999}"]),
        ("proxy", [f"http://h/{LONG}", f"http://{LONG}@"]),
        ("reconnect_delays", [LONG]),
        ("sock", [LONG]),
        ("ssl", [LONG, MANY]),
        ("subprotocols", [LONG, [f"{LONG} "], [MANY], [LONG, LONG]]),
        ("user_agent_header", [MANY, f"{LONG}\n"]),
        ("write_limit", [LONG, DIGITS, tuple(MANY)]),
    ],
)
@pytest.mark.parametrize("client", CLIENTS)
def test_arguments_are_shortened(client: Any, name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises((TypeError, ValueError, InvalidProxy)) as caught:
            client(URI, **{name: value})
        assert len(whole(caught.value)) < 1000
        assert "integer string conversion" not in str(caught.value)


URIS: list[Any] = [
    LONG,
    MANY,
    DIGITS,
    [*MANY, LONG.encode()],
    f"ws://{LONG}^/",
    f"ws://[{LONG}g]/",
    f"ws://h:{LONG}/",
    f"ws://h:{'9' * 9999}/",
    f"ws://h/#{LONG}",
    f"{LONG}://h",
    f"ws://{LONG}@h:x/",
    f"ws://h/{LONG}\n",
]


@pytest.mark.parametrize("client", CLIENTS)
def test_uris_are_shortened(client: Any) -> None:
    for uri in URIS:
        with pytest.raises((InvalidURI, TypeError)) as caught:
            client(uri)
        assert len(whole(caught.value)) < 1000


async def test_what_the_core_refuses_is_shortened(websockets_server: ServerProcess) -> None:
    uri = websockets_server.uri()
    calls: list[dict[str, Any]] = [
        {"uri": f"ws://{LONG}/"},
        {"uri": f"ws://{'a.' * 50_000}/"},
        {"uri": f"{uri}{LONG}"},
        {"additional_headers": {"A": LONG}},
        {"origin": LONG},
        {"host": LONG},
        {"subprotocols": [LONG]},
        {"user_agent_header": LONG},
        {"proxy": f"http://{LONG}:1"},
        {"uri": "wss://127.0.0.1:9/", "server_hostname": LONG},
    ]
    for call in calls:
        options: dict[str, Any] = {"uri": uri} | call
        with pytest.raises((OSError, ValueError, aiows.WebSocketException)) as caught:
            await connect(**options)
        assert len(whole(caught.value)) < 1000


CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("recv_many", (2**9999,)),
    ("recv_many", (LONG,)),
    ("send", (DIGITS,)),
    ("send", ({LONG: 1},)),
    ("close", (DIGITS,)),
    ("close", (LONG,)),
    ("close", (1000, MANY)),
    ("close", (1000, LONG)),
    ("ping", (LONG,)),
    ("ping", (MANY,)),
    ("pong", (MANY,)),
]


async def test_calls_are_shortened(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        with aiows.sync.connect(websockets_server.uri()) as blocking:
            for made in (ws, blocking):
                for name, arguments in CALLS:
                    with pytest.raises((TypeError, ValueError, ProtocolError)) as caught:
                        result = getattr(made, name)(*arguments)
                        if result is not None:
                            await result
                    assert len(whole(caught.value)) < 1000


def test_what_peers_sent_is_shortened() -> None:
    assert len(str(InvalidStatus(Response(404, LONG, Headers())))) < 300
    assert len(str(InvalidHeaderValue("Upgrade", LONG))) < 300


SECRET = "hunter2"


@pytest.mark.parametrize(
    "arguments",
    [
        {"uri": f"ws://u:{SECRET}@h:x/"},
        {"uri": f"ws://u:{SECRET}/@h/#"},
        {"uri": f"ws://u:{SECRET}/@h/"},
        {"uri": f"ws://{SECRET}%/@h/"},
        {"uri": f"http://u:{SECRET}@h/"},
        {"uri": f"u:{SECRET}@h"},
        {"uri": f"ws://u:{SECRET}\n@h"},
        {"uri": f"ws://u:{SECRET}@h".encode()},
        {"uri": [f"ws://u:{SECRET}@h".encode()]},
        {"uri": {f"ws://u:{SECRET}@h"}},
        {"proxy": f"http://u:{SECRET}@h:x"},
        {"proxy": f"ftp://u:{SECRET}@h"},
        {"proxy": f"http://u:{SECRET}@h".encode()},
        {"proxy": f"http://u:{SECRET}@h/p"},
        {"additional_headers": f"Authorization: {SECRET}"},
        {"additional_headers": [f"Authorization: {SECRET}"]},
        {"additional_headers": [("Authorization", SECRET, 1)]},
        {"additional_headers": {"Authorization": f"{SECRET}\n"}},
        {"additional_headers": {"Authorization": f"{SECRET}\ud800"}},
        {"additional_headers": {"Authorization": [SECRET]}},
    ],
)
@pytest.mark.parametrize("client", CLIENTS)
def test_no_secrets_of_arguments(client: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError, InvalidProxy)) as caught:
        client(**{"uri": URI} | arguments)
    assert SECRET not in whole(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        f"Authorization: {SECRET}",
        ["GET / HTTP/1.1", f"Authorization: {SECRET}\r\n"],
        ["GET / HTTP/1.1", f"Authorization {SECRET}"],
        ["GET / HTTP/1.1", f"Authorization: {SECRET}".encode()],
        {f"Authorization: {SECRET}"},
    ],
)
def test_no_secrets_of_lines(headers: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        AioWebSocket(URI, headers)
    assert SECRET not in whole(caught.value)
    with pytest.raises(TypeError) as caught:
        AioWebSocket(URI, union_header=headers)
    assert SECRET not in whole(caught.value)
