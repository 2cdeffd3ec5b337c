"""aiows.sync: a plain ssl.SSLContext as ssl; whoever waits carries the bytes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import trustme
import truststore
import websockets.sync.server as peer
from servers.fixtures import Certificates, client_context, server_context
from servers.launch import ServerProcess
from servers.proxies import PASSWORD, USER, microsocks, tinyproxy, tls_end
from servers.threaded_tls import one_at_a_time
from websockets.exceptions import ConnectionClosed as PeerClosed
from websockets.utils import accept_key

import aiows
from aiows import create_default_context
from aiows.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    InvalidHandshake,
    InvalidProxyStatus,
    InvalidStatus,
    ProxyError,
)
from aiows.sync import connect, unix_connect
from threads import HANG_S, settled
from tls_peers import mutual_contexts

NOTHING: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()


def echo(ws: peer.ServerConnection) -> None:
    with contextlib.suppress(PeerClosed):
        for message in ws:
            ws.send(message)


@contextlib.contextmanager
def serving(
    handler: Callable[[Any], None], context: ssl.SSLContext | None = None, **options: Any
) -> Iterator[int]:
    """Serve with websockets over TLS, and yield the port."""
    options = {"max_size": None, "ping_interval": None, **options}
    with peer.serve(
        handler, "127.0.0.1", 0, ssl=context and one_at_a_time(context), **options
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join(HANG_S)


def test_echoes_with_every_peer(any_tls_server: ServerProcess, certificates: Certificates) -> None:
    context = client_context(certificates)
    with connect(any_tls_server.uri(), ssl=context, max_size=None) as ws:
        for message in ("", "text", os.urandom(1 << 20), bytes(16 << 20)):
            ws.send(message)
            assert ws.recv(HANG_S) == message
        assert ws.ping().wait(HANG_S)
        assert ws.latency > 0
        assert ws.remote_address[:2] == ("127.0.0.1", any_tls_server.port)
        assert ws.local_address[0] == "127.0.0.1" and ws.local_address[1] > 0
        assert ws.tls_version == "TLS 1.3"
        assert ws.peer_certificate is not None
        assert ws.response is not None and ws.response.status_code == 101
    assert ws.close_code == 1000
    assert ws.remote_address[1] == any_tls_server.port
    assert ws.tls_version == "TLS 1.3"


def test_floods(any_tls_server: ServerProcess, certificates: Certificates) -> None:
    """Much more than all that lies between holds, in both directions at once."""
    uri, count = any_tls_server.uri(), 40
    context = client_context(certificates)
    options: dict[str, Any] = {"compression": None, "max_size": None, "max_queue": 2}
    with connect(uri, ssl=context, **options) as ws, ThreadPoolExecutor() as pool:
        sending = pool.submit(lambda: [ws.send(bytes([i]) * (1 << 20)) for i in range(count)])
        for i in range(count):
            assert ws.recv(HANG_S) == bytes([i]) * (1 << 20)
        sending.result(HANG_S)
        for i in range(5000):
            ws.send(str(i))
        for i in range(5000):
            assert ws.recv(HANG_S) == str(i)


def test_threads(websockets_tls_server: ServerProcess, certificates: Certificates) -> None:
    threads, each = 6, 300
    context = client_context(certificates)
    uri = websockets_tls_server.uri()
    with connect(uri, ssl=context, compression=None) as ws, ThreadPoolExecutor() as pool:

        def send(thread: int) -> None:
            for number in range(each):
                ws.send(struct.pack("!II", thread, number) * (1 + number * thread))
                if number % 50 == 0:
                    assert ws.ping().wait(HANG_S)

        senders = [pool.submit(send, thread) for thread in range(threads)]
        seen = [0] * threads
        for _ in range(threads * each):
            message = ws.recv(HANG_S, decode=False)
            thread, number = struct.unpack_from("!II", message)
            assert message == struct.pack("!II", thread, number) * (1 + number * thread)
            assert number == seen[thread]
            seen[thread] += 1
        for sender in senders:
            sender.result(HANG_S)
        # One that waits is ended by another that closes.
        waiting = pool.submit(ws.recv)
        ws.close()
        with pytest.raises(ConnectionClosed):
            waiting.result(HANG_S)


def test_one_message_each_way(certificates: Certificates) -> None:
    """A message is sent though nobody waits, also right after another thread's turn."""
    received = threading.Semaphore(0)

    def handler(ws: peer.ServerConnection) -> None:
        for message in ws:
            received.release()
            if message == "answer":
                ws.send("a")

    with serving(handler, server_context(certificates)) as port:
        uri, context = f"wss://localhost:{port}/", client_context(certificates)
        with connect(uri, ssl=context) as ws, ThreadPoolExecutor() as pool:
            for _ in range(200):
                receiving = pool.submit(ws.recv)
                ws.send("answer")
                ws.send("x")
                assert receiving.result(HANG_S) == "a"
                assert received.acquire(timeout=HANG_S)
                assert received.acquire(timeout=HANG_S)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificate_and_alpn(version: ssl.TLSVersion) -> None:
    authority = trustme.CA()
    told: list[Any] = []

    def tell(ws: peer.ServerConnection) -> None:
        secure: Any = ws.socket
        told.extend([secure.version(), secure.selected_alpn_protocol(), secure.getpeercert()])
        echo(ws)

    context, client = mutual_contexts(authority)
    client.minimum_version = client.maximum_version = version
    with serving(tell, context) as port:
        uri = f"wss://localhost:{port}/"
        with pytest.raises((OSError, InvalidHandshake)):
            connect(uri, ssl=client)  # TLS 1.3 refuses after the handshake
        authority.issue_cert("me@example.com", common_name="me").configure_cert(client)
        with connect(uri, ssl=client) as ws:
            ws.send("x")
            assert ws.recv(HANG_S) == "x"
            assert ws.alpn_protocol == "http/1.1"
            assert ws.tls_version == version.name.replace("v", " ").replace("_", ".")
    assert told[:2] == [version.name.replace("_", "."), "http/1.1"]
    assert ((("commonName", "me"),)) in told[2]["subject"]


def test_truststore(
    websockets_tls_server: ServerProcess,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with connect(websockets_tls_server.uri(), ssl=context) as ws:
        ws.send("x")
        assert ws.recv(HANG_S) == "x"


def test_verification_fails(
    websockets_tls_server: ServerProcess, certificates: Certificates
) -> None:
    other = ssl.create_default_context(cafile=certificates.other_ca)
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        connect(websockets_tls_server.uri(), ssl=other)
    context = client_context(certificates)
    uri = f"wss://other.example:{websockets_tls_server.port}/echo"
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        connect(uri, ssl=context, host="127.0.0.1")
    with connect(uri, ssl=context, host="127.0.0.1", server_hostname="localhost") as ws:
        ws.send("x")
        assert ws.recv(HANG_S) == "x"


def test_where_it_connects(certificates: Certificates, tmp_path: Path) -> None:
    context = client_context(certificates)
    with serving(echo, server_context(certificates)) as port:
        uri = f"wss://localhost:{port}/"
        with connect(uri, ssl=context, local_addr=("127.0.0.1", 0), family=socket.AF_INET) as ws:
            assert ws.local_address[0] == "127.0.0.1"
        # The first address of localhost may be ::1, which refuses.
        with connect(uri, ssl=context, happy_eyeballs_delay=None, interleave=2) as ws:
            assert ws.remote_address == ("127.0.0.1", port)
        sock = socket.create_connection(("127.0.0.1", port))
        with connect(uri, ssl=context, sock=sock) as ws:
            assert sock.fileno() == -1
            ws.send("x")
            assert ws.recv(HANG_S) == "x"
        with pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.1:1: "):
            connect(uri, ssl=context, port=1, host="127.0.0.1")
        with pytest.raises(ExceptionGroup) as caught:
            connect(uri, ssl=context, port=1, host="127.0.0.1", all_errors=True)
        assert isinstance(caught.value.exceptions[0], ConnectionRefusedError)
        with pytest.raises(OSError, match=r"bind to 192\.0\.2\.1: "):
            connect(uri, ssl=context, local_addr=("192.0.2.1", 0), family=socket.AF_INET)
        with pytest.raises(socket.gaierror):
            connect("wss://nowhere.invalid/", ssl=context, open_timeout=None)
    path = str(tmp_path / "socket")
    with peer.unix_serve(echo, path, ssl=one_at_a_time(server_context(certificates))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with unix_connect(path, "wss://localhost/", ssl=context) as ws:
            ws.send("x")
            assert ws.recv(HANG_S) == "x"
            assert ws.remote_address == path
        server.shutdown()
        thread.join(HANG_S)


@pytest.mark.parametrize("kind", ["http", "https", "socks5", "socks5h"])
@pytest.mark.parametrize("credentials", [False, True])
def test_proxies(
    certificates: Certificates,
    websockets_server: ServerProcess,
    tmp_path: Path,
    kind: str,
    credentials: bool,
) -> None:
    context = client_context(certificates)
    trust = create_default_context(cafile=certificates.ca)
    login = f"{USER}:{PASSWORD}@" if credentials else ""
    with contextlib.ExitStack() as stack:
        tls_port = stack.enter_context(serving(echo, server_context(certificates)))
        uri, plain_uri = f"wss://localhost:{tls_port}/", websockets_server.uri()
        proxy = microsocks(credentials) if "socks" in kind else tinyproxy(tmp_path, credentials)
        port = stack.enter_context(proxy)
        combinations: list[tuple[str, Any, Any]] = [(uri, context, None)]
        if kind == "https":
            port = stack.enter_context(tls_end(port, certificates.cert, certificates.key))
            combinations = [
                (uri, context, context),
                (uri, context, trust),
                (uri, trust, context),
                (plain_uri, None, context),
            ]
        url = f"{kind}://{login}127.0.0.1:{port}"
        for target, own, of_proxy in combinations:
            with connect(target, ssl=own, proxy_ssl=of_proxy, proxy=url, max_size=None) as ws:
                for message in ("x", os.urandom(3 << 20), "\u00fc" * 40_000):
                    ws.send(message)
                    assert ws.recv(HANG_S) == message
                assert ws._describe()["proxy"] == f"{kind}://127.0.0.1:{port}"
                assert bool(ws.tls_version) is (own is not None)
                assert ws.remote_address == ("127.0.0.1", port)
            assert ws.close_code == 1000
        wrong = url.replace(PASSWORD, "wrong")
        with pytest.raises(ProxyError, match="credentials") if credentials else NOTHING:
            connect(uri, ssl=context, proxy_ssl=combinations[0][2], proxy=wrong).close()


@pytest.mark.once
def test_redirect_into_tls_by_a_proxy(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From ws, in the proxy's TLS alone, to wss in one of its own inside of that."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))  # which Python's ssl reads, too
    options = {"proxy_ssl": client_context(certificates)}

    async def in_asyncio(uri: str, **options: Any) -> tuple[Any, ...]:
        async with aiows.connect(uri, **options) as ws:
            await ws.send("x")
            return await ws.recv(), ws.uri, ws.tls_version

    with contextlib.ExitStack() as stack:
        secure = stack.enter_context(serving(echo, server_context(certificates)))

        def redirect(ws: Any, request: Any) -> Any:
            response = ws.respond(HTTPStatus.FOUND, "")
            response.headers["Location"] = f"wss://localhost:{secure}/end"
            return response

        uri = f"ws://127.0.0.1:{stack.enter_context(serving(echo, process_request=redirect))}/"
        http = stack.enter_context(tinyproxy(tmp_path, False))
        port = stack.enter_context(tls_end(http, certificates.cert, certificates.key))
        options["proxy"] = f"https://localhost:{port}"
        with connect(uri, **options) as ws:
            ws.send("x")
            told = ws.recv(HANG_S), ws.uri, ws.tls_version
        assert told == ("x", f"wss://localhost:{secure}/end", "TLS 1.3")
        assert asyncio.run(in_asyncio(uri, **options)) == told


def test_no_tls_after_all(
    websockets_server: ServerProcess,
    certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The environment decides whether proxy_ssl is needed, for each URI anew."""
    uri, count = websockets_server.uri(), 40
    options: dict[str, Any] = {"proxy_ssl": client_context(certificates), "max_queue": 2}
    with connect(uri, max_size=None, **options) as ws, ThreadPoolExecutor() as pool:
        assert (ws.info()["proxy"], ws.tls_version) == ("", None)
        sending = pool.submit(lambda: [ws.send(bytes([i]) * (1 << 20)) for i in range(count)])
        for i in range(count):
            assert ws.recv(HANG_S) == bytes([i]) * (1 << 20)
        sending.result(HANG_S)
        assert ws.ping().wait(HANG_S)
    assert ws.close_code == 1000
    with tinyproxy(tmp_path, False) as http:
        with tls_end(http, certificates.cert, certificates.key) as port:
            monkeypatch.setenv("https_proxy", f"https://localhost:{port}")
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            with connect(uri, **options) as ws:
                assert ws.info()["proxy"] == ""
            monkeypatch.delenv("no_proxy")
            with connect(uri, **options) as ws:
                assert ws.info()["proxy"] == f"https://localhost:{port}"
                ws.send("x")
                assert ws.recv(HANG_S) == "x"


def test_tls_with_the_proxy_fails(
    websockets_server: ServerProcess, certificates: Certificates, tmp_path: Path
) -> None:
    with tinyproxy(tmp_path, False) as http, socket.create_server(("127.0.0.1", 0)) as silent:
        with tls_end(http, certificates.cert, certificates.key) as port:
            url = f"https://localhost:{port}"
            for options in (
                {"proxy_ssl": ssl.create_default_context()},
                {
                    "proxy_ssl": client_context(certificates),
                    "proxy_server_hostname": "other.test",
                },
            ):
                with pytest.raises(ssl.SSLCertVerificationError) as caught:
                    connect(websockets_server.uri(), proxy=url, **options)
                assert f"proxy {url}" in caught.value.__notes__
        url = f"https://localhost:{silent.getsockname()[1]}"
        options = {"proxy": url, "proxy_ssl": client_context(certificates)}
        with pytest.raises(ConnectionAbortedError, match=r"ssl_handshake_timeout = 0\.5"):
            connect("ws://localhost/", proxy_ssl_handshake_timeout=0.5, **options)
        with pytest.raises(TimeoutError, match=f"timed out: proxy {url}: "):
            connect("ws://localhost/", open_timeout=1.5, **options)
    pinned = create_default_context(cafile=certificates.ca)
    pinned.pin_sha256("ab" * 32)
    context = client_context(certificates)
    with pytest.raises(ValueError, match=r"proxy_ssl is a plain .*, but ssl has some"):
        connect("wss://h/", ssl=pinned, proxy_ssl=context)
    with pytest.raises(ValueError, match=r"ssl is a plain .*, but proxy_ssl has some"):
        connect("wss://h/", ssl=context, proxy_ssl=pinned)


def test_proxies_that_refuse(certificates: Certificates) -> None:
    context = client_context(certificates)

    def refuse(server: socket.socket) -> None:
        sock, _ = server.accept()
        with sock:
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        pool.submit(refuse, server)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(InvalidProxyStatus, match="403 Forbidden"):
            connect("wss://localhost:1/", ssl=context, proxy=url)


def test_status_and_redirects(certificates: Certificates) -> None:
    context = client_context(certificates)
    targets: dict[str, str] = {}

    def answer(ws: Any, request: Any) -> Any:
        if request.path in targets:
            response = ws.respond(HTTPStatus.FOUND, "")
            response.headers["Location"] = targets[request.path]
            return response
        return ws.respond(HTTPStatus.NOT_FOUND, "nothing here") if request.path == "/no" else None

    with (
        serving(echo, server_context(certificates), process_request=answer) as port,
        serving(echo, server_context(certificates)) as other,
    ):
        uri = f"wss://localhost:{port}"
        targets.update({"/a": "/b", "/b": f"wss://localhost:{other}/end", "/loop": "/loop"})
        with pytest.raises(InvalidStatus) as caught:
            connect(f"{uri}/no", ssl=context)
        assert caught.value.response.status_code == 404
        assert caught.value.response.body == b"nothing here"
        with connect(f"{uri}/a", ssl=context) as ws:
            assert ws.uri == f"wss://localhost:{other}/end"
            assert ws.remote_address[1] == other
            ws.send("x")
            assert ws.recv(HANG_S) == "x"
        assert ws.close_code == 1000
        with pytest.raises(InvalidStatus):
            connect(f"{uri}/a", ssl=context, max_redirects=0)
        with pytest.raises(Exception, match="redirects"):
            connect(f"{uri}/loop", ssl=context)
        with pytest.raises(ValueError, match="with a host or port given") as refused:
            connect(f"{uri}/b", ssl=context, host="127.0.0.1")
        assert isinstance(refused.value.__cause__, InvalidStatus)


def test_open_timeout(certificates: Certificates) -> None:
    """It covers TCP, TLS and the answer."""
    context = client_context(certificates)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"wss://localhost:{silent.getsockname()[1]}/"
        with pytest.raises(TimeoutError, match="no answer within"):
            connect(uri, ssl=context, open_timeout=1.5)
        with pytest.raises(ConnectionAbortedError, match=r"ssl_handshake_timeout = 0\.5"):
            connect(uri, ssl=context, ssl_handshake_timeout=0.5)
        silent_proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TimeoutError, match="did not answer CONNECT"):
            connect(uri, ssl=context, open_timeout=1.5, proxy=silent_proxy)
    over = threading.Event()

    def never(ws: Any, request: Any) -> None:
        over.wait(HANG_S)

    with serving(echo, server_context(certificates), process_request=never) as port:
        with pytest.raises(TimeoutError, match="no answer within"):
            connect(f"wss://localhost:{port}/", ssl=context, open_timeout=1)
        over.set()


def test_shutdown_timeout(raw_tls_server: ServerProcess, certificates: Certificates) -> None:
    """A server that does not end TLS is not waited for."""
    options = {"close_timeout": None, "ssl_shutdown_timeout": 0.05}
    uri = raw_tls_server.uri("/close-open")
    ws = connect(uri, ssl=client_context(certificates), **options)
    waiting = threading.Thread(target=ws.wait_closed, daemon=True)
    waiting.start()
    waiting.join(HANG_S)
    assert ws.close_code == 1001


def test_nobody_waits_for_longer_than_the_keepalive(
    websockets_tls_server: ServerProcess, certificates: Certificates
) -> None:
    """Nothing is carried meanwhile, and the peer is not to blame for that."""
    options: dict[str, Any] = {"ssl": client_context(certificates), "ping_timeout": 0.7}
    options["sock"] = sock = socket.create_connection(("127.0.0.1", websockets_tls_server.port))
    with (
        sock.dup() as watched,
        connect(websockets_tls_server.uri(), ping_interval=0.5, **options) as ws,
    ):
        for message in ("one", "two"):
            time.sleep(1.5)
            ws.send(message)
            # The peer may take its time while nobody waits, and none once somebody does.
            assert select.select([watched], [], [], HANG_S)[0]
            assert ws.recv(HANG_S) == message


def test_timeouts_lose_nothing(certificates: Certificates) -> None:
    count = 300

    def tell(ws: peer.ServerConnection) -> None:
        for i in range(count):
            ws.send(struct.pack("!I", i) * 5000)
            if i % 20 == 0:
                time.sleep(0.005)

    with serving(tell, server_context(certificates), compression=None) as port:
        with connect(f"wss://localhost:{port}/", ssl=client_context(certificates)) as ws:
            seen = 0
            while seen < count:
                with contextlib.suppress(TimeoutError):
                    assert ws.recv(timeout=0.0005) == struct.pack("!I", seen) * 5000
                    seen += 1
            with pytest.raises(ConnectionClosed):
                ws.recv(HANG_S)


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "https proxy"])
def test_signals_lose_nothing(
    websockets_tls_server: ServerProcess, certificates: Certificates, tmp_path: Path, proxied: bool
) -> None:
    """A handler that raises inside of the TLS object's methods: all is whole afterwards."""

    class Interrupt(Exception):
        pass

    def interrupt(_: int, frame: Any) -> None:
        # Elsewhere the test itself would lose what recv returned.
        if receiving and frame.f_code.co_filename == ssl.__file__:
            raise Interrupt

    hits, sent, received, receiving = 0, 0, 0, False
    deadline = time.monotonic() + 2 * HANG_S

    def enough() -> bool:
        # How often a handler meets these methods is the scheduler's.
        return sent >= 400 and (hits > 20 or time.monotonic() > deadline)

    options: dict[str, Any] = {"ssl": client_context(certificates), "compression": None}
    stack = contextlib.ExitStack()
    if proxied:
        http = stack.enter_context(tinyproxy(tmp_path, False))
        port = stack.enter_context(tls_end(http, certificates.cert, certificates.key))
        options |= {"proxy": f"https://localhost:{port}", "proxy_ssl": options["ssl"]}
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with stack, connect(websockets_tls_server.uri(), **options) as ws:
            signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
            while received < sent or not enough():
                while sent < received + 16 and not enough():
                    ws.send(struct.pack("!I", sent) * 10_000)
                    sent += 1
                try:
                    receiving = True
                    message = ws.recv(HANG_S, decode=False)
                except Interrupt:
                    hits += 1
                else:
                    assert message == struct.pack("!I", received) * 10_000
                    received += 1
                finally:
                    receiving = False
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hits > 20


@pytest.mark.parametrize("who", ["never answers", "floods"])
def test_close_timeout(certificates: Certificates, who: str) -> None:
    over = threading.Event()

    def serve(server: socket.socket) -> None:
        plain, _ = server.accept()
        with server_context(certificates).wrap_socket(plain, server_side=True) as sock:
            head = sock.recv(65536)
            key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                + accept_key(key.decode()).encode()
                + b"\r\n\r\n"
            )
            with contextlib.suppress(OSError):
                while who == "floods":
                    sock.sendall(b"\x82\x7e\x80\x00" + bytes(0x8000))
            over.wait(HANG_S)

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        serving = pool.submit(serve, server)
        uri = f"wss://localhost:{server.getsockname()[1]}/"
        ws = connect(uri, ssl=client_context(certificates), close_timeout=0.2)
        ws.close()
        assert ws.close_code == 1006
        over.set()
        serving.result(HANG_S)


def test_the_peer_breaks_off(certificates: Certificates) -> None:
    def abort(ws: peer.ServerConnection) -> None:
        ws.send("x")
        linger = struct.pack("ii", 1, 0)
        ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        socket.socket.shutdown(ws.socket, socket.SHUT_RDWR)

    def leave(ws: peer.ServerConnection) -> None:
        ws.close(4000, "go")

    context = client_context(certificates)
    with serving(abort, server_context(certificates)) as port:
        with connect(f"wss://localhost:{port}/", ssl=context) as ws:
            assert ws.recv(HANG_S) == "x"
            with pytest.raises(ConnectionClosedError):
                ws.recv(HANG_S)
            assert ws.close_code == 1006
    with serving(leave, server_context(certificates)) as port:
        with connect(f"wss://localhost:{port}/", ssl=context) as ws:
            with pytest.raises(ConnectionClosedError) as caught:
                ws.recv(HANG_S)
            assert caught.value.rcvd is not None
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4000, "go")


def test_abandoned(websockets_tls_server: ServerProcess, certificates: Certificates) -> None:
    """Descriptors do not grow, however connections end: no_leaks looks as well."""
    context = client_context(certificates)
    uri = websockets_tls_server.uri()
    counts: list[int] = []

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    for _ in range(4):
        for _ in range(5):
            ws = connect(uri, ssl=context)
            ws.send("x")
            del ws
            ws = connect(uri, ssl=context)
            ws._abort()
            assert ws.close_code == 1006
            with pytest.raises(ssl.SSLError):
                connect(uri, ssl=ssl.create_default_context(cafile=certificates.other_ca))
        counts.append(settled(descriptors))
    assert counts[1] == counts[-1]


def test_forked_child(websockets_tls_server: ServerProcess, certificates: Certificates) -> None:
    with connect(websockets_tls_server.uri(), ssl=client_context(certificates)) as ws:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                try:
                    ws.send("child")
                except RuntimeError:
                    ws.__exit__(None, None, None)
                    del ws
                    status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        ws.send("parent")
        assert ws.recv(HANG_S) == "parent"


async def test_beside_an_event_loop(
    websockets_tls_server: ServerProcess, certificates: Certificates
) -> None:
    def use() -> Any:
        with connect(websockets_tls_server.uri(), ssl=client_context(certificates)) as ws:
            ws.send("x")
            return ws.recv(HANG_S)

    assert await asyncio.to_thread(use) == "x"
