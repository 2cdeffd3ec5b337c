"""The end that plays golden vectors to a program; README.md says what the program prints."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import queue
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .vectors import Frames, Head, read_frames, read_heads, shown

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = base64.b64encode(b"sixteen octets!!")
CUTS = ("whole", "halves", "octets")
# Far above what anything takes: it only ends what hangs.
HANG_S = 60.0


def accept_value(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


def pieces(octets: bytes, cut: str) -> Iterator[bytes]:
    match cut:
        case "whole":
            yield octets
        case "halves":
            yield octets[: len(octets) // 2]
            yield octets[len(octets) // 2 :]
        case "octets":  # of the front: the rest of a long vector follows in one piece
            for i in range(min(len(octets), 100)):
                yield octets[i : i + 1]
            yield octets[100:]


class Program:
    """A replaying program, as a context manager; role is connect or serve."""

    def __init__(self, command: Sequence[str | Path], role: str, sees_control: bool) -> None:
        self.sees_control = sees_control
        self._command = [*map(str, command), role]
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._listener: socket.socket | None = None
        self._ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        # Read all the time: a program that waits for room in the pipe reads no socket.
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if self._command[-1] == "connect":
            self._listener = socket.create_server(("127.0.0.1", 0))
            self._listener.settimeout(HANG_S)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()  # which ends a program of either role
        try:
            status = process.wait(HANG_S if exc_type is None else 1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        self._reader.join()
        process.stdout.close()
        if self._listener is not None:
            self._listener.close()
        if exc_type is None:
            assert status == 0, f"exit status {status}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put("nothing more")

    def line(self) -> str:
        line = self._lines.get(timeout=HANG_S)
        assert line != "nothing more", "the program ended"
        return line

    def until_end(self) -> list[str]:
        """Return the lines of a connection."""
        lines = [self.line()]
        while not lines[-1].startswith(("end ", "failed ")):
            lines.append(self.line())
        return lines

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def connect(self, query: str = "limit=0") -> socket.socket:
        """Connect to the server."""
        if query not in self._ports:
            self._tell(query)
            self._ports[query] = int(self.line().removeprefix("port "))
        return ready(socket.create_connection(("127.0.0.1", self._ports[query]), HANG_S))

    def connected(self, query: str, key: str, offer: str) -> tuple[socket.socket, bytes]:
        """Have the client connect; return the socket, and its request but for the blank line."""
        assert self._listener is not None
        self._tell(f"ws://127.0.0.1:{self._listener.getsockname()[1]}/?{query} {key} {offer}")
        sock = ready(self._listener.accept()[0])
        return sock, read_head(sock)

    def open(self, query: str, extension: str, agreed: str | None = None) -> socket.socket:
        """
        Do the handshake with a program of either role.

        extension is what a server is offered and has to answer, unless agreed says what else,
        or what a client is answered.
        """
        agreed = extension if agreed is None else agreed
        line = f"Sec-WebSocket-Extensions: {extension}\r\n".encode() if extension else b""
        if self._listener is None:
            sock = self.connect(query)
            sock.sendall(
                b"GET /?" + query.encode() + b" HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: " + KEY + b"\r\n" + line + b"\r\n"
            )
            head = read_head(sock)
            assert head.startswith(b"HTTP/1.1 101 ") and accept_value(KEY) in head, head
            assert field(head, b"sec-websocket-extensions") == agreed.encode()
            return sock
        sock, request = self.connected(query, "-", "-")
        key = field(request, b"sec-websocket-key")
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_value(key) + b"\r\n" + line + b"\r\n"
        )
        return sock


def ready(sock: socket.socket) -> socket.socket:
    sock.settimeout(HANG_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def field(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        found, _, value = line.partition(b":")
        if found.lower() == name:
            return value.strip()
    return b""


def read_head(sock: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        octet = sock.recv(1)
        assert octet, f"the end after {head!r}"
        head += octet
    return head


def read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def frames_back(sock: socket.socket, masked: bool) -> list[str]:
    """Read what the program sends, short control frames, up to its Close or its end."""
    lines: list[str] = []
    with contextlib.suppress(EOFError, ConnectionResetError):
        while True:
            first, second = read_exactly(sock, 2)
            assert bool(second & 0x80) == masked and second & 0x7F < 126, (first, second)
            key = read_exactly(sock, 4) if masked else bytes(4)
            payload = read_exactly(sock, second & 0x7F)
            plain = bytes(octet ^ key[i % 4] for i, octet in enumerate(payload))
            if first == 0x88:
                code = int.from_bytes(plain[:2], "big") if plain else 1005
                return [*lines, f"close {code} {shown(plain[2:])}"]
            assert first == 0x8A, first
            lines.append(f"pong {shown(plain)}")
    return lines


def compare(got: list[str], want: list[str]) -> None:
    assert got == want, f"got {got}, expected {want}"


def play(program: Program, case: Frames, cut: str) -> None:
    """Play a vector and compare."""
    octets, ending = case.octets, case.ending
    if not ending:  # at the border of a frame
        octets += bytes.fromhex(
            "8886000000000fa0646f6e65" if case.to_server else "88060fa0646f6e65"
        )
        ending = ["close", "4000", b"done".hex()]
    match ending[0]:
        case "close":
            end = f"end {ending[1]} {ending[1]} {ending[2]}"
        case "fail":
            end = f"end 1006 {ending[2]} -"
        case "open":
            end = "end 1006 0 -"
    events = [e for e in case.events if program.sees_control or e.startswith("message ")]
    back = ["pong" + e.removeprefix("ping") for e in case.events if e.startswith("ping ")]
    query = f"limit={case.limit}" + ("&deflate=1" if case.extension else "")
    with program.open(query, case.extension) as sock:
        with contextlib.suppress(OSError):  # it may have failed by then
            for piece in pieces(octets, cut):
                sock.sendall(piece)
            if ending[0] == "open":
                sock.shutdown(socket.SHUT_WR)
        got = frames_back(sock, not case.to_server)
        if ending[0] == "fail":  # the reason is the program's own
            assert got and got[-1].startswith(f"close {ending[2]} "), got
            del got[-1]
        elif ending[0] == "close":
            back.append(f"close {ending[1]} {ending[2]}")
        compare(got, back)
        if case.to_server:  # which ends TCP first
            assert not rest(sock)
    compare(program.until_end(), ["open -", *events, end])


def rest(sock: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(1 << 16):
            data += piece
    return data


def ask(program: Program, case: Head, cut: str) -> None:
    """Play a request to a server and compare status and accept value."""
    with program.connect() as sock:
        with contextlib.suppress(OSError):  # it may be gone
            for piece in pieces(case.sent, cut):
                sock.sendall(piece)
        head = read_head(sock)
        status = head.split(b" ", 2)[1].decode()
        if case.get("error"):
            assert status == case.get("error").split(" ")[1]
            # Only the answer, which its length bounds.
            assert len(rest(sock)) == int(field(head, b"content-length"))
            if status == "426":
                assert field(head, b"sec-websocket-version") == b"13"
            return
        assert status == "101"
        want = field(case.back, b"sec-websocket-accept")
        assert field(head, b"sec-websocket-accept") == want
        assert not field(head, b"sec-websocket-protocol")
    assert program.until_end()[0] == "open -"


def answer(program: Program, case: Head, cut: str) -> None:
    """Play a response to a client and compare what it makes of it."""
    offer = ",".join(",".join(case.keys.get("offer", [])).split(", ")) or "-"
    sock, request = program.connected("limit=0", case.get("key") or "-", offer)
    with sock:
        assert request.startswith(b"GET /?limit=0 HTTP/1.1\r\n")
        with contextlib.suppress(OSError):  # it may be gone
            for piece in pieces(case.back, cut):
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)
        rest(sock)
    lines = program.until_end()
    if case.get("error"):
        compare(lines, ["failed 0"])
    elif case.get("status"):
        compare(lines, [f"failed {case.get('status').split(' ')[2].rstrip(',')}"])
    else:
        compare(lines[:1], [f"open {case.get('subprotocol') or '-'}"])


def play_all(
    program: Program, to_server: bool, cut: str, path: str = "wire/testdata/frames.txt"
) -> int:
    """Play every vector of a file for one role, and return how many there are."""
    cases = [case for case in read_frames(path) if case.to_server == to_server]
    cases = [case for case in cases if not case.made_up]
    for case in cases:
        with named(case.name):
            play(program, case, cut)
    return len(cases)


def ask_all(program: Program, cut: str) -> int:
    # Status 0 is a mistake of the application that answers.
    cases = [
        case
        for case in read_heads("handshake/testdata/request.txt")
        if not case.get("error").endswith(" 0")
    ]
    for case in cases:
        with named(case.name):
            ask(program, case, cut)
    return len(cases)


def answer_all(program: Program, cut: str) -> int:
    # What programs offer as extensions is theirs.
    cases = [
        case
        for case in read_heads("handshake/testdata/response.txt")
        if not case.get("offer-extensions")
    ]
    for case in cases:
        with named(case.name):
            answer(program, case, cut)
    return len(cases)


def negotiate_all(program: Program, to_server: bool) -> int:
    """Play offers or answers to a program with the default configuration."""
    cases = read_heads("deflate/testdata/negotiation.txt")
    if to_server:
        cases = [case for case in cases if case.get("to") == "server" and "config" not in case.keys]
    else:  # by default a client offers client_max_window_bits
        cases = [
            case
            for case in cases
            if case.get("to") == "client"
            and (
                case.keys.get("config") == ["client_max_window_bits"]
                or ("config" not in case.keys and "client_" not in case.get("answer"))
            )
        ]
    for case in cases:
        with named(case.name):
            if to_server:
                program.open("limit=0&deflate=1", case.get("offer"), case.get("answer")).close()
                compare(program.until_end()[:1], ["open -"])
            else:
                program.open("limit=0&deflate=1", case.get("answer")).close()
                compare(program.until_end()[:1], ["failed 0" if case.get("error") else "open -"])
    return len(cases)


@contextlib.contextmanager
def named(case: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(f"vector: {case}")
        raise
