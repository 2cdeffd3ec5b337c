"""
Names that no scenario covers, each with the reason. Reviewed by hand.

A name is to be here for one of two reasons: it is public in websockets by
accident, or it is aiows's own and tested elsewhere.
"""

from __future__ import annotations

# Of ClientConnection in websockets: the callbacks that make it an asyncio.Protocol, the layers
# below it and its own bookkeeping. Its documentation mentions none of them.
ACCIDENTAL = {
    "asyncio": {
        "called by the transport (asyncio.Protocol)": (
            "connection_made connection_lost data_received eof_received pause_writing "
            "resume_writing"
        ),
        "steps of its own that connect, the transport and its methods call": (
            "handshake process_event acknowledge_pings terminate_pending_pings "
            "keepalive start_keepalive send_context send_data drain "
            "set_connection_exc close_exc"
        ),
        "the layers below": "protocol transport loop recv_messages",
        "parameters of connect, kept": (
            "ping_interval ping_timeout close_timeout max_queue_high max_queue_low "
            "write_limit_high write_limit_low debug"
        ),
        "state between its steps": (
            "close_deadline send_in_progress pending_pings keepalive_task "
            "connection_exc connection_lost_waiter paused drain_waiters response_rcvd"
        ),
    },
    "sync": {
        "steps of its own that connect, its threads and its methods call": (
            "handshake process_event acknowledge_pings terminate_pending_pings "
            "keepalive start_keepalive send_context send_data recv_events "
            "set_connection_exc close_exc close_socket maybe_raise_legacy_warning"
        ),
        "the layers below": "protocol socket recv_messages recv_events_thread",
        "parameters of connect, kept": (
            "ping_interval ping_timeout close_timeout debug recv_bufsize"
        ),
        "state between its steps": (
            "close_deadline send_in_progress pending_pings keepalive_thread "
            "connection_exc pending_legacy_warning protocol_mutex response_rcvd "
            "recv_flow_control shutdown_notifier shutdown_watcher"
        ),
    },
}

# Of ClientConnection in aiows, by the test that is about it.
OWN: dict[str, dict[str, str]] = {
    "asyncio": {
        "alpn_protocol": "python/test_client_tls_certificates.py",
        "buffered": "python/test_client_messages.py",
        "error": "python/test_core_dispatch.py",
        "info": "python/test_core_dispatch.py",
        "peer_certificate": "python/test_client_tls_certificates.py",
        "queued": "python/test_client_messages.py",
        "received_at": "python/test_core_dispatch.py",
        "recv_many": "python/test_client_streaming.py",
        "recv_json": "python/test_client_reconnect.py",
        "send_fragment": "python/test_core_sending.py",
        "send_json": "python/test_client_reconnect.py",
        "send_nowait": "python/test_client_messages.py",
        "stats": "python/test_client_stats.py",
        "stats_": "python/test_core_dispatch.py",
        "tls_cipher_suite": "python/test_client_tls_certificates.py",
        "tls_version": "python/test_client_tls_certificates.py",
        "uri": "python/test_client_reconnect.py",
    },
    "sync": {
        # What both clients have is the same code, tested with the asyncio client.
        "alpn_protocol": "python/test_client_tls_certificates.py",
        "buffered": "python/test_sync_threads.py",
        "error": "python/test_core_dispatch.py",
        "info": "python/test_core_dispatch.py",
        "paused": "python/test_sync_messages.py",
        "peer_certificate": "python/test_client_tls_certificates.py",
        "queued": "python/test_sync_messages.py",
        "received_at": "python/test_sync_messages.py",
        "recv_json": "python/test_sync_messages.py",
        "recv_many": "python/test_sync_messages.py",
        "send_json": "python/test_sync_messages.py",
        "stats": "python/test_sync_closing.py",
        "stats_": "python/test_core_dispatch.py",
        "tls_cipher_suite": "python/test_client_tls_certificates.py",
        "tls_version": "python/test_client_tls_certificates.py",
        "uri": "python/test_sync_messages.py",
    },
}
