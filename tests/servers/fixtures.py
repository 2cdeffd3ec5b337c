"""
Pytest fixtures: servers that others wrote, each a process, and certificates.

A conftest.py imports what it wants to offer. The servers run for the whole
session; a test that kills one starts its own with ServerProcess.
"""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from servers.launch import ServerProcess, arguments_for

LIBRARIES = ("websockets_server", "aiohttp_server", "picows_server")


@dataclasses.dataclass
class Certificates:
    """PEM files: an authority, a chain with its key for localhost, another authority."""

    ca: Path
    cert: Path
    key: Path
    other_ca: Path


def client_context(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates.ca)


def server_context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert, certificates.key)
    return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    paths = Certificates(*(folder / name for name in ("ca", "cert", "key", "other_ca")))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(paths.ca)
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(paths.cert, append=True)
    leaf.private_key_pem.write_to_path(paths.key)
    trustme.CA().cert_pem.write_to_path(paths.other_ca)
    return paths


@pytest.fixture(scope="session")
def websockets_server() -> Iterator[ServerProcess]:
    with ServerProcess("websockets_server") as server:
        yield server


@pytest.fixture(scope="session")
def numbers_server() -> Iterator[ServerProcess]:
    with ServerProcess("numbers_websockets") as server:
        yield server


@pytest.fixture(scope="session")
def aiohttp_server() -> Iterator[ServerProcess]:
    with ServerProcess("aiohttp_server") as server:
        yield server


@pytest.fixture(scope="session")
def picows_server() -> Iterator[ServerProcess]:
    with ServerProcess("picows_server") as server:
        yield server


@pytest.fixture(scope="session")
def raw_server() -> Iterator[ServerProcess]:
    with ServerProcess("raw") as server:
        yield server


@pytest.fixture(scope="session", params=LIBRARIES)
def any_server(request: pytest.FixtureRequest) -> ServerProcess:
    """Each of the three libraries in turn."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, ServerProcess)
    return server


@pytest.fixture(scope="session")
def websockets_tls_server(certificates: Certificates) -> Iterator[ServerProcess]:
    with tls_process("websockets_server", certificates) as server:
        yield server


@pytest.fixture(scope="session")
def aiohttp_tls_server(certificates: Certificates) -> Iterator[ServerProcess]:
    with tls_process("aiohttp_server", certificates) as server:
        yield server


@pytest.fixture(scope="session")
def picows_tls_server(certificates: Certificates) -> Iterator[ServerProcess]:
    with tls_process("picows_server", certificates) as server:
        yield server


@pytest.fixture(scope="session")
def raw_tls_server(certificates: Certificates) -> Iterator[ServerProcess]:
    with tls_process("raw", certificates) as server:
        yield server


def tls_process(program: str, certificates: Certificates) -> ServerProcess:
    arguments = arguments_for(certificates.cert, certificates.key)
    return ServerProcess(program, *arguments, secure=True)


@pytest.fixture(scope="session", params=LIBRARIES)
def any_tls_server(request: pytest.FixtureRequest) -> ServerProcess:
    """Each of the three libraries in turn, over TLS."""
    server = request.getfixturevalue(request.param.replace("_server", "_tls_server"))
    assert isinstance(server, ServerProcess)
    return server


@pytest.fixture(
    scope="session",
    params=[name for library in LIBRARIES for name in (library, f"{library[:-7]}_tls_server")],
)
def peer_server(request: pytest.FixtureRequest) -> ServerProcess:
    """Each of the three libraries in turn, over ws and over wss."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, ServerProcess)
    return server
