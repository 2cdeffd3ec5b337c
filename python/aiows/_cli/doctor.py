"""
``aiows doctor``: what is wrong with an installation.

Needs no other module of the package, any of which may be missing or another
distribution's.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import platform
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "libaiows"
LEAST_PYTHON = (3, 11)
PACKAGE = Path(__file__).resolve().parent.parent
LIBRARY = "libaiows.so"
_LOADING = """
from aiows import _library, version
print(version.__version__, _library.version())
"""
_LOADING_S = 60.0
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True)
class Finding:
    """
    One thing that was looked at.

    Attributes:
        text: What was found.
        remedy: What to do about it; None: nothing is wrong.
        wrong: Whether it counts as a fault; else it is a hint.

    """

    text: str
    remedy: str | None = None
    wrong: bool = True


def run() -> int:
    """Print what was found and return the exit status: 0 when nothing is wrong."""
    faults = 0
    for check in (_python, _system, _owners, _files, _architecture, _loading, _authorities, _cli):
        for finding in check():
            fault = finding.remedy is not None and finding.wrong
            faults += fault
            mark = "WRONG" if fault else "hint " if finding.remedy else "ok   "
            print(f"{mark}  {finding.text}")
            if finding.remedy:
                print(f"       {finding.remedy}")
    print(f"{faults} {'fault' if faults == 1 else 'faults'} found in {PACKAGE}")
    return 1 if faults else 0


def _python() -> Iterator[Finding]:
    text = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    if platform.python_implementation() != "CPython":
        yield Finding(text, "aiows needs CPython")
    elif sys.version_info[:2] < LEAST_PYTHON:
        yield Finding(text, "aiows needs Python {}.{} or later".format(*LEAST_PYTHON))
    elif sysconfig.get_config_var("Py_GIL_DISABLED"):
        yield Finding(text, "free-threaded builds are not supported yet: use a regular one")
    else:
        yield Finding(text)


def _system() -> Iterator[Finding]:
    libc, version = platform.libc_ver()
    text = (
        f"{platform.system()} {platform.machine()}, {libc or 'an unknown libc'} {version}".strip()
    )
    if sys.platform != "linux":
        yield Finding(text, "aiows runs on Linux only")
    elif libc != "glibc":
        yield Finding(text, "aiows needs glibc: Go's shared libraries do not load on musl")
    else:
        yield Finding(text)


def _owners() -> Iterator[Finding]:
    """Look for other distributions that have files in the package's folder."""
    found = {}
    for distribution in metadata.distributions():
        files = _files_in_package(distribution)
        name = distribution.metadata["Name"]
        if files and name != DISTRIBUTION:
            found[f"{name} {distribution.version}"] = files
    for name, files in found.items():
        word = name.partition(" ")[0]
        yield Finding(
            f"the distribution {name} has files here, such as {files[0]}",
            f"both cannot be installed: pip uninstall -y {word} {DISTRIBUTION}, "
            f"then pip install {DISTRIBUTION}",
        )
    if not found:
        yield Finding("no other distribution has files in the package")


def _files() -> Iterator[Finding]:
    """Compare files with what was installed."""
    installed = [d for d in metadata.distributions() if d.metadata["Name"] == DISTRIBUTION]
    # One listed twice on sys.path is one.
    places = {str(d.locate_file("")): d for d in installed}
    if not installed:
        yield Finding(
            f"the distribution {DISTRIBUTION} is not installed, these are loose files",
            f"pip install {DISTRIBUTION}",
            wrong=False,
        )
        return
    if len(places) > 1:
        versions = ", ".join(f"{d.version} in {place}" for place, d in places.items())
        yield Finding(
            f"{DISTRIBUTION} is installed {len(places)} times: {versions}",
            "the first one on sys.path is used: uninstall the others",
            wrong=False,
        )
    owned = installed[0]
    if not _files_in_package(owned):
        yield Finding(f"{DISTRIBUTION} {owned.version}, editable: files are not compared")
        return
    missing, changed = [], []
    for file in owned.files or ():
        path = Path(str(owned.locate_file(file)))
        if not path.exists():
            missing.append(str(file))
        elif file.hash is not None and file.hash.value != _digest(path, file.hash.mode):
            changed.append(str(file))
    for what, names in (("missing", missing), ("not as installed", changed)):
        if names:
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            yield Finding(
                f"{_files_are(len(names))} {what}: {shown}",
                f"pip install --force-reinstall --no-deps {DISTRIBUTION}",
            )
    if not (missing or changed):
        yield Finding(f"{DISTRIBUTION} {owned.version}, all files as they were installed")


def _files_are(count: int) -> str:
    return "1 file is" if count == 1 else f"{count} files are"


def _files_in_package(distribution: metadata.Distribution) -> list[str]:
    return [
        str(file)
        for file in distribution.files or ()
        if file.parts[0] == PACKAGE.name
        and PACKAGE in Path(str(distribution.locate_file(file))).resolve().parents
    ]


def _digest(path: Path, mode: str) -> str:
    digest = hashlib.new(mode, path.read_bytes()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _architecture() -> Iterator[Finding]:
    """Compare the binaries with the Python that is to load them."""
    remedy = f"pip install --force-reinstall --no-deps {DISTRIBUTION}"
    extensions = sorted(PACKAGE.glob("_core.*.so")) or [PACKAGE / "_core.abi3.so"]
    for path in (PACKAGE / LIBRARY, extensions[0]):
        if not path.is_file():
            yield Finding(f"{path.name} is missing", remedy)
            continue
        found, wanted = _machine(path), _machine(Path(sys.executable))
        if found is None:
            yield Finding(f"{path.name} is no shared library of Linux", remedy)
        elif wanted is not None and found != wanted:
            yield Finding(
                f"{path.name} is for {found}, this Python for {wanted}",
                f"install the wheel of this platform: {remedy}",
            )
        else:
            yield Finding(f"{path.name}, {path.stat().st_size:,} bytes for {found}")


_MACHINES = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}


def _machine(path: Path) -> str | None:
    """Return what machine an ELF file is for, None for another file."""
    with path.open("rb") as file:
        head = file.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    number = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
    return f"{_MACHINES.get(number, f'machine {number}')} of {32 * head[4]} bits"


def _loading() -> Iterator[Finding]:
    """Load the library in another process, which may not survive it."""
    search = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        process = subprocess.run(
            [sys.executable, *(["-S"] if sys.flags.no_site else []), "-c", _LOADING],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search)},
            capture_output=True,
            text=True,
            timeout=_LOADING_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding(f"loading the library: {error}", "try again on an idle machine")
        return
    remedy = f"pip install --force-reinstall --no-deps {DISTRIBUTION}"
    if process.returncode:
        last = process.stderr.strip().rpartition("\n")[2] or f"status {process.returncode}"
        yield Finding(f"the library does not load: {last}", remedy)
        return
    package, library = process.stdout.split()
    if package != library:
        yield Finding(f"the package is {package}, its library {library}", remedy)
    else:
        yield Finding(f"the library loads, version {library}")


def _authorities() -> Iterator[Finding]:
    paths = ssl.get_default_verify_paths()
    found: str | None = paths.cafile or paths.capath
    found = found or next((bundle for bundle in _BUNDLES if os.path.isfile(bundle)), None)
    if found is None or (os.path.isdir(found) and not os.listdir(found)):
        yield Finding(
            "no certificate authorities are installed",
            "wss needs the system's package ca-certificates, or SSL_CERT_FILE, or cafile=",
        )
    else:
        yield Finding(f"certificate authorities in {found}")


def _cli() -> Iterator[Finding]:
    if importlib.util.find_spec("prompt_toolkit") is None:
        yield Finding(
            "prompt_toolkit is not installed",
            "aiows connect wants it on a terminal: pip install 'libaiows[cli]'",
            wrong=False,
        )
    else:
        yield Finding(f"prompt_toolkit {metadata.version('prompt_toolkit')}")
