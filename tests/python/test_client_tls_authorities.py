"""Whom a client trusts: files, directories, the environment, and what is no root."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from pathlib import Path

import certifi
import pytest
import trustme
from servers.fixtures import Certificates
from servers.launch import ServerProcess

from aiows import connect, create_default_context
from tls_peers import files, self_signed, server_context, websockets_peer


@pytest.fixture
def bundle(certificates: Certificates, tmp_path: Path) -> Path:
    """What a company does with certifi's: its own authority behind the others."""
    path = tmp_path / "bundle.pem"
    path.write_bytes(Path(certifi.where()).read_bytes() + certificates.ca.read_bytes())
    return path


async def test_certifi(websockets_tls_server: ServerProcess, bundle: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="not trusted") as caught:
        await connect(
            websockets_tls_server.uri(), ssl=create_default_context(cafile=certifi.where())
        )
    assert caught.value.verify_code == 20
    async with connect(
        websockets_tls_server.uri(), ssl=create_default_context(cafile=bundle)
    ) as ws:
        assert ws.tls_version == "TLS 1.3"


async def test_list_of_directories(
    websockets_tls_server: ServerProcess,
    certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "0123abcd.0").symlink_to(certificates.ca)
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", f"{empty}{os.pathsep}{tmp_path}")
    async with connect(websockets_tls_server.uri()):
        pass


# Tries three connections: as the environment was at the start, without what it said of
# certificates, and with it again.
PROGRAM = """
import asyncio, os, sys
from aiows import connect

async def trusts():
    try:
        async with connect(sys.argv[1]):
            return True
    except OSError as error:
        return str(error)

file = os.environ["SSL_CERT_FILE"]
print(asyncio.run(trusts()))
del os.environ["SSL_CERT_FILE"]
print(asyncio.run(trusts()))
os.environ["SSL_CERT_FILE"] = file
print(asyncio.run(trusts()))
"""


def run(program: str, uri: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, uri],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_environment_that_changes(
    websockets_tls_server: ServerProcess, certificates: Certificates
) -> None:
    told = run(PROGRAM, websockets_tls_server.uri(), SSL_CERT_FILE=str(certificates.ca))
    assert told[0] == told[2] == "True"
    assert "signed by an authority that is not trusted" in told[1]


def test_system_without_authorities(websockets_tls_server: ServerProcess, tmp_path: Path) -> None:
    # The core looks for itself, in the places that the process started with.
    program = f"""
import aiows._authorities
aiows._authorities.of_environment = lambda: None
{PROGRAM.partition("file =")[0]}
print(asyncio.run(trusts()))
"""
    missing = {"SSL_CERT_FILE": str(tmp_path / "missing"), "SSL_CERT_DIR": str(tmp_path)}
    (told,) = run(program, websockets_tls_server.uri(), **missing)
    assert "no trusted certificates on this system, expected the package ca-certificates" in told


async def test_trust_in_what_is_no_root(tmp_path_factory: pytest.TempPathFactory) -> None:
    authority = trustme.CA()
    below = authority.create_child_ca()
    chain = files(tmp_path_factory, below.issue_cert("localhost"))
    alone = files(tmp_path_factory, self_signed())
    for shown, trusted in (
        (chain, authority.cert_pem.bytes().decode()),
        (chain, below.cert_pem.bytes().decode()),
        (chain, ssl.DER_cert_to_PEM_cert(chain.der)),
        (alone, alone.cert.read_text()),
    ):
        async with websockets_peer(server_context(shown)) as port:
            context = create_default_context(cadata=trusted)
            # As OpenSSL does with the flag, which 3.13 sets by default.
            plain = ssl.create_default_context(cadata=trusted)
            plain.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            plain.verify_flags &= ~ssl.VERIFY_X509_STRICT
            async with connect(f"wss://localhost:{port}/", ssl=context) as ws:
                assert ws.peer_certificate == shown.der
            await handshake(port, plain)


async def handshake(port: int, context: ssl.SSLContext) -> None:
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("flag", ["VERIFY_X509_STRICT", "VERIFY_X509_PARTIAL_CHAIN"])
async def test_flags_of_newer_pythons(
    websockets_tls_server: ServerProcess, certificates: Certificates, flag: str
) -> None:
    context = create_default_context(cafile=certificates.ca)
    context.verify_flags |= getattr(ssl, flag)
    async with connect(websockets_tls_server.uri(), ssl=context):
        pass
