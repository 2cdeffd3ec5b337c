"""Handshakes that fail, and what the exceptions say."""

from __future__ import annotations

import copy
import pickle
import socket
from collections.abc import Callable
from typing import Any

from harness import Run, bases, describe, scenario
from peer import Session


def answers(octets: bytes) -> Callable[[Session], Any]:
    async def script(session: Session) -> None:
        session.write(octets)
        session.end()
        await session.rest()

    return script


def status(line: str, *fields: str, body: bytes = b"") -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {line}", *fields, "", ""])
    return head.encode("latin-1") + body


MALFORMED = {
    "nothing": b"",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "HTTP/2": b"HTTP/2 101 Switching Protocols\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 99 Low\r\n\r\n",
    "a status that is none": b"HTTP/1.1 abc Oops\r\n\r\n",
    "a head cut off": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websoc",
    "a field without colon": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade websocket\r\n\r\n",
    "a field without name": b"HTTP/1.1 101 Switching Protocols\r\n: websocket\r\n\r\n",
    "a space before the colon": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade : websocket\r\n\r\n",
    "a control in a value": b"HTTP/1.1 101 Switching Protocols\r\nX: a\x00b\r\n\r\n",
}


@scenario("")
async def answers_that_are_no_http(run: Run) -> None:
    for name, octets in MALFORMED.items():
        peer = await run.peer(answers(octets))
        await run.outcome(name, run.connect(peer))


@scenario("", difference="handshake-errors")
async def refusals_in_http_1_0(run: Run) -> None:
    peer = await run.peer(answers(b"HTTP/1.0 503 Busy\r\n\r\n"))
    await run.outcome("503", run.connect(peer))
    peer = await run.peer(answers(b"HTTP/1.0 101 Switching Protocols\r\n\r\n"))
    await run.outcome("101", run.connect(peer))


@scenario("")
async def a_long_status_line(run: Run) -> None:
    peer = await run.peer(answers(b"HTTP/1.1 101 " + b"x" * 9000 + b"\r\n\r\n"))
    await run.outcome("connect", run.connect(peer))


LIMITS = {
    "a long field": b"HTTP/1.1 101 Fine\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
    "many fields": b"HTTP/1.1 101 Fine\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
}


@scenario("", difference="handshake-errors")
async def answers_beyond_limits(run: Run) -> None:
    for name, octets in LIMITS.items():
        peer = await run.peer(answers(octets))
        exception = await run.outcome(name, run.connect(peer))
        run.note("cause", exception.__cause__ and describe(exception.__cause__)["bases"])


@scenario("")
async def other_statuses(run: Run) -> None:
    for line in (
        "200 OK",
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "426 Upgrade Required",
        "500 Internal Server Error",
        "503 Service Unavailable",
    ):
        peer = await run.peer(answers(status(line, "Content-Length: 4", "X-Y: z", body=b"why?")))
        await run.outcome(line, run.connect(peer))


@scenario("")
async def bodies_of_refusals(run: Run) -> None:
    for name, octets in {
        "content-length": status("403 No", "Content-Length: 5", body=b"hello"),
        "chunked": status(
            "403 No", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        ),
        "to the end": status("403 No", body=b"until the end"),
        "none": status("403 No", "Content-Length: 0"),
        "no content": status("204 No Content"),
        "empty phrase": status("404 ", "Content-Length: 0"),
    }.items():
        peer = await run.peer(answers(octets))
        await run.outcome(name, run.connect(peer))


def changed(**fields: str | None) -> Callable[[Session], Any]:
    async def script(session: Session) -> None:
        session.write(session.upgrade(**fields))
        await session.rest()

    return script


FIELDS: dict[str, dict[str, str | None]] = {
    "no Upgrade": {"upgrade": None},
    "no Connection": {"connection": None},
    "no accept": {"sec_websocket_accept": None},
    "another Upgrade": {"upgrade": "h2c"},
    "two upgrades": {"upgrade": "websocket, h2c"},
    "another Connection": {"connection": "close"},
    "a wrong accept": {"sec_websocket_accept": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
    "an empty accept": {"sec_websocket_accept": ""},
    "a subprotocol not offered": {"sec_websocket_protocol": "chat"},
    "an extension not offered": {"sec_websocket_extensions": "x-unknown"},
}


@scenario("")
async def fields_that_are_wrong(run: Run) -> None:
    for name, fields in FIELDS.items():
        peer = await run.peer(changed(**fields))
        await run.outcome(name, run.connect(peer))


DEFLATE = {
    "unknown parameter": "permessage-deflate; unknown",
    "a parameter twice": "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
    "a value that is none": "permessage-deflate; server_max_window_bits=7",
    "a value where none is": "permessage-deflate; server_no_context_takeover=1",
    "client bits of 16": "permessage-deflate; client_max_window_bits=16",
}


@scenario("", difference="handshake-errors")
async def parameters_that_are_wrong(run: Run) -> None:
    for name, value in DEFLATE.items():
        peer = await run.peer(changed(sec_websocket_extensions=value))
        await run.outcome(name, run.connect(peer))


@scenario("connect.compression")
async def extensions_that_are_wrong(run: Run) -> None:
    for name, value in {**DEFLATE, "twice": "permessage-deflate, permessage-deflate"}.items():
        peer = await run.peer(changed(sec_websocket_extensions=value))
        try:
            await run.connect(peer, compression="deflate")
        except run.exceptions.NegotiationError:
            run.note(name, "not agreed")


@scenario("")
async def extensions_that_are_no_list(run: Run) -> None:
    peer = await run.peer(changed(sec_websocket_extensions=";;"))
    try:
        await run.connect(peer)
    except run.exceptions.InvalidHeader as exception:
        run.note("garbage", (bases(type(exception)), exception.name))


@scenario("")
async def fields_that_are_there_twice(run: Run) -> None:
    for name in ("accept", "protocol"):
        field = f"Sec-WebSocket-{name.title()}"
        twice = {f"sec_websocket_{name}": f"one\r\n{field}: two"}
        peer = await run.peer(changed(**twice))
        try:
            await run.connect(peer, subprotocols=["one", "two"])
        except run.exceptions.InvalidHeader as exception:
            run.note(name, (bases(type(exception)), exception.name))


@scenario("")
async def two_subprotocols(run: Run) -> None:
    peer = await run.peer(changed(sec_websocket_protocol="one, two"))
    try:
        await run.connect(peer, subprotocols=["one", "two"])
    except run.exceptions.InvalidHeader as exception:
        run.note("two", (bases(type(exception)), exception.name))
    peer = await run.peer(changed(sec_websocket_protocol="three"))
    await run.outcome("another", run.connect(peer, subprotocols=["one", "two"]))


@scenario("")
async def nobody_listens(run: Run) -> None:
    with socket.socket() as unused:  # bound, so that it is nobody else's
        unused.bind(("127.0.0.1", 0))
        await run.outcome("refused", run.connect(f"ws://127.0.0.1:{unused.getsockname()[1]}/"))


@scenario("")
async def names_that_do_not_exist(run: Run) -> None:
    await run.outcome("name", run.connect("ws://name.invalid/", open_timeout=50))


@scenario("")
async def the_tree_of_exceptions(run: Run) -> None:
    """Every exception of websockets, with its bases."""
    import websockets.exceptions as reference

    for name in reference.__all__:
        kind = getattr(run.exceptions, name, None)
        run.note(name, kind and bases(kind))


@scenario("", difference="invalid-uri")
async def what_an_invalid_uri_also_is(run: Run) -> None:
    run.note("ValueError", issubclass(run.exceptions.InvalidURI, ValueError))


def examples(run: Run) -> list[Any]:
    close = __import__(
        f"{run.library.name}.{'frames' if run.library.name == 'websockets' else 'close_codes'}",
        fromlist=["Close"],
    ).Close
    http11 = __import__(f"{run.library.name}.http11", fromlist=["Response"])
    response = http11.Response(403, "Forbidden", run.library.Headers({"X": "y"}), b"body")
    kinds = run.exceptions
    return [
        kinds.ConnectionClosedOK(close(1000, "a"), close(1000, "a"), True),
        kinds.ConnectionClosedError(close(1011, "b"), None, None),
        kinds.ConnectionClosedError(None, close(4000, "é"), None),
        kinds.ConnectionClosedError(None, None, None),
        kinds.InvalidURI("ws://x", "wrong"),
        kinds.InvalidProxy("ftp://x", "wrong"),
        kinds.InvalidStatus(response),
        kinds.InvalidProxyStatus(response),
        kinds.InvalidHeader("Name", "value"),
        kinds.InvalidHeader("Name"),
        kinds.InvalidHeaderFormat("Name", "no", "text", 1),
        kinds.InvalidHeaderValue("Name", "value"),
        kinds.InvalidOrigin("https://x"),
        kinds.InvalidUpgrade("Upgrade", "h2c"),
        kinds.NegotiationError("no"),
        kinds.DuplicateParameter("a"),
        kinds.InvalidParameterName("a"),
        kinds.InvalidParameterValue("a", "b"),
        kinds.InvalidMessage("no"),
        kinds.InvalidHandshake("no"),
        kinds.SecurityError("no"),
        kinds.ProxyError("no"),
        kinds.PayloadTooBig(5, 4),
        kinds.TooManyFragments(5),
        kinds.ProtocolError("no"),
        kinds.ConcurrencyError("no"),
        kinds.InvalidState("no"),
    ]


@scenario("")
async def made_by_hand(run: Run) -> None:
    """Tests of programs make exceptions themselves."""
    for exception in examples(run):
        run.note(type(exception).__name__, exception)


@scenario("")
async def copies_of_exceptions(run: Run) -> None:
    for exception in examples(run):
        if isinstance(exception, run.exceptions.TooManyFragments):
            continue  # websockets makes another one of it
        found = [copy.copy(exception)]
        if type(exception).__name__ not in ("InvalidHeaderFormat", "InvalidOrigin"):
            found.append(pickle.loads(pickle.dumps(exception)))
        same = [
            describe(other) == describe(exception) and str(other) == str(exception)
            for other in found
        ]
        run.note(type(exception).__name__, all(same))


@scenario("", difference="texts")
async def texts(run: Run) -> None:
    run.note("lost", str(run.exceptions.ConnectionClosedError(None, None)))
