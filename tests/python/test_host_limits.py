"""Small limits of the system: an OSError where others would crash, and then it goes on."""

from __future__ import annotations

from pathlib import Path

from servers.launch import ServerProcess

from programs import run_all

COMMON = """
import asyncio, errno, json, os, resource, subprocess, sys
from aiows import connect, serve

URI = sys.argv[1]

async def exchange(ws, text="hello"):
    await ws.send(text)
    assert await ws.recv() == text

async def visit():
    async with connect(URI) as ws:
        await exchange(ws)

def soft():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

def take_all(keep=0):
    '''Open what is left of descriptors but keep.'''
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE
    for _ in range(keep):
        os.close(taken.pop())
    return taken

def give_back(taken):
    while taken:
        os.close(taken.pop())
"""

SOURCES = {
    "soft limit": """
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
asyncio.run(visit())
child = subprocess.check_output([sys.executable, "-S", "-c",
    "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))"], text=True)
assert child.strip() == str((300, hard)), child
shell = os.popen("ulimit -S -n")
assert shell.read().strip() == "300"
shell.close()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
""",
    # asyncio alone takes 5 to 7; what is missing becomes an error of each call.
    "few": """
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
async def main():
    opened = []
    try:
        for _ in range(40):
            opened.append(await connect(URI))
    except OSError as error:
        assert error.errno == errno.EMFILE, error
    assert len(opened) > 3
    for ws in opened:
        await exchange(ws)
    for ws in opened:
        await ws.close()
    await visit()
    await visit()
asyncio.run(main())
asyncio.run(visit())
""",
    "none to load it": """
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
async def main():
    for keep in range(3):
        taken = take_all(keep)
        try:
            await connect(URI)
        except OSError as error:
            assert error.errno == errno.EMFILE, error
        else:
            raise AssertionError("connected")
        finally:
            give_back(taken)
    assert "libaiows" not in open("/proc/self/maps").read()
    await visit()
import warnings
warnings.simplefilter("ignore", ResourceWarning)
asyncio.run(main())
""",
    "none for a connection": """
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
async def main():
    refused = 0
    await visit()
    for keep in range(5):
        async with connect(URI) as first:
            taken = take_all(keep)
            try:
                ws = await connect(URI)
            except OSError as error:
                assert error.errno == errno.EMFILE, error
                refused += 1
            else:
                await exchange(ws)
                await ws.close()
            finally:
                await exchange(first)
                give_back(taken)
    assert refused >= 1
    # The first of a loop: it wants descriptors of its own.
    for keep in range(5):
        taken = take_all(keep)
        try:
            await connect(URI)
        except OSError as error:
            assert error.errno == errno.EMFILE, error
            refused += 1
        finally:
            give_back(taken)
    assert refused >= 2
    await visit()
asyncio.run(main())
""",
    "none for a server": """
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def main():
    await visit()
    refused = 0
    for keep in range(4):
        taken = take_all(keep)
        try:
            server = await serve(echo, "127.0.0.1", 0)
        except OSError as error:
            assert error.errno == errno.EMFILE, error
            refused += 1
        else:
            server.close()
            await server.wait_closed()
        finally:
            give_back(taken)
    assert refused >= 1
    # Accepting fails while nothing is left, and goes on afterwards.
    async with serve(echo, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}/") as first:
            await exchange(first)
            taken = take_all(1)
            opening = asyncio.ensure_future(open_one(f"ws://127.0.0.1:{server.port}/"))
            for _ in range(20):
                await exchange(first)
                await asyncio.sleep(0.01)
            give_back(taken)
            try:
                async with await opening as second:
                    await exchange(second)
            except OSError as error:
                assert error.errno == errno.EMFILE, error
            async with connect(f"ws://127.0.0.1:{server.port}/") as third:
                await exchange(third)
            await exchange(first)

async def open_one(uri):
    return await connect(uri)
asyncio.run(main())
""",
    "address space": """
resource.setrlimit(resource.RLIMIT_AS, (500 << 20, 500 << 20))
async def main():
    try:
        await connect(URI)
    except OSError as error:
        assert "ulimit -v" in str(error), error
    else:
        raise AssertionError("connected")
asyncio.run(main())
""",
    # The Go runtime alone maps most of a GB, of which it uses a few MB.
    "address space left": """
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
async def main():
    await visit()
    async with connect(URI, max_size=None) as ws:
        payload = bytes(8 << 20)
        await ws.send(payload)
        assert await ws.recv() == payload
asyncio.run(main())
""",
    # A limit that is reached while connections are open.
    "address space used up": """
async def main():
    async with connect(URI, max_size=None) as ws, connect(URI, max_size=None) as other:
        await exchange(ws)
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[0])
        limit = pages * resource.getpagesize() + (200 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        try:
            held = [bytes(90 << 20)]
            await ws.send(held[0])
            await ws.recv()
        except MemoryError:
            pass
        except Exception as error:
            assert type(error).__name__ in ("ConnectionClosedError", "WriteLimitExceeded"), error
        else:
            raise AssertionError("no memory was missing")
        held = None
        await exchange(other)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await exchange(other)
        await visit()
asyncio.run(main())
""",
}


def test_limits(websockets_server: ServerProcess, tmp_path: Path) -> None:
    sources = {name: f"{COMMON}{source}\nprint('true')" for name, source in SOURCES.items()}
    answers = run_all(tmp_path, sources, websockets_server.uri())
    assert answers == dict.fromkeys(SOURCES, True)
