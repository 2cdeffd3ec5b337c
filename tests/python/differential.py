"""
The same stream for aiows and for the sans-I/O protocol of `websockets`.

A stream is what a peer sends behind the handshake, in pieces. `ours` sends it to a
connection over a socket, `theirs` feeds it to ServerProtocol or ClientProtocol, both up
to its end. DIFFERENCES is where the two may disagree, and why.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
import contextlib
import hashlib
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

import aiows

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = base64.b64encode(bytes(16))
TURNS = 2  # of the event loop between two pieces


@dataclass(frozen=True)
class Deflate:
    """How the peer compresses what it sends (RFC 7692)."""

    bits: int = 15
    forgets: bool = False

    def parameters(self, sender: str) -> bytes:
        text = f"permessage-deflate; {sender}_max_window_bits={self.bits}"
        return (text + f"; {sender}_no_context_takeover" * self.forgets).encode()


@dataclass(frozen=True)
class Stream:
    """What a peer sends: to a server or a client, which takes messages up to limit bytes."""

    to_server: bool
    octets: bytes
    cuts: tuple[int, ...] = ()
    limit: int = 1 << 20
    deflate: Deflate | None = None

    def pieces(self) -> list[bytes]:
        at = [0, *sorted({cut for cut in self.cuts if 0 < cut < len(self.octets)})]
        ends = [*at[1:], len(self.octets)]
        return [self.octets[a:b] for a, b in zip(at, ends, strict=True) if a < b]


@dataclass
class Outcome:
    """What an endpoint made of a stream."""

    messages: list[str | bytes] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    code: int | None = None  # of the Close frame that it sent, 1005 for an empty one
    rule: str = ""  # that the peer broke, in the endpoint's words


# ---------------------------------------------------------------- websockets


class Judge:
    """A protocol of websockets with the messages that its connections would put together."""

    outcome: Outcome

    def start(self, limit: int) -> None:
        self.outcome = Outcome()
        self._limit = limit
        self._size = 0
        self._text = codecs.getincrementaldecoder("utf-8")()
        self._parts: list[str | bytes] = []
        self._is_text = False

    def recv_frame(self, frame: Frame) -> None:
        super().recv_frame(frame)  # type: ignore[misc]
        if frame.opcode in CTRL_OPCODES:
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
            self._text.reset()
            self._parts = []
            self._size = 0
        data = bytes(frame.data)
        self._size += len(data)
        if self._size > self._limit:
            raise PayloadTooBig(self._size, self._limit)
        # UnicodeDecodeError fails the connection with 1007, as in a connection's recv.
        self._parts.append(self._text.decode(data, frame.fin) if self._is_text else data)
        if frame.fin:
            empty: str | bytes = "" if self._is_text else b""
            self.outcome.messages.append(empty.join(self._parts))  # type: ignore[arg-type]


class JudgeServer(Judge, ServerProtocol):
    pass


class JudgeClient(Judge, ClientProtocol):
    pass


class WholeMessages(PerMessageDeflate):
    """Inflates a message when it is whole."""

    payload: bytes | None = None
    opcode = Opcode.CONT

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        if frame.opcode in CTRL_OPCODES:
            return frame
        if frame.opcode is not Opcode.CONT:
            self.payload = b"" if frame.rsv1 else None
        if self.payload is None or (frame.rsv1 and frame.opcode is Opcode.CONT):
            return frame
        self.payload += bytes(frame.data)
        if not frame.fin:
            return replace(frame, data=b"", rsv1=False)
        payload, self.payload = self.payload, None
        whole = super().decode(Frame(Opcode.BINARY, payload, rsv1=True), max_size=max_size)
        return replace(frame, data=whole.data, rsv1=False)


def theirs(stream: Stream, own_limit: bool = True, whole: bool = False) -> Outcome:
    """
    Feed stream to websockets.

    Without own_limit only messages are limited, after their frames came; whole inflates
    them when they are.

    """
    logger = logging.getLogger("differential")
    limit = stream.limit if own_limit else None
    protocol: JudgeServer | JudgeClient
    if stream.to_server:
        protocol = JudgeServer(state=State.OPEN, max_size=limit, logger=logger)
    else:
        uri = parse_uri("ws://h/")
        protocol = JudgeClient(uri, state=State.OPEN, max_size=limit, logger=logger)
    protocol.start(stream.limit)
    if d := stream.deflate:
        kind = WholeMessages if whole else PerMessageDeflate
        protocol.extensions = [kind(d.forgets, False, d.bits, 15)]
    for piece in stream.pieces():
        protocol.receive_data(piece)
    protocol.receive_eof()
    written = b"".join(protocol.data_to_send())
    protocol.outcome.pongs, protocol.outcome.code = read_frames(written)
    protocol.outcome.rule = str(protocol.parser_exc or "")
    return protocol.outcome


# ---------------------------------------------------------------- aiows


def read_frames(octets: bytes) -> tuple[list[bytes], int | None]:
    """Return the payloads of Pong frames and the code of the Close frame."""
    pongs: list[bytes] = []
    code = None
    while octets:
        opcode, size, at = octets[0] & 15, octets[1] & 127, 2
        assert octets[0] & 0x80 and opcode >= 8 and size < 126, octets
        key = octets[at : at + 4] if octets[1] & 0x80 else b""
        at += len(key)
        payload = octets[at : at + size]
        payload = bytes(c ^ key[i % 4] for i, c in enumerate(payload)) if key else payload
        octets = octets[at + size :]
        assert code is None, "something follows the Close frame"
        if opcode == Opcode.PONG:
            pongs.append(payload)
        elif opcode == Opcode.CLOSE:
            code = struct.unpack("!H", payload[:2])[0] if payload else 1005
    return pongs, code


async def collect(connection: aiows.Connection, outcome: Outcome) -> None:
    try:
        while True:
            outcome.messages.append(await connection.recv())
    except aiows.ConnectionClosed as error:
        if error.__cause__ is not None:
            outcome.rule = str(error.__cause__)


class Endpoints:
    """Servers and clients of aiows in this event loop, for any number of streams."""

    def __init__(self) -> None:
        self._servers: dict[int, aiows.Server] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._waiting: asyncio.Queue[Outcome] = asyncio.Queue()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Endpoints:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        self._listener.close()

    async def _serve(self, connection: aiows.ServerConnection) -> None:
        outcome = Outcome()
        await collect(connection, outcome)
        self._waiting.put_nowait(outcome)

    async def _server(self, stream: Stream) -> int:
        if stream.limit not in self._servers:
            self._servers[stream.limit] = await self._stack.enter_async_context(
                aiows.serve(self._serve, "127.0.0.1", 0, ping_interval=None, max_size=stream.limit)
            )
        port: int = self._servers[stream.limit].sockets[0].getsockname()[1]
        return port

    async def ours(self, stream: Stream) -> Outcome:
        if stream.to_server:
            return await self._to_server(stream)
        return await self._to_client(stream)

    async def _to_server(self, stream: Stream) -> Outcome:
        loop = asyncio.get_running_loop()
        with socket.socket() as peer:
            peer.setblocking(False)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(peer, ("127.0.0.1", await self._server(stream)))
            await loop.sock_sendall(
                peer,
                b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: "
                + KEY
                + b"\r\nSec-WebSocket-Version: 13\r\n"
                + (extensions(d.parameters("client")) if (d := stream.deflate) else b"")
                + b"\r\n",
            )
            head, early = await read_head(peer)
            assert head.startswith(b"HTTP/1.1 101 "), head
            for word in d.parameters("client").split(b"; ") if d else ():
                assert word in head, head
            written = early + await exchange(peer, stream)
        outcome = await self._waiting.get()
        outcome.pongs, outcome.code = read_frames(written)
        return outcome

    async def _to_client(self, stream: Stream) -> Outcome:
        loop = asyncio.get_running_loop()
        outcome = Outcome()
        uri = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/"

        async def converse() -> None:
            connection = await aiows.connect(uri, ping_interval=None, max_size=stream.limit)
            await collect(connection, outcome)
            await connection.wait_closed()

        task = loop.create_task(converse())
        peer, _ = await loop.sock_accept(self._listener)
        with peer:
            peer.setblocking(False)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head, _ = await read_head(peer)
            key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
            await loop.sock_sendall(
                peer,
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                + accept
                + b"\r\n"
                + (extensions(d.parameters("server")) if (d := stream.deflate) else b"")
                + b"\r\n",
            )
            written = await exchange(peer, stream)
        await task
        outcome.pongs, outcome.code = read_frames(written)
        return outcome


def extensions(value: bytes) -> bytes:
    return b"Sec-WebSocket-Extensions: " + value + b"\r\n"


async def read_head(peer: socket.socket) -> tuple[bytes, bytes]:
    octets = b""
    while b"\r\n\r\n" not in octets:
        octets += await asyncio.get_running_loop().sock_recv(peer, 1 << 16)
    head, _, rest = octets.partition(b"\r\n\r\n")
    return head, rest


async def exchange(peer: socket.socket, stream: Stream) -> bytes:
    """Send the pieces and the end of the stream, return all that comes back."""
    loop = asyncio.get_running_loop()
    for piece in stream.pieces():
        await loop.sock_sendall(peer, piece)
        for _ in range(TURNS):
            await asyncio.sleep(0)
    with contextlib.suppress(OSError):  # the other end may have left
        peer.shutdown(socket.SHUT_WR)
    written = b""
    while octets := await loop.sock_recv(peer, 1 << 16):
        written += octets
    return written


# ---------------------------------------------------------------- differences


@dataclass(frozen=True)
class Difference:
    """A reason to disagree, when it applies, and a stream to show that it still does."""

    name: str
    reason: str
    applies: Callable[[Stream, Outcome, Outcome], bool]
    example: Stream
    # Octets after which aiows has to say the same, where it only waits for more.
    settles: int = 0


def among(some: list[bytes], every: list[bytes]) -> bool:
    """
    Tell whether some are among every, in their order.

    RFC 6455 5.5.3: the newest of several pings may be answered alone. aiows does so when
    its host is late and the watchdog reads.

    """
    left = iter(every)
    return all(pong in left for pong in some)


def is_prefix(short: Outcome, long: Outcome) -> bool:
    """Tell whether all that one endpoint did before it failed, the other did as well."""
    messages = long.messages[: len(short.messages)] == short.messages
    return messages and (among(short.pongs, long.pongs) or among(long.pongs, short.pongs))


def minimal_length(stream: Stream, a: Outcome, b: Outcome) -> bool:
    return a.code == 1002 and "shortest form" in a.rule and is_prefix(a, b)


def high_bit(stream: Stream, a: Outcome, b: Outcome) -> bool:
    return a.code == 1002 and "most significant bit" in a.rule and is_prefix(a, b)


def excused(stream: Stream, a: Outcome, b: Outcome, *but: str) -> bool:
    return same(a, b) or any(d.applies(stream, a, b) for d in DIFFERENCES if d.name not in but)


def header_before_size(stream: Stream, a: Outcome, b: Outcome) -> bool:
    if a.code != 1002 or b.code != 1009:
        return False
    more = theirs(stream, own_limit=False)
    return same(a, more) or any(d.applies(stream, a, more) for d in DIFFERENCES[:2])


def control_in_limit(stream: Stream, a: Outcome, b: Outcome) -> bool:
    if b.code != 1009:
        return False
    more = theirs(stream, own_limit=False)
    return excused(stream, a, more, "control frames have no part in the limit")


def whole_messages(stream: Stream, a: Outcome, b: Outcome) -> bool:
    if stream.deflate is None or b.code is None:
        return False
    more = theirs(stream, own_limit=False, whole=True)
    limits = "control frames have no part in the limit"
    return excused(stream, a, more, "whole messages are inflated", limits)


def bad_data(stream: Stream, a: Outcome, b: Outcome) -> bool:
    if a.code != 1007 or not a.rule.startswith("compressed message"):
        return False
    return (
        b.code == 1002 and "decompression failed" in b.rule and is_prefix(a, b) and is_prefix(b, a)
    )


def message_in_a_block(stream: Stream, a: Outcome, b: Outcome) -> bool:
    return a.code == 1007 and "ends inside a block" in a.rule and is_prefix(a, b)


def close_in_message(stream: Stream, a: Outcome, b: Outcome) -> bool:
    return b.rule == "incomplete fragmented message" and not a.rule and is_prefix(b, a)


def close_with_two_faults(stream: Stream, a: Outcome, b: Outcome) -> bool:
    return a.code == 1002 and b.code == 1007 and "close code" in a.rule and is_prefix(a, b)


def at_once(stream: Stream, a: Outcome, b: Outcome) -> bool:
    """Let the other one read on, in a stream that says no more than its last frame needs."""
    if b.code is not None or a.code is None or not a.rule or not is_prefix(a, b):
        return False
    longer = replace(stream, octets=stream.octets + bytes(1 << 17))
    return theirs(longer, own_limit=False, whole=True).code in (a.code, 1002, 1009, None)


def whole_header(stream: Stream, a: Outcome, b: Outcome) -> bool:
    return b.code == 1002 and a.code is None and is_prefix(a, b) and is_prefix(b, a)


DIFFERENCES = [
    Difference(
        "minimal length",
        "RFC 6455 5.2: the minimal number of bytes MUST be used; websockets takes longer ones",
        minimal_length,
        Stream(False, b"\x82\x7e\x00\x01x"),
    ),
    Difference(
        "high bit",
        "RFC 6455 5.2: the most significant bit MUST be 0; websockets reads a large length",
        high_bit,
        Stream(False, b"\x82\x7f\x80" + bytes(7)),
    ),
    Difference(
        "header before size",
        "a frame that breaks a rule and the limit: aiows judges the header first",
        header_before_size,
        Stream(False, b"\xb2\x0b" + bytes(11), limit=10),
    ),
    Difference(
        "control frames have no part in the limit",
        "RFC 6455 5.4: control frames are no part of a message; websockets counts them in",
        control_in_limit,
        Stream(False, b"\x89\x0b" + bytes(11), limit=10),
    ),
    Difference(
        "close inside a message",
        "RFC 6455 5.4: control frames MAY stand in the middle of a fragmented message, Close "
        "is one; websockets fails the connection",
        close_in_message,
        Stream(False, b"\x02\x01x\x88\x02\x03\xe8"),
    ),
    Difference(
        "close with two faults",
        "a code that may not be sent and a reason that is not UTF-8: aiows judges the code first",
        close_with_two_faults,
        Stream(False, b"\x88\x03\x00\x03\xe8"),
    ),
    Difference(
        "bad data",
        "RFC 7692 names no close code for what cannot be inflated: aiows says 1007, data that "
        "does not fit its type, websockets 1002",
        bad_data,
        Stream(False, b"\xc1\x01\x06", deflate=Deflate()),
    ),
    Difference(
        "a message that ends inside a block",
        "RFC 7692 7.2.1: a message is flushed to the border of a byte; websockets takes what "
        "it can inflate, and the rest with the next message",
        message_in_a_block,
        Stream(False, b"\xc2\x02\xf2\x48", deflate=Deflate()),
    ),
    Difference(
        "whole messages are inflated",
        "aiows inflates a message when its last frame came, websockets each frame: of an "
        "unfinished one it says more",
        whole_messages,
        Stream(False, b"\x41\x01\x06", deflate=Deflate()),
    ),
    Difference(
        "at once",
        "aiows fails at the octet that shows what is wrong, as RFC 6455 8.1 asks for text; "
        "websockets reads the whole frame first, whose end did not come",
        at_once,
        Stream(False, b"\x81\x05\xff"),
    ),
    Difference(
        "whole header",
        "reserved bits, masking and fragmentation are judged when the header is whole; "
        "websockets judges masking after two octets, and the end of the stream comes in between",
        whole_header,
        Stream(False, b"\x82\x81"),
        settles=12,
    ),
]


def same(a: Outcome, b: Outcome) -> bool:
    if a.pongs[-1:] != b.pongs[-1:] or not among(a.pongs, b.pongs):
        return False
    return (a.messages, a.code) == (b.messages, b.code)


async def explain(endpoints: Endpoints, stream: Stream) -> tuple[str | None, Outcome, Outcome]:
    """Return why the two differ, "" when they do not, None for no reason, and what they said."""
    a, b = await endpoints.ours(stream), theirs(stream)
    if same(a, b):
        return "", a, b
    found = next((d for d in DIFFERENCES if d.applies(stream, a, b)), None)
    if found and found.settles:
        later = replace(stream, octets=stream.octets + bytes(found.settles))
        if not same(await endpoints.ours(later), b):
            found = None
    return found.name if found else None, a, b
