"""aiows.sync: how connections end, and what is left then."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from servers.launch import ServerProcess

from aiows import State
from aiows.exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    PayloadTooBig,
    ProtocolError,
)
from aiows.sync import connect
from scripted import BINARY, CLOSE, PING, frame
from threads import HANG_S, until


def ended(server: ServerProcess, target: str) -> Any:
    """Return what the server saw of the end of a connection."""
    with connect(server.uri(f"/ended?target={target}")) as ws:
        return json.loads(ws.recv())[0]


def test_attributes(websockets_server: ServerProcess) -> None:
    ws = connect(websockets_server.uri(), subprotocols=["chat"])
    assert (ws.state, ws.close_code, ws.close_reason, ws.latency) == (State.OPEN, None, None, 0.0)
    assert ws.subprotocol == "chat"
    assert ws.request is not None and ws.request.path == "/echo"
    assert ws.response is not None and ws.response.status_code == 101
    assert ws.remote_address == ("127.0.0.1", websockets_server.port)
    assert ws.local_address[0] == "127.0.0.1"
    assert ws.uri == websockets_server.uri()
    assert ws.logger.extra == {"websocket": ws} and ws.id == ws.id
    assert ws.stats.messages_sent == 0
    ws.close(1000, "bye")
    assert (ws.state, ws.close_code, ws.close_reason) == (State.CLOSED, 1000, "bye")
    assert ws.remote_address == ("127.0.0.1", websockets_server.port)
    assert ws.subprotocol == "chat" and ws.stats.frames_sent == 1
    ws.close()
    assert ws.wait_closed() and ws.wait_closed(0)


@pytest.mark.parametrize(
    ("raised", "code"), [(None, 1000), (KeyError, 1011), (KeyboardInterrupt, 1011)]
)
def test_leaving_with(websockets_server: ServerProcess, raised: Any, code: int) -> None:
    target = f"/echo?leaving{code}{raised and raised.__name__}"
    try:
        with connect(websockets_server.uri(target)) as ws:
            if raised is not None:
                raise raised
    except BaseException as error:
        assert type(error) is raised
    assert ws.close_code == code
    assert ended(websockets_server, target) == [code, ""]


@pytest.mark.parametrize(
    ("path", "kind", "rcvd"),
    [
        ("/close?code=1000&reason=ok", ConnectionClosedOK, 1000),
        ("/close?code=1001", ConnectionClosedOK, 1001),
        ("/close?code=1005", ConnectionClosedOK, 1005),
        ("/close?code=4999", ConnectionClosedError, 4999),
        ("/drop", ConnectionClosedError, None),
    ],
)
def test_other_side_ends(
    websockets_server: ServerProcess, path: str, kind: type[ConnectionClosed], rcvd: int | None
) -> None:
    with connect(websockets_server.uri(path)) as ws:
        ws.send("now")
        with pytest.raises(kind) as caught:
            ws.recv()
        closed = caught.value
        assert type(closed) is kind
        assert (closed.rcvd.code if closed.rcvd else None) == rcvd
        assert closed.rcvd_then_sent is (True if rcvd else None)
        assert ws.close_code == (rcvd or 1006)
        for call in (lambda: ws.send("a"), ws.recv, ws.ping, ws.pong, lambda: ws.send(["a"])):
            with pytest.raises(kind):
                call()


def test_end_is_noticed_without_receiving(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri("/close?code=3000")) as ws:
        pong = ws.ping(ack_on_close=True)  # before the peer may close
        ws.send("now")
        until(lambda: ws.state is State.CLOSED)
        assert ws.close_code == 3000 and pong.is_set()
        with pytest.raises(ConnectionClosedError):
            ws.send("late")


def test_send_notices_the_end(websockets_server: ServerProcess) -> None:
    # As the watchdog has answered the peer's Close, or send looks for it.
    with connect(websockets_server.uri("/close")) as ws:
        ws.send("now")
        assert ws.wait_closed(0) in (True, False)
        with pytest.raises(ConnectionClosedOK):
            for _ in range(2000):
                time.sleep(0.01)
                ws.send("late")


def test_what_came_before_the_end_is_received(raw_server: ServerProcess) -> None:
    with connect(raw_server.uri()) as ws:
        for number in range(30):
            ws.send(str(number))
        while ws.queued <= 16:  # max_queue
            ws.ping().wait(0.01)
        queued = ws.queued
        ws.close()
        # Those that were read are there; what came later was dropped, in order.
        received = list(ws)
        assert len(received) >= queued
        assert received == [str(number) for number in range(len(received))]


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (999, "", ProtocolError),
        (1005, "", ProtocolError),
        (5000, "", ProtocolError),
        (1000, "x" * 124, ProtocolError),
        ("1000", "", TypeError),
        (1000, b"", TypeError),
    ],
)
def test_close_arguments(
    websockets_server: ServerProcess, code: Any, reason: Any, error: type[Exception]
) -> None:
    with connect(websockets_server.uri()) as ws:
        with pytest.raises(error):
            ws.close(code, reason)
        assert ws.state is State.OPEN


def test_control_arguments(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri()) as ws:
        with pytest.raises(ProtocolError, match="126"):
            ws.ping(b"x" * 126)
        with pytest.raises(TypeError):
            ws.pong(1)  # type: ignore[arg-type]
        pong = ws.ping("one")
        with pytest.raises(ConcurrencyError, match="one"):
            ws.ping(b"one")
        later = ws.ping(bytearray(b"two"))
        assert later.wait(HANG_S) and pong.is_set()
        assert ws.ping("one").wait(HANG_S)
        ws.pong("unasked")


def test_deaf_peer(raw_server: ServerProcess) -> None:
    for path in ("/deaf", "/close-open"):
        ws = connect(raw_server.uri(path), close_timeout=0.2)
        pongs = [ws.ping()] if path == "/deaf" else []
        ws.close()
        assert ws.state is State.CLOSED
        for pong in pongs:
            assert not pong.wait() and not pong.is_set()


def test_keepalive_while_nobody_waits(raw_server: ServerProcess) -> None:
    # The watchdog sends the pings and ends the connection, in this thread's absence.
    ws = connect(raw_server.uri("/deaf"), ping_interval=0.1, ping_timeout=0.1, close_timeout=0.1)
    time.sleep(0.8)
    with pytest.raises(ConnectionClosedError) as caught:
        ws.recv(timeout=HANG_S)
    assert caught.value.sent is not None and caught.value.sent.code == 1011
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_pings_are_answered_while_nobody_waits(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri("/ping?data=here")) as ws:
        time.sleep(0.3)
        assert ws.recv(timeout=HANG_S) == "pong"


def _numbered(number: int) -> bytes:
    return frame(BINARY, number.to_bytes(1000, "big"))


class Flooding:
    """A server that floods, and answers nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        import base64
        import hashlib

        peer, _ = self._listener.accept()
        with peer:
            key = next(
                line.split(b": ")[1]
                for line in peer.recv(65536).split(b"\r\n")
                if line.startswith(b"Sec-WebSocket-Key")
            )
            digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            peer.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                + base64.b64encode(digest)
                + b"\r\n\r\n"
            )
            ping, sent = frame(PING, b"ping"), 0
            try:
                while True:
                    numbers = range(sent, sent + 64)
                    peer.sendall(b"".join(_numbered(number) + ping for number in numbers))
                    sent += 64
            except OSError:
                pass  # the client is gone

    def close(self) -> None:
        self._listener.close()
        self._thread.join()


@pytest.mark.parametrize("max_queue", [16, 1])
def test_flood_while_closing(max_queue: int) -> None:
    server = Flooding()
    try:
        ws = connect(server.uri, close_timeout=0.3, max_queue=max_queue)
        assert ws.recv() == bytes(1000)
        until(lambda: ws.stats.bytes_received > 1 << 20)  # however long that takes
        ws.close()
        assert ws.state is State.CLOSED and ws.close_code == 1006
        rest = [int.from_bytes(message, "big") for message in ws_rest(ws)]
        assert rest == list(range(1, len(rest) + 1))
        assert 1000 < len(rest) < 4000  # 2 MiB
    finally:
        server.close()


def ws_rest(ws: Any) -> Any:
    with pytest.raises(ConnectionClosedError):
        while True:
            yield ws.recv()


def test_cause_is_told(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri("/burst?n=1&size=2000"), max_size=1000) as ws:
        with pytest.raises(ConnectionClosedError) as caught:
            ws.recv()
        assert isinstance(caught.value.__cause__, PayloadTooBig)


def test_on_close(websockets_server: ServerProcess) -> None:
    seen: list[Any] = []
    with connect(websockets_server.uri(), on_close=seen.append) as ws:
        assert seen == []
    assert seen == [ws]


def descriptors() -> int:
    """Count them; of a connection that ended, a goroutine closes the last one."""
    return len(os.listdir("/proc/self/fd"))


def resident_kib() -> int:
    with open("/proc/self/status") as status:
        return int(status.read().partition("VmRSS:")[2].split()[0])


@pytest.mark.once
def test_thousands_of_connections(picows_server: ServerProcess) -> None:
    def use(number: int) -> None:
        ws = connect(picows_server.uri(), compression=None)
        ws.send(str(number))
        assert ws.recv() == str(number)
        if number % 4:
            ws.close()  # else dropped: nothing is left either

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(use, range(500)))
        threads = threading.active_count()
        before, memory = descriptors(), resident_kib()
        list(pool.map(use, range(1500)))
        until(lambda: descriptors() <= before)
        assert threading.active_count() == threads
        assert resident_kib() - memory < 24 * 1024


def test_closed_connections_hold_no_descriptor(websockets_server: ServerProcess) -> None:
    before = descriptors()
    kept = []
    for _ in range(20):
        with connect(websockets_server.uri()) as ws:
            kept.append(ws)
    until(lambda: descriptors() <= before)
    assert {ws.close_code for ws in kept} == {1000}
    assert CLOSE == 8
