"""What compression= and the factories of extensions= take, refuse and tell the core."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from websockets.extensions import permessage_deflate as theirs

from aiows import AioWebSocket, connect, serve
from aiows._options import compression_options
from aiows.extensions import permessage_deflate as ours
from aiows.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

URI = "ws://127.0.0.1:9/"
NAMES = ["ClientPerMessageDeflateFactory", "ServerPerMessageDeflateFactory"]
FACTORIES = [ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory]


def new_server(**options: Any) -> serve:
    return serve(None, "127.0.0.1", 0, on_message=print, **options)


MAKERS = [
    lambda **options: connect(URI, **options),
    lambda **options: AioWebSocket(URI, **options),
    new_server,
]


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_of_websockets(name: str) -> None:
    def parameters(module: Any) -> list[tuple[str, Any, Any]]:
        signature = inspect.signature(getattr(module, name))
        return [(one.name, one.kind, one.default) for one in signature.parameters.values()]

    assert parameters(ours) == parameters(theirs)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("window", ["server_max_window_bits", "client_max_window_bits"])
@pytest.mark.parametrize("bits", [None, 0, 7, 8, 9, 15, 16, -1, 100])
def test_windows_are_those_of_websockets(name: str, window: str, bits: Any) -> None:
    expected = None
    try:
        getattr(theirs, name)(**{window: bits})
    except ValueError as error:
        expected = str(error)
    if expected is None:
        factory = getattr(ours, name)(**{window: bits})
        assert getattr(factory, window) == bits
        assert factory._core()[window] == (bits or 0)
    else:
        with pytest.raises(ValueError, match=f"^{expected}, got {bits}$"):
            getattr(ours, name)(**{window: bits})


@pytest.mark.parametrize("name", NAMES)
def test_other_refusals_of_websockets(name: str) -> None:
    refused: list[dict[str, Any]] = [{"compress_settings": {"wbits": -12}}]
    if name.startswith("Server"):
        refused.append({"require_client_max_window_bits": True})
    for options in refused:
        with pytest.raises(ValueError) as expected:
            getattr(theirs, name)(**options)
        with pytest.raises(ValueError) as found:
            getattr(ours, name)(**options)
        assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"server_no_context_takeover": 1}, TypeError, "server_no_context_takeover.* got 1"),
        ({"client_no_context_takeover": "no"}, TypeError, "client_no_context_takeover.*'no'"),
        ({"server_max_window_bits": "12"}, TypeError, "server_max_window_bits.*'12'"),
        ({"server_max_window_bits": True}, TypeError, "server_max_window_bits.*True"),
        ({"client_max_window_bits": 12.0}, TypeError, "client_max_window_bits.*12.0"),
        ({"compress_settings": 9}, TypeError, "compress_settings.* got 9"),
        ({"compress_settings": {"strategy": 2}}, ValueError, "must not include strategy"),
        ({"compress_settings": {"zdict": b"x"}}, ValueError, "must not include zdict"),
        ({"compress_settings": {"level": 0}}, ValueError, "level = 0, expected -1 or 1 to 9"),
        ({"compress_settings": {"level": 10}}, ValueError, "level = 10, expected"),
        ({"compress_settings": {"level": -2}}, ValueError, "level = -2, expected"),
        ({"compress_settings": {"level": "9"}}, TypeError, "level = '9', expected int"),
        ({"compress_settings": {"memLevel": 0}}, ValueError, "memLevel = 0, expected 1 to 9"),
        ({"compress_settings": {"memLevel": 10}}, ValueError, "memLevel = 10, expected 1 to 9"),
        ({"compress_settings": {"memLevel": True}}, TypeError, "memLevel = True, expected int"),
    ],
)
def test_factory_refuses(
    factory: Any, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        factory(**options)


def test_server_cannot_leave_its_choice_to_itself() -> None:
    with pytest.raises(TypeError, match=r"client_max_window_bits.*True"):
        ServerPerMessageDeflateFactory(client_max_window_bits=True)


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize(
    ("settings", "level", "history"),
    [
        (None, 0, 0),
        ({}, 0, 1536),
        ({"level": -1}, 0, 1536),
        ({"level": 1}, 1, 1536),
        ({"level": 9, "memLevel": 5}, 9, 1536),
        ({"memLevel": 1}, 0, 96),
        ({"memLevel": 4}, 0, 768),
        ({"memLevel": 8}, 0, 12288),
        ({"memLevel": 9}, 0, 24576),
    ],
)
def test_settings_for_the_core(factory: Any, settings: Any, level: int, history: int) -> None:
    told = factory(compress_settings=settings)._core()
    assert (told["level"], told["history"]) == (level, history)


def test_what_the_core_is_told() -> None:
    offer = ClientPerMessageDeflateFactory(True, False, 8, True)
    assert compression_options(None, [offer], server=False) == {
        "compression": 1,
        "deflate": [
            {
                "server_no_context_takeover": True,
                "client_no_context_takeover": False,
                "server_max_window_bits": 8,
                "client_max_window_bits": -1,
                "level": 0,
                "history": 0,
            }
        ],
    }
    accepted = ServerPerMessageDeflateFactory(False, True, 9, 15, {"level": 3}, True)
    assert compression_options("deflate", iter([accepted]), server=True)["deflate"] == [
        {
            "server_no_context_takeover": False,
            "client_no_context_takeover": True,
            "require_client_max_window_bits": True,
            "server_max_window_bits": 9,
            "client_max_window_bits": 15,
            "level": 3,
            "history": 1536,
        }
    ]
    for nothing in (None, [], ()):
        assert compression_options("deflate", nothing, server=True) == {"compression": 1}
        assert compression_options(None, nothing, server=True) == {"compression": 0}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("value", ["gzip", "", True, False, 0, 1, b"deflate", "Deflate"])
def test_compression_is_refused(make: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=f"compression = {value!r}, expected 'deflate' or None"):
        make(compression=value)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "got 5"),
        ("permessage-deflate", "got 'permessage-deflate'"),
        ([None], "got None of type builtins.NoneType"),
        ([theirs.ClientPerMessageDeflateFactory()], "of type websockets.extensions"),
        ([theirs.ServerPerMessageDeflateFactory()], "of type websockets.extensions"),
    ],
)
def test_extensions_are_refused(make: Any, value: Any, text: str) -> None:
    with pytest.raises(TypeError, match=f"PerMessageDeflateFactory, .*{text}"):
        make(extensions=value)


def test_factories_of_the_other_role_are_refused() -> None:
    with pytest.raises(TypeError, match=r"a list of aiows.*ClientPer.*ServerPerMessage"):
        connect(URI, extensions=[ServerPerMessageDeflateFactory()])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"a list of aiows.*ServerPer.*ClientPerMessage"):
        new_server(extensions=[ClientPerMessageDeflateFactory()])


@pytest.mark.parametrize("make", MAKERS)
def test_more_factories_than_the_core_takes(make: Any) -> None:
    factory = FACTORIES[make is new_server]
    make(extensions=[factory()] * 16)
    with pytest.raises(ValueError, match="extensions has 17 factories, expected at most 16"):
        make(extensions=[factory()] * 17)


@pytest.mark.parametrize("factory", FACTORIES)
def test_repr_can_be_evaluated(factory: Any) -> None:
    made = factory(server_max_window_bits=11, compress_settings={"level": 4})
    again = eval(repr(made), {factory.__name__: factory})
    assert vars(again) == vars(made)


def test_on_by_default() -> None:
    def default(what: Any) -> Any:
        return inspect.signature(what).parameters["compression"].default

    assert (default(connect), default(serve), default(AioWebSocket)) == ("deflate", "deflate", None)


@pytest.mark.parametrize(
    "value",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        'permessage-deflate;server_max_window_bits="10" ; client_max_window_bits = 8',
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover, "
        "permessage-deflate",
    ],
)
def test_pasted_offers(value: str) -> None:
    connect(URI, additional_headers={"Sec-WebSocket-Extensions": value})
    AioWebSocket(URI, {"Sec-WebSocket-Extensions": value})


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        "permessage-deflate;",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; level=9",
        "permessage-bzip2",
    ],
)
def test_pasted_offers_of_something_else(value: str) -> None:
    with pytest.raises(ValueError, match=r"expected offers of permessage-deflate"):
        connect(URI, additional_headers={"Sec-WebSocket-Extensions": value})
