"""The benchmark runs, judges as it says, and its tables and plots are those of its results."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import ROOT, run

BENCH = ROOT / "tests" / "bench"
RESULTS = ROOT / "docs" / "bench" / "results.json"

# Each scenario, API and library, ws and wss, asyncio and uvloop, at least once.
EVERYONE = ["echo/256/1/await", "flood/128/iterate", "serve/256/20", "import", "json/1024"]
RIVALS = ["echo/256/10/callback", "flood/8192/callback/wss", "serve/256/20/wss", "idle/5000"]
RIVALS += ["serve/256/20/callback", "handshakes", "echo/256/10/callback/uvloop"]
RIVALS += ["exchanged/2000", "exchanged/2000/c"]


def bench(*arguments: object) -> str:
    return run(sys.executable, BENCH, *map(str, arguments)).stdout


def exactly(cells: list[str]) -> list[str]:
    """Return the options for cells and for none that are named alike."""
    return [word for cell in cells for word in ("--only", f"={cell}")]


@pytest.mark.parametrize(
    ("cells", "options"),
    [(EVERYONE, []), (RIVALS, ["--no-others"])],
)
def test_every_scenario_runs(cells: list[str], options: list[str], tmp_path: Path) -> None:
    written = tmp_path / "results.json"
    bench("--smoke", "--no-awake", "--json", written, *options, *exactly(cells))
    results = {one["name"]: one for one in json.loads(written.read_text())["results"]}
    assert sorted(results) == sorted(cells)
    for result in results.values():
        cell = result["cell"]
        expected = {"aiows", *cell["rivals"], *([] if options else cell["others"])}
        assert {who for who, _ in result["rounds"]} == expected
        for _, rounds in result["rounds"]:
            assert len(rounds) == 1
            assert rounds[0]["cpu_us"] > 0


def planted(tmp_path: Path, name: str, ours: float, number: str = "cpu_us") -> Path:
    """Write results of one cell: the rivals' number is 1 or, in a second round, 2."""
    committed = json.loads(RESULTS.read_text())
    (result,) = [one for one in committed["results"] if one["name"] == name]

    def rounds(factor: float) -> list[dict[str, Any]]:
        return [{"cpu_us": 1.0, number: factor}, {"cpu_us": 1.0, number: factor * 2}]

    result["rounds"] = [
        [who, rounds(ours if who == "aiows" else 1.0 + index)]
        for index, (who, _) in enumerate(result["rounds"])
    ]
    written = tmp_path / "results.json"
    written.write_text(json.dumps({"machine": committed["machine"], "results": [result]}))
    return written


@pytest.mark.parametrize(
    ("name", "number", "limit", "theirs", "sense"),
    [
        ("echo/256/10/callback", "cpu_us", 0.95, 2.0, 1),
        ("flood/8192/iterate", "cpu_us", 1.0, 2.0, 1),
        ("idle/5000", "connection_kib", 8.0, 1.0, 1),
        ("handshakes", "per_second", 1.2, 2.0, -1),
        ("exchanged/2000", "connection_kib", 48.0, 1.0, 1),
    ],
)
def test_gate_names_the_bar_that_is_missed(
    tmp_path: Path, name: str, number: str, limit: float, theirs: float, sense: int
) -> None:
    for factor, status in ((1 - 0.01 * sense, 0), (1 + 0.01 * sense, 1)):
        written = planted(tmp_path, name, limit * theirs * factor, number)
        command = [sys.executable, str(BENCH), "--gate", "--results", str(written)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (status, "")
        assert (f"bar missed: {name} {number}" in result.stdout) == bool(status)


def test_gate_wants_nine_pairs() -> None:
    command = [sys.executable, str(BENCH), "--gate", "--pairs", "8"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "--gate needs at least 9 pairs" in result.stderr


def test_results_have_every_cell() -> None:
    results = {one["name"]: one for one in json.loads(RESULTS.read_text())["results"]}
    listed = [line.split()[:2] for line in bench("--list").splitlines()]
    assert [name for name, _ in listed if name not in results] == []
    for name in [name for name, judged in listed if judged == "bar"]:
        cell = results[name]["cell"]
        paired = dict(results[name]["rounds"])
        assert min(len(paired[who]) for who in ("aiows", *cell["rivals"])) >= 9


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of what the report reads and writes."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copyfile(ROOT / "README.md", tmp_path / "README.md")
    return tmp_path


def report(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH / "report.py"), "--check", "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_tables_and_plots_are_those_of_the_results() -> None:
    result = report(ROOT)
    assert (result.returncode, result.stderr) == (0, "")


def test_other_tables_and_plots_are_noticed(copied: Path) -> None:
    results = copied / "docs" / "bench" / "results.json"
    found = json.loads(results.read_text())
    for one in found["results"]:
        for round_ in one["rounds"][0][1]:
            round_["cpu_us"] *= 2
    results.write_text(json.dumps(found))
    result = report(copied)
    assert result.returncode == 1
    for name in ("README.md", "docs/performance.md", "docs/bench/echo.svg", "docs/bench/bars.svg"):
        assert f"{name} is not what `make bench-report` writes" in result.stderr
