"""The client's own certificate, pins, and what the handshake agreed on."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from aiows import InvalidMessage, SSLContext, connect, create_default_context, serve
from tls_peers import (
    Files,
    aiohttp_peer,
    files,
    self_signed,
    server_context,
    websockets_peer,
)

PASSWORD = "pa ß"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Files:
    return files(tmp_path_factory, authority.issue_cert("localhost", common_name="server"))


@pytest.fixture(scope="module")
def client_files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Files:
    return files(tmp_path_factory, authority.issue_cert("me@example.com", common_name="client"))


def client_context(authority: trustme.CA, **options: Any) -> SSLContext:
    return create_default_context(cadata=authority.cert_pem.bytes().decode(), **options)


async def told(port: int, context: SSLContext) -> dict[str, Any]:
    """Return what the server says of the connection, beside what the client does."""
    async with connect(f"wss://localhost:{port}/", ssl=context) as ws:
        told = json.loads(await ws.recv())
        assert ws.tls_version is not None and ws.tls_cipher_suite is not None
        assert told["version"].replace("v", " ") == ws.tls_version
        assert ws.alpn_protocol == told["alpn"]
        return told | {"iana": ws.tls_cipher_suite, "shown": ws.peer_certificate}


@pytest.mark.parametrize("peer", [websockets_peer, aiohttp_peer])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_client_certificate(
    authority: trustme.CA,
    server_files: Files,
    client_files: Files,
    peer: Callable[..., Any],
    version: ssl.TLSVersion,
) -> None:
    wanting = server_context(server_files, authority)
    wanting.maximum_version = version
    async with peer(wanting) as port:
        context = client_context(authority)
        # With an alert or without: asyncio's TLS often closes before it has sent one.
        with pytest.raises((ssl.SSLError, InvalidMessage), match="a client certificate"):
            await told(port, context)
        context.load_cert_chain(client_files.cert, client_files.key)
        for resumed in (False, True):
            answer = await told(port, context)
            assert answer["certificate"] == client_files.der.hex()
            assert answer["shown"] == server_files.der
            assert answer["resumed"] is resumed


def encrypted(key: bytes, kind: str, secret: bytes) -> bytes:
    private = serialization.load_pem_private_key(key, None)
    form = serialization.PrivateFormat.PKCS8
    if kind == "traditional":
        form = serialization.PrivateFormat.TraditionalOpenSSL
    return private.private_bytes(
        serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(secret)
    )


@pytest.mark.parametrize("kind", ["pkcs8", "traditional"])
@pytest.mark.parametrize("form", ["str", "bytes", "bytearray", "callable"])
async def test_encrypted_key(
    authority: trustme.CA,
    server_files: Files,
    client_files: Files,
    tmp_path: Path,
    kind: str,
    form: str,
) -> None:
    secret = PASSWORD.encode()
    key = tmp_path / "key.pem"
    key.write_bytes(encrypted(client_files.key.read_bytes(), kind, secret))
    asked = []

    def ask() -> str:
        asked.append(1)
        return PASSWORD

    password = {"str": PASSWORD, "bytes": secret, "bytearray": bytearray(secret), "callable": ask}
    context = client_context(authority)
    context.load_cert_chain(client_files.cert, key, password=password[form])  # type: ignore[arg-type]
    async with websockets_peer(server_context(server_files, authority)) as port:
        assert (await told(port, context))["certificate"] == client_files.der.hex()
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # the key is loaded once more
        assert (await told(port, context))["certificate"] == client_files.der.hex()
    assert asked == [1] * (form == "callable")


def test_passwords_that_do_not_fit(client_files: Files, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(encrypted(client_files.key.read_bytes(), "pkcs8", b"secret"))
    with pytest.raises(ssl.SSLError) as theirs:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(client_files.cert, key, "wrong")
    with pytest.raises(ssl.SSLError) as ours:
        SSLContext().load_cert_chain(client_files.cert, key, "wrong")
    assert type(ours.value) is type(theirs.value)
    assert ours.value.args == theirs.value.args

    def refuse() -> str:
        raise LookupError("no keyring")

    for password, expected, text in (
        (None, ValueError, "the key is encrypted, expected a password"),
        (7, TypeError, "password must be str, bytes or callable, got int"),
        (lambda: 7, TypeError, "must return str or bytes, got int"),
        (b"a\0b", ValueError, "null character"),
        (refuse, LookupError, "no keyring"),
    ):
        with pytest.raises(expected, match=text):
            SSLContext().load_cert_chain(client_files.cert, key, password)  # type: ignore[arg-type]
    # Nobody is asked about a key that is not encrypted.
    SSLContext().load_cert_chain(client_files.cert, client_files.key, refuse)


@pytest.mark.once
async def test_key_that_only_openssl_decrypts(client_files: Files, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    command = ["openssl", "pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-passout", "pass:x"]
    subprocess.run([*command, "-in", client_files.key, "-out", key], check=True)
    context = create_default_context()
    context.load_cert_chain(client_files.cert, key, "x")
    with pytest.raises(ssl.SSLError, match="expected PBES2"):
        await connect("wss://127.0.0.1:1/", ssl=context)


def pins_of(chain: Files) -> tuple[str, str]:
    certificate = x509.load_der_x509_certificate(chain.der)
    public = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key = b64encode(hashlib.sha256(public).digest()).decode()
    return hashlib.sha256(chain.der).hexdigest(), f"sha256//{key}"


async def test_pins(
    authority: trustme.CA, server_files: Files, client_files: Files, certificates: Any
) -> None:
    by_certificate, by_key = pins_of(server_files)
    other, other_key = pins_of(client_files)
    async with websockets_peer(server_context(server_files)) as port:
        for pin in (by_certificate, by_certificate.upper(), by_key, bytes.fromhex(by_certificate)):
            await told(port, client_context(authority, pins=[other, pin]))
        wrong = re.escape(f"is {by_key}, expected {other_key}")
        with pytest.raises(ssl.SSLCertVerificationError, match=wrong):
            await told(port, client_context(authority, pins=[other_key]))
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            await told(port, client_context(authority, pins=[other]))
        assert caught.value.verify_message == f"its pin is {by_certificate}, expected {other}"
        assert caught.value.verify_code == 50
        # Both must hold.
        unknown = create_default_context(cafile=certificates.ca, pins=[by_certificate])
        with pytest.raises(ssl.SSLCertVerificationError, match="not trusted"):
            await told(port, unknown)


async def test_pin_of_a_self_signed_certificate(
    server_files: Files, tmp_path_factory: pytest.TempPathFactory
) -> None:
    alone = files(tmp_path_factory, self_signed())
    async with websockets_peer(server_context(alone)) as port:
        for pin, fits in ((pins_of(alone)[0], True), (pins_of(server_files)[0], False)):
            context = SSLContext()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.pin_sha256(pin)
            assert context.pins == (pin,)
            if fits:
                assert (await told(port, context))["shown"] == alone.der
            else:
                with pytest.raises(ssl.SSLCertVerificationError, match="its pin is"):
                    await told(port, context)


@pytest.mark.once
async def test_pin_program(server_files: Files) -> None:
    pin = pins_of(server_files)[0]
    program = Path(__file__).parents[2] / "examples/python/pin.py"
    async with websockets_peer(server_context(server_files)) as port:
        for pins, status in (((), 0), ((pin,), 0), (("ab" * 32,), 1)):
            command = [sys.executable, program, f"wss://localhost:{port}/", *pins]
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == status, done.stderr
            assert pin in (done.stdout if status == 0 else done.stderr)


@pytest.mark.parametrize("pin", ["", "ab" * 31, "ab:" * 31 + "a", "sha256//abc", "sha256//", b"x"])
def test_what_is_no_pin(pin: Any) -> None:
    with pytest.raises(ValueError, match="expected the SHA-256"):
        SSLContext().pin_sha256(pin)


def test_misuse_of_pins() -> None:
    with pytest.raises(TypeError, match="pin must be"):
        SSLContext().pin_sha256(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="pins must be a list"):
        create_default_context(pins="ab" * 32)
    with pytest.raises(ValueError, match="client's context"):
        create_default_context(ssl.Purpose.CLIENT_AUTH, pins=["ab" * 32])


async def test_name_not_checked(authority: trustme.CA, server_files: Files) -> None:
    context = client_context(authority)
    async with websockets_peer(server_context(server_files)) as port:
        uri = f"wss://other.example:{port}/"
        with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
            await connect(uri, host="127.0.0.1", ssl=context)
        context.check_hostname = False
        async with connect(uri, host="127.0.0.1", ssl=context):
            pass
        untrusting = client_context(trustme.CA())
        untrusting.check_hostname = False
        with pytest.raises(ssl.SSLCertVerificationError, match="not trusted"):
            await connect(uri, host="127.0.0.1", ssl=untrusting)


async def test_cipher_suites(authority: trustme.CA, server_files: Files) -> None:
    old = server_context(server_files)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with websockets_peer(old) as port:
        for ciphers, expected in (
            ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
            ("ECDHE+CHACHA20:!PSK", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        ):
            context = client_context(authority)
            context.set_ciphers(ciphers)
            answer = await told(port, context)
            assert answer["iana"] == expected
        context = client_context(authority)
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # the server's key is no RSA
        with pytest.raises(ssl.SSLError):
            await told(port, context)


@pytest.mark.parametrize(
    ("ciphers", "expected", "text"),
    [
        ("DHE-RSA-AES256-GCM-SHA384", ValueError, "suite DHE-RSA-AES256-GCM-SHA384"),
        ("ECDHE-RSA-AES256-SHA:AES256-SHA256", ValueError, "suite AES256-SHA256"),
        ("DHE+AESGCM", ValueError, "none of the suites that 'DHE"),
        ("TLS_AES_128_GCM_SHA256", ValueError, "TLS_AES_128_GCM_SHA256 of TLS 1.3"),
        ("DEFAULT:@SECLEVEL=1", ValueError, "@SECLEVEL=1"),
        ("nonsense", ssl.SSLError, "No cipher"),
    ],
)
def test_cipher_suites_that_cannot_be_had(
    ciphers: str, expected: type[Exception], text: str
) -> None:
    with pytest.raises(expected, match=text):
        create_default_context().set_ciphers(ciphers)


def test_names_of_suites() -> None:
    from aiows._ciphers import SUITES

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")
    known = {cipher["name"] for cipher in context.get_ciphers()}
    assert set(SUITES) <= known
    create = create_default_context()
    create.set_ciphers(":".join(SUITES))
    create._core_tls(server=False)  # the core knows every one


async def test_alpn(authority: trustme.CA, server_files: Files) -> None:
    choosing = server_context(server_files)
    choosing.set_alpn_protocols(["http/1.1"])
    context = client_context(authority)
    async with websockets_peer(choosing) as port:
        assert (await told(port, context))["alpn"] is None
        context.set_alpn_protocols(["acme", "http/1.1"])
        assert (await told(port, context))["alpn"] == "http/1.1"


@pytest.mark.parametrize("optional", [False, True])
async def test_server_that_wants_certificates(
    authority: trustme.CA, server_files: Files, client_files: Files, optional: bool
) -> None:
    wanting = create_default_context(ssl.Purpose.CLIENT_AUTH)
    wanting.load_cert_chain(server_files.cert, server_files.key)
    wanting.load_verify_locations(cadata=authority.cert_pem.bytes().decode())
    wanting.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED

    async def handler(connection: Any) -> None:
        certificate = connection.peer_certificate
        await connection.send(json.dumps(certificate and certificate.hex()))

    async with serve(handler, "127.0.0.1", 0, ssl=wanting) as server:
        uri = f"wss://localhost:{server.port}/"
        context = client_context(authority)
        if optional:
            async with connect(uri, ssl=context) as ws:
                assert json.loads(await ws.recv()) is None
        else:
            with pytest.raises(ssl.SSLError, match="it wants a client certificate"):
                await connect(uri, ssl=context)
        context.load_cert_chain(client_files.cert, client_files.key)
        async with connect(uri, ssl=context) as ws:
            assert json.loads(await ws.recv()) == client_files.der.hex()
