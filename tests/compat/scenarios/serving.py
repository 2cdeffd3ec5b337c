"""serve, where a client meets it."""

from __future__ import annotations

from typing import Any

from harness import ASYNCIO, Run, scenario


@scenario("connect.uri", flavors=ASYNCIO)
async def served_by_the_library(run: Run) -> None:
    """Client and server of the library itself, as tests of programs have them."""

    async def handler(connection: Any) -> None:
        async for message in connection:
            await connection.send([message, message] if message == "twice" else message)
            if message == "bye":
                await connection.close(4000, "as asked")

    async with run.library.server.serve(handler, "127.0.0.1", 0, subprotocols=["chat"]) as server:
        port = server.sockets[0].getsockname()[1]
        ws = await run.connect(f"ws://127.0.0.1:{port}/path", subprotocols=["chat"])
        run.note("subprotocol", ws.subprotocol)
        run.note("connections", [connection.request.path for connection in server.connections])
        for message in ("one", b"two", "bye"):
            await ws.send(message)
            await run.outcome("recv", ws.recv())
        await run.outcome("end", ws.recv())


@scenario("connect.uri", flavors=ASYNCIO)
async def served_and_refused(run: Run) -> None:
    def process_request(connection: Any, request: Any) -> Any:
        if request.path == "/no":
            return connection.respond(403, "no\n")
        return None

    async def handler(connection: Any) -> None:
        await connection.wait_closed()

    options = {"process_request": process_request, "origins": [None, "https://good"]}
    async with run.library.server.serve(handler, "127.0.0.1", 0, **options) as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        exception = await run.outcome("path", run.connect(uri + "/yes"))
        del exception
        refused = None
        try:
            await run.connect(uri + "/no")
        except run.exceptions.InvalidStatus as caught:
            refused = caught.response
        run.note("refused", refused and (refused.status_code, bytes(refused.body)))
        try:
            await run.connect(uri + "/yes", origin="https://bad")
        except run.exceptions.InvalidStatus as caught:
            run.note("origin", caught.response.status_code)


@scenario("connect.uri", flavors=ASYNCIO)
async def a_server_that_ends(run: Run) -> None:
    async def handler(connection: Any) -> None:
        async for _ in connection:
            pass

    async with run.library.server.serve(handler, "127.0.0.1", 0) as server:
        ws = await run.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        server.close()
        await run.outcome("recv", ws.recv())
