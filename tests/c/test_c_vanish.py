"""A C program finds a peer that vanished."""

from __future__ import annotations

import sys

import pytest

from c_support import HERE, Builder, run

NETWORK = ("unshare", "--map-root-user", "--net")
VANISH = HERE.parent / "servers" / "vanish.py"


def test_a_peer_that_vanishes_is_found(build: Builder) -> None:
    if run([*NETWORK, "true"]).returncode != 0:
        pytest.skip("no right to make a network namespace")
    program = build.program(HERE / "vanish.c", "test")
    done = run([*NETWORK, sys.executable, VANISH, program])
    assert (done.stderr, done.returncode, done.stdout) == ("", 0, "open\nfound\n")
