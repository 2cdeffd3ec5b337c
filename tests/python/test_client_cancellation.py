"""Cancelling and timing out at any await: nothing is lost or repeated, order is kept."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from servers.launch import ServerProcess

from aiows import ClientConnection, ConcurrencyError, ConnectionClosedError, connect

NUMBERS = 60
HANG_S = 60
identities = itertools.count()

# When a call is given up: after turns of the event loop, after milliseconds, or not at all.
patience = st.one_of(
    st.none(),
    st.tuples(st.just("turns"), st.integers(0, 6)),
    st.tuples(st.just("cancel"), st.floats(0, 2)),
    st.tuples(st.just("timeout"), st.floats(0, 2)),
)
receiving = st.lists(
    st.tuples(st.sampled_from(["recv", "recv_many", "recv_streaming", "anext"]), patience),
    min_size=5,
    max_size=40,
)
sending = st.lists(
    st.tuples(st.sampled_from(["send", "send", "parts", "ping", "pause"]), patience),
    min_size=5,
    max_size=40,
)


async def give_up(call: Callable[[], Coroutine[Any, Any, None]], limit: Any) -> bool:
    """Run call and cancel it as limit says; whether it was left to its end."""
    if limit is None:
        await call()
        return True
    how, amount = limit
    if how == "timeout":
        try:
            async with asyncio.timeout(amount / 1000):
                await call()
        except TimeoutError:
            return False
        return True
    task = asyncio.create_task(call())
    if how == "turns":
        for _ in range(amount):
            await asyncio.sleep(0)
    else:
        await asyncio.sleep(amount / 1000)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
        return True
    return False


class Receiver:
    """Receives in every way, and keeps what came."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.came: list[str] = []
        self.begun: list[str] = []  # fragments of a message that was not ended

    async def receive(self, how: str) -> None:
        if how == "recv_streaming":
            async for part in self.ws.recv_streaming():
                assert isinstance(part, str)
                self.begun.append(part)
            self.came.append("".join(self.begun))
            self.begun.clear()
            return
        try:
            if how == "recv_many":
                self.came += await self.ws.recv_many()  # type: ignore[arg-type]
            elif how == "recv":
                self.came.append(await self.ws.recv())  # type: ignore[arg-type]
            else:
                self.came.append(await anext(self.ws))  # type: ignore[arg-type]
            assert not self.begun
        except ConcurrencyError:
            assert self.begun

    async def run(self, plan: list[Any]) -> None:
        for how, limit in plan:
            if len(self.came) >= NUMBERS - 1:
                break
            await give_up(lambda how=how: self.receive(how), limit)  # type: ignore[misc]
        while len(self.came) < NUMBERS:
            await self.receive("recv_streaming" if self.begun else "recv_many")


class Sender:
    """Sends numbers, and keeps those that must arrive: whose send took its first step."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.sent: list[str] = []

    async def send(self, how: str) -> None:
        if how == "ping":
            await (await self.ws.ping())
        elif how == "pause":
            await asyncio.sleep(0.001)
        else:
            text = str(len(self.sent))
            self.sent.append(text)
            # In parts without an await, so that it is never half sent.
            await self.ws.send(list(text) if how == "parts" else text)

    async def run(self, plan: list[Any]) -> None:
        for how, limit in plan:
            await give_up(lambda how=how: self.send(how), limit)  # type: ignore[misc]


async def exchange(
    server: ServerProcess, receive: list[Any], send: list[Any], closing: list[Any]
) -> None:
    identity = f"{id(server)}-{next(identities)}"
    uri = server.uri(f"/numbers?id={identity}&n={NUMBERS}")
    ws = await connect(uri, max_queue=8, write_limit=0)
    receiver, sender = Receiver(ws), Sender(ws)
    async with asyncio.timeout(HANG_S), asyncio.TaskGroup() as group:
        group.create_task(receiver.run(receive))
        group.create_task(sender.run(send))
    assert receiver.came == [str(number) for number in range(NUMBERS)]
    for limit in closing:
        await give_up(ws.close, limit)
    await ws.close()
    assert ws.close_code == 1000
    async with connect(server.uri(f"/record?id={identity}")) as other:
        assert json.loads(await other.recv()) == sender.sent


def examples(n: int) -> settings:
    return settings(
        max_examples=n,
        deadline=None,
        database=None,
        derandomize=True,
        # Not shrunk: one that fails may take HANG_S.
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.once
def test_nothing_is_lost_or_repeated(numbers_server: ServerProcess) -> None:
    @examples(40)
    @given(receiving, sending, st.lists(patience.filter(bool), max_size=3))
    def run(receive: list[Any], send: list[Any], closing: list[Any]) -> None:
        asyncio.run(exchange(numbers_server, receive, send, closing), debug=True)

    run()


async def close_while_all_wait(server: ServerProcess, limits: list[Any]) -> None:
    """Give up and close while tasks wait in every call: each ends, as it must."""
    identity = f"{id(server)}-{next(identities)}"
    ws = await connect(server.uri(f"/numbers?id={identity}&n=3"), write_limit=0)
    assert [await ws.recv() for _ in range(3)] == ["0", "1", "2"]
    sent: list[str] = []
    closed = asyncio.Event()

    async def slow() -> Any:
        yield "half"
        await closed.wait()
        yield "too late"

    async def send(text: str) -> None:
        await ws.send(text)
        sent.append(text)

    pong = await ws.ping()
    await send("first")
    calls = [ws.recv(), ws.send(slow()), send("a"), send("b"), asyncio.wait_for(pong, 60)]
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    for task, limit in zip(tasks, limits, strict=False):
        if limit is not None:
            await asyncio.sleep(limit[1] / 1000)
            task.cancel()
    await ws.close()
    closed.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in done[:2]:
        assert isinstance(outcome, (asyncio.CancelledError, ConnectionClosedError))
    async with connect(server.uri(f"/record?id={identity}")) as other:
        assert json.loads(await other.recv()) == ["first"]
    assert sent == ["first"]


@pytest.mark.once
def test_half_a_message_ends_the_connection(numbers_server: ServerProcess) -> None:
    @examples(15)
    @given(st.lists(st.one_of(st.none(), st.tuples(st.just(0), st.floats(0, 1))), max_size=5))
    def run(limits: list[Any]) -> None:
        asyncio.run(close_while_all_wait(numbers_server, limits), debug=True)

    run()


async def send_from_many_tasks(server: ServerProcess, plan: list[Any]) -> None:
    identity = f"{id(server)}-{next(identities)}"
    ws = await connect(server.uri(f"/numbers?id={identity}&n=0"), write_limit=0)
    tasks: list[asyncio.Task[None]] = []

    async def slowly(text: str) -> AsyncIterator[str]:
        for character in text:
            yield character
            await asyncio.sleep(0.0005)

    async def settle(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    for number, (in_parts, turns, _) in enumerate(plan):
        text = str(number)
        tasks.append(asyncio.create_task(ws.send(slowly(text) if in_parts else text)))
        await settle(turns)
    for task, (in_parts, _, cancel) in zip(tasks, plan, strict=True):
        if cancel is not None and not in_parts:
            await settle(cancel)
            task.cancel()
    async with asyncio.timeout(HANG_S):
        done = await asyncio.gather(*tasks, return_exceptions=True)
    await ws.close()
    async with connect(server.uri(f"/record?id={identity}")) as other:
        came = [int(text) for text in json.loads(await other.recv())]
    sent = {number for number, outcome in enumerate(done) if outcome is None}
    assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in done)
    assert len(came) == len(set(came))
    assert sent <= set(came)
    # A message in parts takes its turn when its first part is there, whole ones at once.
    whole = [number for number in came if not plan[number][0]]
    assert whole == sorted(whole)


@pytest.mark.once
def test_sends_take_turns(numbers_server: ServerProcess) -> None:
    @examples(25)
    @given(
        st.lists(
            st.tuples(st.booleans(), st.integers(0, 4), st.none() | st.integers(0, 4)),
            min_size=3,
            max_size=20,
        )
    )
    def run(plan: list[Any]) -> None:
        asyncio.run(send_from_many_tasks(numbers_server, plan), debug=True)

    run()
