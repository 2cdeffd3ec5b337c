"""Proxies, given and from the environment."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from servers.fixtures import server_context

from harness import ASYNCIO, Run, plain_context, scenario
from peer import CLOSE, Session, frame


class Tunnel:
    """An HTTP proxy that answers CONNECT with what it is told to, then passes octets on."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.heads: list[list[str]] = []
        self.port = 0

    async def serve(self, session: Session) -> None:
        head = (await session.reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head.split("\r\n")[:-2])
        session.write(self._answer)
        if b" 200 " not in self._answer:
            return
        host, port = self.heads[-1][0].split()[1].rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(pump(session.reader, writer), pump(reader, session.writer))
        finally:
            writer.transport.abort()


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
    if sink.can_write_eof():
        sink.write_eof()
    else:
        sink.close()


async def tunnel(
    run: Run, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n", tls: ssl.SSLContext | None = None
) -> Tunnel:
    made = Tunnel(answer)
    made.port = (await run.peer(made.serve, raw=True, tls=tls)).port
    return made


@scenario("connect.proxy")
async def an_http_proxy(run: Run) -> None:
    proxy = await tunnel(run)
    peer = await run.peer()
    for userinfo in ("", "us%40er:pa%3Ass@"):
        ws = await run.connect(peer, proxy=f"http://{userinfo}127.0.0.1:{proxy.port}")
        await ws.send("x")
        await run.outcome("recv", ws.recv())
        run.note("peer is the proxy", ws.remote_address[1] == proxy.port)
        await ws.close()
    target = f"127.0.0.1:{peer.port}"
    run.note("lines", [head[0] == f"CONNECT {target} HTTP/1.1" for head in proxy.heads])
    run.note("Host", [f"Host: {target}" in head for head in proxy.heads])
    secrets = [[line for line in head if line.startswith("Proxy-Auth")] for head in proxy.heads]
    run.note("credentials", secrets)


@scenario("connect.proxy")
async def proxies_that_refuse(run: Run) -> None:
    for answer in (
        b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 502 No\r\n\r\n",
        b"",
    ):
        proxy = await tunnel(run, answer=answer)
        await run.outcome(
            answer.decode(),
            run.connect("ws://127.0.0.1:9/", proxy=f"http://127.0.0.1:{proxy.port}"),
        )


@scenario("connect.proxy")
async def proxies_that_are_none(run: Run) -> None:
    for proxy in ("ftp://proxy:1", "proxy", "http://", "socks6://x:1"):

        async def attempt(proxy: str = proxy) -> None:
            await run.connect("ws://127.0.0.1:9/", proxy=proxy)

        await run.outcome(proxy, attempt())


@scenario("connect.proxy")
async def proxies_of_the_environment(run: Run) -> None:
    proxy = await tunnel(run)
    peer = await run.peer()
    environment = run.surroundings.setenv
    for name in ("http_proxy", "https_proxy"):
        environment(name, f"http://127.0.0.1:{proxy.port}")
    uri = peer.uri.replace("127.0.0.1", "localhost")
    ws = await run.connect(uri, proxy=True)
    await ws.send("x")
    await run.outcome("recv", ws.recv())
    run.note("through the proxy", len(proxy.heads))
    environment("no_proxy", "localhost")
    await run.connect(uri, proxy=True)
    run.note("no_proxy", len(proxy.heads))
    environment("no_proxy", "other.example")
    await run.connect(uri, proxy=None)
    run.note("None", len(proxy.heads))
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        environment(name, "")


@scenario("connect.proxy connect.proxy_ssl connect.proxy_server_hostname")
async def an_https_proxy(run: Run) -> None:
    certificates = run.surroundings.certificates
    proxy = await tunnel(run, tls=server_context(certificates))
    peer = await run.peer()
    for options in ({}, {"proxy_server_hostname": "localhost"}):
        ws = await run.connect(
            peer,
            proxy=f"https://127.0.0.1:{proxy.port}",
            proxy_ssl=run.own_context(),
            **options,
        )
        await ws.send("x")
        await run.outcome("recv", ws.recv())
        await ws.close()
    run.note("through the proxy", len(proxy.heads))


@scenario("connect.proxy_ssl_handshake_timeout connect.proxy_ssl_shutdown_timeout", flavors=ASYNCIO)
async def timeouts_of_an_https_proxy(run: Run) -> None:
    certificates = run.surroundings.certificates
    proxy = await tunnel(run, tls=server_context(certificates))
    ws = await run.open(
        proxy=f"https://127.0.0.1:{proxy.port}",
        proxy_ssl=run.own_context(),
        proxy_ssl_handshake_timeout=5,
        proxy_ssl_shutdown_timeout=1,
    )
    await ws.send("x")
    await run.outcome("recv", ws.recv())


@scenario("connect.proxy connect.ssl")
async def tls_through_a_proxy(run: Run) -> None:
    certificates = run.surroundings.certificates
    proxy = await tunnel(run)
    peer = await run.peer(tls=server_context(certificates))
    ws = await run.connect(peer, proxy=f"http://127.0.0.1:{proxy.port}", ssl=run.own_context())
    await ws.send("x")
    await run.outcome("recv", ws.recv())


async def part(session: Session) -> None:
    """
    Echo a message and close, in one record of TLS.

    websockets' blocking client asks only the socket whether there is more. Of TLS in TLS it takes
    one record then, and leaves what came with it until the socket has more, or close_timeout. So
    the next one, the end, has to wait until this one was read, which the client's Close says.
    """
    session.write(session.upgrade())
    fin, opcode, payload = await session.read()
    session.write(frame(opcode, payload, fin) + frame(CLOSE, b"\x03\xe8"))
    await session.wait_end()


@scenario("")
async def plain_contexts_for_proxies(run: Run) -> None:
    certificates = run.surroundings.certificates
    proxy = await tunnel(run, tls=server_context(certificates))
    context = plain_context(certificates.ca)
    for tls in (None, server_context(certificates)):
        peer = await run.peer(part, tls=tls)

        async def greet(peer: Any = peer, tls: Any = tls) -> Any:
            uri = f"https://127.0.0.1:{proxy.port}"
            options = {"ssl": context} if tls else {}
            ws = await run.connect(peer, proxy=uri, proxy_ssl=context, **options)
            await ws.send("x")
            answer = await ws.recv()
            await run.outcome("end", ws.recv())
            return answer

        await run.outcome("recv", greet())


@scenario("")
async def plain_contexts_and_proxies(run: Run) -> None:
    certificates = run.surroundings.certificates
    proxy = await tunnel(run)
    peer = await run.peer(tls=server_context(certificates))

    async def greet() -> Any:
        context = plain_context(certificates.ca)
        ws = await run.connect(peer, proxy=f"http://127.0.0.1:{proxy.port}", ssl=context)
        await ws.send("x")
        return await ws.recv()

    await run.outcome("recv", greet())


@scenario("connect.proxy")
async def socks_proxies(run: Run) -> None:
    for scheme in ("socks5", "socks5h", "socks4", "socks4a"):
        seen: list[bytes] = []

        async def refuses(session: Session, seen: list[bytes] = seen) -> None:
            reader = session.reader
            first = await reader.readexactly(1)
            if first == b"\x05":
                await reader.readexactly((await reader.readexactly(1))[0])
                session.write(b"\x05\x00")
                seen.append(await reader.readexactly(4))
                session.write(b"\x05\x05\x00\x01\0\0\0\0\0\0")
            else:
                seen.append(first + await reader.readexactly(1))
                session.write(b"\x00\x5b\0\0\0\0\0\0")
            await session.rest()

        peer = await run.peer(refuses, raw=True)
        proxy = f"{scheme}://127.0.0.1:{peer.port}"
        await run.outcome(scheme, run.connect("ws://localhost:9/", proxy=proxy))
        run.note("asked", seen[-1][:1])
