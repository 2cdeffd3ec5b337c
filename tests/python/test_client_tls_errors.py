"""What failed handshakes say: the certificate and the reason, by OpenSSL's numbers and names."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import pickle
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from servers.threaded_tls import one_at_a_time
from websockets.sync.server import ServerConnection, serve

from aiows import SSLContext, connect, create_default_context
from aiows._tls_errors import certificate_error
from streams import stream_server
from tls_peers import HOUR, NOW, files, self_signed, server_context, websockets_peer

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def below(authority: trustme.CA) -> trustme.LeafCert:
    return authority.create_child_ca().issue_cert("localhost")


Issue = Callable[[trustme.CA], trustme.LeafCert]

# What the server shows, whether its authority is trusted, and the whole chain is sent; the
# name that is asked for; what is said of it.
REFUSED: dict[str, tuple[Issue, bool, bool, str, str]] = {
    "expired": (
        lambda ca: ca.issue_cert("localhost", not_before=NOW - 2 * HOUR, not_after=NOW - HOUR),
        True,
        True,
        "localhost",
        rf"expired at {(NOW - HOUR):%Y-%m-%dT%H:%M:%SZ}, the clock says 2\d\d\d-",
    ),
    "not yet valid": (
        lambda ca: ca.issue_cert("localhost", not_before=NOW + HOUR, not_after=NOW + 2 * HOUR),
        True,
        True,
        "localhost",
        rf"not valid before {(NOW + HOUR):%Y-%m-%dT%H:%M:%SZ}, the clock says 2\d\d\d-",
    ),
    "unknown authority": (
        lambda ca: ca.issue_cert("localhost"),
        False,
        True,
        "localhost",
        "signed by an authority that is not trusted",
    ),
    "intermediate missing": (
        below,
        True,
        False,
        "localhost",
        "signed by an authority that is not trusted; the peer sent no intermediate certificate",
    ),
    "unknown root of a chain": (
        below,
        False,
        True,
        "localhost",
        "signed by an authority that is not trusted",
    ),
    "self-signed": (
        lambda ca: self_signed(),
        True,
        True,
        "localhost",
        "self-signed and not trusted",
    ),
    "wrong name": (
        lambda ca: ca.issue_cert("other.example", "*.example.com", "10.0.0.1"),
        True,
        True,
        "localhost",
        'not valid for "localhost", only for "other.example", "\\*.example.com", "10.0.0.1"',
    ),
    "wrong address": (
        lambda ca: ca.issue_cert("localhost", "10.0.0.1"),
        True,
        True,
        "127.0.0.1",
        'not valid for "127.0.0.1", only for "localhost", "10.0.0.1"',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refused_certificate(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory, case: str
) -> None:
    issue, trusted, whole, host, text = REFUSED[case]
    leaf = issue(authority)
    chain = files(tmp_path_factory, leaf, whole=whole)
    ca = authority if trusted else trustme.CA()
    async with websockets_peer(server_context(chain)) as port:
        context = create_default_context(cadata=ca.cert_pem.bytes().decode())
        with pytest.raises(ssl.SSLCertVerificationError) as ours:
            await connect(f"wss://{host}:{port}/", ssl=context)
        plain = ssl.create_default_context(cadata=ca.cert_pem.bytes().decode())
        plain.verify_flags &= ~ssl.VERIFY_X509_STRICT  # of 3.13, before it looks at all else
        with pytest.raises(ssl.SSLCertVerificationError) as theirs:
            await asyncio.open_connection("127.0.0.1", port, ssl=plain, server_hostname=host)
    error = ours.value
    assert error.verify_code == theirs.value.verify_code, (error, theirs.value)
    assert error.reason == theirs.value.reason == "CERTIFICATE_VERIFY_FAILED"
    assert error.library == theirs.value.library
    assert error.errno == theirs.value.errno
    assert re.match(text, error.verify_message), error.verify_message
    for part in (f"tls handshake with {host}:{port}: ", 'with subject "', 'issuer "'):
        assert part in str(error)
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (twin.verify_code, twin.reason) == (error.verify_code, error.reason)


async def test_certificate_for_something_else(tmp_path_factory: pytest.TempPathFactory) -> None:
    chain = files(tmp_path_factory, self_signed(server=False))
    async with websockets_peer(server_context(chain)) as port:
        context = create_default_context(cafile=chain.cert)
        with pytest.raises(ssl.SSLCertVerificationError, match="only for clients") as ours:
            await connect(f"wss://localhost:{port}/", ssl=context)
        plain = ssl.create_default_context(cafile=chain.cert)
        plain.verify_flags &= ~ssl.VERIFY_X509_STRICT
        with pytest.raises(ssl.SSLCertVerificationError) as theirs:
            await asyncio.open_connection("127.0.0.1", port, ssl=plain, server_hostname="localhost")
    assert ours.value.verify_code == theirs.value.verify_code


# What breaks RFC 5280 in the authority and in the certificate below it: extensions left out,
# extensions whose criticality is the other one, and whether the leaf may sign.
LAX: dict[str, tuple[set[type[x509.ExtensionType]], set[type[x509.ExtensionType]], bool]] = {
    "nothing": (set(), set(), False),
    "authority without key usage": ({x509.KeyUsage}, set(), False),
    "authority without subject key": ({x509.SubjectKeyIdentifier}, set(), False),
    "constraints not critical": (set(), {x509.BasicConstraints}, False),
    "no authority key": ({x509.AuthorityKeyIdentifier}, set(), False),
    "leaf that signs": (set(), set(), True),
}


def lax_chain(
    absent: set[type[x509.ExtensionType]], turned: set[type[x509.ExtensionType]], signs: bool
) -> tuple[str, trustme.LeafCert]:
    """Return an authority as PEM text and a certificate of its for localhost."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("root", "lax")]
    certificates = []
    for is_leaf, (key, name) in enumerate(zip(keys, names, strict=True)):
        usage = dict.fromkeys(
            (
                "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                "crl_sign", "encipher_only", "decipher_only",
            ),
            False,
        )  # fmt: skip
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=not is_leaf, path_length=None), True),
            (
                x509.KeyUsage(digital_signature=True, key_cert_sign=signs or not is_leaf, **usage),
                True,
            ),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), False),
        ]
        if is_leaf:
            extensions.append((x509.SubjectAlternativeName([x509.DNSName("localhost")]), False))
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - HOUR)
            .not_valid_after(NOW + HOUR)
        )
        for extension, critical in extensions:
            if type(extension) not in absent:
                builder = builder.add_extension(extension, critical ^ (type(extension) in turned))
        certificates.append(builder.sign(keys[0], hashes.SHA256()))
    pems = [each.public_bytes(serialization.Encoding.PEM) for each in certificates]
    private = keys[1].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pems[0].decode(), trustme.LeafCert(private, pems[1], [])


@pytest.mark.parametrize("case", LAX)
async def test_strict(tmp_path_factory: pytest.TempPathFactory, case: str) -> None:
    cadata, leaf = lax_chain(*LAX[case])
    chain = files(tmp_path_factory, leaf)
    async with websockets_peer(server_context(chain)) as port:
        codes = []
        for make in (create_default_context, ssl.create_default_context):
            context = make(cadata=cadata)
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            await try_context(port, context)
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            try:
                await try_context(port, context)
            except ssl.SSLCertVerificationError as error:
                codes.append((error.verify_code, error.reason))
        if case == "nothing":
            assert codes == []
        else:
            assert len(codes) == 2
            assert codes[0] == codes[1]


async def try_context(port: int, context: ssl.SSLContext) -> None:
    if isinstance(context, SSLContext):
        async with connect(f"wss://localhost:{port}/", ssl=context):
            return
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def test_names_that_look_like_reasons() -> None:
    error = certificate_error(
        r'tls handshake with h:1: certificate with subject "CN=a\", issuer \"b\": expired at x", '
        r'issuer "CN=: self-signed and not trusted": not valid for "h", only for "g"'
    )
    assert error.verify_message == 'not valid for "h", only for "g"'
    assert error.verify_code == 62


@contextlib.contextmanager
def threaded_peer(context: ssl.SSLContext) -> Iterator[int]:
    """Run a server that sends its alerts, on websockets and threads."""

    def handler(connection: ServerConnection) -> None:
        connection.recv()

    quiet = logging.Logger("quiet", logging.CRITICAL)
    with serve(handler, "127.0.0.1", 0, ssl=one_at_a_time(context), logger=quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


def old(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def new(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3


def expired(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("me@example.com", not_before=NOW - 2 * HOUR, not_after=NOW - HOUR)


NO_RSA = "ECDHE-RSA-AES128-GCM-SHA256"
WANTED = "it wants a client certificate"
REFUSED_IT = 'it did not accept the client certificate with subject "'

# What the server wants, what the client does, the certificate that it shows, what is said.
ALERTS: dict[str, tuple[Any, Any, Issue | None, str]] = {
    "none, 1.3": (new, None, None, WANTED),
    "none, 1.2": (old, None, None, WANTED),
    "unknown, 1.3": (new, None, lambda ca: self_signed(server=False), REFUSED_IT),
    "unknown, 1.2": (old, None, lambda ca: trustme.CA().issue_cert("x@y.z"), REFUSED_IT),
    "expired, 1.3": (new, None, expired, REFUSED_IT),
    "version": (old, new, None, "it speaks no TLS 1.3 or later"),
    "suite": (old, lambda context: context.set_ciphers(NO_RSA), None, "no cipher suite"),
}


@pytest.mark.parametrize("case", ALERTS)
async def test_alerts(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory, case: str
) -> None:
    server, client, issue, text = ALERTS[case]
    chain = files(tmp_path_factory, authority.issue_cert("localhost"))
    wanting = server_context(chain, authority if client is None else None)
    server(wanting)
    cadata = authority.cert_pem.bytes().decode()
    contexts = create_default_context(cadata=cadata), ssl.create_default_context(cadata=cadata)
    shown = None if issue is None else files(tmp_path_factory, issue(authority))
    for context in contexts:
        if client is not None:
            client(context)
        if shown is not None:
            context.load_cert_chain(shown.cert, shown.key)
    with threaded_peer(wanting) as port:
        with pytest.raises(ssl.SSLError) as ours:
            await connect(f"wss://localhost:{port}/", ssl=contexts[0])
        with pytest.raises(ssl.SSLError) as theirs:
            await plain_client(port, contexts[1])
    assert text in str(ours.value)
    assert ours.value.reason == theirs.value.reason
    assert type(ours.value) is type(theirs.value) is ssl.SSLError


async def plain_client(port: int, context: ssl.SSLContext) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    try:
        await reader.read()  # the alert of TLS 1.3
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_not_tls() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with stream_server(answer) as (_, port):
        with pytest.raises(ssl.SSLError, match="answered in plain HTTP") as caught:
            await connect(f"wss://127.0.0.1:{port}/")
    assert caught.value.reason == "WRONG_VERSION_NUMBER"
