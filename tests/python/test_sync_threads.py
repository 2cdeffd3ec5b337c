"""aiows.sync: one connection and many threads."""

from __future__ import annotations

import collections
import contextlib
import struct
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from servers.launch import ServerProcess

from aiows.exceptions import ConcurrencyError, ConnectionClosed, ConnectionClosedError
from aiows.sync import ClientConnection, connect
from threads import HANG_S, until


def receiving(pool: ThreadPoolExecutor, ws: ClientConnection) -> Future[Any]:
    """Return a thread that waits in recv."""

    def receive() -> Any:
        while True:
            try:
                return ws.recv()
            except ConcurrencyError:  # with the look below
                continue

    # The one that waits leaves no room for another.
    def waits() -> bool:
        try:
            ws.recv(timeout=0)
        except ConcurrencyError:
            return True
        except TimeoutError:
            return False
        raise AssertionError("a message came")

    future = pool.submit(receive)
    until(waits)
    return future


def test_many_senders(websockets_server: ServerProcess) -> None:
    threads, each = 8, 500
    with connect(websockets_server.uri(), compression=None) as ws, ThreadPoolExecutor() as pool:

        def send(thread: int) -> None:
            for number in range(each):
                # Of all lengths, beyond what is written at once.
                ws.send(struct.pack("!II", thread, number) * (1 + number * thread))

        senders = [pool.submit(send, thread) for thread in range(threads)]
        seen: dict[int, int] = collections.Counter()
        for _ in range(threads * each):
            message = ws.recv(timeout=HANG_S, decode=False)
            thread, number = struct.unpack_from("!II", message)
            assert message == struct.pack("!II", thread, number) * (1 + number * thread)
            assert number == seen[thread]
            seen[thread] += 1
        for sender in senders:
            sender.result()


def test_senders_wait_for_each_other(raw_server: ServerProcess) -> None:
    # More than the sockets hold, and nobody receives at first: all of them wait.
    size, threads = 1 << 20, 4
    with connect(raw_server.uri(), max_size=None) as ws, ThreadPoolExecutor() as pool:
        senders = [pool.submit(lambda: [ws.send(bytes(size)) for _ in range(8)]) for _ in range(4)]
        until(lambda: ws.buffered > 0)
        for _ in range(8 * threads):
            assert len(ws.recv(timeout=HANG_S)) == size
        for sender in senders:
            sender.result()
        assert ws.buffered == 0


def test_second_receiver(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri()) as ws, ThreadPoolExecutor() as pool:
        first = receiving(pool, ws)
        for call in (ws.recv, ws.recv_json, lambda: next(iter(ws)), lambda: ws.recv_many()):
            with pytest.raises(ConcurrencyError, match="another thread is already receiving"):
                call()
        ws.send("a")
        assert first.result(HANG_S) == "a"
        ws.send("b")
        assert ws.recv() == "b"


def test_sender_of_fragments_is_alone(websockets_server: ServerProcess) -> None:
    started, go_on = threading.Event(), threading.Event()

    def parts() -> Any:
        yield "a"
        started.set()
        assert go_on.wait(HANG_S)
        yield "b"

    with connect(websockets_server.uri()) as ws, ThreadPoolExecutor() as pool:
        sender = pool.submit(ws.send, parts())
        assert started.wait(HANG_S)
        for message in ("c", ["c"]):
            with pytest.raises(ConcurrencyError):
                ws.send(message)
        # Control frames pass (RFC 6455 section 5.4).
        assert ws.ping().wait(HANG_S)
        go_on.set()
        sender.result(HANG_S)
        assert ws.recv() == "ab"
        ws.send("c")
        assert ws.recv() == "c"


def test_close_while_another_thread_receives(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri()) as ws, ThreadPoolExecutor() as pool:
        receiver = receiving(pool, ws)
        ws.close(3001, "enough")
        with pytest.raises(ConnectionClosedError) as caught:
            receiver.result(HANG_S)
        assert caught.value.sent == caught.value.rcvd is not None
        assert ws.close_code == 3001


def test_many_close_at_once(websockets_server: ServerProcess) -> None:
    ws = connect(websockets_server.uri())
    with ThreadPoolExecutor(16) as pool:
        receiver = receiving(pool, ws)
        for future in [pool.submit(ws.close) for _ in range(8)]:
            future.result(HANG_S)
        assert isinstance(receiver.exception(HANG_S), ConnectionClosed)


def test_server_closes_and_all_are_told(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri("/close?code=1001")) as ws, ThreadPoolExecutor() as pool:
        receiver = receiving(pool, ws)
        pong = ws.ping(ack_on_close=True)
        others = [pool.submit(ws.wait_closed), pool.submit(pong.wait)]
        ws.send("now")
        assert isinstance(receiver.exception(HANG_S), ConnectionClosed)
        assert [other.result(HANG_S) for other in others] == [True, True]
        assert ws.close_code == 1001


def test_pings_of_threads(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri()) as ws, ThreadPoolExecutor(8) as pool:
        waits = [pool.submit(lambda: ws.ping().wait(HANG_S)) for _ in range(64)]
        assert all(wait.result(HANG_S) for wait in waits)
        # The same beside a thread that receives, and so does the work.
        receiver = receiving(pool, ws)
        waits = [pool.submit(lambda: ws.ping().wait(HANG_S)) for _ in range(64)]
        assert all(wait.result(HANG_S) for wait in waits)
        ws.send("a")
        assert receiver.result(HANG_S) == "a"
        assert 0 < ws.latency < HANG_S


def test_receiver_goes_on_when_another_did_the_work(websockets_server: ServerProcess) -> None:
    with connect(websockets_server.uri()) as ws, ThreadPoolExecutor() as pool:
        waiting = pool.submit(ws.wait_closed)  # reads for all, until the end
        until(waiting.running)
        for number in range(500):
            ws.send(str(number))
            assert ws.recv(timeout=HANG_S) == str(number)
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.02)
        ws.close()
        assert waiting.result(HANG_S)


def test_threads_take_turns_at_receiving(websockets_server: ServerProcess) -> None:
    lock, received = threading.Lock(), []
    with connect(websockets_server.uri()) as ws, ThreadPoolExecutor() as pool:

        def receive() -> None:
            while True:
                with lock:
                    if len(received) == 1000:
                        return
                    received.append(ws.recv(timeout=HANG_S))

        receivers = [pool.submit(receive) for _ in range(4)]
        for number in range(1000):
            ws.send(str(number))
        for receiver in receivers:
            receiver.result(HANG_S)
    assert received == [str(number) for number in range(1000)]


def test_no_thread_is_started(websockets_server: ServerProcess) -> None:
    before = threading.active_count()
    connections = [connect(websockets_server.uri()) for _ in range(20)]
    for ws in connections:
        ws.send("a")
        assert ws.recv() == "a"
    assert threading.active_count() == before
    for ws in connections:
        ws.close()


@pytest.mark.parametrize("max_queue", [1, 16, None])
def test_everything_at_once(raw_server: ServerProcess, max_queue: int | None) -> None:
    for _ in range(5):
        ws = connect(raw_server.uri(), max_queue=max_queue, close_timeout=2)

        def send(ws: ClientConnection = ws) -> None:
            while True:
                for size in (1, 100, 5000, 70000):
                    ws.send(bytes(size))

        def receive(ws: ClientConnection = ws) -> None:
            while True:
                for timeout in (0, 0.001, None):
                    with contextlib.suppress(TimeoutError):
                        ws.recv(timeout=timeout)

        def ping(ws: ClientConnection = ws) -> None:
            while True:
                ws.ping(ack_on_close=True).wait()

        def look(ws: ClientConnection = ws) -> None:
            while ws.stats.messages_sent >= 0 and not ws.wait_closed(0.001):
                assert ws.latency >= 0

        with ThreadPoolExecutor(8) as pool:
            threads = [pool.submit(work) for work in (send, send, receive, ping, ping)]
            others = [pool.submit(look), pool.submit(ws.wait_closed)]
            time.sleep(0.05)
            ws.close()
            for thread in threads:
                assert isinstance(thread.exception(HANG_S), ConnectionClosed)
            for other in others:
                other.result(HANG_S)
