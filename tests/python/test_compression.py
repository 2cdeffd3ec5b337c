"""permessage-deflate between aiows and `websockets`, both ways round."""

from __future__ import annotations

import asyncio
import json
import random
import re
import zlib
from typing import Any
from urllib.parse import quote

import pytest
from websockets.extensions import permessage_deflate as theirs

from aiows import (
    AioWebSocket,
    ConnectionClosedError,
    DuplicateParameter,
    HandShakeError,
    InvalidParameterName,
    InvalidParameterValue,
    NegotiationError,
    PayloadTooBig,
    ProtocolError,
    connect,
    serve,
)
from aiows.extensions import permessage_deflate as ours
from deflating import (
    BINARY,
    CONTINUATION,
    PING,
    TEXT,
    StrictDecoder,
    agreed,
    deflated,
    echo,
    frame,
    messages,
    raw_exchange,
    strict_inflation,  # noqa: F401
    trades,
    with_their_client,
    with_their_server,
)

PEERS = {"client": with_their_server, "server": with_their_client}
roles = pytest.mark.parametrize("role", PEERS)


def factories(role: str, **ours_: Any) -> dict[str, Any]:
    """Return the options of our side."""
    name = f"{role.capitalize()}PerMessageDeflateFactory"
    return {"extensions": [getattr(ours, name)(**ours_)]}


def other(role: str, **theirs_: Any) -> dict[str, Any]:
    """Return the options of the other side."""
    name = f"{'Server' if role == 'client' else 'Client'}PerMessageDeflateFactory"
    return {"extensions": [getattr(theirs, name)(**theirs_)]}


async def exchange(ws: Any, seed: int = 1) -> None:
    for message in messages(seed):
        await ws.send(message)
        assert await ws.recv() == message


def test_strict_decoder_notices_a_reference_beyond_the_window() -> None:
    text = trades(random.Random(1), 900)
    far = deflated((text + trades(random.Random(2), 900) + text).encode()) + b"\0\0\xff\xff"
    assert zlib.decompressobj(wbits=-9).decompress(far)
    with pytest.raises(zlib.error, match="distance too far back"):
        StrictDecoder(-9).decompress(far)


@roles
async def test_default(role: str) -> None:
    async with PEERS[role]({}, {}) as ws:
        assert (agreed(ws) or "").startswith("permessage-deflate")
        await exchange(ws)
    async with PEERS[role]({"compression": None}, {}) as ws:
        assert agreed(ws) is None
        await exchange(ws)
    async with PEERS[role]({}, {"compression": None}) as ws:
        assert agreed(ws) is None
        await exchange(ws)


@pytest.mark.usefixtures("strict_inflation")
@pytest.mark.parametrize("bits", range(8, 16))
@roles
async def test_windows(role: str, bits: int) -> None:
    # Nobody can be asked to limit what zlib deflates with to 8 bits.
    own = "client" if role == "client" else "server"
    peer = "server" if role == "client" else "client"
    asked = {f"{own}_max_window_bits": max(bits, 9), f"{peer}_max_window_bits": max(bits, 9)}
    if role == "client":
        # The server says how far our messages may refer back, 8 bits included.
        limits = {"client_max_window_bits": bits, "server_max_window_bits": max(bits, 9)}
        options = {"server_max_window_bits": max(bits, 9), "client_max_window_bits": True}
    else:
        limits = {"server_max_window_bits": bits, "client_max_window_bits": max(bits, 9)}
        options = asked
    async with PEERS[role](factories(role, **options), other(role, **limits)) as ws:
        value = agreed(ws) or ""
        assert f"{own}_max_window_bits={bits}" in value
        assert f"{peer}_max_window_bits={max(bits, 9)}" in value
        await exchange(ws, bits)


@pytest.mark.usefixtures("strict_inflation")
@pytest.mark.parametrize("where", ["ours", "theirs"])
@pytest.mark.parametrize("takeover", ["server", "client", "both"])
@roles
async def test_no_context_takeover(role: str, takeover: str, where: str) -> None:
    options: dict[str, Any] = {
        f"{name}_no_context_takeover": takeover in (name, "both") for name in ("server", "client")
    }
    sides = (options, {}) if where == "ours" else ({}, options)
    async with PEERS[role](factories(role, **sides[0]), other(role, **sides[1])) as ws:
        for name, value in options.items():
            assert value == (name in (agreed(ws) or ""))
        await exchange(ws)


async def sent_bytes(settings: dict[str, int], texts: list[str], **more: Any) -> int:
    options = factories("client", compress_settings=settings, **more)
    widest = other("client", server_max_window_bits=15, client_max_window_bits=15)
    async with with_their_server(options, widest) as ws:
        before: int = ws.stats_()["bytes_sent"]
        for text in texts:
            await ws.send(text)
            assert await ws.recv() == text
        after: int = ws.stats_()["bytes_sent"]
        return after - before


async def test_level() -> None:
    texts = [trades(random.Random(seed), 20_000) for seed in range(5)]
    sizes = {level: await sent_bytes({"level": level}, texts) for level in (-1, *range(1, 10))}
    assert max(sizes.values()) < 0.6 * sum(map(len, texts))
    assert sizes[9] < 0.97 * sizes[1]
    assert sizes[9] <= sizes[6] <= sizes[1]


async def test_history() -> None:
    texts = [trades(random.Random(seed), 200) for seed in range(100)]
    forgetful = await sent_bytes({}, texts, client_no_context_takeover=True)
    sizes = [await sent_bytes({"memLevel": level}, texts) for level in (1, 5, 7)]
    assert sizes[0] > sizes[1] > sizes[2]
    assert forgetful > sizes[1]


async def test_offers_in_order_of_preference() -> None:
    offers = [
        ours.ClientPerMessageDeflateFactory(True, True, 10, 11),
        ours.ClientPerMessageDeflateFactory(server_max_window_bits=9),
        ours.ClientPerMessageDeflateFactory(client_max_window_bits=None),
    ]
    async with with_their_server({"extensions": offers}, {}) as ws:
        assert ws.request.headers["Sec-WebSocket-Extensions"] == (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=10; client_max_window_bits=11, "
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits, "
            "permessage-deflate"
        )
        assert agreed(ws) == (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=10; client_max_window_bits=11"
        )
        await exchange(ws)


async def test_server_takes_the_first_offer_that_it_can_meet() -> None:
    required = ours.ServerPerMessageDeflateFactory(
        client_max_window_bits=10, require_client_max_window_bits=True
    )
    first = theirs.ClientPerMessageDeflateFactory(client_max_window_bits=None)
    second = theirs.ClientPerMessageDeflateFactory(
        server_no_context_takeover=True, client_max_window_bits=12
    )
    ours_ = {"extensions": [required]}
    async with with_their_client(ours_, {"extensions": [first, second]}) as ws:
        assert agreed(ws) == (
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=10"
        )
        await exchange(ws)
    async with with_their_client(ours_, {"extensions": [first]}) as ws:
        assert agreed(ws) is None
        await exchange(ws)
    # With another configuration after it, the same offer is met.
    ours_["extensions"].append(ours.ServerPerMessageDeflateFactory(server_max_window_bits=9))
    async with with_their_client(ours_, {"extensions": [first]}) as ws:
        assert agreed(ws) == "permessage-deflate; server_max_window_bits=9"
        await exchange(ws)


FACTORY = ours.ClientPerMessageDeflateFactory
DEFLATE = "permessage-deflate"


@pytest.mark.parametrize(
    ("value", "factory", "kind", "text"),
    [
        (f"{DEFLATE}; level=9", FACTORY(), InvalidParameterName, "level"),
        (f"{DEFLATE}; server_max_window_bits=7", FACTORY(), InvalidParameterValue, "'7'"),
        (f"{DEFLATE}; server_max_window_bits=08", FACTORY(), InvalidParameterValue, "'08'"),
        (f"{DEFLATE}; client_max_window_bits", FACTORY(), InvalidParameterValue, "needs a value"),
        (f"{DEFLATE}; client_no_context_takeover=1", FACTORY(), InvalidParameterValue, "'1'"),
        (
            f"{DEFLATE}; server_no_context_takeover; server_no_context_takeover",
            FACTORY(),
            DuplicateParameter,
            "server_no_context_takeover",
        ),
        (f"{DEFLATE}, {DEFLATE}", FACTORY(), NegotiationError, "more than once"),
        (f"{DEFLATE}, x-other", FACTORY(), NegotiationError, "x-other"),
        (
            f"{DEFLATE}; client_max_window_bits=9",
            FACTORY(client_max_window_bits=None),
            NegotiationError,
            "client_max_window_bits",
        ),
        (
            f"{DEFLATE}; client_max_window_bits=12",
            FACTORY(client_max_window_bits=11),
            NegotiationError,
            "12, offered 11",
        ),
        (
            DEFLATE,
            FACTORY(server_max_window_bits=11),
            NegotiationError,
            "server_max_window_bits.*offered 11",
        ),
        (
            DEFLATE,
            FACTORY(server_no_context_takeover=True),
            NegotiationError,
            "server_no_context_takeover",
        ),
        (DEFLATE, None, NegotiationError, DEFLATE),
    ],
)
@pytest.mark.parametrize("client", [connect, AioWebSocket])
async def test_answers_that_the_client_refuses(
    client: Any, value: str, factory: Any, kind: type[Exception], text: str, raw_server: Any
) -> None:
    options = {"compression": None} if factory is None else {"extensions": [factory]}
    uri = raw_server.uri(f"/extension?{quote(value)}")
    with pytest.raises(kind, match=text) as caught:
        async with client(uri, **options):
            pass
    if client is AioWebSocket:
        assert isinstance(caught.value, HandShakeError)
    else:
        assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (f"{DEFLATE}; level=9", None),
        (f"{DEFLATE}; server_max_window_bits=16", None),
        (f"{DEFLATE}; server_max_window_bits", None),
        (f"{DEFLATE}; client_max_window_bits; client_max_window_bits", None),
        ("x-other", None),
        (f"x-other, {DEFLATE}; level=9, {DEFLATE}", DEFLATE),
        (f'{DEFLATE}; server_max_window_bits="10"', f"{DEFLATE}; server_max_window_bits=10"),
    ],
)
async def test_offers_that_the_server_declines(value: str, status: str | None) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(upgrade(value))
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 101 ")
        found = re.findall(r"(?i)^sec-websocket-extensions: (.*)\r$", head, re.MULTILINE)
        assert found == ([] if status is None else [status])
        writer.transport.abort()


@pytest.mark.parametrize("value", [";;", f"{DEFLATE};", f"{DEFLATE}; =1", f'{DEFLATE}; a="'])
async def test_offers_that_are_malformed(value: str) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(upgrade(value))
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        writer.transport.abort()


def upgrade(extensions: str) -> bytes:
    return (
        "GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: {extensions}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_pasted_field_is_the_offer(compression: str | None) -> None:
    pasted = "permessage-deflate; server_no_context_takeover; client_max_window_bits=9"
    options = {"additional_headers": {"Sec-WebSocket-Extensions": pasted}}
    async with with_their_server({"compression": compression, **options}, {}) as ws:
        assert ws.request.headers.get_all("Sec-WebSocket-Extensions") == [pasted]
        assert "server_no_context_takeover" in (agreed(ws) or "")
        assert "client_max_window_bits=9" in (agreed(ws) or "")
        await exchange(ws)


async def test_pasted_line_is_the_offer() -> None:
    compressed = {"server_no_context_takeover": True}
    async with serve(echo, "127.0.0.1", 0, **factories("server", **compressed)) as server:
        lines = [
            "GET / HTTP/1.1",
            "Host: example.com",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        ]
        async with AioWebSocket(f"ws://127.0.0.1:{server.port}/", lines) as aws:
            connection = aws.manipulator.connection
            assert agreed(connection) == "permessage-deflate; server_no_context_takeover"
            for text in [trades(random.Random(seed), 5000) for seed in range(3)]:
                await aws.manipulator.send(text)
                assert await aws.manipulator.receive() == text.encode()
            assert connection.stats_()["bytes_sent"] < 3 * 4000


async def test_aiowebsocket_is_plain_unless_told() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        async with AioWebSocket(uri) as aws:
            assert agreed(aws.manipulator.connection) is None
        async with AioWebSocket(uri, compression="deflate") as aws:
            assert (agreed(aws.manipulator.connection) or "").startswith("permessage-deflate")
            await aws.manipulator.send("x" * 5000)
            assert await aws.manipulator.receive() == b"x" * 5000


async def test_both_sides_are_ours() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}/") as ws:
            (theirs_,) = server.connections
            assert agreed(ws) == agreed(theirs_) == "permessage-deflate"
            await exchange(ws)
            stats = ws.stats_()
            sent = sum(map(len, messages()))
            assert stats["bytes_sent"] < 0.5 * sent
            assert theirs_.stats_()["bytes_sent"] < 0.5 * sent


@pytest.mark.parametrize("count", [1, 3, 50])
@roles
async def test_fragments(role: str, count: int) -> None:
    text = trades(random.Random(count), 30_000)
    parts = [text[start : start + 30_000 // count] for start in range(0, 30_000, 30_000 // count)]
    parts.insert(1, "")

    async def ours_sends(ws: Any) -> None:
        for part in parts:
            ws.send_fragment(TEXT, False, part)
        ws.send_fragment(TEXT, True, "")
        ws.send_fragment(BINARY, True, bytes(1000))
        await ws.send("after")

    async def theirs_sends(ws: Any) -> None:
        for message in (parts, [bytes(1000)], "after"):
            await ws.send(message)

    # ws is ours as a client, theirs where we are the server; handlers run at the other end.
    at_ws, at_server = ours_sends, theirs_sends
    if role == "server":
        at_ws, at_server = at_server, at_ws
    expected = [text, bytes(1000), "after"]
    async with PEERS[role]({}, {}) as ws:
        await at_ws(ws)
        assert [await ws.recv() for _ in range(3)] == expected
    async with PEERS[role]({}, {}, at_server) as ws:
        assert [await ws.recv() for _ in range(3)] == expected


@roles
async def test_frames_by_hand(role: str) -> None:
    whole = trades(random.Random(3), 5000)
    payload = deflated(whole.encode())
    pieces = [payload[at : at + 700] for at in range(0, len(payload), 700)]
    received, _ = await raw_exchange(
        role,
        # One message in many frames, cut anywhere, with a Ping between.
        frame(TEXT, pieces[0], fin=False),
        frame(PING, b"", compressed=False),
        *(frame(CONTINUATION, piece, fin=False, compressed=False) for piece in pieces[1:]),
        frame(CONTINUATION, b"", compressed=False),
        # Plain messages may come between compressed ones (RFC 7692 section 6).
        frame(TEXT, b"plain", compressed=False),
        frame(BINARY, deflated(b"")),
        # A block that says it is the last one (section 7.2.3.4), and no block at all.
        frame(TEXT, zlib.compress(b"final", wbits=-15) + b"\0"),
        frame(TEXT, b"\0"),
        frame(8, b"\x03\xe8", compressed=False),
    )
    assert received == [whole, "plain", b"", "final", ""]


@pytest.mark.parametrize("limit", [1, 125, 4096, 65536, 1 << 20])
@pytest.mark.parametrize("kind", ["zeros", "random", "fragments"])
@roles
async def test_max_size(role: str, kind: str, limit: int) -> None:
    def made(size: int) -> list[bytes]:
        data = random.Random(size).randbytes(size) if kind == "random" else bytes(size)
        payload = deflated(data)
        if kind != "fragments":
            return [frame(BINARY, payload)]
        middle = len(payload) // 2
        return [
            frame(BINARY, payload[:middle], fin=False),
            frame(CONTINUATION, payload[middle:], compressed=False),
        ]

    received, error = await raw_exchange(
        role, *made(limit), *made(limit), *made(limit + 1), max_size=limit
    )
    assert [len(message) for message in received] == [limit, limit]
    assert isinstance(error, ConnectionClosedError)
    assert error.sent is not None and error.sent.code == 1009
    assert isinstance(error.__cause__, PayloadTooBig)


CORRUPT = {
    "reserved block": b"\x06\x00",
    "stored length": b"\x00\x05\x00\x00\x00hello",
    "beyond the beginning": deflated(b"abcabcabcabcabcabc" * 9)[3:],
    "random": random.Random(5).randbytes(500),
}


@pytest.mark.parametrize("kind", CORRUPT)
@roles
async def test_corrupt_data(role: str, kind: str) -> None:
    received, error = await raw_exchange(
        role, frame(TEXT, deflated(b"before")), frame(BINARY, CORRUPT[kind]), frame(TEXT, b"\0")
    )
    assert received == ["before"]
    assert isinstance(error, ConnectionClosedError)
    assert error.sent is not None and error.sent.code == 1007
    assert isinstance(error.__cause__, ProtocolError)


@pytest.mark.parametrize("text", [b"\xff", b"a" * 5000 + b"\xc3", b"\xed\xa0\x80", b"\xc3("])
@roles
async def test_invalid_utf8(role: str, text: bytes) -> None:
    received, error = await raw_exchange(
        role, frame(BINARY, deflated(text)), frame(TEXT, deflated(text))
    )
    assert received == [text]
    assert isinstance(error, ConnectionClosedError)
    assert error.sent is not None and error.sent.code == 1007


@pytest.mark.parametrize(
    "frames",
    [
        [frame(PING, b"x")],
        [frame(8, b"\x03\xe8")],
        [frame(TEXT, b"\0", fin=False), frame(CONTINUATION, b"")],
        [frame(TEXT, b"", fin=False, compressed=False), frame(CONTINUATION, b"\0")],
    ],
    ids=["ping", "close", "compressed", "plain"],
)
@roles
async def test_reserved_bit_where_it_may_not_be(role: str, frames: list[bytes]) -> None:
    received, error = await raw_exchange(role, *frames)
    assert received == []
    assert isinstance(error, ConnectionClosedError)
    assert error.sent is not None and error.sent.code == 1002


@roles
async def test_reserved_bit_without_agreement(role: str) -> None:
    received, error = await raw_exchange(role, frame(TEXT, deflated(b"x")), compression=None)
    assert received == []
    assert isinstance(error, ConnectionClosedError)
    assert error.sent is not None and error.sent.code == 1002


@roles
async def test_many_senders(role: str) -> None:
    tasks, each = 50, 20

    async def sender(ws: Any, number: int) -> None:
        random_ = random.Random(number)
        for index in range(each):
            await ws.send(json.dumps([number, index, trades(random_, random_.randrange(3000))]))
            if random_.random() < 0.2:
                await asyncio.sleep(0)

    async def check(ws: Any) -> None:
        seen = dict.fromkeys(range(tasks), 0)
        expected = {number: random.Random(number) for number in seen}
        for _ in range(tasks * each):
            number, index, text = json.loads(await ws.recv())
            assert index == seen[number]
            seen[number] += 1
            random_ = expected[number]
            assert text == trades(random_, random_.randrange(3000))
            random_.random()

    async def all_senders(ws: Any) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(tasks):
                group.create_task(sender(ws, number))

    if role == "client":
        async with with_their_server({}, {}) as ws, asyncio.TaskGroup() as group:
            group.create_task(check(ws))
            await all_senders(ws)
    else:
        async with with_their_client({}, {}, all_senders) as ws:
            await check(ws)


async def test_cancelled_sends() -> None:
    # A send that waits for room has been queued: it arrives, and what follows does too.
    texts = [f"{number} {random.Random(number).randbytes(80_000).hex()}" for number in range(40)]
    reading = asyncio.Event()
    expected = [*texts, "last"]

    async def reads_late(ws: Any) -> None:
        await reading.wait()
        assert [await ws.recv() for _ in expected] == expected
        await ws.send("all")

    async with with_their_server({"write_limit": 1000}, {"max_queue": 1}, reads_late) as ws:
        cancelled = 0
        for text in texts:
            task = asyncio.ensure_future(ws.send(text))
            await asyncio.sleep(0)
            cancelled += task.cancel()
            await asyncio.wait([task])
        reading.set()
        assert cancelled
        await ws.send("last")
        assert await ws.recv() == "all"


@pytest.mark.parametrize("role", ["client", "server"])
async def test_peers_that_never_compress(role: str) -> None:
    # What is agreed on binds nobody to compress.
    received, _ = await raw_exchange(
        role,
        *(frame(TEXT, text.encode(), compressed=False) for text in ("a", "", "b" * 70_000)),
        frame(8, b"\x03\xe8", compressed=False),
    )
    assert received == ["a", "", "b" * 70_000]


def parameters(value: str) -> set[str]:
    return set(re.split(r"\s*;\s*", value))


@pytest.mark.parametrize("server", [None, 9, 15])
@pytest.mark.parametrize("client", [None, 9, 15])
async def test_our_client_and_our_server(server: int | None, client: int | None) -> None:
    ours_ = factories("server", server_max_window_bits=server)
    asked = factories("client", server_max_window_bits=client)
    async with serve(echo, "127.0.0.1", 0, **ours_) as running:
        async with connect(f"ws://127.0.0.1:{running.port}/", **asked) as ws:
            limit = min(filter(None, (server, client)), default=None)
            expected = {"permessage-deflate"}
            if limit is not None:
                expected.add(f"server_max_window_bits={limit}")
            assert parameters(agreed(ws) or "") == expected
            await exchange(ws)
