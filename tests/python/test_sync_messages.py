"""aiows.sync: messages both ways, with servers that others wrote."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest
from servers.common import FRAGMENTED_BYTES, FRAGMENTED_TEXT, burst
from servers.fixtures import Certificates
from servers.launch import ServerProcess

from aiows import create_default_context
from aiows.exceptions import ConcurrencyError, ConnectionClosedError, ConnectionClosedOK
from aiows.sync import connect

MESSAGES: list[Any] = [
    "",
    "text é \N{SNOWMAN}",
    b"",
    bytes(range(256)),
    "x" * 200_000,
    b"y" * 70_000,
]


def secured(server: ServerProcess, certificates: Certificates) -> dict[str, Any]:
    return {"ssl": create_default_context(cafile=certificates.ca)} if server.secure else {}


@pytest.mark.parametrize("compression", ["deflate", None])
def test_echo(
    peer_server: ServerProcess, certificates: Certificates, compression: str | None
) -> None:
    options = secured(peer_server, certificates)
    with connect(peer_server.uri(), compression=compression, max_size=None, **options) as ws:
        for message in MESSAGES:
            ws.send(message)
            assert ws.recv() == message
        # Many at a time, more than one batch of the core holds.
        for number in range(300):
            ws.send(str(number))
        assert [ws.recv(timeout=30) for _ in range(300)] == [str(number) for number in range(300)]


def test_types(raw_server: ServerProcess) -> None:
    def seen(ws: Any) -> tuple[int, str]:
        told = json.loads(ws.recv())
        assert told["masked"] and told["fin"]
        return told["opcode"], bytes.fromhex(told["payload"]).decode()

    with connect(raw_server.uri("/frames")) as ws:
        for message, text, expected in [
            ("a", None, 1),
            ("a", True, 1),
            ("a", False, 2),
            (b"a", None, 2),
            (bytearray(b"a"), None, 2),
            (memoryview(b"a"), True, 1),
            (b"a", False, 2),
        ]:
            ws.send(message, text=text)
            assert seen(ws) == (expected, "a")
        for wrong in (None, 1, {"a": 1}, object()):
            with pytest.raises(TypeError):
                ws.send(wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="UTF-8"):
            ws.send(b"\xff", text=True)
        ws.send("still open")
        assert seen(ws) == (1, "still open")


def test_decode(raw_server: ServerProcess) -> None:
    with connect(raw_server.uri()) as ws:
        for sent, decode, expected in [
            ("é", None, "é"),
            ("é", False, "é".encode()),
            ("é", True, "é"),
            ("é".encode(), None, "é".encode()),
            ("é".encode(), True, "é"),
        ]:
            ws.send(sent)
            assert ws.recv(decode=decode) == expected
        # What another method queued is converted as well.
        for message in ("é", "é".encode()):
            ws.send(message)
        assert ws.ping().wait()
        assert ws.queued == 2
        assert [ws.recv(decode=False), ws.recv(None, True)] == ["é".encode(), "é"]


def test_iterables(raw_server: ServerProcess) -> None:
    with connect(raw_server.uri("/frames")) as ws:
        ws.send(iter(["a", "é", ""]))
        ws.send([b"1", bytearray(b"2"), memoryview(b"3")])
        ws.send(["t"], text=False)
        ws.send([b"b"], text=True)
        ws.send([])
        ws.send("end")
        frames = []
        while not frames or bytes.fromhex(frames[-1]["payload"]) != b"end":
            frames.append(json.loads(ws.recv()))
        found = [(one["opcode"], one["fin"], bytes.fromhex(one["payload"])) for one in frames]
        assert found == [
            *[(1, False, b"a"), (0, False, "é".encode()), (0, False, b""), (0, True, b"")],
            *[(2, False, b"1"), (0, False, b"2"), (0, False, b"3"), (0, True, b"")],
            *[(2, False, b"t"), (0, True, b"")],
            *[(1, False, b"b"), (0, True, b"")],
            (1, True, b"end"),
        ]


@pytest.mark.parametrize("wrong", [["a", b"b"], ["a", 1], [1], "raises"])
def test_iterable_that_fails(websockets_server: ServerProcess, wrong: Any) -> None:
    def raising() -> Any:
        yield "a"
        raise KeyError("no more")

    uri = websockets_server.uri(f"/echo?fails={id(wrong)}")
    ws = connect(uri)
    with pytest.raises(KeyError if wrong == "raises" else TypeError):
        ws.send(raising() if wrong == "raises" else wrong)
    with pytest.raises(ConnectionClosedError) as caught:
        ws.recv()
    assert caught.value.sent is not None and caught.value.sent.code == 1011


def test_iterating(any_server: ServerProcess) -> None:
    with connect(any_server.uri("/burst?n=1000&size=50")) as ws:
        expected = list(burst({"n": "1000", "size": "50"}))
        received = []
        for message in ws:
            received.append(message)
            if len(received) == 1000:
                ws.close()  # ends the iteration
        assert received == expected
    with pytest.raises(ConnectionClosedOK):
        ws.recv()
    assert list(ws) == []


def test_iterating_until_an_error(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri("/close?code=3000&reason=why")) as ws:
        ws.send("now")
        with pytest.raises(ConnectionClosedError, match="3000"):
            list(ws)
    assert (ws.close_code, ws.close_reason) == (3000, "why")


def test_timeout_loses_nothing(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri()) as ws:
        for timeout in (0, -1, 0.001, 0.05):
            with pytest.raises(TimeoutError):
                ws.recv(timeout)
        for number in range(200):
            ws.send(str(number))
        received: list[Any] = []
        while len(received) < 200:
            try:
                received.append(ws.recv(timeout=0.00001))
            except TimeoutError:
                continue
        assert received == [str(number) for number in range(200)]
        with pytest.raises(TypeError):
            ws.recv(timeout="1")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="timeout"):
            ws.recv(timeout=float("nan"))
        with pytest.raises(TypeError, match="unexpected keyword argument 'limit'"):
            ws.recv(limit=1)  # type: ignore[call-overload]


def test_fragments_are_put_together(any_server: ServerProcess) -> None:
    with connect(any_server.uri("/fragments")) as ws:
        assert ws.recv() == "".join(FRAGMENTED_TEXT)
        assert ws.recv() == b"".join(FRAGMENTED_BYTES)


def test_together_with_the_handshake(raw_server: ServerProcess) -> None:
    with connect(raw_server.uri("/together")) as ws:
        assert [ws.recv(), ws.recv(), ws.recv()] == ["one", b"two", "three"]


def test_json(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri()) as ws:
        ws.send_json({"é": [1, None]})
        assert ws.recv_json() == {"é": [1, None]}
        ws.send_json([1], dumps=lambda value: f"<{value}>")
        assert ws.recv_json(timeout=10, loads=lambda text: text) == "<[1]>"


def test_compressed_sizes(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri(), max_size=1000) as ws:
        ws.send("a" * 1000)
        assert ws.recv() == "a" * 1000
        ws.send("a" * 1001)
        with pytest.raises(ConnectionClosedError) as caught:
            ws.recv()
        assert caught.value.sent is not None and caught.value.sent.code == 1009


def test_received_at(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri()) as ws:
        before = time.monotonic_ns()
        ws.send("a")
        ws.recv()
        assert before <= ws.received_at <= time.monotonic_ns()


def test_queue_is_bounded(raw_server: ServerProcess) -> None:
    with connect(raw_server.uri(), max_queue=(8, 2)) as ws:
        for number in range(1000):
            ws.send(str(number))
        # Nobody receives, so the pong behind the messages is not told yet.
        pong = ws.ping("last")
        while not ws.paused:
            assert not pong.wait(0.01)
        assert not pong.wait(0.2)
        assert 8 < ws.queued <= 8 + 64 and ws.paused
        assert [ws.recv() for _ in range(1000)] == [str(number) for number in range(1000)]
        assert pong.wait(30)
        assert not ws.paused


@pytest.mark.parametrize("compression", ["deflate", None])
def test_streaming(any_server: ServerProcess, compression: str | None) -> None:
    uri = any_server.uri("/fragments")
    with connect(uri, compression=compression, max_size=(None, 1000)) as ws:
        text = list(ws.recv_streaming())
        assert "".join(text) == "".join(FRAGMENTED_TEXT)  # type: ignore[arg-type]
        assert b"".join(ws.recv_streaming(decode=False)) == b"".join(FRAGMENTED_BYTES)  # type: ignore[arg-type]
        # Whole messages, and the conversions, as before.
        ws.send(["é", "ü"])
        assert ws.recv() == "éü"
        ws.send(["é", "ü"])
        assert b"".join(ws.recv_streaming(False)) == "éü".encode()  # type: ignore[arg-type]
        ws.send(["é".encode()[:1], "é".encode()[1:]])
        assert "".join(ws.recv_streaming(True)) == "é"  # type: ignore[arg-type]


def test_streaming_left_and_gone_on_with(raw_server: ServerProcess) -> None:
    with connect(raw_server.uri()) as ws:
        ws._stream()
        ws.send(["a", "b", "c"])
        ws.send("next")
        first = ws.recv_streaming()
        assert next(first) == "a"
        for call in (ws.recv, ws.recv_many, lambda: next(iter(ws))):
            with pytest.raises(ConcurrencyError, match="recv_streaming has begun"):
                call()
        assert "".join(ws.recv_streaming()) == "bc"  # type: ignore[arg-type]
        with pytest.raises(ConcurrencyError, match="has ended this message"):
            next(first)
        assert ws.recv() == "next"
        # A recv whose time was up had a part already.
        pieces = iter(["1", "2"])
        ws._send_fragment(1, False, next(pieces))
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.05)
        stream = ws.recv_streaming()
        assert next(stream) == "1"
        ws._send_fragment(1, True, next(pieces))
        assert list(stream) == ["2"]


def test_streaming_what_is_no_text(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri()) as ws:
        ws.send(b"\xff")
        with pytest.raises(ConnectionClosedError, match="1007"):
            list(ws.recv_streaming(decode=True))


def test_receiving_many(raw_server: ServerProcess) -> None:
    with connect(raw_server.uri()) as ws:
        for number in range(40):
            ws.send(str(number))
        received: list[Any] = []
        while len(received) < 40:
            some = ws.recv_many(max=7, timeout=30)
            assert 1 <= len(some) <= 7
            received += some
        assert received == [str(number) for number in range(40)]
        with pytest.raises(TimeoutError):
            ws.recv_many(timeout=0.01)
        with pytest.raises(ValueError, match="max"):
            ws.recv_many(max=0)


def test_frames_are_logged(
    websockets_server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.DEBUG, "aiows.client"),
        connect(websockets_server.uri(), compression=None) as ws,
    ):
        ws.send("a message")
        ws.recv()
    lines = [record.getMessage() for record in caplog.records]
    assert sum("a message" in line for line in lines) == 2
    assert all(record.websocket.id == ws.id for record in caplog.records)  # type: ignore[attr-defined]
