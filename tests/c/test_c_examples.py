"""The examples build as strict C99 and work with a library of other authors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from c_support import ROOT, Builder, Peer, checked, missing, need, run
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

ECHO_CLIENT = """
import os, sys
from websockets.sync.client import connect
with connect(sys.argv[1], compression=None, max_size=None) as ws:
    for message in ["text", "", b"binary", *map(os.urandom, (0, 100, 70000, 1 << 20))]:
        ws.send(message)
        assert ws.recv() == message
    ws.send(["in ", "three ", "parts"])
    assert ws.recv() == "in three parts"
    for i in range(1000):
        ws.send(str(i))
    for i in range(1000):
        assert ws.recv() == str(i)
    assert ws.ping().wait(10)
assert ws.close_code == 1000
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
def echo_server(command: list[str | Path]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            assert port.isdigit(), server.communicate(timeout=60)[1]
            yield f"ws://127.0.0.1:{port}/", server
        finally:
            server.kill()


@pytest.mark.parametrize(("variant", "under"), WAYS)
def test_echo(build: Builder, variant: str, under: list[str]) -> None:
    if run([sys.executable, "-c", "import websockets"]).returncode != 0:
        missing("the Python package websockets is not installed")
    with echo_server(example(build, "echo", variant, under)) as (uri, server):
        checked([sys.executable, "-c", ECHO_CLIENT, uri])
        server.send_signal(signal.SIGTERM)
        stdout, stderr = server.communicate(timeout=120)
        check_clean(subprocess.CompletedProcess([], server.returncode, stdout, stderr), under)


def test_echo_refuses_a_port_in_use(build: Builder) -> None:
    command = example(build, "echo", "release", [])
    with echo_server(command) as (uri, _):
        done = run([*command, uri.rpartition(":")[2].strip("/")])
        assert done.returncode == 1
        assert "address already in use" in done.stderr


def test_examples_talk_to_each_other(build: Builder) -> None:
    with echo_server(example(build, "echo", "release", [])) as (uri, _):
        done = run([*example(build, "client", "release", []), uri, "x" * 5000], env={**os.environ})
        check_clean(done, [])
        assert done.stdout == "x" * 5000 + "\n"
