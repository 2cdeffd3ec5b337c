"""The wheel: what is in it, what never is, and whom it lets in."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from support import ROOT, VERSION, pip_wheel, run


def expected_names() -> set[str]:
    package = ROOT / "python" / "aiows"
    sources = {
        path.relative_to(package).as_posix()
        for pattern in ("*.py", "*.pyi")
        for path in package.rglob(pattern)
    }
    built = {"_core.abi3.so", "libaiows.so", "NOTICE"}
    names = {f"aiows/{name}" for name in sources | built | {"py.typed"}}
    metadata = [
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
        "top_level.txt",
    ]
    return names | {f"libaiows-{VERSION}.dist-info/{name}" for name in metadata}


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    assert names_in(wheel) == expected_names()


def test_notice_has_the_licence_of_all_that_is_linked(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        parts = archive.read("aiows/NOTICE").decode().split(f"\n\n{'-' * 72}\n\n")
    licences = dict(part.split("\n\n", 1) for part in parts)
    linked = run("go", "version", "-m", ROOT / "build" / "libaiows.so").stdout.split("\n")
    modules = {" ".join(line.split()[1:3]) for line in linked if line.startswith("\tdep")}
    assert any(name.startswith("github.com/klauspost/compress ") for name in modules)
    assert {name for name in licences if not name.startswith("Go ")} == modules
    assert len(licences) == len(modules) + 1
    assert all("Copyright" in text for text in licences.values())


def test_tag_names_the_headers_it_was_built_with(wheel: Path) -> None:
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert wheel.name == f"libaiows-{VERSION}-{python}-abi3-linux_x86_64.whl"


def test_stale_files_never_reach_a_wheel(tree: Path, tmp_path: Path) -> None:
    python = tree / "python"
    planted = [
        *(python / "build" / lib / "aiows" / name
          for lib in ("lib", "lib.linux-x86_64-3.11", "lib.linux-x86_64-cpython-311")
          for name in ("stale.py", "stale.so", "libaiows.so", "_core.abi3.so")),
        python / "build" / "bdist.linux-x86_64" / "wheel" / "aiows" / "stale.py",
        python / "aiows" / "stale.so",
        python / "aiows" / "libaiows.so",
        python / "aiows" / "_core.abi3.so",
        python / "aiows" / "__pycache__" / "stale.cpython-311.pyc",
        python / "libaiows.egg-info" / "SOURCES.txt",
    ]  # fmt: skip
    for path in planted:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("aiows/stale.py\naiows/stale.so\n")

    built = pip_wheel(python, tmp_path / "wheel")

    assert names_in(built) == expected_names()
    with zipfile.ZipFile(built) as archive:
        for name in ("aiows/libaiows.so", "aiows/_core.abi3.so"):
            assert archive.read(name).startswith(b"\x7fELF"), f"{name} is the planted one"


def test_building_leaves_the_sources_alone(tree: Path, tmp_path: Path) -> None:
    before = sorted(tree.rglob("*"))
    pip_wheel(tree / "python", tmp_path / "wheel")
    after = [path for path in sorted(tree.rglob("*")) if "__pycache__" not in path.parts]
    assert after == before


def test_installed_wheel_runs(installed: Path, tmp_path: Path) -> None:
    code = (
        "import aiows, aiows._library as l; print(aiows.__file__, aiows.__version__, l.version())"
    )
    file, version, _ = run(installed, "-W", "error", "-c", code, cwd=tmp_path).stdout.split()
    assert Path(file).is_relative_to(installed.parent.parent)
    assert version == VERSION
    answer = run(installed.with_name("aiows"), "--version", cwd=tmp_path).stdout
    assert VERSION in answer


@pytest.mark.parametrize("module", ["aiows", "aiows._core"])
def test_import_starts_no_runtime(installed: Path, module: str, tmp_path: Path) -> None:
    code = f"import {module}; print('libaiows' in open('/proc/self/maps').read())"
    assert run(installed, "-c", code, cwd=tmp_path).stdout == "False\n"
