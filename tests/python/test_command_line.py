"""The command line: python -m aiows."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from servers.fixtures import Certificates
from servers.launch import read_line

import aiows
from aiows import connect, create_default_context
from aiows.__main__ import main


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "aiows", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONASYNCIODEBUG": ""},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_echo(number: signal.Signals) -> None:
    with start("echo") as process:
        words = read_line(process, "listening on ws://127.0.0.1:").split()
        assert words[3:] == ["pid", str(process.pid)]

        async def exchange() -> None:
            async with connect(words[2], max_size=None) as ws:
                for message in ("é", b"\xff", bytes(5 << 20)):
                    await ws.send(message)
                    assert await ws.recv() == message
                process.send_signal(number)
                await ws.wait_closed()
                assert ws.close_code == 1001

        asyncio.run(exchange())
        output, errors = process.communicate(timeout=30)
    assert (output, errors, process.returncode) == ("", "", 0)


def test_echo_over_tls(certificates: Certificates) -> None:
    with start(
        "echo", "--host", "127.0.0.1", "--port", "0",
        "--tls-cert", str(certificates.cert), "--tls-key", str(certificates.key),
    ) as process:  # fmt: skip
        uri = read_line(process, "listening on wss://127.0.0.1:").split()[2]

        async def exchange() -> None:
            context = create_default_context(cafile=certificates.ca)
            async with connect(uri, ssl=context) as ws:
                await ws.send("x")
                assert await ws.recv() == "x"

        asyncio.run(exchange())
        process.terminate()
        assert process.wait(30) == 0
        process.communicate()


def test_version() -> None:
    with start("--version") as process:
        output, errors = process.communicate(timeout=30)
    assert output.startswith(f"aiows {aiows.__version__}, libaiows {aiows.__version__}, Python 3.")
    assert (errors, process.returncode) == ("", 0)


def test_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: aiows" in capsys.readouterr().err
    for arguments in (["nonsense"], ["echo", "--port", "x"], ["echo", "--tls-key", "x"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert "--tls-key needs --tls-cert" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--port", "70000"], ["--host", "192.0.2.1"], ["--tls-cert", "/missing"]]
)
def test_failures_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["echo", *arguments]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("aiows: ") and errors.count("\n") == 1
