"""Every parameter of connect, method and attribute has a scenario and looks alike."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import scenarios  # noqa: F401
from harness import FLAVORS, SCENARIOS, Library, Run, Surroundings
from surface import ACCIDENTAL, OWN

TESTS = Path(__file__).parents[1]
LEFT_OUT = {"self", "protocol_factory", "kwargs"}
# What websockets takes by **kwargs besides the parameters that asyncio has.
MORE = {
    "asyncio": (
        "unix path proxy_ssl proxy_server_hostname "
        "proxy_ssl_handshake_timeout proxy_ssl_shutdown_timeout"
    ),
    "sync": "",
}
PASSED_ON: dict[str, Callable[..., Any]] = {
    "asyncio": asyncio.BaseEventLoop.create_connection,
    "sync": socket.create_connection,
}
# Parameters that aiows refuses: docs/differences.md.
REFUSED = {"asyncio": {"proto", "flags"}, "sync": {"address", "source_address", "timeout"}}
DUNDERS = {
    "asyncio": {"__aenter__", "__aexit__", "__aiter__"},
    "sync": {"__enter__", "__exit__", "__iter__"},
}


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    found = inspect.signature(function).parameters
    return {name: value for name, value in found.items() if name not in LEFT_OUT}


def connect_parameters(flavor: str) -> set[str]:
    own = parameters(Library("websockets", flavor).client.connect)
    return {*own, *parameters(PASSED_ON[flavor]), *MORE[flavor].split()}


def names(library: str, flavor: str) -> tuple[set[str], type[Any]]:
    """Return the public names of an open connection, and its class."""
    found: set[str] = set()
    kinds: list[type[Any]] = []

    async def look() -> None:
        run = Run(Library(library, flavor), Surroundings(Path(), None, lambda name, value: None))
        async with run.stack:
            ws = await run.open()
            found.update(name for name in dir(ws.raw) if not name.startswith("_"))
            kinds.append(type(ws.raw))

    asyncio.run(look())
    return found, kinds[0]


def accidental(flavor: str) -> set[str]:
    return {name for listed in ACCIDENTAL[flavor].values() for name in listed.split()}


def covered(flavor: str) -> set[str]:
    return {name for case in SCENARIOS if case.flavor == flavor for name in case.covers}


@pytest.fixture(params=FLAVORS)
def flavor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_parameters_of_connect_have_scenarios(flavor: str) -> None:
    wanted = {f"connect.{name}" for name in connect_parameters(flavor)}
    wanted |= {"unix_connect.path", "unix_connect.uri"}
    if flavor == "sync":
        wanted |= {"reconnect.process_exception", "reconnect.reconnect_delays"}
        wanted |= {"unix_reconnect.path"}
    assert sorted(wanted - covered(flavor)) == []


def test_reconnect_is_alike() -> None:
    ours = parameters(Library("aiows", "sync").client.reconnect)
    theirs = parameters(Library("websockets", "sync").client.reconnect)
    different = [
        name
        for name, value in theirs.items()
        if name != "user_agent_header"
        and not (
            name in ours
            and callable_alike(value, ours[name])
            and same_default(value.default, ours[name].default)
        )
    ]
    assert different == []


def test_names_of_connections_have_scenarios(flavor: str) -> None:
    found, kind = names("websockets", flavor)
    assert accidental(flavor) <= found, "the table of accidental names is stale"
    wanted = found - accidental(flavor)
    for name in wanted.copy():
        method = getattr(kind, name, None)
        if inspect.isroutine(method):
            wanted |= {f"{name}.{parameter}" for parameter in parameters(method)}
    assert sorted((wanted | DUNDERS[flavor]) - covered(flavor)) == []


def test_names_of_websockets_are_there(flavor: str) -> None:
    missing = names("websockets", flavor)[0] - accidental(flavor) - names("aiows", flavor)[0]
    assert sorted(missing) == []


def test_names_of_aiows_are_tested(flavor: str) -> None:
    found = names("aiows", flavor)[0] - names("websockets", flavor)[0]
    assert sorted(found ^ set(OWN[flavor])) == []
    untested = [
        (name, file)
        for name, file in OWN[flavor].items()
        if f".{name}" not in (TESTS / file).read_text()
    ]
    assert untested == []


def same_default(one: Any, other: Any) -> bool:
    if callable(one) and callable(other):
        return bool(one.__name__ == other.__name__)
    return bool(one == other)


def callable_alike(expected: inspect.Parameter, found: inspect.Parameter) -> bool:
    """Return whether every call that passes the one passes the other."""
    if expected.kind is inspect.Parameter.KEYWORD_ONLY:
        return found.kind in (
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )
    return found.kind is expected.kind


def test_parameters_of_connect_are_alike(flavor: str) -> None:
    theirs = parameters(Library("websockets", flavor).client.connect)
    ours = parameters(Library("aiows", flavor).client.connect)
    wrong = []
    for name in sorted(connect_parameters(flavor) - REFUSED[flavor]):
        expected, found = theirs.get(name), ours.get(name)
        if found is None:
            wrong.append(f"{name} is missing")
        elif name == "user_agent_header":
            assert found.default.startswith("aiows/")
        elif expected is None:
            if found.kind is not inspect.Parameter.KEYWORD_ONLY or found.default is found.empty:
                wrong.append(f"{name} is not an option: {found}")
        elif not (
            callable_alike(expected, found) and same_default(expected.default, found.default)
        ):
            wrong.append(f"{found}, expected {expected}")
    assert wrong == []


def test_refused_parameters_are_named(flavor: str) -> None:
    connect = Library("aiows", flavor).client.connect
    for name in REFUSED[flavor]:
        with pytest.raises(TypeError, match=name):
            connect("ws://127.0.0.1:9/", **{name: 1})


def test_methods_are_alike(flavor: str) -> None:
    found, theirs = names("websockets", flavor)
    ours = names("aiows", flavor)[1]
    wrong = []
    for name in sorted((found - accidental(flavor)) | DUNDERS[flavor]):
        method = getattr(theirs, name, None)
        if not inspect.isroutine(method):
            continue
        expected, own = parameters(method), parameters(getattr(ours, name))
        for parameter, value in expected.items():
            other = own.get(parameter)
            if other is None:
                wrong.append(f"{name} has no parameter {parameter}")
            elif not (callable_alike(value, other) and same_default(value.default, other.default)):
                wrong.append(f"{name}({other}), expected {value}")
        for parameter, other in own.items():
            if parameter not in expected and other.default is other.empty:
                wrong.append(f"{name} wants {parameter}")
    assert wrong == []


def test_unix_connect_is_alike(flavor: str) -> None:
    theirs = parameters(Library("websockets", flavor).client.unix_connect)
    ours = parameters(Library("aiows", flavor).client.unix_connect)
    for name in ("path", "uri"):
        assert ours[name].kind is theirs[name].kind
        assert ours[name].default == theirs[name].default
