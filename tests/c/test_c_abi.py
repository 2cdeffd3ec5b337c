"""What the shipped library shows, and the header it comes with; `make abi` pins the rest."""

from __future__ import annotations

import re

import pytest

from c_support import ROOT, Builder, checked, need

HEADER = ROOT / "include" / "aiows.h"


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
