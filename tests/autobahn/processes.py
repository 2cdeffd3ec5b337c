"""Child processes that tell their port, and never outlive us."""

from __future__ import annotations

import contextlib
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

START_S = 120.0
END_S = 30.0


class Failure(Exception):
    """A process did not do its part."""


@contextlib.contextmanager
def running(
    command: list[str], log: Path, *, quiet: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """Run a program with its stderr, and if quiet its stdout, in log; it is ended with us."""
    with open(log, "a") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=errors if quiet else subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def port_of(process: subprocess.Popen[str]) -> int:
    """Return the port that a program prints once it listens."""
    stdout: IO[str] | None = process.stdout
    assert stdout is not None
    ready, _, _ = select.select([stdout], [], [], START_S)
    line = stdout.readline() if ready else ""
    if not line.strip().isdigit():
        raise Failure(f"{process.args} printed {line!r}, expected its port")
    return int(line)


def finish(process: subprocess.Popen[str], patience: float) -> None:
    """Wait for a program to end well."""
    try:
        status = process.wait(patience)
    except subprocess.TimeoutExpired:
        raise Failure(f"{process.args} has not ended after {patience:.0f} s") from None
    if status != 0:
        raise Failure(f"{process.args} ended with status {status}")


def stop(process: subprocess.Popen[str]) -> None:
    """End a server by SIGTERM, which it takes as a request."""
    if process.poll() is not None:
        raise Failure(f"{process.args} ended before, with status {process.returncode}")
    process.terminate()
    finish(process, END_S)
