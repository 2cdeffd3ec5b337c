"""Redirects."""

from __future__ import annotations

import socket
from typing import Any

from servers.fixtures import server_context

from harness import ASYNCIO, Run, plain_context, scenario
from peer import Session, echo


def redirects(location: str, line: str = "302 Found") -> Any:
    async def script(session: Session) -> None:
        session.write(
            f"HTTP/1.1 {line}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    return script


@scenario("connect.uri")
async def redirects_are_followed(run: Run) -> None:
    for code in (
        "300 Choices",
        "301 Moved",
        "302 Found",
        "303 See",
        "307 Temporary",
        "308 Permanent",
    ):
        peer = await run.peer(redirects("/there?x=1", code), echo)
        ws = await run.connect(peer)
        run.note(code, [lines[0] for lines in peer.lines])
        run.note("path", ws.request.path)
    peer = await run.peer(redirects("/there", "304 Not Modified"))
    await run.outcome("304", run.connect(peer))


@scenario("connect.additional_headers")
async def redirects_to_another_host(run: Run) -> None:
    target = await run.peer()
    peer = await run.peer(redirects(target.uri + "target"))
    headers = {"Authorization": "secret", "Cookie": "a=b", "X-Kept": "yes"}
    await run.connect(peer, additional_headers=headers)
    for name, lines in (("first", peer.lines[0]), ("second", target.lines[0])):
        sent = [line for line in lines if line.partition(":")[0] in headers]
        run.note(name, sent)


@scenario("connect.additional_headers")
async def redirects_within_a_host(run: Run) -> None:
    peer = await run.peer(redirects("/there"), echo)
    headers = {"Authorization": "secret", "Cookie": "a=b"}
    await run.connect(peer, additional_headers=headers)
    run.note("second", [line for line in peer.lines[1] if line.partition(":")[0] in headers])


@scenario("")
async def endless_redirects(run: Run) -> None:
    peer = await run.peer(redirects("/again"))
    await run.outcome("endless", run.connect(peer))


@scenario("")
async def redirects_that_lead_nowhere(run: Run) -> None:
    async def without(session: Session) -> None:
        session.write(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")

    peer = await run.peer(without)
    await run.outcome("no Location", run.connect(peer))
    peer = await run.peer(redirects("ftp://127.0.0.1/"))
    await run.outcome("another scheme", run.connect(peer))


@scenario("", difference="redirects-to-http")
async def redirects_to_http(run: Run) -> None:
    target = await run.peer()
    peer = await run.peer(redirects(target.uri.replace("ws:", "http:")))
    try:
        await run.connect(peer)
    except run.exceptions.InvalidURI:
        run.note("refused", True)
    run.note("requests", len(target.lines))


@scenario("connect.sock")
async def redirects_of_a_socket_given(run: Run) -> None:
    peer = await run.peer(redirects("/there"), echo)
    sock = socket.create_connection(("127.0.0.1", peer.port))
    await run.outcome("redirect", run.connect(peer, sock=sock))
    run.note("requests", len(peer.lines))


@scenario("connect.host connect.port", flavors=ASYNCIO)
async def redirects_where_the_address_is_given(run: Run) -> None:
    target = await run.peer()
    for location in ("/there", target.uri):
        peer = await run.peer(redirects(location), echo)
        uri = f"ws://example.invalid:{peer.port}/"

        async def state(peer: Any = peer, uri: str = uri) -> Any:
            ws = await run.connect(uri, host="127.0.0.1", port=peer.port)
            return ws.state

        await run.outcome("same host" if location == "/there" else "other host", state())
    run.note("contacted", len(target.lines))


@scenario("", flavors=ASYNCIO)
async def redirects_of_a_unix_socket(run: Run) -> None:
    target = await run.peer()
    for number, location in enumerate(("/there", target.uri)):
        path = str(run.surroundings.folder / f"{run.library.name}-{number}")
        await run.peer(redirects(location), echo, unix=path)

        async def state(path: str = path) -> Any:
            shared = run.options({})
            shared.pop("proxy")
            return run.adopt(await run.library.client.unix_connect(path, **shared)).state

        await run.outcome("same host" if location == "/there" else "other host", state())
    run.note("contacted", len(target.lines))


@scenario("connect.ssl", flavors=ASYNCIO)
async def redirects_with_a_plain_context(run: Run) -> None:
    certificates = run.surroundings.certificates
    plain = await run.peer()
    for location in ("/there", plain.uri):
        peer = await run.peer(redirects(location), echo, tls=server_context(certificates))
        context = plain_context(certificates.ca)

        async def state(peer: Any = peer, context: Any = context) -> Any:
            return (await run.connect(peer, ssl=context)).state

        await run.outcome("same host" if location == "/there" else "downgrade", state())
    run.note("not contacted", len(plain.lines))


@scenario("connect.ssl")
async def redirects_without_tls(run: Run) -> None:
    certificates = run.surroundings.certificates
    plain = await run.peer()
    peer = await run.peer(redirects(plain.uri), tls=server_context(certificates))
    await run.outcome("downgrade", run.connect(peer, ssl=run.own_context()))
    run.note("not contacted", len(plain.lines))
