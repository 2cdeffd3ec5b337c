"""Programs that tests run as processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from servers.launch import environment

# Far above what any program takes: it only ends one that hangs.
HANG_S = 300.0
# Warnings are errors; but from Python 3.12 on every fork beside a thread warns.
FLAGS = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")


# What a program that forks begins with.
IN_CHILD = '''
import json, os, sys, traceback

def in_child(work, end=sys.exit):
    """Fork, and return the child's exit status and what work returned in it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = work()
        except BaseException:
            answer = traceback.format_exc()
        os.write(writer, json.dumps(answer).encode())
        end(0)
    os.close(writer)
    with open(reader) as pipe:
        answer = json.load(pipe)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), answer]
'''


class Program:
    """A program, from its source; its output is read when it ends."""

    def __init__(self, folder: Path, source: str, *arguments: str, **variables: str) -> None:
        folder.mkdir(exist_ok=True)
        path = folder / "program.py"
        path.write_text(textwrap.dedent(source))
        self._process = subprocess.Popen(
            [sys.executable, *FLAGS, str(path), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment() | {"PYTHONUNBUFFERED": "1"} | variables,
        )

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self.send(signal.SIGINT)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        return self._process.pid

    def end(self) -> tuple[int, str, str]:
        """Wait for the end; return status, what else was printed, and errors."""
        try:
            output, errors = self._process.communicate(timeout=HANG_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            output, errors = self._process.communicate()
            raise AssertionError(f"the program hangs: {output!r} {errors!r}") from None
        return self._process.returncode, output, errors

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def run(folder: Path, source: str, *arguments: str, **variables: str) -> Any:
    """Run a program that has to succeed without a word on stderr; return its JSON."""
    with Program(folder, source, *arguments, **variables) as program:
        status, output, errors = program.end()
    assert (status, errors) == (0, ""), f"status {status}, {output!r}, {errors}"
    return json.loads(output)


def run_all(
    folder: Path, sources: Mapping[str, str], *arguments: str, **variables: str
) -> dict[str, Any]:
    """Run programs side by side, each as run does; return the JSON of each."""
    with ExitStack() as stack:
        programs = {
            name: stack.enter_context(
                Program(folder / name.replace(" ", "_"), source, *arguments, **variables)
            )
            for name, source in sources.items()
        }
        ends = {name: program.end() for name, program in programs.items()}
    failed = {name: end for name, end in ends.items() if (end[0], end[2]) != (0, "")}
    assert not failed, "".join(
        f"\n{name}: status {status}, {output!r}\n{errors}"
        for name, (status, output, errors) in failed.items()
    )
    return {name: json.loads(output) for name, (_, output, _) in ends.items()}
