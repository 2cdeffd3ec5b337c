"""A plain ssl.SSLContext as ssl: Python's own TLS carries the bytes of the core."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import socket
import ssl
import subprocess
import time
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
import truststore
import websockets.asyncio.server as peer
from servers.fixtures import Certificates, client_context, server_context
from servers.launch import ServerProcess
from websockets.exceptions import ConnectionClosed
from websockets.utils import accept_key

import aiows.sync
from aiows import AioWebSocket, State, connect, unix_connect
from aiows.exceptions import ConnectionClosedError, InvalidStatus, SecurityError
from streams import stream_server
from tls_peers import mutual_contexts


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[Any], Any], context: ssl.SSLContext, **options: Any
) -> AsyncIterator[int]:
    """Serve with websockets over TLS, and yield the port."""
    options = {"max_size": None, "ping_interval": None, **options}
    async with peer.serve(handler, "127.0.0.1", 0, ssl=context, **options) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


async def test_echoes_with_every_peer(
    any_tls_server: ServerProcess, certificates: Certificates, loop_factory: Any
) -> None:
    context = client_context(certificates)
    async with connect(any_tls_server.uri(), ssl=context, max_size=None) as ws:
        for message in ("", "text", bytes(100_000), os.urandom(1 << 20), bytes(16 << 20)):
            await ws.send(message)
            assert await ws.recv() == message
        await (await ws.ping())
        assert ws.latency > 0
        assert ws.remote_address[:2] == ("127.0.0.1", any_tls_server.port)
        assert ws.local_address[0] == "127.0.0.1" and ws.local_address[1] > 0
        assert ws.tls_version == "TLS 1.3"
        assert ws.response is not None and ws.response.status_code == 101
        stats = ws.stats
        assert stats.messages_received == 5
    assert ws.close_code == 1000
    assert ws.remote_address[1] == any_tls_server.port
    assert ws.tls_version == "TLS 1.3"


async def test_conversation(
    websockets_tls_server: ServerProcess, certificates: Certificates
) -> None:
    async with AioWebSocket(
        websockets_tls_server.uri(), ssl=client_context(certificates)
    ) as conversation:
        converse = conversation.manipulator
        await converse.send("x")
        assert await converse.receive() == b"x"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_client_certificate_and_alpn(version: ssl.TLSVersion) -> None:
    authority = trustme.CA()
    told: list[Any] = []

    async def tell(ws: Any) -> None:
        secure = ws.transport.get_extra_info("ssl_object")
        certificate = secure.getpeercert()
        told.extend([secure.version(), secure.selected_alpn_protocol(), certificate["subject"]])
        await echo(ws)

    context, client = mutual_contexts(authority)
    client.minimum_version = client.maximum_version = version
    async with serving(tell, context) as port:
        uri = f"wss://localhost:{port}/"
        with pytest.raises((ssl.SSLError, aiows.InvalidHandshake, OSError)):
            await connect(uri, ssl=client)  # TLS 1.3 refuses after the handshake
        authority.issue_cert("me@example.com", common_name="me").configure_cert(client)
        async with connect(uri, ssl=client) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"
            assert ws.alpn_protocol == "http/1.1"
            assert ws.tls_version == version.name.replace("v", " ").replace("_", ".")
            assert ws.peer_certificate is not None
    assert told[:2] == [version.name.replace("_", "."), "http/1.1"]
    assert ((("commonName", "me"),)) in told[2]


@pytest.mark.parametrize("way", ["cafile", "capath", "pinned leaf", "truststore", "unverified"])
async def test_trust(
    websockets_tls_server: ServerProcess,
    certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    context: ssl.SSLContext = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if way == "cafile":
        context.load_verify_locations(certificates.ca)
    elif way == "capath":
        (tmp_path / f"{subject_hash(certificates.ca)}.0").symlink_to(certificates.ca)
        context.load_verify_locations(capath=tmp_path)
    elif way == "pinned leaf":
        context.load_verify_locations(certificates.cert)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    elif way == "truststore":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    async with connect(websockets_tls_server.uri(), ssl=context) as ws:
        await ws.send(way)
        assert await ws.recv() == way
        if way == "pinned leaf":
            end = "-----END CERTIFICATE-----\n"
            leaf = certificates.cert.read_text().partition(end)[0] + end
            assert ws.peer_certificate == ssl.PEM_cert_to_DER_cert(leaf)


def subject_hash(file: Path) -> str:
    """Return what OpenSSL looks a certificate up by."""
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", file]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


async def test_verification_fails(
    websockets_tls_server: ServerProcess, certificates: Certificates, loop_factory: Any
) -> None:
    other = ssl.create_default_context(cafile=certificates.other_ca)
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        await connect(websockets_tls_server.uri(), ssl=other)
    context = client_context(certificates)
    uri = f"wss://other.example:{websockets_tls_server.port}/echo"
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        await connect(uri, ssl=context, host="127.0.0.1")
    async with connect(uri, ssl=context, host="127.0.0.1", server_hostname="localhost") as ws:
        await ws.send("x")
        assert await ws.recv() == "x"


async def test_where_it_connects(certificates: Certificates, tmp_path: Path) -> None:
    context = client_context(certificates)
    async with serving(echo, server_context(certificates)) as port:
        uri = f"wss://localhost:{port}/"
        async with connect(
            uri, ssl=context, local_addr=("127.0.0.1", 0), family=socket.AF_INET
        ) as ws:
            assert ws.local_address[0] == "127.0.0.1"
        sock = socket.create_connection(("127.0.0.1", port))
        async with connect(uri, ssl=context, sock=sock) as ws:
            assert sock.fileno() == -1
            await ws.send("x")
            assert await ws.recv() == "x"
        with pytest.raises(ConnectionRefusedError):
            await connect(uri, ssl=context, port=1, host="127.0.0.1")
        with pytest.raises(ExceptionGroup) as caught:
            await connect(uri, ssl=context, port=1, host="127.0.0.1", all_errors=True)
        assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError]
        with pytest.raises(OSError, match=r"bind to 192\.0\.2\.1"):
            await connect(uri, ssl=context, local_addr=("192.0.2.1", 0), family=socket.AF_INET)
        with pytest.raises(socket.gaierror):
            await connect("wss://nowhere.invalid/", ssl=context, open_timeout=60)
    path = str(tmp_path / "socket")
    async with peer.unix_serve(echo, path, ssl=server_context(certificates)):
        async with unix_connect(path, "wss://localhost/", ssl=context) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"
            assert ws.remote_address == path


async def test_refusals() -> None:
    context = ssl.create_default_context()
    for options, text in [
        ({"uri": "ws://localhost/"}, "needs a wss:// URI"),
        ({"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, "made for servers"),
    ]:
        with pytest.raises(ValueError, match=text):
            connect(**{"uri": "wss://localhost/", "ssl": context, **options})
    with pytest.raises(TypeError, match="plain"):
        aiows.serve(echo, "localhost", 0, ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


async def test_status(certificates: Certificates) -> None:
    def refuse(connection: Any, request: Any) -> Any:
        return connection.respond(404, "nothing here")

    async with serving(echo, server_context(certificates), process_request=refuse) as port:
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"wss://localhost:{port}/", ssl=client_context(certificates))
    assert caught.value.response.status_code == 404
    assert caught.value.response.body == b"nothing here"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n"])
async def test_a_server_without_tls_is_named(certificates: Certificates, answer: bytes) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    context = client_context(certificates)
    async with stream_server(leave) as (host, port):
        address = f"{host}:{port}"
        for open_one in (
            lambda: connect(f"wss://{address}/", ssl=context)._open(),
            lambda: asyncio.to_thread(aiows.sync.connect, f"wss://{address}/", ssl=context),
        ):
            with pytest.raises((ssl.SSLError, ConnectionResetError)) as caught:
                await open_one()
            told = [str(caught.value), *getattr(caught.value, "__notes__", ())]
            assert len(str(caught.value)) > 10
            assert any(f"tls handshake with {address}" in line for line in told)


async def test_timeouts(certificates: Certificates) -> None:
    """open_timeout covers TCP, TLS and the answer; Python's own limits go to Python."""
    context = client_context(certificates)
    over = asyncio.Event()

    async def never(connection: Any, request: Any) -> Any:
        await over.wait()

    async with serving(echo, server_context(certificates), process_request=never) as port:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            uri = f"wss://localhost:{silent.getsockname()[1]}/"
            outcomes = await asyncio.gather(
                connect(uri, ssl=context, open_timeout=2)._open(),
                connect(uri, ssl=context, ssl_handshake_timeout=2)._open(),
                connect(f"wss://localhost:{port}/", ssl=context, open_timeout=2)._open(),
                return_exceptions=True,
            )
        over.set()
    for outcome, kind, text in (
        (outcomes[0], TimeoutError, "no answer within"),
        (outcomes[1], ConnectionAbortedError, "handshake"),
        (outcomes[2], TimeoutError, "no answer within"),
    ):
        assert isinstance(outcome, kind) and text in str(outcome), outcome


@pytest.mark.parametrize("stage", ["at once", "tcp", "tls", "101", "open"])
async def test_cancel(certificates: Certificates, stage: str, loop_factory: Any) -> None:
    """Whenever it is cancelled, nothing is left open: no_leaks looks."""
    context = client_context(certificates)
    met, over = asyncio.Event(), asyncio.Event()

    async def meet(connection: Any, request: Any) -> Any:
        met.set()
        await over.wait()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)  # some of a ClientHello
        met.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        if stage in ("101", "open"):
            options = {"process_request": meet} if stage == "101" else {}
            port = await stack.enter_async_context(
                serving(echo, server_context(certificates), **options)
            )
        else:
            _, port = await stack.enter_async_context(stream_server(hold))

        async def use() -> None:
            async with connect(f"wss://localhost:{port}/", ssl=context) as ws:
                met.set()
                await ws.recv()

        task = asyncio.create_task(use())
        if stage == "tcp":
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        elif stage != "at once":
            await met.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        over.set()


@pytest.mark.parametrize("answers", [True, False])
async def test_cancel_at_each_turn(
    certificates: Certificates, answers: bool, loop_factory: Any
) -> None:
    """No descriptor is left, in whichever turn of the loop the opening is cancelled."""
    context = client_context(certificates)
    async with contextlib.AsyncExitStack() as stack:
        if answers:
            port = await stack.enter_async_context(serving(echo, server_context(certificates)))
        else:
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
            port = silent.getsockname()[1]
        uri = f"wss://127.0.0.1:{port}/"
        for turns in range(25):
            task = asyncio.create_task(connect(uri, ssl=context)._open())
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.done():
                await task.result().close()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await task).close()
            await settled(("127.0.0.1", port), f"after {turns} turns")


async def settled(address: tuple[str, int], when: str) -> None:
    """Wait until no socket of this process is connected to address."""
    deadline = time.monotonic() + 20
    while address in sockets_of_process():
        assert time.monotonic() < deadline, f"left open: {when}"
        await asyncio.sleep(0.001)


def sockets_of_process() -> list[Any]:
    """Return where the sockets of this process are connected to."""
    peers = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as sock:
                    peers.append(sock.getpeername())
    return peers


def test_left_open_by_another_loop(certificates: Certificates) -> None:
    """What a loop left when it closed does not disturb the next one."""

    async def leave(port: int) -> Any:
        return await connect(f"wss://localhost:{port}/", ssl=client_context(certificates))

    async def main() -> None:
        async with serving(echo, server_context(certificates), close_timeout=0.1) as port:
            left = await asyncio.to_thread(lambda: asyncio.run(leave(port)))
            closed = await asyncio.to_thread(lambda: asyncio.run(leave_closed(port)))
            assert closed.state is State.CLOSED and left.state is State.CLOSED

    async def leave_closed(port: int) -> Any:
        async with connect(f"wss://localhost:{port}/", ssl=client_context(certificates)) as ws:
            return ws

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio's, about the transport
        asyncio.run(main())
        gc.collect()


async def test_floods_both_ways(certificates: Certificates, loop_factory: Any) -> None:
    """Nothing is lost, though both sides send without end and read late."""
    count, size = 400, 50_000
    context = client_context(certificates)

    async def flood(ws: Any) -> None:
        async def send() -> None:
            for i in range(count):
                await ws.send(i.to_bytes(4) + bytes(size))

        sending = asyncio.create_task(send())
        for i in range(count):
            message = await ws.recv()
            assert message == i.to_bytes(4) + bytes(size)
            if i % 50 == 0:
                await asyncio.sleep(0.01)
        await sending
        await ws.send("done")

    options: dict[str, Any] = {"compression": None, "max_queue": 2}
    async with serving(flood, server_context(certificates), **options) as port:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with connect(
            f"wss://localhost:{port}/", ssl=context, write_limit=10_000, **options
        ) as ws:
            held = 0

            async def send() -> None:
                nonlocal held
                for i in range(count):
                    await ws.send(i.to_bytes(4) + bytes(size))
                    held = max(held, ws.buffered)

            sending = asyncio.create_task(send())
            for i in range(count):
                message = await ws.recv()
                assert message == i.to_bytes(4) + bytes(size)
                if i % 40 == 0:
                    await asyncio.sleep(0.01)
            await sending
            assert await ws.recv() == "done"
            assert held < 4 * size
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 30_000, f"{grown} KiB for {2 * count * size // 1024} of messages"


async def test_slow_reader_holds_the_peer_back(certificates: Certificates) -> None:
    sent = 0

    async def flood(ws: Any) -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.send(bytes(100_000))
                sent += 1
                await asyncio.sleep(0)  # as in test_close_timeout

    context = client_context(certificates)
    async with serving(flood, server_context(certificates), compression=None) as port:
        # Without a size of its own a socket that is read late may come to hold 32 MiB.
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.connect(("127.0.0.1", port))
        uri = f"wss://localhost:{port}/"
        async with connect(uri, ssl=context, sock=sock, compression=None) as ws:
            last = -1
            while sent <= 16 or sent != last:
                last = sent
                await asyncio.sleep(0.3)
            assert ws.stats.bytes_received < 4 << 20  # queue and read_ahead
            # And what two kernels and two TLS hold.
            assert 16 < sent < 300
            for _ in range(2 * sent):
                assert len(await ws.recv()) == 100_000


@pytest.mark.parametrize("who", ["never answers", "floods"])
async def test_close_timeout(certificates: Certificates, who: str) -> None:
    release = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = accept_key(key.decode())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
        )
        with contextlib.suppress(ConnectionError):
            while who == "floods" and not release.is_set():
                writer.write(b"\x82\x7e\x80\x00" + bytes(0x8000))
                await writer.drain()
                # Over TLS (seen to 3.13.0) drain returns at once after a write that failed, so
                # that the loop has no turn in which to tell of the lost connection.
                await asyncio.sleep(0)
            await release.wait()
        writer.close()

    async with stream_server(never, ssl=server_context(certificates)) as (_, port):
        ws = await connect(
            f"wss://localhost:{port}/", ssl=client_context(certificates), close_timeout=0.2
        )
        await ws.close()
        assert ws.close_code == 1006
        assert isinstance(ws._closed_exception(), ConnectionClosedError)
        release.set()


async def test_the_peer_breaks_off(certificates: Certificates) -> None:
    async def abort(ws: Any) -> None:
        await ws.send("x")
        ws.transport.abort()

    async def leave(ws: Any) -> None:
        await ws.close(4000, "go")

    context = client_context(certificates)
    async with serving(abort, server_context(certificates)) as port:
        async with connect(f"wss://localhost:{port}/", ssl=context) as ws:
            assert await ws.recv() == "x"
            with pytest.raises(ConnectionClosedError):
                await ws.recv()
            assert ws.close_code == 1006
    async with serving(leave, server_context(certificates)) as port:
        async with connect(f"wss://localhost:{port}/", ssl=context) as ws:
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
            assert caught.value.rcvd is not None and caught.value.sent is not None
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4000, "go")


async def test_sending_without_end(certificates: Certificates, loop_factory: Any) -> None:
    """The loop gets its turns, in which it learns that the peer broke off."""

    async def abort(ws: Any) -> None:
        for _ in range(20):
            await ws.recv()
        ws.transport.abort()

    context = client_context(certificates)
    for size in (1, 1000, 100_000):
        async with serving(abort, server_context(certificates)) as port:
            async with connect(f"wss://localhost:{port}/", ssl=context) as ws:
                with pytest.raises(ConnectionClosedError):
                    while True:
                        await ws.send(bytes(size))
                assert ws.close_code == 1006


async def test_redirects(certificates: Certificates) -> None:
    """By the rules of redirects with TLS in the core; open_timeout is one for all."""
    context = client_context(certificates)
    seen: list[Any] = []
    target = ""

    def send_on(connection: Any, request: Any) -> Any:
        seen.append((request.path, request.headers.get("Authorization")))
        if request.path == "/end":
            return None
        response = connection.respond(302, "on")
        place = {"/a": "b", "/b": "/end", "/other": target, "/loop": "/loop", "/low": "ws://x/"}
        response.headers["Location"] = place[request.path]
        return response

    handle = server_context(certificates)
    async with (
        serving(echo, handle, process_request=send_on) as second,
        serving(echo, handle, process_request=send_on) as first,
    ):
        target = f"https://localhost:{second}/end"
        base = f"wss://me:pw@localhost:{first}"
        async with connect(f"{base}/a", ssl=context) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"
            assert ws.uri == f"wss://localhost:{first}/end"
        assert [path for path, secret in seen if secret] == ["/a", "/b", "/end"]
        async with connect(f"{base}/other", ssl=context) as ws:
            assert ws.remote_address[1] == second
        assert seen[-1] == ("/end", None)
        with pytest.raises(SecurityError, match="more than 2 redirects"):
            await connect(f"{base}/loop", ssl=context, max_redirects=2)
        with pytest.raises(SecurityError, match="not secure"):
            await connect(f"{base}/low", ssl=context)
        with pytest.raises(InvalidStatus):
            await connect(f"{base}/a", ssl=context, max_redirects=0)
        with pytest.raises(ValueError, match="host or port given") as caught:
            await connect(f"{base}/other", ssl=context, host="127.0.0.1")
        assert isinstance(caught.value.__cause__, InvalidStatus)
        async with connect(f"{base}/a", ssl=context, host="127.0.0.1"):
            pass
        sock = socket.create_connection(("127.0.0.1", first))
        with pytest.raises(ValueError, match="over a given socket"):
            await connect(f"{base}/a", ssl=context, sock=sock)
