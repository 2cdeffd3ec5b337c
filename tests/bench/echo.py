"""CPU per 256-byte echo, aiows against picows: `python tests/bench --help`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from processes import (
    BUILD,
    HERE,
    ROOT,
    build_c_client,
    build_server,
    echo_server,
    kept_awake,
    processors,
    run_round,
)
from ratios import Ratio, ratio

# What aiows must not exceed, as a multiple of picows' CPU per echo, by connections.
BARS = {
    "callback": {1: 1.15, 10: 1.0, 200: 0.9},
    "await": {1: 0.85, 10: 0.8, 200: 0.75},
}
# Enough for rounds of about a second.
MESSAGES = {1: 40_000, 10: 80_000}
MANY_MESSAGES = 100_000


@dataclass(frozen=True)
class Case:
    """One line of the table: both clients, one API, one number of connections."""

    api: str
    loop: str
    connections: int


@dataclass(frozen=True)
class Outcome:
    case: Case
    rounds: dict[str, list[dict[str, Any]]]
    ratio: Ratio
    bar: float | None

    @property
    def missed(self) -> bool:
        return self.bar is not None and self.ratio.value > self.bar


def client_command(client: str, uri: str, case: Case, messages: int) -> list[str]:
    if client in ("capi", "floor"):
        program = [str(BUILD / "capi_echo"), client]
        return [*program, uri, str(case.connections), str(messages // 10), str(messages)]
    return [
        *[sys.executable, str(HERE / f"client_{client}.py"), uri, "--api", case.api],
        *["--connections", str(case.connections), "--loop", case.loop],
        *["--warmup", str(messages // 10), "--messages", str(messages)],
    ]


def layout_of(arguments: argparse.Namespace, connections: int) -> str:
    """Return where client and server run: the one asked for, or what the bars assume."""
    if arguments.layout is not None:
        return str(arguments.layout)
    return "shared" if connections == 1 else "free"


@contextlib.contextmanager
def surroundings(layout: str, awake: bool) -> Iterator[str]:
    """Run the echo server, and what keeps processors awake; yield the server's URI."""
    _, server_on, sleepless = processors(layout)
    with contextlib.ExitStack() as stack:
        if awake:
            stack.enter_context(kept_awake(sleepless))
        yield stack.enter_context(echo_server(server_on))


def compare(case: Case, subject: str, rival: str, arguments: argparse.Namespace) -> Outcome:
    """Run pairs of rounds, the subject first in one pair and second in the next."""
    layout = layout_of(arguments, case.connections)
    on, _, _ = processors(layout)
    messages = arguments.messages or MESSAGES.get(case.connections, MANY_MESSAGES)
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    with surroundings(layout, not arguments.no_awake) as uri:
        for pair in range(arguments.pairs):
            order = [(subject, ours), (rival, theirs)]
            for client, rounds in order if pair % 2 == 0 else reversed(order):
                rounds.append(run_round(client_command(client, uri, case, messages), on))
    bar = None
    if (subject, rival) == ("aiows", "picows"):
        bar = BARS.get(case.api, {}).get(case.connections)
    return Outcome(
        case,
        {"subject": ours, "rival": theirs},
        ratio([r["cpu_us"] for r in ours], [r["cpu_us"] for r in theirs]),
        bar,
    )


def row(outcome: Outcome, subject: str, rival: str) -> str:
    def middle(rounds: list[dict[str, Any]], what: str) -> float:
        return median(one[what] for one in rounds)

    ours, theirs = outcome.rounds["subject"], outcome.rounds["rival"]
    case = outcome.case
    cells = [f"{case.api:<8} {case.loop:<7} {case.connections:>5}"]
    for rounds in (ours, theirs):
        cpu, kernel = middle(rounds, "cpu_us"), middle(rounds, "kernel_us")
        cells.append(f"{cpu:8.2f} us ({kernel:6.2f} in the kernel)")
    spread = outcome.ratio
    cells.append(f"{spread.value:6.3f} [{spread.low:.3f}, {spread.high:.3f}]")
    if outcome.bar is not None:
        cells.append(f"at most {outcome.bar:<4} {'MISSED' if outcome.missed else 'met'}")
    return "  ".join(cells)


def header(subject: str, rival: str) -> str:
    cells = f"{'api':<8} {'loop':<7} {'conns':>5}  {subject:<33}  {rival:<33}"
    return cells + "  ratio, 95% interval"


def versions(outcomes: list[Outcome]) -> dict[str, str]:
    return {
        one["client"]: one["version"]
        for outcome in outcomes
        for rounds in outcome.rounds.values()
        for one in rounds[:1]
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tests/bench",
        description="Measure CPU per 256-byte echo of two clients in interleaved rounds.",
    )
    parser.add_argument("--gate", action="store_true", help="status 1 when a bar is missed")
    parser.add_argument("--quick", action="store_true", help="3 short pairs: a smoke test")
    parser.add_argument("--pairs", type=int, default=None, help="rounds of each client (11)")
    parser.add_argument("--messages", type=int, default=None, help="round trips of a round")
    parser.add_argument("--connections", default="1,10,200", help="default 1,10,200")
    parser.add_argument("--api", default="callback,await", help="default callback,await")
    parser.add_argument("--loop", default="asyncio", help="asyncio, uvloop or both, by comma")
    parser.add_argument("--subject", default="aiows", help="client to measure (aiows)")
    parser.add_argument("--rival", default="picows", help="client to measure it against (picows)")
    parser.add_argument(
        "--context", action="store_true", help="add websockets, aiohttp, the C library, the floor"
    )
    parser.add_argument(
        "--layout",
        choices=["shared", "split", "free"],
        help="client and server on the same processor (the default at 1 connection), "
        "on one each, or anywhere (the default at more)",
    )
    parser.add_argument("--no-awake", action="store_true", help="let idle processors sleep")
    parser.add_argument("--library", type=Path, default=ROOT / "build" / "libaiows.so")
    parser.add_argument("--json", type=Path, default=BUILD / "echo.json", help="where to write")
    arguments = parser.parse_args()
    if arguments.pairs is None:
        arguments.pairs = 3 if arguments.quick else 11
    if arguments.quick and arguments.messages is None:
        arguments.messages = 4000
    if arguments.pairs < 1:
        parser.error(f"--pairs {arguments.pairs}, expected 1 or more")
    if arguments.gate and arguments.pairs < 9:
        parser.error(f"--gate needs at least 9 pairs, not {arguments.pairs}")
    return arguments


def connections_of(arguments: argparse.Namespace) -> list[int]:
    return [int(connections) for connections in arguments.connections.split(",")]


def cases_of(arguments: argparse.Namespace) -> list[Case]:
    return [
        Case(api, loop, connections)
        for loop in arguments.loop.split(",")
        for api in arguments.api.split(",")
        for connections in connections_of(arguments)
    ]


def context(arguments: argparse.Namespace) -> list[tuple[str, Outcome]]:
    """Measure others in pairs with picows' callback, for orientation; no bar."""
    loop = arguments.loop.split(",")[0]
    found = []
    for client in ("floor", "capi", "aiohttp", "websockets"):
        for connections in connections_of(arguments):
            api = "callback" if client in ("floor", "capi") else "await"
            case = Case(api, loop, connections)
            found.append((client, compare(case, client, "picows", arguments)))
    return found


def main() -> int:
    arguments = parse()
    BUILD.mkdir(parents=True, exist_ok=True)
    build_server()
    if arguments.context or {arguments.subject, arguments.rival} & {"capi", "floor"}:
        build_c_client(arguments.library)
    started = time.time()
    outcomes: list[Outcome] = []
    others: list[tuple[str, Outcome]] = []
    print(header(arguments.subject, arguments.rival), flush=True)
    for case in cases_of(arguments):
        outcome = compare(case, arguments.subject, arguments.rival, arguments)
        outcomes.append(outcome)
        print(row(outcome, arguments.subject, arguments.rival), flush=True)
    if arguments.context:
        for client, outcome in context(arguments):
            others.append((client, outcome))
            print(f"{client + ':':<12}{row(outcome, client, 'picows')}", flush=True)
    record = {
        "subject": arguments.subject,
        "rival": arguments.rival,
        "versions": versions(outcomes),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "layouts": {one: layout_of(arguments, one) for one in connections_of(arguments)},
        "awake": not arguments.no_awake,
        "started": started,
        "seconds": time.time() - started,
        "outcomes": [{**asdict(one), "missed": one.missed} for one in outcomes],
        "context": [{"client": client, **asdict(one)} for client, one in others],
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    missed = [one for one in outcomes if one.missed]
    print(f"{len(outcomes)} comparisons of {arguments.pairs} pairs, {len(missed)} bars missed")
    return 1 if arguments.gate and missed else 0


if __name__ == "__main__":
    sys.exit(main())
