"""fork, multiprocessing and subprocesses of a program that imports or uses aiows."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers.launch import ServerProcess

from programs import IN_CHILD, run

COMMON = f"""{IN_CHILD}
import asyncio, multiprocessing
from aiows import AioWebSocket, connect

URI = sys.argv[1] if len(sys.argv) > 1 else ""

async def exchange(text):
    async with connect(URI) as ws:
        await ws.send(text)
        return await ws.recv()

def refusal(call):
    try:
        call()
    except RuntimeError as error:
        return str(error)
    return "no RuntimeError"
"""


def test_import_then_fork(websockets_server: ServerProcess, tmp_path: Path) -> None:
    source = f"""{COMMON}
AioWebSocket(URI)
answers = [in_child(lambda: asyncio.run(exchange(f"child {{n}}"))) for n in range(3)]
print(json.dumps([*answers, asyncio.run(exchange("parent"))]))
"""
    assert run(tmp_path, source, websockets_server.uri()) == [
        [0, "child 0"],
        [0, "child 1"],
        [0, "child 2"],
        "parent",
    ]


def test_use_then_fork(websockets_server: ServerProcess, tmp_path: Path) -> None:
    source = f"""{COMMON}
asyncio.run(exchange("first"))
answers = [in_child(lambda: refusal(lambda: asyncio.run(exchange("child")))) for _ in range(2)]
print(json.dumps([*answers, asyncio.run(exchange("parent"))]))
"""
    *children, parent = run(tmp_path, source, websockets_server.uri())
    for status, refused in children:
        assert status == 0
        for word in ("fork", "spawn", "forkserver", "connect after fork"):
            assert word in refused
    assert parent == "parent"


def test_fork_beside_an_open_connection(websockets_server: ServerProcess, tmp_path: Path) -> None:
    source = f"""{COMMON}
def sockets():
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{{number}}"))
        except FileNotFoundError: # the listing's own
            pass
    return {{link for link in found if link.startswith("socket:")}}

async def main():
    before = sockets()
    async with connect(URI) as ws:
        ours = sockets() - before
        assert ours

        def child():
            coroutines = {{
                "send": lambda: ws.send("x"), "recv": lambda: ws.recv(),
                "ping": lambda: ws.ping(), "wait_closed": lambda: ws.wait_closed(),
            }}
            refused = {{"send_nowait": refusal(lambda: ws.send_nowait("x"))}}
            for name, make in coroutines.items():
                def step(make=make):
                    coroutine = make()
                    try:
                        coroutine.send(None)
                    except StopIteration:
                        pass
                    finally:
                        coroutine.close()
                refused[name] = refusal(step)
            return [refused, len(ours & sockets())]

        # The parent's event loop is not the child's to end.
        status, answer = in_child(child, os._exit)
        await ws.send("parent")
        assert await ws.recv() == "parent"
        await (await ws.ping())
        return [status, answer]

print(json.dumps(asyncio.run(main())))
"""
    status, answer = run(tmp_path, source, websockets_server.uri())
    assert status == 0, answer
    refused, inherited = answer
    for name in ("send_nowait", "send", "recv", "ping", "wait_closed"):
        assert "fork" in refused[name], name
    # What the child holds open would keep the server waiting for the end.
    assert inherited == 0


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_multiprocessing_after_use(
    method: str, websockets_server: ServerProcess, tmp_path: Path
) -> None:
    source = f"""{COMMON}
def work(uri, text, pipe):
    global URI
    URI = uri
    try:
        pipe.send(asyncio.run(exchange(text)))
    except RuntimeError as error:
        pipe.send("RuntimeError: " + str(error))

if __name__ == "__main__":
    answers = [asyncio.run(exchange("before"))]
    context = multiprocessing.get_context("{method}")
    for number in range(2):
        mine, theirs = context.Pipe()
        process = context.Process(target=work, args=(URI, f"child {{number}}", theirs))
        process.start()
        answers.append(mine.recv())
        process.join()
        assert process.exitcode == 0
        mine.close(); theirs.close(); process.close()
    print(json.dumps([*answers, asyncio.run(exchange("after"))]))
"""
    before, *children, after = run(tmp_path, source, websockets_server.uri())
    assert (before, after) == ("before", "after")
    if method == "fork":
        for answer in children:
            assert answer.startswith("RuntimeError: ")
            assert "spawn" in answer
    else:
        assert children == ["child 0", "child 1"]


def test_executor_of_spawned_processes(websockets_server: ServerProcess, tmp_path: Path) -> None:
    source = f"""{COMMON}
from concurrent.futures import ProcessPoolExecutor

def work(uri, number):
    global URI
    URI = uri
    return asyncio.run(exchange(str(number)))

async def main():
    loop = asyncio.get_running_loop()
    async with connect(URI) as ws:
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            work_done = [loop.run_in_executor(pool, work, URI, n) for n in range(4)]
            answers = await asyncio.gather(*work_done)
        await ws.send("after")
        return [*answers, await ws.recv()]

if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
"""
    answers = run(tmp_path, source, websockets_server.uri())
    assert answers == ["0", "1", "2", "3", "after"]


def test_server_sees_the_end_beside_a_forked_child(
    websockets_server: ServerProcess, tmp_path: Path
) -> None:
    # The child lives on, and must not keep the connection of its parent alive.
    source = f"""{COMMON}
async def seen(target):
    while True:
        async with connect(URI.replace("/echo", "/closes")) as ws:
            for path, code, _ in json.loads(await ws.recv()):
                if path == target:
                    return code
        await asyncio.sleep(0.01)

async def main():
    target = f"/echo?{{os.getpid()}}"
    ws = await connect(URI.replace("/echo", target))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    ws._abort()
    await ws.wait_closed()
    code = await seen(target)
    os.write(writer, b"x")
    os.waitpid(pid, 0)
    return code

print(json.dumps(asyncio.run(main())))
"""
    assert run(tmp_path, source, websockets_server.uri()) == 1006


def test_fork_beside_a_server(tmp_path: Path) -> None:
    source = f"""{COMMON}
import socket
from aiows import serve

async def main():
    mine = socket.create_server(("127.0.0.1", 0))
    async with serve(None, "127.0.0.1", on_message=print) as server:
        async with serve(None, sock=mine, on_message=print) as second:
            found = [server.sockets[0], second.sockets[0]]
            return [*in_child(lambda: [s.fileno() >= 0 for s in found], os._exit),
                    [s.fileno() >= 0 for s in found]]

print(json.dumps(asyncio.run(main())))
"""
    # The child keeps the socket that the application made, and no other.
    assert run(tmp_path, source) == [0, [False, True], [True, True]]
