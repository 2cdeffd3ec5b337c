"""Close codes and the enumerations of aiowebsocket."""

from __future__ import annotations

import pytest
from websockets.frames import CloseCode as TheirCloseCode

import aiows.converses
import aiows.enumerations
from aiows import Close, CloseCode
from aiows.close_codes import close_code_name

# RFC 6455 section 7.4.1 and the IANA registry.
NAMES = {
    0: "unused",
    999: "unused",
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1004: "reserved",
    1005: "no status received",
    1006: "abnormal closure",
    1007: "invalid frame payload data",
    1008: "policy violation",
    1009: "message too big",
    1010: "mandatory extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake",
    1016: "unassigned",
    2999: "unassigned",
    3000: "unauthorized",
    3001: "registered",
    3003: "forbidden",
    3008: "timeout",
    3999: "registered",
    4000: "private use",
    4999: "private use",
    5000: "invalid",
}


@pytest.mark.parametrize(("code", "name"), NAMES.items())
def test_names(code: int, name: str) -> None:
    from aiows import _core

    assert close_code_name(code) == name
    assert _core.close_code_name(code) == name


def test_names_of_websockets() -> None:
    for code in TheirCloseCode:
        assert CloseCode[code.name] == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("CLOSE_NORMAL", 1000),
        ("CLOSE_GOING_AWAY", 1001),
        ("CLOSE_PROTOCOL_ERROR", 1002),
        ("CLOSE_UNSUPPORTED", 1003),
        ("CLOSE_NO_STATUS", 1005),
        ("CLOSE_ABNORMAL", 1006),
        ("POLICY_VIOLATION", 1008),
        ("CLOSE_TOO_LARGE", 1009),
        ("MISSING_EXTENSION", 1010),
        ("INTERNAL_ERROR", 1011),
        ("SERVICE_RESTART", 1012),
        ("TRY_AGAIN_LATER", 1013),
        ("TLS_HANDSHAKE", 1015),
    ],
)
def test_names_of_the_readme(name: str, code: int) -> None:
    assert CloseCode[name] == code


def test_text_of_close() -> None:
    assert str(Close(CloseCode.GOING_AWAY)) == "1001 (going away)"
    assert str(Close(4123, "later")) == "4123 (private use): later"


def test_enumerations_of_aiowebsocket() -> None:
    states = aiows.enumerations.SocketState
    assert (states.zero, states.connecting, states.opened, states.closing, states.closed) == (
        0,
        0,
        1,
        2,
        3,
    )
    assert states.connecting is states.zero
    frames = aiows.enumerations.DataFrames
    assert (frames.cont, frames.text, frames.binary) == (0, 1, 2)
    control = aiows.enumerations.ControlFrames
    assert (control.close, control.ping, control.pong) == (8, 9, 10)
    codes = aiows.enumerations.StatusCodes
    assert codes == [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011]
    assert isinstance(codes, list)


def test_where_aiowebsocket_has_its_names() -> None:
    from aiows.converses import (
        AioWebSocket,
        AioWebsocket,
        ControlFrames,
        Converse,
        DataFrames,
        SocketState,
    )
    from aiows.exceptions import FrameError, HandShakeError

    assert AioWebsocket is AioWebSocket is aiows.AioWebSocket is aiows.AioWebsocket
    assert Converse is aiows.Converse
    assert SocketState is aiows.enumerations.SocketState
    assert DataFrames is aiows.enumerations.DataFrames
    assert ControlFrames is aiows.enumerations.ControlFrames
    assert issubclass(FrameError, Exception) and issubclass(HandShakeError, Exception)
