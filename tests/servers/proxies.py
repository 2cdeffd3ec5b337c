"""
Proxies that others wrote, each a process: tinyproxy and microsocks.

An https proxy is tinyproxy behind the TLS end of tests/autobahn/relay.py.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers.launch import START_S, environment

RELAY = Path(__file__).parents[1] / "autobahn" / "relay.py"
USER, PASSWORD = "somebody", "s3cret"
CREDENTIALS = f"{USER}:{PASSWORD}@"

_TINYPROXY = """
Port {port}
Listen 127.0.0.1
Timeout 60
MaxClients 50
LogLevel Error
LogFile "{folder}/log"
PidFile "{folder}/pid"
"""


def _find(program: str) -> str:
    path = shutil.which(program)
    if path is not None:
        return path
    reason = f"{program} is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _free_port() -> int:
    """Return a port below those that the system gives to the tests beside this one."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(lowest // 2, lowest)
        with contextlib.suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            return port


@contextmanager
def _process(command: Sequence[str], port: int) -> Iterator[int]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment()) as process:
        try:
            deadline = time.monotonic() + START_S
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    assert process.poll() is None, f"{command!r} has ended"
                    break
                except ConnectionRefusedError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"{command!r} does not listen") from None
                    time.sleep(0.01)
            yield port
        finally:
            process.terminate()


@contextmanager
def tinyproxy(folder: Path, credentials: bool) -> Iterator[int]:
    """Run tinyproxy, and give its port."""
    port = _free_port()
    text = _TINYPROXY.format(port=port, folder=folder)
    if credentials:
        text += f"BasicAuth {USER} {PASSWORD}\n"
    (folder / "conf").write_text(text)
    with _process([_find("tinyproxy"), "-d", "-c", str(folder / "conf")], port):
        yield port


@contextmanager
def microsocks(credentials: bool) -> Iterator[int]:
    """Run microsocks, a SOCKS5 proxy, and give its port."""
    port = _free_port()
    login = ["-u", USER, "-P", PASSWORD] if credentials else []
    with _process([_find("microsocks"), "-i", "127.0.0.1", "-p", str(port), *login], port):
        yield port


@contextmanager
def tls_end(port: int, cert: Path, key: Path) -> Iterator[int]:
    """Run what takes TLS and passes it on to port, and give its port."""
    command = [sys.executable, str(RELAY), str(port), "--cert", str(cert), "--key", str(key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()
