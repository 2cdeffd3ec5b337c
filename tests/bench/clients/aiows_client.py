"""aiows: on_message= with send_nowait; await send and recv; async for; blocking calls."""

from __future__ import annotations

import time
from typing import Any

import aiows
from exchange import Client, Job, Listener, awaiting, blocking, calling, main


class Echo(Listener):
    def on_message(self, connection: Any, message: bytes) -> None:
        self.left -= 1
        if self.left:
            connection.send_nowait(self.payload)
        else:
            self.done.set_result(message)


class Flood(Listener):
    def on_message(self, connection: Any, message: bytes) -> None:
        self.left -= 1
        if not self.left:
            self.done.set_result(message)


class Timed(Listener):
    def on_message(self, connection: Any, message: bytes) -> None:
        self.times.append(time.perf_counter_ns() - self.sent)
        self.left -= 1
        if self.left:
            self.sent = time.perf_counter_ns()
            connection.send_nowait(self.payload)
        else:
            self.done.set_result(message)


LISTENERS = {"echo": Echo, "flood": Flood, "timed": Timed}


class Connect:
    """Opens connections with one TLS context, as a program would."""

    def __init__(self) -> None:
        self.ssl: Any = None

    def options(self, job: Job) -> dict[str, Any]:
        if job.cafile is not None and self.ssl is None:
            self.ssl = job.ssl(aiows.create_default_context)
        return {"ssl": self.ssl, "compression": job.compression}

    async def __call__(self, job: Job) -> Any:
        return await aiows.connect(job.uri, **self.options(job))


class Library(Connect):
    async def open(self, job: Job, kind: str) -> tuple[Any, Listener]:
        listener = LISTENERS[kind]()
        options = self.options(job)
        return await aiows.connect(job.uri, on_message=listener.on_message, **options), listener

    def send(self, connection: Any, message: bytes | str) -> None:
        connection.send_nowait(message)

    async def close(self, connection: Any) -> None:
        await connection.close()


def connect_blocking(job: Job) -> Any:
    from aiows.sync import connect

    return connect(job.uri, **Connect().options(job))


def client_of(api: str) -> Client:
    if api == "sync":
        return blocking(connect_blocking)
    return calling(Library()) if api == "callback" else awaiting(Connect())


if __name__ == "__main__":
    main("aiows", aiows.__version__, client_of)
