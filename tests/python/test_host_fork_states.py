"""fork in every state of a connection: the child is told, holds no socket and ends nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from servers.fixtures import Certificates
from servers.launch import ServerProcess
from websockets.sync.client import connect as other_connect

from programs import run_all

pytestmark = pytest.mark.once

COMMON = """
import asyncio, gc, json, os, socket, subprocess, sys, threading

def sockets():
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError: # the listing's own
            pass
    return {link for link in found if link.startswith("socket:")}

# What asyncio and the program itself have is theirs; fork() below compares with it.
theirs = set()

def fork(end=os._exit, held=1):
    '''Fork; return how the child ended, what it held and what it was told.'''
    ours = sockets() - theirs
    assert held is None or len(ours) == held, (ours, held)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        with open(reader) as pipe:
            answer = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return [status, json.loads(answer) if answer else None]
    try:
        asyncio.run(open_one())
        told = "no RuntimeError"
    except RuntimeError as error:
        told = str(error)
    gc.collect()
    left = len(ours & sockets())
    with open(writer, "w") as pipe:
        json.dump([left, told], pipe)
    end(7)

PATH = sys.argv[1].replace("/echo", "/echo?" + os.path.basename(os.path.dirname(__file__)))

async def open_one(uri=PATH, **options):
    from aiows import connect
    return await connect(uri, **options)

async def exchange(ws, text="parent"):
    await ws.send(text)
    assert await ws.recv() == text

async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)

def run(main):
    async def started():
        theirs.update(sockets())
        return await main()
    print(json.dumps(asyncio.run(started())))
"""

STATES = {
    "loaded": """
from aiows import _library
_library.load()
print(json.dumps(fork(sys.exit, held=0)))
""",
    "dialing": """
async def main():
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        for filler in (first, second): # no room is left: the next one waits for an answer
            filler.setblocking(False)
            filler.connect_ex(address)
        theirs.update(sockets())
        task = asyncio.create_task(open_one(f"ws://127.0.0.1:{address[1]}/", open_timeout=None))
        # "02" is SYN_SENT; its own peer is what tells it from the fillers.
        def dialing():
            with open("/proc/self/net/tcp") as table:
                lines = [line.split() for line in table][1:]
            end = f":{address[1]:04X}"
            inodes = {line[9] for line in lines if line[2].endswith(end) and line[3] == "02"}
            return any(f"socket:[{inode}]" in sockets() - theirs for inode in inodes)
        await until(dialing)
        answer = fork()
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: not sockets() - theirs)
        return answer
run(main)
""",
    "TLS handshake": """
async def main():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        theirs.update(sockets())
        port = silent.getsockname()[1]
        task = asyncio.create_task(open_one(f"wss://127.0.0.1:{port}/", open_timeout=None))
        silent.setblocking(False)
        accepted, _ = await asyncio.get_running_loop().sock_accept(silent)
        await asyncio.get_running_loop().sock_recv(accepted, 1)
        theirs.add(f"socket:[{os.fstat(accepted.fileno()).st_ino}]")
        answer = fork()
        # The child is gone: only the parent's end may reach the peer.
        task.cancel()
        await asyncio.wait([task])
        while await asyncio.get_running_loop().sock_recv(accepted, 4096):
            pass
        accepted.close()
        return answer
run(main)
""",
    "HTTP handshake": """
async def main():
    task = asyncio.create_task(open_one(sys.argv[2], open_timeout=None))
    await until(lambda: sockets() - theirs)
    answer = fork()
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    return answer
run(main)
""",
    "open": """
async def main():
    async with await open_one() as ws:
        await exchange(ws)
        answers = [fork(), fork()]
        await exchange(ws)
        assert answers[0] == answers[1]
        return answers[0]
run(main)
""",
    "open over TLS": """
from aiows import create_default_context
async def main():
    async with await open_one(sys.argv[3], ssl=create_default_context(cafile=sys.argv[4])) as ws:
        await exchange(ws)
        answer = fork()
        await exchange(ws)
        return answer
run(main)
""",
    "exit inside": """
async def main():
    async with await open_one() as ws:
        receiving = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        answer = fork(sys.exit)
        await ws.send("parent")
        assert await receiving == "parent"
        return answer
run(main)
""",
    "backlog": """
async def main():
    async with await open_one(max_size=None) as ws:
        sent = 0
        while not ws.buffered:
            ws.send_nowait(bytes(1 << 20))
            sent += 1
        answer = fork()
        for _ in range(sent):
            assert len(await ws.recv()) == 1 << 20
        await exchange(ws)
        return answer
run(main)
""",
    "closing": """
async def main():
    ws = await open_one(sys.argv[2].replace("/silence", "/deaf"), close_timeout=None)
    task = asyncio.create_task(ws.close())
    await asyncio.sleep(0)
    assert ws.state == 2
    answer = fork()
    assert ws.state == 2
    ws._abort()
    await task
    return answer
run(main)
""",
    "closed": """
async def main():
    ws = await open_one()
    await ws.close()
    await until(lambda: not sockets() - theirs)
    return fork(held=0)
run(main)
""",
    "left open": """
import warnings
warnings.simplefilter("ignore", ResourceWarning)
loop = asyncio.new_event_loop()
async def main():
    theirs.update(sockets())
    return await open_one()
ws = loop.run_until_complete(main())
answer = fork(sys.exit)
loop.run_until_complete(exchange(ws))
loop.run_until_complete(ws.close())
print(json.dumps(answer))
""",
    "on_message": """
from aiows import connect
async def main():
    answers = []
    def forking(ws, message):
        answers.append(fork(sys.exit if message == "exit" else os._exit))
    async with connect(PATH, on_message=forking) as ws:
        for text in ("_exit", "exit", "_exit"):
            await ws.send(text)
        await until(lambda: len(answers) == 3)
        assert answers[0] == answers[1] == answers[2], answers
        return answers[0]
run(main)
""",
    "server": """
from aiows import serve
async def main():
    answers = []
    async def handler(ws):
        answers.append(fork(held=3)) # the listener and both ends
        async for message in ws:
            await ws.send(message)
    async with serve(handler, "127.0.0.1", 0) as server:
        answers.append(fork(held=1))
        async with await open_one(f"ws://127.0.0.1:{server.port}/") as ws:
            await exchange(ws)
            answers.append(fork(held=3))
            answers.append(fork(sys.exit, held=3))
            await exchange(ws)
        async with await open_one(f"ws://127.0.0.1:{server.port}/") as ws:
            await exchange(ws)
    assert all(answer == answers[0] for answer in answers), answers
    return answers[0]
run(main)
""",
    "exit in a handler": """
from aiows import serve
async def main():
    answers = []
    async def handler(ws):
        answers.append(fork(sys.exit, held=3))
        async for message in ws:
            await ws.send(message)
    async with serve(handler, "127.0.0.1", 0) as server:
        async with await open_one(f"ws://127.0.0.1:{server.port}/") as ws:
            await exchange(ws)
    return answers[0]
run(main)
""",
    "TLS handshake of a server": """
from aiows import serve, SSLContext
import ssl
async def main():
    context = SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[5], sys.argv[6])
    async def handler(ws):
        pass
    async with serve(handler, "127.0.0.1", 0, ssl=context) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            theirs.add(f"socket:[{os.fstat(client.fileno()).st_ino}]")
            await until(lambda: len(sockets() - theirs) == 2)
            # Until the goroutine has it: an earlier state is as good, and tested too.
            await asyncio.sleep(0.05)
            answer = fork(held=2)
            client.setblocking(False)
            try:
                assert client.recv(1), "the server's end was closed"
            except BlockingIOError:
                pass
        await until(lambda: len(sockets() - theirs) == 1)
    return answer
run(main)
""",
    "from a thread": """
async def main():
    async with await open_one() as ws:
        answers, stop = [], threading.Event()
        def forking():
            for _ in range(10):
                answers.append(fork())
            stop.set()
        thread = threading.Thread(target=forking)
        thread.start()
        while not stop.is_set():
            await exchange(ws)
        thread.join()
        assert all(answer == answers[0] for answer in answers), answers
        return answers[0]
run(main)
""",
}


def test_every_state(
    websockets_server: ServerProcess,
    websockets_tls_server: ServerProcess,
    raw_server: ServerProcess,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    answers = run_all(
        tmp_path,
        {name: COMMON + source for name, source in STATES.items()},
        websockets_server.uri(),
        raw_server.uri("/silence"),
        websockets_tls_server.uri(),
        str(certificates.ca),
        str(certificates.cert),
        str(certificates.key),
    )
    for name, (status, answer) in answers.items():
        assert status == 7, (name, status, answer)
        left, told = answer
        assert left == 0, f"{name}: the child holds {left} sockets"
        for word in ("fork", "spawn", "forkserver", "connect after fork"):
            assert word in told, (name, told)
    with other_connect(websockets_server.uri("/closes")) as peer:
        closes = {path: code for path, code, _ in json.loads(peer.recv())}
    for name in ("open", "exit_inside", "backlog", "left_open", "on_message", "from_a_thread"):
        assert closes[f"/echo?{name}"] == 1000, name


def test_before_import(websockets_server: ServerProcess, tmp_path: Path) -> None:
    source = f"""{COMMON}
async def work():
    async with await open_one() as ws:
        await exchange(ws)

pid = os.fork()
asyncio.run(work())
if pid:
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert run_all(tmp_path, {"before": source}, websockets_server.uri()) == {"before": 0}


# What a new program shows of itself: its sockets, epoll sets and eventfds.
LIST = """
import os
links = [f"/proc/self/fd/{number}" for number in range(3, 100)]
print([os.readlink(link) for link in links if os.path.lexists(link)])
"""

PROGRAMS = {
    "posix_spawn": """
def start(command, output):
    actions = [(os.POSIX_SPAWN_DUP2, output.fileno(), 1)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
""",
    "subprocess": """
def start(command, output):
    return subprocess.run(command, stdout=output, close_fds=False).returncode
""",
    "fork and exec": """
def start(command, output):
    return subprocess.run(command, stdout=output, preexec_fn=lambda: None).returncode
""",
    "system": """
import shlex
def start(command, output):
    return os.waitstatus_to_exitcode(os.system(shlex.join(command) + " >" + output.name))
""",
}


def test_other_programs(
    websockets_server: ServerProcess, raw_server: ServerProcess, tmp_path: Path
) -> None:
    sources = {
        name: f"""{COMMON}{source}
async def main():
    opening = asyncio.create_task(open_one(sys.argv[2]))
    await until(lambda: sockets() - theirs)
    async with await open_one() as ws:
        await exchange(ws)
        with open(os.path.join(os.path.dirname(__file__), "output"), "w+") as output:
            status = start([sys.executable, "-c", {LIST!r}], output)
            output.seek(0)
            listed = output.read()
        await exchange(ws)
    opening.cancel()
    await asyncio.wait([opening])
    return [status, listed]
run(main)
"""
        for name, source in PROGRAMS.items()
    }
    answers = run_all(tmp_path, sources, websockets_server.uri(), raw_server.uri("/silence"))
    for name, (status, listed) in answers.items():
        assert status == 0, name
        for kind in ("socket:", "[eventpoll]", "[eventfd]"):
            assert kind not in listed, (name, listed)


def test_checker_sees_an_inherited_socket(websockets_server: ServerProcess, tmp_path: Path) -> None:
    source = f"""{COMMON}
async def main():
    async with await open_one() as ws:
        planted = socket.socket()
        answer = fork(held=2)
        planted.close()
        return answer
run(main)
"""
    answers = run_all(tmp_path, {"planted": source}, websockets_server.uri())
    assert answers["planted"][1][0] == 1
