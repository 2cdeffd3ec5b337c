"""
Fixtures of the C tests: libraries, programs, and the server they talk to.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from c_support import (
    HERE,
    PASSWORD,
    Builder,
    Peer,
    RunTest,
    checked,
    lower_limit,
    missing,
    need,
    one_processor,
    run,
)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """Return what builds libraries and programs."""
    return Builder(tmp_path_factory.mktemp("aiows"))


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """Run the `websockets` server in a process of its own."""
    need("openssl")
    if run([sys.executable, "-c", "import websockets"]).returncode != 0:
        missing("the Python package websockets is not installed")
    folder = tmp_path_factory.mktemp("peer")
    ca, key, cert = folder / "ca.pem", folder / "key.pem", folder / "cert.pem"
    checked(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-keyout",
            key,
            "-out",
            ca,
            "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:localhost",
        ]
    )
    cert.write_text(ca.read_text() + key.read_text())
    encrypt = ["openssl", "pkcs8", "-topk8", "-passout", f"pass:{PASSWORD}"]
    checked([*encrypt, "-in", key, "-out", folder / "encrypted.pem"])
    with subprocess.Popen(
        [sys.executable, HERE / "server.py", cert],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        plain, secure, http = json.loads(server.stdout.readline())
        uris = f"ws://127.0.0.1:{plain}", f"wss://127.0.0.1:{secure}"
        yield Peer(*uris, ca, cert, f"127.0.0.1:{http}")
        server.communicate(timeout=30)


@pytest.fixture(scope="session")
def run_test(build: Builder, peer: Peer) -> RunTest:
    """Return what runs a test of a C program, by default the way it ships."""

    def run_one(
        program: str, test: str, variant: str = "test", under: list[str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        binary = build.program(HERE / f"{program}.c", variant)
        return run(
            [*(under or []), binary, test],
            env=peer.environment(),
            preexec_fn=one_processor if under else lower_limit,
        )

    return run_one
