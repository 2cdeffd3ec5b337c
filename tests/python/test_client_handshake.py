"""connect: openings that fail."""

from __future__ import annotations

import asyncio
import socket

import pytest
from servers.launch import ServerProcess

from aiows import (
    HeaderLineTooLong,
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderFormat,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidStatus,
    InvalidUpgrade,
    InvalidURI,
    NegotiationError,
    SecurityError,
    StatusLineTooLong,
    TooManyHeaders,
    connect,
)


@pytest.mark.parametrize("code", [401, 404, 500, 503])
async def test_status(any_server: ServerProcess, code: int) -> None:
    await refused_with(any_server, code)


@pytest.mark.parametrize("code", [200, 302])
async def test_status_that_is_no_error(websockets_server: ServerProcess, code: int) -> None:
    await refused_with(websockets_server, code)


async def refused_with(server: ServerProcess, code: int) -> None:
    with pytest.raises(InvalidStatus, match=f"server answered {code}") as caught:
        await connect(server.uri(f"/status?code={code}"))
    response = caught.value.response
    assert response.status_code == code
    assert response.body.rstrip() == f"status {code}".encode()
    assert int(response.headers["content-length"]) == len(response.body)


@pytest.mark.parametrize(
    ("path", "kind", "text"),
    [
        ("/no-upgrade", InvalidUpgrade, "Upgrade is missing"),
        ("/no-connection", InvalidUpgrade, "Connection is missing"),
        ("/no-accept", InvalidHeader, "Sec-WebSocket-Accept is missing"),
        ("/bad-accept", InvalidHeaderValue, "Sec-WebSocket-Accept has the value 'AAAA"),
        ("/subprotocol", NegotiationError, "never-offered"),
        ("/extension?permessage-bzip2", NegotiationError, "permessage-bzip2"),
        ("/two-accepts", InvalidHeader, "Sec-WebSocket-Accept has the value 'several"),
        ("/bad-extension", InvalidHeaderFormat, "Sec-WebSocket-Extensions"),
        ("/long-line", StatusLineTooLong, "8192"),
        ("/long-field", HeaderLineTooLong, "8192"),
        ("/many-fields", TooManyHeaders, "128"),
        ("/long-head", SecurityError, "65536"),
        ("/garbage", InvalidMessage, "SSH"),
        ("/eof", InvalidMessage, "."),
    ],
)
async def test_invalid_answers(
    raw_server: ServerProcess, path: str, kind: type[Exception], text: str
) -> None:
    with pytest.raises(InvalidHandshake, match=text) as caught:
        await connect(raw_server.uri(path))
    assert type(caught.value) is kind


async def test_any_phrase_will_do(raw_server: ServerProcess) -> None:
    async with connect(raw_server.uri("/phrase")) as ws:
        assert ws.response is not None
        assert ws.response.reason_phrase == "Web Socket Protocol Handshake"


async def test_open_timeout(raw_server: ServerProcess) -> None:
    with pytest.raises(TimeoutError):
        await connect(raw_server.uri("/silence"), open_timeout=0.05)


async def test_cancelled_opening(raw_server: ServerProcess) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await connect(raw_server.uri("/silence"))
    task = asyncio.create_task(asyncio.wait_for(connect(raw_server.uri("/silence"))._open(), 9))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_refused() -> None:
    with socket.socket() as unused, pytest.raises(ConnectionRefusedError) as caught:
        unused.bind(("127.0.0.1", 0))
        await connect(f"ws://127.0.0.1:{unused.getsockname()[1]}/")
    assert caught.value.errno is not None


async def test_unknown_host() -> None:
    with pytest.raises(OSError) as caught:
        await connect("ws://host.invalid/", open_timeout=20)
    assert isinstance(caught.value, (socket.gaierror, TimeoutError))


async def test_uri_that_only_the_core_refuses() -> None:
    with pytest.raises(InvalidURI) as caught:
        await connect("ws://user:secret@xn--a/")
    assert "secret" not in str(caught.value) + repr(caught.value)


async def test_failures_leave_the_loop_usable(
    raw_server: ServerProcess, websockets_server: ServerProcess
) -> None:
    for _ in range(20):
        with pytest.raises(InvalidHandshake):
            await connect(raw_server.uri("/garbage"))
        async with connect(websockets_server.uri()) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"


async def test_two_hundred_at_once(websockets_server: ServerProcess) -> None:
    async def exchange(index: int) -> None:
        # More than the backlog takes: what is dropped comes again after seconds.
        async with connect(websockets_server.uri(), open_timeout=60) as ws:
            await ws.send(str(index))
            assert await ws.recv() == str(index)

    async with asyncio.TaskGroup() as group:
        for index in range(200):
            group.create_task(exchange(index))
