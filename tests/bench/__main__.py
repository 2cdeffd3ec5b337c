"""The benchmark: `python tests/bench --help`; README.md beside it says what it measures."""

from __future__ import annotations

import argparse
import fnmatch
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from cells import Cell, cells
from processes import BUILD, ROOT, build_c_programs, build_peer
from results import Result, Results, judge
from runner import FULL, QUICK, SMOKE, Plan, machine, run, unable


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench", description="measure aiows against others")
    parser.add_argument(
        "--only",
        action="append",
        metavar="PATTERN",
        help="cells with PATTERN in their names, or matched by it as by a shell, or named so "
        "after a '='; repeatable",
    )
    parser.add_argument("--bars", action="store_true", help="only the cells that a bar judges")
    parser.add_argument("--list", action="store_true", help="list the cells and leave")
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    parser.add_argument("--smoke", action="store_true", help="a handful of messages: does it run?")
    parser.add_argument("--gate", action="store_true", help="status 1 if a bar is missed")
    parser.add_argument("--pairs", type=int, help="rounds of everyone in each cell (11 or 3)")
    parser.add_argument("--other-pairs", type=int, help="the same in cells without a bar")
    parser.add_argument("--seconds", type=float, help="about how long a round is (0.6 or 0.25)")
    parser.add_argument("--subject", default="aiows", help="whom to measure (aiows)")
    parser.add_argument("--rival", help="whom to measure it against, instead of the cells' own")
    parser.add_argument("--no-others", action="store_true", help="leave out who is no rival")
    parser.add_argument(
        "--layout",
        choices=["shared", "split", "free"],
        help="both ends on one processor, on one each, or anywhere, instead of the cells' own",
    )
    parser.add_argument("--no-awake", action="store_true", help="let idle processors sleep")
    parser.add_argument("--library", type=Path, default=ROOT / "build" / "libaiows.so")
    parser.add_argument(
        "--json", type=Path, default=BUILD / "results.json", help="where to write every round"
    )
    parser.add_argument(
        "--results", type=Path, help="measure nothing, show and judge what was written before"
    )
    arguments = parser.parse_args()
    for option in ("pairs", "other_pairs"):
        pairs = getattr(arguments, option)
        if pairs is not None and pairs < 1:
            parser.error(f"--{option.replace('_', '-')} {pairs}, expected 1 or more")
    if arguments.gate and arguments.results is None and plan_of(arguments).judged_pairs < 9:
        parser.error("--gate needs at least 9 pairs")
    return arguments


def plan_of(arguments: argparse.Namespace) -> Plan:
    plan = SMOKE if arguments.smoke else QUICK if arguments.quick else FULL
    if arguments.pairs is not None:
        plan = replace(plan, judged_pairs=arguments.pairs, pairs=arguments.pairs)
    if arguments.other_pairs is not None:
        plan = replace(plan, pairs=arguments.other_pairs)
    if arguments.seconds is not None:
        plan = replace(plan, judged_seconds=arguments.seconds, seconds=arguments.seconds)
    if arguments.no_others:
        plan = replace(plan, other_rounds=0)
    return replace(
        plan,
        subject=arguments.subject,
        rival=arguments.rival,
        layout=arguments.layout,
        awake=not arguments.no_awake,
    )


def chosen(arguments: argparse.Namespace) -> list[Cell]:
    found = [cell for cell in cells() if cell.judged or not arguments.bars]
    if arguments.only is None:
        return found
    return [
        cell
        for cell in found
        if any(
            pattern.removeprefix("=") == cell.name
            if pattern.startswith("=")
            else pattern in cell.name or fnmatch.fnmatch(cell.name, pattern)
            for pattern in arguments.only
        )
    ]


def show(result: Result) -> str:
    """Return the lines of a cell for the terminal."""
    number = "connection_kib" if result.cell["scenario"] in ("idle", "exchanged") else "cpu_us"
    unit = "KiB" if number == "connection_kib" else "us"
    lines = [f"{result.name}  ({len(result.rounds[0][1])} pairs, {result.cell['layout']})"]
    for index, (who, rounds) in enumerate(result.rounds):
        line = f"  {who:<18}{result.middle(who, number):>10.2f} {unit}"
        if "per_second" in rounds[0]:
            line += f"{result.middle(who, 'per_second'):>12.0f}/s"
        if "sent_bytes" in rounds[0]:
            line += f"{result.middle(who, 'sent_bytes'):>9.1f} B sent"
        if index and rounds:
            found = result.ratio(who, number)
            line += (
                f"   {result.subject} / it {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
            )
        if latency := result.latency(who):
            line += "   " + " ".join(f"{name} {value:.0f}" for name, value in latency.items())
        lines.append(line)
    lines += [f"  bar: {verdict}" for verdict in judge(result)]
    return "\n".join(lines)


def main() -> int:
    arguments = parse()
    wanted = chosen(arguments)
    if not wanted:
        print(f"no cell is matched by {arguments.only}, see --list", file=sys.stderr)
        return 2
    if arguments.list:
        for cell in wanted:
            who = ", ".join((*cell.rivals, *(f"({one})" for one in cell.others)))
            print(f"{cell.name:<34}{'bar ' if cell.judged else '    '} against {who}")
        return 0
    failed: list[str] = []
    if arguments.results is not None:
        found = Results.read(arguments.results)
        for result in found.results:
            print(show(result))
    else:
        found, failed = measure(wanted, arguments)
    missed = [verdict for verdict in found.verdicts if not verdict.met]
    print(f"{len(found.verdicts)} bars judged, {len(missed)} missed")
    for verdict in missed:
        print(f"bar missed: {verdict}")
    for failure in failed:
        print(f"cell failed: {failure}", file=sys.stderr)
    return 1 if failed or (arguments.gate and missed) else 0


def measure(wanted: list[Cell], arguments: argparse.Namespace) -> tuple[Results, list[str]]:
    """Run cells, show each, and write every round; return what failed, too."""
    plan = plan_of(arguments)
    BUILD.mkdir(parents=True, exist_ok=True)
    build_peer()
    build_c_programs(arguments.library)
    started = time.time()
    results: list[Result] = []
    failed: list[str] = []
    for cell in wanted:
        if reason := unable(cell):
            print(f"{cell.name}: left out, {reason}", flush=True)
            continue
        try:
            results.append(run(cell, plan))
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            failed.append(f"{cell.name}: {error}")
            print(f"{cell.name}: failed, {error}", file=sys.stderr, flush=True)
            continue
        print(show(results[-1]), flush=True)
    found = Results(machine(started), results)
    found.write(arguments.json)
    took = time.time() - started
    print(f"{len(results)} cells in {took:.0f} s; every round is in {arguments.json}")
    return found, failed


if __name__ == "__main__":
    sys.exit(main())
