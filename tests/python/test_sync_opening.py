"""aiows.sync: connect, its arguments and errors, and reconnecting."""

from __future__ import annotations

import inspect
import json
import re
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from servers.fixtures import Certificates
from servers.launch import ServerProcess
from websockets.sync.server import unix_serve

import aiows
from aiows import create_default_context
from aiows.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)
from aiows.sync import ClientConnection, connect, reconnect, unix_connect, unix_reconnect


def test_one_signature() -> None:
    theirs = dict(inspect.signature(aiows.connect).parameters)
    assert dict(inspect.signature(reconnect).parameters) == theirs
    ours = dict(inspect.signature(connect).parameters)
    assert ours.pop("legacy").default is None
    assert ours == theirs


def test_request(websockets_server: ServerProcess) -> None:
    with connect(
        websockets_server.uri("/request"),
        origin="https://example.com",
        subprotocols=["chat"],
        additional_headers={"X-One": "1"},
        user_agent_header="mine",
    ) as ws:
        told = ws.recv_json()
    fields = dict(told["headers"])
    assert told["subprotocol"] == ws.subprotocol == "chat"
    assert (fields["Origin"], fields["X-One"], fields["User-Agent"]) == (
        "https://example.com",
        "1",
        "mine",
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"on_message": 1}, TypeError),
        ({"ping_interval": "20"}, TypeError),
        ({"max_size": 0}, ValueError),
        ({"compression": "gzip"}, ValueError),
        ({"create_connection": aiows.ClientConnection}, TypeError),
        ({"no_such": 1}, TypeError),
        ({"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}, ValueError),
    ],
)
def test_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        reconnect("ws://localhost/", **arguments)
    with pytest.raises(error):
        connect("ws://localhost/", **arguments)


def test_coroutine_functions_are_refused() -> None:
    async def function(*arguments: Any) -> None: ...

    for name in ("on_open", "on_message", "on_close"):
        with pytest.raises(TypeError, match=name):
            reconnect("ws://localhost/", **{name: function})


@pytest.mark.parametrize("uri", ["http://localhost/", "ws://", "ws://localhost/#a"])
def test_uri(uri: str) -> None:
    with pytest.raises(InvalidURI):
        connect(uri)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/eof", InvalidMessage),
        ("/garbage", InvalidMessage),
        ("/bad-accept", InvalidHandshake),
        ("/silence", TimeoutError),
    ],
)
def test_failing_handshakes(raw_server: ServerProcess, path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        connect(raw_server.uri(path), open_timeout=0.3 if path == "/silence" else 10)


def test_status(any_server: ServerProcess) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connect(any_server.uri("/status?code=403"))
    assert caught.value.response.status_code == 403


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            connect(f"ws://127.0.0.1:{unused.getsockname()[1]}/")
    with pytest.raises(socket.gaierror):
        connect("ws://no-such-name.invalid/", open_timeout=None)


def test_certificates(websockets_tls_server: ServerProcess, certificates: Certificates) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(websockets_tls_server.uri())
    context = create_default_context(cafile=certificates.ca)
    with connect(websockets_tls_server.uri(), ssl=context) as ws:
        ws.send("a")
        assert ws.recv() == "a"


def test_subclass(websockets_server: ServerProcess) -> None:
    class Mine(ClientConnection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.received = 0

        def recv(self, *args: Any, **kwargs: Any) -> Any:
            self.received += 1
            return super().recv(*args, **kwargs)

    with connect(websockets_server.uri(), create_connection=Mine) as ws:
        assert isinstance(ws, Mine)
        ws.send_json([1])
        assert ws.recv_json() == [1]
        assert ws.received == 1


def test_reconnecting(websockets_server: ServerProcess) -> None:
    opened: list[Any] = []

    def on_open(connection: ClientConnection) -> None:
        opened.append(connection)
        connection.send("subscribe")

    seen = []
    for ws in reconnect(websockets_server.uri(), on_open=on_open):
        try:
            seen.append(ws.recv())
            if len(seen) == 3:
                break
            if len(seen) == 2:
                ws.close()
                ws.recv()
        except ConnectionClosed:
            continue
    assert seen == ["subscribe"] * 3
    # break destroys the loop's generator, as an exception would.
    assert [one.close_code for one in opened] == [1000, 1000, 1011]


def test_reconnecting_with_delays(websockets_server: ServerProcess) -> None:
    delays: list[int] = []

    def no_delay() -> Any:
        for number in range(3):
            delays.append(number)
            yield 0

    uris = [websockets_server.uri("/status?code=503"), websockets_server.uri("/status?code=500")]
    with pytest.raises(InvalidStatus) as caught:
        for _ in reconnect(uris, reconnect_delays=no_delay):
            raise AssertionError("it opened")
    assert caught.value.response.status_code == 500
    assert delays == [0, 1, 2]
    with pytest.raises(InvalidStatus):
        next(iter(reconnect(websockets_server.uri("/status?code=404"))))


def test_failing_over(websockets_server: ServerProcess) -> None:
    bad = websockets_server.uri("/status?code=503")
    with connect([bad, websockets_server.uri()]) as ws:
        assert ws.uri == websockets_server.uri()
    with pytest.raises(InvalidStatus) as caught:
        connect([bad, websockets_server.uri("/status?code=404")])
    assert caught.value.response.status_code == 404
    assert "503" in caught.value.__notes__[0]


def test_on_open_that_fails(websockets_server: ServerProcess) -> None:
    target = "/echo?on-open-fails"

    def on_open(connection: ClientConnection) -> None:
        raise KeyError("no")

    with pytest.raises(KeyError):
        connect(websockets_server.uri(target), on_open=on_open)
    with connect(websockets_server.uri(f"/ended?target={target}")) as ws:
        assert json.loads(ws.recv()) == [[1011, ""]]


def test_reconnect_as_a_context(websockets_server: ServerProcess) -> None:
    again = reconnect(websockets_server.uri())
    for _ in range(2):
        with again as ws:
            ws.send("a")
            assert ws.recv() == "a"
            with pytest.raises(RuntimeError, match="in use"):
                again.__enter__()
        assert ws.close_code == 1000


@pytest.mark.parametrize("legacy", [None, True, False])
def test_legacy_is_taken(websockets_server: ServerProcess, legacy: bool | None) -> None:
    made: Any = connect(websockets_server.uri(), legacy=legacy)  # type: ignore[call-arg]
    assert isinstance(made, reconnect if legacy is False else ClientConnection)
    with made as ws:
        ws.send("a")
        assert ws.recv() == "a"


@pytest.mark.parametrize("legacy", ["x", 0, 1, []])
def test_legacy_is_checked(legacy: Any) -> None:
    with pytest.raises(TypeError, match=f"legacy must be bool, got {re.escape(repr(legacy))}"):
        connect("ws://localhost/", legacy=legacy)  # type: ignore[call-arg]


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with unix_serve(lambda ws: ws.send(ws.recv()), str(path)) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            with unix_connect(path) as ws:
                ws.send("a")
                assert ws.recv() == "a"
                assert ws.remote_address == str(path)
            for ws in unix_reconnect(path, "ws://elsewhere/path"):
                assert ws.uri == "ws://elsewhere/path"
                break
        finally:
            server.shutdown()
            serving.join()


def test_socket_of_the_program(websockets_server: ServerProcess) -> None:
    sock = socket.create_connection(("127.0.0.1", websockets_server.port))
    own = sock.getsockname()
    with connect("ws://elsewhere/echo", sock=sock) as ws:
        assert ws.local_address == own
        ws.send("a")
        assert ws.recv() == "a"
    assert sock.fileno() == -1
