"""Each scenario sees the same on websockets and on aiows, but for what docs/differences.md says."""

from __future__ import annotations

import difflib
import pprint
from pathlib import Path

import pytest
from servers.fixtures import Certificates

import scenarios  # noqa: F401
from differences import reasons
from harness import SCENARIOS, Function, Run, Scenario, Surroundings


def cases() -> list[object]:
    known = reasons()
    made = []
    for case in SCENARIOS:
        marks = []
        if case.difference is not None:
            reason = known.get(case.difference, "not in docs/differences.md")
            marks.append(
                pytest.mark.xfail(raises=pytest.fail.Exception, strict=True, reason=reason)
            )
        made.append(pytest.param(case, id=f"{case.flavor}-{case.name}", marks=marks))
    return made


@pytest.fixture
def surroundings(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Surroundings:
    return Surroundings(tmp_path, certificates, monkeypatch.setenv)


def compare(case: Scenario, surroundings: Surroundings) -> None:
    """Run a scenario on both libraries and fail unless it did what it says and saw the same."""
    reference = case.run("websockets", surroundings)
    ours = case.run("aiows", surroundings)
    assert case.covers <= reference.used, f"not used: {sorted(case.covers - reference.used)}"
    assert case.covers <= ours.used, f"not used: {sorted(case.covers - ours.used)}"
    assert reference.notes, "a scenario that notes nothing compares nothing"
    if reference.notes != ours.notes:
        one, other = (pprint.pformat(run.notes, width=100) for run in (reference, ours))
        lines = difflib.unified_diff(
            one.splitlines(), other.splitlines(), "websockets", "aiows", n=3, lineterm=""
        )
        pytest.fail("the libraries differ\n" + "\n".join(lines), pytrace=False)


@pytest.mark.parametrize("case", cases())
def test_same_on_both(case: Scenario, surroundings: Surroundings) -> None:
    compare(case, surroundings)


def fake(function: Function, *covers: str) -> Scenario:
    return Scenario("fake", "asyncio", function, frozenset(covers), None)


async def opens(run: Run) -> None:
    ws = await run.open()
    run.note("state", ws.state)


async def tells_apart(run: Run) -> None:
    run.note("library", run.library.name)


async def notes_nothing(run: Run) -> None:
    await run.open()


def test_a_scenario_must_use_what_it_covers(surroundings: Surroundings) -> None:
    compare(fake(opens, "state", "connect.uri"), surroundings)
    for name in ("recv", "connect.origin"):
        with pytest.raises(AssertionError, match=name):
            compare(fake(opens, "state", name), surroundings)


def test_a_scenario_must_see_something(surroundings: Surroundings) -> None:
    with pytest.raises(AssertionError, match="notes nothing"):
        compare(fake(notes_nothing), surroundings)


def test_a_difference_is_seen(surroundings: Surroundings) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"\+.*'aiows'"):
        compare(fake(tells_apart), surroundings)
