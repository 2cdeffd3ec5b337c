"""Tests of packages that fail on aiows, by the identifier of the reason in docs/differences.md."""

from __future__ import annotations

_QUERY = "tests/test_websocket_query.py::"
_PHOENIX = "tests/test_phoenix_channel_query.py::"
_UVICORN = "tests/protocols/test_websocket.py::"

EXPECTED: dict[str, dict[str, str]] = {
    "gql": {
        "tests/test_websocket_exceptions.py::test_websocket_server_closing_after_ack": "texts",
        "tests/test_graphqlws_exceptions.py::test_graphqlws_server_closing_after_ack": "texts",
        f"{_QUERY}test_websocket_using_ssl_connection_self_cert_fail": "texts",
        f"{_PHOENIX}test_phoenix_channel_query_ssl_self_cert_fail": "texts",
    },
    "uvicorn": {
        f"{_UVICORN}test_client_connection_lost": "internals",
        f"{_UVICORN}test_supports_permessage_deflate_extension": "internals",
        f"{_UVICORN}test_can_disable_permessage_deflate_extension": "internals",
        f"{_UVICORN}test_server_keepalive_ping_timeout": "internals",
        f"{_UVICORN}test_headers": "header-encoding",
    },
}
