"""
Scenarios: a function that runs on websockets and on aiows, and what it saw compared.

A scenario gets a Run, does something with a connection that Run.connect made,
and notes what it saw. Notes are plain data, so those of two libraries can be
compared. What a scenario covers is not what it says, but what went through the
Run: parameters of connect, names of the connection, parameters of its methods.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import functools
import importlib
import inspect
import socket
import ssl
import uuid
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from servers.threaded_tls import one_at_a_time

from peer import Peer, Script

# Far above what a scenario takes: it only ends one that hangs.
HANG_S = 60.0
TURNS = 5

LIBRARIES = ("websockets", "aiows")
FLAVORS = ("asyncio", "sync")
_CLIENTS = {
    ("websockets", "asyncio"): "websockets.asyncio.client",
    ("websockets", "sync"): "websockets.sync.client",
    ("aiows", "asyncio"): "aiows.client",
    ("aiows", "sync"): "aiows.sync",
}
_ENDED = object()


@dataclasses.dataclass(frozen=True)
class Library:
    """
    One of the libraries, as asyncio or as sync.

    Attributes:
        client: The module with connect, unix_connect, ClientConnection.
        exceptions: The module of the exceptions.
        deflate: The module extensions.permessage_deflate.
        Headers: The class of header fields.

    """

    name: str
    flavor: str

    @property
    def client(self) -> ModuleType:
        return importlib.import_module(_CLIENTS[self.name, self.flavor])

    @property
    def exceptions(self) -> ModuleType:
        return importlib.import_module(f"{self.name}.exceptions")

    @property
    def deflate(self) -> ModuleType:
        return importlib.import_module(f"{self.name}.extensions.permessage_deflate")

    @property
    def Headers(self) -> Any:
        return importlib.import_module(self.name).Headers

    @property
    def server(self) -> ModuleType:
        where = {"websockets": "websockets.asyncio.server", "aiows": "aiows.server"}
        return importlib.import_module(where[self.name])


# ---------------------------------------------------------------- plain data


def plain(value: Any) -> Any:
    """Return value as data that is equal when two libraries answered the same."""
    if isinstance(value, enum.Enum) and not isinstance(value, int):
        return value.name
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (str, bytes, float)):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return type(value).__name__, bytes(value)
    if isinstance(value, uuid.UUID):
        return "UUID"
    if isinstance(value, BaseException):
        return describe(value)
    if hasattr(value, "raw_items"):
        return [(name, _unmasked(name, text)) for name, text in value.raw_items()]
    if type(value).__name__ == "Response":
        body = None if value.body is None else bytes(value.body)
        return value.status_code, value.reason_phrase, plain(value.headers), body or b""
    if type(value).__name__ == "Request":
        return value.path, plain(value.headers)
    if type(value).__name__ == "Close":
        return int(value.code), value.reason
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return type(value).__name__


def _unmasked(name: str, value: str) -> str:
    """Return a header field's value without what is random or the library's own name."""
    if name.lower() in ("sec-websocket-key", "sec-websocket-accept", "date"):
        return "..."
    if name.lower() == "user-agent" and ("aiows/" in value or "websockets/" in value):
        return "the library"
    if name.lower() == "host":
        return value.rpartition(":")[0] + ":port" if ":" in value else value
    return value


_ATTRIBUTES = (
    "rcvd sent rcvd_then_sent code reason response name value uri proxy method errno max_size"
).split()
# What its text tells.
_TOLD = ("name", "value", "uri", "code", "reason")
# Codes that a library closes with by itself; the reasons are its own words.
_OWN_CODES = (1002, 1007, 1009, 1011)


def bases(kind: type[BaseException]) -> list[str]:
    """Return the names of a class and its bases, InvalidURI's without what differs on purpose."""
    names = [base.__name__ for base in kind.__mro__]
    return [name for name in names if name != "ValueError"] if names[0] == "InvalidURI" else names


def describe(exception: BaseException) -> dict[str, Any]:
    """Return bases and attributes of an exception, and which of them its text tells."""
    found: dict[str, Any] = {"bases": bases(type(exception))[:-2]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # code and reason
        for name in _ATTRIBUTES:
            if isinstance(exception, OSError) and name != "errno":
                continue
            if isinstance(exception, socket.gaierror):
                continue  # of the resolver's many
            if hasattr(exception, name) and not callable(getattr(exception, name)):
                found[name] = plain(getattr(exception, name))
    if isinstance(exception, OSError):
        return found
    sent = getattr(exception, "sent", None)
    if sent is not None and sent.code in _OWN_CODES and exception.rcvd is None:
        found["sent"] = int(sent.code), "its own words"
    text = str(exception)
    found["tells"] = [name for name in _TOLD if found.get(name) and str(found[name]) in text]
    response = getattr(exception, "response", None)
    if response is not None and str(response.status_code) in text:
        found["tells"].append("status")
    return found


# ---------------------------------------------------------------- traces


class Traced:
    """
    A connection that notes in Run.used which of its names are used.

    Methods of a sync connection become coroutines that run in a thread, so that a
    scenario reads the same for both flavors.
    """

    def __init__(self, run: Run, connection: Any) -> None:
        self._run = run
        self.raw = connection

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._run.used.add(name)
        value = getattr(self.raw, name)
        if not callable(value) or not (inspect.isroutine(value) or inspect.ismethod(value)):
            return value
        return functools.partial(self._call, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_run", "raw"):
            object.__setattr__(self, name, value)
        else:
            setattr(self.raw, name, value)

    def _call(self, name: str, method: Any, *args: Any, **kwargs: Any) -> Any:
        reference = getattr(self._run.reference_class, name, None)
        if reference is not None:
            bound = inspect.signature(reference).bind(None, *args, **kwargs)
            self._run.used.update(f"{name}.{parameter}" for parameter in list(bound.arguments)[1:])
        if self._run.library.flavor == "asyncio":
            return method(*args, **kwargs)
        if name == "recv_streaming":
            return self._iterate(functools.partial(method, *args, **kwargs))
        return asyncio.to_thread(method, *args, **kwargs)

    async def _iterate(self, make: Callable[[], Iterable[Any]]) -> AsyncIterator[Any]:
        iterator = iter(make())
        while (item := await asyncio.to_thread(next, iterator, _ENDED)) is not _ENDED:
            yield item

    def __aiter__(self) -> AsyncIterator[Any]:
        if self._run.library.flavor == "asyncio":
            self._run.used.add("__aiter__")
            return aiter(self.raw)
        self._run.used.add("__iter__")
        return self._iterate(lambda: self.raw)

    async def __aenter__(self) -> Traced:
        if self._run.library.flavor == "asyncio":
            self._run.used.add("__aenter__")
            await self.raw.__aenter__()
        else:
            self._run.used.add("__enter__")
            await asyncio.to_thread(self.raw.__enter__)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._run.library.flavor == "asyncio":
            self._run.used.add("__aexit__")
            await self.raw.__aexit__(exc_type, exc_value, traceback)
        else:
            self._run.used.add("__exit__")
            await asyncio.to_thread(self.raw.__exit__, exc_type, exc_value, traceback)


@dataclasses.dataclass
class Surroundings:
    """What scenarios may use of the test's: a folder, certificates, the environment."""

    folder: Path
    certificates: Any
    setenv: Callable[[str, str], None]


class Run:
    """
    One run of a scenario on one library.

    Attributes:
        library: The library.
        notes: What the scenario saw, in order.
        used: Names that it used: "connect.max_size", "recv", "recv.decode".

    """

    def __init__(self, library: Library, surroundings: Surroundings) -> None:
        self.library = library
        self.surroundings = surroundings
        self.notes: list[tuple[str, Any]] = []
        self.used: set[str] = set()
        self.stack = contextlib.AsyncExitStack()
        reference = Library("websockets", library.flavor)
        self.reference_class = reference.client.ClientConnection

    @property
    def exceptions(self) -> ModuleType:
        return self.library.exceptions

    @property
    def is_sync(self) -> bool:
        return self.library.flavor == "sync"

    def own_context(self, authorities: Path | None = None) -> Any:
        """Return a context of the library's own, which trusts the test's authority by default."""
        if authorities is None:
            authorities = self.surroundings.certificates.ca
        if self.library.name == "aiows":
            return importlib.import_module("aiows").create_default_context(cafile=authorities)
        return plain_context(authorities)

    # Servers

    async def peer(self, *scripts: Script, **options: Any) -> Peer:
        """Start a Peer that ends with the run."""
        peer = await self.stack.enter_async_context(Peer(*scripts, **options))
        self.stack.callback(self._check, peer)
        return peer

    def _check(self, peer: Peer) -> None:
        for failure in peer.failures:
            raise failure

    # Clients

    def uses(self, *options: str) -> None:
        """Note parameters of connect that are passed on another way."""
        self.used.update(f"connect.{name}" for name in options)

    def options(self, given: dict[str, Any]) -> dict[str, Any]:
        """Note the parameters of connect, and return them with what scenarios share."""
        self.uses(*given)
        shared: dict[str, Any] = {"proxy": None}
        if self.library.name == "websockets" and self.is_sync:
            shared["legacy"] = True
            for context in given.values():
                if isinstance(context, ssl.SSLContext):
                    one_at_a_time(context)
        return shared | given

    async def connect(self, where: Peer | str, **options: Any) -> Traced:
        """Return an open connection, which is closed with the run."""
        uri = where if isinstance(where, str) else where.uri
        self.used.add("connect.uri")
        connection = await self.call(self.library.client.connect, uri, **self.options(options))
        return self.adopt(connection)

    def adopt(self, connection: Any) -> Traced:
        traced = Traced(self, connection)
        self.stack.push_async_callback(self._end, connection)
        return traced

    async def open(self, script: Script | None = None, **options: Any) -> Traced:
        """Return an open connection to a peer of its own."""
        return await self.connect(await self.peer(*([script] if script else [])), **options)

    async def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return function's result: awaited, or in a thread of its own."""
        if self.is_sync:
            return await asyncio.to_thread(function, *args, **kwargs)
        return await function(*args, **kwargs)

    async def _end(self, connection: Any) -> None:
        with contextlib.suppress(Exception):
            await self.call(connection.close)

    # Notes

    def note(self, name: str, value: Any) -> None:
        self.notes.append((name, plain(value)))

    async def outcome(self, name: str, awaitable: Awaitable[Any]) -> Any:
        """Note what awaitable returns or raises; return either."""
        try:
            result = await awaitable
        except Exception as exception:
            self.note(name, exception)
            return exception
        self.note(name, result)
        return result

    async def cause(self, name: str, awaitable: Awaitable[Any]) -> None:
        """Note what awaitable raises, and that exception's cause."""
        exception = await self.outcome(name, awaitable)
        self.note(f"{name}: cause", getattr(exception, "__cause__", "nothing raised"))

    def attempt(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Note what function returns or raises."""
        try:
            self.note(name, function(*args, **kwargs))
        except Exception as exception:
            self.note(name, exception)

    def refused(self, name: str, **options: Any) -> None:
        """Note what connect raises for its arguments, before any socket."""
        self.attempt(
            name, self.library.client.connect, "ws://127.0.0.1:9/", **self.options(options)
        )


# ---------------------------------------------------------------- scenarios

Function = Callable[[Run], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """
    A scenario for one flavor.

    Attributes:
        covers: Names that it covers, which it has to use.
        difference: Identifier in docs/differences.md when aiows differs on purpose.

    """

    name: str
    flavor: str
    function: Function
    covers: frozenset[str]
    difference: str | None

    def run(self, name: str, surroundings: Surroundings) -> Run:
        """Run it on a library."""

        async def limited() -> Run:
            run = Run(Library(name, self.flavor), surroundings)
            async with asyncio.timeout(HANG_S), run.stack:
                await self.function(run)
            # Transports that were closed, or aborted, let go of their sockets a turn later.
            for _ in range(TURNS):
                await asyncio.sleep(0)
            return run

        with asyncio.Runner(debug=True) as runner:
            runner.get_loop().slow_callback_duration = HANG_S
            return runner.run(limited())


SCENARIOS: list[Scenario] = []


def scenario(
    covers: str = "",
    *,
    flavors: tuple[str, ...] = FLAVORS,
    difference: str | dict[str, str] | None = None,
) -> Callable[[Function], Function]:
    """
    Register a scenario.

    Args:
        covers: Names with spaces between: of parameters of connect
            ("connect.max_size"), of the connection ("recv"), of parameters of
            its methods ("recv.decode").
        flavors: asyncio, sync, or both.
        difference: Identifier in docs/differences.md, or one by flavor.

    """

    def register(function: Function) -> Function:
        for flavor in flavors:
            which = difference.get(flavor) if isinstance(difference, dict) else difference
            names = frozenset(covers.split())
            SCENARIOS.append(Scenario(function.__name__, flavor, function, names, which))
        return function

    return register


ASYNCIO = ("asyncio",)
SYNC = ("sync",)


def plain_context(authorities: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authorities)


def delays(*seconds: float) -> Callable[[], Generator[float]]:
    """Return a reconnect_delays."""

    def make() -> Generator[float]:
        yield from seconds

    return make
