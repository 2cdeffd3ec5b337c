"""The examples of docs/guide/tls.md run."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import inspect
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization

import aiows
from tls_peers import Files, server_context, websockets_peer

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guide/tls.md").read_text()
BLOCKS = re.findall(r"(?<!-->\n)```python\n(.*?)```", GUIDE, re.DOTALL)

pytestmark = pytest.mark.once


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files are that the guide names, which is where the programs run."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "company-ca.pem")
    for name, identity in (("server", "localhost"), ("client", "me@example.com")):
        (tmp_path / name).mkdir()
        chain = Files(tmp_path / name, authority.issue_cert(identity, common_name=name))
        chain.cert.rename(tmp_path / f"{name}.pem")
        chain.key.rename(tmp_path / f"{name}.key")
    key = serialization.load_pem_private_key((tmp_path / "client.key").read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "client.key").write_bytes(encrypted)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def server_chain(folder: Path) -> Files:
    chain = Files.__new__(Files)
    chain.cert, chain.key = folder / "server.pem", folder / "server.key"
    return chain


async def run(block: str, **names: Any) -> dict[str, Any]:
    code = compile(block, "docs/guide/tls.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    space = {"aiows": aiows, "ssl": ssl, "x509": x509, **names}
    result = eval(code, space)
    if inspect.iscoroutine(result):
        await result
    return space


async def test_every_block(folder: Path) -> None:
    assert len(BLOCKS) == 7
    pins = {"certificate_pin": "ab" * 32, "next_key_pin": "sha256//" + "A" * 43 + "="}
    context = server_context(server_chain(folder))
    context.set_alpn_protocols(["http/1.1"])
    async with websockets_peer(context) as port:
        for block in BLOCKS:
            space = await run(block, uri=f"wss://localhost:{port}/", **pins)
            if "handler" not in space:
                continue
            async with aiows.serve(
                space["handler"], "127.0.0.1", 0, ssl=space["context"]
            ) as server:
                client = aiows.create_default_context(cafile="company-ca.pem")
                client.load_cert_chain("client.pem", "client.key", password="secret")
                uri = f"wss://localhost:{server.port}/"
                async with aiows.connect(uri, ssl=client) as ws:
                    assert "CN=client" in str(await ws.recv())


async def test_pin_program(folder: Path) -> None:
    chain = server_chain(folder)
    pem = chain.cert.read_text().partition("-----END")[0] + "-----END CERTIFICATE-----\n"
    pin = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    async with websockets_peer(server_context(chain)) as port:
        for pins, status in (((), 0), ((pin,), 0), (("ab" * 32,), 1)):
            command = [sys.executable, ROOT / "examples/python/pin.py", f"wss://localhost:{port}/"]
            done = await asyncio.to_thread(
                subprocess.run, [*command, *pins], capture_output=True, text=True, timeout=60
            )
            assert done.returncode == status, done.stderr
            assert pin in (done.stdout if status == 0 else done.stderr)
