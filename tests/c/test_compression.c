// permessage-deflate: how it is asked for, and what it does to messages.
#include "harness.h"

static aiows_loop *loop;

static aiows_conn_options compressing(void)
{
	aiows_conn_options o;
	aiows_conn_options_init(&o, sizeof o);
	o.compression = AIOWS_COMPRESSION_DEFLATE;
	return o;
}

static uint64_t bytes_sent(aiows_conn *conn)
{
	aiows_conn_stats_t stats = { .size = sizeof stats };
	CHECK_RC(aiows_conn_stats(conn, &stats), AIOWS_OK);
	return stats.bytes_sent;
}

static const char *agreed(aiows_conn *conn)
{
	aiows_conn_info_t info = { .size = sizeof info };
	CHECK_RC(aiows_conn_info(conn, &info), AIOWS_OK);
	return info.extensions;
}

// cost sends text, checks that it arrives, and returns what it took on the wire.
static uint64_t cost(aiows_conn *from, uint32_t flags, const char *text, size_t len)
{
	uint64_t before = bytes_sent(from);
	CHECK_RC(aiows_send(from, AIOWS_TEXT, flags, text, len), AIOWS_OK);
	aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
	CHECK_INT(event.len, len);
	CHECK(memcmp(payload(&event), text, len) == 0);
	return bytes_sent(from) - before;
}

static void messages_are_compressed(void)
{
	char text[1000];
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)('a' + i % 26);
	loop = begin();
	aiows_conn_options o = compressing();
	pair p = open_pair(loop, &o, &o);
	CHECK_TEXT(agreed(p.client), "permessage-deflate");
	CHECK_TEXT(agreed(p.server), "permessage-deflate");

	CHECK(cost(p.client, 0, text, sizeof text) < 100);
	aiows_conn_stats_t sent = { .size = sizeof sent }, got = { .size = sizeof got };
	CHECK_RC(aiows_conn_stats(p.client, &sent), AIOWS_OK);
	CHECK_RC(aiows_conn_stats(p.server, &got), AIOWS_OK);
	CHECK_INT(sent.message_bytes_sent, sizeof text);
	CHECK_INT(got.message_bytes_received, sizeof text);
	CHECK(sent.payload_bytes_sent > 0 && sent.payload_bytes_sent < 100);
	CHECK_INT(got.payload_bytes_received, sent.payload_bytes_sent);
	CHECK(cost(p.server, AIOWS_COMPRESS, text, sizeof text) < 100);
	CHECK_INT(cost(p.client, AIOWS_NO_COMPRESS, text, sizeof text), sizeof text + 8);
	CHECK(cost(p.client, 0, text, sizeof text) < 30); // refers to the first one
	CHECK_INT(cost(p.server, 0, "x", 1), 3);          // would get longer

	CHECK_RC(aiows_send_fragment(p.client, AIOWS_TEXT, 0, 0, text, 500), AIOWS_OK);
	CHECK_RC(aiows_send_fragment(p.client, AIOWS_TEXT, 0, 1, text + 500, 500), AIOWS_OK);
	aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
	CHECK_INT(event.len, sizeof text);
	CHECK(memcmp(payload(&event), text, sizeof text) == 0);

	const aiows_slice slices[2] = { { text, 300 }, { text, 200 } };
	size_t n;
	CHECK_RC(aiows_send_many(p.server, AIOWS_TEXT, 0, slices, 2, &n), AIOWS_OK);
	event = wait_event(loop, AIOWS_EV_MESSAGE);
	CHECK_INT(event.len, 300);
	void *taken;
	size_t len;
	CHECK_RC(aiows_event_take(loop, &event, &taken, &len), AIOWS_OK);
	CHECK_INT(len, 300);
	CHECK(memcmp(taken, text, len) == 0);
	aiows_free(taken);
	CHECK_RC(aiows_send(p.client, AIOWS_TEXT, AIOWS_COMPRESS | AIOWS_NO_COMPRESS, text, 1),
	         AIOWS_ERR_ARGUMENT);
	close_pair(loop, &p);
	finish(loop);
}

static void one_side_alone_compresses_nothing(void)
{
	loop = begin();
	aiows_conn_options o = compressing();
	for (int i = 0; i < 2; i++) {
		pair p = open_pair(loop, i == 0 ? &o : NULL, i == 0 ? NULL : &o);
		CHECK_TEXT(agreed(p.client), "");
		CHECK_TEXT(agreed(p.server), "");
		CHECK_RC(aiows_send(p.client, AIOWS_TEXT, AIOWS_COMPRESS, "x", 1),
		         AIOWS_ERR_UNSUPPORTED);
		CHECK_RC(aiows_send_fragment(p.client, AIOWS_TEXT, AIOWS_COMPRESS, 1, "x", 1),
		         AIOWS_ERR_UNSUPPORTED);
		CHECK_INT(cost(p.client, 0, "aaaaaaaaaaaaaaaaaaaa", 20), 26);
		close_pair(loop, &p);
	}
	finish(loop);
}

static void configurations_are_negotiated(void)
{
	loop = begin();
	aiows_conn_options c = compressing(), s = compressing();
	const aiows_deflate offers[] = {
		{ .size = sizeof *offers, .server_max_window_bits = 10 },
		{ .size = sizeof *offers, .client_max_window_bits = AIOWS_WINDOW_ANY },
	};
	const aiows_deflate accepts[] = {
		{ .size = sizeof *accepts,
		  .server_no_context_takeover = 1,
		  .require_client_max_window_bits = 1,
		  .client_max_window_bits = 8,
		  .level = 9,
		  .history = 32768 },
	};
	c.deflate = offers;
	c.deflate_len = 2;
	s.deflate = accepts;
	s.deflate_len = 1;
	pair p = open_pair(loop, &c, &s);
	const char *want =
		"permessage-deflate; server_no_context_takeover; client_max_window_bits=8";
	CHECK_TEXT(agreed(p.client), want);
	CHECK_TEXT(agreed(p.server), want);
	char text[5000];
	memset(text, 'x', sizeof text);
	for (int i = 0; i < 3; i++) {
		CHECK(cost(p.client, 0, text, sizeof text) < 200);
		CHECK(cost(p.server, 0, text, sizeof text) < 200);
	}
	close_pair(loop, &p);
	finish(loop);
}

// REFUSED checks that no client may offer the second of two configurations after
// change, and that the error says text.
#define REFUSED(text, change)                                                                      \
	do {                                                                                       \
		aiows_deflate d[2] = { { .size = sizeof *d }, { .size = sizeof *d } };             \
		change;                                                                            \
		o.deflate = d;                                                                     \
		o.deflate_len = 2;                                                                 \
		CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", &co, 0, &conn, &e),              \
		         AIOWS_ERR_ARGUMENT);                                                      \
		if (strstr(e.message, text) == NULL)                                               \
			fail(__FILE__, __LINE__, e.message);                                       \
	} while (0)

static void configurations_are_checked(void)
{
	loop = begin();
	aiows_conn *conn;
	aiows_error e = { .size = sizeof e };
	aiows_conn_options o = compressing();
	aiows_connect_options co;
	aiows_connect_options_init(&co, sizeof co);
	co.conn = &o;
	REFUSED("deflate[1]: server_max_window_bits is 7", d[1].server_max_window_bits = 7);
	REFUSED("server_max_window_bits is 16", d[1].server_max_window_bits = 16);
	REFUSED("server_max_window_bits is -1", d[1].server_max_window_bits = AIOWS_WINDOW_ANY);
	REFUSED("client_max_window_bits is -2", d[1].client_max_window_bits = -2);
	REFUSED("client_max_window_bits is 7", d[1].client_max_window_bits = 7);
	REFUSED("level is 10", d[1].level = 10);
	REFUSED("level is -1", d[1].level = -1);
	REFUSED("history is 32769", d[1].history = 32769);
	REFUSED("require_client_max_window_bits is 1", d[1].require_client_max_window_bits = 1);
	REFUSED("deflate[1].server_no_context_takeover is 2", d[1].server_no_context_takeover = 2);
	REFUSED("reserved is 1", d[1].reserved = 1);
	REFUSED("size of deflate[1] is 32, expected 24", d[1].size = 32);
	REFUSED("size of aiows_deflate is 0", d[0].size = 0);

	const aiows_deflate one = { .size = sizeof one };
	o.deflate = NULL;
	o.deflate_len = 1;
	CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", &co, 0, &conn, &e), AIOWS_ERR_ARGUMENT);
	CHECK_TEXT(e.message, "deflate is NULL and deflate_len is 1");
	o.deflate = &one;
	o.deflate_len = 17;
	CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", &co, 0, &conn, &e), AIOWS_ERR_ARGUMENT);
	CHECK_TEXT(e.message, "deflate_len is 17, expected at most 16");
	o.deflate_len = 1;
	o.compression = AIOWS_COMPRESSION_OFF;
	CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", &co, 0, &conn, &e), AIOWS_ERR_ARGUMENT);
	CHECK_TEXT(e.message, "deflate_len is 1 and compression is 0, expected 1");
	finish(loop);
}

#define TESTS(X)                                                                                   \
	X(messages_are_compressed)                                                                 \
	X(one_side_alone_compresses_nothing)                                                       \
	X(configurations_are_negotiated)                                                           \
	X(configurations_are_checked)
HARNESS_MAIN(TESTS)
