"""Show one real exchange over ws and one over wss, between processes.

For each scheme an echo server (`python -m aiows echo`) runs as a process of its own on a
free loopback port, and the README's program sends it a random message. The exit status
is 0 only if exactly that message came back both times from a server that was still alive.
"""

from __future__ import annotations

import argparse
import os
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = Path(__file__).parent / "python" / "hello.py"
START_S = 20.0
EXCHANGE_S = 30.0


class DemoError(Exception):
    """What went wrong, in one line."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--generate-cert",
        required=True,
        metavar="COMMAND",
        help="Go's crypto/tls/generate_cert, which writes cert.pem and key.pem",
    )
    generate_cert = Path(parser.parse_args().generate_cert).resolve()
    try:
        with tempfile.TemporaryDirectory(prefix="aiows-demo-") as folder:
            cert, key = make_certificate(generate_cert, Path(folder))
            exchange([], {})
            # The certificate is its own authority, so the program is told to trust it.
            exchange(["--tls-cert", str(cert), "--tls-key", str(key)], {"SSL_CERT_FILE": str(cert)})
    except DemoError as error:
        print(f"demo failed: {error}", file=sys.stderr)
        return 1
    print("demo passed: both messages came back as they were sent")
    return 0


def make_certificate(generate_cert: Path, folder: Path) -> tuple[Path, Path]:
    command = [str(generate_cert), "--ca", "--host", "127.0.0.1", "--ecdsa-curve", "P256"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise DemoError(f"no certificate: {made.stderr.strip()}")
    return folder / "cert.pem", folder / "key.pem"


def exchange(server_options: list[str], program_environment: dict[str, str]) -> None:
    """Send a random message through a server of its own; raise unless it comes back."""
    with echo_server(server_options) as (server, uri):
        message = secrets.token_urlsafe(48)
        print(f"server   {uri} pid {server.pid}", flush=True)
        print(f"sent     {message}", flush=True)
        try:
            program = subprocess.run(
                [sys.executable, str(PROGRAM), uri, message],
                capture_output=True,
                text=True,
                timeout=EXCHANGE_S,
                env={**os.environ, **program_environment},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"no answer from {uri} in {EXCHANGE_S:g} s") from None
        if program.returncode != 0:
            raise DemoError(f"{PROGRAM.name} exited with {program.returncode}: {program.stderr}")
        received = program.stdout.removesuffix("\n")
        print(f"received {received}", flush=True)
        if received != message:
            raise DemoError(f"received {received!r}, expected {message!r}")
        if server.poll() is not None:
            raise DemoError(f"the server, pid {server.pid}, ended with {server.returncode}")


@contextmanager
def echo_server(options: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start `python -m aiows echo` on a free port; give its process and URI."""
    command = [sys.executable, "-m", "aiows", "echo", "--host", "127.0.0.1", "--port", "0"]
    server = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    try:
        yield server, announced_uri(server)
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        assert server.stdout is not None
        server.stdout.close()


def announced_uri(server: subprocess.Popen[str]) -> str:
    """Return the URI of the server's line "listening on URI"."""
    assert server.stdout is not None
    deadline = time.monotonic() + START_S
    line = ""
    while not line.startswith("listening on "):
        readable, _, _ = select.select([server.stdout], [], [], deadline - time.monotonic())
        line = server.stdout.readline() if readable else ""
        if not line:
            raise DemoError(f"the server, pid {server.pid}, announced no URI")
    return line.split()[2]


if __name__ == "__main__":
    sys.exit(main())
