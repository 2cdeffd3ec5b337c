"""The gate lets nothing pass that misses the bar: doctored reports, and agents with a fault."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents import AGENTS, HERE, Agent, python
from gate import CASES, INFORMATIONAL, judge, judge_file
from processes import Failure, running
from runners import Plan, run

Report = dict[str, dict[str, dict[str, Any]]]


@pytest.fixture
def report() -> Report:
    """A report that meets the bar."""
    cases = {f"1.1.{n}": {"behavior": "OK", "behaviorClose": "OK"} for n in range(CASES - 3)}
    for case in INFORMATIONAL:
        cases[case] = {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"}
    return {"aiows": cases}


def test_what_meets_the_bar(report: Report) -> None:
    verdict = judge(report, CASES)
    assert verdict.passed, verdict.faults
    assert str(verdict) == (
        "517 cases: 514 OK, 3 INFORMATIONAL, 0 NON-STRICT, 0 FAILED, 0 UNIMPLEMENTED"
    )


def said(case: str, key: str, value: str) -> Callable[[Report], object]:
    return lambda report: report["aiows"][case].update({key: value})


@pytest.mark.parametrize(
    ("doctor", "named"),
    [
        *(
            (said("1.1.7", "behavior", word), "case 1.1.7")
            for word in ("NON-STRICT", "FAILED", "UNIMPLEMENTED", "INFORMATIONAL", "ERROR", "")
        ),
        *(
            (said("1.1.7", "behaviorClose", word), "case 1.1.7")
            for word in ("FAILED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT", "INFORMATIONAL")
        ),
        (said("7.1.6", "behavior", "FAILED"), "case 7.1.6"),
        (said("7.1.6", "behavior", "NON-STRICT"), "case 7.1.6"),
        (said("7.1.6", "behaviorClose", "UNCLEAN"), "case 7.1.6"),
        (lambda report: report["aiows"].pop("1.1.0"), "516 cases"),
        (lambda report: report["aiows"].update({"1.1.600": report["aiows"]["1.1.0"]}), "518 cases"),
        (lambda report: report.clear(), "0 agents"),
        (lambda report: report["aiows"].clear(), "0 cases"),
        # What was run twice, or by somebody else, does not count for this one.
        (lambda report: report.update(other=copy.deepcopy(report["aiows"])), "2 agents"),
    ],
)
def test_doctored_reports(
    report: Report, doctor: Callable[[Report], object], named: str, tmp_path: Path
) -> None:
    doctor(report)
    (tmp_path / "index.json").write_text(json.dumps(report))
    verdict = judge_file(tmp_path / "index.json", CASES)
    assert named in " ".join(verdict.faults)


def test_no_report(tmp_path: Path) -> None:
    assert "no report" in judge_file(tmp_path / "index.json", CASES).faults[0]
    (tmp_path / "index.json").write_text('{"aiows": ')
    assert "no report" in judge_file(tmp_path / "index.json", CASES).faults[0]


def test_some_cases_have_any_number_but_none(report: Report) -> None:
    report["aiows"].pop("1.1.0")
    assert judge(report, -1).passed
    report["aiows"].clear()
    assert not judge(report, -1).passed


def faulty(fault: str) -> Agent:
    return Agent(fault, True, python("faulty_server.py", fault), ())


@pytest.mark.parametrize(
    ("fault", "cases", "number", "named"),
    [
        ("change", ("12.2.1",), 1, "case 12.2.1: FAILED"),
        ("hang-up", ("1.1.*",), 8, "case 1.1.1: OK, close"),
        ("no-compression", ("13.2.1",), 1, "case 13.2.1: UNIMPLEMENTED"),
        ("die", ("1.*",), 16, "with status 3"),
    ],
)
def test_agents_with_a_fault(
    fault: str, cases: tuple[str, ...], number: int, named: str, tmp_path: Path
) -> None:
    plan = Plan(cases=cases, number=number, messages=1, patience=300)
    verdict = run(faulty(fault), plan, tmp_path / "out")
    assert named in "\n".join(verdict.faults), verdict.faults


def test_an_agent_without_fault(tmp_path: Path) -> None:
    (server,) = [agent for agent in AGENTS if agent.name == "python-server"]
    plan = Plan(cases=("1.*", "13.2.1"), number=17, messages=1, patience=300)
    verdict = run(server, plan, tmp_path / "out")
    assert verdict.passed, verdict.faults


def test_a_client_that_stops_early(tmp_path: Path) -> None:
    """Cases that were not asked for are missed, though the runner is content."""
    program = tmp_path / "client.py"
    source = (HERE / "programs" / "client.py").read_text()
    assert source.count("range(1, count + 1)") == 1
    program.write_text(source.replace("range(1, count + 1)", "range(1, count)"))
    lazy = Agent("lazy", False, (sys.executable, str(program)), ())
    verdict = run(lazy, Plan(cases=("1.*",), number=16, messages=1, patience=300), tmp_path / "out")
    assert verdict.faults == ["15 cases were run, expected 16"]


def test_a_hanging_program_is_ended(tmp_path: Path) -> None:
    # It lets itself be connected to, or the runner might give up before.
    script = """if True:
        import socket, time
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        time.sleep(1000)
    """
    silent = Agent("silent", False, (sys.executable, "-c", script), ())
    verdict = run(silent, Plan(cases=("1.1.1",), number=1, patience=0.5), tmp_path / "out")
    assert "has not ended" in verdict.faults[0]


def test_the_reference_runner_says_what_it_lacks(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "dirname").symlink_to(shutil.which("dirname") or "")
    environment = {"PATH": str(tools), "HOME": str(tmp_path), "PY2": "/nowhere/python"}
    command = ["/bin/sh", HERE / "reference" / "setup.sh", tmp_path / "wstest"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "the reference runner needs a CPython 2.7 with pip, ssl and zlib: set PY2 to its path"
    ]


def test_a_process_is_ended_with_its_block(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cut short"):
        with running(
            [sys.executable, "-c", "import time; time.sleep(1000)"], tmp_path / "log"
        ) as p:
            raise Failure("cut short")
    assert p.poll() is not None
