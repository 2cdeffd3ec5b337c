"""Writes tables and plots from docs/bench/results.json: `make bench-report`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from plots import draw
from processes import ROOT
from results import Results
from tables import bars, sections, summary

RESULTS = Path("docs/bench/results.json")
# Document, what is between its markers, who makes it.
PARTS = [
    (Path("docs/performance.md"), "results", sections),
    (Path("docs/performance.md"), "bars", bars),
    (Path("README.md"), "table", summary),
]


def between(text: str, name: str, new: str) -> str:
    """Return a document with what is between two markers replaced."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"no {begin.strip()} ... {end}")
    return f"{before}{begin}{new}\n{end}{after}"


def report(root: Path) -> dict[Path, str]:
    """Return what each generated file below root should be."""
    results = Results.read(root / RESULTS)
    files: dict[Path, str] = {}
    for path, name, make in PARTS:
        text = files.get(path) or (root / path).read_text()
        files[path] = between(text, name, make(results))
    for name, plot in draw(results).items():
        files[RESULTS.parent / name] = plot
    return files


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/bench/report.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, 1 if a file differs")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    arguments = parser.parse_args()
    stale = []
    for path, text in report(arguments.root).items():
        target = arguments.root / path
        if not target.exists() or target.read_text() != text:
            stale.append(path)
            if not arguments.check:
                target.write_text(text)
    for path in stale:
        if arguments.check:
            print(f"{path} is not what `make bench-report` writes", file=sys.stderr)
        else:
            print(f"wrote {path}")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
