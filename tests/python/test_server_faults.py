"""What no client library sends: our server ends that connection, and only that one."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
from collections.abc import Iterator
from typing import Self
from urllib.parse import quote

import pytest
from clients.launch import HANG_S
from servers.launch import ServerProcess

from matrix import LOOPS
from scripted import BINARY, CLOSE, GUID, PING, TEXT

CONTINUATION = 0
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10
MAX_SIZE = 32 << 20  # of tests/servers/aiows_server.py
KEY = base64.b64encode(bytes(range(16)))
MASK = bytes.fromhex("a1b2c3d4")


def frame(
    opcode: int, payload: bytes, *, fin: bool = True, reserved: int = 0, mask: bool = True
) -> bytes:
    """Return a frame as a client sends it, or with what is wrong (RFC 6455 section 5.2)."""
    size = len(payload)
    short = size if size < 126 else 126
    head = bytes([fin << 7 | reserved | opcode, mask << 7 | short])
    if short == 126:
        head += size.to_bytes(2, "big")
    if not mask:
        return head + payload
    return head + MASK + bytes(octet ^ MASK[n % 4] for n, octet in enumerate(payload))


def length_only(opcode: int, size: int) -> bytes:
    """Return the beginning of a frame of that size."""
    return bytes([0x80 | opcode, 0xFF]) + size.to_bytes(8, "big") + MASK


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


class RawClient:
    """A connection as a context manager: the handshake is done, the octets are the test's."""

    def __init__(self, server: ServerProcess, target: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), HANG_S)
        self._stream = self._socket.makefile("rb")
        self.send(
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n".encode()
            + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            + b"Sec-WebSocket-Key: "
            + KEY
            + b"\r\n\r\n"
        )
        head = b"".join(iter(self._stream.readline, b"\r\n"))
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert base64.b64encode(hashlib.sha1(KEY + GUID).digest()) in head

    def send(self, octets: bytes) -> None:
        self._socket.sendall(octets)

    def frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the server's next frame, a short one."""
        first, size = self._stream.read(2)
        assert first & 0xF0 == 0x80 and size < 126, (first, size)
        return first & 0x0F, self._stream.read(size)

    def rest(self) -> bytes:
        """Return what comes until the end of the stream."""
        return self._stream.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._socket.close()


@pytest.fixture(scope="module", params=LOOPS)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with ServerProcess("aiows_server", "--loop", request.param) as running:
        yield running


@pytest.fixture(scope="module")
def bystander(server: ServerProcess) -> Iterator[RawClient]:
    """Return a connection that was there before every fault of this module."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(RawClient(server, "/echo?bystander"))


PART = frame(TEXT, b"part", fin=False)
FAULTS = {
    "unmasked": (frame(TEXT, b"hi", mask=False), 1002),
    "unmasked-close": (frame(CLOSE, b"\x03\xe8", mask=False), 1002),
    "opcode-3": (frame(3, b"hi"), 1002),
    "opcode-7": (frame(7, b""), 1002),
    "opcode-11": (frame(11, b"hi"), 1002),
    "opcode-15": (frame(15, b""), 1002),
    "rsv1": (frame(TEXT, b"hi", reserved=RSV1), 1002),
    "rsv2": (frame(BINARY, b"hi", reserved=RSV2), 1002),
    "rsv3": (frame(PING, b"hi", reserved=RSV3), 1002),
    "rsv1-of-continuation": (PART + frame(CONTINUATION, b"hi", reserved=RSV1), 1002),
    "fragmented-ping": (frame(PING, b"hi", fin=False), 1002),
    "fragmented-close": (frame(CLOSE, b"\x03\xe8", fin=False), 1002),
    "long-ping": (frame(PING, bytes(126)), 1002),
    "long-close": (close(1000, b"r" * 124), 1002),
    "continuation-first": (frame(CONTINUATION, b"hi"), 1002),
    "continuation-after-the-end": (PART + frame(CONTINUATION, b"") * 2, 1002),
    "text-within-a-message": (PART + frame(TEXT, b"hi"), 1002),
    "length-not-minimal": (b"\x82\xfe\x00\x02" + MASK + b"hi", 1002),
    "length-of-64-bits": (length_only(BINARY, 1 << 63), 1002),
    "close-of-one-octet": (frame(CLOSE, b"\x03"), 1002),
    **{
        f"close-{code}": (close(code), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    },
    "close-reason-no-utf-8": (close(1000, b"\xc3\x28"), 1007),
    "no-utf-8": (frame(TEXT, b"\xc3\x28"), 1007),
    "surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "utf-8-without-its-end": (frame(TEXT, b"\xe2\x82"), 1007),
    # The first octets are wrong already, whatever comes (RFC 6455 section 8.1).
    "no-utf-8-in-the-first-part": (frame(TEXT, b"\xf5", fin=False), 1007),
    "too-big": (length_only(BINARY, MAX_SIZE + 1), 1009),
    "too-big-in-parts": (PART + length_only(CONTINUATION, MAX_SIZE), 1009),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault(name: str, server: ServerProcess, bystander: RawClient) -> None:
    octets, code = FAULTS[name]
    target = f"/echo?fault={name}"
    with RawClient(server, target) as client:
        client.send(frame(TEXT, b"before"))
        assert client.frame() == (TEXT, b"before")
        client.send(octets)
        opcode, payload = client.frame()
        # A message that is complete before the fault may be answered.
        if name == "continuation-after-the-end" and opcode == TEXT:
            assert payload == b"part"
            opcode, payload = client.frame()
        rest = client.rest()
    # The reason is for people to read, so any will do.
    assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, code)
    assert payload[2:].decode()
    assert rest == b""
    bystander.send(frame(TEXT, name.encode()))
    assert bystander.frame() == (TEXT, name.encode())
    # The handler has ended too, and saw no Close frame (RFC 6455 section 7.1.5).
    with RawClient(server, f"/ended?target={quote(target)}") as asking:
        opcode, payload = asking.frame()
        ((seen_code, _),) = json.loads(payload)
        assert (opcode, seen_code) == (TEXT, 1006)
