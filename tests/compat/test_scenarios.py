"""Each scenario sees the same on websockets and on aiows, but for what docs/differences.md says."""

from __future__ import annotations

import difflib
import pprint
from pathlib import Path

import pytest
from servers.fixtures import Certificates

import scenarios  # noqa: F401
from differences import reasons
from harness import SCENARIOS, Scenario, Surroundings


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


@pytest.mark.parametrize("case", cases())
def test_same_on_both(
    case: Scenario,
    tmp_path: Path,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    surroundings = Surroundings(tmp_path, certificates, monkeypatch.setenv)
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
