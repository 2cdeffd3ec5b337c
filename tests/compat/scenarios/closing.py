"""The end of a connection: who closes, with what, and what each method says then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from harness import ASYNCIO, SYNC, Run, Traced, scenario
from peer import CLOSE, PING, TEXT, Session

CODES = (
    1000,
    1001,
    None,
    1002,
    1003,
    1007,
    1008,
    1009,
    1010,
    1011,
    1012,
    1013,
    1014,
    3000,
    4000,
    4999,
)


def closes_with(code: int | None, reason: str = "") -> Callable[[Session], Any]:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        session.close(code, reason)
        await session.wait_end()

    return script


async def every_method(run: Run, ws: Traced) -> None:
    """Note what each method does with a connection that is closed."""
    await run.outcome("recv", ws.recv())
    await run.outcome("recv again", ws.recv())

    async def streaming() -> Any:
        return [part async for part in ws.recv_streaming()]

    await run.outcome("recv_streaming", streaming())
    await run.outcome("send", ws.send("x"))
    await run.outcome("send of an iterable", ws.send(["x", "y"]))
    await run.outcome("ping", ws.ping())
    await run.outcome("pong", ws.pong())
    await run.outcome("close", ws.close())
    await run.outcome("close with another code", ws.close(4001, "late"))
    await run.outcome("wait_closed", ws.wait_closed())
    run.note("state", ws.state)
    run.note("close_code", ws.close_code)
    run.note("close_reason", ws.close_reason)


@scenario("recv close_code close_reason wait_closed state")
async def closed_by_the_peer(run: Run) -> None:
    for code in (1000, 1001, 1006, 1011, 4000):
        script = lost if code == 1006 else closes_with(code, "why")
        ws = await run.open(script)
        run.note("closed with", code)
        await every_method(run, ws)


async def lost(session: Session) -> None:
    session.write(session.upgrade())
    session.end()
    await session.rest()


@scenario("recv close_code")
async def every_code_of_the_peer(run: Run) -> None:
    for code in CODES:
        ws = await run.open(closes_with(code, "" if code is None else "because"))
        await run.outcome(f"recv, {code}", ws.recv())
        run.note("close_code", (ws.close_code, ws.close_reason))


@scenario("close close.code close.reason")
async def closed_by_us(run: Run) -> None:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        seen.extend(await session.read_until_close())

    for arguments in ((), (1000,), (1001, "bye"), (1011, "fault"), (4000, "own é")):
        seen: list[Any] = []
        ws = await run.open(script)
        run.note("before", (ws.state, ws.close_code, ws.close_reason))
        await run.outcome(f"close{arguments}", ws.close(*arguments))
        run.note("server saw", seen)
        await every_method(run, ws)


@scenario("close")
async def close_by_keyword(run: Run) -> None:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        seen.extend(await session.read_until_close())

    seen: list[Any] = []
    ws = await run.open(script)
    await run.outcome("close", ws.close(code=4001, reason="named"))
    run.note("server saw", seen)


@scenario("close")
async def codes_that_cannot_be_sent(run: Run) -> None:
    ws = await run.open()
    for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000):
        await run.outcome(str(code), ws.close(code))
    await run.outcome("long reason", ws.close(1000, "x" * 124))
    await ws.send("still open")
    await run.outcome("recv", ws.recv())


@scenario("close")
async def the_peer_answers_with_another_code(run: Run) -> None:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        await session.read()
        session.close(4002, "mine")
        session.end()
        await session.rest()

    ws = await run.open(script)
    await ws.close(4001, "ours")
    await run.outcome("recv", ws.recv())
    run.note("close_code", (ws.close_code, ws.close_reason))


@scenario("recv")
async def lost_by_a_reset(run: Run) -> None:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        await session.read()
        session.frame(TEXT, "last words")
        await session.writer.drain()
        session.drop()

    ws = await run.open(script)
    await ws.send("go")
    await run.outcome("message", ws.recv())
    await run.outcome("recv", ws.recv())
    run.note("close_code", (ws.close_code, ws.close_reason))


@scenario("close connect.close_timeout")
async def the_peer_never_answers(run: Run) -> None:
    async def deaf(session: Session) -> None:
        session.write(session.upgrade())
        await asyncio.sleep(20)

    ws = await run.open(deaf, close_timeout=0.1)
    await run.outcome("close", ws.close(4000, "x"))
    run.note("state", ws.state)
    run.note("close_code", ws.close_code)
    await run.outcome("recv", ws.recv())


@scenario("close", flavors=ASYNCIO)
async def closing_twice_at_once(run: Run) -> None:
    ws = await run.open()
    await asyncio.gather(ws.close(), ws.close(4000), ws.wait_closed())
    run.note("close_code", ws.close_code)


@scenario("close", flavors=ASYNCIO)
async def recv_while_closing(run: Run) -> None:
    ws = await run.open()
    task = asyncio.create_task(ws.recv())
    await asyncio.sleep(0)
    await ws.close(4000, "own")
    await run.outcome("recv", task)


@scenario("close", flavors=ASYNCIO)
async def cancelled_close_goes_on(run: Run) -> None:
    ws = await run.open()
    task = asyncio.create_task(ws.close())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    run.note("cancelled", task.cancelled())
    await ws.wait_closed()
    run.note("state", (ws.state, ws.close_code))


def answers_when(told: asyncio.Event, *messages: str) -> Callable[[Session], Any]:
    """Return a script that sends messages once a Close came, and answers it when told to."""

    async def script(session: Session) -> None:
        session.write(session.upgrade())
        await session.read()
        for message in messages:
            session.frame(TEXT, message)
        await told.wait()
        session.close(1000, "bye")
        session.end()
        await session.rest()

    return script


@scenario("state", flavors=ASYNCIO)
async def send_while_closing(run: Run) -> None:
    answer = asyncio.Event()
    ws = await run.open(answers_when(answer))
    run.note("state", ws.state)
    task = asyncio.create_task(ws.close())
    await asyncio.sleep(0.02)
    run.note("state", ws.state)
    run.note("close_code", (ws.close_code, ws.close_reason))
    answer.set()
    await run.outcome("send", ws.send("x"))
    await task
    run.note("state", ws.state)


@scenario("recv ping pong send", flavors=ASYNCIO)
async def every_method_while_closing(run: Run) -> None:
    """What is called between our Close and the peer's waits for the end; messages still come."""
    answer = asyncio.Event()
    ws = await run.open(answers_when(answer, "on its way"))
    closing = asyncio.create_task(ws.close(1000))
    await asyncio.sleep(0.02)
    await run.outcome("recv", ws.recv())
    calls = {
        "recv": ws.recv(),
        "send": ws.send("x"),
        "ping": ws.ping(),
        "pong": ws.pong(),
        "close": ws.close(4000),
    }
    tasks = {name: asyncio.create_task(call) for name, call in calls.items()}
    await asyncio.sleep(0.02)
    run.note("waiting", ws.state)
    answer.set()
    for name, task in tasks.items():
        await run.outcome(name, task)
    await closing
    run.note("end", (ws.state, ws.close_code, ws.close_reason))


@scenario("recv", flavors=ASYNCIO)
async def cancelled_while_closing(run: Run) -> None:
    answer = asyncio.Event()
    ws = await run.open(answers_when(answer))
    closing = asyncio.create_task(ws.close())
    receiving = asyncio.create_task(ws.recv())
    await asyncio.sleep(0.02)
    receiving.cancel()
    await asyncio.gather(receiving, return_exceptions=True)
    run.note("cancelled", receiving.cancelled())
    answer.set()
    await closing
    await run.outcome("recv", ws.recv())


@scenario("__aenter__ __aexit__", flavors=ASYNCIO)
async def the_context_closes(run: Run) -> None:
    await leave(run)


@scenario("__enter__ __exit__", flavors=SYNC)
async def the_context_closes_sync(run: Run) -> None:
    await leave(run)


async def leave(run: Run) -> None:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        seen.extend(await session.read_until_close())

    seen: list[Any] = []
    peer = await run.peer(script)
    async with await run.connect(peer) as ws:
        pass
    run.note("state", ws.state)
    try:
        async with await run.connect(peer):
            raise LookupError
    except LookupError:
        pass
    try:
        async with await run.connect(peer) as ws:
            await ws.close(4000)
            raise LookupError
    except LookupError:
        pass
    run.note(
        "codes", [int.from_bytes(payload[:2], "big") for _, op, payload in seen if op == CLOSE]
    )


@scenario("wait_closed")
async def waiting_for_the_end(run: Run) -> None:
    ws = await run.open(closes_with(4000, "x"))
    await run.outcome("wait_closed", ws.wait_closed())
    run.note("close_code", ws.close_code)
    await run.outcome("again", ws.wait_closed())


@scenario("wait_closed.timeout", flavors=SYNC)
async def waiting_with_a_limit(run: Run) -> None:
    ws = await run.open()
    await run.outcome("open", ws.wait_closed(timeout=0.02))
    await ws.close()
    await run.outcome("closed", ws.wait_closed(timeout=1))


def breaks(*octets: bytes) -> Callable[[Session], Any]:
    async def script(session: Session) -> None:
        session.write(session.upgrade() + b"".join(octets))
        await session.wait_end()

    return script


FAULTS = {
    "reserved bits": b"\xc1\x02hi",
    "masked": b"\x81\x82\0\0\0\0hi",
    "reserved opcode": b"\x83\x00",
    "not UTF-8": b"\x81\x02\xc3\x28",
    "fragmented ping": b"\x09\x00",
    "long ping": b"\x89\x7e\x00\x7e" + bytes(126),
    "close code 1005": b"\x88\x02\x03\xed",
    "close code 999": b"\x88\x02\x03\xe7",
    "one octet of Close": b"\x88\x01\x03",
    "a reason that is not UTF-8": b"\x88\x04\x03\xe8\xc3\x28",
    "a lone continuation": b"\x80\x00",
    "a message in a message": b"\x01\x01a\x81\x01b",
}


@scenario("recv")
async def frames_against_the_rules(run: Run) -> None:
    for name, octets in FAULTS.items():
        ws = await run.open(breaks(octets), compression=None)
        exception = await run.outcome(name, ws.recv())
        sent = getattr(exception, "sent", None)
        run.note("sent", sent and int(sent.code))
        run.note("close_code", ws.close_code)


@scenario("recv")
async def a_frame_against_the_rules_has_a_cause(run: Run) -> None:
    ws = await run.open(breaks(FAULTS["reserved opcode"]), compression=None)
    await run.cause("recv", ws.recv())


@scenario("recv", flavors=ASYNCIO)
async def each_raise_is_its_own(run: Run) -> None:
    """Every call raises a ConnectionClosed that says the same."""
    ws = await run.open(closes_with(4000, "x"))
    await ws.wait_closed()
    found = await asyncio.gather(ws.recv(), ws.send("x"), return_exceptions=True)
    run.note("both", found)


@scenario("connect.ping_interval connect.ping_timeout")
async def keepalive_gives_up(run: Run) -> None:
    async def deaf(session: Session) -> None:
        session.write(session.upgrade())
        while True:
            _, opcode, payload = await session.read()
            if opcode == PING:
                pings.append(len(payload))
            elif opcode == CLOSE:
                seen.append((opcode, payload[:2]))
                session.frame(CLOSE, payload[:2])
                session.end()
                return

    pings: list[int] = []
    seen: list[Any] = []
    ws = await run.open(deaf, ping_interval=0.05, ping_timeout=0.05)
    exception = await run.outcome("recv", ws.recv())
    for _ in range(2000):
        if seen:
            break
        await asyncio.sleep(0.01)
    run.note("pinged", bool(pings))
    run.note("server saw", seen)
    run.note("sent", exception.sent.code)


@scenario("connect.ping_interval")
async def keepalive_is_off(run: Run) -> None:
    async def script(session: Session) -> None:
        session.write(session.upgrade())
        try:
            async with asyncio.timeout(0.15):
                seen.append(await session.read())
        except TimeoutError:
            seen.append("silence")
        session.close(1000)
        await session.wait_end()

    seen: list[Any] = []
    ws = await run.open(script, ping_interval=None)
    await run.outcome("recv", ws.recv())
    run.note("server saw", seen)


@scenario("connect.ping_timeout latency")
async def keepalive_measures(run: Run) -> None:
    ws = await run.open(ping_interval=0.03, ping_timeout=None)
    for _ in range(2000):
        await asyncio.sleep(0.01)
        if ws.latency:
            break
    run.note("latency", 0 < ws.latency < 30)
