"""
A server that writes octets itself, for what no library would send.

Paths
    /echo            every message comes back
    /bytes           a binary message with the octets of the request, then as /echo
    /frames          each data frame is answered with JSON: fin, opcode, masked, payload (hex)
    /together        the 101 and three frames in one segment, then as /echo
    /pong            a Pong that nobody asked for, the text "after", then as /echo
    /stall           nothing is read after the handshake
    /deaf            frames are read and not answered, Close and Ping included
    /flood?KIND      nothing is read after the handshake, and KIND is sent without end: messages,
                     pings, fragments, or slow (a message that does not get done)
    /close-open      a Close (1001), and the connection stays open
    /phrase          the 101 has another phrase
    /silence         no answer to the request
    /eof             the connection ends before an answer
    /garbage         the answer is no HTTP
    /long-line /long-field /many-fields /long-head
                     the answer exceeds a limit
    /no-upgrade /no-connection /no-accept /bad-accept /subprotocol /extension
    /two-accepts /bad-extension
                     the 101 is wrong in that way; /extension?VALUE has VALUE as its extensions
    /reserved-bits /masked /reserved-opcode /bad-utf8 /fragmented-ping /bad-close-code
    /one-byte-close /lone-continuation
                     the 101 is followed by a frame that is wrong in that way
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from urllib.parse import unquote

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WRONG_FRAMES = {
    "/reserved-bits": b"\xc1\x02hi",
    "/masked": b"\x81\x82\0\0\0\0hi",
    "/reserved-opcode": b"\x83\x00",
    "/bad-utf8": b"\x81\x02\xc3\x28",
    "/fragmented-ping": b"\x09\x00",
    "/bad-close-code": b"\x88\x02\x03\xed",
    "/one-byte-close": b"\x88\x01\x03",
    "/lone-continuation": b"\x80\x00",
}


def frame(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 1 << 16:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes([(0x80 if fin else 0) | opcode]) + length + payload


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bool, int, bool, bytes]]:
    """Yield fin, opcode, whether it was masked, and the payload."""
    while True:
        try:
            first, second = await reader.readexactly(2)
            size = second & 0x7F
            if size > 125:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
            masked = bool(second & 0x80)
            key = await reader.readexactly(4) if masked else bytes(4)
            payload = await reader.readexactly(size)
        except asyncio.IncompleteReadError:
            return
        whole = (key * (size // 4 + 1))[:size]
        plain = int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")
        yield bool(first & 0x80), first & 0x0F, masked, plain.to_bytes(size, "big")


def answer(path: str, head: bytes, extensions: str) -> bytes:
    fields = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    digest = hashlib.sha1(fields.get(b"sec-websocket-key", b"") + GUID).digest()
    lines = {
        "": b"HTTP/1.1 101 Switching Protocols",
        "upgrade": b"Upgrade: websocket",
        "connection": b"Connection: Upgrade",
        "accept": b"Sec-WebSocket-Accept: " + base64.b64encode(digest),
    }
    if path == "/phrase":
        lines[""] = b"HTTP/1.1 101 Web Socket Protocol Handshake"
    elif path.startswith("/no-") and path[4:] in lines:
        del lines[path[4:]]
    elif path == "/bad-accept":
        lines["accept"] = b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="
    elif path == "/subprotocol":
        lines["subprotocol"] = b"Sec-WebSocket-Protocol: never-offered"
    elif path == "/extension":
        lines["extension"] = b"Sec-WebSocket-Extensions: " + extensions.encode()
    elif path == "/two-accepts":
        lines["again"] = lines["accept"]
    elif path == "/bad-extension":
        lines["extension"] = b"Sec-WebSocket-Extensions: ;;"
    elif path == "/long-line":
        lines[""] += b"x" * 9000
    elif path == "/long-field":
        lines["long"] = b"X: " + b"x" * 9000
    elif path == "/many-fields":
        lines["many"] = b"\r\n".join([b"X: 1"] * 200)
    elif path == "/long-head":
        lines["many"] = b"\r\n".join([b"X: " + b"x" * 8000] * 20)
    elif path == "/garbage":
        return b"SSH-2.0-OpenSSH_9.2\r\n\r\n"
    return b"\r\n".join(lines.values()) + b"\r\n\r\n"


async def flood(writer: asyncio.StreamWriter, kind: str) -> None:
    if kind == "slow":
        writer.write(b"\x82\x7f" + (1 << 25).to_bytes(8, "big"))
    pieces = {
        "messages": frame(1, b"x" * 100) * 1000,
        "pings": frame(9, b"x" * 100) * 1000,
        "fragments": frame(0, b"x", fin=False) * 10000,
        "slow": b"x" * 1000,
    }
    if kind == "fragments":
        writer.write(frame(2, b"x", fin=False))
    while True:
        writer.write(pieces[kind])
        await writer.drain()
        await asyncio.sleep(0.01 if kind == "slow" else 0)


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    path, _, query = head.split(b" ", 2)[1].decode().partition("?")
    if path == "/eof":
        return
    if path == "/silence":
        await reader.read()
        return
    first = answer(path, head, unquote(query)) + WRONG_FRAMES.get(path, b"")
    if path == "/together":
        first += frame(1, b"one") + frame(2, b"two") + frame(1, b"three")
    elif path == "/pong":
        first += frame(10, b"unasked") + frame(1, b"after")
    elif path == "/bytes":
        first += frame(2, head)
    elif path == "/close-open":
        first += frame(8, b"\x03\xe9away")
    writer.write(first)
    await writer.drain()
    if path == "/flood":
        await flood(writer, query)
    if path == "/stall":
        await asyncio.sleep(3600)
    async for fin, opcode, masked, payload in frames(reader):
        if path == "/deaf" or (path == "/close-open" and opcode == 8):
            continue
        if opcode == 8:
            writer.write(frame(8, payload))
            return
        if opcode == 9:
            writer.write(frame(10, payload))
        elif path == "/frames" and opcode < 8:
            seen = {"fin": fin, "opcode": opcode, "masked": masked, "payload": payload.hex()}
            writer.write(frame(1, json.dumps(seen).encode()))
        elif opcode < 8:
            writer.write(frame(opcode, payload, fin))
        await writer.drain()


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        await serve_one(reader, writer)
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    options = parser.parse_args()
    context = None
    if options.cert is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
    server = await asyncio.start_server(
        handle, "127.0.0.1", options.port, ssl=context, limit=1 << 20
    )
    print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


asyncio.run(main())
