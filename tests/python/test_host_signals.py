"""Signals of the host: its handlers run at once, whatever the library waits for."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers.launch import ServerProcess

from programs import run, run_all

COMMON = """
import asyncio, json, os, select, signal, subprocess, sys, threading, time
from aiows import connect

URI, RAW = sys.argv[1:3]
HANG_S = 60
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD, signal.SIGALRM,
           signal.SIGWINCH, signal.SIGHUP, signal.SIGUSR2]

async def exchange(ws, text="hello"):
    await ws.send(text)
    assert await ws.recv() == text

class Sender(threading.Thread):
    '''Sends each signal once the one before has been handled.'''

    def __init__(self, rounds=3):
        super().__init__()
        self.seen = []
        self.handled = threading.Event()
        self.late = []
        self.rounds = rounds
        self.done = False

    def note(self, number, frame=None):
        self.seen.append(int(number))
        self.handled.set()

    def run(self):
        for number in SIGNALS * self.rounds:
            self.handled.clear()
            os.kill(os.getpid(), number)
            if not self.handled.wait(HANG_S):
                self.late.append(number.name)
                break
        self.done = True

    def result(self):
        expected = [int(number) for number in SIGNALS * self.rounds]
        return [self.late, self.seen == expected]

async def finished(sender):
    while not sender.done:
        await asyncio.sleep(0.01)
"""

# What the main thread waits for meanwhile.
WAITING = {
    "recv": """
    async with connect(URI) as ws:
        task = asyncio.create_task(ws.recv())
        await while_waiting()
        await ws.send("end")
        assert await task == "end"
""",
    "opening": """
    task = asyncio.create_task(open_one(RAW + "/silence"))
    await while_waiting()
    task.cancel()
    await asyncio.wait([task])
""",
    "send": """
    ws = await connect(RAW + "/stall")
    async def flood():
        while True:
            await ws.send(bytes(1 << 20))
    task = asyncio.create_task(flood())
    while ws.buffered == 0:
        await asyncio.sleep(0)
    await while_waiting()
    task.cancel()
    await asyncio.wait([task])
    ws._abort()
    await ws.wait_closed()
""",
    "closing": """
    ws = await connect(RAW + "/deaf", close_timeout=None)
    task = asyncio.create_task(ws.close())
    await while_waiting()
    ws._abort()
    await task
""",
    "exchanging": """
    async with connect(URI) as ws:
        async def flood():
            while True:
                await exchange(ws)
        task = asyncio.create_task(flood())
        await while_waiting()
        task.cancel()
        await asyncio.wait([task])
""",
}

WAYS = {
    "signal": """
async def while_waiting():
    sender = Sender()
    loop = asyncio.get_running_loop()
    # This makes signals wake the loop; otherwise Python sleeps on one that comes just
    # before it calls epoll_wait.
    loop.add_signal_handler(signal.SIGRTMIN, print)
    for number in SIGNALS:
        signal.signal(number, sender.note)
    sender.start()
    await loop.run_in_executor(None, sender.join)
    loop.remove_signal_handler(signal.SIGRTMIN)
    return_[:] = sender.result()
""",
    "add_signal_handler": """
async def while_waiting():
    sender = Sender()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, sender.note, number)
    sender.start()
    await loop.run_in_executor(None, sender.join)
    for number in SIGNALS:
        loop.remove_signal_handler(number)
    return_[:] = sender.result()
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_handlers_run(
    way: str, websockets_server: ServerProcess, raw_server: ServerProcess, tmp_path: Path
) -> None:
    sources = {
        name: f"""{COMMON}
return_ = []
async def open_one(uri):
    return await connect(uri, open_timeout=None)
{WAYS[way]}
async def main():{body}
asyncio.run(main())
print(json.dumps(return_))
"""
        for name, body in WAITING.items()
    }
    answers = run_all(tmp_path, sources, websockets_server.uri(), raw_server.uri(""))
    assert answers == {name: [[], True] for name in WAITING}


OTHERS = {
    "wake-up descriptor": """
# A descriptor of the host's own, read by a thread while the loop waits.
reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
numbers = []
async def main():
    async with connect(URI) as ws:
        await exchange(ws)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        previous = signal.set_wakeup_fd(writer)
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGUSR1)
            select.select([reader], [], [], HANG_S)
            numbers.append(list(os.read(reader, 100)))
        assert signal.set_wakeup_fd(previous) == writer
        await exchange(ws)
asyncio.run(main())
assert numbers == [[signal.SIGUSR1]] * 5, numbers
print("true")
""",
    "sigwait": """
# In a thread, with the signals blocked everywhere as POSIX wants it.
wanted = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGALRM, signal.SIGHUP]
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
seen = []
def wait():
    for _ in wanted * 5:
        seen.append(signal.sigwait(wanted))
thread = threading.Thread(target=wait)
async def main():
    async with connect(URI) as ws:
        thread.start()
        for number in wanted * 5:
            before = len(seen)
            os.kill(os.getpid(), number)
            while len(seen) == before:
                await exchange(ws)
asyncio.run(main())
thread.join()
assert seen == wanted * 5, seen
print("true")
""",
    "SIGCHLD": """
# Blocked for sigwait it may land on a thread of Go, which has it unblocked; a handler sees it.
async def main():
    count = 0
    def note(*_):
        nonlocal count
        count += 1
    signal.signal(signal.SIGCHLD, note)
    async with connect(URI) as ws:
        for number in range(5):
            subprocess.run([sys.executable, "-S", "-c", ""], check=True)
            while count <= number:
                await exchange(ws)
asyncio.run(main())
print("true")
""",
    "subprocess of asyncio": """
async def child(number):
    program = f"import sys; print(sys.stdin.read(), end=''); sys.exit({number})"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-S", "-c", program,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate(b"hello")
    return [process.returncode, output.decode()]

async def main():
    async with connect(URI) as ws:
        children = asyncio.gather(*(child(number) for number in range(3)))
        while not children.done():
            await exchange(ws)
        assert await children == [[number, "hello"] for number in range(3)]
asyncio.run(main())
print("true")
""",
    "storm of timers": """
# Every system call is interrupted again and again.
async def main():
    count = 0
    def note(*_):
        nonlocal count
        count += 1
    signal.signal(signal.SIGALRM, note)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    payload = os.urandom(300_000)
    for _ in range(3):
        async with connect(URI, max_size=None) as ws:
            for _ in range(20):
                await exchange(ws)
                await exchange(ws, payload)
    while count < 50:
        await asyncio.sleep(0.001)
    signal.setitimer(signal.ITIMER_REAL, 0)
asyncio.run(main())
print("true")
""",
    "profiler": """
# SIGPROF is what sampling profilers take, and what no thread of Go blocks.
async def main():
    samples = 0
    def note(number, frame):
        nonlocal samples
        assert threading.current_thread() is threading.main_thread()
        samples += 1
    signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, 0.002, 0.002)
    async with connect(URI) as ws:
        while samples < 20:
            await exchange(ws)
    signal.setitimer(signal.ITIMER_PROF, 0)
asyncio.run(main())
print("true")
""",
    "dispositions": """
# Nothing that Python shows of signals changes with the first connection.
def all_handlers():
    return {n: signal.getsignal(n) for n in signal.valid_signals()}
before = all_handlers(), signal.pthread_sigmask(signal.SIG_BLOCK, [])
assert before[0][signal.SIGPIPE] is signal.SIG_IGN
async def main():
    async with connect(URI) as ws:
        await exchange(ws)
    return all_handlers(), signal.pthread_sigmask(signal.SIG_BLOCK, [])
inside = asyncio.run(main())
inside[0][signal.SIGINT] = before[0][signal.SIGINT] # asyncio.run has its own
assert inside == before
assert (all_handlers(), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == before
# The kernel's view: SIGPIPE stays ignored, here and in other programs.
ignored = subprocess.check_output(["grep", "SigIgn", "/proc/self/status"], restore_signals=False)
for line in (ignored, subprocess.check_output(["grep", "SigIgn", f"/proc/{os.getpid()}/status"])):
    assert int(line.split()[1], 16) >> (signal.SIGPIPE - 1) & 1, line
reader, writer = os.pipe()
os.close(reader)
try:
    os.write(writer, b"x")
except BrokenPipeError:
    print("true")
""",
    "SIGPIPE by default": """
# A program that wants to die of its own broken pipe does not die of a connection's.
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
async def main():
    for _ in range(3):
        ws = await connect(URI.replace("/echo", "/drop"))
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            while True:
                await ws.send(bytes(100_000))
        except Exception as error:
            assert type(error).__name__ == "ConnectionClosedError", error
asyncio.run(main())
assert signal.getsignal(signal.SIGPIPE) is signal.SIG_DFL
status = subprocess.run(
    [sys.executable, "-c", "import os, signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL);"
     "r, w = os.pipe(); os.close(r); os.write(w, b'x')"]).returncode
assert status == -signal.SIGPIPE, status
print("true")
""",
}


def test_signals_otherwise(
    websockets_server: ServerProcess, raw_server: ServerProcess, tmp_path: Path
) -> None:
    answers = run_all(
        tmp_path,
        {name: COMMON + source for name, source in OTHERS.items()},
        websockets_server.uri(),
        raw_server.uri(""),
    )
    assert answers == dict.fromkeys(OTHERS, True)


def test_checker_sees_a_handler_that_waits(
    websockets_server: ServerProcess, raw_server: ServerProcess, tmp_path: Path
) -> None:
    # Planted: a signal that is blocked, as if a thread of the library had eaten it.
    source = f"""{COMMON}
SIGNALS[:] = [signal.SIGUSR1]
signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
sender = Sender(rounds=1)
sender.handled.wait = lambda limit: threading.Event().wait(0.1)
signal.signal(signal.SIGUSR1, sender.note)
sender.start()
sender.join()
print(json.dumps(sender.result()))
"""
    answer = run(tmp_path, source, websockets_server.uri(), raw_server.uri(""))
    assert answer == [["SIGUSR1"], False]
