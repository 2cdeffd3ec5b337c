"""docs/conformance.md names every error, and tests and code that are there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from support import ROOT, run

PAGE = (ROOT / "docs" / "conformance.md").read_text()
VECTORS = {
    "frames.txt": ("libws/wire/testdata/frames.txt", "case "),
    "request.txt": ("libws/handshake/testdata/request.txt", "== "),
    "response.txt": ("libws/handshake/testdata/response.txt", "== "),
    "build.txt": ("libws/handshake/testdata/build.txt", "== "),
    "deflate.txt": ("libws/testdata/deflate.txt", "case "),
    "negotiation.txt": ("libws/deflate/testdata/negotiation.txt", "== "),
}


def rows(page: str) -> list[list[str]]:
    """Return the cells of each rule."""
    lines = [line.replace(r"\|", "\0") for line in page.splitlines() if line.startswith("| ")]
    cells = [
        [cell.strip().replace("\0", "|") for cell in line.strip("|").split("|")] for line in lines
    ]
    return [row for row in cells if row[0] != "rule"]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def named_errors() -> set[str]:
    found = set()
    for package in ("wire", "handshake", "deflate"):
        for path in (ROOT / "libws" / package).glob("*.go"):
            if not path.name.endswith("_test.go"):
                names = re.findall(r"^\t?(?:var )?(Err\w+)\s+=", path.read_text(), re.MULTILINE)
                found.update(f"{package}.{name}" for name in names)
    return found


def missing_test(reference: str) -> bool:
    """Whether no such test is there; subtests of Go tests are known to `make mutate` alone."""
    file, _, name = reference.partition("::")
    path, mark = VECTORS.get(file, (file, ""))
    if not name or not (ROOT / path).is_file():
        return True
    text = (ROOT / path).read_text()
    if mark:
        return f"{mark}{name}\n" not in text
    if path.endswith("_test.go"):
        return f"func {name.partition('/')[0]}(" not in text
    if path.endswith(".c"):
        return f"\tX({name})" not in text
    return f"def {name}(" not in text


def faults(page: str) -> list[str]:
    """Return what is wrong with the page."""
    table = rows(page)
    wrong = [f"{row[0]}: {len(row)} cells" for row in table if len(row) != 5]
    if wrong:
        return wrong
    errors = named_errors()
    named = {name for row in table for name in quoted(row[3]) if re.fullmatch(r"\w+\.Err\w+", name)}
    wrong += [f"{name} has no row" for name in sorted(errors - named)]
    counts: Counter[str] = Counter()
    for rule, _, binds, kept_by, tests in table:
        section, _, number = rule.rpartition(" no. ")
        counts[section] += 1
        if number != str(counts[section]):
            wrong.append(f"{rule}: expected number {counts[section]}")
        if binds not in ("client", "server", "both"):
            wrong.append(f"{rule}: binds {binds}")
        for name in quoted(kept_by):
            place, colon, code = name.partition(": ")
            file = Path(ROOT, place.partition(" ")[0])
            if colon and file.suffix == ".go" and code not in file.read_text():
                wrong.append(f"{rule}: {name} is not there")
        if not quoted(tests):
            wrong.append(f"{rule}: no test")
        wrong += [f"{rule}: no test {name}" for name in quoted(tests) if missing_test(name)]
    for document, number in re.findall(r"^- (RFC .*?): (\d+)", page, re.MULTILINE):
        table_of = re.findall(rf"^## {document}.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        there = len(rows("".join(table_of)))
        if there != int(number):
            wrong.append(f"{document}: {there} rules, the page says {number}")
    return wrong


def test_conformance_page() -> None:
    assert faults(PAGE) == []
    assert len(rows(PAGE)) > 120


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("`wire.ErrMaskRequired`", "nothing", "wire.ErrMaskRequired has no row"),
        ("frames.txt::opcode-3`", "frames.txt::opcode-33`", "no test frames.txt::opcode-33"),
        ("::TestMaskingKeys`", "::TestMaskingKey`", "no test libws/send_test.go::TestMaskingKey"),
        ("::test_origins`", "::test_origin`", "no test tests/python/test_server_handshake.py"),
        ("c.opts.AutoClose`", "c.opts.AutoShut`", "c.opts.AutoShut is not there"),
        ("| 5.1 no. 2 |", "| 5.1 no. 3 |", "5.1 no. 3: expected number 2"),
        ("section 5: 33 rules", "section 5: 34 rules", "33 rules, the page says 34"),
    ],
)
def test_faults_are_found(old: str, new: str, fault: str) -> None:
    assert old in PAGE
    assert any(fault in found for found in faults(PAGE.replace(old, new)))


def test_rules_of_the_host_field_have_tests_that_notice() -> None:
    """The rest takes `make mutate` minutes; this finds rows that fit the code no more."""
    said = run("go", "run", "./tests/mutate", "-only", "handshake.ErrHost", cwd=ROOT).stdout
    assert re.fullmatch(r"\d mutants of 1 errors and conditions in \d+ rows, 0 survived\n", said)
