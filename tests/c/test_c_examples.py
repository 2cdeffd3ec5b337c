"""The examples build as strict C99 and work with a library of other authors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import pytest

from c_support import ROOT, Builder, Peer, missing, need, one_processor, run
from test_c_memory import LEAKS, MEMORY, definitely_lost

STRICT = ("-std=c99", "-pedantic")
EXAMPLES = ROOT / "examples" / "c"

# How an example runs: the library's variant, and the program in front of it.
WAYS = [
    pytest.param("release", [], id="plain"),
    pytest.param("asan", [], id="asan"),
    pytest.param("valgrind", MEMORY, id="valgrind-access"),
    pytest.param("test", LEAKS, id="valgrind-leaks"),
]

GOOD_ORIGIN = "https://good.example"
ECHO_OPTIONS = ["-s", "first", "-s", "second", "-o", GOOD_ORIGIN, "-n", "3", "-m", "2000000"]

# Talks to echo with ECHO_OPTIONS, then waits to be closed.
ECHO_CLIENT = """
import asyncio, contextlib, functools, os, ssl, sys
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
uri, origin = sys.argv[1:3]
context = ssl.create_default_context(cafile=sys.argv[3]) if uri.startswith("wss:") else None
ask = functools.partial(connect, uri, compression=None, max_size=None, ssl=context,
                        open_timeout=120, close_timeout=120, ping_interval=None)
offer = functools.partial(ask, subprotocols=["second", "first"], origin=origin)

async def echoes(ws):
    assert ws.subprotocol == "first"
    assert ws.response.headers["X-Max-Message-Size"] == "2000000"
    for message in ["text", "", b"binary", *map(os.urandom, (0, 100, 70000, 1 << 20))]:
        await ws.send(message)
        assert await ws.recv() == message
    await ws.send(["in ", "three ", "parts"])
    assert await ws.recv() == "in three parts"
    for i in range(1000):
        await ws.send(str(i))
    for i in range(1000):
        assert await ws.recv() == str(i)
    await asyncio.wait_for(await ws.ping(), 120)

async def refused(status, header, body, **options):
    try:
        await ask(**options)
    except InvalidStatus as error:
        response = error.response
        assert response.status_code == status, response
        assert header in response.headers, response
        assert body in response.body, response
    else:
        raise AssertionError(f"not refused with {status}")

async def main():
    async with offer() as ws:
        await echoes(ws)
    assert ws.close_code == 1000

    async with ask(subprotocols=["second"]) as ws:
        assert ws.subprotocol == "second"
        with contextlib.suppress(ConnectionClosed):
            await ws.send(bytes(2000001))
            await ws.recv()
        assert ws.protocol.close_rcvd.code == 1009

    await refused(403, "Content-Type", b"origin", origin="https://bad.example",
                  subprotocols=["first"])
    await refused(400, "Content-Type", b"subprotocols", origin=origin)
    await refused(400, "Content-Type", b"subprotocols", subprotocols=["third"])
    async with offer() as a, offer() as b, offer() as c:
        await refused(503, "Retry-After", b"too many", subprotocols=["first"])
        print("open", flush=True)
        for ws in (a, b, c):
            with contextlib.suppress(ConnectionClosed):
                await ws.recv()
            assert (ws.close_code, ws.close_reason) == (1001, "the server ends")

asyncio.run(main())
"""

# Opens 1,000 connections at once, a third of which says nothing, or half a ClientHello,
# and goes on connecting until it is told to end.
STORM = """
import asyncio, ssl, sys
port = int(sys.argv[1])
context = ssl.create_default_context(cafile=sys.argv[2])

async def one(number):
    if number % 3 == 0:
        return await asyncio.open_connection("127.0.0.1", port)
    if number % 3 == 1:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if number < 300:
            writer.write(bytes([0x16, 3, 1, 2, 0, 1, 0]))
        return reader, writer
    return await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost", ssl_handshake_timeout=240)

async def main():
    kept = await asyncio.gather(*(one(number) for number in range(1000)))
    print(len(kept), flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""

# Connects 60 times at once, to a server that cannot have as many. Who is in says so, and
# leaves when told, so that the next one comes in.
CROWD = """
import asyncio, sys
from websockets.asyncio.client import connect

async def one(leave):
    async with connect(sys.argv[1], open_timeout=240, ping_interval=None, compression=None) as ws:
        await ws.send("in")
        assert await asyncio.wait_for(ws.recv(), 240) == "in"
        print("in", flush=True)
        await leave.wait()

async def main():
    leave = asyncio.Event()
    tasks = [asyncio.create_task(one(leave)) for _ in range(60)]
    await asyncio.to_thread(sys.stdin.readline)
    leave.set()
    await asyncio.gather(*tasks)
    print("done", flush=True)

asyncio.run(main())
"""

# Echoes over a connection that was open before, and opens new ones.
BESIDE = """
import asyncio, ssl, sys
from websockets.asyncio.client import connect
secure = sys.argv[1].startswith("wss:")
context = ssl.create_default_context(cafile=sys.argv[2]) if secure else None
options = dict(ssl=context, open_timeout=240, ping_interval=None, compression=None)

async def echo(ws, text):
    await ws.send(text)
    assert await asyncio.wait_for(ws.recv(), 240) == text

async def main():
    async with connect(sys.argv[1], **options) as ws:
        print("open", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line == "echo\\n":
                for i in range(200):
                    await echo(ws, str(i))
            else:
                for i in range(20):
                    async with connect(sys.argv[1], **options) as other:
                        await echo(other, "new")
            print("done", flush=True)

asyncio.run(main())
"""


def example(build: Builder, name: str, variant: str, under: list[str]) -> list[str | Path]:
    if under:
        need(under[0])
    return [*under, build.program(EXAMPLES / f"{name}.c", variant, *STRICT)]


def check_clean(done: subprocess.CompletedProcess[str], under: list[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert "Sanitizer" not in done.stderr
    if under is LEAKS:
        assert definitely_lost(done) == "0 bytes in 0 blocks"


@pytest.mark.parametrize(("variant", "under"), WAYS)
def test_client(build: Builder, peer: Peer, variant: str, under: list[str]) -> None:
    done = run([*example(build, "client", variant, under), f"{peer.ws}/echo", "grüß dich"])
    check_clean(done, under)
    assert done.stdout == "grüß dich\n"
    assert "closed: 1000 normal closure" in done.stderr


@pytest.mark.parametrize(("variant", "under"), WAYS)
def test_blocking(build: Builder, peer: Peer, variant: str, under: list[str]) -> None:
    command = example(build, "blocking", variant, under)
    done = run([*command, f"{peer.ws}/echo", "grüß dich"])
    check_clean(done, under)
    assert done.stdout == "grüß dich\n"
    for uri, text in [(f"{peer.ws}/missing", "404"), (f"{peer.ws}/drop", "")]:
        done = run([*command, uri, "x"])
        assert done.returncode == 1
        assert text in done.stderr


# A tunnel to ws://host:port, as attach wants it: bytes both ways until one side ends.
TUNNEL = """
import os, socket, sys, threading
server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))

def send():
    while data := os.read(0, 5000):
        server.sendall(data)
    server.shutdown(socket.SHUT_WR)

threading.Thread(target=send, daemon=True).start()
while data := server.recv(5000):
    while data:
        data = data[os.write(1, data):]
"""


@pytest.mark.parametrize(("variant", "under"), WAYS)
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_attach(build: Builder, peer: Peer, variant: str, under: list[str], scheme: str) -> None:
    uri = getattr(peer, scheme)
    port = uri.rpartition(":")[2]
    tunnel: list[str | Path] = [sys.executable, "-c", TUNNEL, port]
    if scheme == "wss":
        tunnel = [need("openssl"), "s_client", "-quiet", "-verify_return_error"]
        tunnel += ["-CAfile", peer.ca, "-servername", "localhost", "-connect", f"127.0.0.1:{port}"]
    attach = example(build, "attach", variant, under)
    done = run([*attach, f"{uri}/echo", "grüß dich", *tunnel])
    check_clean(done, under)
    assert done.stdout == "grüß dich\n"
    assert "closed: 1000 normal closure" in done.stderr


def test_attach_reports_what_went_wrong(build: Builder, peer: Peer) -> None:
    attach = example(build, "attach", "release", [])
    for uri, command, text in [
        (peer.ws, ["cat"], "status line"),
        (peer.ws, ["/missing"], "No such file"),
        ("http://127.0.0.1", ["true"], "scheme"),
    ]:
        done = run([*attach, uri, "x", *command])
        assert done.returncode == 1
        assert text in done.stderr
    assert run([*attach, "ws://x/", "x"]).returncode == 2


def test_client_reports_what_went_wrong(build: Builder, peer: Peer) -> None:
    client = example(build, "client", "release", [])
    for uri, text in [
        ("ws://127.0.0.1:1/", "could not be opened"),
        (f"{peer.ws}/missing", "404"),
        (f"{peer.wss}/echo", "certificate"),
        ("http://127.0.0.1/", "not a valid ws or wss URI"),
    ]:
        done = run([*client, uri, "x"])
        assert done.returncode == 1
        assert text in done.stderr
    assert run([*client, "x"]).returncode == 2


@contextmanager
def program(command: list[str | Path]) -> Iterator[subprocess.Popen[str]]:
    """Run a program that ends when its standard input does."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
            _, stderr = process.communicate(timeout=300)
            assert process.returncode == 0, stderr
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, process.communicate(timeout=60)[1]
    return line


def told(process: subprocess.Popen[str], word: str) -> str:
    """Write a line to a program and return the one that it answers with."""
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()
    return line_of(process)


@contextmanager
def echo_server(
    command: list[str | Path], under: list[str] | None = None
) -> Iterator[tuple[int, subprocess.Popen[str], IO[str]]]:
    """Run echo; what it says goes to a file, since valgrind may say more than a pipe holds."""
    with (
        TemporaryFile("w+") as errors,
        subprocess.Popen(
            [*(under or []), *command],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            preexec_fn=one_processor if under else None,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            errors.seek(0)
            assert port.isdigit(), errors.read()
            yield int(port), server, errors
        finally:
            server.kill()


def ended(
    server: subprocess.Popen[str], errors: IO[str], number: int
) -> subprocess.CompletedProcess[str]:
    """Return what became of a server that gets a signal."""
    server.send_signal(number)
    stdout, _ = server.communicate(timeout=120)
    errors.seek(0)
    return subprocess.CompletedProcess([], server.returncode, stdout, errors.read())


def need_websockets() -> None:
    if run([sys.executable, "-c", "import websockets"]).returncode != 0:
        missing("the Python package websockets is not installed")


# What valgrind says of Go's cryptography is not about us, and too much to read.
@pytest.mark.parametrize(
    ("variant", "under", "scheme"),
    [
        pytest.param(*way.values, scheme, id=f"{way.id}-{scheme}")
        for way in WAYS
        for scheme in ("ws", "wss")
        if scheme == "ws" or not way.values[1]
    ],
)
def test_echo(build: Builder, peer: Peer, variant: str, under: list[str], scheme: str) -> None:
    need_websockets()
    options = [*ECHO_OPTIONS, *(["-c", peer.cert] if scheme == "wss" else []), "-t", "120", "0"]
    command = [*example(build, "echo", variant, under), *options][len(under) :]
    with echo_server(command, under) as (port, server, errors):
        uri = f"{scheme}://127.0.0.1:{port}/"
        client = [sys.executable, "-c", ECHO_CLIENT, uri, GOOD_ORIGIN, peer.ca]
        with program(client) as process:
            assert line_of(process) == "open"
            server.send_signal(signal.SIGTERM)
        check_clean(ended(server, errors, 0), under)


def test_storm_of_tls_handshakes(build: Builder, peer: Peer) -> None:
    need_websockets()
    command = [*example(build, "echo", "release", []), "-c", peer.cert, "-t", "1000"]
    more = ["sh", "-c", 'ulimit -n $(ulimit -H -n) && exec "$@"', "sh"]
    with echo_server([*more, *command]) as (port, server, errors):
        uri = f"wss://127.0.0.1:{port}/"
        with program([sys.executable, "-c", BESIDE, uri, peer.ca]) as beside:
            assert line_of(beside) == "open"
            with program([sys.executable, "-c", STORM, str(port), peer.ca]) as storm:
                assert told(beside, "echo") == "done"
                assert line_of(storm) == "1000"
                assert told(beside, "echo") == "done"
                assert told(beside, "connect") == "done"
            assert told(beside, "connect") == "done"
        done = ended(server, errors, signal.SIGINT)
        assert (done.returncode, done.stderr) == (0, "")


def test_no_descriptor_is_left(build: Builder, peer: Peer) -> None:
    need_websockets()
    few = ["sh", "-c", 'ulimit -n 40 && exec "$@"', "sh"]
    with echo_server([*few, *example(build, "echo", "release", [])]) as (port, server, errors):
        uri = f"ws://127.0.0.1:{port}/"
        with program([sys.executable, "-c", BESIDE, uri, peer.ca]) as beside:
            assert line_of(beside) == "open"
            free = 40 - len(os.listdir(f"/proc/{server.pid}/fd"))
            assert 0 < free < 40
            with program([sys.executable, "-c", CROWD, uri]) as crowd:
                for _ in range(free):
                    assert line_of(crowd) == "in"
                assert len(os.listdir(f"/proc/{server.pid}/fd")) == 40
                assert told(beside, "echo") == "done"
                assert told(crowd, "leave") == "in"
                lines = [line_of(crowd) for _ in range(60 - free)]
                assert lines == ["in"] * (59 - free) + ["done"]
            assert told(beside, "connect") == "done"
        done = ended(server, errors, signal.SIGINT)
        assert (done.returncode, done.stderr) == (0, "")


def test_echo_refuses_what_it_cannot_do(build: Builder, peer: Peer) -> None:
    command = example(build, "echo", "release", [])
    with echo_server(command) as (port, _, _):
        done = run([*command, str(port)])
        assert done.returncode == 1
        assert "address already in use" in done.stderr
    done = run([*command, "-c", "/nowhere/cert.pem"])
    assert done.returncode == 1
    assert "/nowhere/cert.pem" in done.stderr
    many = [word for _ in range(17) for word in ("-o", "x")]
    for wrong in (
        ["-x"],
        ["-k", peer.cert],
        ["65536"],
        ["1", "2"],
        ["-n", "0"],
        ["-m", "2k"],
        many,
    ):
        done = run([*command, *wrong])
        assert done.returncode == 2, wrong
        assert "usage:" in done.stderr


def test_examples_talk_to_each_other(build: Builder) -> None:
    with echo_server(example(build, "echo", "release", [])) as (port, _, _):
        uri = f"ws://127.0.0.1:{port}/"
        done = run([*example(build, "client", "release", []), uri, "x" * 5000], env={**os.environ})
        check_clean(done, [])
        assert done.stdout == "x" * 5000 + "\n"
