"""Receiving and sending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from harness import ASYNCIO, HANG_S, SYNC, Run, Traced, scenario
from peer import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Session, frame


def sends(*frames: tuple[int, bytes, bool], told: bool = False) -> Callable[[Session], Any]:
    """
    Return a script that sends these frames, then closes in order.

    told has it wait for a message before each frame, as streamed sends them.

    """

    async def script(session: Session) -> None:
        session.write(session.upgrade())
        for opcode, payload, fin in frames:
            if told:
                await session.read()
            session.frame(opcode, payload, fin)
        session.close(1000)
        await session.wait_end()

    return script


HELLO = (TEXT, "hé".encode(), True)
OCTETS = (BINARY, b"\x00\xff", True)
TEXT_OCTETS = (BINARY, "hé".encode(), True)


@scenario("recv recv.decode")
async def recv_decodes(run: Run) -> None:
    ws = await run.open(sends(*[HELLO] * 4, *[TEXT_OCTETS] * 4))
    for decode in (None, True, False):
        await run.outcome(f"text, {decode}", ws.recv(decode=decode))
    await run.outcome("text", ws.recv())
    for decode in (None, True, False):
        await run.outcome(f"binary, {decode}", ws.recv(decode=decode))
    await run.outcome("binary", ws.recv())
    await run.outcome("the end", ws.recv())


@scenario("recv")
async def recv_decodes_by_position(run: Run) -> None:
    ws = await run.open(sends(HELLO))
    if run.is_sync:
        await run.outcome("text as bytes", ws.recv(None, False))
    else:
        await run.outcome("text as bytes", ws.recv(False))


@scenario("recv.timeout", flavors=SYNC)
async def recv_times_out(run: Run) -> None:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        await session.read()
        session.frame(TEXT, "late")
        await session.echo()

    ws = await run.open(script)
    await run.outcome("nothing there", ws.recv(timeout=0.02))
    await run.outcome("not even waiting", ws.recv(timeout=0))
    await ws.send("go on")
    await run.outcome("after the timeouts", ws.recv(timeout=10))
    await ws.send("echo")
    pong = await ws.ping()  # what comes before its answer is there with it
    await asyncio.to_thread(pong.wait, HANG_S)
    await run.outcome("there already", ws.recv(timeout=0))


@scenario("recv.decode", difference="text-is-checked")
async def binary_that_is_no_text(run: Run) -> None:
    ws = await run.open(sends(OCTETS))
    await run.outcome("decoded", ws.recv(decode=True))


@scenario("recv")
async def fragments_are_one_message(run: Run) -> None:
    ws = await run.open(
        sends(
            (TEXT, b"h\xc3", False),
            (PING, b"between", True),
            (CONTINUATION, b"\xa9", False),
            (CONTINUATION, b"", True),
            (BINARY, b"", False),
            (CONTINUATION, b"\x01", True),
        )
    )
    await run.outcome("text", ws.recv())
    await run.outcome("binary", ws.recv())


async def streamed(ws: Traced, **options: Any) -> list[Any]:
    return [part async for part in ws.recv_streaming(**options)]


async def streaming(ws: Traced, **options: Any) -> list[Any]:
    """Return the fragments of a message, having asked for the next with each of them."""
    parts = []
    async for part in ws.recv_streaming(**options):
        parts.append(part)
        await ws.send("go")
    return parts


@scenario("recv_streaming")
async def streaming_yields_fragments(run: Run) -> None:
    ws = await run.open(
        sends(
            (TEXT, b"one", False),
            (CONTINUATION, b"two", True),
            (BINARY, b"\x01", False),
            (CONTINUATION, b"\x02", True),
            HELLO,
            told=True,
        )
    )
    await ws.send("go")
    run.note("text", await streaming(ws))
    run.note("binary", await streaming(ws))
    await run.outcome("whole", ws.recv())
    await run.outcome("the end", streamed(ws))


@scenario("recv_streaming", difference="streaming-starts")
async def streaming_of_what_came_before(run: Run) -> None:
    async def script(session: Session) -> None:
        parts = frame(TEXT, b"one", False) + frame(CONTINUATION, b"two")
        session.write(session.upgrade() + frame(TEXT, b"first") + parts)
        await session.read_until_close()

    ws = await run.open(script)
    await run.outcome("recv", ws.recv())
    await asyncio.sleep(0.05)
    run.note("text", await streamed(ws))


@scenario("recv_streaming.decode")
async def streaming_decodes(run: Run) -> None:
    for opcode in (TEXT, BINARY):
        for decode in (False, True):
            frames = (opcode, b"h\xc3", False), (CONTINUATION, b"\xa9", True)
            ws = await run.open(sends(*frames))
            found = await streamed(ws, decode=decode)
            run.note(f"{opcode}, {decode}", "".join(found) if decode else b"".join(found))


@scenario("recv_streaming.decode")
async def streaming_of_what_is_no_text(run: Run) -> None:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        session.frame(BINARY, b"\xff", False)
        session.frame(CONTINUATION, b"x")
        seen.extend(payload[:2] for _, opcode, payload in await session.read_until_close())

    seen: list[Any] = []
    ws = await run.open(script)
    try:
        await streamed(ws, decode=True)
    except run.exceptions.ConnectionClosedError as exception:
        run.note("cause", type(exception.__cause__).__name__)
        run.note("sent", int(exception.sent.code))
    run.note("server saw", seen)


@scenario("recv recv_streaming", flavors=ASYNCIO)
async def two_receivers(run: Run) -> None:
    ws = await run.open()
    first = asyncio.create_task(ws.recv())
    await asyncio.sleep(0)
    await run.outcome("recv beside recv", ws.recv())

    async def stream() -> None:
        async for _ in ws.recv_streaming():
            pass

    await run.outcome("recv_streaming beside recv", stream())
    await ws.send("x")
    await run.outcome("the first", first)


@scenario("recv", flavors=ASYNCIO)
async def cancelled_recv_loses_nothing(run: Run) -> None:
    ws = await run.open()
    for _ in range(3):
        task = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        run.note("cancelled", task.cancelled())
    await ws.send("kept")
    await run.outcome("message", ws.recv())

    async def impatient() -> None:
        async with asyncio.timeout(0.01):
            await ws.recv()

    await run.outcome("timeout", impatient())
    await ws.send("kept, too")
    await run.outcome("message", ws.recv())


@scenario("__aiter__", flavors=ASYNCIO)
async def iteration_ends(run: Run) -> None:
    await iterate(run)


@scenario("__iter__", flavors=SYNC)
async def iteration_ends_sync(run: Run) -> None:
    await iterate(run)


async def iterate(run: Run) -> None:
    for code in (1000, 1001, None, 1002, 1011, 4000):

        async def script(session: Session, code: int | None = code) -> None:
            session.write(session.upgrade())
            session.frame(*HELLO)
            session.frame(*OCTETS)
            session.close(code, "" if code is None else "why")
            await session.wait_end()

        ws = await run.open(script)

        async def read(ws: Any = ws) -> list[Any]:
            return [message async for message in ws]

        await run.outcome(f"closed with {code}", read())
        await run.outcome("again", read())


@scenario("recv")
async def messages_before_the_close_are_kept(run: Run) -> None:
    ws = await run.open(sends(*[HELLO] * 5))
    for _ in range(2000):
        if ws.state in (2, 3):
            break
        await asyncio.sleep(0.01)
    run.note("state", ws.state in (2, 3))
    for _ in range(6):
        await run.outcome("recv", ws.recv())


def records(seen: list[Any]) -> Callable[[Session], Any]:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        seen.extend(await session.read_until_close())

    return script


@scenario("send send.message send.text")
async def send_chooses_the_opcode(run: Run) -> None:
    seen: list[Any] = []
    ws = await run.open(records(seen), compression=None)
    for message in ("hé", b"\x00\xff", bytearray(b"ba"), memoryview(b"mv")):
        await run.outcome(type(message).__name__, ws.send(message))
    for message in ("hé", "hé".encode(), bytearray(b"ba"), memoryview(b"mv")):
        await ws.send(message, text=True)
        await ws.send(message, text=False)
    await ws.send("")
    await ws.send(b"")
    await ws.close()
    run.note("frames", seen)


@scenario("send")
async def send_refuses(run: Run) -> None:
    seen: list[Any] = []
    ws = await run.open(records(seen), compression=None)
    for wrong in (5, None, 1.5, object(), {"a": 1}):

        async def send(wrong: Any = wrong) -> None:
            await ws.send(wrong)

        await run.outcome(type(wrong).__name__, send())
    await ws.send("still open")
    await ws.close()
    run.note("frames", seen)


@scenario("send", difference="text-is-checked")
async def send_of_text_that_is_none(run: Run) -> None:
    """What a str with a lone surrogate does."""
    seen: list[Any] = []
    ws = await run.open(records(seen), compression=None)

    async def send() -> None:
        await ws.send("\ud800")

    exception = await run.outcome("surrogate", send())
    run.note("kind", isinstance(exception, UnicodeEncodeError))


@scenario("send")
async def send_of_iterables(run: Run) -> None:
    seen: list[Any] = []
    ws = await run.open(records(seen), compression=None)
    await ws.send(["one", "two", "three"])
    await ws.send(iter([b"\x01", bytearray(b"\x02"), memoryview(b"\x03")]))
    await ws.send(part for part in ["only"])
    await ws.send([])
    await ws.send(["as ", "binary"], text=False)
    await ws.send([b"as ", b"text"], text=True)
    await ws.send({"keys": 1}.keys())
    await ws.close()
    run.note("messages", joined(seen))


def joined(frames: list[Any]) -> list[tuple[int, bytes]]:
    """Return opcode and payload of messages, however they were cut into frames."""
    messages: list[tuple[int, bytes]] = []
    for _, opcode, payload in frames:
        if opcode == CONTINUATION:
            messages[-1] = messages[-1][0], messages[-1][1] + payload
        else:
            messages.append((opcode, payload))
    return messages


@scenario("send")
async def send_keeps_the_cuts(run: Run) -> None:
    """Each item is a frame."""
    seen: list[Any] = []
    ws = await run.open(records(seen), compression=None)
    await ws.send(["one", "two"])
    await ws.close()
    run.note("payloads", [payload for _, _, payload in seen if payload])
    run.note("finals", sum(fin for fin, _, _ in seen))


@scenario("send")
async def send_of_mixed_iterables(run: Run) -> None:
    for name, parts in (
        ("str then bytes", ["a", b"b"]),
        ("bytes then str", [b"a", "b"]),
        ("numbers", [1, 2]),
        ("str then number", ["a", 2]),
    ):
        seen: list[Any] = []
        ws = await run.open(records(seen), compression=None)

        async def send(ws: Any = ws, parts: Any = parts) -> None:
            await ws.send(parts)

        await run.outcome(name, send())
        await ended(run, ws)
        run.note("Close", [payload[:2] for _, opcode, payload in seen if opcode == CLOSE])


@scenario("send")
async def send_of_an_iterable_that_fails(run: Run) -> None:
    def parts() -> Any:
        yield "one"
        raise LookupError("of the application")

    seen: list[Any] = []
    ws = await run.open(records(seen), compression=None)
    await run.outcome("send", ws.send(parts()))
    await ended(run, ws)
    run.note("Close", [payload[:2] for _, opcode, payload in seen if opcode == CLOSE])


async def ended(run: Run, ws: Traced) -> None:
    """Note how a connection ended that was closed for a message cut off."""
    try:
        await ws.recv()
    except run.exceptions.ConnectionClosed as exception:
        run.note("end", (type(exception).__name__, int(exception.sent.code)))


@scenario("send", difference="closing-after-a-fault")
async def the_answer_to_a_close_for_a_message_cut_off(run: Run) -> None:
    ws = await run.open(records([]), compression=None)
    try:
        await ws.send(["a", b"b"])
    except TypeError:
        await run.outcome("recv", ws.recv())


@scenario("send", flavors=ASYNCIO)
async def send_of_async_iterables(run: Run) -> None:
    async def parts(*items: Any) -> AsyncIterator[Any]:
        for item in items:
            await asyncio.sleep(0)
            yield item

    seen: list[Any] = []
    ws = await run.open(records(seen), compression=None)
    await ws.send(parts("one", "two"))
    await ws.send(parts(b"\x01", b"\x02"))
    await ws.send(parts())
    await ws.send(parts(b"t"), text=True)
    first = asyncio.create_task(ws.send(parts("slow", "er")))
    await asyncio.sleep(0)
    await ws.send("waits for its turn")
    await first
    await run.outcome("mixed", ws.send(parts("a", b"b")))
    await ended(run, ws)
    # The Close by its code: the reason is each library's own.
    shown = [[opcode, octets[:2] if opcode == CLOSE else octets] for opcode, octets in joined(seen)]
    run.note("messages", shown)


@scenario("send", flavors=ASYNCIO)
async def close_during_a_fragmented_message(run: Run) -> None:
    never = asyncio.Event()

    async def parts() -> AsyncIterator[str]:
        yield "one"
        await never.wait()

    seen: list[Any] = []
    ws = await run.open(records(seen), compression=None)
    task = asyncio.create_task(ws.send(parts()))
    await asyncio.sleep(0.05)
    await run.outcome("close", ws.close())
    run.note("Close", [payload[:2] for _, opcode, payload in seen if opcode == CLOSE])
    never.set()
    try:
        await task
    except run.exceptions.ConnectionClosedError as exception:
        run.note("send", int(exception.sent.code))


@scenario("send.text", difference="text-is-checked")
async def text_that_is_not_utf8(run: Run) -> None:
    """websockets sends it and leaves the fault to the peer."""
    seen: list[Any] = []
    ws = await run.open(records(seen), compression=None)

    async def send() -> None:
        await ws.send(b"\xff", text=True)

    await run.outcome("send", send())
    await ws.close()
    run.note("frames", [frame[1:] for frame in seen[:1]])


@scenario("ping ping.data")
async def pings(run: Run) -> None:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        for _ in range(4):
            seen.append(await session.read())
        session.frame(PONG, seen[2][2])
        session.frame(TEXT, "after the pong")
        await session.echo()

    seen: list[Any] = []
    ws = await run.open(script)
    waiters = [await ws.ping(data) for data in ("str", b"bytes", bytearray(b"ba"))]
    await run.outcome("the same again", ws.ping("str"))
    nothing = await ws.ping()
    await run.outcome("recv", ws.recv())
    run.note("sent", seen[:3])
    run.note("four random octets", (seen[3][1], len(seen[3][2])))
    if run.is_sync:
        run.note("answered", [waiter.wait(1) for waiter in waiters] + [nothing.is_set()])
    else:
        found = [await waiter for waiter in waiters]
        run.note("answered", [0 <= seconds < 30 for seconds in found])
        run.note("the last is", nothing.done())
    run.note("latency", 0 < ws.latency < 30)


@scenario("ping pong pong.data")
async def control_frames_refused(run: Run) -> None:
    seen: list[Any] = []
    ws = await run.open(records(seen))
    for wrong in (5, ["a"], 1.5):
        for name in ("ping", "pong"):

            async def call(name: str = name, wrong: Any = wrong) -> None:
                await getattr(ws, name)(wrong)

            await run.outcome(f"{name} of {wrong}", call())
    await ws.pong()
    await ws.pong("str")
    await ws.pong(b"bytes")
    await ws.close()
    run.note("frames", seen)


@scenario("ping")
async def a_long_ping(run: Run) -> None:
    ws = await run.open()
    await run.outcome("126 octets", ws.ping(bytes(126)))
    await ws.send("still open")
    await run.outcome("recv", ws.recv())


@scenario("ping", flavors=ASYNCIO)
async def a_ping_without_answer(run: Run) -> None:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        await session.read()
        session.close(4000, "instead")
        await session.wait_end()

    ws = await run.open(script)
    waiter = await ws.ping()
    await ws.wait_closed()
    exception = waiter.exception() if not waiter.cancelled() else None
    run.note("the waiter's", exception)


@scenario("ping.ack_on_close", flavors=SYNC)
async def a_ping_without_answer_sync(run: Run) -> None:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        await session.read()
        await session.read()
        session.close(4000, "instead")
        await session.wait_end()

    ws = await run.open(script)
    plain = await ws.ping()
    acknowledged = await ws.ping(ack_on_close=True)
    await ws.wait_closed()
    run.note("waiters", (plain.is_set(), acknowledged.is_set()))


@scenario("latency")
async def latency_before_a_ping(run: Run) -> None:
    ws = await run.open(ping_interval=None)
    run.note("latency", ws.latency)
    waiter = await ws.ping()
    await ws.send("x")
    await ws.recv()
    if run.is_sync:
        run.note("answered", waiter.wait(1))
    else:
        seconds = await waiter
        run.note("the same number", seconds == ws.latency)
    run.note("latency", 0 < ws.latency < 30)
