"""Running commands, building wheels, and hiding tools."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION: str = tomllib.loads((ROOT / "python" / "pyproject.toml").read_text())["project"]["version"]


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command and return its result; its output is in the error if it fails."""
    result = subprocess.run(  # type: ignore[call-overload]
        [str(word) for word in command],
        **{"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, **options},
    )
    if result.returncode != 0:
        shown = " ".join(str(word)[:100] for word in command)
        raise AssertionError(f"{shown}: exit status {result.returncode}\n{result.stderr}")
    return result  # type: ignore[no-any-return]


def make_venv(folder: Path) -> Path:
    """Make a virtual environment and return its Python."""
    run(sys.executable, "-m", "venv", folder)
    return folder / "bin" / "python"


def pip_wheel(source: Path, target: Path, **options: object) -> Path:
    """Build the wheel of source into target and return its path."""
    arguments = ["-q", "--disable-pip-version-check", "--no-build-isolation", "--no-deps"]
    run(sys.executable, "-m", "pip", "wheel", *arguments, "-w", target, source, **options)
    (wheel,) = target.glob("*.whl")
    return wheel


def without_go(folder: Path) -> str:
    """Return a PATH, made in folder, that has every command but go."""
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for command in Path(place).glob("*") if Path(place).is_dir() else ():
            if command.name not in ("go", "gofmt"):
                link = folder / command.name
                link.unlink(missing_ok=True)
                link.symlink_to(command.absolute())
    return str(folder)
