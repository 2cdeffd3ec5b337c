"""Runs cells: rounds of everyone in turn, A B, B A, A B."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cells import BAR_CELLS, Cell
from processes import HERE, PEER, kept_awake, peer_server, processors, raise_descriptor_limit
from results import Result
from rounds import Setting, measure

LATENCY_ROUNDS = 3


@dataclass(frozen=True)
class Plan:
    """How much of everything.

    Attributes:
        judged_pairs: Rounds of everyone in cells that a bar judges.
        pairs: Rounds of everyone in other cells.
        other_rounds: Rounds of those who are there for orientation.
        judged_seconds: About how long a round is, in cells that a bar judges.
        seconds: The same in other cells.
        subject: Whose rounds are compared with the rivals'.
        rival: Who is to be the only rival, None for the cells' own.
        layout: Where both ends run, None for the cells' own.
        awake: Whether idle processors are kept awake.
        most_connections: Cells with more have only so many.

    """

    judged_pairs: int = 11
    pairs: int = 3
    other_rounds: int = 2
    judged_seconds: float = 0.6
    seconds: float = 0.25
    subject: str = "aiows"
    rival: str | None = None
    layout: str | None = None
    awake: bool = True
    most_connections: int = 5000


FULL = Plan()
QUICK = Plan(
    judged_pairs=3,
    pairs=1,
    other_rounds=0,
    judged_seconds=0.15,
    seconds=0.1,
    most_connections=2000,
)
SMOKE = Plan(
    judged_pairs=1,
    pairs=1,
    other_rounds=1,
    judged_seconds=0.001,
    seconds=0.001,
    most_connections=20,
)


@contextlib.contextmanager
def surroundings(cell: Cell, layout: str, awake: bool) -> Iterator[str]:
    """Run the peer's server where the cell needs it, and what keeps processors awake."""
    _, other, sleepless = processors(layout)
    with contextlib.ExitStack() as stack:
        if awake:
            stack.enter_context(kept_awake(sleepless))
        uri = ""
        if cell.scenario in ("echo", "flood", "json"):
            compress = cell.scenario == "json"
            uri = stack.enter_context(peer_server(cell.secure, other, compress))
        yield uri


def run(cell: Cell, plan: Plan) -> Result:
    """Measure a cell."""
    name, cell = cell.name, replace(cell, connections=min(cell.connections, plan.most_connections))
    judged = name in BAR_CELLS
    layout = plan.layout or cell.layout
    on, other, _ = processors(layout)
    pairs = plan.judged_pairs if judged else plan.pairs
    seconds = plan.judged_seconds if judged else plan.seconds
    rivals = cell.rivals if plan.rival is None else (plan.rival,)
    core: list[tuple[str, list[Any]]] = [(plan.subject, []), *((who, []) for who in rivals)]
    rest: list[tuple[str, list[Any]]] = [
        (who, []) for who in cell.others if plan.rival is None and plan.other_rounds
    ]
    with surroundings(cell, layout, plan.awake) as uri:
        for pair in range(pairs):
            setting = Setting(uri, seconds, on, other, latency=pair < LATENCY_ROUNDS)
            order = core if pair % 2 == 0 else core[::-1]
            for who, rounds in order + (rest if pair < plan.other_rounds else []):
                rounds.append(measure(cell, who, setting))
    return Result(name, {**asdict(cell), "layout": layout}, core + rest)


def unable(cell: Cell) -> str | None:
    """Return why this machine cannot run a cell, or None."""
    limit = raise_descriptor_limit()
    if cell.descriptors > limit:
        return f"needs {cell.descriptors} open files, the hard limit (ulimit -Hn) is {limit}"
    return None


def machine(started: float) -> dict[str, Any]:
    """Describe what everything ran on."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    peers = [
        line.partition("==")[0]
        for line in (HERE / "requirements.txt").read_text().splitlines()
        if "==" in line
    ]
    go = subprocess.run(["go", "version", "-m", str(PEER)], stdout=subprocess.PIPE, text=True)
    modules = [line.split() for line in go.stdout.splitlines()]
    return {
        "processor": names[0] if names else platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "system": platform.platform(),
        "python": platform.python_version(),
        "go": modules[0][-1] if modules else "",
        "versions": {
            **{name: version(name) for name in ("libaiows", *peers)},
            **{words[1]: words[2] for words in modules if words and words[0] == "dep"},
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "command": " ".join(["python", "tests/bench", *sys.argv[1:]]),
        "seconds": round(time.time() - started, 1),
    }
