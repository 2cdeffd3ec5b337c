"""Sub-interpreters: work where they share the GIL, and are refused where they do not."""

from __future__ import annotations

import sys
from pathlib import Path

from servers.launch import ServerProcess

from programs import run

SOURCE = """
import asyncio, json, sys
from aiows import connect

try:
    import _interpreters as interpreters
    create = interpreters.create
except ImportError: # Python 3.12 and older
    import _xxsubinterpreters as interpreters
    def create(kind):
        return interpreters.create(isolated=kind == "isolated")

INSIDE = '''
import sys
sys.path[:] = {path!r}
import os
try:
    from aiows import connect, serve
except ImportError as error:
    said = f"ImportError: {{error}}"
else:
    import asyncio
    async def exchange(uri):
        async with connect(uri) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"
    async def main():
        async def echo(ws):
            async for message in ws:
                await ws.send(message)
        async with serve(echo, "127.0.0.1", 0) as server:
            await exchange({uri!r})
            await exchange(f"ws://127.0.0.1:{{server.port}}/")
    asyncio.run(main())
    said = "works"
os.write({writer}, said.encode())
'''

def inside(kind):
    import os
    reader, writer = os.pipe()
    program = INSIDE.format(path=sys.path, uri=sys.argv[1], writer=writer)
    interpreter = create(kind)
    failed = interpreters.run_string(interpreter, program)
    interpreters.destroy(interpreter)
    os.close(writer)
    with open(reader) as pipe:
        said = pipe.read()
    return said if failed is None else repr(failed)

async def outside():
    async with connect(sys.argv[1]) as ws:
        await ws.send("hello")
        return await ws.recv()

answers = {"before": inside("legacy")}
answers["outside"] = asyncio.run(outside())
answers["legacy"] = [inside("legacy") for _ in range(2)]
answers["isolated"] = [inside("isolated") for _ in range(2)]
answers["after"] = asyncio.run(outside())
print(json.dumps(answers))
"""


def test_sub_interpreters(websockets_server: ServerProcess, tmp_path: Path) -> None:
    answers = run(tmp_path, SOURCE, websockets_server.uri())
    isolated = answers.pop("isolated")
    assert answers == {
        "before": "works",
        "outside": "hello",
        "legacy": ["works", "works"],
        "after": "hello",
    }
    if sys.version_info < (3, 12):  # one GIL for all
        assert isolated == ["works", "works"]
    else:
        for said in isolated:
            assert said.startswith("ImportError: ")
            assert "does not support loading in subinterpreters" in said
