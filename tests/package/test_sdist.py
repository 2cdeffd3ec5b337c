"""The sdist: it carries the Go module and installs wherever it is unpacked."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import pytest

from support import VERSION, make_venv, pip_wheel, run


@pytest.fixture
def sdist(tree: Path, tmp_path: Path) -> Path:
    target = tmp_path / "sdist"
    target.mkdir()
    code = f"import aiows_build; aiows_build.build_sdist({str(target)!r})"
    run(sys.executable, "-c", code, cwd=tree / "python")
    (found,) = target.glob(f"libaiows-{VERSION}.tar.gz")
    return found


def test_sdist_carries_the_go_module(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = {member.name.partition("/")[2]: member for member in archive}
    wanted = (
        "LICENSE README.md aiows/py.typed aiows_build.py capi/aiows.map capi/build.sh "
        "capi/default.pgo capi/gate.c capi/main.go go.mod go.sum include/aiows.h "
        "libws/wire/header.go pyproject.toml setup.py"
    ).split()
    assert [name for name in wanted if name not in members] == []
    assert [name for name, member in members.items() if member.issym() or member.islnk()] == []
    unwanted = (".so", ".o", ".pyc", "_test.go")
    assert [name for name in members if name.endswith(unwanted) or "testdata" in name] == []


def test_sdist_installs_when_unpacked_elsewhere(sdist: Path, tree: Path, tmp_path: Path) -> None:
    tree.rename(tmp_path / "moved")  # nothing may reach back into the repository
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run("tar", "-xzf", sdist, "-C", elsewhere)
    wheel = pip_wheel(elsewhere / f"libaiows-{VERSION}", tmp_path / "wheel")
    python = make_venv(tmp_path / "venv")
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index", wheel)
    code = "import aiows._library as l; print(l.version())"
    assert run(python, "-c", code, cwd=tmp_path).stdout == f"{VERSION}\n"


def test_sdist_ignores_a_stale_list_of_sources(tree: Path, tmp_path: Path) -> None:
    stale = tree / "python" / "libaiows.egg-info"
    stale.mkdir()
    (stale / "SOURCES.txt").write_text("stale.txt\n")
    (tree / "python" / "stale.txt").write_text("of an older version")
    code = f"import aiows_build; print(aiows_build.build_sdist({str(tmp_path)!r}))"
    name = run(sys.executable, "-c", code, cwd=tree / "python").stdout.split()[-1]
    with tarfile.open(tmp_path / name) as archive:
        assert [member for member in archive.getnames() if "stale" in member] == []
