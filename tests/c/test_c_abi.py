"""The interface of the shipped library is the one that abi.txt pins."""

from __future__ import annotations

import re

import pytest

from c_support import HERE, ROOT, Builder, checked, need

HEADER = ROOT / "include" / "aiows.h"

LAYOUT = """
#include <stdio.h>
#include "aiows.h"
#define SIZE(type) printf("size %s %zu\\n", #type, sizeof(type));
#define ERROR(name, number, text) printf("error AIOWS_ERR_%s %d\\n", #name, number);
int main(void) {
	AIOWS_ERROR_MAP(ERROR)
	SIZES
	printf("abi %d\\n", AIOWS_ABI);
	return 0;
}
"""


def exported(build: Builder) -> list[str]:
    lines = checked([need("nm"), "-D", "--defined-only", build.library("release") / "libaiows.so"])
    return [line.split()[-1] for line in lines.splitlines()]


def test_only_our_symbols_are_shown(build: Builder) -> None:
    declared = re.findall(r"\b(aiows_\w+)\(", re.sub(r"//.*", "", HEADER.read_text()))
    assert sorted(exported(build)) == sorted(set(declared))


def test_soname(build: Builder) -> None:
    text = checked([need("readelf"), "-d", build.library("release") / "libaiows.so"])
    assert "Library soname: [libaiows.so.0]" in text
    assert "RPATH" not in text
    assert "RUNPATH" not in text


def test_abi_is_the_pinned_one(build: Builder) -> None:
    """Numbers and symbols are only ever added: change abi.txt by adding lines."""
    structs = re.findall(r"^} (aiows_\w+);", HEADER.read_text(), re.MULTILINE)
    source = build.folder / "layout.c"
    source.write_text(LAYOUT.replace("SIZES", "".join(f"SIZE({name})\n" for name in structs)))
    program = build.folder / "layout"
    checked([need("cc"), "-I", HEADER.parent, source, "-o", program])
    lines = [f"symbol {name}" for name in sorted(exported(build))]
    lines += checked([program]).splitlines()
    assert (HERE / "abi.txt").read_text().splitlines() == lines


@pytest.mark.parametrize(
    "command",
    [
        ["cc", "-x", "c", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"],
        ["cc", "-x", "c", "-std=c17", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wc++-compat"],
        ["c++", "-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-pedantic"],
    ],
    ids=["c99", "c17", "c++11"],
)
def test_header_compiles_alone(command: list[str]) -> None:
    need(command[0])
    checked([*command, "-fsyntax-only", HEADER, "-Wno-pragma-once-outside-header"])


def test_no_path_of_this_machine_is_in_the_library(build: Builder) -> None:
    assert str(ROOT).encode() not in (build.library("release") / "libaiows.so").read_bytes()
