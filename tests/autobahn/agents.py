"""The clients and servers under test, and how each is started."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import trustme

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "autobahn"
MAX_SIZE = 64 << 20  # bytes; the longest message has 16 MiB


@dataclass(frozen=True)
class Certificate:
    """Files for wss on 127.0.0.1."""

    authority: Path
    chain: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificate(folder / "authority.pem", folder / "chain.pem", folder / "key.pem")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(str(made.authority))
    certificate.private_key_pem.write_to_path(str(made.key))
    made.chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    return made


@dataclass(frozen=True)
class Agent:
    """
    A program under test.

    A server prints its port and ends with SIGTERM; a client runs the cases of the
    fuzzing server whose URI it is told, asks for the report, and ends.
    """

    name: str
    server: bool
    program: tuple[str, ...]
    # Of a server: for a certificate. Of a client: for an authority.
    secure: tuple[str, ...]
    # After everything else.
    last: tuple[str, ...] = ()
    # Of a client: for how many cases it runs side by side.
    at_once: str = "--at-once"

    def serving(self, certificate: Certificate | None) -> list[str]:
        secure: list[str] = []
        if certificate is not None:
            files = (str(certificate.chain), str(certificate.key))
            secure = [word for pair in zip(self.secure, files, strict=True) for word in pair]
        return [*self.program, *secure, *self.last]

    def asking(self, uri: str, authority: Path | None, at_once: int) -> list[str]:
        secure = [] if authority is None else [*self.secure, str(authority)]
        return [*self.program, *secure, self.at_once, str(at_once), uri, self.name]


def python(program: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, str(HERE / "programs" / program), *arguments)


AGENTS = (
    Agent("python-client", False, python("client.py"), ("--ca",)),
    Agent("python-server", True, python("server.py"), ("--cert", "--key")),
    Agent("c-client", False, (str(BUILD / "bin" / "client"),), ("-a",), at_once="-n"),
    # The example that people copy.
    Agent(
        "c-server",
        True,
        (str(BUILD / "bin" / "echo"), "-z", "-m", str(MAX_SIZE)),
        ("-c", "-k"),
        ("0",),
    ),
)


def build_c_agents() -> None:
    """Compile the C programs against build/libaiows.so."""
    (BUILD / "bin").mkdir(parents=True, exist_ok=True)
    library = ROOT / "build"
    for source in (HERE / "programs" / "client.c", ROOT / "examples" / "c" / "echo.c"):
        command = [os.environ.get("CC", "cc"), "-std=c99", "-O2", "-g", "-Wall", "-Wextra"]
        command += ["-Werror", "-pedantic", "-I", str(ROOT / "include"), str(source)]
        command += ["-o", str(BUILD / "bin" / source.stem), "-L", str(library), "-laiows"]
        subprocess.run([*command, f"-Wl,-rpath,{library}"], check=True)
