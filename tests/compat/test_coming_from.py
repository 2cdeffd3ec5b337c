"""The programs in docs/coming-from.md run, and print what stands below them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from servers.fixtures import websockets_server  # noqa: F401
from servers.launch import ServerProcess, environment

import aiows

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"
TEXT = PAGE.read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```\n", TEXT, re.DOTALL)


def test_every_program_says_what_it_prints() -> None:
    assert len(PROGRAMS) == TEXT.count("```python") >= 4


@pytest.mark.parametrize(("program", "output"), PROGRAMS)
def test_program(websockets_server: ServerProcess, program: str, output: str) -> None:  # noqa: F811
    assert "ws://localhost:8765" in program
    source = program.replace("ws://localhost:8765", websockets_server.uri("/echo"))
    command = [sys.executable, "-W", "error", "-c", source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment())
    assert (done.stdout, done.stderr, done.returncode) == (output, "", 0)


def test_names_exist() -> None:
    """Every ``aiows.Name`` in a table is there."""
    names = set(re.findall(r"`aiows\.([A-Z]\w+)`", TEXT)) | {"connect", "unix_connect", "serve"}
    assert len(names) > 10
    assert [name for name in sorted(names) if not hasattr(aiows, name)] == []
