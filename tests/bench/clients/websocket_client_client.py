"""websocket-client: blocking calls, so one connection and no event loop at work."""

from __future__ import annotations

from typing import Any

import websocket

from exchange import Client, Job, blocking, main


def connect(job: Job) -> Any:
    options = {} if job.cafile is None else {"sslopt": {"ca_certs": job.cafile}}
    return websocket.create_connection(job.uri, **options)


def client_of(api: str) -> Client:
    return blocking(connect, "send_binary")


if __name__ == "__main__":
    main("websocket-client", websocket.__version__, client_of)
