"""Threads of the host: sending from many at once, event loops in many, the end in between."""

from __future__ import annotations

from pathlib import Path

from servers.launch import ServerProcess

from programs import run_all

COMMON = """
import asyncio, collections, json, sys, threading, time
from aiows import ConnectionClosed, WriteLimitExceeded, connect, serve

URI, RAW = sys.argv[1:3]

def started(count, target):
    threads = [threading.Thread(target=target, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    return threads

async def ended(threads):
    while any(thread.is_alive() for thread in threads):
        await asyncio.sleep(0.001)
"""

SOURCES = {
    # Each thread's messages keep their order, and all arrive.
    "order": """
THREADS, MESSAGES = 6, 300
async def main():
    async with connect(URI, max_queue=None) as ws:
        refusals = collections.Counter()
        def sending(number):
            for count in range(MESSAGES):
                while True:
                    try:
                        ws.send_nowait(f"{number} {count} " + "x" * (count % 7 * 100))
                        break
                    except WriteLimitExceeded:
                        refusals[number] += 1
                        time.sleep(0.001)
        threads = started(THREADS, sending)
        seen = collections.defaultdict(list)
        for _ in range(THREADS * MESSAGES):
            number, count, filling = (await ws.recv()).split(" ")
            assert len(filling) == int(count) % 7 * 100
            seen[number].append(int(count))
        assert len(seen) == THREADS
        assert all(found == list(range(MESSAGES)) for found in seen.values())
        await ended(threads)
asyncio.run(main())
""",
    # Where the peer reads nothing, every thread meets the limit; what was taken counts.
    "limit": """
async def main():
    ws = await connect(RAW + "/stall", write_limit=2**16)
    taken, refused = [], []
    def sending(number):
        while True:
            try:
                ws.send_nowait(bytes(1 << 16))
                taken.append(number)
            except WriteLimitExceeded:
                refused.append(number)
                return
    threads = started(6, sending)
    await ended(threads)
    assert sorted(refused) == list(range(6))
    # One message of each thread at most above the limit.
    assert ws.buffered <= (1 << 16) + 7 * ((1 << 16) + 14), ws.buffered
    ws._abort()
    await ws.wait_closed()
asyncio.run(main())
""",
    # The connection closes under them: each is told, none hangs.
    "close": """
async def main():
    for ending in ("close", "abort", "peer", "cancel"):
        ws = await connect(URI if ending != "peer" else URI.replace("/echo", "/drop"))
        told = []
        def sending(number):
            while True:
                try:
                    for _ in range(20):
                        ws.send_nowait("x")
                    time.sleep(0.001) # or each turn of the loop waits 5 ms for the GIL
                except WriteLimitExceeded:
                    time.sleep(0.001)
                except ConnectionClosed as error:
                    told.append(number)
                    return
        threads = started(6, sending)
        receiving = asyncio.create_task(drain(ws))
        await asyncio.sleep(0.02)
        if ending == "close":
            await ws.close()
        elif ending == "abort":
            ws._abort()
        elif ending == "cancel":
            receiving.cancel()
            await ws.close()
        await ws.wait_closed()
        await ended(threads)
        assert sorted(told) == list(range(6)), told
        await asyncio.wait([receiving])

async def drain(ws):
    try:
        async for _ in ws:
            pass
    except ConnectionClosed:
        pass
asyncio.run(main())
""",
    # One event loop a thread, as many as there are; clients and servers in each.
    "loops": """
results = []
def work(number):
    async def main():
        async def echo(ws):
            async for message in ws:
                await ws.send(message)
        async with serve(echo, "127.0.0.1", 0) as server:
            async with connect(URI) as ws, connect(f"ws://127.0.0.1:{server.port}/") as own:
                for count in range(50):
                    for each in (ws, own):
                        await each.send(f"{number} {count}")
                        assert await each.recv() == f"{number} {count}"
        results.append(number)
    asyncio.run(main())
for _ in range(3):
    threads = started(6, work)
    for thread in threads:
        thread.join()
assert sorted(results) == sorted(list(range(6)) * 3)
""",
    # From one loop into another one's connection, the ways that asyncio has.
    "between loops": """
opened, done = threading.Event(), threading.Event()
shared = []
async def owner():
    async with connect(URI) as ws:
        shared.extend([ws, asyncio.get_running_loop()])
        opened.set()
        while not done.is_set():
            await asyncio.sleep(0.005)
thread = threading.Thread(target=asyncio.run, args=(owner(),))
thread.start()
opened.wait()
ws, loop = shared
def elsewhere(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, loop)
async def other():
    for count in range(50):
        ws.send_nowait(str(count))
        assert await asyncio.wrap_future(elsewhere(ws.recv())) == str(count)
    await asyncio.wrap_future(elsewhere(ws.send("last")))
    assert await asyncio.wrap_future(elsewhere(ws.recv())) == "last"
asyncio.run(other())
done.set()
thread.join()
""",
    # Threads that come and go leave nothing in the library.
    "short threads": """
import os
async def main():
    async with connect(URI) as ws:
        before = None
        for count in range(400):
            thread = threading.Thread(target=ws.send_nowait, args=(str(count),))
            thread.start()
            assert await ws.recv() == str(count)
            thread.join()
            if count == 100:
                before = len(os.listdir("/proc/self/task"))
        assert len(os.listdir("/proc/self/task")) <= before + 2
asyncio.run(main())
""",
}


def test_threads(
    websockets_server: ServerProcess, raw_server: ServerProcess, tmp_path: Path
) -> None:
    sources = {name: f"{COMMON}{source}\nprint('true')" for name, source in SOURCES.items()}
    answers = run_all(tmp_path, sources, websockets_server.uri(), raw_server.uri(""))
    assert answers == dict.fromkeys(SOURCES, True)
