// Arguments that are wrong: NULL out-parameters, sizes, values out of their range.
#include "harness.h"

static aiows_loop *loop;
static aiows_conn *conn;
static aiows_error e = { .size = sizeof e };

#define WRONG(call) CHECK_RC(call, AIOWS_ERR_ARGUMENT)

static void refused(int32_t rc, int32_t want, const char *text)
{
	CHECK_RC(rc, want);
	CHECK_INT(e.code, want);
	if (strstr(e.message, text) == NULL)
		CHECK_TEXT(e.message, text);
	memset(&e, 0, sizeof e);
	e.size = sizeof e;
	CHECK(conn == NULL);
}

static void poll_checks_its_arguments(void)
{
	aiows_event event;
	size_t n = 5;
	loop = begin();
	WRONG(aiows_poll(loop, &event, 1, 0, NULL));
	WRONG(aiows_poll(loop, NULL, 1, 0, &n));
	CHECK_INT(n, 0);
	WRONG(aiows_poll(loop, &event, 0, 0, &n));
	WRONG(aiows_poll(loop, &event, SIZE_MAX, 0, &n));
	WRONG(aiows_poll(loop, &event, 1, -3, &n));
	WRONG(aiows_poll(loop, &event, 1, INT32_MIN, &n));
	void *data;
	WRONG(aiows_event_take(loop, NULL, &data, &n));
	WRONG(aiows_event_take(loop, &event, NULL, &n));
	WRONG(aiows_event_take(loop, &event, &data, NULL));
	finish(loop);
}

static void connect_checks_its_arguments(void)
{
	loop = begin();
	refused(aiows_connect(loop, NULL, NULL, 0, &conn, &e), AIOWS_ERR_ARGUMENT, "uri is NULL");
	refused(aiows_connect(loop, "ws://127.0.0.1:1/", NULL, 0, NULL, &e), AIOWS_ERR_ARGUMENT,
	        "conn_out is NULL");
	refused(aiows_connect(loop, "http://127.0.0.1/", NULL, 0, &conn, &e), AIOWS_ERR_URI,
	        "http");
	refused(aiows_connect(loop, "", NULL, 0, &conn, &e), AIOWS_ERR_URI, "");
	CHECK_RC(aiows_connect(loop, "", NULL, 0, &conn, NULL), AIOWS_ERR_URI);
	finish(loop);
}

#define TRY(field, value, want, text)                                                              \
	do {                                                                                       \
		aiows_connect_options_init(&o, sizeof o);                                          \
		aiows_conn_options_init(&c, sizeof c);                                             \
		o.conn = &c;                                                                       \
		field = value;                                                                     \
		refused(aiows_connect(loop, "ws://127.0.0.1:1/", &o, 0, &conn, &e), want, text);   \
	} while (0)

static void connect_options_are_checked(void)
{
	aiows_connect_options o;
	aiows_conn_options c;
	aiows_header bad = { "Name", NULL };
	aiows_header split = { "Name", "a\r\nb: c" };
	const char *no_text[] = { "ok", NULL };
	loop = begin();

	TRY(o.port, -1, AIOWS_ERR_ARGUMENT, "port is -1");
	TRY(o.port, 65536, AIOWS_ERR_ARGUMENT, "port is 65536");
	TRY(o.host, "", AIOWS_ERR_ARGUMENT, "host is empty");
	TRY(o.server_name, "", AIOWS_ERR_ARGUMENT, "server_name is empty");
	TRY(o.origin, "", AIOWS_ERR_ARGUMENT, "origin is empty");
	TRY(o.open_timeout_ms, -1, AIOWS_ERR_ARGUMENT, "open_timeout_ms is -1");
	TRY(o.open_timeout_ms, INT64_MAX, AIOWS_ERR_ARGUMENT, "open_timeout_ms is");
	TRY(o.n_headers, 1, AIOWS_ERR_ARGUMENT, "headers is NULL");
	TRY(o.n_subprotocols, 2, AIOWS_ERR_ARGUMENT, "subprotocols is NULL");
	TRY(o.n_raw_lines, 2, AIOWS_ERR_ARGUMENT, "raw_lines is NULL");
	TRY(o.n_headers = SIZE_MAX; o.headers, &bad, AIOWS_ERR_ARGUMENT, "n_headers is");
	TRY(o.n_headers = 1; o.headers, &bad, AIOWS_ERR_ARGUMENT, "headers[0]");
	TRY(o.n_headers = 1; o.headers, &split, AIOWS_ERR_HEADER, "");
	TRY(o.n_subprotocols = 2; o.subprotocols, no_text, AIOWS_ERR_ARGUMENT, "subprotocols[1]");
	TRY(o.size, 0, AIOWS_ERR_ARGUMENT, "size of aiows_connect_options is 0");
	TRY(o.size, 12, AIOWS_ERR_ARGUMENT, "size of aiows_connect_options is 12");
	TRY(o.size, 0xffffffff, AIOWS_ERR_ARGUMENT, "size of aiows_connect_options");
	TRY(o.tls, (aiows_tls *)1, AIOWS_ERR_HANDLE, "tls");

	TRY(c.size, 1, AIOWS_ERR_ARGUMENT, "size of aiows_conn_options is 1");
	TRY(c.auto_pong, 2, AIOWS_ERR_ARGUMENT, "auto_pong is 2");
	TRY(c.auto_close, -1, AIOWS_ERR_ARGUMENT, "auto_close is -1");
	TRY(c.compression, 2, AIOWS_ERR_ARGUMENT, "compression is 2");
	TRY(c.close_timeout_ms, -1, AIOWS_ERR_ARGUMENT, "close_timeout_ms is -1");
	TRY(c.ping_interval_ms, -5, AIOWS_ERR_ARGUMENT, "ping_interval_ms is -5");
	TRY(c.ping_timeout_ms, -5, AIOWS_ERR_ARGUMENT, "ping_timeout_ms is -5");
	TRY(c.write_low, 65537, AIOWS_ERR_ARGUMENT, "write_low is 65537");
	TRY(c.reserved, 7, AIOWS_ERR_ARGUMENT, "reserved is 7");
	TRY(c.stream, 2, AIOWS_ERR_ARGUMENT, "stream is 2");
	TRY(c.log_frames, 2, AIOWS_ERR_ARGUMENT, "log_frames is 2");
	TRY(c.reserved3, 7, AIOWS_ERR_ARGUMENT, "reserved is 7");
	finish(loop);
}

// An older program's struct is shorter, a newer one's longer.
static void structs_of_other_versions_are_taken(void)
{
	union {
		aiows_conn_options options;
		unsigned char bytes[sizeof(aiows_conn_options) + 16];
	} u;
	aiows_connect_options o;
	loop = begin();
	aiows_connect_options_init(&o, sizeof o);
	o.conn = &u.options;

	memset(&u, 0xff, sizeof u);
	aiows_conn_options_init(&u.options, offsetof(aiows_conn_options, ping_interval_ms));
	CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", &o, 0, &conn, NULL), AIOWS_OK);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);

	memset(&u, 0xff, sizeof u);
	aiows_conn_options_init(&u.options, sizeof u);
	CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", &o, 0, &conn, NULL), AIOWS_OK);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	conn = NULL;

	u.bytes[sizeof(aiows_conn_options) + 9] = 1;
	refused(aiows_connect(loop, "ws://127.0.0.1:1/", &o, 0, &conn, &e), AIOWS_ERR_UNSUPPORTED,
	        "does not know");
	finish(loop);
}

static void errors_fit_the_callers_size(void)
{
	struct {
		aiows_error error;
		char guard[16];
	} room;
	loop = begin();
	for (uint32_t n = 0; n <= sizeof room.error; n++) {
		memset(&room, 'x', sizeof room);
		room.error.size = n;
		CHECK_RC(aiows_connect(loop, "http://127.0.0.1/", NULL, 0, &conn, &room.error),
		         AIOWS_ERR_URI);
		CHECK_INT(room.error.size, n);
		int used = n >= 8 && n % 8 == 0;
		if (used)
			CHECK_INT(room.error.code, AIOWS_ERR_URI);
		for (size_t i = used ? n : 4; i < sizeof room; i++)
			CHECK_INT(((char *)&room)[i], 'x');
		if (used && n > offsetof(aiows_error, message))
			CHECK(memchr(room.error.message, 0, n - offsetof(aiows_error, message)) !=
			      NULL);
	}
	finish(loop);
}

static void a_call_that_succeeds_leaves_the_error_alone(void)
{
	aiows_error mine;
	memset(&mine, 0x5a, sizeof mine);
	mine.size = sizeof mine;
	loop = begin();
	CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", NULL, 0, &conn, &mine), AIOWS_OK);
	CHECK_INT(mine.code, 0x5a5a5a5a);
	CHECK_INT(mine.message[0], 0x5a);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	conn = NULL;
	finish(loop);
}

static void long_messages_are_cut_at_a_character(void)
{
	char uri[2048] = "http://";
	for (int i = 0; i < 400; i++)
		strcat(uri, "\xe2\x82\xac");
	loop = begin();
	CHECK(aiows_connect(loop, uri, NULL, 0, &conn, &e) < 0);
	size_t n = strlen(e.message);
	CHECK(n < sizeof e.message);
	CHECK(n < 2 || ((unsigned char)e.message[n - 1] & 0xc0) != 0xc0);
	finish(loop);
}

static void senders_check_their_arguments(void)
{
	loop = begin();
	pair p = open_pair(loop, NULL, NULL);
	aiows_conn *c = p.client;
	aiows_slice slices[2] = { { "x", 1 }, { NULL, 1 } };
	char reason[200];
	size_t n;
	memset(reason, 'r', sizeof reason);
	reason[124] = 0;

	WRONG(aiows_send(c, 0, 0, "x", 1));
	WRONG(aiows_send(c, 3, 0, "x", 1));
	WRONG(aiows_send(c, -1, 0, "x", 1));
	WRONG(aiows_send(c, AIOWS_TEXT, 16, "x", 1));
	WRONG(aiows_send(c, AIOWS_TEXT, 0, NULL, 1));
	WRONG(aiows_send(c, AIOWS_TEXT, 0, "x", SIZE_MAX));
	CHECK_RC(aiows_send(c, AIOWS_TEXT, AIOWS_COMPRESS, "x", 1), AIOWS_ERR_UNSUPPORTED);
	CHECK_RC(aiows_send(c, AIOWS_TEXT, 0, "\xff", 1), AIOWS_ERR_UTF8);
	WRONG(aiows_send_fragment(c, AIOWS_TEXT, 0, 2, "x", 1));
	WRONG(aiows_send_fragment(c, 9, 0, 1, "x", 1));
	WRONG(aiows_send_many(c, AIOWS_TEXT, 0, slices, 2, &n));
	WRONG(aiows_send_many(c, AIOWS_TEXT, 0, NULL, 2, &n));
	WRONG(aiows_send_many(c, AIOWS_TEXT, 0, slices, 1, NULL));
	WRONG(aiows_send_many(c, AIOWS_TEXT, 0, slices, SIZE_MAX, &n));
	CHECK_RC(aiows_send_many(c, AIOWS_TEXT, 0, NULL, 0, &n), AIOWS_OK);
	WRONG(aiows_ping(c, NULL, 1));
	WRONG(aiows_ping(c, reason, 126));
	WRONG(aiows_pong(c, reason, 126));
	WRONG(aiows_close(c, 999, NULL));
	WRONG(aiows_close(c, 1004, NULL));
	WRONG(aiows_close(c, 1005, NULL));
	WRONG(aiows_close(c, 1006, NULL));
	WRONG(aiows_close(c, 1015, NULL));
	WRONG(aiows_close(c, 2999, NULL));
	WRONG(aiows_close(c, 5000, NULL));
	WRONG(aiows_close(c, -1, NULL));
	WRONG(aiows_close(c, 66536, NULL));
	WRONG(aiows_close(c, 1000, reason));
	WRONG(aiows_close(c, 1000, "\xff"));
	WRONG(aiows_close(c, 0, "reason without a code"));
	WRONG(aiows_buffered(c, NULL));
	WRONG(aiows_feed(c, NULL, 1));
	WRONG(aiows_feed(c, "x", SIZE_MAX));
	WRONG(aiows_feed_end(c, -1, NULL));
	size_t drained = 9;
	WRONG(aiows_drain(c, NULL, 1, &drained));
	CHECK_INT(drained, 0);
	WRONG(aiows_drain(c, reason, sizeof reason, NULL));
	CHECK_RC(aiows_take_socket(c), AIOWS_ERR_STATE);
	CHECK_RC(aiows_feed(c, "x", 1), AIOWS_ERR_STATE);
	CHECK_RC(aiows_feed_end(c, 0, NULL), AIOWS_ERR_STATE);
	CHECK_RC(aiows_drain(c, reason, 1, &drained), AIOWS_ERR_STATE);
	WRONG(aiows_conn_info(c, NULL));
	WRONG(aiows_conn_stats(c, NULL));
	WRONG(aiows_conn_error(c, NULL));
	aiows_conn_info_t info = { .size = 0 };
	WRONG(aiows_conn_info(c, &info));
	info.size = sizeof info + 1;
	WRONG(aiows_conn_info(c, &info));
	aiows_error mine = { .size = sizeof mine };
	CHECK_RC(aiows_conn_error(c, &mine), AIOWS_ERR_STATE);
	aiows_loop_stats_t stats = { .size = 7 };
	WRONG(aiows_loop_stats(loop, &stats));
	WRONG(aiows_loop_stats(loop, NULL));

	close_pair(loop, &p);
	finish(loop);
}

static void outputs_fit_the_callers_size(void)
{
	struct {
		aiows_loop_stats_t stats;
		uint64_t more[2];
	} room;
	loop = begin();
	memset(&room, 0xee, sizeof room);
	room.stats.size = 24;
	CHECK_RC(aiows_loop_stats(loop, &room.stats), AIOWS_OK);
	CHECK_INT(room.stats.size, 24);
	CHECK_INT(room.stats.handles, 1);
	CHECK_INT(room.stats.block_bytes, (int64_t)0xeeeeeeeeeeeeeeee);
	memset(&room, 0xee, sizeof room);
	room.stats.size = sizeof room.stats + 8;
	CHECK_RC(aiows_loop_stats(loop, &room.stats), AIOWS_OK);
	CHECK_INT(room.more[0], 0);
	CHECK_INT(room.more[1], (int64_t)0xeeeeeeeeeeeeeeee);
	finish(loop);
}

#define TRY_LISTEN(field, value, text)                                                             \
	do {                                                                                       \
		aiows_listen_options_init(&o, sizeof o);                                           \
		field = value;                                                                     \
		CHECK(aiows_listen(loop, "127.0.0.1", port, &o, 0, &e) == NULL);                   \
		refused(e.code, AIOWS_ERR_ARGUMENT, text);                                         \
	} while (0)

static void listen_checks_its_arguments(void)
{
	aiows_listen_options o;
	int32_t port = 0;
	loop = begin();
	TRY_LISTEN(port, -1, "port is -1");
	TRY_LISTEN(port, 65536, "port is 65536");
	port = 0;
	TRY_LISTEN(o.backlog, -1, "backlog is -1");
	TRY_LISTEN(o.reuse_port, 2, "reuse_port is 2");
	TRY_LISTEN(o.max_handshakes, 0, "max_handshakes is 0");
	TRY_LISTEN(o.open_timeout_ms, -1, "open_timeout_ms is -1");
	TRY_LISTEN(o.size, 5, "size of aiows_listen_options is 5");
	TRY_LISTEN(o.any_request, 2, "any_request is 2");
	TRY_LISTEN(o.fd, -2, "fd is -2");
	TRY_LISTEN(o.fd, 0, "together with a host");
	CHECK(aiows_listen(loop, NULL, 0, NULL, 0, &e) == NULL);
	refused(e.code, AIOWS_ERR_ARGUMENT, "host is NULL");
	CHECK(aiows_listen(loop, "192.0.2.1", 0, NULL, 0, &e) == NULL);
	CHECK_RC(e.code, AIOWS_ERR_SYSTEM);
	CHECK(e.os_errno > 0);
	finish(loop);
}

#define TRY_TLS(field, value, want, text)                                                          \
	do {                                                                                       \
		aiows_tls_options_init(&o, sizeof o);                                              \
		field = value;                                                                     \
		CHECK(aiows_tls_new(&o, &e) == NULL);                                              \
		refused(e.code, want, text);                                                       \
	} while (0)

static void tls_options_are_checked(void)
{
	aiows_tls_options o;
	const char *alpn[] = { "" }, *pins[] = { "ab" }, *suites[] = { "TLS_AES_128_GCM_SHA256" };
	loop = begin();
	TRY_TLS(o.server, 2, AIOWS_ERR_ARGUMENT, "server is 2");
	TRY_TLS(o.server, 1, AIOWS_ERR_ARGUMENT, "no certificate");
	TRY_TLS(o.key_file, "/nonexistent", AIOWS_ERR_ARGUMENT, "no certificate");
	TRY_TLS(o.insecure, -1, AIOWS_ERR_ARGUMENT, "insecure is -1");
	TRY_TLS(o.min_version, 0x0302, AIOWS_ERR_ARGUMENT, "min_version is 0x0302");
	TRY_TLS(o.max_version, 0x0301, AIOWS_ERR_ARGUMENT, "TLS 1.0");
	TRY_TLS(o.min_version = 0x0304; o.max_version, 0x0303, AIOWS_ERR_ARGUMENT, "above");
	TRY_TLS(o.n_alpn = 1; o.alpn, alpn, AIOWS_ERR_ARGUMENT, "alpn");
	TRY_TLS(o.n_alpn, 1, AIOWS_ERR_ARGUMENT, "alpn is NULL");
	TRY_TLS(o.ca_file, "", AIOWS_ERR_ARGUMENT, "ca_file is empty");
	TRY_TLS(o.ca_file, "/nonexistent", AIOWS_ERR_CERTIFICATE, "/nonexistent");
	TRY_TLS(o.ca_pem, "no pem", AIOWS_ERR_CERTIFICATE, "");
	TRY_TLS(o.cert_file, "/nonexistent", AIOWS_ERR_CERTIFICATE, "/nonexistent");
	TRY_TLS(o.cert_pem, "no pem", AIOWS_ERR_CERTIFICATE, "");
	TRY_TLS(o.ca_dir, "", AIOWS_ERR_ARGUMENT, "ca_dir is empty");
	TRY_TLS(o.ca_dir, "/nonexistent", AIOWS_ERR_CERTIFICATE, "/nonexistent");
	TRY_TLS(o.key_pem, "", AIOWS_ERR_ARGUMENT, "key_pem is empty");
	TRY_TLS(o.key_password, "", AIOWS_ERR_ARGUMENT, "no certificate");
	TRY_TLS(o.n_pins = 1; o.pins, pins, AIOWS_ERR_ARGUMENT, "pin \"ab\", expected");
	TRY_TLS(o.n_pins, 1, AIOWS_ERR_ARGUMENT, "pins is NULL");
	TRY_TLS(o.n_cipher_suites = 1; o.cipher_suites, suites, AIOWS_ERR_ARGUMENT, suites[0]);
	TRY_TLS(o.any_name, 2, AIOWS_ERR_ARGUMENT, "any_name is 2");
	TRY_TLS(o.insecure = 1; o.any_name, 1, AIOWS_ERR_ARGUMENT, "together with insecure");
	TRY_TLS(o.cert_file = "x"; o.server = 1; o.any_name, 1, AIOWS_ERR_ARGUMENT, "for clients");
	TRY_TLS(o.client_cert_optional, 1, AIOWS_ERR_ARGUMENT, "client_cert_optional");
	finish(loop);
}

#define TESTS(X)                                                                                   \
	X(poll_checks_its_arguments)                                                               \
	X(connect_checks_its_arguments)                                                            \
	X(connect_options_are_checked)                                                             \
	X(structs_of_other_versions_are_taken)                                                     \
	X(errors_fit_the_callers_size)                                                             \
	X(a_call_that_succeeds_leaves_the_error_alone)                                             \
	X(long_messages_are_cut_at_a_character)                                                    \
	X(senders_check_their_arguments)                                                           \
	X(outputs_fit_the_callers_size)                                                            \
	X(listen_checks_its_arguments)                                                             \
	X(tls_options_are_checked)
HARNESS_MAIN(TESTS)
