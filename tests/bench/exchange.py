"""The client's half of a round: connect, warm up, exchange, report the CPU used.

Every client runs the same exchange: each connection sends 256 bytes, waits for
the echo, and sends again, so that as many messages are under way as there are
connections. What is reported is the CPU time of the whole process, all threads
of it, kernel and user, between the warm-up and the last echo.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

PAYLOAD = bytes(range(256))


@dataclass(frozen=True)
class Job:
    """What one process does."""

    uri: str
    api: str
    connections: int
    warmup: int  # round trips of each connection before the clock starts
    count: int  # round trips of each connection that are measured
    loop: str


class Meter:
    """Measures what happens inside ``with meter``."""

    def __init__(self) -> None:
        self.cpu_ns = self.wall_ns = 0
        self.kernel_s = self.switches = 0.0

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


Client = Callable[[Job, Meter], Awaitable[None]]


async def ping_pong(connect: Callable[[str], Awaitable[Any]], job: Job, meter: Meter) -> None:
    """Exchange with connections that have ``await send()`` and ``await recv()``."""
    connections = [await connect(job.uri) for _ in range(job.connections)]

    async def exchange(connection: Any, count: int) -> None:
        message = b""
        for _ in range(count):
            await connection.send(PAYLOAD)
            message = await connection.recv()
        check(message)

    await asyncio.gather(*[exchange(connection, job.warmup) for connection in connections])
    with meter:
        await asyncio.gather(*[exchange(connection, job.count) for connection in connections])
    for connection in connections:
        await connection.close()


class Echoes:
    """The echoes that a connection with a callback still waits for, and the last one."""

    left: int
    done: asyncio.Future[bytes]

    def expect(self, count: int) -> asyncio.Future[bytes]:
        """Return a future of the last of count echoes."""
        self.left = count
        self.done = asyncio.get_running_loop().create_future()
        return self.done


async def call_back(
    pairs: list[tuple[Any, Any]], send: Callable[[Any], object], job: Job, meter: Meter
) -> None:
    """Exchange with pairs of a connection and its Echoes; send starts a connection."""

    async def exchange(count: int) -> None:
        last = [echoes.expect(count) for _, echoes in pairs]
        for connection, _ in pairs:
            send(connection)
        for message in await asyncio.gather(*last):
            check(message)

    await exchange(job.warmup)
    with meter:
        await exchange(job.count)


def check(message: object) -> None:
    if message != PAYLOAD:
        raise ValueError(f"echo {message!r} differs from what was sent")


def main(name: str, version: str, clients: Mapping[str, Client]) -> None:
    """Run the job that the command line describes and print what it took as JSON."""
    parser = argparse.ArgumentParser(description=f"one round of the echo benchmark with {name}")
    parser.add_argument("uri")
    parser.add_argument("--api", choices=sorted(clients), default=min(clients))
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--warmup", type=int, default=1000, help="round trips in all")
    parser.add_argument("--messages", type=int, default=20000, help="round trips in all")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    arguments = parser.parse_args()
    job = Job(
        uri=arguments.uri,
        api=arguments.api,
        connections=arguments.connections,
        warmup=max(2, arguments.warmup // arguments.connections),
        count=max(2, arguments.messages // arguments.connections),
        loop=arguments.loop,
    )
    meter = Meter()

    async def run() -> None:
        await clients[job.api](job, meter)

    if job.loop == "uvloop":
        import uvloop

        uvloop.run(run())
    else:
        asyncio.run(run())
    echoes = job.count * job.connections
    print(
        json.dumps(
            {
                "client": name,
                "version": version,
                "api": job.api,
                "loop": job.loop,
                "connections": job.connections,
                "echoes": echoes,
                "cpu_us": meter.cpu_ns / 1000 / echoes,
                "kernel_us": meter.kernel_s * 1e6 / echoes,
                "wall_us": meter.wall_ns / 1000 / echoes,
                "switches": meter.switches / echoes,
            }
        )
    )
