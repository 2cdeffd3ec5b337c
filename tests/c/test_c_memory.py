"""AddressSanitizer, LeakSanitizer and valgrind find nothing, and find what is planted."""

from __future__ import annotations

import re
import subprocess

import pytest

from c_support import HERE, RunTest, need

PROGRAMS = sorted(path.stem for path in HERE.glob("test_*.c"))

# test_host is about processes and signals, which valgrind replaces with its own;
# test_handles makes 30,000 handles, for which the sanitizer is enough; test_stall has a
# thread that comes when the others are late, and under valgrind they always are.
NOT_UNDER_VALGRIND = ("test_host", "test_handles", "test_stall")
VALGRIND_PROGRAMS = [name for name in PROGRAMS if name not in NOT_UNDER_VALGRIND]

# The runtime's annotations and valgrind's leak search do not agree (overlapping
# blocks), and without them it mistakes goroutine stacks: one run for each.
MEMORY = ["valgrind", "--leak-check=no", f"--suppressions={HERE / 'go.supp'}"]
LEAKS = ["valgrind", "--undef-value-errors=no", "--leak-check=full", "--show-leak-kinds=definite"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_sanitizer_finds_nothing(run_test: RunTest, program: str) -> None:
    done = run_test(program, "all", "asan")
    assert done.returncode == 0, done.stderr
    assert "Sanitizer" not in done.stderr


def wrong_accesses(done: subprocess.CompletedProcess[str]) -> list[str]:
    """
    Return what valgrind reported, one text each.

    Not what it says of addresses on the stack of a goroutine: where those are switched it
    takes a stack now and then for given up that is not, and none but Go's code knows one.
    """
    text = re.sub(r"(?m)^==\d+== ?", "", done.stderr)
    found = re.findall(r"(?ms)^(?:Invalid|Conditional|Use of|Syscall|Jump|Source).*?\n\n", text)
    summary = re.search(r"ERROR SUMMARY: \d+ errors from (\d+) contexts", text)
    assert summary is not None and int(summary[1]) == len(found), done.stderr
    return [error for error in found if "runtime.stackalloc" not in error]


@pytest.mark.parametrize("program", VALGRIND_PROGRAMS)
def test_valgrind_finds_no_wrong_access(run_test: RunTest, program: str) -> None:
    need("valgrind")
    done = run_test(program, "all", "valgrind", MEMORY)
    assert done.returncode == 0, done.stderr
    assert wrong_accesses(done) == []


def definitely_lost(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if "definitely lost:" in line]
    return lines[-1].partition("definitely lost: ")[2] if lines else done.stderr


@pytest.mark.parametrize("program", VALGRIND_PROGRAMS)
def test_valgrind_finds_no_leak(run_test: RunTest, program: str) -> None:
    need("valgrind")
    done = run_test(program, "all", "test", LEAKS)
    assert done.returncode == 0, done.stderr
    assert definitely_lost(done) == "0 bytes in 0 blocks"


class TestPlanted:
    """A fault put there on purpose makes its checker fail."""

    def test_nothing(self, run_test: RunTest) -> None:
        assert run_test("planted", "nothing").returncode == 0
        assert run_test("planted", "nothing", "asan").returncode == 0

    @pytest.mark.parametrize(
        ("fault", "text"),
        [
            ("descriptor", "descriptors is "),
            ("goroutine", "goroutines is "),
            ("handle", "stats.handles is 2"),
        ],
    )
    def test_harness(self, run_test: RunTest, fault: str, text: str) -> None:
        done = run_test("planted", fault)
        assert done.returncode == 1
        assert text in done.stderr

    def test_sanitizer_leak(self, run_test: RunTest) -> None:
        done = run_test("planted", "leak", "asan")
        assert done.returncode != 0
        assert "LeakSanitizer: detected memory leaks" in done.stderr
        assert "12345 byte(s)" in done.stderr

    def test_sanitizer_use_after_free(self, run_test: RunTest) -> None:
        done = run_test("planted", "use_after_free", "asan")
        assert done.returncode != 0
        assert "AddressSanitizer: heap-use-after-free" in done.stderr

    def test_valgrind_leak(self, run_test: RunTest) -> None:
        need("valgrind")
        done = run_test("planted", "leak", "test", LEAKS)
        assert definitely_lost(done) == "12,345 bytes in 1 blocks"

    def test_valgrind_use_after_free(self, run_test: RunTest) -> None:
        need("valgrind")
        done = run_test("planted", "use_after_free", "valgrind", MEMORY)
        assert "Invalid read of size 1" in "".join(wrong_accesses(done))

    def test_panic(self, run_test: RunTest) -> None:
        done = run_test("planted", "panic")
        assert done.returncode == 0, done.stderr


def test_suppressions_name_the_go_runtime_only() -> None:
    text = (HERE / "go.supp").read_text()
    for block in text.split("{")[1:]:
        frames = [line.strip() for line in block.partition("}")[0].splitlines() if "fun:" in line]
        assert any(frame.startswith("fun:runtime.") for frame in frames)
        assert all(
            frame.startswith("fun:runtime.") or frame == "fun:indexbytebody" for frame in frames
        )
        assert "obj:" not in block
