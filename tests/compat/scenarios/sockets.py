"""Where the connection goes: sockets, addresses, Unix paths, TLS."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import ssl
from typing import Any

from servers.fixtures import server_context

from harness import ASYNCIO, SYNC, Run, plain_context, scenario
from peer import Session


@scenario("connect.host connect.port", flavors=ASYNCIO)
async def another_host_and_port(run: Run) -> None:
    peer = await run.peer()
    await run.connect("ws://nowhere.invalid:81/", host="127.0.0.1", port=peer.port)
    run.note("Host", [line for line in peer.lines[0] if line.startswith("Host")])


@scenario("connect.sock")
async def a_socket_given(run: Run) -> None:
    peer = await run.peer()
    sock = socket.create_connection(("127.0.0.1", peer.port))
    local = sock.getsockname()
    ws = await run.connect("ws://elsewhere.invalid/", sock=sock)
    await ws.send("x")
    await run.outcome("recv", ws.recv())
    run.note("the same", ws.local_address == local)
    await ws.close()
    run.note("Host", [line for line in peer.lines[0] if line.startswith("Host")])


@scenario("connect.local_addr", flavors=ASYNCIO)
async def a_local_address(run: Run) -> None:
    ws = await run.open(local_addr=("127.0.0.2", 0))
    run.note("local", ws.local_address[0])


@scenario(
    "connect.address connect.source_address connect.timeout",
    flavors=SYNC,
    difference="socket-options",
)
async def options_of_the_socket_module(run: Run) -> None:
    peer = await run.peer()
    for options in (
        {"address": ("127.0.0.1", peer.port)},
        {"source_address": ("127.0.0.1", 0)},
        {"timeout": 5},
    ):

        async def greet(options: dict[str, Any] = options) -> Any:
            ws = await run.connect(peer, **options)
            await ws.send("x")
            return await ws.recv()

        await run.outcome(next(iter(options)), greet())


@scenario("", flavors=SYNC)
async def a_socket_that_waits(run: Run) -> None:
    """What the other options are for: any socket may be given."""
    peer = await run.peer()
    address = ("127.0.0.1", peer.port)
    sock = socket.create_connection(address, 5, ("127.0.0.2", 0), all_errors=True)
    sock.settimeout(None)
    ws = await run.connect("ws://elsewhere.invalid/", sock=sock)
    await ws.send("x")
    await run.outcome("recv", ws.recv())
    run.note("local", ws.local_address[0])


# A parameter of asyncio from 3.12 on.
ALL_ERRORS = "all_errors" in inspect.signature(asyncio.BaseEventLoop.create_connection).parameters


@scenario("connect.family connect.happy_eyeballs_delay connect.interleave", flavors=ASYNCIO)
async def families(run: Run) -> None:
    peer = await run.peer()
    uri = peer.uri.replace("127.0.0.1", "localhost")
    variants: list[dict[str, Any]] = [
        {"family": socket.AF_INET},
        {"happy_eyeballs_delay": 0.1},
        {"happy_eyeballs_delay": 0.1, "interleave": 1},
    ]
    if ALL_ERRORS:
        variants.append({"all_errors": True})
    for options in variants:
        ws = await run.connect(uri, **options)
        run.note(", ".join(options), ws.remote_address[0])
    await run.outcome("IPv6 only", run.connect(peer, family=socket.AF_INET6))


@scenario("connect.proto connect.flags", flavors=ASYNCIO, difference="socket-options")
async def protocols_and_flags(run: Run) -> None:
    for name, value in (("proto", socket.IPPROTO_TCP), ("flags", socket.AI_NUMERICHOST)):
        peer = await run.peer()

        async def state(peer: Any = peer, name: str = name, value: int = value) -> str:
            ws = await run.connect(peer, **{name: value})
            return "open" if ws.state == 1 else "closed"

        await run.outcome(name, state())


@scenario("connect.all_errors", flavors=SYNC)
async def all_errors(run: Run) -> None:
    ws = await run.open(all_errors=True)
    await ws.send("x")
    await run.outcome("recv", ws.recv())


@scenario("unix_connect.path unix_connect.uri")
async def unix_sockets(run: Run) -> None:
    path = str(run.surroundings.folder / f"{run.library.name}-{run.library.flavor}")
    peer = await run.peer(unix=path)
    unix_connect = run.library.client.unix_connect
    run.used.update({"unix_connect.path", "unix_connect.uri"})
    shared = run.options({})
    shared.pop("proxy")
    for arguments in ({}, {"uri": "ws://name/path"}):
        ws = run.adopt(await run.call(unix_connect, path, **arguments, **shared))
        await ws.send("x")
        await run.outcome("recv", ws.recv())
        run.note("addresses", (ws.remote_address == path, ws.local_address))
        await ws.close()
    run.note(
        "requests",
        [(lines[0], [line for line in lines if line.startswith("Host")]) for lines in peer.lines],
    )
    await run.outcome("missing", run.call(unix_connect, path + "-not", **shared))
    run.note("there", os.path.exists(path))


@scenario("connect.unix connect.path", flavors=ASYNCIO)
async def unix_by_parameters(run: Run) -> None:
    path = str(run.surroundings.folder / f"{run.library.name}-{run.library.flavor}-p")
    await run.peer(unix=path)
    ws = await run.connect("ws://localhost/", unix=True, path=path)
    await ws.send("x")
    await run.outcome("recv", ws.recv())


@scenario("connect.ssl")
async def tls_with_a_context(run: Run) -> None:
    certificates = run.surroundings.certificates
    peer = await run.peer(tls=server_context(certificates))
    ws = await run.connect(peer, ssl=run.own_context())
    await ws.send("x" * 100_000)

    async def size() -> int:
        return len(await ws.recv())

    await run.outcome("recv", size())
    await run.outcome("close", ws.close())
    run.note("code", ws.close_code)


@scenario("connect.ssl")
async def tls_with_a_plain_context(run: Run) -> None:
    certificates = run.surroundings.certificates
    peer = await run.peer(tls=server_context(certificates))

    async def greet() -> Any:
        ws = await run.connect(peer, ssl=plain_context(certificates.ca))
        await ws.send("x")
        return await ws.recv()

    await run.outcome("recv", greet())


@scenario("connect.ssl")
async def tls_that_is_not_trusted(run: Run) -> None:
    certificates = run.surroundings.certificates
    peer = await run.peer(tls=server_context(certificates))
    for name, options in (
        ("default", {}),
        ("True", {"ssl": True}),
        ("context", {"ssl": run.own_context(certificates.other_ca)}),
    ):
        if name == "True" and run.is_sync:
            continue
        exception = None
        try:
            await run.connect(peer, **options)
        except Exception as caught:
            exception = caught
        run.note(name, exception and isinstance(exception, ssl.SSLError))
        run.note("verification", isinstance(exception, ssl.SSLCertVerificationError))


@scenario("connect.ssl connect.server_hostname")
async def another_name_for_tls(run: Run) -> None:
    certificates = run.surroundings.certificates
    peer = await run.peer(tls=server_context(certificates))
    uri = peer.uri.replace("localhost", "127.0.0.1")
    context = run.own_context()
    ws = await run.connect(uri, ssl=context, server_hostname="localhost")
    await ws.send("x")
    await run.outcome("recv", ws.recv())
    try:
        await run.connect(uri, ssl=context, server_hostname="other.example")
    except ssl.SSLCertVerificationError:
        run.note("another name", "refused")


@scenario("connect.ssl")
async def tls_where_none_is(run: Run) -> None:
    run.refused("a context with ws://", ssl=run.own_context())


@scenario("connect.ssl_handshake_timeout connect.ssl_shutdown_timeout", flavors=ASYNCIO)
async def timeouts_of_tls(run: Run) -> None:
    async def silent(session: Session) -> None:
        await session.rest()

    certificates = run.surroundings.certificates
    context = plain_context(certificates.ca)
    peer = await run.peer(tls=server_context(certificates))
    ws = await run.connect(peer, ssl=context, ssl_handshake_timeout=5, ssl_shutdown_timeout=1)
    await ws.send("x")
    await run.outcome("recv", ws.recv())
    await ws.close()
    no_tls = await run.peer(silent, raw=True)
    try:
        await run.connect(f"wss://localhost:{no_tls.port}/", ssl=context, ssl_handshake_timeout=0.1)
    except (OSError, TimeoutError) as exception:
        run.note("no TLS", isinstance(exception, OSError))
