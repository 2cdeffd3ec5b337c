"""`make demo`: it shows a real exchange, and fails when there was none."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import ROOT, run

GENERATE_CERT = ROOT / ".cache" / "bin" / "generate_cert"
DEMO = [sys.executable, str(ROOT / "examples" / "demo.py"), "--generate-cert", str(GENERATE_CERT)]


def test_demo_shows_both_exchanges() -> None:
    output = run(*DEMO).stdout
    shown = re.findall(
        r"server   (wss?)://127\.0\.0\.1:\d+ pid (\d+)\nsent     (.*)\nreceived (.*)\n", output
    )
    assert [scheme for scheme, *_ in shown] == ["ws", "wss"]
    assert all(sent == received for *_, sent, received in shown)
    assert len({sent for _, _, sent, _ in shown}) == 2
    for _, pid, *_ in shown:
        assert not os.path.exists(f"/proc/{pid}")


# Holds the program that asks a server of this scheme until the test makes a file.
HOLD = """
import os, sys, time
if "{scheme}:" in sys.orig_argv[-2] and "hello.py" in sys.orig_argv[-3]:
    while not os.path.exists({go_on!r}):
        time.sleep(0.01)
"""


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_demo_fails_when_its_server_is_killed(
    scheme: str, how: signal.Signals, tmp_path: Path
) -> None:
    go_on = tmp_path / "go_on"
    (tmp_path / "sitecustomize.py").write_text(HOLD.format(scheme=scheme, go_on=str(go_on)))
    with subprocess.Popen(
        DEMO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if found := re.match(rf"server   {scheme}://\S+ pid (\d+)", line):
                os.kill(int(found[1]), how)
                wait_for_the_end(int(found[1]))
                break
        go_on.touch()
        _, error = demo.communicate()
    assert demo.returncode == 1
    assert re.search("^demo failed: ", error, re.MULTILINE)


def wait_for_the_end(pid: int) -> None:
    """Wait until a process, whose parent does not ask yet, has ended."""
    while Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z":
        time.sleep(0.01)
