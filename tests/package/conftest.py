"""What the packaging tests share: copies of the repository, and the wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support import ROOT, make_venv, run

BUILT_FROM = ("LICENSE", "README.md", "go.mod", "go.sum", "libws", "capi", "include", "python")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the package is built from, without anything that was built."""
    copy = tmp_path / "tree"
    copy.mkdir()
    for name in BUILT_FROM:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("*.so", "__pycache__", "build", "dist", "*.egg-info")
            shutil.copytree(source, copy / name, symlinks=True, ignore=ignore)
        else:
            shutil.copyfile(source, copy / name)
    return copy


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel that the Makefile built."""
    (found,) = (ROOT / "build" / "wheel").glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has nothing but the wheel."""
    python = make_venv(tmp_path_factory.mktemp("installed") / "venv")
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index", wheel)
    return python
