"""What _core holds and lets go of: cycles, abandoned loops, exits, forks, sub-interpreters."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import weakref
from typing import Any

import pytest

from aiows import _core, _library
from core_peer import ClosedBadly, ClosedOK, Connection, Core, close_frame, core, texts, turns


class Marker:
    """Something whose end can be seen."""


def collect() -> None:
    for _ in range(3):
        gc.collect()


async def test_cycles_through_a_connection(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        marker = Marker()
        conn.itself = conn
        conn.marker = marker
        conn.task = asyncio.create_task(conn.recv())
        await turns()
        conn.unawaited = conn.recv()
        seen = weakref.ref(marker), weakref.ref(conn), weakref.ref(conn.task)
        del marker
        peer.end(close_frame(1000))
        with pytest.raises(ClosedOK):
            await conn.task
        conn.unawaited.close()
        del conn
        await turns()
        collect()
        assert [reference() for reference in seen] == [None, None, None]


async def test_cycle_through_on_message(loop_factory: Any) -> None:
    async with core() as c:
        received = []

        class Callback:
            def __call__(self, conn: Any, message: Any) -> None:
                received.append(message)

        callback: Any = Callback()
        conn, peer = await c.open(on_message=callback)
        callback.conn = conn
        seen = weakref.ref(conn)
        peer.end(texts("a"), close_frame(1000))
        await conn.ended.wait()
        assert received == ["a"]
        del callback, conn
        await turns()
        collect()
        assert seen() is None


async def test_registered_connections_are_held(loop_factory: Any) -> None:
    async with core() as c:
        conn, peer = await c.open()
        seen = weakref.ref(conn)
        ended = conn.ended
        del conn
        collect()
        assert seen() is not None
        assert c.loop.connections == 1
        peer.end(close_frame(1000))
        await ended.wait()
        await turns()
        collect()
        assert c.loop.connections == 0
        assert seen() is None
        assert c.loop.stats()["handles"] == 1


def test_abandoned_loop() -> None:
    """An event loop that goes away with open connections and waiting tasks takes them along."""
    _library.load()
    collect()
    descriptors = len(os.listdir("/proc/self/fd"))

    async def abandon() -> list[Any]:
        c = Core()
        conn, peer = await c.open(connect={"write_high": 10, "write_low": 1})
        fresh = Connection(c.loop)
        c.loop.on_idle = lambda: (fresh, conn)
        conn.core = c
        conn.tasks = [
            asyncio.create_task(coro)
            for coro in (conn.recv(), conn.send(bytes(8 << 20)), conn.drain(), fresh.recv())
        ]
        await turns()
        for task in conn.tasks:
            assert not task.done()
            task._log_destroy_pending = False
        c.asyncio_loop.set_exception_handler(None)
        peer.close()
        return [weakref.ref(found) for found in (conn, fresh, c, c.loop)]

    loop = asyncio.new_event_loop()
    seen = loop.run_until_complete(abandon())
    loop.close()
    del loop
    collect()
    assert [reference() for reference in seen] == [None] * 4
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_loops_in_a_row() -> None:
    async def exchange() -> None:
        async with core() as c:
            conn, peer = await c.open()
            await conn.send("x")
            peer.read_frame()
            peer.end(texts("a"), close_frame(1000))
            assert [message async for message in conn] == ["a"]

    def count() -> tuple[int, int]:
        collect()
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    for _ in range(5):
        asyncio.run(exchange())
    before = count()
    for _ in range(100):
        asyncio.run(exchange())
    descriptors, threads = count()
    assert descriptors == before[0]
    assert threads <= before[1] + 4  # the Go runtime adds some as it likes


def test_memory_blocks() -> None:
    """Neither messages nor cancelled, failed and dropped awaitables leave memory behind."""

    async def use(rounds: int) -> int:
        async with core() as c:
            conn, peer = await c.open()
            refused = Connection(c.loop)
            for i in range(rounds):
                peer.send(texts(str(i)))
                assert await conn.recv() == str(i)
                await conn.send("x")
                peer.read_frame()
                task = asyncio.create_task(conn.recv())
                await turns(1)
                task.cancel()
                await asyncio.wait([task])
                coro = conn.recv()
                coro.send(None)
                coro.close()
                conn.drain().close()
                with pytest.raises(_core.Error):
                    await conn.send(b"\xff", text=True)
                with pytest.raises(_core.Error):
                    c.loop.connect(refused, "http://127.0.0.1/")
                with pytest.raises(TypeError):
                    conn.send(1)
                conn.info()
                conn.stats_()
                c.loop.stats()
                _core.TLS(alpn=["a"])
                if i == rounds - 1:
                    del task, coro
            collect()
            return sys.getallocatedblocks()

    asyncio.run(use(50))
    before = asyncio.run(use(50))
    after = asyncio.run(use(450))
    # A leak of one block a round would be 400 more.
    assert after - before < 300


def run(program: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
    )
    assert result.returncode == 0, result.stderr
    return result


def test_exit_with_everything_open() -> None:
    """Nothing enters the library once the interpreter is finalized."""
    result = run(
        """
        import asyncio, sys
        from aiows import _core
        from core_peer import *
        kept = []

        async def main():
            c = Core()
            conn, peer = await c.open()
            conn.itself = conn
            kept.extend([c, conn, peer, _core.TLS(), c.loop.listen("127.0.0.1", 0, print)])
            kept.append(conn.recv())
            kept[-1].send(None)
            sys.modules["keeps"] = kept

        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        print("done")
        """
    )
    assert result.stdout == "done\n"
    assert "Fatal" not in result.stderr


def test_import_loads_no_library() -> None:
    result = run(
        """
        import os
        from aiows import _core
        assert not _core.loaded()
        for call in (_core.version, lambda: _core.strerror(-1), lambda: _core.close_code_name(1000),
                     _core.TLS, lambda: _core.Loop(None)):
            try:
                call()
            except RuntimeError as error:
                assert "load first" in str(error), error
            except TypeError as error:
                assert "NoneType" in str(error), error
            else:
                raise AssertionError(call)
        assert "libaiows" not in open("/proc/self/maps").read()
        print(len(os.listdir("/proc/self/task")))
        """
    )
    assert result.stdout == "1\n"


def test_import_then_fork() -> None:
    result = run(
        """
        import asyncio, os
        from core_peer import *

        async def exchange():
            async with core() as c:
                conn, peer = await c.open()
                peer.send(texts("child"))
                print(await conn.recv(), flush=True)

        pid = os.fork()
        if pid == 0:
            asyncio.run(exchange())
            os._exit(0)
        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )
    assert result.stdout == "child\n"


def test_use_then_fork() -> None:
    result = run(
        """
        import asyncio, gc, os, sys, warnings
        from aiows import _core
        from core_peer import *
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads

        async def exchange():
            async with core() as c:
                conn, peer = await c.open()
                pid = os.fork()
                if pid == 0:
                    try:
                        for call in (lambda: conn.send_nowait("x"), conn.info,
                                     lambda: _core.Loop(c.asyncio_loop), c.loop.fileno,
                                     lambda: conn.recv().send(None)):
                            try:
                                call()
                            except RuntimeError as error:
                                assert "spawn" in str(error), error
                                assert "connect after fork" in str(error), error
                            else:
                                raise AssertionError(call)
                        c.loop.close()
                        assert _core.version() and _core.strerror(-1)
                        del conn
                        gc.collect()
                    except BaseException:
                        sys.excepthook(*sys.exc_info())
                        os._exit(1)
                    os._exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
                peer.send(texts("the parent goes on"))
                print(await conn.recv())

        asyncio.run(exchange())
        """
    )
    assert result.stdout == "the parent goes on\n"


def test_sub_interpreter() -> None:
    """Each interpreter has a module of its own, and may end before the others."""
    result = run(
        """
        import asyncio, sys
        try:
            import _xxsubinterpreters as interpreters
            create = lambda: interpreters.create(isolated=False)
        except ImportError:
            import _interpreters as interpreters
            create = lambda: interpreters.create("legacy")
        from core_peer import *
        program = '''
        import sys
        sys.path[:] = %r
        import asyncio
        from core_peer import *

        async def exchange():
            async with core() as c:
                conn, peer = await c.open()
                peer.send(texts("inside"))
                assert await conn.recv() == "inside"

        asyncio.run(exchange())
        ''' % (sys.path,)
        for _ in range(3):
            inner = create()
            failed = interpreters.run_string(inner, __import__("textwrap").dedent(program))
            assert failed is None, failed
            interpreters.destroy(inner)

        async def exchange():
            async with core() as c:
                conn, peer = await c.open()
                peer.send(texts("outside"))
                print(await conn.recv())

        asyncio.run(exchange())
        """
    )
    assert result.stdout == "outside\n"


async def test_closing_the_loop_wakes_receivers(loop_factory: Any) -> None:
    async with core() as c:
        conn, _ = await c.open()
        task = asyncio.create_task(conn.recv())
        await turns()
        c.close()
        with pytest.raises(ClosedBadly):
            await task


async def test_init_is_checked(loop_factory: Any) -> None:
    class NoInit(_core.Connection):
        def __init__(self) -> None:
            pass

    async with core() as c:
        conn = NoInit()
        for call in (conn.recv, conn.drain, conn.__anext__, conn.info, conn.error, conn._abort):
            with pytest.raises(RuntimeError, match="__init__"):
                call()
        for send in (conn.send, conn.send_nowait, conn._ping):
            with pytest.raises(RuntimeError, match="__init__"):
                send("x")
        with pytest.raises(RuntimeError, match="fresh Connection"):
            c.loop.connect(conn, "ws://127.0.0.1/")
        twice = Connection(c.loop)
        with pytest.raises(RuntimeError, match="called already"):
            twice.__init__(c.loop)  # type: ignore[misc]
        with pytest.raises(TypeError, match="expected Loop"):
            Connection(None)  # type: ignore[arg-type]
        for marks in ((4, 16), (-1, 0), ("a", 1), (1,), 5, (1 << 40, 1)):
            with pytest.raises((TypeError, ValueError)):
                Connection(c.loop, max_queue=marks)
        Connection(c.loop, max_queue=(16, None))
        with pytest.raises(TypeError, match="not callable"):
            Connection(c.loop, on_message=5)
        first, _ = await c.open()
        with pytest.raises(RuntimeError, match="fresh Connection"):
            c.loop.connect(first, "ws://127.0.0.1/")
        other = _core.Loop(asyncio.get_running_loop())
        with pytest.raises(RuntimeError, match="fresh Connection"):
            other.connect(Connection(c.loop), "ws://127.0.0.1/")
        other.close()
