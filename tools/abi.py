"""Compare the C interface with what is pinned in tests/abi.txt.

usage: abi.py [--add] LIBRARY

Programs that were built against an older library rely on every exported symbol, every number
and the place of every field of aiows.h, so those are only ever added. A struct may grow when
its first field tells its size. --add pins what is new; it never removes.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = ROOT / "include" / "aiows.h"
PINNED = ROOT / "tests" / "abi.txt"
LAYOUT = """
#include <aiows.h>
#include <stdio.h>
#define OFFSET(s, field) printf("offset %s.%s %zu\\n", #s, #field, offsetof(s, field));
#define SIZE(s) printf("size %s %zu\\n", #s, sizeof(s));
int main(void) {{
{lines}
}}
"""


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

    found = {f"symbol {name}" for name in symbols} | soname(libraries[0])
    found |= constants(header) | layout(header)
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
        print(f"abi: {len(symbols)} symbols, {len(found)} pinned lines in all, unchanged")
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


def layout(header: str) -> set[str]:
    """Return the offset of every field, and the size of each struct that cannot grow."""
    code = re.sub(r"//.*", "", header)
    lines = []
    for body, struct in re.findall(r"^typedef struct \w+ \{\n(.*?)^\} (\w+);", code, re.M | re.S):
        fields = re.findall(r"(\w+)(?:\[\w+\])?;", body)
        lines += [f"OFFSET({struct}, {field})" for field in fields]
        if fields[0] != "size":
            lines.append(f"SIZE({struct})")
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "layout.c"), Path(folder, "layout")
        source.write_text(LAYOUT.format(lines="\n".join(lines)))
        subprocess.run(["cc", f"-I{HEADER.parent}", source, "-o", program], check=True)
        output = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    return set(output.splitlines())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
