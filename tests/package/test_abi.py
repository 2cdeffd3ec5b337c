"""The pin of the C interface: it notices what would break programs already built."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import ROOT, run

Edit = Callable[[str], str]
HEADER = "include/aiows.h"
PINNED = "tests/abi.txt"


@pytest.fixture
def check(tmp_path: Path) -> Callable[[str, Edit], subprocess.CompletedProcess[str]]:
    """Run tools/abi.py on a copy of its inputs, of which one was edited."""
    for name in ("tools/abi.py", HEADER, PINNED):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)

    def check(name: str, edit: Edit) -> subprocess.CompletedProcess[str]:
        path = tmp_path / name
        changed = edit(path.read_text())
        assert name == "tools/abi.py" or changed != path.read_text()
        path.write_text(changed)
        command = [sys.executable, str(tmp_path / "tools" / "abi.py")]
        library = str(ROOT / "build" / "libaiows.so")
        return subprocess.run([*command, library], capture_output=True, text=True, check=False)

    return check


def test_unchanged(check: Callable[[str, Edit], subprocess.CompletedProcess[str]]) -> None:
    result = check("tools/abi.py", lambda text: text)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        (HEADER, "X(BUSY, -2,", "X(BUSY, -99,", "gone or changed: constant AIOWS_ERR_BUSY -2"),
        (HEADER, "uint16_t kind;", "uint32_t kind;", "gone or changed: offset aiows_event.flags 6"),
        (HEADER, "int32_t code;  ", "int64_t code;  ", "gone or changed: size aiows_event 64"),
        (HEADER, "BINARY = 2", "BINARY = 3", "gone or changed: constant AIOWS_BINARY 2"),
        (HEADER, "aiows_wake(", "aiows_rouse(", "aiows_rouse is declared and not exported"),
        (PINNED, "symbol aiows_poll\n", "", "not pinned: symbol aiows_poll"),
        (PINNED, "symbol aiows_poll\n", "symbol aiows_old\n", "gone or changed: symbol aiows_old"),
        (PINNED, "libaiows.so.0", "libaiows.so.1", "gone or changed: soname libaiows.so.1"),
    ],
)
def test_change_is_named(
    check: Callable[[str, Edit], subprocess.CompletedProcess[str]],
    name: str,
    old: str,
    new: str,
    complaint: str,
) -> None:
    result = check(name, lambda text: text.replace(old, new))
    assert result.returncode == 1
    assert complaint in result.stderr


def test_only_our_symbols_are_exported(tmp_path: Path) -> None:
    source = tmp_path / "other.c"
    source.write_text("int other_symbol(void) { return 0; }\n")
    run("gcc", "-shared", "-fPIC", "-o", tmp_path / "other.so", source)
    command = [sys.executable, str(ROOT / "tools" / "abi.py"), str(tmp_path / "other.so")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "other_symbol is exported, expected names that begin with aiows_" in result.stderr


def test_core_refuses_a_library_of_another_abi(tmp_path: Path) -> None:
    source = tmp_path / "other.c"
    source.write_text("int aiows_abi_version(void) { return 999; }\n")
    run("gcc", "-shared", "-fPIC", "-o", tmp_path / "other.so", source)
    code = f"import aiows._core as core; core.load({str(tmp_path / 'other.so')!r})"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert "other.so has ABI number 999, but aiows._core was built for 1" in last
