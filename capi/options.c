// The defaults of every options struct. Plain C: works before Go and after fork.
#include "shim.h"
#include "sized.h"

const aiows_loop_options default_loop_options = {
	.size = sizeof default_loop_options,
	.watchdog = 1,
};

const aiows_tls_options default_tls_options = {
	.size = sizeof default_tls_options,
	.min_version = 0x0303,
};

const aiows_conn_options default_conn_options = {
	.size = sizeof default_conn_options,
	.auto_pong = 1,
	.auto_close = 1,
	.close_timeout_ms = 10000,
	.ping_interval_ms = 20000,
	.ping_timeout_ms = 20000,
	.max_message_size = 1 << 20,
	.write_high = 64 << 10,
	.write_low = 16 << 10,
	.read_ahead = 1 << 20,
};

const aiows_connect_options default_connect_options = {
	.size = sizeof default_connect_options,
	.open_timeout_ms = 10000,
	.fd = -1,
	.interleave = 1,
	.happy_eyeballs_delay_ms = 250,
	.tls_handshake_timeout_ms = 60000,
	.tls_shutdown_timeout_ms = 30000,
	.proxy_tls_handshake_timeout_ms = 60000,
	.proxy_tls_shutdown_timeout_ms = 30000,
	.max_redirects = 10,
};

const aiows_listen_options default_listen_options = {
	.size = sizeof default_listen_options,
	.backlog = 1024,
	.max_handshakes = 1024,
	.open_timeout_ms = 10000,
	.fd = -1,
};

const aiows_accept_options default_accept_options = { .size = sizeof default_accept_options };

#define INIT(name)                                                                                 \
	void aiows_##name##_init(aiows_##name *options, size_t size)                               \
	{                                                                                          \
		sized_init(options, size, &default_##name, sizeof default_##name);                 \
	}

INIT(loop_options)
INIT(tls_options)
INIT(conn_options)
INIT(connect_options)
INIT(listen_options)
INIT(accept_options)
