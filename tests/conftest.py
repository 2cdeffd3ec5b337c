"""Rules for every Python test: nothing skipped in CI, no process left, asyncio in debug mode."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

os.environ.setdefault("PYTHONASYNCIODEBUG", "1")

IN_CI = os.environ.get("CI") == "true"
# What another Python has and this one cannot; everything else `make deps` installs.
NOT_APPLICABLE = "needs Python 3."
PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 20.0


def forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure, unless the Python at hand is the reason."""
    if not (IN_CI and report.skipped) or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if reason.removeprefix("Skipped: ").startswith(NOT_APPLICABLE):
        return
    report.outcome = "failed"
    report.longrepr = f"CI=true forbids skipping, and this was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    forbid_skip(report)
    return report


def pytest_sessionstart() -> None:
    # A shell starts its background commands, and all that they start, with SIGINT ignored.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # So does nohup with SIGHUP.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Orphans of our children become ours, so that the end of the session sees them.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@pytest.hookimpl(trylast=True)  # the runner's own ends the servers of session fixtures
def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        return  # of pytest-xdist: what it leaves becomes the main process's when it ends
    left = children_left()
    for pid, command in left.items():
        print(f"\nprocess left behind by the tests: {pid} {command}", file=sys.stderr)
        os.kill(pid, signal.SIGKILL)
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def children_left() -> dict[int, str]:
    """Return the children that still run after a grace period, by pid."""
    deadline = time.monotonic() + GRACE_S
    while (left := children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def children() -> dict[int, str]:
    found = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, listing.read_text().split()):
            try:
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    command = Path(f"/proc/{pid}/cmdline").read_bytes()
                    found[pid] = command.replace(b"\0", b" ").decode(errors="replace")
            except (ChildProcessError, FileNotFoundError):
                continue
    return {pid: command for pid, command in found.items() if "resource_tracker" not in command}
