"""Server programs run as processes of their own."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).parent
START_S = 120.0


class ServerProcess:
    """A running server program, as a context manager."""

    def __init__(self, program: str, *arguments: str, secure: bool = False) -> None:
        self.name = program
        self.secure = secure
        self._command = [sys.executable, str(HERE / f"{program}.py"), *arguments]
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        # A server on aiows has a second one: see README.md.
        self.strict_port = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def uri(self, path: str = "/echo") -> str:
        host = "localhost" if self.secure else "127.0.0.1"
        return f"{'wss' if self.secure else 'ws'}://{host}:{self.port}{path}"

    def kill(self) -> None:
        """End the process without any goodbye."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, env=environment()
        )
        ports = read_line(self._process, "listening on ").split()[2:]
        self.port, self.strict_port = int(ports[0]), int(ports[-1])
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._process
        assert process is not None and process.stdout is not None
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def __repr__(self) -> str:
        return f"<ServerProcess {self.name} {self.uri()}>"


def environment() -> dict[str, str]:
    """Return the environment for a server: ours without the tests' own settings."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"}


def read_line(process: subprocess.Popen[str], beginning: str) -> str:
    """Return the line that a process prints once it is ready."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    line = process.stdout.readline() if ready else ""
    if not line.startswith(beginning):
        process.kill()
        process.wait()
        process.stdout.close()
        raise RuntimeError(f"{process.args!r} printed {line!r}, expected {beginning!r}")
    return line


def arguments_for(cert: Path | None, key: Path | None) -> Sequence[str]:
    """Return the arguments that make a server speak wss."""
    return () if cert is None else ("--cert", str(cert), "--key", str(key))
