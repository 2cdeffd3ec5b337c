"""Compare the C interface with what is pinned in tests/abi.txt.

usage: abi.py [--add] LIBRARY

Programs that were built against an older library rely on every exported symbol and every
number of aiows.h, so those are only ever added. --add pins what is new; it never removes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = ROOT / "include" / "aiows.h"
PINNED = ROOT / "tests" / "abi.txt"


def main(arguments: list[str]) -> int:
    add = "--add" in arguments
    libraries = [argument for argument in arguments if not argument.startswith("-")]
    if len(libraries) != 1 or set(arguments) - {"--add", *libraries}:
        print((__doc__ or "").splitlines()[2], file=sys.stderr)
        return 2
    symbols = exported(libraries[0])
    problems = [
        f"{name} is exported, expected names that begin with aiows_"
        for name in sorted(symbols)
        if not name.startswith("aiows_")
    ]
    header = HEADER.read_text()
    declared = set(re.findall(r"\b(aiows_\w+)\(", re.sub(r"//.*", "", header)))
    problems += [f"{name} is declared and not exported" for name in sorted(declared - symbols)]
    problems += [f"{name} is exported and not declared" for name in sorted(symbols - declared)]

    found = {f"symbol {name}" for name in symbols} | constants(header) | soname(libraries[0])
    pinned = set(PINNED.read_text().splitlines()) if PINNED.exists() else set()
    problems += [f"gone or changed: {line}" for line in sorted(pinned - found)]
    new = found - pinned
    if add:
        PINNED.write_text("".join(f"{line}\n" for line in sorted(pinned | new)))
    else:
        problems += [f"not pinned: {line} (make abi ARGS=--add)" for line in sorted(new)]
    for problem in problems:
        print(f"abi: {problem}", file=sys.stderr)
    if not problems:
        print(
            f"abi: {len(symbols)} symbols, {len(found) - len(symbols)} numbers and names, as pinned"
        )
    return 1 if problems else 0


def exported(library: str) -> set[str]:
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True
    ).stdout
    return {line.split()[-1] for line in listing.splitlines()}


def soname(library: str) -> set[str]:
    dynamic = subprocess.run(
        ["readelf", "-d", library], capture_output=True, text=True, check=True
    ).stdout
    return {f"soname {name}" for name in re.findall(r"Library soname: \[(.*)\]", dynamic)}


def constants(header: str) -> set[str]:
    """Return every number that the header gives a name."""
    code = re.sub(r"//.*", "", header)
    errors = re.findall(r"\bX\((\w+), (-?\d+), \"", code)
    named = re.findall(r"\b(AIOWS_\w+) = (-?\w+)", code)
    named += re.findall(r"^#define (AIOWS_\w+) \(?(-?\w+)\)?$", code, re.MULTILINE)
    named += [(f"AIOWS_ERR_{name}", number) for name, number in errors]
    return {f"constant {name} {int(number, 0)}" for name, number in named}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
