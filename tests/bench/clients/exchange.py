"""The client's half of a round: connect, warm up, exchange, report the CPU used.

Echo: each connection sends a message, waits for the echo, and sends again, so that
as many messages are under way as there are connections. Flood: each connection asks
for messages and takes them. JSON: each connection sends distinct messages, compressed,
and gets each one back, compressed. What is reported is the CPU time of the whole process,
all threads of it, kernel and user, between the warm-up and the last message.
Latencies are taken afterwards, on connections of their own: reading a clock twice a
message is not free.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import resource
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

APIS = ["callback", "await", "iterate", "sync"]
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


@dataclass(frozen=True)
class Job:
    """What one process does."""

    uri: str
    scenario: str  # "echo", "flood" or "json"
    api: str  # "callback", "await", "iterate" (async for) or "sync" (blocking calls)
    connections: int
    size: int
    warmup: int  # messages of each connection before the clock starts
    count: int  # messages of each connection that are measured
    latency: int  # round trips of each connection that are timed one by one
    loop: str
    cafile: str | None
    messages: Path | None  # those of "json", a line each

    @property
    def compression(self) -> str | None:
        """What libraries are to be given as compression=."""
        return "deflate" if self.scenario == "json" else None

    @property
    def payload(self) -> bytes:
        """Every message there is: 0, 1, 2, ... 255, 0, ..."""
        return (bytes(range(256)) * (self.size // 256 + 1))[: self.size]

    def ssl(self, create: Callable[..., Any] = ssl.create_default_context) -> Any:
        """Return a context made with create, or None for ws."""
        return None if self.cafile is None else create(cafile=self.cafile)


class Meter:
    """Measures what happens inside ``with meter``."""

    def __init__(self) -> None:
        self.cpu_ns = self.wall_ns = 0
        self.kernel_s = self.switches = 0.0
        self.more: dict[str, float] = {}  # what the scenario measured besides

    def __enter__(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.kernel_s -= usage.ru_stime
        self.switches -= usage.ru_nvcsw + usage.ru_nivcsw
        self.wall_ns -= time.perf_counter_ns()
        self.cpu_ns -= time.process_time_ns()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cpu_ns += time.process_time_ns()
        self.wall_ns += time.perf_counter_ns()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.kernel_s += usage.ru_stime
        self.switches += usage.ru_nvcsw + usage.ru_nivcsw


def flood_request(job: Job, count: int) -> str:
    return f"{count} {job.size}"


def check(job: Job, message: object) -> None:
    if message != job.payload:
        raise ValueError(f"message {message!r:.100} differs from what was to come")


# What a client does with connections: the times of round trips, if it took them.
Client = Callable[[Job, Meter], Awaitable[list[int]]]


# ---------------------------------------------------------------- await and async for


class Awaiting(Protocol):
    """A connection as the clients with ``await`` have it."""

    def send(self, message: Any) -> Awaitable[Any]: ...
    def recv(self) -> Awaitable[Any]: ...
    def close(self) -> Awaitable[Any]: ...
    def __aiter__(self) -> Any: ...


async def _echo(job: Job, connection: Any, count: int) -> None:
    message, payload = b"", job.payload
    for _ in range(count):
        await connection.send(payload)
        message = await connection.recv()
    check(job, message)


async def _echo_iterate(job: Job, connection: Any, count: int) -> None:
    payload, left = job.payload, count
    await connection.send(payload)
    async for message in connection:
        left -= 1
        if not left:
            # aiohttp wraps what it iterates over.
            check(job, getattr(message, "data", message))
            return
        await connection.send(payload)


async def _echo_timed(job: Job, connection: Any, count: int, times: list[int]) -> None:
    payload, clock = job.payload, time.perf_counter_ns
    for _ in range(count):
        began = clock()
        await connection.send(payload)
        await connection.recv()
        times.append(clock() - began)


async def _take(job: Job, connection: Any, count: int) -> None:
    message = b""
    await connection.send(flood_request(job, count))
    for _ in range(count):
        message = await connection.recv()
    check(job, message)


async def _take_iterate(job: Job, connection: Any, count: int) -> None:
    left = count
    await connection.send(flood_request(job, count))
    async for message in connection:
        left -= 1
        if not left:
            # aiohttp wraps what it iterates over.
            check(job, getattr(message, "data", message))
            return


async def _echo_distinct(connection: Any, messages: Iterator[str], count: int) -> None:
    for message in itertools.islice(messages, count):
        await connection.send(message)
        if await connection.recv() != message:
            raise ValueError(f"the echo of {message!r:.100} differs")


async def _bytes_sent(connection: Any) -> int:
    """Return what the peer has read of this connection, header and mask of each frame, too."""
    await connection.send("bytes")
    return int(await connection.recv())


def distinct(connect: Callable[[Job], Awaitable[Awaiting]]) -> Client:
    """Return the client of "json", which adds ``sent_bytes`` for each message."""

    async def client(job: Job, meter: Meter) -> list[int]:
        assert job.messages is not None and job.connections == 1
        messages = job.messages.read_text().splitlines()
        supply = itertools.cycle(messages)
        connection = await connect(job)
        await _echo_distinct(connection, supply, job.warmup)
        before = await _bytes_sent(connection)
        with meter:
            await _echo_distinct(connection, supply, job.count)
        sent = (await _bytes_sent(connection) - before) / job.count
        meter.more["sent_bytes"] = sent
        meter.more["message_bytes"] = plain = sum(map(len, messages)) / len(messages)
        if sent > 0.9 * plain:
            raise ValueError(f"{sent} bytes a message of {plain}: it is not compressed")
        await connection.close()
        return []

    return client


_AWAIT = {
    ("echo", "await"): _echo,
    ("echo", "iterate"): _echo_iterate,
    ("flood", "await"): _take,
    ("flood", "iterate"): _take_iterate,
}


def awaiting(connect: Callable[[Job], Awaitable[Awaiting]]) -> Client:
    """Return the client that exchanges with connections of ``await send()``, ``recv()``."""

    async def client(job: Job, meter: Meter) -> list[int]:
        if job.scenario == "json":
            return await distinct(connect)(job, meter)
        exchange = _AWAIT[job.scenario, job.api]
        connections = [await connect(job) for _ in range(job.connections)]
        await asyncio.gather(*[exchange(job, one, job.warmup) for one in connections])
        with meter:
            await asyncio.gather(*[exchange(job, one, job.count) for one in connections])
        times: list[int] = []
        if job.latency:
            await asyncio.gather(
                *[_echo_timed(job, one, job.latency, times) for one in connections]
            )
        for one in connections:
            await one.close()
        return times

    return client


# ---------------------------------------------------------------- blocking calls


def blocking(connect: Callable[[Job], Any], send_bytes: str = "send") -> Client:
    """Return the client of a thread: one connection, and the event loop stands still."""

    def exchange(job: Job, connection: Any, count: int) -> None:
        message, payload = b"", job.payload
        send, recv = getattr(connection, send_bytes), connection.recv
        if job.scenario == "flood":
            connection.send(flood_request(job, count))
            for _ in range(count):
                message = recv()
        else:
            for _ in range(count):
                send(payload)
                message = recv()
        check(job, message)

    async def client(job: Job, meter: Meter) -> list[int]:
        if job.connections != 1:
            raise ValueError(f"{job.connections} connections, expected 1")
        connection = connect(job)
        exchange(job, connection, job.warmup)
        with meter:
            exchange(job, connection, job.count)
        times = []
        send = getattr(connection, send_bytes)
        for _ in range(job.latency):
            began = time.perf_counter_ns()
            send(job.payload)
            connection.recv()
            times.append(time.perf_counter_ns() - began)
        connection.close()
        return times

    return client


# ---------------------------------------------------------------- callbacks


class Listener:
    """What a connection with a callback still waits for, and the last message.

    Libraries' listeners derive from it; each sees to its own messages without a call
    in between, as a program would.
    """

    left: int
    payload: bytes
    done: asyncio.Future[bytes]
    sent: int
    times: list[int]

    def expect(self, job: Job, count: int) -> asyncio.Future[bytes]:
        """Return a future of the last of count messages."""
        self.left = count
        self.payload = job.payload
        self.times = []
        self.sent = time.perf_counter_ns()
        self.done = asyncio.get_running_loop().create_future()
        return self.done


class Calling(Protocol):
    """A library whose connections call back; opens with kind "echo", "flood" or "timed"."""

    async def open(self, job: Job, kind: str) -> tuple[Any, Listener]: ...
    def send(self, connection: Any, message: bytes | str) -> None: ...
    async def close(self, connection: Any) -> None: ...


def calling(library: Calling) -> Client:
    """Return the client that exchanges with connections that call back."""

    async def exchange(job: Job, pairs: list[tuple[Any, Listener]], count: int, kind: str) -> None:
        start = flood_request(job, count) if kind == "flood" else job.payload
        last = [listener.expect(job, count) for _, listener in pairs]
        for connection, listener in pairs:
            listener.sent = time.perf_counter_ns()
            library.send(connection, start)
        for message in await asyncio.gather(*last):
            check(job, message)

    async def opened(job: Job, kind: str) -> list[tuple[Any, Listener]]:
        return [await library.open(job, kind) for _ in range(job.connections)]

    async def close(pairs: list[tuple[Any, Listener]]) -> None:
        for connection, _ in pairs:
            await library.close(connection)

    async def client(job: Job, meter: Meter) -> list[int]:
        pairs = await opened(job, job.scenario)
        await exchange(job, pairs, job.warmup, job.scenario)
        with meter:
            await exchange(job, pairs, job.count, job.scenario)
        await close(pairs)
        if not job.latency:
            return []
        pairs = await opened(job, "timed")
        await exchange(job, pairs, job.latency, "timed")
        await close(pairs)
        return [one for _, listener in pairs for one in listener.times]

    return client


# ---------------------------------------------------------------- the process


def percentiles(times: list[int]) -> dict[str, float]:
    """Return percentiles of times, given in nanoseconds, in microseconds."""
    times.sort()
    last = len(times) - 1
    return {
        name: times[min(last, int(share * len(times)))] / 1000
        for name, share in PERCENTILES.items()
    }


def peak_kib() -> int:
    # Not ru_maxrss, which begins with the size of the parent.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def main(name: str, version: str, client_of: Callable[[str], Client]) -> None:
    """Run the job that the command line describes and print what it took as JSON."""
    parser = argparse.ArgumentParser(description=f"one round of the benchmark with {name}")
    parser.add_argument("uri")
    parser.add_argument("--scenario", choices=["echo", "flood", "json"], default="echo")
    parser.add_argument("--api", choices=APIS, default="await")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--warmup", type=int, default=1000, help="messages in all")
    parser.add_argument("--messages", type=int, default=20000, help="messages in all")
    parser.add_argument("--latency", type=int, default=0, help="round trips in all to time")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--cafile", help="authority of the server, for wss")
    parser.add_argument("--json", type=Path, help="messages of the scenario json, a line each")
    arguments = parser.parse_args()
    each = arguments.connections
    job = Job(
        uri=arguments.uri,
        scenario=arguments.scenario,
        api=arguments.api,
        connections=each,
        size=arguments.size,
        warmup=max(1, arguments.warmup // each),
        count=max(1, arguments.messages // each),
        latency=max(1, arguments.latency // each) if arguments.latency else 0,
        loop=arguments.loop,
        cafile=arguments.cafile,
        messages=arguments.json,
    )
    meter = Meter()
    client = client_of(job.api)

    async def run() -> list[int]:
        return await client(job, meter)

    if job.loop == "uvloop":
        import uvloop

        times = uvloop.run(run())
    else:
        times = asyncio.run(run())
    messages = job.count * job.connections
    result = {
        "version": version,
        "messages": messages,
        "cpu_us": meter.cpu_ns / 1000 / messages,
        "kernel_us": meter.kernel_s * 1e6 / messages,
        "wall_us": meter.wall_ns / 1000 / messages,
        "per_second": messages * 1e9 / meter.wall_ns,
        "switches": meter.switches / messages,
        "peak_kib": peak_kib(),
        **meter.more,
    }
    if times:
        result["latency_us"] = percentiles(times)
    print(json.dumps(result))
