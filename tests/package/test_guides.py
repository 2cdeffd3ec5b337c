"""The examples of the guides run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from support import ROOT, run

DOCS = ROOT / "docs"
PAGES = [
    *sorted((DOCS / "guide").glob("*.md")),
    *(DOCS / name for name in ("client.md", "compression.md")),
]
# Those that show a file are run by the tests of that file.
EXAMPLE = re.compile(r"(?:<!-- (\S+) -->\n)?```python\n(.*?)```\n", re.DOTALL)


def examples(page: Path) -> list[str]:
    return [source for file, source in EXAMPLE.findall(page.read_text()) if not file]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that guides name."""
    made = tmp_path_factory.mktemp("guide")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(made / "company-ca.pem")
    for name, identity in (("server", "localhost"), ("client", "client.example")):
        leaf = authority.issue_cert(identity)
        leaf.cert_chain_pems[0].write_to_path(made / f"{name}.pem")
        leaf.private_key_pem.write_to_path(made / f"{name}.key")
    key = load_pem_private_key((made / "client.key").read_bytes(), None)
    (made / "client.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    return made


@pytest.fixture(scope="module")
def servers(folder: Path) -> Iterator[dict[str, str]]:
    """The URIs of echo servers, by scheme."""
    tls = ("--tls-cert", folder / "server.pem", "--tls-key", folder / "server.key")
    found = {}
    with ExitStack() as stack:
        for scheme, options in (("ws", ()), ("wss", tls)):
            command = [sys.executable, "-m", "aiows", "echo", "--host", "localhost", *options]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.terminate)
            assert process.stdout is not None
            found[scheme] = process.stdout.readline().split()[2]
        yield found


@pytest.mark.parametrize(
    "page", [page for page in PAGES if examples(page)], ids=lambda page: page.stem
)
def test_examples(page: Path, folder: Path, servers: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "examples").write_text(json.dumps(examples(page)))
    uri = servers["wss" if page.stem in ("tls", "own-io") else "ws"]
    runner = ROOT / "tests" / "package" / "guide_page.py"
    run(sys.executable, "-W", "error", runner, tmp_path / "examples", uri, cwd=folder)
