"""The request that connect makes, and what it agrees on with the server."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from harness import ASYNCIO, SYNC, Run, scenario
from peer import TEXT, Session


def fields(lines: list[str], *leave_out: str) -> list[str]:
    """Return a request's header fields without what is random."""
    hidden = ("sec-websocket-key", "user-agent", "host", *leave_out)
    return [line for line in lines[1:] if line.partition(":")[0].lower() not in hidden]


async def request_of(run: Run, **options: Any) -> list[str]:
    peer = await run.peer()
    ws = await run.connect(peer, **options)
    await ws.close()
    return peer.lines[0]


@scenario("connect.uri request response")
async def the_default_request(run: Run) -> None:
    peer = await run.peer()
    ws = await run.connect(peer.uri + "path?query=1&b=%20")
    run.note("line", peer.lines[0][0])
    run.note("fields", sorted(fields(peer.lines[0])))
    run.note("names", sorted(line.partition(":")[0] for line in peer.lines[0][1:]))
    run.note("request", ws.request.path)
    run.note(
        "request fields",
        sorted(
            plain
            for plain in map(tuple, ws.request.headers.raw_items())
            if plain[0] not in ("Host", "Sec-WebSocket-Key", "User-Agent")
        ),
    )
    run.note("response", ws.response)
    run.note("headers", ws.response.headers["uPGRADE"])


@scenario("connect.uri")
async def user_and_password(run: Run) -> None:
    peer = await run.peer()
    uri = peer.uri.replace("127.0.0.1", "us%40er:pa%3Ass@127.0.0.1")
    await run.connect(uri)
    run.note("fields", [line for line in peer.lines[0] if line.startswith("Authorization")])


@scenario("")
async def uris_refused(run: Run) -> None:
    for uri in (
        "http://127.0.0.1/",
        "127.0.0.1",
        "ws:/127.0.0.1",
        "ws://127.0.0.1/#fragment",
        "ws://",
        "ws:///path",
        "",
        "wss//host",
    ):
        run.attempt(uri, run.library.client.connect, uri, **run.options({}))


@scenario("connect.origin")
async def origin(run: Run) -> None:
    lines = await request_of(run, origin="https://example.com")
    run.note("fields", sorted(fields(lines)))


@scenario("connect.user_agent_header")
async def user_agent(run: Run) -> None:
    for value in ("mine/1", None):
        lines = await request_of(run, user_agent_header=value)
        run.note(str(value), [line for line in lines if line.lower().startswith("user-agent")])
    lines = await request_of(run, additional_headers={"User-Agent": "given"})
    run.note("additional", [line for line in lines if line.lower().startswith("user-agent")])


@scenario("connect.additional_headers")
async def additional_headers(run: Run) -> None:
    pairs = [("X-One", "1"), ("x-two", "2"), ("X-One", "again")]
    for given in (dict(pairs), pairs, run.library.Headers(pairs), tuple(pairs)):
        lines = await request_of(run, additional_headers=given)
        mine = [line for line in fields(lines) if line.lower().startswith("x-")]
        run.note(type(given).__name__, mine)


@scenario("connect.additional_headers")
async def header_injection(run: Run) -> None:
    for given in ({"X": "a\r\nY: b"}, {"X": "a\0"}, {"X": "a\nY: b"}):
        peer = await run.peer()
        try:
            await run.connect(peer, additional_headers=given)
        except Exception:
            run.note("refused", True)
        else:
            run.note("sent", [line for line in fields(peer.lines[0]) if line[0] in "XY"])


@scenario("connect.additional_headers", difference="header-fields")
async def header_names_that_are_none(run: Run) -> None:
    peer = await run.peer()
    try:
        await run.connect(peer, additional_headers={"X\r\nY": "a"})
    except ValueError:
        run.note("refused", True)
    else:
        run.note("sent", [line for line in fields(peer.lines[0]) if line[0] in "XY"])


@scenario("connect.additional_headers", difference="header-fields")
async def a_host_of_ones_own(run: Run) -> None:
    lines = await request_of(run, additional_headers={"Host": "other.example"})
    run.note("Host", sum(line.lower().startswith("host:") for line in lines))


@scenario("connect.subprotocols subprotocol")
async def subprotocols(run: Run) -> None:
    async def chooses(session: Session) -> None:
        offered.append(session.fields.get("sec-websocket-protocol"))
        session.write(session.upgrade(sec_websocket_protocol="two"))
        await session.echo()

    offered: list[Any] = []
    ws = await run.open(chooses, subprotocols=["one", "two"])
    run.note("offered", offered)
    run.note("chosen", ws.subprotocol)
    ws = await run.open(subprotocols=["one"])
    run.note("none chosen", ws.subprotocol)
    ws = await run.open()
    run.note("none offered", ws.subprotocol)


@scenario("connect.subprotocols")
async def subprotocols_refused(run: Run) -> None:
    run.refused("a str", subprotocols="chat")
    for name, given in (("a space", ["a b"]), ("number", [5])):
        try:
            run.library.client.connect("ws://127.0.0.1:9/", **run.options({"subprotocols": given}))
        except Exception as exception:
            run.note(
                name,
                isinstance(exception, (TypeError, ValueError, run.exceptions.WebSocketException)),
            )


@scenario("connect.compression")
async def compression(run: Run) -> None:
    async def agrees(session: Session) -> None:
        offers.append(session.fields.get("sec-websocket-extensions"))
        session.write(session.upgrade(sec_websocket_extensions="permessage-deflate"))
        # RFC 7692 section 7.2.3.1
        session.write(bytes.fromhex("c107f248cdc9c90700"))
        session.frame(TEXT, "as it is")
        await session.read_until_close()

    offers: list[Any] = []
    ws = await run.open(agrees)
    await run.outcome("compressed", ws.recv())
    await run.outcome("plain", ws.recv())
    run.note("response", ws.response)
    lines = await request_of(run, compression=None)
    run.note("without", [line for line in lines if "xtensions" in line])
    run.note("offers", offers)
    run.refused("gzip", compression="gzip")


@scenario("connect.extensions")
async def extensions(run: Run) -> None:
    factory = run.library.deflate.ClientPerMessageDeflateFactory
    given = [
        factory(server_max_window_bits=11, client_max_window_bits=11),
        factory(client_no_context_takeover=True, server_no_context_takeover=True),
        factory(),
    ]
    peer = await run.peer()
    await run.connect(peer, extensions=given)
    run.note("offers", [line for line in peer.lines[0] if "Extensions" in line])
    peer = await run.peer()
    await run.connect(peer, extensions=given[:1], compression=None)
    run.note("one", [line for line in peer.lines[0] if "Extensions" in line])


@scenario("connect.extensions", difference="foreign-extensions")
async def foreign_extensions(run: Run) -> None:
    class Factory:
        name = "x-foreign"

        def get_request_params(self) -> list[Any]:
            return []

        def process_response_params(self, params: Any, accepted: Any) -> Any:
            raise AssertionError

    peer = await run.peer()

    async def offer() -> list[str]:
        await run.connect(peer, extensions=[Factory()])
        return [line for line in peer.lines[0] if "Extensions" in line]

    await run.outcome("foreign", offer())


@scenario("connect.open_timeout")
async def the_opening_times_out(run: Run) -> None:
    async def silence(session: Session) -> None:
        await asyncio.sleep(20)

    peer = await run.peer(silence)
    await run.outcome("connect", run.connect(peer, open_timeout=0.1))
    await run.outcome("connect at once", run.connect(await run.peer(), open_timeout=0))
    ws = await run.open(open_timeout=None)
    await ws.send("x")
    await run.outcome("no limit", ws.recv())


@scenario("connect.logger logger")
async def loggers(run: Run) -> None:
    name = f"compat.{run.library.name}"
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        ws = await run.open(logger=logger)
        run.note("adapter", isinstance(ws.logger, logging.LoggerAdapter))
        run.note("below", ws.logger.logger is logger)
        await ws.send("x")
        await ws.recv()
        await ws.close()
        run.note("something at DEBUG", bool(records))
        run.note(
            "carries the connection", all(hasattr(record, "websocket") for record in records[-1:])
        )
        run.note(
            "name",
            {record.name.removesuffix(run.library.name) for record in records} == {"compat."},
        )
    finally:
        logger.removeHandler(handler)


@scenario("logger")
async def the_default_logger(run: Run) -> None:
    ws = await run.open()
    run.note("name", ws.logger.logger.name.removeprefix(run.library.name))


@scenario("id")
async def identifiers(run: Run) -> None:
    first, second = await run.open(), await run.open()
    run.note("type", first.id)
    run.note("the same", first.id == first.id)
    run.note("each its own", first.id != second.id)


@scenario("local_address remote_address")
async def addresses(run: Run) -> None:
    peer = await run.peer()
    ws = await run.connect(peer)
    host, port = ws.local_address
    run.note("local", (host, 0 < port < 65536))
    run.note("remote", (ws.remote_address[0], ws.remote_address[1] == peer.port))
    await ws.close()


@scenario("connect.create_connection")
async def create_connection(run: Run) -> None:
    base = run.library.client.ClientConnection

    class Mine(base):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.mine = "set in __init__"

        def send_twice(self, message: str) -> Any:
            return [self.send(message), self.send(message)]

    ws = await run.open(create_connection=Mine)
    run.note("type", type(ws.raw) is Mine)
    run.note("attribute", ws.raw.mine)
    if not run.is_sync:
        for sending in ws.raw.send_twice("x"):
            await sending
        await run.outcome("recv", ws.recv())
    await ws.close()


@scenario("connect.create_connection", flavors=ASYNCIO)
async def a_recv_of_ones_own(run: Run) -> None:
    """What a subclass overrides is what iteration uses."""
    base = run.library.client.ClientConnection

    class Upper(base):  # type: ignore[misc, valid-type]
        async def recv(self, *args: Any, **kwargs: Any) -> Any:
            return (await super().recv(*args, **kwargs)).upper()

    ws = await run.open(create_connection=Upper)
    await ws.send("abc")
    await run.outcome("recv", ws.recv())
    await ws.send("def")
    async for message in ws:
        run.note("iterated", message)
        break


@scenario("connect.legacy", flavors=SYNC)
async def sync_connect_as_it_was(run: Run) -> None:
    peer = await run.peer()
    connection = await asyncio.to_thread(
        run.library.client.connect, peer.uri, **run.options({"legacy": True})
    )
    run.uses("legacy")
    ws = run.adopt(connection)
    await ws.send("x")
    await run.outcome("recv", ws.recv())


@scenario("", flavors=ASYNCIO)
async def awaiting_twice(run: Run) -> None:
    """Each await of a connect object opens a connection."""
    peer = await run.peer()
    opening = run.library.client.connect(peer.uri, **run.options({}))
    first = run.adopt(await opening)
    second = run.adopt(await opening)
    run.note("two", first.raw is not second.raw)
    run.note("requests", len(peer.lines))


@scenario("", flavors=ASYNCIO)
async def entering_twice(run: Run) -> None:
    peer = await run.peer()
    opening = run.library.client.connect(peer.uri, **run.options({}))
    async with opening as ws:
        run.note("open", ws.state)

        async def again() -> None:
            async with opening:
                pass

        await run.outcome("again", again())
    run.note("closed", ws.state)


@scenario("", flavors=ASYNCIO)
async def cancelled_openings(run: Run) -> None:
    async def silence(session: Session) -> None:
        seen.append(await session.rest())

    seen: list[Any] = []
    peer = await run.peer(silence)
    task = asyncio.create_task(run.connect(peer))
    while not peer.lines:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    run.note("cancelled", task.cancelled())
    for _ in range(2000):
        if seen:
            break
        await asyncio.sleep(0.01)
    run.note("the server sees the end", seen)
