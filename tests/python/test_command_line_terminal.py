"""aiows connect in a real terminal, which tmux is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers.launch import ServerProcess

pytestmark = pytest.mark.once

HANG_S = 60.0


class Terminal:
    """A tmux of its own with one window; text is what a person would see."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "tmux"

    def start(self, *arguments: str) -> None:
        command = shlex.join([sys.executable, "-W", "error", "-m", "aiows", *arguments])
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        subprocess.run(
            [*self._tmux, "-f", os.devnull, "new-session", "-d", "-x", "100", "-y", "40",
             f"{command}; echo status $?; exec sleep 1000"],
            check=True,
            env={**environment, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "NO_COLOR": ""}
            | {"PYTHONASYNCIODEBUG": ""},
        )  # fmt: skip

    def keys(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def screen(self, *options: str) -> str:
        """Return the window's lines, and those that have left it at the top."""
        return self._run("capture-pane", "-p", "-S", "-", *options).rstrip()

    def wait(self, wanted: Callable[[str], object]) -> str:
        """Wait for a screen that wanted approves of, and return it."""
        deadline = time.monotonic() + HANG_S
        while not wanted(screen := self.screen()):
            assert time.monotonic() < deadline, f"the screen is:\n{screen}"
            time.sleep(0.05)
        return screen

    def stop(self) -> None:
        pid = int(self._run("display-message", "-p", "#{pid}"))
        self._run("kill-server")
        deadline = time.monotonic() + HANG_S
        while Path(f"/proc/{pid}/stat").exists() and time.monotonic() < deadline:
            # Behind the name in parentheses, which holds a space.
            if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z"):
                return
            time.sleep(0.01)

    @property
    def _tmux(self) -> list[str]:
        return ["tmux", "-S", str(self._socket)]

    def _run(self, *arguments: str) -> str:
        command = [*self._tmux, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    made = Terminal(tmp_path_factory.mktemp("t"))
    yield made
    made.stop()


def test_prompt_stays_below_what_arrives(
    terminal: Terminal, websockets_server: ServerProcess
) -> None:
    terminal.start("connect", websockets_server.uri("/echo"), "--ping", "0.2")
    terminal.wait(lambda screen: screen.endswith("\n>"))
    terminal.keys("hello", "Enter")
    terminal.wait(lambda screen: "\n< hello" in screen)
    # Pongs are told while a line is being typed: it stays as it is, the last one.
    terminal.keys("half typed")
    terminal.wait(lambda screen: screen.endswith("> half typed"))
    seen = terminal.screen().count("pong after")
    screen = terminal.wait(
        lambda screen: screen.count("pong after") > seen + 2 and screen.endswith("> half typed")
    )
    assert screen.count("half typed") == 1
    assert screen.index("> hello") < screen.index("< hello")
    # Behind a dim line tmux sets the background, too.
    assert re.search("\x1b\\[32m(\x1b\\[49m)?< hello", terminal.screen("-e"))
    terminal.keys(" line", "Enter")
    terminal.wait(lambda screen: "\n< half typed line" in screen)
    # The history: two lines up.
    terminal.keys("Up", "Up", "Enter")
    terminal.wait(lambda screen: screen.count("\n< hello") == 2)
    terminal.keys("C-d")
    screen = terminal.wait(lambda screen: "status" in screen)
    assert re.search(r"\nconnection closed: .*1000.*\nstatus 0$", screen)


def test_control_characters_and_binary(
    terminal: Terminal, websockets_server: ServerProcess
) -> None:
    terminal.start("connect", websockets_server.uri("/fragments"), "-t", "\x1b]0;owned\x07")
    screen = terminal.wait(lambda screen: "owned" in screen)
    assert "< \\x1b]0;owned\\x07" in screen
    assert "< binary, 256 bytes: 00 01 02" in screen and "< fragmented é" in screen


def test_interrupt_closes(terminal: Terminal, websockets_server: ServerProcess) -> None:
    terminal.start("connect", websockets_server.uri("/echo"))
    terminal.wait(lambda screen: screen.endswith("\n>"))
    terminal.keys("not sent", "C-c")
    screen = terminal.wait(lambda screen: "status" in screen)
    assert re.search(r"\nconnection closed: .*1000.*\nstatus 130$", screen)
    assert "Traceback" not in screen and "< not sent" not in screen


def test_server_closes_while_a_line_is_typed(
    terminal: Terminal, websockets_server: ServerProcess
) -> None:
    terminal.start("connect", websockets_server.uri("/close?code=4001&reason=bye"))
    terminal.wait(lambda screen: screen.endswith("\n>"))
    terminal.keys("x", "Enter", "y")
    screen = terminal.wait(lambda screen: "status" in screen)
    assert "4001" in screen and "bye" in screen and screen.endswith("status 3")
    # The terminal is as it was: what is typed is echoed in lines again.
    terminal.keys("z")
    terminal.wait(lambda screen: screen.endswith("z"))
