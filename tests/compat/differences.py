"""The rows of docs/differences.md."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
_ROW = re.compile(r"^\| `([a-z0-9.-]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


def reasons() -> dict[str, str]:
    """Return the reason of each difference by its identifier."""
    return {name: reason for name, _, reason in _ROW.findall(PAGE.read_text())}


def count() -> int:
    """Return how many rows there are."""
    return len(_ROW.findall(PAGE.read_text()))
