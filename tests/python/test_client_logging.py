"""What connections log, and what they do not."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest
from servers.launch import ServerProcess

import aiows.sync
from aiows import AioWebSocket, InvalidStatus, connect, serve


class Records(logging.Handler):
    """What was logged, and the logger for it."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.logger = logging.Logger("tests.logging", level)
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self.records]

    @property
    def frames(self) -> list[str]:
        """The lines about frames."""
        return [line for line in self.lines if re.match(r"[<>] [A-Z]+ (.* )?\[", line)]


async def test_frames_are_logged(any_server: ServerProcess) -> None:
    log = Records(logging.DEBUG)
    async with connect(any_server.uri(), logger=log.logger, compression=None) as ws:
        await ws.send("hello\n'there'")
        await ws.recv()
        await ws.send(bytes(100))
        await ws.recv()
        await (await ws.ping(b"ab"))
        received = log.records[-1]
    sent = [line for line in log.frames if line.startswith(">")]
    assert sent == [
        r"> TEXT 'hello\n\'there\'' [13 bytes]",
        f"> BINARY {'00 ' * 16}... {'00 ' * 8}[binary, 100 bytes]",
        "> PING 61 62 [binary, 2 bytes]",
        "> CLOSE 1000 (normal closure) [2 bytes]",
    ]
    got = [line for line in log.frames if line.startswith("<")]
    assert got[:3] == [
        sent[0].replace(">", "<"),
        sent[1].replace(">", "<"),
        "< PONG 61 62 [binary, 2 bytes]",
    ]
    assert got[3].startswith("< CLOSE 1000")
    assert received.websocket == ws  # type: ignore[attr-defined]
    assert {record.levelno for record in log.records} == {logging.DEBUG}
    assert "= connection is OPEN" in log.lines
    assert any(line.startswith("= connection is CLOSED: ") for line in log.lines)


async def test_heads_are_logged_without_secrets(any_server: ServerProcess) -> None:
    log = Records(logging.DEBUG)
    uri = any_server.uri("/echo?a=b&token=secret").replace("//", "//me:secret@")
    headers = {"Cookie": "id=secret", "Proxy-Authorization": "Basic secret", "X-A": "seen"}
    headers["X-Api-Key"] = "secret"
    async with connect(uri, additional_headers=headers, logger=log.logger):
        pass
    opened = log.lines.index("= connection is OPEN")
    heads = log.lines[:opened]
    assert "> GET /echo?a=b&token=*** HTTP/1.1" in heads and "> X-A: seen" in heads
    assert "> Authorization: ***" in heads and "> Cookie: ***" in heads
    assert "< HTTP/1.1 101 Switching Protocols" in heads
    assert not [line for line in log.lines if "secret" in line or "bWU6" in line]


async def test_a_refused_handshake_is_logged(any_server: ServerProcess) -> None:
    log = Records(logging.DEBUG)
    with pytest.raises(InvalidStatus):
        await connect(any_server.uri("/status?code=404"), logger=log.logger)
    assert any(line.startswith("> GET /status?code=404 ") for line in log.lines)
    assert any(line.startswith("< HTTP/1.1 404 ") for line in log.lines)


async def test_both_ends_log() -> None:
    client, server = Records(logging.DEBUG), Records(logging.DEBUG)

    async def echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    async with serve(echo, "127.0.0.1", 0, logger=server.logger) as listening:
        port = listening.sockets[0].getsockname()[1]
        aws = AioWebSocket(f"ws://127.0.0.1:{port}/", logger=client.logger)
        async with aws:
            await aws.manipulator.send("x" * 200)
            await aws.manipulator.receive()
    turned = {"<": ">", ">": "<"}
    assert len(client.frames) == 4
    assert sorted(client.frames) == sorted(turned[line[0]] + line[1:] for line in server.frames)
    names = {record.levelname: [] for record in server.records}
    for record in server.records:
        names[record.levelname].append(record.getMessage())
    for line in ("connection open", "connection closed", "server closing", "server closed"):
        assert line in names["INFO"]
    assert any(line.startswith("< GET / ") for line in names["DEBUG"])


def test_a_blocking_client_logs(any_server: ServerProcess) -> None:
    log = Records(logging.DEBUG)
    with aiows.sync.connect(any_server.uri(), logger=log.logger, compression=None) as ws:
        ws.send("hello")
        ws.recv()
    assert log.frames[:3] == [
        "> TEXT 'hello' [5 bytes]",
        "< TEXT 'hello' [5 bytes]",
        "> CLOSE 1000 (normal closure) [2 bytes]",
    ]
    assert log.lines[0].startswith("> GET ")
    log.records.clear()
    with pytest.raises(InvalidStatus):
        aiows.sync.connect(any_server.uri("/status?code=404"), logger=log.logger)
    assert any(line.startswith("< HTTP/1.1 404 ") for line in log.lines)


async def test_nothing_is_logged_above_debug(any_server: ServerProcess) -> None:
    log = Records(logging.INFO)
    async with connect(any_server.uri(), logger=log.logger) as ws:
        await ws.send("x")
        await ws.recv()
    assert log.lines == []


async def test_default_loggers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "aiows")

    def refuse(connection: Any, request: Any) -> Any:
        return connection.respond(403, "no\n") if request.path == "/no" else None

    async def handler(ws: Any) -> None:
        await ws.wait_closed()

    async with serve(handler, "127.0.0.1", 0, process_request=refuse) as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with connect(uri) as ws:
            assert ws.logger.logger.name == "aiows.client"
        with pytest.raises(InvalidStatus):
            await connect(f"{uri}/no")
        while "connection closed" not in caplog.messages:
            await asyncio.sleep(0.001)
    found = {(record.name, record.levelname, record.getMessage()) for record in caplog.records}
    assert ("aiows.server", "INFO", "connection open") in found
    assert ("aiows.server", "INFO", "connection rejected (403 Forbidden)") in found


async def test_a_refused_request_is_logged() -> None:
    log = Records(logging.DEBUG)

    def refuse(connection: Any, request: Any) -> Any:
        response = connection.respond(403, "no\n")
        response.headers["Set-Cookie"] = "id=secret"
        return response

    async with serve(
        None, "127.0.0.1", 0, process_request=refuse, logger=log.logger, on_message=print
    ) as server:
        uri = f"ws://me:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}/a?token=secret"
        with pytest.raises(InvalidStatus):
            await connect(uri, additional_headers={"Referer": "http://me:secret@b/\x85"})
    for line in (
        "< GET /a?token=*** HTTP/1.1",
        "< Authorization: ***",
        r"< Referer: http://***@b/\x85",
        "> HTTP/1.1 403 Forbidden",
        "> Set-Cookie: ***",
        "connection rejected (403 Forbidden)",
    ):
        assert line in log.lines
    assert "secret" not in "".join(log.lines)


async def test_missing_lines_are_told(any_server: ServerProcess) -> None:
    log = Records(logging.DEBUG)
    async with connect(any_server.uri(), logger=log.logger, write_limit=2**30) as ws:
        for _ in range(2000):  # without a turn of the event loop, which takes the lines
            ws.send_nowait("x")
        for _ in range(2000):
            await ws.recv()
        missing = [line for line in log.lines if "lines are missing" in line]
    assert missing and int(missing[0].split()[1]) >= 900
    assert len(log.frames) < 4000
