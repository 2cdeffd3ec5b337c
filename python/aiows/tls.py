"""
TLS contexts that the core can use.

SSLContext and create_default_context look like those of the ssl module and
remember what is loaded, because the core cannot read it back from OpenSSL.
Whatever the core cannot honour raises an exception that names it.
"""

from __future__ import annotations

import functools
import os
import re
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from . import _core
from ._errors import call_error

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["SSLContext", "create_default_context"]

_Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]

# Where systems keep their authorities in one file, for an OpenSSL that was
# built to look elsewhere.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)

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
    "verify_flags",
)

_is_hashed_name = re.compile(r"[0-9a-f]{8}\.[0-9]+").fullmatch


class SSLContext(ssl.SSLContext):
    """
    TLS settings for connect and serve.

    It is an ssl.SSLContext and checks files as one does. The core supports TLS
    1.2 and 1.3, verification of a server's certificate and name (both or
    neither), one certificate chain, authorities and ALPN. Changes reach
    connections opened and servers started afterwards.

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
    _alpn: list[str]
    _baseline: dict[str, Any]
    _handle: tuple[dict[str, Any], _core.TLS] | None

    def __new__(cls, protocol: int = ssl.PROTOCOL_TLS_CLIENT) -> SSLContext:
        if protocol not in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER):
            raise ValueError(
                f"protocol {protocol!r}, expected PROTOCOL_TLS_CLIENT or PROTOCOL_TLS_SERVER"
            )
        context = super().__new__(cls, protocol)
        context._server = protocol == ssl.PROTOCOL_TLS_SERVER
        context._system = False
        context._ca = []
        context._cert = context._key = None
        context._alpn = []
        context._handle = None
        context._baseline = {name: getattr(context, name, None) for name in _UNCHANGED}
        context._baseline["options"] = context.options
        return context

    def load_cert_chain(
        self,
        certfile: _Path,
        keyfile: _Path | None = None,
        password: Callable[[], str | bytes | bytearray] | str | bytes | bytearray | None = None,
    ) -> None:
        """
        Load a certificate chain, leaf first, and its key, from PEM files.

        Raises:
            ValueError: A password was given or the key is encrypted; or a
                chain is loaded already.
            ssl.SSLError: The files do not fit together.

        """
        if password is not None:
            raise ValueError("password: encrypted keys are not supported, decrypt the key first")
        if self._cert is not None:
            raise ValueError("a certificate chain is loaded already, make another SSLContext")
        super().load_cert_chain(certfile, keyfile, password=_refuse_password)
        self._cert = _read(certfile)
        self._key = self._cert if keyfile is None else _read(keyfile)

    def load_verify_locations(
        self,
        cafile: _Path | None = None,
        capath: _Path | None = None,
        cadata: str | Buffer | None = None,
    ) -> None:
        """Trust more authorities: a PEM file, an OpenSSL directory, PEM text or DER bytes."""
        super().load_verify_locations(cafile, capath, cadata)
        if cafile is not None:
            self._ca.append(_read(cafile))
        if capath is not None:
            self._ca.append(_read_directory(os.fsdecode(capath)))
        if isinstance(cadata, str):
            self._ca.append(cadata)
        elif cadata is not None:
            self._ca.append(_pem_of(bytes(cadata)))

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

    def set_ciphers(self, cipherlist: str, /) -> NoReturn:
        """Raise ValueError: the core chooses cipher suites itself."""
        raise ValueError("set_ciphers: the core chooses cipher suites itself")

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
                raise ValueError(f"ssl: {name} = {getattr(self, name)!r} is not supported")
        changed = self.options ^ self._baseline["options"]
        if changed & ~(_HARMLESS | _VERSIONS) or changed & self._baseline["options"]:
            raise ValueError(f"ssl: options = {ssl.Options(self.options)!r} is not supported")
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
        if self._cert is not None:
            options["cert_pem"], options["key_pem"] = self._cert, self._key
        if server:
            if self._cert is None:
                raise ValueError("ssl: a server needs load_cert_chain")
            if self.verify_mode != ssl.CERT_NONE:
                raise ValueError(f"ssl: verify_mode = {self.verify_mode!r} is not supported here")
            return options
        if self.verify_mode == ssl.CERT_NONE:
            options["insecure"] = True
            return options
        if not self.check_hostname:
            raise ValueError(
                "ssl: check_hostname = False is not supported while verify_mode = "
                f"{self.verify_mode!r}; set server_hostname to the name to expect"
            )
        options["ca_pem"] = self._authorities()
        return options

    def _version(self, name: str) -> int:
        version = getattr(self, name)
        if version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            return int(version)
        if name == "minimum_version" and version == ssl.TLSVersion.MINIMUM_SUPPORTED:
            return int(ssl.TLSVersion.TLSv1_2)
        if name == "maximum_version" and version == ssl.TLSVersion.MAXIMUM_SUPPORTED:
            return 0
        raise ValueError(f"ssl: {name} = {version!r}, expected TLSv1_2 or TLSv1_3")

    def _authorities(self) -> str | None:
        if not self._ca:
            if self._system:
                return _environment_authorities()
            raise ValueError("ssl: no authorities are loaded; use load_default_certs")
        if not self._system:
            return "\n".join(self._ca)
        system = _system_authorities()
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
) -> SSLContext:
    """
    Return an SSLContext with safe settings.

    Args:
        purpose: ssl.Purpose.SERVER_AUTH (default) for clients,
            ssl.Purpose.CLIENT_AUTH for servers.
        cafile: PEM file of authorities; any of these three replaces the
            system's authorities.
        capath: Directory of authorities as OpenSSL has it.
        cadata: Authorities as PEM text or DER bytes.

    Raises:
        TypeError: purpose is no ssl.Purpose.
        OSError, ssl.SSLError: A file cannot be read.

    """
    if not isinstance(purpose, ssl.Purpose):
        raise TypeError(f"purpose must be ssl.Purpose, got {purpose!r}")
    client = purpose is ssl.Purpose.SERVER_AUTH
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT if client else ssl.PROTOCOL_TLS_SERVER)
    if cafile is not None or capath is not None or cadata is not None:
        context.load_verify_locations(cafile, capath, cadata)
    elif client:
        context.load_default_certs(purpose)
    return context


def environment_tls() -> _core.TLS | None:
    """Return what SSL_CERT_FILE and SSL_CERT_DIR ask for, None when they are not set."""
    authorities = _environment_authorities()
    if authorities is None:
        return None
    global _environment
    if _environment is None or _environment[0] is not authorities:
        _environment = authorities, _new_tls({"ca_pem": authorities})
    return _environment[1]


_environment: tuple[str, _core.TLS] | None = None


def _environment_authorities() -> str | None:
    # Python's view of them: the library sees only the environment that the
    # process started with.
    names = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return _named_authorities(*names) if any(names) else None


@functools.lru_cache(maxsize=1)
def _named_authorities(file: str | None, directory: str | None) -> str:
    authorities = _system_authorities()
    if not authorities:
        raise ValueError(
            f"no certificates in SSL_CERT_FILE = {file!r} and SSL_CERT_DIR = {directory!r}"
        )
    return authorities


def _system_authorities() -> str:
    paths = ssl.get_default_verify_paths()
    found = []
    if paths.cafile:
        found.append(_read(paths.cafile))
    if paths.capath:
        found.append(_read_directory(paths.capath))
    text = "\n".join(filter(None, found))
    if not text:
        text = next((_read(bundle) for bundle in _BUNDLES if os.path.isfile(bundle)), "")
    return text


def _new_tls(options: dict[str, Any]) -> _core.TLS:
    from . import _library

    _library.load()
    try:
        return _core.TLS(**options)
    except _core.Error as error:
        raise call_error(error) from None


def _read(path: _Path) -> str:
    # Certificates are ASCII; comments between them may be anything.
    return Path(os.fsdecode(path)).read_text("latin-1").encode("ascii", "replace").decode()


def _read_directory(path: str) -> str:
    names = sorted(filter(_is_hashed_name, os.listdir(path)))
    return "\n".join(_read(os.path.join(path, name)) for name in names)


def _pem_of(der: bytes) -> str:
    """Return DER certificates, one after the other, as PEM text."""
    certificates = []
    while der:
        size = 2
        if len(der) > 1 and der[1] & 0x80:
            count = der[1] & 0x7F
            size += count + int.from_bytes(der[2 : 2 + count], "big")
        elif len(der) > 1:
            size += der[1]
        certificates.append(ssl.DER_cert_to_PEM_cert(der[:size]))
        der = der[size:]
    return "".join(certificates)


def _refuse_password() -> NoReturn:
    raise ValueError("keyfile: encrypted keys are not supported, decrypt the key first")
