"""The documents say what the files beside them say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import aiows
import aiows._library
from support import ROOT, VERSION, run

README = (ROOT / "README.md").read_text()


def test_line_one_names_the_distribution() -> None:
    first = README.partition("\n")[0]
    assert "libaiows" in first
    assert "aiows" in first
    assert "another project" in first
    assert "import name" in first


@pytest.mark.parametrize(
    "program",
    [
        "examples/python/hello.py",
        "examples/python/blocking.py",
        "examples/python/serve.py",
        "examples/c/hello.c",
    ],
)
def test_readme_shows_the_program(program: str) -> None:
    block = re.search(rf"<!-- {re.escape(program)} -->\n```\w+\n(.*?)```\n", README, re.DOTALL)
    assert block is not None
    assert block[1] == (ROOT / program).read_text()


GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))


@pytest.mark.parametrize("page", GUIDE, ids=lambda page: page.stem)
def test_guide_shows_the_programs(page: Path) -> None:
    blocks = re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```\n", page.read_text(), re.DOTALL)
    assert [name for name, block in blocks if (ROOT / name).read_text() != block] == []


def test_versions_agree() -> None:
    assert aiows.__version__ == VERSION
    assert aiows._library.version() == VERSION
    assert f"## {VERSION}" in (ROOT / "CHANGELOG.md").read_text()


def test_links_lead_somewhere() -> None:
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        (document.name, link)
        for document in documents
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text())
        if not (document.parent / link).exists()
    ]
    assert broken == []


def test_every_verb_has_a_line_of_help() -> None:
    listed = set(re.findall(r"^  make (\S+)", run("make", "help", cwd=ROOT).stdout, re.MULTILINE))
    wanted = "help build demo deps test check lint fmt abi bench fuzz clean".split()
    assert [verb for verb in wanted if verb not in listed] == []


def test_ci_calls_the_readmes_test_command() -> None:
    assert "make deps test " in README
    assert "\nmake deps test\n" in Path(ROOT, ".ci", "run").read_text()
