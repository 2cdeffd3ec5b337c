"""connect in async for: attempts, delays, and what survives a reconnect."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets.asyncio.server as peer
import websockets.client
from servers.launch import ServerProcess, environment

from aiows import (
    AioWebSocket,
    ClientConnection,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    HandShakeError,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
    Response,
    State,
    connect,
)
from aiows.client import backoff, process_exception
from aiows.exceptions import InvalidHandshake
from aiows.headers import Headers


class Peer:
    """
    A server of websockets that answers what the test says and notes what comes.

    Attributes:
        statuses: What the next requests are refused with; None accepts.
        targets: The request targets that came.
        received: (connection number, message) of each message.
        closed: Close codes that clients sent, as their connections ended.

    """

    def __init__(self) -> None:
        self.statuses: list[int | None] = []
        self.targets: list[str] = []
        self.received: list[tuple[int, str | bytes]] = []
        self.closed: asyncio.Queue[int | None] = asyncio.Queue()
        self.accepted = 0

    async def handle(self, ws: peer.ServerConnection) -> None:
        self.accepted += 1
        number = self.accepted
        try:
            async for message in ws:
                self.received.append((number, message))
                if message == "leave":
                    await ws.close(1012)
                else:
                    await ws.send(f"{number}: {message!s}")
        except Exception:
            pass
        self.closed.put_nowait(ws.close_code)

    def check(self, ws: peer.ServerConnection, request: Any) -> Any:
        self.targets.append(request.path)
        status = self.statuses.pop(0) if self.statuses else None
        return None if status is None else ws.respond(status, "not now\n")


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[tuple[Peer, str]]:
    server = Peer()
    async with peer.serve(
        server.handle, "127.0.0.1", 0, process_request=server.check, logger=QUIET
    ) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        yield server, f"ws://127.0.0.1:{port}"


ROOT = Path(__file__).parents[2]
QUIET = logging.getLogger("tests.quiet")
QUIET.disabled = True


def no_delay() -> Generator[float, None, None]:
    while True:
        yield 0


@pytest.fixture
def nobody() -> Iterator[str]:
    """A URI where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"ws://127.0.0.1:{bound.getsockname()[1]}"


def test_backoff_is_that_of_websockets() -> None:
    first, *ours = itertools.islice(backoff(), 12)
    assert 0 <= first <= 5
    theirs = list(itertools.islice(websockets.client.backoff(), 12))
    assert ours == pytest.approx(theirs[1:])
    assert len({next(backoff()) for _ in range(8)}) > 1


def status(code: int) -> InvalidStatus:
    return InvalidStatus(Response(code, "", Headers()))


def from_eof() -> InvalidMessage:
    error = InvalidMessage("no answer")
    error.__cause__ = EOFError()
    return error


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (OSError("x"), True),
        (ConnectionResetError("x"), True),
        (TimeoutError("x"), True),
        (TimeoutError("x"), True),
        (from_eof(), True),
        *((status(code), True) for code in (500, 502, 503, 504)),
        *((status(code), False) for code in (301, 400, 401, 404, 429, 501, 505)),
        (InvalidMessage("not HTTP"), False),
        (InvalidHandshake("x"), False),
        (InvalidURI("x", "y"), False),
        (ValueError("x"), False),
        (EOFError("x"), False),
    ],
)
def test_what_is_tried_again(error: Exception, transient: bool) -> None:
    assert process_exception(error) is (None if transient else error)


class Log(logging.Handler):
    """What a connect object logs, and the logger for it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.logger = logging.Logger("tests.reconnect", logging.INFO)
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def counted(delays: list[float], made: list[float]) -> Callable[[], Generator[float, None, None]]:
    """Return reconnect_delays of which made notes the ones in use."""

    def generate() -> Generator[float, None, None]:
        for delay in delays:
            made.append(delay)
            yield delay / 1000

    return generate


async def test_delays_until_it_succeeds_and_anew() -> None:
    log, made = Log(), []
    answers = []
    async with serving() as (server, uri):
        server.statuses = [503, 500, None, None, 502, None]
        connecting = connect(uri, reconnect_delays=counted([1, 2, 3], made), logger=log.logger)
        async for ws in connecting:
            await ws.send("hi")
            answers.append(await ws.recv())
            if len(answers) == 3:
                break
            await ws.send("leave")
            with pytest.raises(ConnectionClosed):
                await ws.recv()
        assert [await server.closed.get() for _ in range(3)] == [1012, 1012, 1011]
    assert answers == ["1: hi", "2: hi", "3: hi"]
    assert made == [1, 2, 1]
    lines = [line for line in log.lines if "reconnecting" in line]
    assert len(lines) == 3
    for line, status in zip(lines, (503, 500, 502), strict=True):
        assert line.startswith("connect failed; reconnecting in 0.0 seconds: ")
        assert str(status) in line


@pytest.mark.parametrize("raising", [False, True])
async def test_what_process_exception_says(nobody: str, raising: bool) -> None:
    seen: list[Exception] = []

    def judge(error: Exception) -> Exception | None:
        seen.append(error)
        if len(seen) < 3:
            return None
        if raising:
            raise KeyError("enough")
        return KeyError("enough")

    with pytest.raises(KeyError, match="enough") as caught:
        async for _ in connect(nobody, process_exception=judge, reconnect_delays=no_delay):
            pass
    assert [type(error) for error in seen] == [ConnectionRefusedError] * 3
    assert caught.value.__cause__ is seen[-1] or raising


async def test_a_fatal_error_ends_the_loop() -> None:
    async with serving() as (server, uri):
        server.statuses = [503, 404]
        with pytest.raises(InvalidStatus) as caught:
            async for _ in connect(uri, reconnect_delays=no_delay):
                pass
        assert caught.value.response.status_code == 404


async def test_no_more_delays_is_the_end(nobody: str) -> None:
    made: list[float] = []
    with pytest.raises(ConnectionRefusedError):
        async for _ in connect(nobody, reconnect_delays=counted([1, 1], made)):
            pass
    assert made == [1, 1]


@pytest.mark.parametrize("path", ["/eof", "/silence"])
async def test_no_answer_is_tried_again(raw_server: ServerProcess, path: str) -> None:
    made: list[float] = []
    timeout = 10 if path == "/eof" else 0.2
    connecting = connect(
        raw_server.uri(path), open_timeout=timeout, reconnect_delays=counted([1], made)
    )
    kind = InvalidMessage if path == "/eof" else TimeoutError
    with pytest.raises(kind):
        async for _ in connecting:
            pass
    assert made == [1]


async def test_cancel_during_the_delay(nobody: str) -> None:
    waiting = asyncio.Event()

    def delays() -> Generator[float, None, None]:
        waiting.set()
        yield 3600

    async def use() -> None:
        async for _ in connect(nobody, reconnect_delays=delays):
            pass

    task = asyncio.create_task(use())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_leaving_the_loop_can_be_awaited() -> None:
    async with serving() as (_, uri):
        async with contextlib.aclosing(aiter(connect(uri))) as connections:
            ws = await anext(connections)
        assert ws.state is State.CLOSED


async def subscribe_aio(aws: AioWebSocket) -> None:
    await aws.manipulator.send("subscribe")


async def subscribe(ws: ClientConnection) -> None:
    await ws.send("subscribe")


def subscribe_now(ws: ClientConnection) -> None:
    ws.send_nowait("subscribe")


@pytest.mark.parametrize("on_open", [subscribe, subscribe_now])
async def test_on_open_after_each_reconnect(on_open: Callable[[Any], Any]) -> None:
    async with serving() as (_, uri):
        rounds = 0
        async for ws in connect(uri, on_open=on_open):
            assert await ws.recv() == f"{rounds + 1}: subscribe"
            rounds += 1
            if rounds == 3:
                break
            await ws.send("leave")
            with pytest.raises(ConnectionClosed):
                await ws.recv()
        async with connect(uri, on_open=on_open) as ws:
            assert await ws.recv() == "4: subscribe"
        ws = await connect(uri, on_open=on_open)
        assert await ws.recv() == "5: subscribe"
        await ws.close()


async def test_aiowebsocket_does_the_same() -> None:
    async with serving() as (server, uri):
        server.statuses = [None, 503, None]
        aws = AioWebSocket(uri, on_open=subscribe_aio, reconnect_delays=no_delay)
        seen = []
        async for entered in aws:
            assert entered is aws and aws.state == 1
            seen.append(await aws.manipulator.receive())
            if len(seen) == 2:
                break
            await aws.manipulator.send("leave")
            with pytest.raises(asyncio.IncompleteReadError):
                await aws.manipulator.receive()
        assert seen == [b"1: subscribe", b"2: subscribe"]
        assert [await server.closed.get() for _ in range(2)] == [1012, 1011]
        assert aws.state == 3
        with pytest.raises(ConnectionError, match="already exists"):
            await anext(aiter(aws))
        server.statuses = [404]
        with pytest.raises(HandShakeError, match="status code:404"):
            async for _ in AioWebSocket(uri):
                pass


@pytest.mark.parametrize("style", [connect, AioWebSocket])
async def test_a_failing_on_open_fails_the_attempt(style: Callable[..., Any]) -> None:
    calls = 0

    def on_open(_: object) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise OSError("not subscribed") if calls == 1 else KeyError("worse")

    made: list[float] = []
    async with serving() as (server, uri):
        opener = style(uri, on_open=on_open, reconnect_delays=counted([1, 1], made))
        with pytest.raises(KeyError, match="worse"):
            async for _ in opener:
                pass
        assert [await server.closed.get() for _ in range(2)] == [1011, 1011]
        assert made == [1]
        async with style(uri, on_open=on_open):
            pass
        assert await server.closed.get() == 1000
        calls = 1
        with pytest.raises(KeyError, match="worse"):
            opener = style(uri, on_open=on_open)
            await (opener if style is connect else opener.create_connection())
        assert await server.closed.get() == 1011


@pytest.mark.parametrize("style", [connect, AioWebSocket])
async def test_cancel_in_on_open_closes(style: Callable[..., Any]) -> None:
    inside = asyncio.Event()

    async def on_open(_: object) -> None:
        inside.set()
        await asyncio.Event().wait()

    async def use(uri: str) -> None:
        async for _ in style(uri, on_open=on_open):
            pass

    async with serving() as (server, uri):
        task = asyncio.create_task(use(uri))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await server.closed.get() == 1011


async def test_uris_take_turns(nobody: str) -> None:
    """Each attempt takes the next; a delay follows a round in which all failed."""
    log, made = Log(), []
    async with serving() as (server, uri):
        secret = uri.replace("//", "//user:secret@")
        uris = [nobody, f"{uri}/a", f"{secret}/b"]
        server.statuses = [None, None, 503, None]
        used = []
        connecting = connect(uris, reconnect_delays=counted([1, 2, 3], made), logger=log.logger)
        assert (connecting.uri, connecting.uris) == (uris[0], tuple(uris))
        async for ws in connecting:
            used.append(ws.uri)
            if len(used) == 3:
                break
        await server.closed.get()
    assert server.targets == ["/a", "/b", "/a", "/b"]
    assert used == [f"{uri}/a", f"{uri}/b", f"{uri}/b"]
    assert made == []
    tried = [line.partition(":")[0] for line in log.lines if "connect failed" in line]
    assert tried == ["connect failed; trying ws"] * 3
    assert "secret" not in "".join(log.lines)


async def test_a_delay_after_a_round(nobody: str) -> None:
    made: list[float] = []
    connecting = connect([nobody, nobody + "/2"], reconnect_delays=counted([1, 2], made))
    tried = []

    def judge(error: Exception) -> None:
        tried.append(connecting.uri)

    connecting = connect(
        [nobody, nobody + "/2"],
        process_exception=judge,
        reconnect_delays=counted([1, 2], made),
    )
    with pytest.raises(ConnectionRefusedError):
        async for _ in connecting:
            pass
    assert tried == [nobody, nobody + "/2"] * 3
    assert made == [1, 2]


@pytest.mark.parametrize("style", [connect, AioWebSocket])
async def test_a_list_outside_a_loop_is_tried_once(nobody: str, style: Callable[..., Any]) -> None:
    async with serving() as (server, uri):
        async with style([nobody, f"{uri}/a", f"{uri}/b"]) as entered:
            ws = entered if style is connect else entered.manipulator.connection
            assert ws.uri == f"{uri}/a"
        server.statuses = [503, 404]
        with pytest.raises(InvalidStatus) as caught:
            async with style([f"{uri}/a", f"{uri}/b"]):
                pass
        assert caught.value.response.status_code == 404
        (note,) = caught.value.__notes__
        assert note.startswith(f"before, {uri}/a: ") and "503" in note
        assert server.targets == ["/a", "/a", "/b"]


@pytest.mark.parametrize("style", [connect, AioWebSocket])
@pytest.mark.parametrize(
    ("uri", "kind", "text"),
    [
        ([], ValueError, "empty list"),
        (["ws://a", 3], TypeError, "got int in it"),
        ({"ws://a"}, TypeError, "list of str"),
        (["ws://a", "http://b"], InvalidURI, "http"),
        (["wss://a", "ws://b"], ValueError, "both ws:// and wss://"),
        (("ws://a", "ws://b#c"), InvalidURI, "fragment"),
    ],
)
def test_every_uri_is_checked(
    style: Callable[..., Any], uri: Any, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        style(uri)


async def coroutine_function(*_: object) -> None:
    pass


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"process_exception": 3}, "process_exception must be callable, got 3"),
        ({"process_exception": coroutine_function}, "process_exception must be a plain"),
        ({"reconnect_delays": [1, 2]}, "reconnect_delays must be callable"),
        ({"reconnect_delays": coroutine_function}, "reconnect_delays must be a plain"),
        ({"on_open": 3}, "on_open must be callable, got 3"),
        ({"create_connection": Connection}, "must be a subclass of aiows.client.ClientConnection"),
        ({"create_connection": coroutine_function}, "must be a subclass"),
        ({"create_connection": websockets.ClientConnection}, "must be a subclass"),
    ],
)
def test_arguments_that_cannot_be_used(options: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        connect("ws://localhost", **options)


class Shouting(ClientConnection):
    """A subclass as its author would write it, overriding what there is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: list[str] = []

    async def recv(self, decode: bool | None = None) -> str | bytes:
        self.calls.append("recv")
        message = await super().recv(decode)
        return message.upper() if isinstance(message, str) else message

    async def send(self, message: Any, text: bool | None = None) -> None:
        self.calls.append("send")
        await super().send(message, text)

    async def ping(self, data: Any = None) -> Any:
        self.calls.append("ping")
        return await super().ping(data)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.calls.append("close")
        await super().close(code, "bye")


async def test_create_connection() -> None:
    async with serving() as (_, uri):
        async with connect(uri, create_connection=Shouting, on_open=subscribe) as ws:
            assert isinstance(ws, Shouting)
            assert await ws.recv() == "1: SUBSCRIBE"
            await (await ws.ping())
            await ws.send_json(["a"])
            assert await ws.recv() == '1: ["A"]'
            await ws.send("leave")
            await ws.send("more")
            received = []
            with pytest.raises(ConnectionClosedError):
                async for message in ws:
                    received.append(message)
            assert received == []
        assert ws.calls == [
            *("send", "recv", "ping", "send", "recv", "send", "send", "recv", "close")
        ]
        async with connect(uri, create_connection=Shouting) as ws:
            await ws.send("a")
            async for message in ws:
                assert message == "2: A"
                await ws.close()


async def test_create_connection_of_aiowebsocket() -> None:
    async with serving() as (_, uri), AioWebSocket(uri, create_connection=Shouting) as aws:
        await aws.manipulator.send("a")
        assert await aws.manipulator.connection.recv() == b"1: a"
        assert isinstance(aws.manipulator.connection, Shouting)
        assert aws.manipulator.connection.calls == ["send", "recv"]
    with pytest.raises(TypeError, match="must be a subclass"):
        AioWebSocket(uri, create_connection=Connection)  # type: ignore[arg-type]


async def test_json() -> None:
    async with serving() as (server, uri), connect(uri) as ws:
        await ws.send_json({"a": [1, "é"]})
        assert await ws.recv() == '1: {"a": [1, "\\u00e9"]}'
        await ws.send_json(None, dumps=lambda value: b'"raw"')
        assert await ws.recv() == '1: "raw"'
        await ws.send_json(1)
        assert await ws.recv_json(loads=lambda text: (text, 2)) == ("1: 1", 2)
        await ws.send_json(1)
        with pytest.raises(ValueError):
            await ws.recv_json()
        with pytest.raises(TypeError):
            await ws.send_json(object())
    assert [message for _, message in server.received][1] == '"raw"'


@pytest.mark.once
async def test_example(nobody: str) -> None:
    async with serving() as (server, uri):
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "examples/python/reconnect.py"),
            *(nobody, uri),
            stdout=asyncio.subprocess.PIPE,
            env=environment() | {"PYTHONUNBUFFERED": "1"},
        )
        try:
            assert program.stdout is not None
            lines = [(await program.stdout.readline()).decode().strip() for _ in range(2)]
            assert lines == [f"connected to {uri}", '1: {"subscribe": "prices"}']
        finally:
            program.terminate()
            await program.communicate()
    assert server.received == [(1, '{"subscribe": "prices"}')]
