"""Rules for tests of the Python package: coroutine tests, leak checks, servers."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import uvloop
from servers.fixtures import (  # noqa: F401
    aiohttp_server,
    aiohttp_tls_server,
    any_server,
    any_tls_server,
    certificates,
    numbers_server,
    peer_server,
    picows_server,
    picows_tls_server,
    raw_server,
    raw_tls_server,
    websockets_server,
    websockets_tls_server,
)

# What a machine goes through to reach the world does not lead to its own loopback.
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]

# Far above what any test takes: it only ends one that hangs.
HANG_S = 120.0
SETTLE_S = 20.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run coroutine tests in an asyncio loop of their own, in debug mode."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def limited() -> None:
        async with asyncio.timeout(HANG_S):
            await pyfuncitem.obj(**arguments)

    factory = pyfuncitem.funcargs.get("loop_factory")
    with asyncio.Runner(debug=True, loop_factory=factory) as runner:
        runner.get_loop().slow_callback_duration = HANG_S
        runner.run(limited())
    return True


def descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
    return found


@pytest.fixture(scope="session", autouse=True)
def library() -> None:
    """Use the library once, so that what it keeps for good does not look like a leak."""
    from aiows import connect

    async def use() -> None:
        with pytest.raises(OSError):
            await connect("ws://127.0.0.1:1/")

    for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(use())
    # no_leaks collects twice a test: 57 ms each with all that is imported, 1 ms without.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_leaks(library: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a descriptor or a Python thread behind."""
    # Servers and clients first: their pipes are no leak.
    for name in request.fixturenames:
        if "server" in name or "client" in name or name == "certificates":
            request.getfixturevalue(name)
    gc.collect()
    before = descriptors()
    threads = set(threading.enumerate())
    yield
    deadline = time.monotonic() + SETTLE_S
    while True:
        gc.collect()
        left = {name: path for name, path in descriptors().items() if name not in before}
        alive = set(threading.enumerate()) - threads
        if not (left or alive) or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    assert not left, f"descriptors left open: {left}"
    assert not alive, f"threads left: {alive}"


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Run a coroutine test in each kind of event loop."""
    return uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
