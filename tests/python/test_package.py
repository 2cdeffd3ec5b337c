"""What the package offers: the names, where they come from, and how they are documented."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import aiows

FOLDER = Path(aiows.__file__).resolve().parent
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__main__")


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((FOLDER / "__init__.py").read_text())
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found.update({name.asname: node.module for name in node.names})
    del found["__version__"]
    assert found == aiows._ORIGINS
    assert set(found) == set(aiows.__all__)


def test_names_resolve() -> None:
    for name, module in aiows._ORIGINS.items():
        assert getattr(aiows, name) is getattr(importlib.import_module(f"aiows.{module}"), name)


@pytest.mark.parametrize("name", MODULES)
def test_public_things_are_documented(name: str) -> None:
    module = importlib.import_module(f"aiows.{name}" if name != "__init__" else "aiows")
    assert module.__doc__
    for public in getattr(module, "__all__", ()):
        thing = getattr(module, public)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        assert inspect.getdoc(thing), public
        if thing.__module__ != module.__name__ or not inspect.isclass(thing):
            continue
        for attribute, value in vars(thing).items():
            if not attribute.startswith("_") and (
                inspect.isfunction(value) or isinstance(value, property)
            ):
                assert inspect.getdoc(getattr(thing, attribute)), f"{public}.{attribute}"


def test_every_parameter_is_documented() -> None:
    for thing in (aiows.connect, aiows.serve, aiows.AioWebSocket):
        documented = inspect.getdoc(thing) or ""
        for parameter, what in inspect.signature(thing).parameters.items():
            if what.kind is what.VAR_KEYWORD:
                continue  # what is refused
            assert f"{parameter}:" in documented or f"{parameter}," in documented, parameter
