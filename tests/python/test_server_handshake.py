"""What a server decides about requests: process_request, origins, subprotocols, answers."""

from __future__ import annotations

import asyncio
import contextvars
import http
import logging
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import connect as their_connect

from aiows import (
    ConcurrencyError,
    ConnectionClosed,
    NegotiationError,
    Request,
    Response,
    Server,
    ServerConnection,
    State,
    serve,
)

LOGGER = logging.getLogger("tests.server")


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def uri_of(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}/path?query"


async def refusal(server: Server, **options: Any) -> Any:
    """Return the response that refuses a client of websockets."""
    with pytest.raises(websockets.InvalidStatus) as caught:
        await their_connect(uri_of(server), proxy=None, **options)
    return caught.value.response


async def get(server: Server, path: str = "/health", method: str = "GET") -> tuple[int, Any, str]:
    async with aiohttp.ClientSession() as session:
        async with session.request(method, f"http://127.0.0.1:{server.port}{path}") as response:
            return response.status, response.headers, await response.text()


async def works(server: Server, **options: Any) -> None:
    async with their_connect(uri_of(server), proxy=None, **options) as ws:
        await ws.send("x")
        assert await ws.recv() == "x"


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [found for found in caplog.records if found.levelno > logging.INFO]


def make(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return function, or a coroutine function that does the same a turn later."""
    if kind == "plain":
        return function

    async def later(*args: Any) -> Any:
        await asyncio.sleep(0)
        return function(*args)

    return later


kinds = pytest.mark.parametrize("kind", ["plain", "async"])


@kinds
async def test_process_request_goes_on(kind: str, loop_factory: Any) -> None:
    seen: list[Any] = []

    def process_request(connection: ServerConnection, request: Request) -> None:
        assert connection.request is request
        assert (request.path, request.headers["X-A"]) == ("/path?query", "1")
        assert connection.response is None and connection.subprotocol is None
        assert connection.state is State.CONNECTING
        seen.extend([connection, connection.remote_address, connection.id])
        connection.user = "me"  # type: ignore[attr-defined]

    async def handler(connection: ServerConnection) -> None:
        same, remote, found = seen
        assert connection is same and connection.id == found
        assert connection.remote_address == remote
        assert connection.response is not None and connection.response.status_code == 101
        await connection.send(connection.user)  # type: ignore[attr-defined]

    async with serve(handler, "127.0.0.1", process_request=make(kind, process_request)) as server:
        async with their_connect(uri_of(server), additional_headers={"X-A": "1"}) as ws:
            assert await ws.recv() == "me"
            assert seen[1] == ws.local_address
            assert ws.response is not None and "aiows/" in ws.response.headers["Server"]


@kinds
async def test_process_request_answers(kind: str) -> None:
    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/health":
            return connection.respond(http.HTTPStatus.OK, "é\n")
        if request.path == "/path?query":
            response = connection.respond(401, "who?\n")
            response.headers["WWW-Authenticate"] = "Basic"
            response.body += b"?"
            return response
        return None

    async with serve(
        echo,
        "127.0.0.1",
        process_request=make(kind, process_request),
        server_header="tests",
    ) as server:
        status, headers, body = await get(server)
        assert (status, body, headers["Server"]) == (200, "é\n", "tests")
        assert headers["Connection"] == "close" and headers["Content-Length"] == "3"
        assert headers["Content-Type"] == "text/plain; charset=utf-8" and headers["Date"]
        response = await refusal(server)
        assert (response.status_code, response.body) == (401, b"who?\n?")
        assert response.headers["WWW-Authenticate"] == "Basic"
        # What is no handshake and let through gets the core's answer.
        assert (await get(server, "/other"))[0] == 426
        assert (await get(server, "/other", "POST"))[0] == 405
        assert not server.connections


@pytest.mark.parametrize("which", ["process_request", "process_response"])
@kinds
@pytest.mark.parametrize("result", [ZeroDivisionError(), "text", Response(100, "", None)])  # type: ignore[arg-type]
async def test_callback_that_fails(
    which: str, kind: str, result: object, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> object:
        if isinstance(result, Exception):
            raise result
        return result

    options: dict[str, Any] = {which: make(kind, fail), "logger": LOGGER}
    async with serve(echo, "127.0.0.1", **options) as server:
        response = await refusal(server)
        assert response.status_code == 500 and b"log" in response.body
    (record,) = lines(caplog)
    assert (record.name, record.message) == (LOGGER.name, f"{which} failed")
    assert record.exc_info is not None


@pytest.mark.parametrize("field", [("Bad Name", "x"), ("X", "a\nb"), ("Upgrade", "h2c")])
async def test_answer_that_cannot_be_sent(
    field: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    def process_response(
        connection: ServerConnection, request: Request, response: Response
    ) -> None:
        response.headers._items.append(field)

    async with serve(echo, "127.0.0.1", process_response=process_response, logger=LOGGER) as server:
        assert (await refusal(server)).status_code == 500
    (record,) = lines(caplog)
    assert record.message == "opening handshake failed"


@kinds
async def test_process_response(kind: str) -> None:
    statuses = []

    def process_response(
        connection: ServerConnection, request: Request, response: Response
    ) -> Response | None:
        assert connection.response is response
        statuses.append(response.status_code)
        response.headers["X-Added"] = "1"
        if request.path == "/replaced":
            return connection.respond(418, "")
        return None

    async with serve(
        echo,
        "127.0.0.1",
        subprotocols=["a"],
        process_response=make(kind, process_response),
        server_header=None,
    ) as server:
        async with their_connect(uri_of(server), subprotocols=["a"]) as ws:  # type: ignore[list-item]
            assert ws.response is not None and ws.response.headers["X-Added"] == "1"
            assert ws.subprotocol == "a" and "Server" not in ws.response.headers
        response = await refusal(server)
        assert (response.status_code, response.headers["X-Added"]) == (400, "1")
        with pytest.raises(websockets.InvalidStatus, match="418"):
            await their_connect(f"ws://127.0.0.1:{server.port}/replaced")
    assert statuses == [101, 400, 400]


@kinds
async def test_process_response_sees_refusals_of_what_is_no_upgrade(kind: str) -> None:
    seen = []

    def process_response(
        connection: ServerConnection, request: Request, response: Response
    ) -> Response | None:
        seen.append((request.method, response.status_code))
        response.headers["X-Added"] = "1"
        return connection.respond(418, "no") if request.path == "/replaced" else None

    process = make(kind, process_response)
    async with serve(echo, "127.0.0.1", process_response=process) as server:
        status, headers, text = await get(server)
        assert (status, headers["Upgrade"], headers["X-Added"]) == (426, "websocket", "1")
        assert headers.getall("Content-Type") == ["text/plain; charset=utf-8"]
        assert "upgrade" in text.lower()
        status, headers, text = await get(server, method="POST")
        assert (status, headers["Allow"], headers["X-Added"]) == (405, "GET", "1")
        assert (await get(server, "/replaced"))[0] == 418
        await works(server)
    assert seen == [("GET", 426), ("POST", 405), ("GET", 426), ("GET", 101)]


async def test_accepting_by_hand() -> None:
    def process_request(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(200, "")
        response.status_code = 101
        response.headers["Sec-WebSocket-Protocol"] = "b"
        return response

    async with serve(echo, "127.0.0.1", process_request=process_request) as server:
        async with their_connect(uri_of(server), subprotocols=["a", "b"]) as ws:  # type: ignore[list-item]
            assert ws.subprotocol == "b"


async def test_context_reaches_the_handler() -> None:
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")

    async def process_request(connection: ServerConnection, request: Request) -> None:
        assert user.get() == "nobody"
        await asyncio.sleep(0)
        user.set(request.path)

    def on_close(connection: ServerConnection) -> None:
        ended.set_result(user.get())

    async def handler(connection: ServerConnection) -> None:
        await connection.send(user.get())

    ended = asyncio.get_running_loop().create_future()
    async with serve(
        handler, "127.0.0.1", process_request=process_request, on_close=on_close
    ) as server:
        async with their_connect(uri_of(server)) as ws:
            assert await ws.recv() == "/path?query"
        assert await ended == "/path?query"


ORIGINS = ["https://a.example", re.compile(r"https://[a-z]+\.b\.example")]


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (ORIGINS, "https://a.example", True),
        (ORIGINS, "https://x.b.example", True),
        (ORIGINS, "https://x.b.example.evil", False),
        (ORIGINS, "https://A.example", False),
        (ORIGINS, None, False),
        ([None, *ORIGINS], None, True),
        ([], "https://a.example", False),
        (None, "https://a.example", True),
    ],
)
async def test_origins(origins: Any, origin: Any, allowed: bool) -> None:
    async with serve(echo, "127.0.0.1", origins=origins) as server:
        if allowed:
            await works(server, origin=origin)
        else:
            response = await refusal(server, origin=origin)
            assert response.status_code == 403 and b"rigin" in response.body


async def test_select_subprotocol(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send(str(connection.subprotocol))

    def select(connection: ServerConnection, offered: list[str]) -> str | None:
        assert connection.request is not None
        if "bad" in offered:
            return "not offered"
        if "no" in offered:
            raise NegotiationError("never")
        return offered[-1] if offered else None

    async with serve(handler, "127.0.0.1", select_subprotocol=select, logger=LOGGER) as server:
        for offered, chosen in ((None, "None"), (["a", "b"], "b")):
            async with their_connect(uri_of(server), subprotocols=offered) as ws:  # type: ignore[arg-type]
                assert await ws.recv() == chosen == str(ws.subprotocol)
        response = await refusal(server, subprotocols=["no"])
        assert (response.status_code, response.body) == (400, b"never\n")
        assert not lines(caplog)
        assert (await refusal(server, subprotocols=["bad"])).status_code == 500
    (record,) = lines(caplog)
    assert record.message == "select_subprotocol failed"


class Waiting:
    """A process_request that waits until it is told to go on."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.ended = asyncio.Event()
        self.cancelled = False

    async def __call__(self, connection: ServerConnection, request: Request) -> None:
        self.connection = connection
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.ended.set()


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    yield  # type: ignore[misc]
    assert not lines(caplog)


async def test_others_are_served_meanwhile(quiet: None, loop_factory: Any) -> None:
    waiting = Waiting()

    async def process_request(connection: ServerConnection, request: Request) -> None:
        if request.path == "/wait":
            await waiting(connection, request)

    async with serve(echo, "127.0.0.1", process_request=process_request) as server:
        opening = asyncio.create_task(
            their_connect(f"ws://127.0.0.1:{server.port}/wait").__aenter__()
        )
        await waiting.begun.wait()
        await works(server)
        waiting.go_on.set()
        await (await opening).close()


async def test_client_that_leaves_while_process_request_waits(quiet: None) -> None:
    waiting = Waiting()
    async with serve(echo, "127.0.0.1", process_request=waiting) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await waiting.begun.wait()
        writer.transport.abort()
        await waiting.ended.wait()
        assert waiting.cancelled
        await waiting.connection.wait_closed()
        assert waiting.connection.state is State.CLOSED and not server._openings


async def test_open_timeout_covers_process_request(quiet: None) -> None:
    waiting = Waiting()
    limit = 0.05
    while not waiting.begun.is_set():  # on a slow machine time runs out before it is asked
        async with serve(echo, "127.0.0.1", process_request=waiting, open_timeout=limit) as server:
            with pytest.raises((websockets.InvalidMessage, ConnectionError)):
                await their_connect(uri_of(server), proxy=None)
            if waiting.begun.is_set():
                await waiting.ended.wait()
                assert waiting.cancelled
        limit *= 4


async def test_close_during_process_request(quiet: None, loop_factory: Any) -> None:
    waiting = Waiting()
    async with serve(echo, "127.0.0.1", process_request=waiting) as server:
        refused = asyncio.create_task(refusal(server))
        await waiting.begun.wait()
        server.close()
        assert (await refused).status_code == 503
    assert waiting.cancelled


async def test_close_just_as_the_request_comes(quiet: None) -> None:
    # The coroutine of process_request is made and never gets to run.
    async with serve(echo, "127.0.0.1", process_request=Waiting()) as server:
        decide = server._decide

        def decide_and_close(*args: Any) -> None:
            decide(*args)
            server.close()

        server._decide = decide_and_close  # type: ignore[method-assign]
        assert (await refusal(server)).status_code == 503


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_process_request_that_closes(how: str, quiet: None) -> None:
    async def process_request(connection: ServerConnection, request: Request) -> None:
        with pytest.raises((ConcurrencyError, ConnectionClosed)):
            await connection.send("too early")
        if how == "close":
            await connection.close()
        else:
            connection._abort()
        assert connection.state is State.CLOSED

    async with serve(echo, "127.0.0.1", process_request=process_request) as server:
        assert (await refusal(server)).status_code == 503


class Mine(ServerConnection):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.greeting = "hello"


@pytest.mark.parametrize("factory", [Mine, lambda *args, **options: Mine(*args, **options)])
async def test_create_connection(factory: Any) -> None:
    async def handler(connection: ServerConnection) -> None:
        assert isinstance(connection, Mine)
        await connection.send(connection.greeting)

    async with serve(handler, "127.0.0.1", create_connection=factory) as server:
        async with their_connect(uri_of(server)) as ws:
            assert await ws.recv() == "hello"


@pytest.mark.parametrize("factory", [lambda *args, **options: None, lambda: None])
async def test_create_connection_that_fails(factory: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with serve(echo, "127.0.0.1", create_connection=factory, logger=LOGGER) as server:
        assert (await refusal(server)).status_code == 500
    (record,) = lines(caplog)
    assert record.message == "create_connection failed"
