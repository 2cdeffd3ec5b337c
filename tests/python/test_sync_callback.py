"""aiows.sync: on_message, called by whichever thread waits."""

from __future__ import annotations

import contextvars
import gc
import json
import ssl
import struct
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from servers.fixtures import Certificates
from servers.launch import ServerProcess
from websockets.sync.server import unix_serve

from aiows import State, create_default_context
from aiows.exceptions import ConnectionClosed, ConnectionClosedOK
from aiows.sync import ClientConnection, Pong, connect, unix_connect, unix_reconnect
from programs import run
from threads import HANG_S, until


@pytest.fixture(params=["plain", "core TLS", "Python's TLS"])
def secured(
    request: pytest.FixtureRequest,
    websockets_server: ServerProcess,
    websockets_tls_server: ServerProcess,
    certificates: Certificates,
) -> tuple[ServerProcess, dict[str, Any]]:
    """A server, and how to connect to it."""
    if request.param == "plain":
        return websockets_server, {}
    make = create_default_context if request.param == "core TLS" else ssl.create_default_context
    return websockets_tls_server, {"ssl": make(cafile=certificates.ca), "proxy": None}


def test_whole_life(secured: tuple[ServerProcess, dict[str, Any]]) -> None:
    server, options = secured
    variable = contextvars.ContextVar("variable", default="none")
    seen: list[Any] = []

    def on_message(ws: ClientConnection, message: Any) -> None:
        seen.append((message, variable.get(), threading.get_ident(), ws.received_at > 0))
        variable.set(f"after {message!r}")
        if message == "20":
            # The whole close handshake, inside of it.
            ws.close(3000, "enough")
            seen.append((ws.state, ws.wait_closed()))
        else:
            ws.send(str(len(seen)))

    def on_close(ws: ClientConnection) -> None:
        seen.append((ws.close_code, ws.close_reason))

    variable.set("opening")
    ws = connect(server.uri(), on_message=on_message, on_close=on_close, **options)
    variable.set("later")
    ws.send(b"first")
    assert ws.wait_closed()
    me = threading.get_ident()
    expected: list[Any] = [(b"first", "opening", me, True), ("1", "after b'first'", me, True)]
    expected += [(str(n), f"after '{n - 1}'", me, True) for n in range(2, 21)]
    assert seen == [*expected, (State.CLOSED, True), (3000, "enough")]
    assert variable.get() == "later"


@pytest.mark.parametrize("max_queue", [1, 16, None])
def test_many_threads_wait(websockets_server: ServerProcess, max_queue: int | None) -> None:
    """Each message once, in order, one at a time, and on_close after the last."""
    count = 2000
    inside = threading.Lock()
    seen: list[Any] = []

    def on_message(ws: ClientConnection, message: Any) -> None:
        assert inside.acquire(blocking=False)
        if isinstance(message, bytes):  # else an echo of the text below
            (number,) = struct.unpack_from("!I", message)
            seen.append(number)
            if number % 400 == 0:
                time.sleep(0.01)  # others find messages
                ws.ping().wait(0.01)
                ws.send("x" * 100_000)  # which waits
        inside.release()

    def on_close(ws: ClientConnection) -> None:
        assert inside.acquire(blocking=False)
        seen.append("closed")

    ws = connect(
        websockets_server.uri(f"/burst?n={count}&size=5000"),
        on_message=on_message,
        on_close=on_close,
        max_queue=max_queue,
        compression=None,
    )

    def ping() -> None:
        while len(seen) < count:
            ws.ping().wait(HANG_S)

    def look() -> None:
        while len(seen) < count:
            assert ws.state is State.OPEN and ws.stats.messages_received >= 0
            ws.wait_closed(0.001)

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(ws.wait_closed) for _ in range(2)]
        for other in [pool.submit(work) for work in (ping, ping, look)]:
            other.result(HANG_S)
        ws.close()
        assert [one.result(HANG_S) for one in waiting] == [True, True]
    assert seen == [*range(count), "closed"]


def test_what_is_left_goes_to_another_that_waits(raw_server: ServerProcess) -> None:
    seen: list[tuple[Any, int]] = []
    pongs: list[Pong] = []
    looked = threading.Event()

    def on_message(ws: ClientConnection, message: Any) -> None:
        seen.append((message, threading.get_ident()))
        if message == "one":
            # Go on once another thread waits, and has found all that will come.
            looked.set()
            until(lambda: ws.queued == 1 and threading.Event.is_set(pongs[0]))

    with (
        connect(raw_server.uri(), on_message=on_message) as ws,
        ThreadPoolExecutor() as pool,
    ):
        for message in ("one", "two"):
            ws.send(message)
        # The answers come in the order of the questions.
        pongs.append(ws.ping())
        first = pool.submit(lambda: (pongs[0].wait(HANG_S), threading.get_ident()))
        assert looked.wait(HANG_S)
        # Not of the main thread, which wakes up now and then.
        second = pool.submit(lambda: (ws.wait_closed(HANG_S), threading.get_ident()))
        done, one = first.result(HANG_S)
        until(lambda: len(seen) == 2)
        ws.close()
        closed, two = second.result(HANG_S)
    assert done and closed
    assert seen == [("one", one), ("two", two)]


def test_nothing_is_called_where_nothing_waits(websockets_server: ServerProcess) -> None:
    seen: list[Any] = []

    def on_message(ws: ClientConnection, message: Any) -> None:
        seen.append(message)

    with connect(websockets_server.uri("/burst?n=100"), on_message=on_message) as ws:
        until(lambda: ws.state is State.OPEN and ws.paused)
        ws.send("a")
        pong = ws.ping()
        assert not pong.is_set()
        assert seen == [] and 16 < ws.queued <= 16 + 64
        # A loop of the program's own calls this.
        assert not ws.wait_closed(0)
        assert len(seen) > 16 and ws.queued == 0
        until(lambda: ws.wait_closed(0) or (len(seen) == 101 and pong.is_set()))
        assert seen[100:] == ["a"]


def test_slow_callback_holds_the_peer_back(websockets_server: ServerProcess) -> None:
    held: list[int] = []
    seen: list[int] = []

    def on_message(ws: ClientConnection, message: Any) -> None:
        seen.append(struct.unpack_from("!I", message)[0])
        if len(seen) == 1:
            # This reads, and does not call on_message.
            until(lambda: ws.wait_closed(0.01) or ws.paused)
            held.append(ws.queued)
        if len(seen) == 2000:
            ws.close()

    uri = websockets_server.uri("/burst?n=2000&size=3000")
    ws = connect(uri, on_message=on_message, compression=None)
    assert ws.wait_closed()
    assert seen == list(range(2000))
    assert 16 < held[0] <= 16 + 64


def test_close_in_the_callback_keeps_what_was_there(raw_server: ServerProcess) -> None:
    seen: list[Any] = []

    def on_message(ws: ClientConnection, message: Any) -> None:
        seen.append(message)
        if len(seen) == 1:
            ws.close()
            assert ws.state is State.CLOSED and seen == ["one"]

    ended = lambda ws: seen.append(ws.close_code)  # noqa: E731
    ws = connect(raw_server.uri("/together"), on_message=on_message, on_close=ended)
    with ThreadPoolExecutor() as pool:
        # Also when another waits for the end: it comes after the last message.
        other = pool.submit(ws.wait_closed)
        assert ws.wait_closed() and seen == ["one", b"two", "three", 1000]
        assert other.result(HANG_S)


def test_close_does_not_wait_for_the_callback_of_another_thread(
    websockets_server: ServerProcess,
) -> None:
    lock, inside = threading.Lock(), threading.Event()
    seen: list[Any] = []

    def on_message(ws: ClientConnection, message: Any) -> None:
        inside.set()
        with lock:
            seen.append(message)

    ws = connect(websockets_server.uri(), on_message=on_message)
    ws.send("a")
    with ThreadPoolExecutor() as pool:
        with lock:
            waiting = pool.submit(ws.wait_closed)
            assert inside.wait(HANG_S)
            ws.close()
            assert ws.state is State.CLOSED and seen == []
            assert not ws.wait_closed(0.01)
        assert ws.wait_closed() and seen == ["a"]
        assert waiting.result(HANG_S)


CALLS: dict[str, Callable[[ClientConnection], object]] = {
    "wait_closed": lambda ws: ws.wait_closed(),
    "close": lambda ws: ws.close(),
    "pong": lambda ws: ws.ping().wait(),
    "send": lambda ws: [ws.send(bytes(1 << 20)) for _ in range(100)],
}


@pytest.mark.parametrize("name", CALLS)
def test_exception(websockets_server: ServerProcess, name: str) -> None:
    target = f"/burst?n=50&callback-raises-in={name}"
    seen: list[Any] = []

    def on_message(ws: ClientConnection, message: Any) -> None:
        seen.append(message)
        raise ZeroDivisionError

    ws = connect(
        websockets_server.uri(target),
        on_message=on_message,
        on_close=lambda ws: seen.append("closed"),
    )
    until(lambda: ws.state is State.OPEN and ws.queued > 0)
    with pytest.raises(ZeroDivisionError):
        CALLS[name](ws)
    if name in ("wait_closed", "close"):
        assert ws.state is State.CLOSED
    assert ws.wait_closed() and len(seen) == 2 and seen[1] == "closed"
    code = 1000 if name == "close" else 1011
    assert ws.close_code == code
    with pytest.raises(ConnectionClosed):
        ws.recv()
    with connect(websockets_server.uri(f"/ended?target={quote(target)}")) as ended:
        assert json.loads(ended.recv())[0][0] == code


def test_exception_of_another_thread(websockets_server: ServerProcess) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def on_message(ws: ClientConnection, message: Any) -> None:
        inside.set()
        assert go_on.wait(HANG_S)
        raise ZeroDivisionError

    with ThreadPoolExecutor() as pool:
        with connect(websockets_server.uri(), on_message=on_message) as ws:
            ws.send("a")
            unlucky = pool.submit(ws.wait_closed)
            assert inside.wait(HANG_S)
            other = pool.submit(ws.wait_closed)
            go_on.set()
            assert other.result(HANG_S)
            assert isinstance(unlucky.exception(HANG_S), ZeroDivisionError)
        assert ws.close_code == 1011


def test_interrupt_leaves_the_connection_open(websockets_server: ServerProcess) -> None:
    seen: list[Any] = []

    def on_message(ws: ClientConnection, message: Any) -> None:
        seen.append(message)
        if len(seen) == 1:
            raise KeyboardInterrupt
        if len(seen) == 3:
            ws.close()

    with connect(websockets_server.uri(), on_message=on_message) as ws:
        for message in "abc":
            ws.send(message)
        with pytest.raises(KeyboardInterrupt):
            ws.wait_closed()
        assert ws.state is State.OPEN
        assert ws.wait_closed()
    assert seen == ["a", "b", "c"] and ws.close_code == 1000


def test_receiving_is_refused(websockets_server: ServerProcess) -> None:
    seen: list[Any] = []

    def on_message(ws: ClientConnection, message: Any) -> None:
        seen.append(message)
        with pytest.raises(RuntimeError, match="on_message"):
            ws.recv(timeout=0)

    with connect(websockets_server.uri(), on_message=on_message, max_size=None) as ws:
        ws.send(["in ", "parts"])
        for call in (
            ws.recv,
            ws.recv_many,
            ws.recv_json,
            lambda: next(ws),
            lambda: next(ws.recv_streaming()),
        ):
            with pytest.raises(RuntimeError, match="on_message"):
                call()
        until(lambda: ws.wait_closed(0) or bool(seen))
    assert seen == ["in parts"]
    with pytest.raises(ConnectionClosedOK):
        ws.recv()
    assert list(ws) == []


def test_reconnecting_subclasses(tmp_path: Path) -> None:
    class Mine(ClientConnection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.messages: list[Any] = []

    def on_message(ws: Mine, message: Any) -> None:
        ws.messages.append(message)

    def serve(peer: Any) -> None:
        peer.send(peer.recv())
        peer.close(1001)

    path = tmp_path / "socket"
    with unix_serve(serve, str(path)) as server, ThreadPoolExecutor() as pool:
        pool.submit(server.serve_forever)
        try:
            options: Any = {"on_message": on_message, "create_connection": Mine}
            ended: list[Any] = []
            for ws in unix_reconnect(path, on_open=lambda ws: ws.send("subscribe"), **options):
                ws.wait_closed()
                ended.append((ws.messages, ws.close_code))  # type: ignore[attr-defined]
                if len(ended) == 3:
                    break
            assert ended == [(["subscribe"], 1001)] * 3
            with unix_connect(path, **options) as ws:
                ws.send("once")
                ws.wait_closed()
                assert ws.messages == ["once"]  # type: ignore[attr-defined]
        finally:
            server.shutdown()


def test_dropped_in_a_cycle(websockets_server: ServerProcess) -> None:
    class Client:
        def __init__(self) -> None:
            self.ws = connect(websockets_server.uri(), on_message=self.message)
            self.ws.send("a")
            until(lambda: self.ws.state is State.OPEN and self.ws.queued == 1)

        def message(self, ws: ClientConnection, message: Any) -> None:
            raise AssertionError("nobody waits")

    client = Client()
    reference = weakref.ref(client)
    del client
    gc.collect()
    assert reference() is None


GEVENT = """
    from gevent import monkey
    monkey.patch_all()
    import gevent, json, sys
    from aiows.exceptions import ConnectionClosed
    from aiows.sync import connect

    def exchange(name):
        seen, inside = [], []
        def on_message(ws, message):
            assert not inside
            inside.append(message)
            gevent.sleep(0.001)  # others run, and wait
            seen.append(message)
            if message == f"{name} 3":
                assert ws.ping().wait(30)
            inside.clear()
            if message == f"{name} 49":
                ws.close()
        # Without a limit, as the Pong comes behind all messages.
        ws = connect(sys.argv[1], on_message=on_message, max_queue=None)
        waiting = [gevent.spawn(ws.wait_closed) for _ in range(2)]
        def ping():
            try:
                while True:
                    ws.ping(ack_on_close=True).wait(30)
            except ConnectionClosed:
                pass
        pinging = gevent.spawn(ping)
        for n in range(50):
            ws.send(f"{name} {n}")
        gevent.joinall([*waiting, pinging], raise_error=True)
        assert seen == [f"{name} {n}" for n in range(50)], seen
        return [one.value for one in waiting]

    found = [gevent.spawn(exchange, name) for name in range(20)]
    gevent.joinall(found, raise_error=True, timeout=100)
    print(json.dumps([one.value for one in found] == [[True, True]] * 20))
"""


@pytest.mark.once
def test_gevent(raw_server: ServerProcess, tmp_path: Path) -> None:
    pytest.importorskip("gevent")
    assert run(tmp_path, GEVENT, raw_server.uri()) is True
