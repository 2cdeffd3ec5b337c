"""The exceptions: names, bases, text, pickle, copy."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest
import websockets.exceptions as theirs

import aiows._conversation as conversation
import aiows.exceptions as ours
from aiows import Close, CloseCode, Headers, Response

CLOSE = Close(1001, "bye")
RESPONSE = Response(404, "Not Found", Headers([("Server", "x")]), b"nothing")

ARGUMENTS: dict[str, tuple[object, ...]] = {
    "ConnectionClosed": (CLOSE, Close(1001, ""), True),
    "ConnectionClosedError": (None, CLOSE),
    "ConnectionClosedOK": (Close(1000), Close(1000), False),
    "DuplicateParameter": ("a",),
    "InvalidHeader": ("Host", None),
    "InvalidHeaderFormat": ("Host", "bad", "a b", 1),
    "InvalidHeaderValue": ("Host", ""),
    "InvalidMethod": ("PUT",),
    "InvalidOrigin": (None,),
    "InvalidParameterName": ("a",),
    "InvalidParameterValue": ("a", None),
    "InvalidProtocol": ("HTTP/1.0",),
    "InvalidProxy": ("x://", "unknown scheme"),
    "InvalidProxyStatus": (RESPONSE,),
    "InvalidStatus": (RESPONSE,),
    "InvalidURI": ("ftp://x", "scheme 'ftp'"),
    "InvalidUpgrade": ("Upgrade", "h2c"),
    "PayloadTooBig": (10, 5, 2),
    "TooManyFragments": (7,),
    "ConversationParameterValueError": ("a", "7"),
    "ConversationClosedOK": (Close(1000), Close(1000), False),
    "ConversationClosedError": (CLOSE, None),
    "ConversationFrameError": (None, Close(1002)),
    "ConversationStatusError": (RESPONSE,),
    "ConversationProxyStatusError": (RESPONSE,),
    "ConversationHeaderError": ("Host", "x"),
    "ConversationHeaderValueError": ("Host", "x"),
    "ConversationUpgradeError": ("Upgrade", None),
}

ALL = [
    *(getattr(ours, name) for name in ours.__all__),
    *(
        value
        for value in vars(conversation).values()
        if isinstance(value, type)
        and issubclass(value, Exception)
        and value.__module__ == conversation.__name__
    ),
]


def make(kind: type[Exception]) -> Exception:
    return kind(*ARGUMENTS.get(kind.__name__, ("what happened",)))


@pytest.mark.parametrize("name", theirs.__all__)
def test_bases_are_those_of_websockets(name: str) -> None:
    expected = [base.__name__ for base in getattr(theirs, name).__mro__]
    if name == "InvalidURI":
        expected.insert(expected.index("Exception"), "ValueError")
    assert [base.__name__ for base in getattr(ours, name).__mro__] == expected


def test_only_one_of_websockets_is_a_value_error() -> None:
    found = [name for name in theirs.__all__ if issubclass(getattr(ours, name), ValueError)]
    assert found == ["InvalidURI"]


def test_docstring_draws_every_class() -> None:
    assert ours.__doc__ is not None
    for name in ours.__all__:
        assert name in ours.__doc__


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_survives_pickle_and_copy(kind: type[Exception], clone: object) -> None:
    original = make(kind)
    original.add_note("a note")
    twin = clone(original)  # type: ignore[operator]
    assert type(twin) is kind
    assert str(twin) == str(original) != ""
    assert repr(twin.args) == repr(original.args)
    assert vars(twin) == vars(original)


def test_survives_pickle_with_keywords() -> None:
    original = ours.ConnectionClosedError(rcvd=None, sent=CLOSE)
    twin = pickle.loads(pickle.dumps(original))
    assert (twin.rcvd, twin.sent, twin.rcvd_then_sent) == (None, CLOSE, None)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((None, None), "connection lost without a close handshake"),
        ((None, Close(1000)), "sent close 1000 (normal closure), received none"),
        ((CLOSE, None), "received close 1001 (going away): bye, sent none"),
        (
            (CLOSE, Close(1001), True),
            "closed by the peer with 1001 (going away): bye, answered 1001 (going away)",
        ),
        (
            (Close(1005), Close(4000, "x"), False),
            "closed by this side with 4000 (private use): x, answered 1005 (no status received)",
        ),
    ],
)
def test_text_of_connection_closed(arguments: tuple[object, ...], text: str) -> None:
    assert str(ours.ConnectionClosed(*arguments)) == text  # type: ignore[arg-type]


def test_code_and_reason() -> None:
    closed = ours.ConnectionClosed(CLOSE, None)
    assert (closed.code, closed.reason) == (1001, "bye")
    closed = ours.ConnectionClosed(None, CLOSE)
    assert (closed.code, closed.reason) == (CloseCode.ABNORMAL_CLOSURE, "")


def test_order_goes_with_two_close_frames() -> None:
    with pytest.raises(ValueError, match="rcvd_then_sent"):
        ours.ConnectionClosed(CLOSE, None, True)
    with pytest.raises(ValueError, match="rcvd_then_sent"):
        ours.ConnectionClosed(CLOSE, CLOSE)


@pytest.mark.parametrize(
    ("kind", "bases"),
    [
        (conversation.ConversationClosedOK, [ours.ConnectionClosedOK, asyncio.IncompleteReadError]),
        (
            conversation.ConversationClosedError,
            [ours.ConnectionClosedError, asyncio.IncompleteReadError, EOFError],
        ),
        (
            conversation.ConversationFrameError,
            [ours.ConnectionClosedError, asyncio.IncompleteReadError, ours.FrameError],
        ),
        (
            conversation.ConversationStatusError,
            [ours.InvalidStatus, ours.HandShakeError, ConnectionError, OSError],
        ),
        (conversation.ConversationMessageError, [ours.InvalidMessage, ours.HandShakeError]),
    ],
)
def test_classes_of_aiowebsocket(kind: type[Exception], bases: list[type]) -> None:
    for base in bases:
        assert issubclass(kind, base)


def test_stream_attributes() -> None:
    closed = make(conversation.ConversationClosedError)
    assert isinstance(closed, asyncio.IncompleteReadError)
    assert (closed.partial, closed.expected) == (b"", None)
    twin = pickle.loads(pickle.dumps(closed))
    assert (twin.partial, twin.expected, twin.rcvd) == (b"", None, CLOSE)


def test_status_keeps_the_text_of_aiowebsocket() -> None:
    error = conversation.ConversationStatusError(RESPONSE)
    assert str(error) == "Connection failed,status code:404"
    assert error.response.body == b"nothing"


def test_every_handshake_error_of_the_core_has_its_twin() -> None:
    for kind, twin in conversation._OWN.items():
        assert issubclass(twin, kind) and issubclass(twin, ours.HandShakeError)


def test_reason_phrase_that_is_not_utf8_can_be_printed() -> None:
    response = Response(403, "N\udce9", Headers())
    for kind in (ours.InvalidStatus, ours.InvalidProxyStatus):
        assert "403 N\\udce9," in str(kind(response)).encode().decode()
