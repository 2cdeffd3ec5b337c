"""
TLS contexts that the core can use.

SSLContext and create_default_context look like those of the ssl module and
remember what is loaded, because the core cannot read it back from OpenSSL.
Whatever the core cannot honour raises an exception that names it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from . import _authorities, _ciphers, _core
from ._authorities import PathLike as _Path
from ._errors import call_error
from ._quoting import quoted

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["SSLContext", "create_default_context"]

_Password: TypeAlias = str | bytes | bytearray

# Options that forbid only what the core never does.
_HARMLESS = (
    ssl.OP_NO_SSLv2
    | ssl.OP_NO_SSLv3
    | ssl.OP_NO_TLSv1
    | ssl.OP_NO_TLSv1_1
    | ssl.OP_NO_COMPRESSION
    | ssl.OP_SINGLE_DH_USE
    | ssl.OP_SINGLE_ECDH_USE
    | getattr(ssl, "OP_NO_RENEGOTIATION", 0)
)
_VERSIONS = ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3

_UNCHANGED = (
    "hostname_checks_common_name",
    "keylog_filename",
    "num_tickets",
    "post_handshake_auth",
    "sni_callback",
)
# The core trusts what is loaded, root or not, as VERIFY_X509_PARTIAL_CHAIN has it, which
# 3.13 sets by default.
_VERIFY_FLAGS = (
    ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
)

_is_pin = re.compile(r"[0-9a-fA-F]{64}|[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){31}").fullmatch


class SSLContext(ssl.SSLContext):
    """
    TLS settings for connect and serve.

    It is an ssl.SSLContext and checks files as one does. The core supports TLS
    1.2 and 1.3, verification of a peer's certificate with or without its name,
    pins, one certificate chain, authorities, suites of TLS 1.2 and ALPN.
    Changes reach connections opened and servers started afterwards.

    What is loaded is trusted, be it a root, an intermediate or a server's own
    certificate, as with VERIFY_X509_PARTIAL_CHAIN.

    Args:
        protocol: ssl.PROTOCOL_TLS_CLIENT (default) or ssl.PROTOCOL_TLS_SERVER.

    Raises:
        ValueError: Another protocol, or a setting that the core cannot honour;
            settings made by assignment are checked by connect and serve.

    """

    _server: bool
    _system: bool
    _ca: list[str]
    _cert: str | None
    _key: str | None
    _key_password: bytes | None
    _alpn: list[str]
    _suites: tuple[str, ...]
    _pins: list[str]
    _baseline: dict[str, Any]
    _handle: tuple[dict[str, Any], _core.TLS] | None

    def __new__(cls, protocol: int = ssl.PROTOCOL_TLS_CLIENT) -> SSLContext:
        if protocol not in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER):
            raise ValueError(
                f"protocol {quoted(protocol)}, expected PROTOCOL_TLS_CLIENT or PROTOCOL_TLS_SERVER"
            )
        context = super().__new__(cls, protocol)
        context._server = protocol == ssl.PROTOCOL_TLS_SERVER
        context._system = False
        context._ca = []
        context._cert = context._key = context._key_password = None
        context._alpn = []
        context._suites = ()
        context._pins = []
        context._handle = None
        context._baseline = {name: getattr(context, name, None) for name in _UNCHANGED}
        context._baseline["options"] = context.options
        return context

    def load_cert_chain(
        self,
        certfile: _Path,
        keyfile: _Path | None = None,
        password: Callable[[], _Password] | _Password | None = None,
    ) -> None:
        """
        Load a certificate chain, leaf first, and its key, from PEM files.

        A client shows it to every server that asks for a certificate.

        Args:
            certfile: The chain, and the key where keyfile is None.
            keyfile: The key, plain or encrypted as PKCS #8 (PBES2) or in the
                older way of PEM.
            password: Of an encrypted key; a callable is called once, and only
                for one. None never asks at a terminal. The context keeps it
                as long as it lives, to hand it to the core with the key.

        Raises:
            ValueError: The key is encrypted and there is no password; or a
                chain is loaded already.
            OSError: A file cannot be read.
            ssl.SSLError: The files do not fit together, or the password is
                wrong.

        """
        if self._cert is not None:
            raise ValueError("a certificate chain is loaded already, make another SSLContext")
        once = _Once(password)
        with _about(certfile, keyfile):
            super().load_cert_chain(certfile, keyfile, password=once)
        self._cert = _authorities.read(certfile)
        self._key = self._cert if keyfile is None else _authorities.read(keyfile)
        self._key_password = once.answer

    def pin_sha256(self, *pins: str | bytes) -> None:
        """
        Accept only servers whose own certificate is one of these, from all calls together.

        The certificate is verified besides. With verify_mode CERT_NONE the pin
        alone decides, as a certificate needs that nobody else has signed.

        Args:
            pins: SHA-256 of the certificate's DER, as hexadecimal digits with
                or without colons, or as 32 bytes; or of its public key, as
                "sha256//" and base64.

        Raises:
            TypeError, ValueError: One is no such pin; or the context is a
                server's.

        """
        if self._server:
            raise ValueError("pin_sha256: pins are for a client's context")
        self._pins += map(_pin, pins)

    @property
    def pins(self) -> tuple[str, ...]:
        """The pins that pin_sha256 was given."""
        return tuple(self._pins)

    def load_verify_locations(
        self,
        cafile: _Path | None = None,
        capath: _Path | None = None,
        cadata: str | Buffer | None = None,
    ) -> None:
        """Trust more authorities: a PEM file, an OpenSSL directory, PEM text or DER bytes."""
        with _about(cafile, capath):
            super().load_verify_locations(cafile, capath, cadata)
        if cafile is not None:
            self._ca.append(_authorities.read(cafile))
        if capath is not None:
            self._ca.append(_authorities.read_directory(os.fsdecode(capath)))
        if isinstance(cadata, str):
            self._ca.append(cadata)
        elif cadata is not None:
            self._ca.append(_authorities.pem_of(bytes(cadata)))

    def set_default_verify_paths(self) -> None:
        """Trust the system's authorities."""
        super().set_default_verify_paths()
        self._system = True

    def load_default_certs(self, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        """Trust the system's authorities."""
        super().load_default_certs(purpose)
        self._system = True

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Offer (client) or accept (server) these protocols."""
        protocols = list(alpn_protocols)
        super().set_alpn_protocols(protocols)
        self._alpn = protocols

    def set_ciphers(self, cipherlist: str, /) -> None:
        """
        Allow these suites of TLS 1.2, by OpenSSL's names and keywords; those of 1.3 stay.

        The core orders them by itself. Of what a keyword stands for it takes
        the suites that it has.

        Raises:
            ssl.SSLError: OpenSSL knows nothing of it.
            ValueError: The core does not have a suite that is named, nor any
                other of the list; or a suite of TLS 1.3 or another security
                level is asked for.

        """
        _ciphers.check_list(self, cipherlist)
        super().set_ciphers(cipherlist)
        self._suites = _ciphers.suites_of(self, cipherlist)

    def set_ciphersuites(self, ciphersuites: str, /) -> NoReturn:
        """Raise ValueError: the suites of TLS 1.3 cannot be chosen."""
        raise ValueError("set_ciphersuites: the suites of TLS 1.3 are always on")

    def set_ecdh_curve(self, name: str | bytes, /) -> NoReturn:
        """Raise ValueError: the core chooses curves itself."""
        raise ValueError("set_ecdh_curve: the core chooses curves itself")

    def load_dh_params(self, path: _Path, /) -> NoReturn:
        """Raise ValueError: the core does not use finite-field Diffie-Hellman."""
        raise ValueError("load_dh_params: the core does not use finite-field Diffie-Hellman")

    def set_psk_client_callback(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ValueError: the core does not support pre-shared keys."""
        raise ValueError("set_psk_client_callback: pre-shared keys are not supported")

    def set_psk_server_callback(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ValueError: the core does not support pre-shared keys."""
        raise ValueError("set_psk_server_callback: pre-shared keys are not supported")

    def _core_options(self, *, server: bool) -> dict[str, Any]:
        if server != self._server:
            role = "server" if self._server else "client"
            raise ValueError(f"ssl is a {role}'s context, made with PROTOCOL_TLS_{role.upper()}")
        for name in _UNCHANGED:
            if getattr(self, name, None) != self._baseline[name]:
                raise ValueError(f"ssl: {name} = {quoted(getattr(self, name))} is not supported")
        if self.verify_flags & ~_VERIFY_FLAGS:
            flags = ssl.VerifyFlags(self.verify_flags)
            raise ValueError(f"ssl: verify_flags = {quoted(flags)} is not supported")
        changed = self.options ^ self._baseline["options"]
        if changed & ~(_HARMLESS | _VERSIONS) or changed & self._baseline["options"]:
            raise ValueError(f"ssl: options = {quoted(ssl.Options(self.options))} is not supported")
        options: dict[str, Any] = {
            "server": server,
            "min_version": self._version("minimum_version"),
            "max_version": self._version("maximum_version"),
            "alpn": tuple(self._alpn),
        }
        if self.options & ssl.OP_NO_TLSv1_2:
            options["min_version"] = max(options["min_version"], ssl.TLSVersion.TLSv1_3)
        if self.options & ssl.OP_NO_TLSv1_3:
            options["max_version"] = min(
                options["max_version"] or ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2
            )
        if options["max_version"] and options["max_version"] < options["min_version"]:
            raise ValueError("ssl: minimum_version is above maximum_version")
        if self._suites and options["min_version"] <= ssl.TLSVersion.TLSv1_2:
            options["cipher_suites"] = self._suites
        if self._cert is not None:
            options["cert_pem"], options["key_pem"] = self._cert, self._key
            options["key_password"] = self._key_password
        return options | (self._server_options() if server else self._client_options())

    def _server_options(self) -> dict[str, Any]:
        if self._cert is None:
            raise ValueError("ssl: a server needs load_cert_chain")
        if self.verify_mode == ssl.CERT_NONE:
            return {}
        authorities = self._authorities()
        if authorities is None:
            # Whoever the system trusts is trusted as a client; the core wants them named.
            authorities = _authorities.of_system()
        optional = self.verify_mode == ssl.CERT_OPTIONAL
        return {
            "ca_pem": authorities,
            "client_cert_optional": optional,
            "strict": self._is_strict(),
        }

    def _client_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"pins": self.pins}
        if self.verify_mode == ssl.CERT_NONE:
            options["insecure"] = True
            return options
        # A client verifies with CERT_OPTIONAL, too: a server always shows a certificate.
        options["any_name"] = not self.check_hostname
        options["strict"] = self._is_strict()
        options["ca_pem"] = self._authorities()
        return options

    def _is_strict(self) -> bool:
        return bool(self.verify_flags & ssl.VERIFY_X509_STRICT)

    def _version(self, name: str) -> int:
        version = getattr(self, name)
        if version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            return int(version)
        if name == "minimum_version" and version == ssl.TLSVersion.MINIMUM_SUPPORTED:
            return int(ssl.TLSVersion.TLSv1_2)
        if name == "maximum_version" and version == ssl.TLSVersion.MAXIMUM_SUPPORTED:
            return 0
        raise ValueError(f"ssl: {name} = {quoted(version)}, expected TLSv1_2 or TLSv1_3")

    def _authorities(self) -> str | None:
        if not self._ca:
            if self._system:
                return _authorities.of_environment()
            raise ValueError("ssl: no authorities are loaded; use load_default_certs")
        if not self._system:
            return "\n".join(self._ca)
        system = _authorities.of_system()
        if not system:
            raise ValueError("ssl: the system's authorities cannot be read to add others to them")
        return "\n".join([*self._ca, system])

    def _core_tls(self, *, server: bool) -> _core.TLS:
        # One handle as long as nothing changes: certificates are parsed once
        # and sessions resume.
        options = self._core_options(server=server)
        if self._handle is None or self._handle[0] != options:
            self._handle = options, _new_tls(options)
        return self._handle[1]


def create_default_context(
    purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH,
    *,
    cafile: _Path | None = None,
    capath: _Path | None = None,
    cadata: str | Buffer | None = None,
    pins: Iterable[str | bytes] = (),
) -> SSLContext:
    """
    Return an SSLContext with safe settings.

    Args:
        purpose: ssl.Purpose.SERVER_AUTH (default) for clients,
            ssl.Purpose.CLIENT_AUTH for servers.
        cafile: PEM file of authorities, such as certifi.where(); any of these
            three replaces the system's authorities.
        capath: Directory of authorities as OpenSSL has it.
        cadata: Authorities as PEM text or DER bytes.
        pins: What pin_sha256 takes.

    Raises:
        TypeError: purpose is no ssl.Purpose.
        ValueError: A pin is none.
        OSError, ssl.SSLError: A file cannot be read.

    """
    if not isinstance(purpose, ssl.Purpose):
        raise TypeError(f"purpose must be ssl.Purpose, got {quoted(purpose)}")
    client = purpose is ssl.Purpose.SERVER_AUTH
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT if client else ssl.PROTOCOL_TLS_SERVER)
    if cafile is not None or capath is not None or cadata is not None:
        context.load_verify_locations(cafile, capath, cadata)
    elif client:
        context.load_default_certs(purpose)
    if isinstance(pins, (str, bytes)):
        raise TypeError(f"pins must be a list, got {quoted(pins)}")
    pins = tuple(pins)
    if pins:
        context.pin_sha256(*pins)
    return context


def environment_tls() -> _core.TLS | None:
    """Return what SSL_CERT_FILE and SSL_CERT_DIR ask for, None when the core knows it."""
    authorities = _authorities.of_environment()
    if authorities is None:
        return None
    global _environment
    if _environment is None or _environment[0] is not authorities:
        _environment = authorities, _new_tls({"ca_pem": authorities})
    return _environment[1]


_environment: tuple[str, _core.TLS] | None = None


def _new_tls(options: dict[str, Any]) -> _core.TLS:
    from . import _library

    _library.load()
    try:
        return _core.TLS(**options)
    except _core.Error as error:
        if error.code == _core.ERRORS["CERTIFICATE"]:  # no peer's: a file or a key of ours
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, error.message) from None
        raise call_error(error) from None


@contextlib.contextmanager
def _about(*paths: _Path | None) -> Iterator[None]:
    # What ssl raises does not tell which file it is about.
    try:
        yield
    except OSError as error:
        names = " and ".join(os.fsdecode(path) for path in paths if path is not None)
        if names and error.strerror:
            error.strerror = f"{error.strerror}: {names}"
        raise


class _Once:
    """A password, asked for when OpenSSL finds that the key is encrypted."""

    def __init__(self, given: Callable[[], _Password] | _Password | None) -> None:
        if given is not None and not callable(given) and not isinstance(given, _PASSWORDS):
            raise TypeError(f"password must be str, bytes or callable, got {type(given).__name__}")
        self._given = given
        self.answer: bytes | None = None

    def __call__(self) -> bytes:
        if self.answer is not None:
            return self.answer
        if self._given is None:
            raise ValueError("keyfile: the key is encrypted, expected a password")
        answer = self._given() if callable(self._given) else self._given
        if not isinstance(answer, _PASSWORDS):
            raise TypeError(f"password() must return str or bytes, got {type(answer).__name__}")
        answer = answer.encode() if isinstance(answer, str) else bytes(answer)
        if b"\0" in answer:
            raise ValueError("password: a null character in it")
        self.answer = answer
        return answer


_PASSWORDS = (str, bytes, bytearray)


def _pin(value: object) -> str:
    if isinstance(value, bytes):
        if len(value) == 32:
            return value.hex()
    elif not isinstance(value, str):
        raise TypeError(f"pin must be str or bytes, got {quoted(value)}")
    elif _is_pin(value):
        return value
    elif value.startswith("sha256//"):
        try:
            if len(base64.b64decode(value[8:], validate=True)) == 32:
                return value
        except binascii.Error:
            pass
    raise ValueError(
        f"pin {quoted(value)}, expected the SHA-256 of a certificate as 64 hexadecimal digits or "
        "32 bytes, or sha256//BASE64 of a public key"
    )
