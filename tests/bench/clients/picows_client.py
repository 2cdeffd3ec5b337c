"""picows: the callbacks of WSListener, whatever API the others use."""

from __future__ import annotations

import time
from typing import Any

import picows
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from exchange import Client, Job, Listener, calling, main

BINARY = WSMsgType.BINARY
TEXT = WSMsgType.TEXT


# The application gets bytes that are its own, as from any other client here.
class Echo(Listener, WSListener):  # type: ignore[misc]
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        message = frame.get_payload_as_bytes()
        self.left -= 1
        if self.left:
            transport.send(BINARY, self.payload)
        else:
            self.done.set_result(message)


class Flood(Listener, WSListener):  # type: ignore[misc]
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        message = frame.get_payload_as_bytes()
        self.left -= 1
        if not self.left:
            self.done.set_result(message)


class Timed(Listener, WSListener):  # type: ignore[misc]
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        message = frame.get_payload_as_bytes()
        self.times.append(time.perf_counter_ns() - self.sent)
        self.left -= 1
        if self.left:
            self.sent = time.perf_counter_ns()
            transport.send(BINARY, self.payload)
        else:
            self.done.set_result(message)


LISTENERS = {"echo": Echo, "flood": Flood, "timed": Timed}


class Library:
    ssl: Any = None

    async def open(self, job: Job, kind: str) -> tuple[Any, Listener]:
        if job.cafile is not None and self.ssl is None:
            self.ssl = job.ssl()
        options = {} if self.ssl is None else {"ssl_context": self.ssl}
        transport, listener = await picows.ws_connect(LISTENERS[kind], job.uri, **options)
        return transport, listener

    def send(self, connection: Any, message: bytes | str) -> None:
        if isinstance(message, str):
            connection.send(TEXT, message.encode())
        else:
            connection.send(BINARY, message)

    async def close(self, connection: Any) -> None:
        connection.disconnect()


def client_of(api: str) -> Client:
    return calling(Library())


if __name__ == "__main__":
    main("picows", picows.__version__, client_of)
