"""aiows doctor, on installations with a fault planted in each."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aiows._cli import doctor


def unpacked(wheel: Path, folder: Path) -> Path:
    """Return a folder of packages that has nothing but the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def examine(site: Path) -> tuple[int, list[str]]:
    """Run the command without any other packages; return status and lines."""
    done = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-m", "aiows", "doctor"],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=site.parent,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def overwrite(site: Path) -> None:
    """Do what installing the other project called aiows does."""
    information = site / "aiows-1.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: aiows\nVersion: 1.2\n")
    (information / "RECORD").write_text("aiows/client.py,,\naiows/connections.py,,\n")
    for name in ("client.py", "connections.py"):
        (site / "aiows" / name).write_text("# another project's\n")


def remove_library(site: Path) -> None:
    (site / "aiows" / "libaiows.so").unlink()


def remove_extension(site: Path) -> None:
    (site / "aiows" / "_core.abi3.so").unlink()


def other_machine(site: Path) -> None:
    path = site / "aiows" / "libaiows.so"
    content = bytearray(path.read_bytes())
    content[18:20] = (183).to_bytes(2, "little")
    path.write_bytes(content)


def no_library(site: Path) -> None:
    (site / "aiows" / "libaiows.so").write_text("<html>404</html>")


def truncated_library(site: Path) -> None:
    path = site / "aiows" / "libaiows.so"
    path.write_bytes(path.read_bytes()[:100_000])


def remove_module(site: Path) -> None:
    (site / "aiows" / "connection.py").unlink()


def test_nothing_is_wrong(wheel: Path, tmp_path: Path) -> None:
    status, lines = examine(unpacked(wheel, tmp_path / "site"))
    assert status == 0 and lines[-1].startswith("0 faults found in ")
    assert not [line for line in lines if line.startswith("WRONG")]
    assert any("all files as they were installed" in line for line in lines)
    assert any(line.startswith("hint   prompt_toolkit is not installed") for line in lines)


@pytest.mark.parametrize(
    ("plant", "wanted"),
    [
        (overwrite, ["the distribution aiows 1.2 has files here, such as aiows/client.py"]),
        (overwrite, ["1 file is not as installed: aiows/client.py"]),
        (remove_library, ["libaiows.so is missing", "the library does not load: "]),
        (remove_extension, ["_core.abi3.so is missing", "the library does not load: "]),
        (other_machine, ["libaiows.so is for aarch64 of 64 bits, this Python for "]),
        (no_library, ["libaiows.so is no shared library of Linux"]),
        (truncated_library, ["the library does not load: "]),
        (remove_module, ["1 file is missing: aiows/connection.py"]),
    ],
)
def test_fault_is_named(
    plant: Callable[[Path], None], wanted: list[str], wheel: Path, tmp_path: Path
) -> None:
    site = unpacked(wheel, tmp_path / "site")
    plant(site)
    status, lines = examine(site)
    assert status == 1
    for text in wanted:
        (index,) = (n for n, line in enumerate(lines) if line.startswith(f"WRONG  {text}"))
        assert "install" in lines[index + 1], "what to do about it"


def test_editable_installation() -> None:
    command = [sys.executable, "-m", "aiows", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "editable: files are not compared" in done.stdout


@pytest.mark.parametrize(
    ("name", "value", "check", "remedy"),
    [
        ("libc_ver", lambda: ("", ""), "_system", "musl"),
        ("python_implementation", lambda: "PyPy", "_python", "CPython"),
    ],
)
def test_wrong_platform(
    name: str,
    value: Callable[[], object],
    check: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, name, value)
    (finding,) = getattr(doctor, check)()
    assert finding.wrong and remedy in finding.remedy


def test_old_python_and_no_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    (finding,) = doctor._python()
    assert finding.remedy == "aiows needs Python 3.11 or later"
    monkeypatch.setattr(sys, "platform", "darwin")
    (finding,) = doctor._system()
    assert finding.remedy == "aiows runs on Linux only"
