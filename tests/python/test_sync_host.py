"""aiows.sync in a process: Ctrl-C, signals, fork, threads at the end, gevent."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from servers.launch import ServerProcess

from programs import IN_CHILD, Program, run, run_all

INTERRUPTED = {
    "recv": """
        with connect(URI) as ws:
            print("ready", flush=True)
            ws.recv()
    """,
    "recv with a timeout": """
        with connect(URI) as ws:
            print("ready", flush=True)
            ws.recv(timeout=1000)
    """,
    "iteration": """
        with connect(URI) as ws:
            print("ready", flush=True)
            for message in ws:
                pass
    """,
    "pong": """
        with connect(RAW + "/deaf", close_timeout=0.1) as ws:
            pong = ws.ping()
            print("ready", flush=True)
            pong.wait()
    """,
    "close": """
        ws = connect(RAW + "/deaf", close_timeout=1000)
        print("ready", flush=True)
        ws.close()
    """,
    "connect": """
        print("ready", flush=True)
        connect(RAW + "/silence", open_timeout=None)
    """,
    "send": """
        ws = connect(RAW + "/stall", close_timeout=0.1)
        print("ready", flush=True)
        while True:
            ws.send(bytes(1 << 20))
    """,
    "wait for callbacks": """
        with connect(URI, on_message=print) as ws:
            print("ready", flush=True)
            ws.wait_closed()
    """,
    "callback": """
        def compute(ws, message):
            print("ready", flush=True)
            while True:
                pass
        with connect(URI, on_message=compute) as ws:
            ws.send("a")
            try:
                ws.wait_closed()
            finally:
                assert ws.state is State.OPEN
    """,
    # Another thread receives, and does the work: this one waits for it.
    "wait beside a receiver": """
        ws = connect(URI)
        def receive():
            try:
                ws.recv()
            except ConnectionClosed:
                pass
        receiver = threading.Thread(target=receive)
        receiver.start()
        try:
            print("ready", flush=True)
            ws.wait_closed()
        finally:
            ws.close()
            receiver.join()
    """,
    # Nobody waits for the answers to these; the interrupt is the handler's in between.
    "handler that sends": """
        with connect(URI) as ws:
            def handle(number, frame):
                ws.send("from the handler")
            signal.signal(signal.SIGINT, handle)
            print("ready", flush=True)
            assert ws.recv() == "from the handler"
        raise KeyboardInterrupt
    """,
}
PREAMBLE = """
import signal, sys, threading
from aiows import State
from aiows.exceptions import ConnectionClosed
from aiows.sync import connect
URI, RAW = sys.argv[1:]
try:
"""


@pytest.mark.parametrize("name", INTERRUPTED)
def test_interrupt(
    name: str, websockets_server: ServerProcess, raw_server: ServerProcess, tmp_path: Path
) -> None:
    source = PREAMBLE + INTERRUPTED[name].replace("\n    ", "\n")
    source += "\nexcept KeyboardInterrupt:\n    print('Quit.')\n"
    with Program(tmp_path, source, websockets_server.uri(), raw_server.uri("")) as program:
        assert program.line() == "ready"
        # It may not wait yet; Python runs the handler between two instructions then.
        program.interrupt()
        assert program.end() == (0, "Quit.\n", "")


def test_interrupts_lose_no_message(raw_server: ServerProcess, tmp_path: Path) -> None:
    source = """
    import itertools, json, signal, sys, threading, time
    from aiows.sync import connect

    class Now(Exception):
        pass

    def handle(number, frame):
        raise Now

    signal.signal(signal.SIGALRM, handle)
    received, interrupts = [], 0
    with connect(sys.argv[1]) as ws:
        def send():
            for number in range(3000):
                ws.send(str(number))
                if number % 100 == 0:
                    time.sleep(0.005)
        sender = threading.Thread(target=send)
        sender.start()
        def receive():
            # A frame of its own: the jump at the end of a loop is in no try block.
            while len(received) < 3000:
                # Of one instruction, as the handler may raise between any two.
                received.extend(itertools.islice(ws, 1))
        while True:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0007)  # once, so not in between
                receive()
                signal.signal(signal.SIGALRM, signal.SIG_IGN)
                break
            except Now:
                interrupts += 1
        sender.join()
    missing = set(map(str, range(3000))) - set(received)
    print(json.dumps([len(missing), received == sorted(received, key=int), interrupts > 0]))
    """
    assert run(tmp_path, source, raw_server.uri()) == [0, True, True]


FORK = f"""{IN_CHILD}
from aiows.sync import connect

def refused(*calls):
    found = []
    for call in calls:
        try:
            call()
        except RuntimeError as error:
            found.append("before fork" in str(error))
        else:
            found.append("no error")
    return found
"""


def test_fork(websockets_server: ServerProcess, tmp_path: Path) -> None:
    sources = {
        "import, fork, connect": """
            def work():
                with connect(sys.argv[1]) as ws:
                    ws.send("child")
                    return ws.recv()
            answer = [in_child(work), in_child(work), work()]
            assert answer == [[0, "child"], [0, "child"], "child"], answer
        """,
        "connect, fork": """
            with connect(sys.argv[1]) as ws:
                ws.send("before")
                pong = ws.ping()
                def work():
                    with ws:
                        return refused(
                            ws.recv, lambda: ws.send("a"), ws.ping, ws.pong, ws.close,
                            lambda: ws.send(["a"]), lambda: next(ws), pong.wait,
                            ws.wait_closed, ws.recv_many, lambda: connect(sys.argv[1]),
                        ) + [int(ws.state)]
                status, answer = in_child(work)
                assert (status, answer) == (0, [True] * 11 + [1]), (status, answer)
                assert ws.recv() == "before" and pong.wait()
                ws.send("after")
                assert ws.recv() == "after"
        """,
        "fork beside a receiver": """
            import threading
            ws = connect(sys.argv[1])
            receiver = threading.Thread(target=lambda: received.append(ws.recv()))
            received = []
            receiver.start()
            status, answer = in_child(lambda: refused(ws.recv, ws.close, ws.wait_closed))
            assert (status, answer) == (0, [True] * 3), (status, answer)
            ws.send("a")
            receiver.join()
            assert received == ["a"]
            ws.close()
        """,
    }
    programs = {
        name: FORK + source.replace("\n            ", "\n") + "\nprint('true')\n"
        for name, source in sources.items()
    }
    assert run_all(tmp_path, programs, websockets_server.uri()) == dict.fromkeys(sources, True)


def test_end_of_the_process(websockets_server: ServerProcess, tmp_path: Path) -> None:
    imports = "import atexit, os, sys, threading, time\nfrom aiows.sync import connect\n"
    sources = {
        "open connections": "kept = [connect(sys.argv[1]) for _ in range(5)]",
        "daemon threads in recv": """
ready = threading.Barrier(6)
def receive():
    ws = connect(sys.argv[1])
    ready.wait()
    ws.recv()
for _ in range(5):
    threading.Thread(target=receive, daemon=True).start()
ready.wait()
""",
        "a daemon thread that exchanges": """
def exchange():
    with connect(sys.argv[1]) as ws:
        while True:
            ws.send("a")
            ws.recv()
threading.Thread(target=exchange, daemon=True).start()
time.sleep(0.3)
""",
        "close at exit": """
ws = connect(sys.argv[1])
atexit.register(ws.close)
""",
        "a cycle with a connection": """
ws = connect(sys.argv[1])
ws.itself = [ws, ws.ping()]
del ws
""",
        "os._exit": "ws = connect(sys.argv[1])\nprint('true', flush=True)\nos._exit(0)",
    }
    programs = {name: f"{imports}{source}\nprint('true')\n" for name, source in sources.items()}
    assert run_all(tmp_path, programs, websockets_server.uri()) == dict.fromkeys(sources, True)


def test_no_asyncio_is_imported(websockets_server: ServerProcess, tmp_path: Path) -> None:
    source = """
    import json, sys
    from aiows.sync import connect
    with connect(sys.argv[1]) as ws:
        ws.send("a")
        ws.recv()
    print(json.dumps("asyncio" in sys.modules))
    """
    assert run(tmp_path, source, websockets_server.uri()) is False


GEVENT = """
    from gevent import monkey
    monkey.patch_all()
    import gevent, json, sys
    from aiows.sync import connect

    turns = 0
    def count():
        global turns
        while True:
            turns += 1
            gevent.sleep(0.001)
    counting = gevent.spawn(count)

    def exchange(name):
        with connect(sys.argv[1]) as ws:
            sender = gevent.spawn(lambda: [ws.send(f"{name} {n}") for n in range(100)])
            received = [ws.recv(timeout=30) for _ in range(100)]
            sender.join()
            pongs = [gevent.spawn(lambda: ws.ping().wait(30)) for _ in range(3)]
            gevent.joinall(pongs, raise_error=True)
            try:
                ws.recv(timeout=0.05)
            except TimeoutError:
                pass
            receiver = gevent.spawn(ws.recv)
            gevent.sleep(0.01)
            ws.send("last")
            return received, [pong.value for pong in pongs], receiver.get()

    found = [gevent.spawn(exchange, name) for name in range(20)]
    gevent.joinall(found, raise_error=True)
    for name, one in enumerate(found):
        assert one.value == ([f"{name} {n}" for n in range(100)], [True] * 3, "last")
    print(json.dumps(turns > 20))
"""


@pytest.mark.once
def test_gevent(raw_server: ServerProcess, tmp_path: Path) -> None:
    pytest.importorskip("gevent")
    assert run(tmp_path, GEVENT, raw_server.uri()) is True


def test_timer_signals(websockets_server: ServerProcess, tmp_path: Path) -> None:
    source = """
    import json, signal, sys, time
    from aiows.sync import connect
    calls = []
    signal.signal(signal.SIGALRM, lambda number, frame: calls.append(number))
    with connect(sys.argv[1]) as ws:
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        began = time.monotonic()
        try:
            ws.recv(timeout=0.2)
        except TimeoutError:
            waited = time.monotonic() - began
        for _ in range(500):
            ws.send("a")
            assert ws.recv() == "a"
        signal.setitimer(signal.ITIMER_REAL, 0)
    print(json.dumps([waited >= 0.2, len(calls) > 5]))
    """
    assert run(tmp_path, source, websockets_server.uri()) == [True, True]
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
