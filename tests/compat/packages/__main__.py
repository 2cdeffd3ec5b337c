"""
Run the WebSocket tests of PyPI packages on aiows: ``python tests/compat/packages [PACKAGE]``.

The sdist of each is fetched with pip, and what its tests want goes into a
folder of its own, all in .cache/compat. The package's modules that import
websockets get aiows instead (on_aiows.py). docs/differences.md says how many
tests pass, and which do not and why; a run with other numbers fails.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CACHE = ROOT / ".cache" / "compat"
PAGE = ROOT / "docs" / "differences.md"
LIMIT_S = 300


@dataclasses.dataclass(frozen=True)
class Package:
    """
    A package under test.

    Attributes:
        prefixes: Modules that get aiows when they import websockets.
        modules: What pytest runs, in the folder of the sdist.
        options: Which of it, and how it is distributed.

    """

    name: str
    version: str
    prefixes: tuple[str, ...]
    modules: tuple[str, ...]
    options: tuple[str, ...]

    @property
    def sdist(self) -> Path:
        return CACHE / f"{self.name}-{self.version}"

    @property
    def libraries(self) -> Path:
        return CACHE / f"{self.name}-libraries"


PACKAGES = (
    Package(
        "gql",
        "4.4.0",
        # The test module looks at the class of a connection.
        ("gql.", "tests.test_websocket_query"),
        (
            "tests/test_websocket_exceptions.py",
            "tests/test_websocket_query.py",
            "tests/test_websocket_subscription.py",
            "tests/test_websockets_adapter.py",
            "tests/test_graphqlws_exceptions.py",
            "tests/test_graphqlws_subscription.py",
            "tests/test_phoenix_channel_exceptions.py",
            "tests/test_phoenix_channel_query.py",
            "tests/test_phoenix_channel_subscription.py",
            "tests/test_appsync_websockets.py",
        ),
        # In the order in which they are written.
        ("--dist", "loadfile"),
    ),
    # Its servers are its own, on wsproto and on websockets; the clients of its tests are aiows's.
    # One HTTP parser of three: the others make no difference to a client.
    Package(
        "uvicorn",
        "0.54.0",
        ("tests.protocols.test_websocket",),
        ("tests/protocols/test_websocket.py",),
        ("-k", "h11"),
    ),
)


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)


def prepare(package: Package) -> None:
    """Fetch the sdist and what its tests want, unless they are there."""
    if not package.sdist.exists():
        archives = CACHE / "sdists"
        pin = f"{package.name}=={package.version}"
        pip("download", "--no-binary", package.name, "--no-deps", "-d", str(archives), pin)
        with tarfile.open(archives / f"{package.sdist.name}.tar.gz") as archive:
            archive.extractall(CACHE, filter="data")
    wanted = HERE / f"{package.name}.txt"
    there = package.libraries / wanted.name
    if not there.exists() or there.read_text() != wanted.read_text():
        shutil.rmtree(package.libraries, ignore_errors=True)
        pip("install", "--no-deps", "--target", str(package.libraries), "-r", str(wanted))
        shutil.copy(wanted, there)


def run_tests(
    package: Package, modules: Iterable[str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    paths = (package.libraries, package.sdist, HERE, HERE.parent)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "ON_AIOWS": " ".join(package.prefixes),
        "ON_AIOWS_PACKAGE": package.name,
    }
    environment.pop("PYTHONASYNCIODEBUG", None)
    options = "-q -rf -o addopts= -p no:cacheprovider --tb=native -p on_aiows".split()
    command = [sys.executable, "-m", "pytest", *options, *package.options, *modules, *arguments]
    return subprocess.run(
        command, cwd=package.sdist, env=environment, capture_output=True, text=True, timeout=LIMIT_S
    )


def counted(output: str) -> tuple[int, int]:
    """Return how many tests passed and how many failed as expected."""
    line = output.strip().rpartition("\n")[2]
    found = {what: int(number) for number, what in re.findall(r"(\d+) (passed|xfailed)", line)}
    return found.get("passed", 0), found.get("xfailed", 0)


def run_again(package: Package, done: subprocess.CompletedProcess[str]) -> int:
    """
    Run the modules in which tests failed again, alone, and return how many tests that were.

    Some of these tests judge by the clock. Eight at a time, gql's of a graceful shutdown fails
    in 4 of 64 runs of its module, and in 2 of 64 with websockets; by itself it always fails,
    with websockets as well, so whole modules run.
    """
    failed = re.findall(r"^FAILED (\S+?)::(\S+)", done.stdout, re.MULTILINE)
    modules = list(dict.fromkeys(module for module, _ in failed))
    again = run_tests(package, modules) if modules else done
    if again.returncode != 0:
        output = "\n".join(run.stdout[-20000:] + run.stderr[-5000:] for run in (done, again))
        sys.exit(f"{output}\nthe tests of {package.name} failed on aiows")
    print(f"{package.name}: passed when run again: {' '.join(name for _, name in failed)}")
    return len(failed)


def documented(package: Package) -> tuple[int, int]:
    row = re.search(
        rf"^\| {package.name} {re.escape(package.version)} \| (\d+) \| (\d+) \|",
        PAGE.read_text(),
        re.MULTILINE,
    )
    return (int(row[1]), int(row[2])) if row else (0, 0)


def main() -> None:
    packages = [one for one in PACKAGES if not sys.argv[1:] or one.name in sys.argv[1:]]
    for package in packages:
        prepare(package)
    # One after the other: what judges by the clock fails more often beside more.
    for package in packages:
        done = run_tests(package, package.modules, "-n", "2")
        if re.search(r"(?m)^0 connections of aiows$", done.stdout):
            sys.exit(f"{done.stdout}\n{package.name} opened no connection: this shows nothing")
        passed, expected = counted(done.stdout)
        if done.returncode != 0:
            passed += run_again(package, done)
        print(f"{package.name} {package.version} on aiows: {passed} passed, {expected} xfailed")
        if (passed, expected) != documented(package):
            sys.exit(f"{PAGE.name} says {documented(package)} passed and failed as expected")


if __name__ == "__main__":
    main()
