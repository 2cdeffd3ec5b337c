"""TLS: contexts that remember, and what they do to connections."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers.fixtures import Certificates
from servers.launch import ServerProcess

from aiows import SSLContext, connect, create_default_context, serve
from aiows._authorities import pem_of


async def exchange(server: ServerProcess, **options: Any) -> None:
    async with connect(server.uri(), **options) as ws:
        for message in ("a", bytes(100_000)):
            await ws.send(message)
            assert await ws.recv() == message


async def test_private_authority(any_tls_server: ServerProcess, certificates: Certificates) -> None:
    await exchange(any_tls_server, ssl=create_default_context(cafile=certificates.ca))


async def test_wrong_authority(any_tls_server: ServerProcess, certificates: Certificates) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await exchange(any_tls_server, ssl=create_default_context(cafile=certificates.other_ca))


@pytest.mark.parametrize("value", [None, True])
async def test_system_authorities(websockets_tls_server: ServerProcess, value: Any) -> None:
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        await exchange(websockets_tls_server, ssl=value)
    assert isinstance(caught.value, OSError)


async def test_environment(
    websockets_tls_server: ServerProcess,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    await exchange(websockets_tls_server)
    await exchange(websockets_tls_server, ssl=create_default_context())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.other_ca))
    monkeypatch.setenv("SSL_CERT_DIR", str(certificates.ca.parent))
    with pytest.raises(ssl.SSLCertVerificationError):
        await exchange(websockets_tls_server)


async def test_empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="SSL_CERT_FILE"):
        await connect("wss://127.0.0.1:1/")


def der_of(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


@pytest.mark.parametrize(
    "load",
    [
        lambda context, files, folder: context.load_verify_locations(str(files.ca)),
        lambda context, files, folder: context.load_verify_locations(os.fsencode(files.ca)),
        lambda context, files, folder: context.load_verify_locations(cadata=files.ca.read_text()),
        lambda context, files, folder: context.load_verify_locations(
            cadata=der_of(files.other_ca) + der_of(files.ca)
        ),
        lambda context, files, folder: context.load_verify_locations(capath=folder),
        lambda context, files, folder: (
            context.load_verify_locations(files.other_ca),
            context.load_verify_locations(files.ca),
        ),
        lambda context, files, folder: (
            context.load_default_certs(),
            context.load_verify_locations(files.ca),
        ),
    ],
)
async def test_ways_to_load(
    websockets_tls_server: ServerProcess,
    certificates: Certificates,
    tmp_path: Path,
    load: Callable[..., object],
) -> None:
    (tmp_path / "0123abcd.0").symlink_to(certificates.ca)
    (tmp_path / "not-a-certificate").write_text("x")
    context = SSLContext()
    load(context, certificates, tmp_path)
    await exchange(websockets_tls_server, ssl=context)


async def test_no_verification(websockets_tls_server: ServerProcess) -> None:
    context = create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    await exchange(websockets_tls_server, ssl=context)


async def test_server_hostname(
    websockets_tls_server: ServerProcess, certificates: Certificates
) -> None:
    context = create_default_context(cafile=certificates.ca)
    uri = f"wss://other.example:{websockets_tls_server.port}/echo"
    async with connect(uri, host="127.0.0.1", ssl=context, server_hostname="localhost") as ws:
        await ws.send("x")
        assert await ws.recv() == "x"
    with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.example"):
        await connect(uri, host="127.0.0.1", ssl=context)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_versions(
    websockets_tls_server: ServerProcess, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    context = create_default_context(cafile=certificates.ca)
    context.minimum_version = context.maximum_version = version
    async with connect(websockets_tls_server.uri(), ssl=context) as ws:
        assert ws.info()["tls_version"] == version.name.replace("v", " ").replace("_", ".")
    context = create_default_context(cafile=certificates.ca)
    context.options |= ssl.OP_NO_TLSv1_3 if version is ssl.TLSVersion.TLSv1_2 else ssl.OP_NO_TLSv1_2
    async with connect(websockets_tls_server.uri(), ssl=context) as ws:
        assert ws.info()["tls_version"] == version.name.replace("v", " ").replace("_", ".")


async def test_one_context_for_many(
    websockets_tls_server: ServerProcess, certificates: Certificates
) -> None:
    context = create_default_context(cafile=certificates.ca)
    handle = context._core_tls(server=False)
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(exchange(websockets_tls_server, ssl=context))
    assert context._core_tls(server=False) is handle
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    assert context._core_tls(server=False) is not handle


async def test_ws_at_a_wss_port(websockets_tls_server: ServerProcess) -> None:
    uri = websockets_tls_server.uri().replace("wss", "ws")
    with pytest.raises(Exception, match=r"."):
        await connect(uri, open_timeout=5)


async def test_wss_at_a_ws_port(websockets_server: ServerProcess) -> None:
    uri = websockets_server.uri().replace("ws", "wss", 1)
    with pytest.raises(ssl.SSLError):
        await connect(uri, open_timeout=60)


async def test_own_server(certificates: Certificates) -> None:
    server_context = create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(certificates.cert, certificates.key)

    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, ssl=server_context) as server:
        context = create_default_context(cafile=certificates.ca)
        async with connect(f"wss://localhost:{server.port}/", ssl=context) as ws:
            await ws.send("over tls")
            assert await ws.recv() == "over tls"


def change(name: str, value: Any) -> Callable[[SSLContext], None]:
    return lambda context: setattr(context, name, value)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (change("verify_flags", ssl.VERIFY_CRL_CHECK_LEAF), "verify_flags"),
        (change("hostname_checks_common_name", False), "hostname_checks_common_name"),
        (change("post_handshake_auth", True), "post_handshake_auth"),
        (change("options", ssl.OP_NO_TICKET), "options"),
        (change("options", 0), "options"),
        (change("keylog_filename", os.devnull), "keylog_filename"),
    ],
)
def test_settings_that_cannot_be_honoured(spoil: Callable[[SSLContext], None], text: str) -> None:
    context = create_default_context()
    spoil(context)
    with pytest.raises(ValueError, match=text):
        connect("wss://example.com/", ssl=context)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions() -> None:
    context = create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.raises(ValueError, match="minimum_version"):
        connect("wss://example.com/", ssl=context)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ValueError, match="above"):
        connect("wss://example.com/", ssl=context)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda context: context.set_ciphersuites("x"), "set_ciphersuites"),
        (lambda context: context.set_ecdh_curve("prime256v1"), "set_ecdh_curve"),
        (lambda context: context.load_dh_params("x"), "load_dh_params"),
        (lambda context: context.set_psk_client_callback(None), "set_psk_client_callback"),
        (lambda context: context.set_psk_server_callback(None), "set_psk_server_callback"),
    ],
)
def test_calls_that_cannot_be_honoured(call: Callable[[SSLContext], None], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call(SSLContext())


def test_context_without_authorities() -> None:
    with pytest.raises(ValueError, match="no authorities"):
        connect("wss://example.com/", ssl=SSLContext())


def test_wrong_protocol_and_purpose() -> None:
    with pytest.raises(ValueError, match="PROTOCOL_TLS_CLIENT"):
        SSLContext(ssl.PROTOCOL_TLS)
    with pytest.raises(TypeError, match="purpose"):
        create_default_context("SERVER_AUTH")  # type: ignore[arg-type]


def test_files_are_checked_when_loaded(certificates: Certificates, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="/missing"):
        create_default_context(cafile=tmp_path / "missing")
    (tmp_path / "empty").write_text("nothing")
    with pytest.raises(ssl.SSLError, match="/empty"):
        create_default_context(cafile=tmp_path / "empty")
    with pytest.raises(ssl.SSLError):
        SSLContext().load_cert_chain(certificates.ca, certificates.key)


def test_one_chain(certificates: Certificates) -> None:
    context = SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert, certificates.key)
    with pytest.raises(ValueError, match="loaded already"):
        context.load_cert_chain(certificates.cert, certificates.key)
    context.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(ValueError, match="no authorities"):
        serve(lambda connection: None, ssl=context)  # type: ignore[arg-type,return-value]


def test_alpn_and_chain_are_remembered(certificates: Certificates) -> None:
    context = create_default_context(cafile=certificates.ca)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificates.cert, certificates.key)
    options = context._core_options(server=False)
    assert options["alpn"] == ("http/1.1",)
    assert options["cert_pem"] == certificates.cert.read_text()
    assert options["key_pem"] == certificates.key.read_text()
    assert isinstance(context, ssl.SSLContext)


def test_der(certificates: Certificates) -> None:
    both = der_of(certificates.ca) + der_of(certificates.other_ca)
    expected = [path.read_text() for path in (certificates.ca, certificates.other_ca)]
    assert pem_of(both).split() == "".join(expected).split()
