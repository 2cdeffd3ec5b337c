"""Servers of others with TLS of any kind, in the test's own loop, and certificates for it."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from websockets.asyncio.server import ServerConnection, serve

NOW = datetime.datetime.now(datetime.UTC)
HOUR = datetime.timedelta(hours=1)


class Files:
    """A certificate chain and its key as PEM files."""

    def __init__(self, folder: Path, leaf: trustme.LeafCert, *, whole: bool = True) -> None:
        blobs = leaf.cert_chain_pems if whole else leaf.cert_chain_pems[:1]
        self.cert = folder / "cert.pem"
        self.cert.write_bytes(b"".join(blob.bytes() for blob in blobs))
        self.key = folder / "key.pem"
        self.key.write_bytes(leaf.private_key_pem.bytes())

    @property
    def der(self) -> bytes:
        pem = self.cert.read_text().partition("-----END")[0]
        return ssl.PEM_cert_to_DER_cert(pem + "-----END CERTIFICATE-----\n")


def files(tmp: pytest.TempPathFactory, leaf: trustme.LeafCert, *, whole: bool = True) -> Files:
    return Files(tmp.mktemp("leaf"), leaf, whole=whole)


def self_signed(*, server: bool = True) -> trustme.LeafCert:
    """Return a certificate for localhost that is no authority's, for servers or for clients."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alone")])
    usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - HOUR)
        .not_valid_after(NOW + HOUR)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return trustme.LeafCert(private, certificate.public_bytes(serialization.Encoding.PEM), [])


def server_context(chain: Files, ca: trustme.CA | None = None) -> ssl.SSLContext:
    """Return a context of the ssl module; with ca it wants certificates of clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain.cert, chain.key)
    if ca is not None:
        ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def mutual_contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts of a server that wants certificates, and of a client without one yet."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context()
    for context in (server, client):
        authority.configure_trust(context)
        context.set_alpn_protocols(["http/1.1"])
    return server, client


def session(transport: Any) -> str:
    """Return what the server's side knows of a connection's TLS, as JSON."""
    tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True)
    return json.dumps(
        {
            "certificate": certificate and certificate.hex(),
            "resumed": tls.session_reused,
            "alpn": tls.selected_alpn_protocol(),
            "version": tls.version(),
            "suite": tls.cipher()[0],  # type: ignore[index]
        }
    )


@contextlib.asynccontextmanager
async def websockets_peer(context: ssl.SSLContext) -> AsyncIterator[int]:
    """Run a server on websockets that tells every client its session, and yield its port."""

    async def handler(connection: ServerConnection) -> None:
        await connection.send(session(connection.transport))
        await connection.wait_closed()

    quiet = logging.Logger("quiet", logging.CRITICAL)  # refused handshakes are meant
    async with serve(handler, "127.0.0.1", 0, ssl=context, logger=quiet) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@contextlib.asynccontextmanager
async def aiohttp_peer(context: ssl.SSLContext) -> AsyncIterator[int]:
    """Run the same on aiohttp."""

    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(session(request.transport))
        async for _ in socket:
            pass
        return socket

    application = web.Application()
    application.router.add_get("/", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
