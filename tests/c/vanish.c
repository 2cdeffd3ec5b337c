// vanish URI: connect, say "open", and tell how the peer's silence ends.
//
// Run by tests/servers/vanish.py, which unplugs the server then.
#include "harness.h"

#include <time.h>

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	aiows_loop *loop = aiows_loop_new(NULL, NULL);
	aiows_conn_options conn_options;
	aiows_conn_options_init(&conn_options, sizeof conn_options);
	CHECK_INT(conn_options.ping_interval_ms, 20000);
	CHECK_INT(conn_options.ping_timeout_ms, 20000);
	conn_options.ping_interval_ms = conn_options.ping_timeout_ms = 1000;
	aiows_connect_options options;
	aiows_connect_options_init(&options, sizeof options);
	options.conn = &conn_options;
	aiows_conn *conn = open_conn(loop, argv[1], &options);
	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "hello", 5), AIOWS_OK);
	int64_t last = wait_event(loop, AIOWS_EV_MESSAGE).time_ns;
	printf("open\n");
	fflush(stdout);

	aiows_event event = wait_event(loop, AIOWS_EV_CLOSED);
	int64_t silence = now_ns() - last;
	CHECK(silence >= 1000000000 && silence < 12000000000);
	aiows_error error = { .size = sizeof error };
	CHECK_RC(aiows_conn_error(conn, &error), AIOWS_OK);
	CHECK_INT(error.code, AIOWS_ERR_KEEPALIVE);
	CHECK_INT(error.close_code, 1011);
	CHECK_TEXT(error.message, "no answer to a ping within 1s");
	CHECK_INT(event.code, 1006);
	CHECK_INT(event.close_sent, 1011);

	CHECK_RC(aiows_loop_free(loop), AIOWS_OK);
	printf("found\n");
	return 0;
}
