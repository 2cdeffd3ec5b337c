"""One core loop for each asyncio loop that uses aiows."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import select
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, cast

from . import _core, _library
from ._errors import call_error

if TYPE_CHECKING:
    from .connection import Connection
    from .server import Server

# What the end of the process waits for at most, in seconds.
EXIT_LIMIT = 0.2

_lock = threading.Lock()
_exit_watched = False
# Weak both ways: a driver lives as long as its asyncio loop watches it.
_drivers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Driver]] = (
    weakref.WeakKeyDictionary()
)


class Driver:
    """
    A core loop and the asyncio loop that watches it.

    It ends with its last connection or listener.

    Attributes:
        loop: The asyncio loop.
        core: The core loop.
        connections: Those that are opening, open or closing.
        servers: Those that listen.
        inherited: Whether this process is a forked child, to which none of it belongs.

    """

    inherited = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = threading.get_ident()
        self.connections: set[Connection] = set()
        self.servers: set[Server] = set()
        self._closed = False
        try:
            self.core = _core.Loop(loop)
        except _core.Error as error:
            raise call_error(error) from None
        self.core.on_idle = self._idle
        self._watcher: _Watcher | None = None
        # In an empty context: what the first connection's task has in its own
        # must not leak into callbacks of the others.
        context = contextvars.Context()
        try:
            context.run(loop.add_reader, self.core.fileno(), self.core.ready)
        except NotImplementedError:
            self._watcher = _Watcher(loop, self.core)
        except BaseException:
            self.core.close()
            raise

    def release(self) -> None:
        """End unless a connection or a listener is left."""
        if self._closed or self.core.connections:
            return
        if not self.core.stats()["listeners"]:
            self.close()

    def close(self) -> None:
        """End, dropping connections and listeners that are left; again it does nothing."""
        if self._closed:
            return
        self._closed = True
        with _lock:
            if _lookup(self.loop) is self:
                del _drivers[self.loop]
        if self._watcher is not None:
            self._watcher.stop()
        elif not self.loop.is_closed():
            self.loop.remove_reader(self.core.fileno())
        self.core.on_idle = None  # it refers back to this driver
        self.core.close()
        for connection in list(self.connections):
            connection._dropped()
        self.connections.clear()
        for server in list(self.servers):
            server._stop_listening()

    def _idle(self) -> None:
        if not self.core.connections:
            self.close()


class _Watcher:
    """Watches a core loop from a thread, for asyncio loops that have no add_reader."""

    def __init__(self, loop: asyncio.AbstractEventLoop, core: _core.Loop) -> None:
        self._loop = loop
        self._core = core
        self._wake_read, self._wake_write = os.pipe()
        self._stopped = False
        self._handled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aiows-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the descriptor is not used once this returns."""
        if self._stopped:
            return
        self._stopped = True
        self._handled.set()
        os.write(self._wake_write, b"x")
        self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._core.fileno(), select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while not self._stopped:
            poll.poll()
            if self._stopped:
                return
            self._handled.clear()
            try:
                self._loop.call_soon_threadsafe(self._ready, context=contextvars.Context())
            except RuntimeError:  # the loop is closed
                return
            # Not again before the loop has looked; it may close without that.
            while not self._handled.wait(0.1):
                if self._loop.is_closed():
                    return

    def _ready(self) -> None:
        try:
            if not self._stopped:
                self._core.ready()
        finally:
            self._handled.set()


def _lookup(loop: asyncio.AbstractEventLoop) -> Driver | None:
    reference = _drivers.get(loop)
    return None if reference is None else reference()


def current() -> Driver:
    """
    Return the driver of the running asyncio loop, making it when there is none.

    Raises:
        RuntimeError: No asyncio loop is running, or the library was used
            before this process was forked.
        OSError: No descriptor is left.

    """
    loop = asyncio.get_running_loop()
    driver = _lookup(loop)
    if driver is not None:
        return driver
    _library.load()
    _watch_exit()
    with _lock:
        closed = [found for found in _living() if found.loop.is_closed()]
    for found in closed:
        found.close()
    driver = Driver(loop)
    with _lock:
        _drivers[loop] = weakref.ref(driver)
    return driver


def _watch_exit() -> None:
    # With the first one, so that it runs before what was registered earlier.
    global _exit_watched
    with _lock:
        if not _exit_watched:
            _exit_watched = True
            atexit.register(close_all)


def _living() -> list[Driver]:
    found = (reference() for reference in list(_drivers.values()))
    return [driver for driver in found if driver is not None]


def close_all() -> None:
    """Close what is left at the end of the process, within EXIT_LIMIT seconds."""
    with _lock:
        drivers = _living()
    deadline = time.monotonic() + EXIT_LIMIT
    for driver in drivers:
        if driver.loop.is_closed():
            driver.close()
        elif not driver.loop.is_running() and driver.thread == threading.get_ident():
            _finish(driver, deadline)


def _finish(driver: Driver, deadline: float) -> None:
    # A program that runs its loop with run_until_complete and is interrupted
    # leaves its tasks waiting. They are cancelled as asyncio.run would do;
    # otherwise each one warns that it was destroyed while pending.
    loop = driver.loop
    tasks = asyncio.all_tasks(loop)

    async def cancel() -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, deadline - time.monotonic()))
        driver.close()
        if tasks:
            await asyncio.wait(tasks, timeout=EXIT_LIMIT / 10)

    loop.run_until_complete(cancel())
    for task in tasks:
        if not task.done():
            # An interrupt may have swallowed its wake-up, or it does not want to
            # end; the time is up, and a report about it would help nobody.
            cast(Any, task)._log_destroy_pending = False
        elif not task.cancelled() and task.exception() is not None:
            loop.call_exception_handler(
                {
                    "message": "unhandled exception at the end of the process",
                    "exception": task.exception(),
                    "task": task,
                }
            )


def after_fork() -> None:
    """Forget the parent's loops: a forked child must not touch them."""
    global _lock
    _lock = threading.Lock()
    for driver in _living():
        for server in driver.servers:
            server._forked()
        driver.inherited = driver._closed = True
    _drivers.clear()
