"""Bounded memory: one side is fast and the other slow, in both directions, for a minute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from servers.launch import ServerProcess

CLIENT = Path(__file__).with_name("bounded.py")
SECONDS = 60
# What the kernel and the core read ahead settles early; the messages that come in a minute
# would take 400 MiB and, if nothing held the sender back, far more.
GROWTH_MIB = 16


@pytest.mark.once
def test_memory_is_bounded(numbers_server: ServerProcess) -> None:
    peers = {"receive": "/flood", "stream": "/long", "send": "/slow"}
    clients = [
        subprocess.Popen(
            [sys.executable, str(CLIENT), how, numbers_server.uri(path), str(SECONDS)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for how, path in peers.items()
    ]
    try:
        outputs = [client.communicate(timeout=SECONDS * 3)[0] for client in clients]
    finally:
        for client in clients:
            client.kill()
            client.wait()
    for client, output in zip(clients, outputs, strict=True):
        assert client.returncode == 0
        settled, most, count = map(float, output.split())
        assert most < settled + GROWTH_MIB, output
        assert count > SECONDS, output  # it did flow
