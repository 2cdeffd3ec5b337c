"""async for, back-off, and which failures are final."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from harness import ASYNCIO, SYNC, Run, delays, scenario
from peer import TEXT, Session, echo


def refuses(line: str) -> Any:
    async def script(session: Session) -> None:
        session.write(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n".encode())

    return script


async def says_once(session: Session) -> None:
    session.write(session.upgrade())
    session.frame(TEXT, "hello")
    session.close(1000)
    await session.wait_end()


async def drops(session: Session) -> None:
    session.drop()


@scenario("connect.reconnect_delays", flavors=ASYNCIO)
async def reconnects(run: Run) -> None:
    """Transient failures are retried; each connection is closed at the end of its turn."""
    used: list[int] = []

    def counted() -> Any:
        used.append(0)
        for _ in range(10):
            used[-1] += 1
            yield 0.01

    peer = await run.peer(
        says_once,
        refuses("503 Busy"),
        drops,
        refuses("500 Oops"),
        says_once,
        refuses("502 Bad"),
        echo,
    )
    options = run.options({"reconnect_delays": counted})
    seen = []
    connections = []
    async for ws in run.library.client.connect(peer.uri, **options):
        connections.append(ws)
        if len(peer.lines) == 7:
            break
        try:
            async for message in ws:
                seen.append(message)
        except run.exceptions.ConnectionClosed:
            continue
    run.note("messages", seen)
    run.note("requests", len(peer.lines))
    run.note("delays", used)
    await run.adopt(connections[-1]).close()
    run.note("closed", [ws.state for ws in connections])


@scenario("", flavors=ASYNCIO)
async def final_failures(run: Run) -> None:
    for line in ("404 Not Found", "403 Forbidden", "401 Unauthorized"):
        peer = await run.peer(refuses(line))

        async def loop(peer: Any = peer) -> None:
            async for _ in run.library.client.connect(peer.uri, **run.options({})):
                pass

        await run.outcome(line, loop())
        run.note("requests", len(peer.lines))


@scenario("connect.process_exception", flavors=ASYNCIO)
async def process_exception(run: Run) -> None:
    class Mine(Exception):
        pass

    seen: list[str] = []

    def final(exc: Exception) -> Exception | None:
        seen.append(type(exc).__name__)
        return exc

    def other(exc: Exception) -> Exception | None:
        return Mine("instead")

    def raising(exc: Exception) -> Exception | None:
        raise Mine("raised")

    def transient(exc: Exception) -> Exception | None:
        seen.append(type(exc).__name__)
        return None if len(seen) < 4 else exc

    for function in (final, other, raising, transient):
        peer = await run.peer(refuses("503 Busy"))
        options = run.options(
            {"process_exception": function, "reconnect_delays": delays(*[0.001] * 9)}
        )

        async def loop(peer: Any = peer, options: Any = options) -> None:
            async for _ in run.library.client.connect(peer.uri, **options):
                pass

        await run.cause(function.__name__, loop())
        run.note("requests", len(peer.lines))
    run.note("given", seen)


@scenario("connect.process_exception", flavors=ASYNCIO)
async def exceptions_in_the_body(run: Run) -> None:
    """What the body of the loop raises is the application's."""
    peer = await run.peer(echo)

    async def loop() -> None:
        async for _ in run.library.client.connect(
            peer.uri, **run.options({"process_exception": lambda exc: None})
        ):
            raise LookupError("of the application")

    await run.outcome("loop", loop())
    run.note("requests", len(peer.lines))


@scenario("", flavors=ASYNCIO)
async def the_default_back_off(run: Run) -> None:
    default = inspect.signature(run.library.client.connect).parameters["reconnect_delays"].default
    generator = default()
    found = [next(generator) for _ in range(30)]
    run.note("first is within", 0 <= found[0] <= 5)
    run.note("grows", found[5] > found[1])
    run.note("capped", max(found))
    run.note("stays", found[-1])


@scenario("", flavors=ASYNCIO)
async def the_default_process_exception(run: Run) -> None:
    default = inspect.signature(run.library.client.connect).parameters["process_exception"].default
    http11 = __import__(f"{run.library.name}.http11", fromlist=["Response"])
    kinds = run.exceptions

    def status(code: int) -> Exception:
        return kinds.InvalidStatus(http11.Response(code, "", run.library.Headers()))

    message = kinds.InvalidMessage("no")
    message.__cause__ = EOFError("cut")
    for exception in (
        OSError("x"),
        TimeoutError(),
        ConnectionRefusedError(),
        EOFError(),
        status(500),
        status(502),
        status(503),
        status(504),
        status(501),
        status(404),
        kinds.InvalidMessage("no"),
        message,
        kinds.InvalidURI("x", "y"),
        kinds.ProxyError("x"),
        kinds.InvalidHeader("x"),
        ValueError(),
    ):
        response = getattr(exception, "response", None)
        name = f"{type(exception).__name__} {response.status_code if response else ''}"
        run.note(name, "final" if default(exception) is exception else "transient")


@scenario("reconnect.process_exception", flavors=SYNC)
async def sync_process_exception(run: Run) -> None:
    seen: list[str] = []

    def transient(exc: Exception) -> Exception | None:
        seen.append(type(exc).__name__)
        return None if len(seen) < 3 else exc

    peer = await run.peer(refuses("404 Not Found"))
    options = run.options({"process_exception": transient, "reconnect_delays": delays(0.01, 0.01)})
    options.pop("legacy", None)
    run.used.add("reconnect.process_exception")

    def loop() -> None:
        for _ in run.library.client.reconnect(peer.uri, **options):
            pass

    await run.outcome("loop", asyncio.to_thread(loop))
    run.note("given", seen)


@scenario("reconnect.reconnect_delays unix_reconnect.path", flavors=SYNC)
async def sync_reconnects(run: Run) -> None:
    run.used |= {"reconnect.reconnect_delays", "unix_reconnect.path"}
    peer = await run.peer(says_once, refuses("503 Busy"), drops, says_once, echo)
    options = run.options({"reconnect_delays": delays(*[0.01] * 9)})
    options.pop("legacy", None)

    def loop() -> list[Any]:
        seen = []
        for ws in run.library.client.reconnect(peer.uri, **options):
            if len(peer.lines) == 5:
                break
            try:
                for message in ws:
                    seen.append(message)
            except run.exceptions.ConnectionClosed:
                continue
        return seen

    run.note("messages", await asyncio.to_thread(loop))
    run.note("requests", len(peer.lines))
    path = str(run.surroundings.folder / f"{run.library.name}-r")
    await run.peer(says_once, unix=path)
    options.pop("proxy")

    def first() -> Any:
        for ws in run.library.client.unix_reconnect(path, **options):
            return ws.recv()

    run.note("over a Unix socket", await asyncio.to_thread(first))
