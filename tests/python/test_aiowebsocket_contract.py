"""AioWebSocket does what aiowebsocket did, where that was right: use, messages, the end."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from typing import Any

import pytest
from servers.launch import ServerProcess

from aiows import (
    AioWebSocket,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    Converse,
)
from aiows.converses import SocketState
from aiows.exceptions import FrameError


def talking(aws: AioWebSocket) -> Converse:
    assert aws.manipulator is not None
    return aws.manipulator


async def test_use(any_server: ServerProcess) -> None:
    aws = AioWebSocket(any_server.uri())
    assert aws.manipulator is None and aws.converse is None
    assert aws.state == SocketState.zero == 0
    assert (aws.uri, aws.headers, aws.union_header) == (any_server.uri(), [], {})
    assert (aws.timeout, aws.read_timeout) == (30, 120)
    async with aws as entered:
        assert entered is aws
        assert aws.manipulator is aws.converse is not None
        assert aws.state == SocketState.opened == 1
        await aws.manipulator.send(b"hello")
        assert await aws.manipulator.receive() == b"hello"
    assert aws.state == SocketState.closed == 3
    assert aws.manipulator.connection.close_code == 1000


async def test_state_is_a_plain_number(websockets_server: ServerProcess) -> None:
    async with AioWebSocket(websockets_server.uri()) as aws:
        assert type(aws.state) is int


async def test_methods_instead_of_a_context(websockets_server: ServerProcess) -> None:
    aws = AioWebSocket(websockets_server.uri())
    await aws.close_connection()
    await aws.create_connection()
    await talking(aws).send("x")
    assert await talking(aws).receive(text=True) == "x"
    await aws.close_connection()
    await aws.close_connection()
    assert aws.state == 3


async def test_entering_twice(websockets_server: ServerProcess) -> None:
    aws = AioWebSocket(websockets_server.uri())
    async with aws:
        with pytest.raises(ConnectionError, match=r"^Connection is already exists\.$"):
            await aws.create_connection()
        with pytest.raises(ConnectionError, match="already exists"):
            async with aws:
                pass
        await talking(aws).send("still open")
        assert await talking(aws).receive() == b"still open"
    with pytest.raises(ConnectionError, match="already exists"):
        await aws.create_connection()


async def test_entering_while_entering(websockets_server: ServerProcess) -> None:
    aws = AioWebSocket(websockets_server.uri())
    first = asyncio.create_task(aws.create_connection())
    await asyncio.sleep(0)
    with pytest.raises(ConnectionError, match="already exists"):
        await aws.create_connection()
    await first
    await aws.close_connection()


async def test_another_try_after_a_failure(websockets_server: ServerProcess) -> None:
    aws = AioWebSocket("ws://127.0.0.1:1/echo")
    with pytest.raises(ConnectionRefusedError):
        await aws.create_connection()
    aws.uri = websockets_server.uri()
    async with aws:
        await talking(aws).send("x")
        assert await talking(aws).receive() == b"x"


async def test_overriding(websockets_server: ServerProcess) -> None:
    calls = []

    class Mine(AioWebSocket):
        async def create_connection(self) -> None:
            calls.append("before create")
            await super().create_connection()
            calls.append("after create")

        async def close_connection(self) -> None:
            calls.append("before close")
            await super().close_connection()
            calls.append("after close")

    async with Mine(websockets_server.uri()) as aws:
        calls.append("inside")
    assert calls == ["before create", "after create", "inside", "before close", "after close"]
    assert talking(aws).connection.close_code == 1000


async def test_overriding_that_fails(websockets_server: ServerProcess) -> None:
    class Mine(AioWebSocket):
        async def create_connection(self) -> None:
            await super().create_connection()
            raise ZeroDivisionError

    aws = Mine(websockets_server.uri())
    with pytest.raises(ZeroDivisionError):
        async with aws:
            pass
    assert aws.state == 3 and talking(aws).connection.close_code == 1011


async def test_hooks(websockets_server: ServerProcess) -> None:
    calls: list[object] = []

    async def on_open(aws: AioWebSocket) -> None:
        await talking(aws).send("from the hook")
        calls.append(aws)

    aws = AioWebSocket(
        websockets_server.uri(),
        on_open=on_open,
        on_close=lambda aws: calls.append((aws, aws.state)),
    )
    async with aws:
        assert await talking(aws).receive() == b"from the hook"
        assert calls == [aws]
    assert calls == [aws, (aws, 3)]
    async with AioWebSocket(websockets_server.uri(), on_open=calls.append) as other:
        assert calls[-1] is other


async def test_on_message(any_server: ServerProcess) -> None:
    received: list[object] = []
    done = asyncio.Event()

    def on_message(converse: Converse, message: bytes) -> None:
        received.append((converse, message))
        if len(received) == 2:
            done.set()

    async with AioWebSocket(any_server.uri(), on_message=on_message) as aws:
        await talking(aws).send("é")
        await talking(aws).send(b"\xff")
        await done.wait()
        assert received == [(aws.converse, "é".encode()), (aws.converse, b"\xff")]


@pytest.mark.parametrize("name", ["hands", "reader", "writer"])
def test_gone_attributes(name: str) -> None:
    aws = AioWebSocket("ws://127.0.0.1/")
    with pytest.raises(AttributeError, match=rf"'AioWebSocket'.*'{name}', use manipulator\."):
        getattr(aws, name)


@pytest.mark.parametrize("name", ["frame", "reader", "writer", "message_queue"])
async def test_gone_attributes_of_converse(websockets_server: ServerProcess, name: str) -> None:
    async with AioWebSocket(websockets_server.uri()) as aws:
        with pytest.raises(AttributeError, match=rf"'Converse'.*'{name}', use manipulator\."):
            getattr(aws.manipulator, name)
        with pytest.raises(AttributeError, match=r"'nonsense'$"):
            aws.manipulator.nonsense  # type: ignore[union-attr]  # noqa: B018
        assert not hasattr(aws, "nonsense")


async def test_copies_of_the_object_do_not_recurse() -> None:
    aws = AioWebSocket("ws://127.0.0.1/")
    assert copy.copy(aws).uri == aws.uri


# send and receive


async def test_opcodes(raw_server: ServerProcess) -> None:
    async with AioWebSocket(raw_server.uri("/frames")) as aws:
        converse = talking(aws)

        async def seen(message: Any, **options: Any) -> tuple[int, bytes]:
            await converse.send(message, **options)
            frame = json.loads(await converse.receive())
            assert frame["fin"] and frame["masked"]
            return frame["opcode"], bytes.fromhex(frame["payload"])

        assert await seen("é") == (1, "é".encode())
        assert await seen("é".encode()) == (1, "é".encode())
        assert await seen(b"") == (1, b"")
        assert await seen("") == (1, b"")
        assert await seen(b"\xff\x00") == (2, b"\xff\x00")
        assert await seen("é".encode()[:1]) == (2, b"\xc3")
        assert await seen(bytearray(b"abc")) == (1, b"abc")
        assert await seen(memoryview(b"\xffabc")) == (2, b"\xffabc")
        assert await seen(b"abc", binary=True) == (2, b"abc")
        assert await seen("é", binary=True) == (2, "é".encode())
        assert await seen(b"abc", binary=False) == (1, b"abc")
        assert await seen("é", binary=False) == (1, "é".encode())
        assert await seen(b"abc", fin=True, mask=True) == (1, b"abc")
        large = bytes(range(256)) * 4000
        assert await seen(large) == (2, large)
        with pytest.raises(ValueError, match="UTF-8"):
            await converse.send(b"\xff", binary=False)
        with pytest.raises(ValueError, match=r"mask.*5\.1"):
            await converse.send(b"abc", mask=False)
        with pytest.raises(TypeError, match="str or bytes-like, got int"):
            await converse.send(5)  # type: ignore[arg-type]
        assert await seen("still open") == (1, b"still open")


async def test_positional_arguments(raw_server: ServerProcess) -> None:
    async with AioWebSocket(raw_server.uri("/frames")) as aws:
        await talking(aws).send("abc", True, True)
        assert json.loads(await talking(aws).receive(False, False))["fin"] is True


@pytest.mark.parametrize(
    ("parts", "opcode"),
    [
        (["é".encode()[:1], "é".encode()[1:] + b"!"], 1),
        (["a", b"b", "c"], 1),
        ([b"\xff", b"abc"], 2),
        ([b"", b"abc"], 1),
    ],
)
async def test_fragments(
    raw_server: ServerProcess, websockets_server: ServerProcess, parts: list[Any], opcode: int
) -> None:
    whole = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    async with AioWebSocket(raw_server.uri("/frames")) as aws:
        for index, part in enumerate(parts):
            await talking(aws).send(part, fin=index == len(parts) - 1)
        for index in range(len(parts)):
            frame = json.loads(await talking(aws).receive())
            assert frame["opcode"] == (0 if index else opcode)
            assert frame["fin"] == (index == len(parts) - 1)
        await talking(aws).send("whole again")
        assert json.loads(await talking(aws).receive())["opcode"] == 1
    async with AioWebSocket(websockets_server.uri()) as aws:
        for index, part in enumerate(parts):
            await talking(aws).send(part, fin=index == len(parts) - 1)
        assert await talking(aws).receive() == whole


async def test_fragments_with_a_fixed_opcode(raw_server: ServerProcess) -> None:
    async with AioWebSocket(raw_server.uri("/frames")) as aws:
        converse = talking(aws)
        await converse.send(b"abc", fin=False, binary=True)
        with pytest.raises(ValueError, match="begun as binary"):
            await converse.send(b"def", fin=False, binary=False)
        await converse.send(b"def", binary=True)
        assert json.loads(await converse.receive())["opcode"] == 2
        assert json.loads(await converse.receive())["opcode"] == 0
        await converse.send("abc", fin=False)
        with pytest.raises(ValueError, match="UTF-8"):
            await converse.send(b"\xff")
        await converse.send(b"!")
        frames = [json.loads(await converse.receive()) for _ in range(2)]
        assert [frame["fin"] for frame in frames] == [False, True]


async def test_received_types(any_server: ServerProcess) -> None:
    async with AioWebSocket(any_server.uri()) as aws:
        converse = talking(aws)
        for sent in ("é", "é".encode()):
            for binary in (True, False):
                await converse.send(sent, binary=binary)
                assert await converse.receive() == "é".encode()
                await converse.send(sent, binary=binary)
                assert await converse.receive(text=True) == "é"
                await converse.send("", binary=binary)
                assert await converse.receive() is None
                await converse.send("", binary=binary)
                assert await converse.receive(text=True) is None
        await converse.send(b"\xff")
        with pytest.raises(UnicodeDecodeError):
            await converse.receive(text=True)
        with pytest.raises(ValueError, match=r"mask.*5\.1"):
            await converse.receive(mask=True)
        await converse.send("on")
        assert await converse.receive() == b"on"


async def test_fragments_received_are_one_message(any_server: ServerProcess) -> None:
    async with AioWebSocket(any_server.uri("/fragments")) as aws:
        assert await talking(aws).receive(text=True) == "fragmented é"
        assert await talking(aws).receive() == bytes(range(256))


async def test_queue_size(raw_server: ServerProcess) -> None:
    async with AioWebSocket(raw_server.uri("/together")) as aws:
        while talking(aws).get_queue_size < 3:
            await asyncio.sleep(0.001)
        assert await talking(aws).receive() == b"one"
        assert talking(aws).get_queue_size == 2


async def test_pings_are_answered_and_never_returned(any_server: ServerProcess) -> None:
    async with AioWebSocket(any_server.uri("/ping?data=payload")) as aws:
        assert await talking(aws).receive() == b"pong"


async def test_pongs_are_accepted(raw_server: ServerProcess) -> None:
    async with AioWebSocket(raw_server.uri("/pong")) as aws:
        assert await talking(aws).receive() == b"after"


async def test_several_receivers(websockets_server: ServerProcess) -> None:
    async with AioWebSocket(websockets_server.uri()) as aws:
        waiting = asyncio.create_task(talking(aws).receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already receiving"):
            await talking(aws).receive()
        await talking(aws).send("x")
        assert await waiting == b"x"


async def test_read_timeout(websockets_server: ServerProcess) -> None:
    async with AioWebSocket(websockets_server.uri(), read_timeout=0.05, ping_interval=0.01) as aws:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await talking(aws).receive()
        await talking(aws).send("usable")
        while not talking(aws).get_queue_size:
            await asyncio.sleep(0.001)
        assert await talking(aws).receive() == b"usable"


async def test_read_timeout_by_position(websockets_server: ServerProcess) -> None:
    async with AioWebSocket(websockets_server.uri(), [], {}, 30, 0.05) as aws:
        with pytest.raises(TimeoutError):
            await talking(aws).receive()


@pytest.mark.parametrize(("options", "limit"), [({}, None), ({"read_timeout": 120}, 120)])
async def test_read_timeout_only_when_given(
    websockets_server: ServerProcess, options: dict[str, Any], limit: float | None
) -> None:
    async with AioWebSocket(websockets_server.uri(), **options) as aws:
        assert aws.read_timeout == 120
        assert talking(aws)._read_timeout == limit


async def test_large_messages(websockets_server: ServerProcess) -> None:
    async with AioWebSocket(websockets_server.uri()) as aws:
        message = bytes(16 << 20)
        await talking(aws).send(message, binary=True)
        assert await talking(aws).receive() == message


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1011, 4001])
async def test_close_from_the_server(any_server: ServerProcess, code: int) -> None:
    async with AioWebSocket(any_server.uri(f"/close?code={code}&reason=bye")) as aws:
        await talking(aws).send("close, please")
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await talking(aws).receive()
        error = caught.value
        assert isinstance(error, ConnectionClosed)
        assert isinstance(error, ConnectionClosedOK if code < 1006 else ConnectionClosedError)
        assert not isinstance(error, FrameError)
        assert (error.code, error.reason) == (code, "" if code == 1005 else "bye")
        assert (error.partial, error.expected) == (b"", None)
        assert str(code) in str(error)
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(twin) is type(error) and vars(twin) == vars(error)
            assert str(twin) == str(error)
        with pytest.raises(ConnectionClosed) as again:
            await talking(aws).receive()
        assert again.value is not error
        with pytest.raises(asyncio.IncompleteReadError):
            await talking(aws).send("x")
    assert aws.state == 3


@pytest.mark.parametrize("path", ["/reserved-bits", "/masked", "/bad-utf8", "/lone-continuation"])
async def test_broken_protocol(raw_server: ServerProcess, path: str) -> None:
    async with AioWebSocket(raw_server.uri(path), close_timeout=0.2) as aws:
        with pytest.raises(FrameError) as caught:
            await talking(aws).receive()
        assert isinstance(caught.value, ConnectionClosedError)
        assert isinstance(caught.value, asyncio.IncompleteReadError)
        twin = pickle.loads(pickle.dumps(caught.value))
        assert type(twin) is type(caught.value) and str(twin) == str(caught.value)


async def test_leaving_on_an_exception(any_server: ServerProcess) -> None:
    with pytest.raises(ZeroDivisionError):
        async with AioWebSocket(any_server.uri()) as aws:
            raise ZeroDivisionError
    assert aws.state == 3
    with pytest.raises(ConnectionClosedError) as caught:
        await talking(aws).receive()
    assert caught.value.sent is not None and caught.value.sent.code == 1011


async def test_leaving_after_the_servers_close(any_server: ServerProcess) -> None:
    async with AioWebSocket(any_server.uri("/close?code=4000")) as aws:
        await talking(aws).send("x")
        await talking(aws).connection.wait_closed()
    async with AioWebSocket(any_server.uri("/drop")) as aws:
        await talking(aws).send("x")
        await talking(aws).connection.wait_closed()
    assert aws.state == 3


async def test_leaving_takes_close_timeout_at_most(raw_server: ServerProcess) -> None:
    async with AioWebSocket(raw_server.uri("/deaf"), close_timeout=0.1) as aws:
        pass
    assert aws.state == 3
