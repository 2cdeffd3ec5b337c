"""The golden vectors, played to a Python program in both roles."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from golden.peer import CUTS, Program, answer_all, ask_all, negotiate_all, play_all

from programs import FLAGS

pytestmark = pytest.mark.once

PROGRAM = [sys.executable, *FLAGS, Path(__file__).with_name("replay.py")]


@pytest.fixture(scope="module")
def client() -> Iterator[Program]:
    with Program(PROGRAM, "connect", sees_control=False) as program:
        yield program


@pytest.fixture(scope="module")
def server() -> Iterator[Program]:
    with Program(PROGRAM, "serve", sees_control=False) as program:
        yield program


@pytest.mark.parametrize("cut", CUTS)
def test_frames_to_a_client(client: Program, cut: str) -> None:
    assert play_all(client, False, cut) > 100


@pytest.mark.parametrize("cut", CUTS)
def test_frames_to_a_server(server: Program, cut: str) -> None:
    assert play_all(server, True, cut) > 40


def test_offers(server: Program) -> None:
    assert negotiate_all(server, True) > 20


def test_answers(client: Program) -> None:
    assert negotiate_all(client, False) > 10


@pytest.mark.parametrize("cut", CUTS)
def test_compressed_to_a_client(client: Program, cut: str) -> None:
    assert play_all(client, False, cut, "testdata/deflate.txt") > 50


@pytest.mark.parametrize("cut", CUTS)
def test_compressed_to_a_server(server: Program, cut: str) -> None:
    assert play_all(server, True, cut, "testdata/deflate.txt") > 40


@pytest.mark.parametrize("cut", CUTS)
def test_requests(server: Program, cut: str) -> None:
    assert ask_all(server, cut) > 50


@pytest.mark.parametrize("cut", CUTS)
def test_responses(client: Program, cut: str) -> None:
    assert answer_all(client, cut) > 20
