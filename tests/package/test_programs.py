"""The README's first programs, run as the README says."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ROOT, run

MESSAGES = pytest.mark.parametrize(
    "message", ["hello", "grüße", "x" * 100_000], ids=["ascii", "utf-8", "long"]
)


@pytest.fixture
def uri() -> Iterator[str]:
    """The URI of an echo server."""
    command = [sys.executable, "-m", "aiows", "echo", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.match(r"listening on (ws://\S+)", server.stdout.readline())
        try:
            assert found is not None
            yield found[1]
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program, compiled with the README's command and every warning an error."""
    program = tmp_path_factory.mktemp("c") / "hello"
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    link = [ROOT / "build" / "libaiows.so", f"-Wl,-rpath,{ROOT / 'build'}"]
    source = ROOT / "examples" / "c" / "hello.c"
    run("cc", *strict, f"-I{ROOT / 'include'}", source, *link, "-o", program)
    return program


@MESSAGES
@pytest.mark.parametrize("name", ["hello", "blocking"])
def test_python(name: str, uri: str, message: str) -> None:
    program = ROOT / "examples" / "python" / f"{name}.py"
    assert run(sys.executable, "-W", "error", program, uri, message).stdout == f"{message}\n"


def test_python_in_threads(uri: str) -> None:
    program = ROOT / "examples" / "python" / "blocking_threads.py"
    command = [sys.executable, "-W", "error", str(program), uri]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        for line in ("one\n", "two\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == line
        process.stdin.close()
        assert process.wait(30) == 0


def test_python_server() -> None:
    server = ROOT / "examples" / "python" / "serve.py"
    client = ROOT / "examples" / "python" / "hello.py"
    with subprocess.Popen(
        [sys.executable, "-W", "error", server], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            uri = process.stdout.readline().split()[-1]
            assert run(sys.executable, "-W", "error", client, uri, "hello").stdout == "hello\n"
            with urllib.request.urlopen(uri.replace("ws:", "http:") + "/health") as response:
                assert (response.status, response.read()) == (200, b"fine\n")
        finally:
            process.terminate()


@MESSAGES
def test_c(c_program: Path, uri: str, message: str) -> None:
    assert run(c_program, uri, message).stdout == f"{message}\n"


def test_c_says_why_it_failed(c_program: Path) -> None:
    command = [str(c_program), "ws://127.0.0.1:1/", "hello"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "127.0.0.1" in result.stderr
