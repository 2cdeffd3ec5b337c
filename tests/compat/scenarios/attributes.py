"""Attributes of connections by state, and names that programs import."""

from __future__ import annotations

import importlib
from typing import Any

from harness import Run, scenario
from peer import Session


@scenario(
    "id logger local_address remote_address latency state subprotocol close_code close_reason "
    "request response"
)
async def attributes_stay_readable(run: Run) -> None:
    """Attributes can be read when the connection is closed, and are what they were."""

    async def script(session: Session) -> None:
        session.write(session.upgrade(x_field="of the server"))
        await session.echo()

    ws = await run.open(script)
    # The addresses of a sync connection of websockets are gone with its socket.
    stay = ["id", "subprotocol"] + ([] if run.is_sync else ["local_address", "remote_address"])
    run.note("open", (ws.local_address[0], ws.remote_address[0]))
    before = {name: getattr(ws, name) for name in stay}
    paths = ws.request.path, ws.response.headers["X-Field"]
    await ws.close()
    run.note("the same", [name for name in stay if getattr(ws, name) == before[name]])
    run.note("handshake", (ws.request.path, ws.response.headers["X-Field"]) == paths)
    run.note("logger", ws.logger)
    run.note("latency", ws.latency)
    run.note("end", (ws.state, ws.close_code, ws.close_reason))


@scenario("")
async def what_cannot_be_set(run: Run) -> None:
    ws = await run.open()
    for name in (
        "state",
        "subprotocol",
        "close_code",
        "close_reason",
        "local_address",
        "remote_address",
    ):
        try:
            setattr(ws.raw, name, 1)
        except AttributeError:
            run.note(name, "read-only")
        else:
            run.note(name, "set")


@scenario("")
async def attributes_of_ones_own(run: Run) -> None:
    ws = await run.open()

    def store() -> Any:
        ws.raw.channel = "mine"
        return ws.raw.channel

    run.attempt("attribute", store)


@scenario("")
async def connections_in_sets(run: Run) -> None:
    one, two = await run.open(), await run.open()
    run.note("members", len({one.raw, two.raw, one.raw}))
    run.note("equal", one.raw == two.raw)


@scenario("")
async def states(run: Run) -> None:
    package = importlib.import_module(run.library.name)
    run.note("members", [(member.name, member.value) for member in package.State])


@scenario("")
async def names_of_the_package(run: Run) -> None:
    """What a client's program imports from the package itself."""
    package = importlib.import_module(run.library.name)
    for name in (
        "ClientConnection connect Close CloseCode State Data Headers HeadersLike "
        "MultipleValuesError Request Response unix_connect"
    ).split():
        run.note(name, hasattr(package, name))


CODES = (
    "NORMAL_CLOSURE GOING_AWAY PROTOCOL_ERROR UNSUPPORTED_DATA NO_STATUS_RCVD ABNORMAL_CLOSURE "
    "INVALID_DATA POLICY_VIOLATION MESSAGE_TOO_BIG MANDATORY_EXTENSION INTERNAL_ERROR "
    "SERVICE_RESTART TRY_AGAIN_LATER BAD_GATEWAY TLS_HANDSHAKE"
).split()


@scenario("")
async def close_codes(run: Run) -> None:
    package = importlib.import_module(run.library.name)
    run.note("codes", [(name, int(package.CloseCode[name])) for name in CODES])
    run.note("equal", package.Close(1000, "x") == package.Close(1000, "x"))
    run.note("as a number", package.CloseCode(1001) == 1001)


@scenario("", difference="close-code-names")
async def names_of_close_codes(run: Run) -> None:
    package = importlib.import_module(run.library.name)
    run.note("names", [package.CloseCode[name].name for name in CODES])


@scenario("")
async def header_fields(run: Run) -> None:
    headers = run.library.Headers([("X-One", "1"), ("x-one", "2")], Other="3")
    run.note("raw", list(headers.raw_items()))
    run.note("all", headers.get_all("X-ONE"))
    run.note("one", headers["other"])
    run.attempt("several", lambda: headers["x-one"])
    run.attempt("none", lambda: headers["missing"])
    run.note("length", (len(headers), sorted(headers), "OTHER" in headers))
    copied = headers.copy()
    copied["New"] = "4"
    del copied["X-One"]
    run.note("copy", list(copied.raw_items()))
    run.note("original", list(headers.raw_items()))
    run.note("text", str(headers))
    run.note("equal", run.library.Headers(a="1") == run.library.Headers(A="1"))
    copied.update({"Z": "5"})
    copied.setdefault("Z", "6")
    run.note("updated", copied.get("Z"))
    copied.clear()
    run.note("cleared", len(copied))


@scenario("", difference="internals")
async def what_lies_below(run: Run) -> None:
    ws = await run.open()
    run.note("protocol", hasattr(ws.raw, "protocol"))


@scenario("", difference="header-encoding")
async def fields_that_are_not_ascii(run: Run) -> None:
    async def script(session: Session) -> None:
        # A str is what the peer reads in ISO-8859-1, so this is UTF-8 on the wire.
        session.write(session.upgrade(x_name="é".encode().decode("latin-1")))
        await session.echo()

    peer = await run.peer(script)
    ws = await run.connect(peer, additional_headers={"X-Name": "é"})
    sent = [line for line in peer.lines[0] if line.startswith("X-Name")]
    run.note("sent", [line.encode("latin-1") for line in sent])
    run.note("read", ws.response.headers["X-Name"])
