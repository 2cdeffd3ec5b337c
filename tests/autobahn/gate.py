"""
The bar: what a report of the cases has to say.

A report is Autobahn's index.json: {agent: {case: {"behavior", "behaviorClose", ...}}}.
Runners end with status 0 whatever it says, so nothing but this is believed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CASES = 517
# What RFC 6455 leaves open is reported, and has no right answer: data behind a Close
# (7.1.6), and close codes that nobody registered (7.13.1, 7.13.2).
INFORMATIONAL = frozenset({"7.1.6", "7.13.1", "7.13.2"})
SHOWN = ("OK", "INFORMATIONAL", "NON-STRICT", "FAILED", "UNIMPLEMENTED")


@dataclass
class Verdict:
    """How many cases ended how, and what is wrong with that."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.faults

    def __str__(self) -> str:
        named = [f"{self.counts[name]} {name}" for name in SHOWN]
        others = [f"{n} {name}" for name, n in self.counts.items() if name not in SHOWN]
        return f"{self.counts.total()} cases: {', '.join(named + others)}"


def outcome(result: dict[str, Any]) -> str:
    """Return the one word for a case: that of the messages, else that of the close handshake."""
    behavior, close = str(result["behavior"]), str(result["behaviorClose"])
    if behavior == "OK":
        return "OK" if close == "OK" else f"close {close}"
    if behavior == "INFORMATIONAL" and close not in ("OK", "INFORMATIONAL"):
        return f"close {close}"
    return behavior


def judge(report: dict[str, dict[str, Any]], number: int) -> Verdict:
    """Judge the report of one agent; number is how many cases it must have, -1 for any."""
    verdict = Verdict()
    if len(report) != 1:
        verdict.faults.append(f"the report names {len(report)} agents, expected 1: {[*report]}")
    for results in report.values():
        for case, result in results.items():
            word = outcome(result)
            verdict.counts[word] += 1
            expected = "INFORMATIONAL" if case in INFORMATIONAL else "OK"
            if word != expected:
                verdict.faults.append(
                    f"case {case}: {result['behavior']}, close {result['behaviorClose']}; "
                    f"expected {expected}"
                )
    if verdict.counts.total() != number and (number >= 0 or not verdict.counts):
        verdict.faults.append(
            f"{verdict.counts.total()} cases were run, expected {number if number >= 0 else 'some'}"
        )
    return verdict


def judge_file(index: Path, number: int) -> Verdict:
    """Judge an index.json, which a runner that failed has not written."""
    try:
        report = json.loads(index.read_text())
    except (OSError, ValueError) as error:
        return Verdict(faults=[f"no report: {error}"])
    return judge(report, number)
