"""tools/fuzz.py notices what it is there for."""

from __future__ import annotations

import subprocess
import sys

from support import ROOT


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/fuzz.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_seeds_that_reach_too_little() -> None:
    done = fuzz("coverage", "--least", "100")
    assert done.returncode == 1
    assert "libws/wire: expected 100 %" in done.stdout


def test_a_planted_fault_is_found_and_its_absence_told() -> None:
    done = fuzz("planted", "FuzzClose")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FuzzClose: found after" in done.stdout
    done = fuzz("planted", "--time", "1x", "FuzzHeader")
    assert done.returncode == 1
    assert "FuzzHeader: not found within 1x" in done.stdout
