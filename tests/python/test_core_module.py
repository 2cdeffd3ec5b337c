"""_core itself: loading, error codes, TLS contexts, options, and the server's side."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import errno
import pickle
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.fixtures import Certificates

from aiows import _core, _library
from core_peer import ClosedOK, Connection, Peer, close_frame, core, turns, until
from scripted import frame

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # of RFC 6455 section 1.3


def load_elsewhere(path: str) -> str:
    """Return what load says in a process of its own."""
    program = "import sys; from aiows import _core; _core.load(sys.argv[1])"
    result = subprocess.run(
        [sys.executable, "-c", program, path],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    return result.stderr.strip().rpartition("\n")[2]


def test_load() -> None:
    _library.load()
    assert _core.loaded()
    _core.load("/never/looked/at")  # loaded already
    with pytest.raises(TypeError):
        _core.load(1)  # type: ignore[arg-type]
    assert _core.version()


def test_load_a_missing_file() -> None:
    message = load_elsewhere("/missing/libaiows.so")
    assert message.startswith("ImportError: libaiows cannot be loaded: /missing/libaiows.so")


@pytest.mark.parametrize("number", [None, 99])
def test_load_another_abi(number: int | None, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cc is not installed")
    source = (
        "int other;" if number is None else f"int aiows_abi_version(void) {{ return {number}; }}"
    )
    (tmp_path / "other.c").write_text(source)
    library = tmp_path / "libaiows.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(tmp_path / "other.c")], check=True
    )
    assert load_elsewhere(str(library)) == (
        f"ImportError: {library} has ABI number {number or 0}, "
        f"but aiows._core was built for {_core.ABI}"
    )


def test_load_without_descriptors() -> None:
    program = """
import os, resource, sys
from aiows import _core
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 3, 64))
_core.load(sys.argv[1])
"""
    result = subprocess.run(
        [sys.executable, "-c", program, str(_library._PATH)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    assert "ImportError" in result.stderr
    assert "descriptors are left" in result.stderr


def test_error_codes() -> None:
    assert _core.ERRORS["AGAIN"] == -1
    assert len(set(_core.ERRORS.values())) == len(_core.ERRORS)
    texts = {_core.strerror(code) for code in _core.ERRORS.values()}
    assert len(texts) == len(_core.ERRORS)
    for unknown in (1, -1000, 1 << 40, -(1 << 40)):
        assert _core.strerror(unknown) == "unknown error"
    assert _core.close_code_name(1000) == "normal closure"
    for wrong in ("1", None, 1.5):
        with pytest.raises(TypeError):
            _core.strerror(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _core.set_closed_ok(int)  # type: ignore[type-var]


def test_error_survives_pickle_and_copy() -> None:
    with pytest.raises(_core.Error) as raised:
        _core.TLS(ca_file="/missing.pem")
    error = raised.value
    assert error.code == _core.ERRORS["CERTIFICATE"]
    assert "/missing.pem" in error.message == str(error)
    for same in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert vars(same) == vars(error)
        assert str(same) == str(error)
    assert (_core.Error("x").code, _core.Error("x").message) == (0, "")


def test_tls(certificates: Certificates) -> None:
    pem = certificates.cert.read_text()
    key = certificates.key.read_text()
    _core.TLS()
    _core.TLS(server=True, cert_pem=pem, key_pem=key)
    _core.TLS(
        ca_file=str(certificates.ca),
        ca_pem=certificates.other_ca.read_text(),
        cert_file=str(certificates.cert),
        key_file=str(certificates.key),
        min_version=0x0303,
        max_version=0x0304,
        server_name="localhost",
        alpn=["http/1.1"],
        insecure=False,
    )
    for wrong in ({"server": True}, {"ca_pem": "no PEM"}, {"min_version": 5}):
        with pytest.raises(_core.Error):
            _core.TLS(**wrong)
    for wrong in ({"unknown": 1}, {"ca_file": 1}, {"alpn": "http/1.1"}, {"alpn": [1]}):
        with pytest.raises(TypeError):
            _core.TLS(**wrong)
    for wrong in ({"min_version": -1}, {"min_version": 1 << 16}, {"ca_file": "a\0b"}):
        with pytest.raises(ValueError):
            _core.TLS(**wrong)
    with pytest.raises(TypeError):
        _core.TLS(True)  # type: ignore[call-arg]


async def test_connect_options() -> None:
    async with core() as c:
        for wrong in (
            {"unknown": 1},
            {"port": "1"},
            {"host": b"x"},
            {"tls": object()},
            {"subprotocols": "chat"},
            {"subprotocols": [1]},
            {"headers": 1},
            {"headers": [1]},
            {"headers": [("a", 1)]},
        ):
            with pytest.raises(TypeError):
                c.loop.connect(Connection(c.loop), "ws://127.0.0.1/", **wrong)
        for wrong in (
            {"port": 1 << 40},
            {"max_fragments": -1},
            {"max_message_size": -1},
            {"open_timeout_ms": 1 << 70},
            {"headers": [("a", "b", "c")]},
            {"origin": "a\0b"},
        ):
            with pytest.raises(ValueError):
                c.loop.connect(Connection(c.loop), "ws://127.0.0.1/", **wrong)
        with pytest.raises(_core.Error) as raised:
            c.loop.connect(Connection(c.loop), "ws://127.0.0.1/", headers=[("a b", "c")])
        assert raised.value.code == _core.ERRORS["HEADER"]
        for wrong_uri in (None, b"ws://127.0.0.1/"):
            with pytest.raises(TypeError):
                c.loop.connect(Connection(c.loop), wrong_uri)  # type: ignore[arg-type]
        assert c.loop.connections == 0
        conn, _ = await c.open(
            connect={
                "headers": [("X-One", "1"), ("X-Two", "é")],
                "subprotocols": ["a", "b"],
                "origin": "http://x",
                "user_agent": None,
                "raw_lines": None,
                "tls": None,
                "auto_pong": True,
                "write_high": 5,
                "write_low": 1,
            }
        )
        info = conn.info()
        assert ("X-Two", "é") in info["request_headers"]
        assert ("Sec-WebSocket-Protocol", "a, b") in info["request_headers"]
        assert ("Origin", "http://x") in info["request_headers"]
        assert info["response_status"] == 101
        assert (info["server"], info["added_host"], info["response_body"]) == (False, False, b"")
        assert info["state"] == 1


async def test_failed_connection() -> None:
    async with core() as c:
        with socket.socket() as unused:  # bound, so that it is nobody else's
            unused.bind(("127.0.0.1", 0))
            conn = Connection(c.loop)
            c.loop.connect(conn, f"ws://127.0.0.1:{unused.getsockname()[1]}/")
            await conn.ended.wait()
        ((name, error),) = conn.seen
        assert (name, error.code) == ("failed", _core.ERRORS["CONNECT"])
        found = conn.error()
        assert found is not None
        assert vars(found) == vars(error)
        assert (conn.state, c.loop.connections) == (3, 0)


@contextlib.contextmanager
def client(port: int, path: str = "/") -> Iterator[Peer]:
    """Yield a socket that has sent a client's request; the kernel has accepted it."""
    peer = Peer(socket.create_connection(("127.0.0.1", port), timeout=60))
    peer.send(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n".encode(),
        b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n",
        b"Sec-WebSocket-Protocol: a, b\r\n\r\n",
    )
    yield peer
    peer.close()


def read_head(peer: Peer) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.read(1)
    return head


def masked(octets: bytes) -> bytes:
    """Return a short unmasked frame as a client sends it, with the key 0."""
    return octets[:1] + bytes([octets[1] | 0x80]) + bytes(4) + octets[2:]


async def test_listen_and_accept(loop_factory: Any) -> None:
    async with core() as c:
        requests: list[_core.Request] = []
        listener = c.loop.listen("127.0.0.1", 0, requests.append, backlog=5, reuse_port=None)
        with client(listener.port, "/path?query") as peer:
            await until(lambda: requests)
            request = requests.pop()
            assert (request.method, request.target) == ("GET", "/path?query")
            assert ("Host", "x") in request.headers
            assert request.subprotocols == ["a", "b"]
            assert request.local_address == f"127.0.0.1:{listener.port}"
            assert request.remote_address.startswith("127.0.0.1:")
            with pytest.raises(_core.Error) as raised:
                request.accept(Connection(c.loop), subprotocol="never offered")
            assert raised.value.code == _core.ERRORS["ARGUMENT"]
            conn = Connection(c.loop)
            request.accept(conn, subprotocol="b", headers=[("X-Extra", "1")], auto_pong=False)
            await conn.opened.wait()
            with pytest.raises(_core.Error) as raised:
                request.accept(Connection(c.loop))
            assert raised.value.code == _core.ERRORS["STATE"]
            with pytest.raises(_core.Error):
                request.reject(404)
            head = read_head(peer)
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b"Sec-WebSocket-Accept: " + ACCEPT in head
            assert b"Sec-WebSocket-Protocol: b\r\n" in head
            assert b"X-Extra: 1\r\n" in head
            assert c.loop.connections == 1
            peer.send(masked(frame(1, b"hello")))
            assert await conn.recv() == "hello"
            await conn.send(b"there")
            assert peer.read(7) == frame(2, b"there")
            listener.close()
            listener.close()
            # CLOSED waits for the client's end of the stream.
            peer.end(masked(close_frame(1000)))
            with pytest.raises(ClosedOK):
                await conn.recv()
            assert conn.info()["server"] is True


async def test_reject_and_drop(loop_factory: Any) -> None:
    async with core() as c:
        requests: list[_core.Request] = []
        listener = c.loop.listen("127.0.0.1", 0, requests.append)
        with client(listener.port) as peer:
            await until(lambda: requests)
            requests.pop().reject(404, body=b"nothing here", headers=[("X-Why", "gone")])
            head = await asyncio.to_thread(read_head, peer)
            assert head.startswith(b"HTTP/1.1 404 ")
            assert b"X-Why: gone\r\n" in head
            assert peer.read(12) == b"nothing here"
        with client(listener.port) as peer:
            await until(lambda: requests)
            requests.clear()
            assert (await asyncio.to_thread(read_head, peer)).startswith(b"HTTP/1.1 503 ")
        with client(listener.port) as peer:
            await until(lambda: requests)
            for wrong in ((), ("404",), (404, [1]), (404, [], "text")):
                with pytest.raises(TypeError):
                    requests[0].reject(*wrong)
            with pytest.raises(_core.Error):
                requests[0].reject(199)
            listener.close()
            assert (await asyncio.to_thread(read_head, peer)).startswith(b"HTTP/1.1 503 ")
            requests.clear()


async def test_exception_in_on_request(loop_factory: Any) -> None:
    async with core() as c:

        def fail(request: _core.Request) -> None:
            raise ValueError("planned")

        listener = c.loop.listen("127.0.0.1", 0, fail)
        with client(listener.port) as peer:
            assert (await asyncio.to_thread(read_head, peer)).startswith(b"HTTP/1.1 500 ")
        assert str(c.reported.pop()["exception"]) == "planned"
        listener.close()


async def test_closing_the_listener_inside_its_callback(loop_factory: Any) -> None:
    async with core() as c:
        seen = []

        def once(request: _core.Request) -> None:
            seen.append(request)
            listener.close()

        listener = c.loop.listen("127.0.0.1", 0, once)
        with client(listener.port), client(listener.port):
            await until(lambda: seen)
            await turns(10)
            assert len(seen) == 1
            seen.clear()


async def test_listen_errors() -> None:
    async with core() as c:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            with pytest.raises(_core.Error) as raised:
                c.loop.listen("127.0.0.1", taken.getsockname()[1], print)
        assert raised.value.code == _core.ERRORS["SYSTEM"]
        assert raised.value.os_errno != 0
        with pytest.raises(TypeError, match="not callable"):
            c.loop.listen("127.0.0.1", 0, None)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            c.loop.listen("127.0.0.1", 0, print, unknown=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["Listener", "Request"])
def test_made_by_the_loop_only(name: str) -> None:
    with pytest.raises(TypeError, match="cannot create"):
        getattr(_core, name)()


async def test_listen_on_a_socket_of_the_host(loop_factory: Any) -> None:
    async with core() as c:
        requests: list[_core.Request] = []
        with socket.socket() as own:
            own.bind(("127.0.0.1", 0))
            port = own.getsockname()[1]
            for where in [("127.0.0.1", 0), ("", port)]:
                with pytest.raises(_core.Error) as raised:
                    c.loop.listen(*where, requests.append, fd=own.fileno())
                assert raised.value.code == _core.ERRORS["ARGUMENT"]
            listener = c.loop.listen("", 0, requests.append, fd=own.fileno())
            assert listener.port == port
            with client(port) as peer:
                await until(lambda: requests)
                requests.pop().reject(404)
                assert (await asyncio.to_thread(read_head, peer)).startswith(b"HTTP/1.1 404 ")
            listener.close()
            assert own.getsockname()[1] == port
        with pytest.raises(_core.Error, match="bad file descriptor") as raised:
            c.loop.listen("", 0, requests.append, fd=10**6)
        assert raised.value.os_errno == errno.EBADF


async def test_request_answered_later(loop_factory: Any) -> None:
    async with core() as c:
        requests: list[_core.Request] = []
        told: list[int] = []
        listener = c.loop.listen("127.0.0.1", 0, requests.append)
        with client(listener.port) as first, client(listener.port) as second:
            await until(lambda: len(requests) == 2)
            with client(listener.port, "/leaves"):
                await until(lambda: len(requests) == 3)
                third_request = requests.pop()
                with pytest.raises(TypeError):
                    third_request.on_gone = 5
                third_request.on_gone = lambda: told.append(third_request.gone)
                assert not third_request.gone
            await until(lambda: told)
            assert told == [True]
            with pytest.raises(_core.Error) as raised:
                third_request.accept(Connection(c.loop))
            assert raised.value.code == _core.ERRORS["CLOSED"]
            peers = {f"127.0.0.1:{p.sock.getsockname()[1]}": p for p in (first, second)}
            requests[0].reject(403, [("X-Why", "later")], b"no")
            head = await asyncio.to_thread(read_head, peers[requests[0].remote_address])
            assert head.startswith(b"HTTP/1.1 403 ")
            conn = Connection(c.loop)
            requests[1].accept(conn)
            await conn.opened.wait()
            assert not any(request.gone for request in requests)
            conn._abort()
            await conn.ended.wait()
        listener.close()


async def test_on_gone_that_raises(loop_factory: Any) -> None:
    async with core() as c:
        requests: list[_core.Request] = []
        listener = c.loop.listen("127.0.0.1", 0, requests.append)
        with client(listener.port):
            await until(lambda: requests)

            def fail() -> None:
                requests.clear()  # the request itself goes away meanwhile
                raise ZeroDivisionError

            requests[0].on_gone = fail
        await until(lambda: c.reported)
        report = c.reported.pop()
        assert report["message"] == "Exception in on_gone"
        assert isinstance(report["exception"], ZeroDivisionError)
        listener.close()
