// Messages that are told in parts.
#include "harness.h"

enum { LONG = 3 << 20 };

static aiows_loop *loop;

// part checks the next MESSAGE event.
static void part(int kind, int flags, const char *text)
{
	aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
	CHECK_INT(event.kind, kind);
	CHECK_INT(event.flags & AIOWS_EVF_FIN, flags);
	CHECK_INT(event.len, strlen(text));
	CHECK(event.len == 0 || memcmp(payload(&event), text, event.len) == 0);
}

static void send_part(aiows_conn *conn, int kind, int fin, const char *text)
{
	CHECK_RC(aiows_send_fragment(conn, kind, 0, fin, text, strlen(text)), AIOWS_OK);
}

static void frames_are_told_as_they_come(void)
{
	loop = begin();
	aiows_conn_options o;
	aiows_conn_options_init(&o, sizeof o);
	CHECK_INT(o.stream, 0);
	CHECK_INT(o.max_fragment_size, 0);
	o.stream = 1;
	pair p = open_pair(loop, &o, NULL);
	send_part(p.server, AIOWS_TEXT, 0, "gr\xc3");
	part(AIOWS_TEXT, 0, "gr\xc3");
	send_part(p.server, AIOWS_TEXT, 0, "");
	part(AIOWS_TEXT, 0, "");
	send_part(p.server, AIOWS_TEXT, 1, "\xbc\xc3\x9f");
	part(AIOWS_TEXT, AIOWS_EVF_FIN, "\xbc\xc3\x9f");
	CHECK_RC(aiows_send(p.server, AIOWS_BINARY, 0, "whole", 5), AIOWS_OK);
	part(AIOWS_BINARY, AIOWS_EVF_FIN, "whole");
	CHECK_RC(aiows_conn_stream(p.client, 2), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_conn_stream(p.client, 0), AIOWS_OK);
	send_part(p.server, AIOWS_TEXT, 0, "a");
	send_part(p.server, AIOWS_TEXT, 1, "b");
	part(AIOWS_TEXT, AIOWS_EVF_FIN, "ab");
	close_pair(loop, &p);
	CHECK_RC(aiows_conn_stream(p.client, 1), AIOWS_ERR_HANDLE);
	finish(loop);
}

static void what_came_before_is_told_first(void)
{
	for (int compression = 0; compression < 2; compression++) {
		loop = begin();
		aiows_conn_options o;
		aiows_conn_options_init(&o, sizeof o);
		o.compression = compression;
		pair p = open_pair(loop, &o, &o);
		send_part(p.client, AIOWS_TEXT, 0, "one two three four five six seven eight, ");
		send_part(p.client, AIOWS_TEXT, 0, "one two three four five six seven eight, ");
		CHECK_RC(aiows_ping(p.client, "p", 1), AIOWS_OK);
		wait_event(loop, AIOWS_EV_PING); // behind both frames
		CHECK_RC(aiows_conn_stream(p.server, 1), AIOWS_OK);
		part(AIOWS_TEXT, 0,
		     "one two three four five six seven eight, "
		     "one two three four five six seven eight, ");
		send_part(p.client, AIOWS_TEXT, 1, "nine");
		part(AIOWS_TEXT, AIOWS_EVF_FIN, "nine");
		close_pair(loop, &p);
		finish(loop);
	}
}

static void parts_are_taken(void)
{
	static char text[LONG];
	memset(text, 'x', sizeof text);
	loop = begin();
	aiows_conn_options o;
	aiows_conn_options_init(&o, sizeof o);
	o.stream = 1;
	o.max_message_size = 0;
	pair p = open_pair(loop, NULL, &o);
	CHECK_RC(aiows_send(p.client, AIOWS_BINARY, 0, text, sizeof text), AIOWS_OK);
	size_t total = 0;
	for (int fin = 0; !fin;) {
		aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
		void *data;
		size_t len;
		CHECK(event.len <= 1 << 20);
		fin = event.flags & AIOWS_EVF_FIN;
		CHECK_RC(aiows_event_take(loop, &event, &data, &len), AIOWS_OK);
		for (size_t i = 0; i < len; i += 1000)
			CHECK_INT(((char *)data)[i], 'x');
		total += len;
		aiows_free(data);
	}
	CHECK_INT(total, sizeof text);
	close_pair(loop, &p);
	finish(loop);
}

static void frames_above_the_limit_close(void)
{
	for (int stream = 0; stream < 2; stream++) {
		loop = begin();
		aiows_conn_options o;
		aiows_conn_options_init(&o, sizeof o);
		o.stream = stream;
		o.max_message_size = 0;
		o.max_fragment_size = 10;
		pair p = open_pair(loop, NULL, &o);
		send_part(p.client, AIOWS_TEXT, 0, "0123456789");
		send_part(p.client, AIOWS_TEXT, 0, "0123456789a");
		wait_event(loop, AIOWS_EV_CLOSED);
		wait_event(loop, AIOWS_EV_CLOSED);
		aiows_error error = { .size = sizeof error };
		CHECK_RC(aiows_conn_error(p.server, &error), AIOWS_OK);
		CHECK_INT(error.code, AIOWS_ERR_TOO_BIG);
		CHECK_INT(error.close_code, 1009);
		CHECK_TEXT(error.message,
		           "frame exceeds the fragment size limit (RFC 6455 section 10.4)");
		CHECK_RC(aiows_conn_stream(p.server, 1), AIOWS_ERR_CLOSED);
		aiows_conn_free(p.client);
		aiows_conn_free(p.server);
		aiows_listener_free(p.listener);
		finish(loop);
	}
}

#define TESTS(X)                                                                                   \
	X(frames_are_told_as_they_come)                                                            \
	X(what_came_before_is_told_first)                                                          \
	X(parts_are_taken)                                                                         \
	X(frames_above_the_limit_close)

HARNESS_MAIN(TESTS)
