"""The golden vectors, played to a C program in both roles."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from golden.peer import CUTS, Program, answer_all, ask_all, negotiate_all, play, play_all
from golden.vectors import read_frames

from c_support import HERE, Builder


@pytest.fixture(scope="module")
def client(build: Builder) -> Iterator[Program]:
    with Program([build.program(HERE / "replay.c", "test")], "connect", True) as program:
        yield program


@pytest.fixture(scope="module")
def server(build: Builder) -> Iterator[Program]:
    with Program([build.program(HERE / "replay.c", "test")], "serve", True) as program:
        yield program


@pytest.mark.parametrize("cut", CUTS)
def test_frames_to_a_client(client: Program, cut: str) -> None:
    assert play_all(client, False, cut) > 100


@pytest.mark.parametrize("cut", CUTS)
def test_frames_to_a_server(server: Program, cut: str) -> None:
    assert play_all(server, True, cut) > 40


@pytest.mark.parametrize("cut", CUTS)
def test_compressed_to_a_client(client: Program, cut: str) -> None:
    assert play_all(client, False, cut, "testdata/deflate.txt") > 40


@pytest.mark.parametrize("cut", CUTS)
def test_compressed_to_a_server(server: Program, cut: str) -> None:
    assert play_all(server, True, cut, "testdata/deflate.txt") > 40


def test_offers(server: Program) -> None:
    assert negotiate_all(server, True) > 20


def test_answers(client: Program) -> None:
    assert negotiate_all(client, False) > 10


@pytest.mark.parametrize("cut", CUTS)
def test_requests(server: Program, cut: str) -> None:
    assert ask_all(server, cut) > 50


@pytest.mark.parametrize("cut", CUTS)
def test_responses(client: Program, cut: str) -> None:
    assert answer_all(client, cut) > 20


@pytest.mark.parametrize("old", ["message text 48656c6c6f", "pong", "close"])
def test_a_wrong_vector_is_noticed(client: Program, old: str) -> None:
    """The peer and the reader are no rubber stamps."""
    good = {case.name: case for case in read_frames()}
    match old:
        case "pong":
            case_ = good["ping-unmasked"]
            bad = dataclasses.replace(case_, events=["ping 48656c6c70"])
        case "close":
            case_ = good["close-code-only-to-client"]
            bad = dataclasses.replace(case_, ending=["close", "1001", "-"])
        case _:
            case_ = good["hello-unmasked"]
            bad = dataclasses.replace(case_, events=["message text 48656c6c70"])
    with pytest.raises(AssertionError):
        play(client, bad, "whole")
    if old != "message text 48656c6c6f":
        client.until_end()  # the peer gave up before it
    play(client, case_, "whole")
