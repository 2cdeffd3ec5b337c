"""Every test of every C program here, each in a process of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from c_support import HERE, RunTest

CASES = [
    pytest.param(path.stem, name, id=f"{path.stem}-{name}")
    for path in sorted(HERE.glob("test_*.c"))
    for name in re.findall(r"^\tX\((\w+)\)", path.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize(("program", "test"), CASES)
def test_c(run_test: RunTest, program: str, test: str) -> None:
    done = run_test(program, test)
    assert done.returncode == 0, done.stderr


def test_the_list_of_tests_is_whole(run_test: RunTest) -> None:
    for path in HERE.glob("test_*.c"):
        listed = run_test(path.stem, "--list").stdout.split()
        assert listed == [case.values[1] for case in CASES if case.values[0] == path.stem]


def test_calls_can_be_measured(run_test: RunTest) -> None:
    done = run_test("calls", "all")
    assert done.returncode == 0, done.stderr
    assert all(float(line.split()[-1]) > 0 for line in done.stdout.splitlines())
    assert "aiows_send, 64 bytes" in done.stdout


def test_a_test_that_does_not_exist_fails(run_test: RunTest) -> None:
    assert run_test("test_library", "no_such_test").returncode == 2


def test_sources_are_where_they_are_looked_for() -> None:
    assert len(CASES) > 60
    assert Path(HERE, "harness.c").exists()
