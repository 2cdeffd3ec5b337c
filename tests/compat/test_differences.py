"""docs/differences.md has each difference, and nothing else."""

from __future__ import annotations

import scenarios  # noqa: F401
from differences import count, reasons
from harness import SCENARIOS
from packages.expected import EXPECTED

MOST = 15


def test_rows_and_expected_failures_are_one() -> None:
    used = {case.difference for case in SCENARIOS if case.difference is not None}
    used |= {reason for package in EXPECTED.values() for reason in package.values()}
    assert sorted(used) == sorted(reasons())


def test_there_are_few() -> None:
    assert count() == len(reasons()) <= MOST, (
        "an identifier stands there twice, or there are too many"
    )


def test_every_difference_has_a_reason() -> None:
    assert [name for name, reason in reasons().items() if len(reason) < 40] == []
