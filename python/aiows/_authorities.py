"""Where certificates of authorities are, and reading them."""

from __future__ import annotations

import functools
import os
import re
import ssl
from pathlib import Path
from typing import TypeAlias

from ._quoting import quoted

PathLike: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]

# Where systems keep their authorities in one file, for an OpenSSL that was
# built to look elsewhere.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")

_is_hashed_name = re.compile(r"[0-9a-f]{8}\.[0-9]+").fullmatch


def of_environment() -> str | None:
    """
    Return what SSL_CERT_FILE and SSL_CERT_DIR name, None when the core finds it itself.

    os.environ counts: the library sees only the environment that the process
    started with.

    Raises:
        ValueError: They name no certificates.

    """
    names = _names()
    if not any(names) and not _set_at_start():
        return None
    authorities = _read_system(*names)
    if not authorities:
        file, directory = names
        raise ValueError(
            f"no certificates in SSL_CERT_FILE = {quoted(file)}, SSL_CERT_DIR = {quoted(directory)}"
        )
    return authorities


def _names() -> tuple[str | None, str | None]:
    file, directory = (os.environ.get(name) or None for name in _VARIABLES)
    return file, directory


@functools.cache
def _set_at_start() -> bool:
    # Unset since then, they would still be what the core goes by.
    try:
        started = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(
        entry.startswith(f"{name}=".encode()) and not entry.endswith(b"=")
        for entry in started
        for name in _VARIABLES
    )


def of_system() -> str:
    """Return the certificates that OpenSSL would trust by default, "" for none."""
    return _read_system(*_names())


@functools.lru_cache(maxsize=2)
def _read_system(file: str | None, directories: str | None) -> str:
    # Once for each environment: it may be some 140 files.
    paths = ssl.get_default_verify_paths()
    found = [read(name) for name in [file or paths.openssl_cafile] if os.path.isfile(name)]
    for name in (directories or paths.openssl_capath).split(os.pathsep):
        if os.path.isdir(name):
            found.append(read_directory(name))
    text = "\n".join(filter(None, found))
    if not text and not (file or directories):
        text = next((read(bundle) for bundle in _BUNDLES if os.path.isfile(bundle)), "")
    return text


def read(path: PathLike) -> str:
    """Return a PEM file's text; what is no ASCII can only be a comment."""
    return Path(os.fsdecode(path)).read_text("latin-1").encode("ascii", "replace").decode()


def read_directory(path: str) -> str:
    """Return the certificates of a directory that OpenSSL would look up there."""
    names = sorted(filter(_is_hashed_name, os.listdir(path)))
    return "\n".join(read(os.path.join(path, name)) for name in names)


def pem_of(der: bytes) -> str:
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
