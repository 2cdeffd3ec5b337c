"""
What a run of the tests does not let pass.

With CI=true a skip is a failure, in pytest and in go test; without it, it is not. A process that
is left behind fails the run, and so does a test that never ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT, run

PYTEST = """
import pytest

def test_lacks():
    pytest.skip("valgrind is not installed")

@pytest.mark.skipif(True, reason="no compiler")
def test_lacks_too():
    pass

@pytest.mark.skipif(True, reason="needs Python 3.99")
def test_elsewhere():
    pass

def test_passes():
    pass
"""
GO = """package x

import "testing"

func TestLacks(t *testing.T)  { t.Skip("no openssl") }
func TestPasses(t *testing.T) {}
"""


def outcome(command: list[str], folder: Path, ci: str) -> subprocess.CompletedProcess[str]:
    goroot = run(sys.executable, ROOT / "python" / "aiows_build.py", "goroot").stdout.strip()
    path = os.pathsep.join([f"{goroot}/bin", os.environ["PATH"]])
    environment = {**os.environ, "CI": ci, "GOFLAGS": "-modcacherw", "PATH": path}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("ci", "status", "counts"),
    [
        # A mark skips while a test is set up, which pytest counts as an error.
        ("true", 1, "1 failed, 1 passed, 1 skipped, 1 error"),
        ("", 0, "1 passed, 3 skipped"),
    ],
)
def test_pytest(tmp_path: Path, ci: str, status: int, counts: str) -> None:
    shutil.copyfile(ROOT / "tests" / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_it.py").write_text(PYTEST)
    result = outcome([sys.executable, "-m", "pytest", "-p", "no:cacheprovider"], tmp_path, ci)
    assert counts in result.stdout
    assert result.returncode == status


def test_pytest_module_skipped(tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "tests" / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_it.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    assert outcome(command, tmp_path, "true").returncode in (1, 2)
    assert outcome(command, tmp_path, "").returncode == 5


@pytest.mark.parametrize("parallel", [[], ["-n", "2"]])
def test_process_left_behind(tmp_path: Path, parallel: list[str]) -> None:
    rules = (ROOT / "tests" / "conftest.py").read_text()
    assert "\nGRACE_S = 20.0\n" in rules
    (tmp_path / "conftest.py").write_text(rules.replace("GRACE_S = 20.0", "GRACE_S = 1.0"))
    (tmp_path / "test_it.py").write_text(
        "import subprocess\ndef test_it():\n    subprocess.run('sleep 300 &', shell=True)\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *parallel]
    result = outcome(command, tmp_path, "")
    assert "process left behind by the tests" in result.stderr
    assert "sleep 300" in result.stderr
    assert result.returncode == 1


@pytest.mark.parametrize("parallel", [[], ["-n", "1"]])
def test_spinning(tmp_path: Path, parallel: list[str]) -> None:
    shutil.copyfile(ROOT / "pytest.ini", tmp_path / "pytest.ini")
    (tmp_path / "test_it.py").write_text("def test_it():\n    while True:\n        pass\n")
    command = [sys.executable, "-m", "pytest", "-o", "faulthandler_timeout=3", *parallel]
    result = outcome(command, tmp_path, "")
    assert " in test_it\n" in result.stderr
    assert result.returncode == 1


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_go(tmp_path: Path, ci: str, status: int) -> None:
    (tmp_path / "go.mod").write_text("module x\n\ngo 1.26.0\n")
    (tmp_path / "x_test.go").write_text(GO)
    command = [sys.executable, str(ROOT / "tools" / "gotest.py"), "./..."]
    result = outcome(command, tmp_path, ci)
    assert "go test: 1 passed, 0 failed, 1 skipped" in result.stdout
    assert "skipped: x TestLacks: x_test.go:5: no openssl" in result.stdout
    assert result.returncode == status
