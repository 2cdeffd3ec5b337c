"""Header fields."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from aiows import Headers, MultipleValuesError
from aiows.headers import field_list


def test_lookup_ignores_case_and_keeps_spelling() -> None:
    headers = Headers({"X-One": "1"}, Two="2")
    assert headers["x-one"] == "1" and headers["TWO"] == "2"
    assert "x-ONE" in headers and "three" not in headers and 5 not in headers
    assert list(headers) == ["x-one", "two"]
    assert list(headers.raw_items()) == [("X-One", "1"), ("Two", "2")]
    assert str(headers) == "X-One: 1\r\nTwo: 2\r\n\r\n"


def test_several_values() -> None:
    headers = Headers([("Set-Cookie", "a"), ("set-cookie", "b")])
    assert headers.get_all("SET-COOKIE") == ["a", "b"]
    assert len(headers) == 1
    with pytest.raises(MultipleValuesError, match="Set-Cookie"):
        headers["Set-Cookie"]
    headers["Set-Cookie"] = "c"
    assert headers.get_all("set-cookie") == ["a", "b", "c"]
    del headers["SET-COOKIE"]
    assert not headers and headers.get("Set-Cookie") is None


def test_missing() -> None:
    with pytest.raises(KeyError):
        Headers()["a"]
    with pytest.raises(KeyError):
        del Headers()["a"]
    assert Headers().get_all("a") == []


def test_copy_and_equality() -> None:
    headers = Headers(a="1", b="2")
    twin = headers.copy()
    assert twin == headers == Headers([("B", "2"), ("A", "1")])
    twin["c"] = "3"
    assert twin != headers and headers != {"a": "1", "b": "2"}
    twin.clear()
    assert len(twin) == 0


class Mappish:
    def keys(self) -> Iterable[str]:
        return ["a"]

    def __getitem__(self, key: str) -> str:
        return "1"


@pytest.mark.parametrize(
    "fields", [{"a": "1"}, [("a", "1")], (("a", "1") for _ in "x"), Mappish(), Headers(a="1")]
)
def test_kinds_of_fields(fields: object) -> None:
    assert field_list(fields) == [("a", "1")]


def test_numbers_become_text_and_blanks_go() -> None:
    assert field_list({"Sec-WebSocket-Version": 13, "x": " \ty "}) == [
        ("Sec-WebSocket-Version", "13"),
        ("x", "y"),
    ]


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ("a: b", TypeError, "mapping or pairs"),
        (b"a: b", TypeError, "mapping or pairs"),
        (5, TypeError, "mapping or pairs"),
        (["ab"], TypeError, "pairs"),
        ([("a", "b", "c")], TypeError, "pairs"),
        ([5], TypeError, "pairs"),
        ({5: "b"}, TypeError, "name must be str"),
        ({"a": b"b"}, TypeError, "'a'"),
        ({"a": None}, TypeError, "'a'"),
        ({"a": True}, TypeError, "'a'"),
        ({"": "b"}, ValueError, "token"),
        ({"a b": "c"}, ValueError, "a b"),
        ({"a:": "c"}, ValueError, "a:"),
        ({"a\r\nb": "c"}, ValueError, "token"),
        ({"a": "b\r\nInjected: 1"}, ValueError, r"'a' holds '\\r'"),
        ({"a": "b\nc"}, ValueError, r"holds '\\n' at index 1"),
        ({"a": "b\0"}, ValueError, r"holds '\\x00'"),
    ],
)
def test_refused(fields: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        field_list(fields)
    with pytest.raises(error):
        Headers(fields)  # type: ignore[arg-type]
