"""websocket-client: blocking calls, so one connection and no event loop at work."""

from __future__ import annotations

import time
from typing import Any

import websocket

from exchange import Client, Job, Meter, check, flood_request, main


def exchange(job: Job, connection: Any, count: int) -> None:
    message, payload = b"", job.payload
    if job.scenario == "flood":
        connection.send(flood_request(job, count))
        for _ in range(count):
            message = connection.recv()
    else:
        for _ in range(count):
            connection.send_binary(payload)
            message = connection.recv()
    check(job, message)


def client_of(api: str) -> Client:
    async def client(job: Job, meter: Meter) -> list[int]:
        if job.connections != 1:
            raise ValueError(f"{job.connections} connections, expected 1")
        options = {} if job.cafile is None else {"sslopt": {"ca_certs": job.cafile}}
        connection = websocket.create_connection(job.uri, **options)
        exchange(job, connection, job.warmup)
        with meter:
            exchange(job, connection, job.count)
        times = []
        for _ in range(job.latency):
            began = time.perf_counter_ns()
            connection.send_binary(job.payload)
            connection.recv()
            times.append(time.perf_counter_ns() - began)
        connection.close()
        return times

    return client


if __name__ == "__main__":
    main("websocket-client", websocket.__version__, client_of)
