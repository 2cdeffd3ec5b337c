"""
What the C tests share: tools, libraries, and the programs that use them.

A test whose tool is missing is skipped with one line, and fails when CI is "true".
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import resource
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PASSWORD = "pa ß"  # of the key that is encrypted

# What each library is for, and the arguments of capi/build.sh around its path. Only the
# release is built with capi/default.pgo: it compiles every package anew.
VARIANTS: dict[str, tuple[list[str], list[str]]] = {
    "release": ([], []),
    "test": (["-g"], ["-pgo=off", "-tags", "aiows_test"]),
    "asan": ([], ["-pgo=off", "-asan", "-tags", "aiows_test"]),
    "valgrind": (["-g"], ["-pgo=off", "-tags", "aiows_test,valgrind"]),
}


def missing(reason: str) -> None:
    """Skip the test for lack of something, or fail where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need(tool: str) -> str:
    """Return the path of a program, or skip."""
    path = shutil.which(tool)
    if path is None:
        missing(f"{tool} is not installed")
        raise AssertionError
    return path


def run(args: list[str | Path], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its output is captured as text."""
    options = {"timeout": 300, **options}
    return subprocess.run(args, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


def checked(args: list[str | Path], **options: object) -> str:
    """Run a program that must succeed, and return what it printed."""
    done = run(args, **options)
    if done.returncode != 0:
        text = " ".join(map(str, args))
        pytest.fail(
            f"{text}\nexit status {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False
        )
    return done.stdout


@dataclasses.dataclass
class Builder:
    """Builds libraries and programs into a folder, each once."""

    folder: Path
    made: dict[tuple[str, ...], Path] = dataclasses.field(default_factory=dict)

    def library(self, variant: str) -> Path:
        """Return the folder of libaiows.so in a variant."""
        key = ("library", variant)
        if key not in self.made:
            need("go")
            need("cc")
            folder = self.folder / variant
            before, after = VARIANTS[variant]
            out = folder / "libaiows.so"
            checked([ROOT / "capi" / "build.sh", *before, out, *after], timeout=900)
            (folder / "libaiows.so.0").symlink_to(out.name)
            self.made[key] = folder
        return self.made[key]

    def program(self, source: Path, variant: str, *flags: str) -> Path:
        """Compile a C program against the library in a variant."""
        key = (str(source), variant, *flags)
        if key not in self.made:
            lib = self.library(variant)
            out = lib / f"{source.stem}{len(self.made)}"
            if variant == "asan":
                flags = (*flags, "-fsanitize=address")
            sources = [source]
            if source.parent == HERE:
                flags = (*flags, "-std=gnu11", "-pthread")
                sources.append(HERE / "harness.c")
            checked(
                [
                    "cc",
                    "-g",
                    "-O1",
                    "-Wall",
                    "-Wextra",
                    "-Werror",
                    *flags,
                    "-I",
                    ROOT / "include",
                    "-o",
                    out,
                    *sources,
                    "-L",
                    lib,
                    "-laiows",
                    f"-Wl,-rpath,{lib}",
                ]
            )
            self.made[key] = out
        return self.made[key]


@dataclasses.dataclass
class Peer:
    """The server of another library, the certificate that it shows, and a proxy."""

    ws: str
    wss: str
    ca: Path
    cert: Path
    proxy: str

    def environment(self) -> dict[str, str]:
        """Return what the C programs are told of the server."""
        return {
            **os.environ,
            "AIOWS_WS": self.ws,
            "AIOWS_WSS": self.wss,
            "AIOWS_CA": str(self.ca),
            "AIOWS_CERT": str(self.cert),
            "AIOWS_PROXY": self.proxy,
            "AIOWS_KEY": str(self.ca.with_name("encrypted.pem")),
            "AIOWS_PASSWORD": PASSWORD,
            "AIOWS_PIN": hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.ca.read_text())).hexdigest(),
        }


def lower_limit() -> None:
    """Leave a gap below the hard limit of descriptors, into which Go would go."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))


def one_processor() -> None:
    """Stay on one processor: only there each of valgrind's threads gets its turn."""
    # Another one for each process of pytest-xdist, gw0, gw1 and so on.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    usable = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {usable[worker % len(usable)]})


RunTest = Callable[..., subprocess.CompletedProcess[str]]
