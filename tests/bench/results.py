"""What was measured, and what the bars say to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bars import BARS, Bar
from ratios import Middle, middle, ratio


@dataclass(frozen=True)
class Result:
    """One cell: its description, and the rounds of everyone, the subject first.

    Rounds are in pairs: the first of everyone belong together, and so on.
    """

    name: str
    cell: dict[str, Any]
    rounds: list[tuple[str, list[dict[str, Any]]]]

    @property
    def subject(self) -> str:
        return self.rounds[0][0]

    @property
    def rivals(self) -> list[str]:
        """Everyone but the subject."""
        return [who for who, _ in self.rounds[1:]]

    def numbers(self, who: str, number: str) -> list[float]:
        """Return a number of each round of a rival, or of the subject."""
        # From the back: the subject may be compared with itself.
        rounds = next(rounds for name, rounds in reversed(self.rounds) if name == who)
        return [one[number] for one in rounds]

    def middle(self, who: str, number: str) -> float:
        return median(self.numbers(who, number))

    def ratio(self, rival: str, number: str) -> Middle:
        """Return the subject's number divided by the rival's, over the rounds both had."""
        theirs = self.numbers(rival, number)
        ours = [one[number] for one in self.rounds[0][1]][: len(theirs)]
        return ratio(ours, theirs)

    def latency(self, who: str) -> dict[str, float] | None:
        """Return the median of each percentile over the rounds that took latencies."""
        rounds = next(rounds for name, rounds in reversed(self.rounds) if name == who)
        taken = [one["latency_us"] for one in rounds if one.get("latency_us")]
        if not taken:
            return None
        return {name: median(one[name] for one in taken) for name in taken[0]}


@dataclass(frozen=True)
class Verdict:
    """What a bar says to a result."""

    bar: Bar
    rival: str | None
    found: Middle

    @property
    def met(self) -> bool:
        if self.bar.at_least:
            return self.found.high >= self.bar.limit
        return self.found.low <= self.bar.limit

    def __str__(self) -> str:
        found = f"{self.found.value:.3f} [{self.found.low:.3f}, {self.found.high:.3f}]"
        sense = "at least" if self.bar.at_least else "at most"
        against = f" against {self.rival}" if self.rival else ""
        word = "met" if self.met else "MISSED"
        return (
            f"{self.bar.cell} {self.bar.number}{against}: {found}, {sense} {self.bar.limit} {word}"
        )


def judge(result: Result) -> list[Verdict]:
    """Return what the bars of a result say to it."""
    if result.subject != "aiows":
        return []
    return [verdict_of(bar, result) for bar in BARS if bar.cell == result.name]


def verdict_of(bar: Bar, result: Result) -> Verdict:
    if bar.rival is None:
        return Verdict(bar, None, middle(result.numbers("aiows", bar.number)))
    rival = bar.rival
    if rival == "best":
        choose = max if bar.at_least else min
        rival = choose(result.rivals, key=lambda who: result.middle(who, bar.number))
    return Verdict(bar, rival, result.ratio(rival, bar.number))


@dataclass(frozen=True)
class Results:
    """A run of the benchmark."""

    machine: dict[str, Any]
    results: list[Result]

    def write(self, path: Path) -> None:
        """Write everything, a round a line."""
        lines = ['{"machine": ' + json.dumps(self.machine, indent=1) + ',\n"results": [']
        for index, result in enumerate(self.results):
            lines.append(f' {{"name": {json.dumps(result.name)},')
            lines.append(f'  "cell": {json.dumps(result.cell)},')
            lines.append('  "rounds": [')
            for at, (who, rounds) in enumerate(result.rounds):
                shown = ",\n    ".join(json.dumps(rounded(one)) for one in rounds)
                comma = "," if at + 1 < len(result.rounds) else ""
                lines.append(f"   [{json.dumps(who)}, [\n    {shown}]]{comma}")
            lines.append("  ]}" + ("," if index + 1 < len(self.results) else ""))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n]}\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        found = json.loads(path.read_text())
        results = [
            Result(one["name"], one["cell"], [(who, rounds) for who, rounds in one["rounds"]])
            for one in found["results"]
        ]
        return cls(found["machine"], results)

    def find(self, name: str) -> Result | None:
        return next((one for one in self.results if one.name == name), None)

    @property
    def verdicts(self) -> list[Verdict]:
        return [verdict for result in self.results for verdict in judge(result)]


def rounded(value: Any) -> Any:
    """Return what JSON holds with seven significant digits: no clock here is better."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    return value
