"""Programs that use gevent, with and without its patches."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers.launch import ServerProcess

from programs import run_all

pytestmark = pytest.mark.once

CLIENT = """
import asyncio, json, sys, threading
from aiows import connect

URI = sys.argv[1]

async def exchange():
    async with connect(URI) as ws:
        await ws.send("hello")
        return await ws.recv()

def use():
    return asyncio.run(exchange())
"""

# The hub turns while a client waits: greenlets count, and the connections of gevent's
# own sockets answer.
BESIDE = """
def beside(work):
    '''Return what work returned, and whether a greenlet ran meanwhile.'''
    turns = 0
    stop = False
    def count():
        nonlocal turns
        while not stop:
            turns += 1
            gevent.sleep(0.001)
    counting = gevent.spawn(count)
    answer = work()
    stop = True
    counting.join()
    return [answer, turns > 2]
"""

SOURCES = {
    # Nothing patched: a real thread of gevent's pool runs the event loop.
    "threadpool": """
import gevent, gevent.threadpool
"""
    + CLIENT
    + BESIDE
    + """
pool = gevent.threadpool.ThreadPool(3)
print(json.dumps(beside(lambda: [found.get() for found in [pool.spawn(use) for _ in range(6)]])))
""",
    # Everything patched but threads and what asyncio builds on.
    "patched but thread": """
from gevent import monkey
monkey.patch_all(thread=False, select=False, signal=False, subprocess=False)
import gevent, gevent.threadpool
"""
    + CLIENT
    + BESIDE
    + """
pool = gevent.threadpool.ThreadPool(3)
print(json.dumps(beside(lambda: [found.get() for found in [pool.spawn(use) for _ in range(6)]])))
""",
    # Everything patched: asyncio runs in the pool's real threads all the same.
    "patched, threadpool": """
from gevent import monkey
monkey.patch_all()
import gevent, gevent.threadpool
"""
    + CLIENT
    + BESIDE
    + """
pool = gevent.threadpool.ThreadPool(3)
print(json.dumps(beside(lambda: [found.get() for found in [pool.spawn(use) for _ in range(6)]])))
""",
    # asyncio in a greenlet of the main thread: it waits through the hub.
    "patched, main": """
from gevent import monkey
monkey.patch_all()
import gevent
"""
    + CLIENT
    + BESIDE
    + """
print(json.dumps(beside(lambda: [use() for _ in range(6)])))
""",
    # send_nowait from greenlets, while a real thread reads.
    "greenlets that send": """
import gevent, gevent.threadpool
"""
    + CLIENT
    + BESIDE
    + """
opened, shared = threading.Event(), []
async def reader():
    async with connect(URI, max_queue=None) as ws:
        shared.append(ws)
        opened.set()
        return sorted([int(await ws.recv()) for _ in range(60)]) == list(range(60))
pool = gevent.threadpool.ThreadPool(1)
def work():
    reading = pool.spawn(asyncio.run, reader())
    while not opened.is_set():
        gevent.sleep(0.001)
    def sending(first):
        for number in range(first, 60, 6):
            shared[0].send_nowait(str(number))
            gevent.sleep(0)
    gevent.joinall([gevent.spawn(sending, first) for first in range(6)], raise_error=True)
    return ["hello"] * 6 if reading.get() else None
print(json.dumps(beside(work)))
""",
}


def test_gevent(websockets_server: ServerProcess, tmp_path: Path) -> None:
    answers = run_all(tmp_path, SOURCES, websockets_server.uri())
    assert answers == {name: [["hello"] * 6, True] for name in SOURCES}
