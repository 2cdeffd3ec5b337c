"""
Pytest plugin: modules of a package under test that import websockets get aiows.

Which modules, PREFIXES says, from the environment variable ON_AIOWS; all
others, such as the servers of fixtures, keep the real one. What a run opened is
counted: a client connection of websockets is an error, and a run without one
of aiows fails.
"""

from __future__ import annotations

import builtins
import os
from types import ModuleType
from typing import Any

import pytest
import websockets.asyncio.client

import aiows.client

PREFIXES = tuple(os.environ["ON_AIOWS"].split())
PACKAGE = os.environ["ON_AIOWS_PACKAGE"]
REPLACEMENT = "websockets_on_aiows"

_import = builtins.__import__
_init = aiows.client.ClientConnection.__init__
_opened = 0


def import_on_aiows(
    name: str,
    globals: dict[str, Any] | None = None,
    locals: dict[str, Any] | None = None,
    fromlist: Any = (),
    level: int = 0,
) -> ModuleType:
    importer = (globals or {}).get("__name__", "")
    if level == 0 and name.partition(".")[0] == "websockets" and importer.startswith(PREFIXES):
        name = REPLACEMENT + name.removeprefix("websockets")
    return _import(name, globals, locals, fromlist, level)


def counted(self: Any, *args: Any, **kwargs: Any) -> None:
    global _opened
    _opened += 1
    _init(self, *args, **kwargs)


def not_aliased(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("a client connection of websockets: the alias was not used")


builtins.__import__ = import_on_aiows
aiows.client.ClientConnection.__init__ = counted  # type: ignore[method-assign]
websockets.asyncio.client.ClientConnection.__init__ = not_aliased  # type: ignore[method-assign]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    from differences import reasons
    from packages.expected import EXPECTED

    known = reasons()
    for item in items:
        name = item.nodeid.partition("[")[0]
        reason = EXPECTED[PACKAGE].get(item.nodeid) or EXPECTED[PACKAGE].get(name)
        if reason is not None:
            item.add_marker(pytest.mark.xfail(reason=f"{reason}: {known[reason]}", strict=True))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        session.config.workeroutput["opened"] = _opened  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    global _opened
    _opened += getattr(node, "workeroutput", {}).get("opened", 0)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(f"{_opened} connections of aiows")
