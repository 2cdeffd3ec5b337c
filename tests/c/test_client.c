// A client against the server of another library, whose address the runner sets.
#include "harness.h"

#include <unistd.h>

static aiows_loop *loop;

static const char *uri(const char *path)
{
	static char text[256];
	snprintf(text, sizeof text, "%s%s", setting("AIOWS_WS"), path);
	return text;
}

static void check_message(const aiows_event *event, uint16_t kind, const void *data, size_t len)
{
	CHECK_INT(event->type, AIOWS_EV_MESSAGE);
	CHECK_INT(event->kind, kind);
	CHECK_INT(event->len, len);
	CHECK(event->flags & AIOWS_EVF_FIN);
	CHECK(event->time_ns > 0);
	CHECK(len == 0 || memcmp(payload(event), data, len) == 0);
}

static void expect(uint16_t kind, const void *data, size_t len)
{
	aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
	check_message(&event, kind, data, len);
}

static void messages_come_back(void)
{
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/echo"), NULL);
	static char big[1 << 20];
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)(i * 2654435761u >> 13);

	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "gr\xc3\xbc\xc3\x9f", 6), AIOWS_OK);
	expect(AIOWS_TEXT, "gr\xc3\xbc\xc3\x9f", 6);
	CHECK_RC(aiows_send(conn, AIOWS_BINARY, 0, NULL, 0), AIOWS_OK);
	expect(AIOWS_BINARY, NULL, 0);
	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "", 0), AIOWS_OK);
	expect(AIOWS_TEXT, NULL, 0);
	static const size_t sizes[] = { 1, 125, 126, 127, 65535, 65536, sizeof big };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		int32_t rc = aiows_send(conn, AIOWS_BINARY, AIOWS_FORCE, big, sizes[i]);
		CHECK(rc == AIOWS_OK || rc == AIOWS_PENDING);
		expect(AIOWS_BINARY, big, sizes[i]);
	}
	close_conn(loop, conn);
	finish(loop);
}

static void fragments_become_one_message(void)
{
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/echo"), NULL);
	CHECK_RC(aiows_send_fragment(conn, AIOWS_TEXT, 0, 0, "a\xe2", 2), AIOWS_OK);
	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "x", 1), AIOWS_ERR_STATE);
	CHECK_RC(aiows_ping(conn, "between", 7), AIOWS_OK);
	CHECK_RC(aiows_send_fragment(conn, AIOWS_TEXT, 0, 0, "\x82", 1), AIOWS_OK);
	CHECK_RC(aiows_send_fragment(conn, AIOWS_TEXT, 0, 1, "\xac z", 3), AIOWS_OK);
	aiows_event event = wait_event(loop, AIOWS_EV_PONG);
	CHECK_INT(event.len, 7);
	CHECK(memcmp(payload(&event), "between", 7) == 0);
	expect(AIOWS_TEXT, "a\xe2\x82\xac z", 6);
	CHECK_RC(aiows_send_fragment(conn, AIOWS_TEXT, 0, 1, "\xe2", 1), AIOWS_ERR_UTF8);
	close_conn(loop, conn);
	finish(loop);
}

static void pings_are_measured(void)
{
	enum { N = 5 };
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/echo"), NULL);
	aiows_conn_stats_t stats = { .size = sizeof stats };
	CHECK_RC(aiows_conn_stats(conn, &stats), AIOWS_OK);
	CHECK_INT(stats.rtt_samples, 0);
	CHECK_INT(stats.rtt_max_ns, 0);
	for (int i = 0; i < N; i++) {
		CHECK_RC(aiows_ping(conn, &i, sizeof i), AIOWS_OK);
		wait_event(loop, AIOWS_EV_PONG);
	}
	CHECK_RC(aiows_conn_stats(conn, &stats), AIOWS_OK);
	CHECK_INT(stats.rtt_samples, N);
	CHECK(stats.rtt_p50_ns > 0 && stats.rtt_p50_ns <= stats.rtt_p90_ns);
	CHECK(stats.rtt_p90_ns <= stats.rtt_p99_ns && stats.rtt_p99_ns <= stats.rtt_max_ns);
	CHECK(stats.latency_ns > 0 && stats.latency_ns <= stats.rtt_max_ns);
	close_conn(loop, conn);
	finish(loop);
}

// next_line waits for a LOG event and copies its line.
static void next_line(char *line, size_t size)
{
	aiows_event event = wait_event(loop, AIOWS_EV_LOG);
	CHECK(event.len < size);
	CHECK_INT(event.code, 0);
	CHECK(event.time_ns > 0);
	memcpy(line, payload(&event), event.len);
	line[event.len] = 0;
}

static void frames_are_logged(void)
{
	char line[600];
	loop = begin();
	aiows_conn_options conn_options;
	aiows_conn_options_init(&conn_options, sizeof conn_options);
	CHECK_INT(conn_options.log_frames, 0);
	conn_options.log_frames = 1;
	aiows_header cookie = { "Cookie", "id=secret" };
	aiows_connect_options options;
	aiows_connect_options_init(&options, sizeof options);
	options.conn = &conn_options;
	options.headers = &cookie;
	options.n_headers = 1;
	aiows_conn *conn;
	CHECK_RC(aiows_connect(loop, uri("/echo"), &options, 1, &conn, NULL), AIOWS_OK);
	next_line(line, sizeof line);
	CHECK_TEXT(line, "> GET /echo HTTP/1.1");
	int hidden = 0, answered = 0;
	while (!answered) {
		next_line(line, sizeof line);
		CHECK(strstr(line, "secret") == NULL);
		hidden = hidden || strcmp(line, "> Cookie: ***") == 0;
		answered = strcmp(line, "< HTTP/1.1 101 Switching Protocols") == 0;
	}
	CHECK(hidden);
	wait_event(loop, AIOWS_EV_OPEN);
	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "hi", 2), AIOWS_OK);
	do {
		next_line(line, sizeof line);
	} while (strncmp(line, "< ", 2) == 0 && strchr(line, ':') != NULL);
	CHECK_TEXT(line, "> TEXT 'hi' [2 bytes]");
	expect(AIOWS_TEXT, "hi", 2); // batches of one event: the line follows
	next_line(line, sizeof line);
	CHECK_TEXT(line, "< TEXT 'hi' [2 bytes]");
	close_conn(loop, conn);
	finish(loop);
}

static void many_messages_go_at_once(void)
{
	enum { N = 1000 };
	static char texts[N][8];
	static aiows_slice slices[N];
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/echo"), NULL);
	for (int i = 0; i < N; i++) {
		snprintf(texts[i], sizeof texts[i], "%d", i);
		slices[i].data = texts[i];
		slices[i].len = strlen(texts[i]);
	}
	size_t n;
	CHECK_RC(aiows_send_many(conn, AIOWS_TEXT, 0, slices, N, &n), AIOWS_OK);
	CHECK_INT(n, N);
	for (int i = 0; i < N; i++)
		expect(AIOWS_TEXT, texts[i], strlen(texts[i]));

	slices[7].data = "\xff";
	slices[7].len = 1;
	CHECK_RC(aiows_send_many(conn, AIOWS_TEXT, 0, slices, N, &n), AIOWS_ERR_UTF8);
	CHECK_INT(n, 7);
	for (int i = 0; i < 7; i++)
		expect(AIOWS_TEXT, texts[i], strlen(texts[i]));

	aiows_conn_stats_t stats = { .size = sizeof stats };
	CHECK_RC(aiows_conn_stats(conn, &stats), AIOWS_OK);
	CHECK_INT(stats.messages_sent, N + 7);
	CHECK_INT(stats.messages_received, N + 7);
	CHECK(stats.bytes_sent > N && stats.bytes_received > N);
	close_conn(loop, conn);
	finish(loop);
}

static void pings_are_answered(void)
{
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/ping"), NULL);
	aiows_event event = wait_event(loop, AIOWS_EV_PING);
	CHECK_INT(event.len, 13);
	CHECK(memcmp(payload(&event), "are you there", 13) == 0);
	expect(AIOWS_TEXT, "thank you", 9);
	close_conn(loop, conn);

	aiows_conn_options c;
	aiows_conn_options_init(&c, sizeof c);
	c.auto_pong = 0;
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	o.conn = &c;
	conn = open_conn(loop, uri("/ping"), &o);
	wait_event(loop, AIOWS_EV_PING);
	CHECK_RC(aiows_pong(conn, "are you there", 13), AIOWS_OK);
	expect(AIOWS_TEXT, "thank you", 9);
	close_conn(loop, conn);
	finish(loop);
}

static void the_peer_closes(void)
{
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/close"), NULL);
	aiows_event event = wait_event(loop, AIOWS_EV_CLOSING);
	CHECK_INT(event.code, 4001);
	CHECK_INT(event.len, 10);
	event = wait_event(loop, AIOWS_EV_CLOSED);
	CHECK_INT(event.code, 4001);
	CHECK_INT(event.close_sent, 4001);
	CHECK_INT(event.len, 10);
	CHECK(memcmp(payload(&event), "on purpose", 10) == 0);
	CHECK_INT(event.flags & (AIOWS_EVF_CLEAN | AIOWS_EVF_PEER),
	          AIOWS_EVF_CLEAN | AIOWS_EVF_PEER);

	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "x", 1), AIOWS_ERR_CLOSED);
	CHECK_RC(aiows_close(conn, 1000, NULL), AIOWS_ERR_CLOSED);
	aiows_conn_info_t info = { .size = sizeof info };
	CHECK_RC(aiows_conn_info(conn, &info), AIOWS_OK);
	CHECK_INT(info.state, AIOWS_CLOSED);
	CHECK_INT(info.close_received, 4001);
	CHECK_INT(info.close_sent, 4001);
	CHECK_TEXT(info.close_reason_received, "on purpose");
	aiows_error e = { .size = sizeof e, .code = 77 };
	CHECK_RC(aiows_conn_error(conn, &e), AIOWS_OK);
	CHECK_INT(e.code, 0);
	CHECK_TEXT(e.message, "");
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	finish(loop);
}

static void the_peer_vanishes(void)
{
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/drop"), NULL);
	aiows_event event = wait_event(loop, AIOWS_EV_CLOSED);
	CHECK_INT(event.code, 1006);
	CHECK(!(event.flags & AIOWS_EVF_CLEAN));
	aiows_error e = { .size = sizeof e };
	CHECK_RC(aiows_conn_error(conn, &e), AIOWS_OK);
	CHECK_RC(e.code, AIOWS_ERR_LOST);
	CHECK(e.message[0] != 0);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	finish(loop);
}

static void abort_is_told_once(void)
{
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/echo"), NULL);
	CHECK_RC(aiows_abort(conn), AIOWS_OK);
	aiows_event event = wait_any(loop);
	CHECK_INT(event.type, AIOWS_EV_CLOSED);
	CHECK_INT(event.code, 1006);
	no_event(loop);
	aiows_error e = { .size = sizeof e };
	CHECK_RC(aiows_conn_error(conn, &e), AIOWS_OK);
	CHECK_RC(e.code, AIOWS_ERR_ABORTED);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);

	int port;
	int fd = silent(1, &port);
	char nobody[64];
	snprintf(nobody, sizeof nobody, "ws://127.0.0.1:%d/", port);
	CHECK_RC(aiows_connect(loop, nobody, NULL, 5, &conn, NULL), AIOWS_OK);
	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "x", 1), AIOWS_ERR_STATE);
	CHECK_RC(aiows_close(conn, 1000, NULL), AIOWS_OK);
	event = wait_any(loop);
	CHECK_INT(event.type, AIOWS_EV_FAILED);
	CHECK_RC(event.code, AIOWS_ERR_ABORTED);
	CHECK_INT(event.user_data, 5);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	close(fd);
	finish(loop);
}

static void a_refused_handshake_is_described(void)
{
	loop = begin();
	aiows_conn *conn;
	CHECK_RC(aiows_connect(loop, uri("/missing"), NULL, 0, &conn, NULL), AIOWS_OK);
	aiows_event event = wait_any(loop);
	CHECK_INT(event.type, AIOWS_EV_FAILED);
	CHECK_RC(event.code, AIOWS_ERR_STATUS);
	aiows_error e = { .size = sizeof e };
	CHECK_RC(aiows_conn_error(conn, &e), AIOWS_OK);
	CHECK_RC(e.code, AIOWS_ERR_STATUS);
	CHECK_INT(e.http_status, 404);
	CHECK(strstr(e.message, "404") != NULL);
	aiows_conn_info_t info = { .size = sizeof info };
	CHECK_RC(aiows_conn_info(conn, &info), AIOWS_OK);
	CHECK_INT(info.response_status, 404);
	CHECK_TEXT(info.response_reason, "Not Found");
	CHECK_INT(info.response_body_len, 7);
	CHECK(memcmp(info.response_body, "nothing", 7) == 0);
	int found = 0;
	for (size_t i = 0; i < info.n_response_headers; i++)
		if (strcmp(info.response_headers[i].name, "X-Reason") == 0)
			found = strcmp(info.response_headers[i].value, "no such path") == 0;
	CHECK(found);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	finish(loop);
}

static void a_refused_connection_names_errno(void)
{
	loop = begin();
	aiows_conn *conn;
	CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", NULL, 0, &conn, NULL), AIOWS_OK);
	aiows_event event = wait_any(loop);
	CHECK_INT(event.type, AIOWS_EV_FAILED);
	CHECK_RC(event.code, AIOWS_ERR_CONNECT);
	aiows_error e = { .size = sizeof e };
	CHECK_RC(aiows_conn_error(conn, &e), AIOWS_OK);
	CHECK_INT(e.os_errno, 111);
	CHECK(strstr(e.message, "127.0.0.1:1") != NULL);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	finish(loop);
}

static void info_describes_the_connection(void)
{
	aiows_header headers[] = { { "X-One", "1" }, { "X-Two", "zwei" } };
	const char *subprotocols[] = { "chat", "other" };
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	o.origin = "https://example.com";
	o.user_agent = "tests";
	o.headers = headers;
	o.n_headers = 2;
	o.subprotocols = subprotocols;
	o.n_subprotocols = 2;
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/headers?q=1"), &o);
	aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
	char *json = strndup(payload(&event), event.len);
	CHECK(strstr(json, "[\"Origin\", \"https://example.com\"]") != NULL);
	CHECK(strstr(json, "[\"User-Agent\", \"tests\"]") != NULL);
	CHECK(strstr(json, "[\"X-One\", \"1\"], [\"X-Two\", \"zwei\"]") != NULL);
	CHECK(strstr(json, "[\"Sec-WebSocket-Protocol\", \"chat, other\"]") != NULL);
	free(json);

	aiows_conn_info_t info = { .size = sizeof info }, again = { .size = sizeof again };
	CHECK_RC(aiows_conn_info(conn, &info), AIOWS_OK);
	CHECK_INT(info.state, AIOWS_OPEN);
	CHECK_INT(info.server, 0);
	CHECK_INT(info.response_status, 101);
	CHECK_TEXT(info.uri, uri("/headers?q=1"));
	CHECK_TEXT(info.request_target, "/headers?q=1");
	CHECK_TEXT(info.subprotocol, "chat");
	CHECK_TEXT(info.extensions, "");
	CHECK_TEXT(info.tls_version, "");
	CHECK(strncmp(info.local_address, "127.0.0.1:", 10) == 0);
	CHECK(strncmp(info.remote_address, "127.0.0.1:", 10) == 0);
	CHECK(info.n_request_headers >= 8 && info.n_response_headers >= 3);
	CHECK_TEXT(info.request_headers[0].name, "Host");
	for (int i = 0; i < 1000; i++)
		CHECK_RC(aiows_conn_info(conn, &again), AIOWS_OK);
	CHECK(again.uri == info.uri && again.request_headers == info.request_headers);

	CHECK_RC(aiows_close(conn, 1000, "bye"), AIOWS_OK);
	wait_event(loop, AIOWS_EV_CLOSED);
	CHECK_RC(aiows_conn_info(conn, &again), AIOWS_OK);
	CHECK_TEXT(again.close_reason_sent, "bye");
	CHECK_INT(again.close_sent, 1000);
	CHECK_TEXT(info.subprotocol, "chat");
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	finish(loop);
}

static void raw_lines_are_sent_as_they_are(void)
{
	const char *lines[] = { "GET /headers HTTP/1.1",
	                        "host: example.com",
	                        "upgrade: websocket",
	                        "x-odd:  two  spaces",
	                        "connection: Upgrade",
	                        "sec-websocket-version: 13",
	                        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==" };
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	o.raw_lines = lines;
	o.n_raw_lines = sizeof lines / sizeof *lines;
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/ignored"), &o);
	aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
	char *json = strndup(payload(&event), event.len);
	CHECK(strstr(json, "[[\"host\", \"example.com\"], [\"upgrade\", \"websocket\"]") != NULL);
	free(json);
	close_conn(loop, conn);

	aiows_header extra = { "X-Extra", "on top" };
	o.headers = &extra;
	o.n_headers = 1;
	conn = open_conn(loop, uri("/ignored"), &o);
	event = wait_event(loop, AIOWS_EV_MESSAGE);
	json = strndup(payload(&event), event.len);
	CHECK(strstr(json, "[\"X-Extra\", \"on top\"]") != NULL);
	free(json);
	close_conn(loop, conn);

	o.origin = "https://example.com";
	CHECK_RC(aiows_connect(loop, uri("/"), &o, 0, &conn, NULL), AIOWS_ERR_ARGUMENT);
	o.origin = NULL;
	o.subprotocols = lines;
	o.n_subprotocols = 1;
	CHECK_RC(aiows_connect(loop, uri("/"), &o, 0, &conn, NULL), AIOWS_ERR_ARGUMENT);
	o.n_subprotocols = 0;
	o.user_agent = "mine";
	CHECK_RC(aiows_connect(loop, uri("/"), &o, 0, &conn, NULL), AIOWS_ERR_ARGUMENT);
	finish(loop);
}

static void payloads_can_be_taken(void)
{
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/echo"), NULL);
	size_t big = 700000;
	char *text = malloc(big);
	memset(text, 't', big);
	static const int32_t passes[] = { 0, 1 };
	for (size_t i = 0; i < 2; i++) {
		size_t want = passes[i] ? big : 5;
		int32_t rc = aiows_send(conn, AIOWS_BINARY, AIOWS_FORCE, text, want);
		CHECK(rc == AIOWS_OK || rc == AIOWS_PENDING);
		aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
		void *data;
		size_t n;
		CHECK_RC(aiows_event_take(loop, &event, &data, &n), AIOWS_OK);
		CHECK_INT(n, want);
		void *twice;
		size_t m;
		CHECK_RC(aiows_event_take(loop, &event, &twice, &m), AIOWS_ERR_STATE);
		CHECK(twice == NULL && m == 0);
		CHECK_RC(aiows_send(conn, AIOWS_TEXT, AIOWS_FORCE, "next", 4), AIOWS_OK);
		expect(AIOWS_TEXT, "next", 4);
		CHECK(memcmp(data, text, want) == 0);
		aiows_free(data);
	}
	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, NULL, 0), AIOWS_OK);
	aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
	void *data = text;
	size_t n = 1;
	CHECK_RC(aiows_event_take(loop, &event, &data, &n), AIOWS_OK);
	CHECK(data == NULL && n == 0);
	free(text);
	close_conn(loop, conn);
	finish(loop);
}

static void a_flood_comes_in_order_and_in_batches(void)
{
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/flood"), NULL);
	uint32_t next = 0;
	aiows_event events[256];
	while (next < 10000) {
		size_t n;
		CHECK_RC(aiows_poll(loop, events, 256, PATIENCE_MS, &n), AIOWS_OK);
		CHECK(n > 0);
		for (size_t i = 0; i < n; i++) {
			if (events[i].type != AIOWS_EV_MESSAGE)
				continue;
			const unsigned char *p = payload(&events[i]);
			CHECK_INT(events[i].len, 100);
			CHECK_INT((uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3], next);
			next++;
		}
	}
	close_conn(loop, conn);
	finish(loop);
}

static void pause_holds_messages_back(void)
{
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/echo"), NULL);
	CHECK_RC(aiows_pause(conn), AIOWS_OK);
	CHECK_RC(aiows_pause(conn), AIOWS_OK);
	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "x", 1), AIOWS_OK);
	aiows_event event;
	size_t n;
	CHECK_RC(aiows_poll(loop, &event, 1, 100, &n), AIOWS_OK);
	CHECK_INT(n, 0);
	CHECK_RC(aiows_resume(conn), AIOWS_OK);
	CHECK_RC(aiows_resume(conn), AIOWS_OK);
	expect(AIOWS_TEXT, "x", 1);
	close_conn(loop, conn);
	finish(loop);
}

static void a_full_backlog_is_told_and_ends(void)
{
	char path[32];
	loop = begin();
	snprintf(path, sizeof path, "/deaf?%d", (int)getpid());
	aiows_conn *conn = open_conn(loop, uri(path), NULL), *other;
	expect(AIOWS_TEXT, "asleep", 6);
	static char block[65536];
	int32_t rc = AIOWS_OK;
	for (int i = 0; i < 10000 && rc == AIOWS_OK; i++)
		rc = aiows_send(conn, AIOWS_BINARY, 0, block, sizeof block);
	CHECK_RC(rc, AIOWS_ERR_AGAIN);
	size_t pending;
	CHECK_RC(aiows_buffered(conn, &pending), AIOWS_OK);
	CHECK(pending > 65536 - 1);
	CHECK_RC(aiows_send(conn, AIOWS_BINARY, AIOWS_FORCE, block, 1), AIOWS_PENDING);
	snprintf(path, sizeof path, "/wake?%d", (int)getpid());
	CHECK_RC(aiows_connect_blocking(uri(path), NULL, &other, NULL), AIOWS_OK);
	CHECK_RC(aiows_conn_free(other), AIOWS_OK);
	wait_event(loop, AIOWS_EV_WRITABLE);
	CHECK_RC(aiows_buffered(conn, &pending), AIOWS_OK);
	CHECK(pending <= 16384);
	close_conn(loop, conn);
	finish(loop);
}

static void user_data_follows_the_connection(void)
{
	loop = begin();
	aiows_conn *conn;
	CHECK_RC(aiows_connect(loop, uri("/echo"), NULL, UINT64_MAX, &conn, NULL), AIOWS_OK);
	aiows_event event = wait_event(loop, AIOWS_EV_OPEN);
	CHECK_INT(event.user_data, UINT64_MAX);
	CHECK_RC(aiows_conn_set_user_data(conn, 42), AIOWS_OK);
	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "x", 1), AIOWS_OK);
	event = wait_event(loop, AIOWS_EV_MESSAGE);
	CHECK_INT(event.user_data, 42);
	close_conn(loop, conn);
	finish(loop);
}

static void a_freed_connection_is_not_named_again(void)
{
	loop = begin();
	for (int i = 0; i < 20; i++) {
		aiows_conn *conn = open_conn(loop, uri("/echo"), NULL);
		CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "x", 1), AIOWS_OK);
		CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
		aiows_event event;
		size_t n;
		CHECK_RC(aiows_poll(loop, &event, 1, 5, &n), AIOWS_OK);
		CHECK_INT(n, 0);
	}
	finish(loop);
}

static aiows_conn *secure(const aiows_tls *tls, uint32_t want)
{
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	o.tls = (aiows_tls *)tls;
	o.server_name = "localhost";
	o.open_timeout_ms = PATIENCE_MS;
	char text[256];
	snprintf(text, sizeof text, "%s/echo", setting("AIOWS_WSS"));
	aiows_conn *conn;
	CHECK_RC(aiows_connect(loop, text, &o, 0, &conn, NULL), AIOWS_OK);
	aiows_event event = wait_any(loop);
	if (want == 0 && event.type != AIOWS_EV_OPEN) {
		aiows_error e = { .size = sizeof e };
		aiows_conn_error(conn, &e);
		fail(__FILE__, __LINE__, e.message);
	}
	if (want != 0)
		CHECK_INT(event.type, want);
	return conn;
}

static void tls_is_verified(void)
{
	loop = begin();
	aiows_tls_options o;
	aiows_tls_options_init(&o, sizeof o);
	o.ca_file = setting("AIOWS_CA");
	aiows_error e = { .size = sizeof e };
	aiows_tls *tls = aiows_tls_new(&o, &e);
	if (tls == NULL)
		fail(__FILE__, __LINE__, e.message);
	aiows_conn *conn = secure(tls, 0);
	CHECK_RC(aiows_tls_free(tls), AIOWS_OK);
	aiows_conn_info_t info = { .size = sizeof info };
	CHECK_RC(aiows_conn_info(conn, &info), AIOWS_OK);
	CHECK_TEXT(info.tls_version, "TLS 1.3");
	CHECK(strncmp(info.tls_cipher_suite, "TLS_", 4) == 0);
	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "secret", 6), AIOWS_OK);
	expect(AIOWS_TEXT, "secret", 6);
	close_conn(loop, conn);

	// The system's authorities do not know the server.
	conn = secure(NULL, AIOWS_EV_FAILED);
	CHECK_RC(aiows_conn_error(conn, &e), AIOWS_OK);
	CHECK_RC(e.code, AIOWS_ERR_CERTIFICATE);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);

	aiows_tls_options_init(&o, sizeof o);
	o.insecure = 1;
	tls = aiows_tls_new(&o, NULL);
	conn = secure(tls, 0);
	CHECK_RC(aiows_tls_free(tls), AIOWS_OK);
	close_conn(loop, conn);
	finish(loop);
}

#define TESTS(X)                                                                                   \
	X(messages_come_back)                                                                      \
	X(fragments_become_one_message)                                                            \
	X(frames_are_logged)                                                                       \
	X(pings_are_measured)                                                                      \
	X(many_messages_go_at_once)                                                                \
	X(pings_are_answered)                                                                      \
	X(the_peer_closes)                                                                         \
	X(the_peer_vanishes)                                                                       \
	X(abort_is_told_once)                                                                      \
	X(a_refused_handshake_is_described)                                                        \
	X(a_refused_connection_names_errno)                                                        \
	X(info_describes_the_connection)                                                           \
	X(raw_lines_are_sent_as_they_are)                                                          \
	X(payloads_can_be_taken)                                                                   \
	X(a_flood_comes_in_order_and_in_batches)                                                   \
	X(pause_holds_messages_back)                                                               \
	X(a_full_backlog_is_told_and_ends)                                                         \
	X(user_data_follows_the_connection)                                                        \
	X(a_freed_connection_is_not_named_again)                                                   \
	X(tls_is_verified)
HARNESS_MAIN(TESTS)
