"""Connections through proxies: real ones, and fakes for what real ones do not do."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import logging
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from servers.fixtures import Certificates
from servers.launch import ServerProcess, environment
from servers.proxies import CREDENTIALS, PASSWORD, microsocks, tinyproxy, tls_end

from aiows import (
    AioWebSocket,
    HandShakeError,
    InvalidProxy,
    InvalidProxyMessage,
    InvalidProxyStatus,
    ProxyError,
    connect,
    create_default_context,
)
from streams import stream_server

pytestmark = pytest.mark.once  # all but the words of errors is the core's

EXAMPLE = Path(__file__).parents[2] / "examples" / "python" / "proxy.py"
KINDS = ("http", "https", "socks5", "socks5h")


@pytest.fixture(scope="module")
def proxy_servers(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[dict[tuple[str, bool], str]]:
    """Give host and port of a proxy by kind, and whether it wants credentials."""
    ports: dict[tuple[str, bool], int] = {}
    with contextlib.ExitStack() as stack:
        for wants in (False, True):
            folder = tmp_path_factory.mktemp("tinyproxy")
            http = stack.enter_context(tinyproxy(folder, wants))
            socks = stack.enter_context(microsocks(wants))
            https = stack.enter_context(tls_end(http, certificates.cert, certificates.key))
            for kind, port in zip(KINDS, (http, https, socks, socks), strict=True):
                ports[kind, wants] = port
        yield {key: f"127.0.0.1:{port}" for key, port in ports.items()}


@pytest.mark.parametrize("wants", [False, True], ids=["open", "credentials"])
@pytest.mark.parametrize("kind", KINDS)
async def test_exchange(
    proxy_servers: dict[tuple[str, bool], str],
    websockets_server: ServerProcess,
    websockets_tls_server: ServerProcess,
    certificates: Certificates,
    kind: str,
    wants: bool,
) -> None:
    trust = create_default_context(cafile=certificates.ca)
    plain = ssl.create_default_context(cafile=certificates.ca)  # TLS in Python
    address = proxy_servers[kind, wants]
    combinations: list[tuple[ServerProcess, Any, Any]] = [
        (websockets_server, None, trust),
        (websockets_tls_server, trust, trust),
        (websockets_tls_server, plain, trust),
    ]
    if kind == "https":
        combinations += [
            (websockets_server, None, plain),
            (websockets_tls_server, trust, plain),
            (websockets_tls_server, plain, plain),
        ]
    for server, context, proxy_context in combinations:
        async with connect(
            server.uri(),
            proxy=f"{kind}://{CREDENTIALS if wants else ''}{address}",
            proxy_ssl=proxy_context if kind == "https" else None,
            ssl=context,
        ) as ws:
            host, port = ws.remote_address
            assert f"{host}:{port}" == address
            assert ws._describe()["proxy"] == f"{kind}://{address}"
            assert bool(ws.tls_version) is server.secure
            for message in ("a", bytes(300_000), "ü" * 40_000):
                await ws.send(message)
                assert await ws.recv() == message
            await asyncio.gather(*(ws.send(str(number)) for number in range(300)))
            assert [await ws.recv() for _ in range(300)] == [str(n) for n in range(300)]
        assert ws.close_code == 1000


async def test_what_is_logged(
    proxy_servers: dict[tuple[str, bool], str],
    websockets_server: ServerProcess,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "aiows")
    address = proxy_servers["http", True]
    async with connect(websockets_server.uri(), proxy=f"http://{CREDENTIALS}{address}"):
        pass
    with pytest.raises(InvalidProxyStatus):
        await connect(websockets_server.uri(), proxy=f"http://{address}")
    heads = [line for line in caplog.messages if "HTTP/1." in line or "Authorization" in line]
    target = websockets_server.uri().split("/")[2]
    assert heads[:4] == [
        f"> CONNECT {target} HTTP/1.1",
        "> Proxy-Authorization: ***",
        "< HTTP/1.1 200 Connection established",
        "> GET /echo HTTP/1.1",
    ]
    assert heads[-2] == f"> CONNECT {target} HTTP/1.1" and " 407 " in heads[-1]
    login = CREDENTIALS.rstrip("@")
    for secret in (login, base64.b64encode(login.encode()).decode()):
        assert secret not in caplog.text


def test_example(
    proxy_servers: dict[tuple[str, bool], str], websockets_server: ServerProcess
) -> None:
    for login, said in ((CREDENTIALS, "hello"), ("", "407 Proxy Authentication Required")):
        proxy = f"http://{login}{proxy_servers['http', True]}"
        command = [sys.executable, str(EXAMPLE), websockets_server.uri(), proxy]
        done = subprocess.run(command, capture_output=True, text=True, env=environment())
        assert (done.returncode, done.stderr) == (0, "")
        assert said in done.stdout


async def test_real_refusals(
    proxy_servers: dict[tuple[str, bool], str], websockets_server: ServerProcess
) -> None:
    uri = websockets_server.uri()
    http, socks = proxy_servers["http", True], proxy_servers["socks5h", True]
    for login, reason in (("", "credentials are wanted"), ("u:wr0ng@", "credentials were refused")):
        with pytest.raises(InvalidProxyStatus) as status:
            await connect(uri, proxy=f"http://{login}{http}")
        response = status.value.response
        assert response.status_code == (401 if login else 407)
        assert response.headers["Server"].startswith("tinyproxy")
        assert b"<html" in response.body
        assert reason in str(status.value)
        with pytest.raises(ProxyError) as refused:
            await connect(uri, proxy=f"socks5h://{login}{socks}")
        assert type(refused.value) is ProxyError
        assert reason in str(refused.value)
        for url, error in ((f"http://{http}", status.value), (f"socks5h://{socks}", refused.value)):
            assert f"proxy {url}: answered " in str(error)
            assert "wr0ng" not in str(error) + repr(error)
    with pytest.raises(ProxyError, match=r"answered connection refused \(CONNECT 127.0.0.1:1\)"):
        await connect("ws://127.0.0.1:1/", proxy=f"socks5h://{CREDENTIALS}{socks}")
    with pytest.raises(InvalidProxyStatus, match="answered 5"):
        await connect("ws://127.0.0.1:1/", proxy=f"http://{CREDENTIALS}{http}")


async def test_tls_to_the_proxy(
    proxy_servers: dict[tuple[str, bool], str],
    websockets_server: ServerProcess,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri, address = websockets_server.uri(), proxy_servers["https", False]
    trust = create_default_context(cafile=certificates.ca)
    for options, reason in (
        ({}, "not trusted"),
        ({"proxy_ssl": True}, "not trusted"),
        ({"proxy_ssl": trust, "proxy_server_hostname": "other.test"}, r"other\.test"),
    ):
        with pytest.raises(ssl.SSLCertVerificationError, match=reason) as caught:
            await connect(uri, proxy=f"https://{address}", **options)
        assert f"proxy https://{address}: " in str(caught.value)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        await connect(uri, proxy=f"https://{address}", proxy_ssl=ssl.create_default_context())
    assert f"proxy https://{address}" in getattr(caught.value, "__notes__", ())
    trust.pin_sha256("ab" * 32)
    with pytest.raises(ValueError, match="knows no pins"):
        connect("wss://h/", ssl=trust, proxy_ssl=ssl.create_default_context())
    with pytest.raises(ValueError, match="made for servers"):
        connect(uri, proxy_ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    trust = create_default_context(cafile=certificates.ca)
    port = address.partition(":")[2]
    async with connect(uri, proxy=f"https://localhost:{port}", proxy_ssl=trust):
        pass
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    async with connect(
        uri,
        proxy=f"https://{address}",
        proxy_server_hostname="localhost",
        proxy_ssl_handshake_timeout=50,
        proxy_ssl_shutdown_timeout=5,
    ):
        pass


async def test_environment(
    proxy_servers: dict[tuple[str, bool], str],
    websockets_server: ServerProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri, proxy = websockets_server.uri(), f"http://{proxy_servers['http', False]}"
    monkeypatch.setenv("http_proxy", proxy)
    for wanted, options in ((proxy, {}), ("", {"proxy": None})):
        async with connect(uri, **options) as ws:
            assert ws.info()["proxy"] == wanted
    with pytest.raises(ValueError, match="proxy_ssl is incompatible with an http:// proxy"):
        await connect(uri, proxy_ssl=True)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with connect(uri, proxy_ssl=True) as ws:
        assert ws.info()["proxy"] == ""
    # As today's users of AioWebSocket expect, it asks no environment.
    monkeypatch.setenv("no_proxy", "")
    async with AioWebSocket(uri) as aws:
        assert aws.converse.connection.info()["proxy"] == ""
    async with AioWebSocket(uri, proxy=True) as aws:
        assert aws.converse.connection.info()["proxy"] == proxy


async def test_plain_context_by_environment(
    proxy_servers: dict[tuple[str, bool], str],
    websockets_tls_server: ServerProcess,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    loop_factory: object,
) -> None:
    plain = ssl.create_default_context(cafile=certificates.ca)
    uri = websockets_tls_server.uri()
    for name, kind in (("wss_proxy", "socks5"), ("https_proxy", "https")):
        proxy = f"{kind}://{proxy_servers[kind, False]}"
        monkeypatch.setenv(name, proxy)
        options = {"proxy_ssl": create_default_context(cafile=certificates.ca)}
        async with connect(uri, ssl=plain, **(options if kind == "https" else {})) as ws:
            assert ws._describe()["proxy"] == proxy
            await ws.send(bytes(200_000))
            assert len(await ws.recv()) == 200_000
        monkeypatch.delenv(name)
    for proxied, options in ((proxy, {"proxy": None}), ("nowhere", {})):
        monkeypatch.setenv("https_proxy", proxied)
        if options:
            async with connect(uri, ssl=plain, **options) as ws:
                assert ws._describe()["proxy"] == ""
        else:
            with pytest.raises(InvalidProxy, match="'nowhere'"):
                await connect(uri, ssl=plain)


@asynccontextmanager
async def fake_proxy(*answers: bytes, then: str = "close") -> AsyncIterator[tuple[str, Any]]:
    """Answer each thing that the client says with the next answer; then close or wait."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            for answer in answers:
                heard.put_nowait(await reader.read(1 << 16))
                for byte in answer:
                    writer.write(bytes([byte]))
                    await writer.drain()
            if then == "close":
                writer.close()
            else:
                while data := await reader.read(1 << 16):
                    heard.put_nowait(data)
        if then == "wait":
            heard.put_nowait(b"")  # the end, though it was a reset while an answer went out

    async with stream_server(serve) as (host, port):
        yield f"{host}:{port}", heard


@pytest.mark.parametrize(
    ("kind", "answers", "expected", "text"),
    [
        (
            "http",
            [b"HTTP/1.1 407 No\r\n\r\n"],
            InvalidProxyStatus,
            "answered 407 No: the credentials",
        ),
        ("http", [b"HTTP/1.1 302 Found\r\nLocation: ws://x\r\n\r\n"], InvalidProxyStatus, "302"),
        ("http", [b"HTTP/1.1 500\r\n\r\n"], InvalidProxyStatus, "answered 500 "),
        ("http", [b"HTTP/1.1 2"], InvalidProxyMessage, "closed the connection before it answered"),
        ("http", [b"220 mail\r\n\r\n"], InvalidProxyMessage, "is not valid"),
        ("http", [b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9000], InvalidProxyMessage, "field line"),
        ("http", [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200], InvalidProxyMessage, "more than"),
        ("http", [b"HTTP/1.1 403 \x80\x85\r\n\r\n"], InvalidProxyStatus, r"answered 403 \\x80"),
        ("socks5h", [b"\x05\x00", b"\x05\x02\x00\x01"], ProxyError, "not allowed by ruleset"),
        ("socks5h", [b"HTTP/1.1 400"], ProxyError, "protocol version 72, expected 5"),
        ("socks5h", [b"\x05\x00", b"\x05"], ProxyError, "closed the connection before"),
        ("socks4a", [b"\x00\x5b123456"], ProxyError, "request rejected or failed"),
        ("socks4", [b"\x00\x5d123456"], ProxyError, "reports another user id"),
    ],
)
async def test_answers(
    kind: str, answers: list[bytes], expected: type[Exception], text: str
) -> None:
    plain = ssl.create_default_context()  # TLS in Python, and the tunnel before it
    for client in (connect, AioWebSocket):
        for options in (
            {"uri": "ws://127.0.0.1:80/"},
            {"uri": "wss://127.0.0.1:80/", "ssl": plain},
        ):
            async with fake_proxy(*answers) as (address, _):
                with pytest.raises(expected, match=text) as caught:
                    async with client(proxy=f"{kind}://user:pass@{address}", **options):
                        pass
                assert f"proxy {kind}://{address}: " in str(caught.value)
                assert "pass" not in str(caught.value) + repr(caught.value)
                assert isinstance(caught.value, HandShakeError) is (client is AioWebSocket)
                if client is connect:
                    assert type(caught.value) is expected


@pytest.mark.parametrize("plain", [False, True], ids=["core", "plain"])
@pytest.mark.parametrize(("kind", "name"), [("socks4", False), ("socks4a", True)])
async def test_socks4(kind: str, name: bool, plain: bool) -> None:
    async with fake_proxy(b"\x00\x5a123456", then="wait") as (address, heard):
        opening = asyncio.ensure_future(
            connect(
                "wss://localhost:8000/" if plain else "ws://localhost:8000/x",
                proxy=f"{kind}://id:ignored@{address}",
                ssl=ssl.create_default_context() if plain else None,
            ).__aenter__()
        )
        target = b"\0\0\0\1" if name else bytes([127, 0, 0, 1])
        rest = b"localhost\0" if name else b""
        assert await heard.get() == b"\4\1\x1f\x40" + target + b"id\0" + rest
        first = await heard.get()
        assert first.startswith(b"\x16\3" if plain else b"GET /x HTTP/1.1\r\nHost: localhost:")
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert await heard.get() == b""


async def test_connect_request() -> None:
    plain = ssl.create_default_context()
    async with fake_proxy(b"HTTP/1.1 403 No\r\n\r\n") as (address, heard):
        for options, agent in (
            ({}, "aiows/"),
            ({"user_agent_header": None}, None),
            ({"ssl": plain}, "aiows/"),
            ({"ssl": plain, "user_agent_header": None}, None),
        ):
            with pytest.raises(InvalidProxyStatus):
                await connect(
                    "wss://user:secret@[2001:db8::1]/x",
                    proxy=f"http://%C3%BC:p%40ss@{address}",
                    additional_headers={"Cookie": "secret"},
                    **options,
                )
            lines = (await heard.get()).decode().split("\r\n")
            assert lines[:2] == ["CONNECT [2001:db8::1]:443 HTTP/1.1", "Host: [2001:db8::1]:443"]
            assert lines[-3:] == ["Proxy-Authorization: Basic w7w6cEBzcw==", "", ""]
            assert len(lines) == 5 + (agent is not None)
            assert agent is None or lines[2].startswith(f"User-Agent: {agent}")


@pytest.mark.parametrize("kind", ["http", "https", "socks4a", "socks5", "socks5h"])
async def test_unreachable(kind: str) -> None:
    for context in (None, ssl.create_default_context()):
        with pytest.raises(ConnectionRefusedError, match=f"proxy {kind}://127.0.0.1:1: ") as caught:
            await connect(
                "wss://127.0.0.1:80/",
                proxy=f"{kind}://user:{PASSWORD}@127.0.0.1:1",
                ssl=context,
            )
        assert caught.value.errno == errno.ECONNREFUSED
        assert PASSWORD not in str(caught.value)


# What the proxy says before it falls silent, and how it is asked for that.
PHASES = [
    ("http", "ws", []),
    ("http", "ws", [b"HTTP/1.1 200 OK\r\nX: "]),
    ("http", "ws", [b"HTTP/1.1 407 No\r\nContent-Length: 9\r\n\r\nwho"]),
    ("http", "wss", [b"HTTP/1.1 200 OK\r\n\r\n"]),  # in TLS
    ("http", "ws", [b"HTTP/1.1 200 OK\r\n\r\n"]),  # in the handshake
    ("https", "ws", []),
    ("socks4a", "ws", []),
    ("socks5h", "ws", []),
    ("socks5", "ws", [b"\x05\x00"]),
    ("socks5h", "wss", [b"\x05\x00", b"\x05\x00\x00\x01123456"]),
]


@pytest.mark.parametrize("plain", [False, True], ids=["core", "plain"])
@pytest.mark.parametrize(("kind", "scheme", "answers"), PHASES)
async def test_cancel_leaves_nothing(
    kind: str, scheme: str, answers: list[bytes], plain: bool
) -> None:
    """The proxy sees the end of the connection; no_leaks looks for descriptors."""
    async with fake_proxy(*answers, then="wait") as (address, heard):
        opening = asyncio.ensure_future(
            connect(
                f"{'wss' if plain else scheme}://127.0.0.1:80/",
                proxy=f"{kind}://{address}",
                ssl=ssl.create_default_context() if plain else None,
            ).__aenter__()
        )
        for _ in answers or [b""]:
            await heard.get()
        await asyncio.sleep(0.02)  # for the answer to be read; either way it has to end
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        while await heard.get():
            pass


async def test_silence() -> None:
    async def silence(kind: str, scheme: str, answers: list[bytes]) -> None:
        async with fake_proxy(*answers, then="wait") as (address, heard):
            with pytest.raises(TimeoutError, match=rf"proxy {kind}://{address}"):
                await connect(
                    f"{scheme}://127.0.0.1:80/", proxy=f"{kind}://{address}", open_timeout=1
                )
            while await heard.get():
                pass

    async with asyncio.TaskGroup() as tasks:
        for i in (0, 1, 3, 5, 8):
            tasks.create_task(silence(*PHASES[i]), name=str(PHASES[i]))
