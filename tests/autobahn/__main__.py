"""Autobahn's cases for every client and server; README.md beside it says what is wanted."""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from agents import AGENTS, BUILD, Agent, build_c_agents, make_certificate
from gate import Verdict
from runners import SAMPLE, SAMPLE_CASES, UNREDUCED, Plan, run

FEW = 20  # messages


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/autobahn", description=__doc__)
    parser.add_argument(
        "--messages",
        type=int,
        default=UNREDUCED,
        help=f"in each case of compression, at most {UNREDUCED} (the default)",
    )
    parser.add_argument(
        "--agents", default="*", metavar="PATTERN", help="those whose name matches, as in a shell"
    )
    parser.add_argument(
        "--cases",
        action="append",
        metavar="PATTERN",
        help='only these, such as "6.4.*"; repeatable. Their number is not judged, nor TLS run',
    )
    parser.add_argument("--at-once", type=int, default=2, help="agents run side by side (2)")
    parser.add_argument(
        "--wstest",
        type=lambda path: Path(path).resolve(),
        help="the program of the reference runner, which is used then",
    )
    arguments = parser.parse_args()
    if not 1 <= arguments.messages <= UNREDUCED:
        parser.error(f"--messages {arguments.messages}, expected 1 to {UNREDUCED}")
    return arguments


def plans(arguments: argparse.Namespace) -> dict[str, Plan]:
    """Return what each agent does, by the name of the folder below its own."""
    base = Plan(
        messages=arguments.messages,
        # Many messages keep a processor busy, and kosoku gives a case 20 s.
        at_once=4 if arguments.messages <= FEW else 1,
        wstest=arguments.wstest,
        patience=300.0 + 15.0 * arguments.messages,
    )
    if arguments.cases:
        return {"some": replace(base, cases=tuple(arguments.cases), number=-1)}
    sample = replace(base, cases=SAMPLE, number=SAMPLE_CASES, messages=min(base.messages, 2))
    return {"ws": base, "wss": replace(sample, certificate=make_certificate(BUILD / "certificate"))}


def main() -> int:
    arguments = parse()
    agents = [agent for agent in AGENTS if fnmatch.fnmatch(agent.name, arguments.agents)]
    if not agents:
        print(f"no agent is called {arguments.agents!r}", file=sys.stderr)
        return 2
    build_c_agents()
    runner = "fast" if arguments.wstest is None else "reference"

    def one(job: tuple[Agent, str, Plan]) -> bool:
        agent, kind, plan = job
        started = time.monotonic()
        out = BUILD / runner / agent.name / kind
        verdict = run(agent, plan, out)
        show(f"{agent.name} {kind}", verdict, time.monotonic() - started, out)
        return verdict.passed

    jobs = [(agent, kind, plan) for kind, plan in plans(arguments).items() for agent in agents]
    with ThreadPoolExecutor(arguments.at_once) as pool:
        return 0 if all(list(pool.map(one, jobs))) else 1


def show(name: str, verdict: Verdict, seconds: float, out: Path) -> None:
    lines = [f"{name:18} {verdict} ({seconds:.0f} s)"]
    lines += [f"{name:18} {fault}" for fault in verdict.faults[:20]]
    if len(verdict.faults) > 20:
        lines.append(f"{name:18} and {len(verdict.faults) - 20} more")
    if verdict.faults:
        lines.append(f"{name:18} the report: {out / 'index.html'}")
    print("\n".join(lines), flush=True)


sys.exit(main())
