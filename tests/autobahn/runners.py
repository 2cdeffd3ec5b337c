"""Running the cases with an agent: the fast runner, or the reference runner."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agents import Agent, Certificate
from gate import CASES, Verdict, judge_file
from processes import START_S, Failure, finish, port_of, running, stop

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
UNREDUCED = 1000  # messages in each case of compression
# Some of each kind, for TLS: handshakes, control frames, fragments, UTF-8, closing,
# large messages, compression.
SAMPLE = ("1.1.*", "2.*", "3.*", "5.*", "6.4.*", "7.1.*", "7.9.*", "9.1.*", "12.1.*", "13.7.*")
SAMPLE_CASES = 107


@dataclass(frozen=True)
class Plan:
    """What is run: which cases, how, and how long a run may take before it counts as hung."""

    cases: tuple[str, ...] = ()
    number: int = CASES
    messages: int = UNREDUCED
    at_once: int = 4  # cases: most of them wait
    certificate: Certificate | None = None
    wstest: Path | None = None  # the reference runner, where it is to be used
    patience: float = 3600.0


def run(agent: Agent, plan: Plan, out: Path) -> Verdict:
    """Run the cases with an agent and judge the report, which is left in out."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    fault = None
    try:
        if plan.wstest is not None:
            run_reference(agent, plan, out)
        elif agent.server:
            run_fast_client(agent, plan, out)
        else:
            run_fast_server(agent, plan, out)
    except Failure as failure:
        fault = f"{failure}; see {out / 'log.txt'}"
    verdict = judge_file(out / "index.json", plan.number)
    if fault is not None:
        verdict.faults.insert(0, fault)
    return verdict


def fast(role: tuple[str, ...], plan: Plan, out: Path) -> list[str]:
    command = [sys.executable, str(HERE / "fast.py"), *role, "--out", str(out)]
    command += ["--messages", str(plan.messages)]
    return [*command, "--cases", *plan.cases] if plan.cases else command


@contextlib.contextmanager
def relayed(port: int, plan: Plan, server: bool, log: Path) -> Iterator[int]:
    """Put TLS between the fast runner and an agent; the port is that of the new end."""
    made = plan.certificate
    if made is None:
        yield port
        return
    options = ["--ca", made.authority] if server else ["--cert", made.chain, "--key", made.key]
    command = [sys.executable, str(HERE / "relay.py"), str(port), *map(str, options)]
    with running(command, log) as relay:
        yield port_of(relay)
        stop(relay)


def run_fast_client(agent: Agent, plan: Plan, out: Path) -> None:
    log = out / "log.txt"
    with running(agent.serving(plan.certificate), log) as server:
        with relayed(port_of(server), plan, True, log) as port:
            role = ("client", str(port), "--at-once", str(plan.at_once))
            with running(fast(role, plan, out), log) as runner:
                finish(runner, plan.patience)
        stop(server)


def run_fast_server(agent: Agent, plan: Plan, out: Path) -> None:
    log = out / "log.txt"
    with running(fast(("server",), plan, out), log) as runner:
        with relayed(port_of(runner), plan, False, log) as port:
            ask(agent, plan, port, log)
            finish(runner, START_S)


def ask(agent: Agent, plan: Plan, port: int, log: Path) -> None:
    """Have a client run the cases of the fuzzing server at port."""
    made = plan.certificate
    uri = f"{'ws' if made is None else 'wss'}://{HOST}:{port}"
    with running(agent.asking(uri, made and made.authority, plan.at_once), log) as client:
        finish(client, plan.patience)


def run_reference(agent: Agent, plan: Plan, out: Path) -> None:
    """Run wstest, whose fuzzing server neither chooses a port nor ends by itself."""
    log = out / "log.txt"
    made = plan.certificate
    scheme = "ws" if made is None else "wss"
    spec: dict[str, object] = {
        "outdir": str(out),
        "cases": list(plan.cases or ("*",)),
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    if agent.server:
        with running(agent.serving(made), log) as server:
            url = f"{scheme}://{HOST}:{port_of(server)}"
            spec["servers"] = [{"agent": agent.name, "url": url}]
            with running(wstest("fuzzingclient", plan, spec, out), log, quiet=True) as runner:
                finish(runner, plan.patience)
            stop(server)
        return
    port = free_port()
    spec["url"] = f"{scheme}://{HOST}:{port}"
    if made is not None:
        spec |= {"cert": str(made.chain), "key": str(made.key)}
    with running(wstest("fuzzingserver", plan, spec, out), log, quiet=True) as runner:
        await_server(port, runner.poll)
        ask(agent, plan, port, log)


def wstest(mode: str, plan: Plan, spec: dict[str, object], out: Path) -> list[str]:
    path = out / "spec.json"
    path.write_text(json.dumps(spec, indent=1))
    messages = f"WSTEST_DEFLATE_COUNT={plan.messages}"
    return ["env", messages, str(plan.wstest), "-m", mode, "-s", str(path), "-u", "0"]


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def await_server(port: int, ended: object) -> None:
    """Wait until something listens on port."""
    assert callable(ended)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and ended() is None:
        with contextlib.suppress(OSError):
            socket.create_connection((HOST, port), 5).close()
            return
        time.sleep(0.1)
    raise Failure(f"the reference runner does not listen on port {port}")
