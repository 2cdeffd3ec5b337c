"""aiows connect in pipes: lines in, messages out, a status that says how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from servers.fixtures import Certificates
from servers.launch import ServerProcess
from websockets.sync.server import ServerConnection, serve

from aiows._cli.showing import Style, escaped

pytestmark = pytest.mark.once

HANG_S = 60


def start(*arguments: str | Path, stdin: Any = subprocess.PIPE) -> subprocess.Popen[bytes]:
    # A tool around the tests may name a proxy, which is not asked for here.
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "aiows", "connect", *map(str, arguments)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment, "PYTHONASYNCIODEBUG": ""},
    )


def run(*arguments: str | Path, given: bytes = b"") -> tuple[int, bytes, str]:
    """Run the command to its end; return status, output and errors."""
    with start(*arguments) as process:
        output, errors = process.communicate(given, timeout=HANG_S)
    return process.returncode, output, errors.decode()


def take(process: subprocess.Popen[bytes], size: int) -> bytes:
    """Return output of that size, or more."""
    assert process.stdout is not None
    output = b""
    while len(output) < size and (more := os.read(process.stdout.fileno(), 1 << 16)):
        output += more
    return output


def exchange(
    *arguments: str | Path, given: bytes = b"", size: int | None = None, then: bytes = b""
) -> tuple[int, bytes, str]:
    """
    Run the command, whose input ends once output of that size has come; return what run does.

    However long a server takes, it is waited for. Without a size it is that of given; the
    input ends with then.
    """
    with start(*arguments, "--eof-wait", "0") as process:
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.flush()
        output = take(process, len(given) if size is None else size)
        rest, errors = process.communicate(then, timeout=HANG_S)
    return process.returncode, output + rest, errors.decode()


def terminated(process: subprocess.Popen[bytes], size: int) -> tuple[bytes, bytes]:
    """End a command once its output has that size; return that and its errors."""
    output = take(process, size)
    process.terminate()
    rest, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 128 + signal.SIGTERM
    return output + rest, errors


def test_lines_in_messages_out(any_server: ServerProcess) -> None:
    given = "first\n\nç\nlast without an end".encode()
    with start(any_server.uri("/echo"), "--eof-wait", "inf") as process:
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.close()
        process.stdin = None  # which communicate would flush
        assert terminated(process, len(given) + 1) == (given + b"\n", b"")
    assert exchange(any_server.uri("/echo"), given=b"x\n") == (0, b"x\n", "")


def test_file_as_input_and_text_before_it(websockets_server: ServerProcess, tmp_path: Path) -> None:
    # Longer than what is read at once, and not a pipe.
    lines = b"".join(b"line %d\n" % number for number in range(20_000))
    (tmp_path / "lines").write_bytes(lines)
    command = (websockets_server.uri("/echo"), "-t", "a", "--text", "b", "--eof-wait", "inf")
    with (tmp_path / "lines").open("rb") as file, start(*command, stdin=file) as process:
        assert terminated(process, 4 + len(lines)) == (b"a\nb\n" + lines, b"")


def test_binary_messages_are_hex_unless_raw(websockets_server: ServerProcess) -> None:
    uri = websockets_server.uri("/fragments")
    every = bytes(range(256))
    text = "fragmented é".encode()
    plain, raw = text + b"\n" + every.hex().encode() + b"\n", text + every
    assert exchange(uri, size=len(plain)) == (0, plain, "")
    assert exchange(uri, "--raw", size=len(raw)) == (0, raw, "")


def test_timings(websockets_server: ServerProcess) -> None:
    uri = websockets_server.uri("/echo")
    size = 2 * len(b"0.000000 x\n")
    status, output, errors = exchange(uri, "--timings", given=b"x\ny\n", size=size)
    assert status == 0
    times = [line.split(b" ")[0] for line in output.splitlines()]
    assert [line.split(b" ")[1] for line in output.splitlines()] == [b"x", b"y"]
    assert 0 <= float(times[0]) <= float(times[1])
    assert errors.startswith("opened in ") and errors.endswith(" s\n")


def test_request(websockets_server: ServerProcess) -> None:
    status, output, _ = exchange(
        websockets_server.uri("/request"),
        "-H", "X-One: 1", "--header", "x-one:2", "-o", "https://example.com",
        "-s", "superchat", "--subprotocol", "chat",
        size=1,
    )  # fmt: skip
    assert status == 0
    for field in (b'["X-One", "1"]', b'["x-one", "2"]', b'"https://example.com"', b"superchat"):
        assert field in output


def test_tls(websockets_tls_server: ServerProcess, certificates: Certificates) -> None:
    uri = websockets_tls_server.uri("/echo")
    assert exchange(uri, "--ca", certificates.ca, given=b"x\n") == (0, b"x\n", "")
    assert exchange(uri, "--insecure", given=b"x\n") == (0, b"x\n", "")
    # A server that does not ask for a certificate is shown none, and it does no harm.
    shown = ("--cert", certificates.cert, "--key", certificates.key)
    assert exchange(uri, "--ca", certificates.ca, *shown, given=b"x\n") == (0, b"x\n", "")
    status, output, errors = run(uri, "--ca", certificates.other_ca)
    assert (status, output) == (1, b"")
    assert errors.startswith("aiows: ") and "certificate" in errors


@pytest.mark.parametrize(
    ("path", "status", "note"),
    [
        ("/close?code=1000", 0, ""),
        ("/close?code=1001&reason=bye", 0, ""),
        ("/close?code=1005", 0, ""),
        ("/close?code=4001&reason=bye", 3, "bye"),
        ("/close?code=1011", 3, "1011"),
        ("/drop", 4, "without a close handshake"),
    ],
)
def test_status_says_how_it_ended(
    path: str, status: int, note: str, websockets_server: ServerProcess
) -> None:
    # Input that does not end: the server's closing ends the program.
    with start(websockets_server.uri(path), "-t", "x") as process:
        assert process.wait(HANG_S) == status
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read() == b""
        errors = process.stderr.read().decode()
    assert note in errors and errors.count("\n") == (1 if note else 0)


def test_not_opened(websockets_server: ServerProcess) -> None:
    status, output, errors = run(websockets_server.uri("/status?code=404"))
    assert (status, output) == (1, b"")
    assert "404" in errors and "> status 404" in errors
    status, output, errors = run("ws://user:secret@127.0.0.1:1/")
    assert (status, output) == (1, b"")
    assert errors.startswith("aiows: ") and "refused" in errors and "secret" not in errors
    assert run("http://127.0.0.1/")[0] == 1
    status, output, errors = run("ws://127.0.0.1:1/", "--ca", "/missing")
    assert (status, output) == (1, b"") and "/missing" in errors


@pytest.mark.parametrize("closing", ["<&-", ">&-"])
def test_standard_descriptor_is_closed(closing: str) -> None:
    process = subprocess.run(
        ["sh", "-c", f'"$0" -m aiows connect ws://127.0.0.1:1/ {closing}', sys.executable],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=HANG_S,
    )
    assert process.returncode == 1
    assert process.stderr == "aiows: standard input or output is closed, expected /dev/null\n"


def test_input_that_is_no_text(websockets_server: ServerProcess) -> None:
    uri = websockets_server.uri("/echo")
    status, output, errors = exchange(uri, given=b"good\n", then=b"b\xffd\nx\n")
    assert (status, output) == (1, b"good\n")
    assert errors == "line 2 of the input is not UTF-8 at byte 2, expected text\n"


def test_eof_wait(websockets_server: ServerProcess) -> None:
    # With inf only the server's end of it ends the program.
    uri = websockets_server.uri("/close?code=4000")
    assert run(uri, "--eof-wait", "inf", given=b"x\n")[0] == 3
    for option in ((), ("--eof-wait", "0")):
        assert run(websockets_server.uri("/echo"), *option) == (0, b"", "")


def test_eof_wait_counts_from_the_newest_message() -> None:
    wait_s, pauses = 5.0, 60

    def trickle(connection: ServerConnection) -> None:
        # For longer than the wait, with pauses that are far shorter.
        for number in range(pauses):
            connection.send(str(number))
            time.sleep(0.1)

    with serve(trickle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        status, output, _ = run(f"ws://127.0.0.1:{port}/", "--eof-wait", str(wait_s))
        server.shutdown()
        thread.join()
    assert (status, len(output.splitlines())) == (0, pauses)


def test_ping(websockets_server: ServerProcess) -> None:
    with start(websockets_server.uri("/echo"), "--ping", "0.01") as process:
        assert process.stderr is not None
        for _ in range(3):
            line = process.stderr.readline().decode()
            assert line.startswith("pong after ") and line.endswith(" ms\n")
        process.communicate(b"", timeout=HANG_S)
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_closes(number: signal.Signals, websockets_server: ServerProcess) -> None:
    target = f"/echo?interrupted={number}"
    with start(websockets_server.uri(target), "-t", "x") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"x\n"
        process.send_signal(number)
        assert process.wait(HANG_S) == 128 + number
        assert process.stderr is not None and process.stderr.read() == b""
    told = websockets_server.uri(f"/ended?target={target.replace('?', '%3F')}&n=1")
    ended = exchange(told, size=1)[1]
    assert ended.strip() == b'[[1000, ""]]'


def test_interrupt_while_opening(raw_server: ServerProcess) -> None:
    with start(raw_server.uri("/silent")) as process:
        # Python's own handler would end it with a traceback.
        while b"\0connect\0" not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
            pass
        assert wait_for_socket(process.pid)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=HANG_S)
    assert (process.returncode, output, errors) == (130, b"", b"")


def wait_for_socket(pid: int) -> bool:
    """Wait until a process has a connection."""
    while True:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if os.readlink(entry).startswith("socket:"):
                    return True
            except FileNotFoundError:
                continue


def test_nobody_reads_the_output(websockets_server: ServerProcess) -> None:
    with start(websockets_server.uri("/burst?n=100000&size=100")) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(HANG_S) == 141
        assert process.stderr.read() == b""


def test_verbose_logs_to_standard_error(websockets_server: ServerProcess) -> None:
    field = ("-H", "Authorization: Bearer secret")
    uri = websockets_server.uri("/echo")
    status, output, errors = exchange(uri, "-v", *field, given=b"hello\n")
    assert (status, output) == (0, b"hello\n")
    assert "> TEXT 'hello'" in errors and "< TEXT 'hello'" in errors
    assert "GET /echo HTTP/1.1" in errors and "secret" not in errors


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["ws://h/", "-H", "Authorization secret"], """'Authorization', expected "Name: value\""""),
        (["ws://h/", "--key", "x"], "--key needs --cert"),
        (["ws://h/", "--insecure", "--ca", "x"], "expected one of them"),
        (["ws://h/", "--eof-wait", "-1"], "expected a number of seconds"),
        (["ws://h/", "--ping", "0"], "expected a positive number"),
        ([], "URI"),
    ],
)
def test_wrong_use(arguments: list[str], complaint: str) -> None:
    status, output, errors = run(*arguments)
    assert (status, output) == (2, b"")
    assert complaint in errors and "secret" not in errors


def test_what_a_terminal_gets() -> None:
    style = Style(terminal=True)
    assert style.message("\x1b[2Jgone\r\x9b1m\u202eab\tc\nd", 0) == (
        b"< \\x1b[2Jgone\\r\\x9b1m\\u202eab\tc\nd\n"
    )
    assert style.message(b"\x00\xff", 0) == b"< binary, 2 bytes: 00 ff\n"
    assert style.message(b"", 0) == b"< binary, 0 bytes\n"
    assert style.message(bytes(2000), 0).endswith(b" 00 \xe2\x80\xa6 976 more\n")
    assert style.message("x" * 20_000, 0).endswith("x… 3,616 more characters\n".encode())
    assert Style(terminal=True, colours=True).message("a", 0) == b"\x1b[32m< a\x1b[0m\n"
    assert Style(timings=True).message("a", 1.5) == b"1.500000 a\n"
    assert Style(raw=True, timings=True, terminal=True).message(b"\x1b", 1.5) == b"\x1b"
    assert escaped("\x00\x7f") == "\\x00\\x7f"
