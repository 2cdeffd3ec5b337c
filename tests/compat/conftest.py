"""What the scenarios share: certificates, an environment without proxies."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from servers.fixtures import certificates  # noqa: F401

sys.path.append(str(Path(__file__).parents[1] / "python"))

PROXIES = (
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "socks_proxy",
    "no_proxy",
    "ws_proxy",
    "wss_proxy",
)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
