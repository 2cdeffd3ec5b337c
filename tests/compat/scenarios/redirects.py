"""Redirects."""

from __future__ import annotations

from typing import Any

from harness import Run, scenario, server_context
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


@scenario("connect.ssl")
async def redirects_without_tls(run: Run) -> None:
    certificates = run.surroundings.certificates
    plain = await run.peer()
    peer = await run.peer(redirects(plain.uri), tls=server_context(certificates))
    await run.outcome("downgrade", run.connect(peer, ssl=run.own_context()))
    run.note("not contacted", len(plain.lines))
