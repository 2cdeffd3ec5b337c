"""Random streams, valid and damaged, cut anywhere: aiows and `websockets` make the same of them."""

from __future__ import annotations

import asyncio
import os
import zlib
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from differential import DIFFERENCES, Deflate, Difference, Endpoints, Stream, explain

EXAMPLES = int(os.environ.get("AIOWS_DIFFERENTIAL", "400"))
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

texts = st.text(max_size=40).map(lambda s: s.encode("utf-8", "surrogatepass"))
payloads = st.one_of(texts, st.binary(max_size=40), st.sampled_from([125, 126, 300]).map(bytes))
codes = st.sampled_from([1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 3000])
reasons = st.one_of(st.just(b""), texts.map(lambda b: b[:123]))


def frame(opcode: int, payload: bytes, fin: bool, key: bytes | None, rsv: int = 0) -> bytes:
    size = len(payload)
    mask = 0x80 if key else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    head += bytes([mask | size]) if size < 126 else bytes([mask | 126]) + size.to_bytes(2, "big")
    if key is None:
        return head + payload
    return head + key + bytes(c ^ key[i % 4] for i, c in enumerate(payload))


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Draw messages whole and in fragments, control frames between them, and some damage."""
    to_server = draw(st.booleans())
    deflate = draw(st.one_of(st.none(), st.builds(Deflate, st.integers(9, 15), st.booleans())))
    octets = b""
    compressor = zlib.compressobj(wbits=-deflate.bits) if deflate else None

    def pack(payload: bytes) -> bytes:
        nonlocal compressor
        assert deflate is not None
        if deflate.forgets or compressor is None:
            compressor = zlib.compressobj(draw(st.sampled_from([0, 1, 9])), wbits=-deflate.bits)
        return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def put(opcode: int, payload: bytes, fin: bool = True, rsv: int = 0) -> None:
        nonlocal octets
        key = draw(st.binary(min_size=4, max_size=4)) if to_server else None
        octets += frame(opcode, payload, fin, key, rsv)

    def control() -> None:
        opcode = draw(st.sampled_from([PING, PONG, PING, PONG, CLOSE]))
        if opcode == CLOSE:
            put(opcode, draw(st.one_of(st.just(b""), close_bodies())))
        else:
            put(opcode, draw(payloads)[:125])

    for _ in range(draw(st.integers(1, 5))):
        if draw(st.integers(0, 3)) == 0:
            control()
            continue
        opcode = draw(st.sampled_from([TEXT, TEXT, BINARY]))
        payload = draw(payloads if opcode == BINARY else st.one_of(texts, texts, payloads))
        packed = deflate is not None and draw(st.integers(0, 3)) > 0
        if packed:
            payload = pack(payload)
        cuts = draw(st.lists(st.integers(0, len(payload)), max_size=3).map(sorted))
        parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        for i, part in enumerate(parts):
            rsv = 4 if packed and i == 0 else 0
            put(opcode if i == 0 else 0, part, i == len(parts) - 1, rsv)
            if i < len(parts) - 1 and draw(st.integers(0, 5)) == 0:
                control()
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        octets = draw(damaged(octets))
    cuts = tuple(draw(st.lists(st.integers(1, max(1, len(octets) - 1)), max_size=5)))
    limit = draw(st.sampled_from([1 << 20, 1 << 20, 60]))
    return Stream(to_server, octets, cuts, limit, deflate)


@st.composite
def close_bodies(draw: st.DrawFn) -> bytes:
    return draw(codes).to_bytes(2, "big") + draw(reasons)


@st.composite
def damaged(draw: st.DrawFn, octets: bytes) -> bytes:
    at = draw(st.integers(0, len(octets)))
    kind = draw(st.integers(0, 3))
    if kind == 0 and at < len(octets):  # flip a bit
        return octets[:at] + bytes([octets[at] ^ 1 << draw(st.integers(0, 7))]) + octets[at + 1 :]
    if kind == 1:  # insert
        return octets[:at] + draw(st.binary(min_size=1, max_size=3)) + octets[at:]
    if kind == 2:  # delete
        return octets[:at] + octets[at + draw(st.integers(1, 3)) :]
    return octets[:at]  # the end comes too early


@pytest.mark.once
def test_same_as_websockets() -> None:
    seen: Counter[str] = Counter()
    with asyncio.Runner() as runner:
        endpoints = runner.run(enter())

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            # `make test` gives the same streams each time, `make differential` others.
            derandomize="AIOWS_DIFFERENTIAL" not in os.environ,
            suppress_health_check=list(HealthCheck),
        )
        @given(streams())
        def same(stream: Stream) -> None:
            why, ours, theirs = runner.run(explain(endpoints, stream))
            note(f"aiows: {ours}\nwebsockets: {theirs}")
            assert why is not None
            seen[why] += 1

        try:
            same()
        finally:
            runner.run(endpoints.__aexit__())
    print({name or "the same": count for name, count in seen.items()})
    assert seen[""] > EXAMPLES / 2


async def enter() -> Endpoints:
    return await Endpoints().__aenter__()


@pytest.mark.once
@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda d: d.name)
async def test_differences_are_still_there(difference: Difference) -> None:
    """What is listed and no longer differs has to leave the list."""
    async with Endpoints() as endpoints:
        why, ours, theirs = await explain(endpoints, difference.example)
    assert why == difference.name, (ours, theirs)
