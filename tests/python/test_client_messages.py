"""connect: messages, pings, attributes, against servers that others wrote."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from typing import Any

import pytest
from servers.launch import ServerProcess

from aiows import (
    ClientConnection,
    ConcurrencyError,
    ConnectionClosedOK,
    ProtocolError,
    State,
    WriteLimitExceeded,
    connect,
)

MESSAGES = ["", "a", "héllo \U0001f600", b"", b"\0", bytes(range(256)), "x" * 70000]


async def test_echo(any_server: ServerProcess) -> None:
    async with connect(any_server.uri(), max_size=None) as ws:
        for message in [*MESSAGES, bytes(1 << 20)]:
            await ws.send(message)
            assert await ws.recv() == message


async def test_bytes_like(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        for message in (bytearray(b"abc"), memoryview(b"abc"), memoryview(b"xabcx")[1:4]):
            await ws.send(message)
            assert await ws.recv() == b"abc"


async def test_text_argument(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        await ws.send("é", text=False)
        assert await ws.recv() == "é".encode()
        await ws.send("é".encode(), text=True)
        assert await ws.recv() == "é"
        with pytest.raises(ValueError, match="UTF-8"):
            await ws.send(b"\xff", text=True)
        with pytest.raises(UnicodeEncodeError):
            await ws.send("\ud800")
        await ws.send("still open")
        assert await ws.recv() == "still open"


async def test_decode_argument(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        await ws.send("é")
        assert await ws.recv(decode=False) == "é".encode()
        await ws.send("é".encode())
        assert await ws.recv(decode=True) == "é"


@pytest.mark.parametrize("message", [5, None, {"a": 1}, object()])
async def test_wrong_type_raises_at_the_call(
    websockets_server: ServerProcess, message: Any
) -> None:
    async with connect(websockets_server.uri()) as ws:
        with pytest.raises(TypeError):
            ws.send(message)
        with pytest.raises(TypeError):
            ws.send_nowait(message)
        with pytest.raises(TypeError):
            await ws.ping(message if message is not None else 5)


async def test_iteration_ends_with_a_close_in_order(websockets_server: ServerProcess) -> None:
    ws = await connect(websockets_server.uri("/burst?n=100&size=8"))
    count = 0
    async for message in ws:
        assert int.from_bytes(message[:4], "big") == count  # type: ignore[arg-type]
        count += 1
        if count == 100:
            await ws.close()
    assert count == 100
    assert ws.close_code == 1000


async def test_burst(any_server: ServerProcess) -> None:
    async with connect(any_server.uri("/burst?n=10000&size=100"), max_queue=None) as ws:
        for index in range(10000):
            message = await ws.recv()
            assert isinstance(message, bytes)
            assert int.from_bytes(message[:4], "big") == index and len(message) == 100


async def test_fragments(any_server: ServerProcess) -> None:
    async with connect(any_server.uri("/fragments")) as ws:
        assert await ws.recv() == "fragmented é"
        assert await ws.recv() == bytes(range(256))


async def test_queue_holds_the_peer_back(websockets_server: ServerProcess) -> None:
    uri = websockets_server.uri("/burst?n=1000&size=1000")
    async with connect(uri, max_queue=(8, 2)) as ws:
        while ws.queued < 8:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        # What was read in one go may exceed the mark, but the rest stays outside.
        assert ws.queued < 600
        for index in range(1000):
            message = await ws.recv()
            assert int.from_bytes(message[:4], "big") == index  # type: ignore[arg-type]


async def test_ping_measures(any_server: ServerProcess) -> None:
    async with connect(any_server.uri(), ping_interval=None) as ws:
        assert ws.latency == 0.0
        pong = await ws.ping()
        latency = await pong
        assert latency > 0.0
        assert ws.latency == latency
        assert await (await ws.ping("text é")) > 0.0
        assert await (await ws.ping(bytearray(125))) > 0.0
        await ws.pong()
        await ws.pong(b"unasked")
        await ws.send("open")
        assert await ws.recv() == "open"


async def test_a_pong_answers_the_pings_before_it(raw_server: ServerProcess) -> None:
    async with connect(raw_server.uri("/echo")) as ws:
        pongs = [await ws.ping(str(index)) for index in range(3)]
        ws._on_pong(b"1")
        assert [pong.done() for pong in pongs] == [True, True, False]
        await asyncio.gather(*pongs)


async def test_ping_refuses(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        with pytest.raises(ProtocolError, match="126 bytes"):
            await ws.ping(bytes(126))
        with pytest.raises(ProtocolError, match="126 bytes"):
            await ws.pong(bytes(126))
        pong = await ws.ping("same")
        with pytest.raises(ConcurrencyError, match="same"):
            await ws.ping("same")
        await pong
        await (await ws.ping("same"))


async def test_pongs_nobody_waits_for(raw_server: ServerProcess) -> None:
    ws = await connect(raw_server.uri("/deaf"), close_timeout=0.05)
    waiting = await ws.ping()
    await ws.ping("dropped")
    await ws.close()
    with pytest.raises(Exception, match="1000"):
        await waiting


async def test_keepalive_measures(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri(), ping_interval=0.02) as ws:
        while ws.latency == 0.0:
            await asyncio.sleep(0.01)
        kept = ws.latency
    assert ws.latency >= min(kept, 1e-9)


async def test_server_ping(any_server: ServerProcess) -> None:
    async with connect(any_server.uri("/ping?data=abc")) as ws:
        assert await ws.recv() == "pong"


async def test_unasked_pong(raw_server: ServerProcess) -> None:
    async with connect(raw_server.uri("/pong")) as ws:
        assert await ws.recv() == "after"


async def test_frames_in_the_segment_of_the_101(raw_server: ServerProcess) -> None:
    async with connect(raw_server.uri("/together")) as ws:
        assert [await ws.recv() for _ in range(3)] == ["one", b"two", "three"]


async def test_attributes(any_server: ServerProcess) -> None:
    ws = await connect(any_server.uri("/request?a=b"), subprotocols=["x", "chat", "superchat"])
    seen = json.loads(await ws.recv())
    for _ in ("open", "closed"):
        assert ws.subprotocol == seen["subprotocol"] in ("chat", "superchat")
        assert ws.remote_address == ("127.0.0.1", any_server.port)
        assert ws.local_address[0] == "127.0.0.1"
        assert ws.request is not None and ws.response is not None
        assert ws.request.path == seen["path"] == "/request?a=b"
        assert ws.request.headers["Host"] == f"127.0.0.1:{any_server.port}"
        assert ws.response.status_code == 101
        assert ws.response.headers["upgrade"].lower() == "websocket"
        await ws.close()
    assert ws.request is ws.request
    assert ws.id == ws.id and ws.id != (await one_more_id(any_server))


async def one_more_id(server: ServerProcess) -> object:
    async with connect(server.uri()) as ws:
        return ws.id


async def test_request_fields(any_server: ServerProcess) -> None:
    async with connect(
        any_server.uri("/request"),
        origin="https://example.com",
        user_agent_header="tests",
        additional_headers=[("X-One", "1"), ("Host", "example.com"), ("x-one", "2")],
        subprotocols=["chat"],
    ) as ws:
        seen = json.loads(await ws.recv())
        names = [name.lower() for name, _ in seen["headers"]]
        fields = {name.lower(): value for name, value in seen["headers"]}
        assert fields["host"] == "example.com" and names.count("host") == 1
        assert fields["origin"] == "https://example.com"
        assert fields["user-agent"] == "tests"
        assert names.count("x-one") == 2
        assert seen["subprotocol"] == "chat" == ws.subprotocol


async def test_no_user_agent(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri("/request"), user_agent_header=None) as ws:
        assert "User-Agent" not in dict(json.loads(await ws.recv())["headers"])


async def test_credentials(websockets_server: ServerProcess) -> None:
    uri = websockets_server.uri("/request").replace("://", "://me:p%40ss@")
    async with connect(uri) as ws:
        fields = dict(json.loads(await ws.recv())["headers"])
        assert fields["Authorization"] == "Basic bWU6cEBzcw=="


async def test_other_host_and_port(websockets_server: ServerProcess) -> None:
    async with connect(
        "ws://example.com:81/request", host="127.0.0.1", port=websockets_server.port
    ) as ws:
        assert dict(json.loads(await ws.recv())["headers"])["Host"] == "example.com:81"


async def test_each_await_opens_a_connection(websockets_server: ServerProcess) -> None:
    opener = connect(websockets_server.uri())
    first, second = await opener, await opener
    assert first is not second and first.id != second.id
    await first.close()
    assert (first.state, second.state) == (State.CLOSED, State.OPEN)
    await second.close()
    async with opener as third:
        with pytest.raises(RuntimeError, match="in use"):
            await opener.__aenter__()
        assert third.state is State.OPEN
    async with opener as fourth:
        assert fourth.state is State.OPEN


async def test_two_receivers(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        waiting = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        with pytest.raises(ConcurrencyError, match="another task") as caught:
            await ws.recv()
        assert isinstance(caught.value, RuntimeError)
        await ws.send("x")
        assert await waiting == "x"


async def test_cancelled_recv_loses_nothing(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        for index in range(50):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await ws.recv()
            await ws.send(str(index))
            assert await asyncio.wait_for(ws.recv(), 60) == str(index)


async def test_many_tasks_send(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri(), max_queue=None) as ws:
        async with asyncio.TaskGroup() as group:
            for index in range(200):
                group.create_task(ws.send(str(index)))
        assert sorted([int(await ws.recv()) for _ in range(200)]) == list(range(200))


async def test_send_waits_above_the_limit(raw_server: ServerProcess) -> None:
    async with connect(raw_server.uri("/stall"), write_limit=10000, close_timeout=0.05) as ws:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ws.send(bytes(64 << 20))  # far more than the buffers on the way take
        assert ws.buffered > 10000
        with pytest.raises(WriteLimitExceeded):
            ws.send_nowait(b"one more")


async def test_send_nowait_from_a_thread(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri(), write_limit=1 << 20) as ws:
        thread = threading.Thread(target=lambda: [ws.send_nowait(str(i)) for i in range(100)])
        thread.start()
        received = [await ws.recv() for _ in range(100)]
        thread.join()
        assert received == [str(index) for index in range(100)]
        ws.send_nowait(b"\xc3\xa9", text=True)
        assert await ws.recv() == "é"
        with pytest.raises(ValueError, match="UTF-8"):
            ws.send_nowait(b"\xff", True)


async def test_run_coroutine_threadsafe(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        loop = asyncio.get_running_loop()

        def exchange() -> object:
            asyncio.run_coroutine_threadsafe(ws.send("from a thread"), loop).result(60)
            return asyncio.run_coroutine_threadsafe(ws.recv(), loop).result(60)

        assert await asyncio.to_thread(exchange) == "from a thread"


async def test_logger_names_the_connection(
    websockets_server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with connect(websockets_server.uri(), logger=logging.getLogger("mine")) as ws:
        ws.logger.info("hello")
    record = next(found for found in caplog.records if found.message == "hello")
    assert record.name == "mine"
    assert record.websocket.id == ws.id  # type: ignore[attr-defined]
    assert any(
        found.name == "mine" and "1000 (normal closure)" in found.message
        for found in caplog.records
    )


async def test_on_message(any_server: ServerProcess) -> None:
    received: list[object] = []
    done = asyncio.Event()

    def on_message(connection: ClientConnection, message: object) -> None:
        received.append((connection, message))
        if len(received) == 3:
            done.set()

    async with connect(any_server.uri(), on_message=on_message) as ws:
        for message in ("a", b"b", ""):
            await ws.send(message)
        await done.wait()
        assert received == [(ws, "a"), (ws, b"b"), (ws, "")]


async def test_on_close(websockets_server: ServerProcess) -> None:
    ended: list[object] = []

    def on_close(connection: ClientConnection) -> None:
        ended.append((connection, connection.state, connection.close_code))

    async with connect(websockets_server.uri(), on_close=on_close) as ws:
        assert ended == []
    assert ended == [(ws, State.CLOSED, 1000)]


async def test_failing_callbacks(websockets_server: ServerProcess) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))

    def fail(*arguments: object) -> None:
        raise ZeroDivisionError

    ws = await connect(websockets_server.uri(), on_message=fail, on_close=fail)
    await ws.send("x")
    await ws.wait_closed()
    assert ws.close_code == 1011
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError] * 2
    assert [report["message"] for report in reports] == [
        "Exception in on_message",
        "Exception in on_close",
    ]


async def test_closed_connection_says_so(websockets_server: ServerProcess) -> None:
    async with connect(websockets_server.uri()) as ws:
        pass
    for call in (
        lambda: ws.recv(),
        lambda: ws.send("x"),
        lambda: ws.ping(),
        lambda: ws.pong(),
    ):
        with pytest.raises(ConnectionClosedOK):
            await call()
    with pytest.raises(ConnectionClosedOK):
        ws.send_nowait("x")
    assert [message async for message in ws] == []
    await ws.close()
    await ws.wait_closed()
