// The functions that work anywhere, and the option structs.
#include "harness.h"

#include <fcntl.h>
#include <unistd.h>

static void version_is_told(void)
{
	CHECK_INT(aiows_abi_version(), AIOWS_ABI);
	CHECK(strlen(aiows_version()) >= 5);
}

static void every_error_has_its_text(void)
{
#define CASE(name, number, text)                                                                   \
	CHECK_INT(AIOWS_ERR_##name, number);                                                       \
	CHECK_TEXT(aiows_strerror(number), text);
	AIOWS_ERROR_MAP(CASE)
#undef CASE
	CHECK_TEXT(aiows_strerror(0), "success");
	CHECK_TEXT(aiows_strerror(1), "unknown error");
	CHECK_TEXT(aiows_strerror(-1000), "unknown error");
	CHECK_TEXT(aiows_strerror(INT32_MIN), "unknown error");
}

static void every_close_code_has_a_name(void)
{
	CHECK_TEXT(aiows_close_code_name(1000), "normal closure");
	CHECK_TEXT(aiows_close_code_name(1006), "abnormal closure");
	CHECK_TEXT(aiows_close_code_name(1015), "TLS handshake");
	CHECK_TEXT(aiows_close_code_name(0), "unused");
	CHECK_TEXT(aiows_close_code_name(2999), "unassigned");
	CHECK_TEXT(aiows_close_code_name(3500), "registered");
	CHECK_TEXT(aiows_close_code_name(4999), "private use");
	CHECK_TEXT(aiows_close_code_name(5000), "invalid");
	CHECK_TEXT(aiows_close_code_name(65536), "invalid");
	CHECK_TEXT(aiows_close_code_name(-1), "invalid");
}

static void options_get_their_defaults(void)
{
	aiows_conn_options c;
	memset(&c, 0xff, sizeof c);
	aiows_conn_options_init(&c, sizeof c);
	CHECK_INT(c.size, sizeof c);
	CHECK_INT(c.auto_pong, 1);
	CHECK_INT(c.auto_close, 1);
	CHECK_INT(c.compression, 0);
	CHECK_INT(c.close_timeout_ms, 10000);
	CHECK_INT(c.ping_interval_ms, 20000);
	CHECK_INT(c.ping_timeout_ms, 20000);
	CHECK_INT(c.max_message_size, 1048576);
	CHECK_INT(c.write_high, 65536);
	CHECK_INT(c.write_low, 16384);
	CHECK_INT(c.max_fragments, 0);

	aiows_connect_options o;
	memset(&o, 0xff, sizeof o);
	aiows_connect_options_init(&o, sizeof o);
	CHECK_INT(o.open_timeout_ms, 10000);
	CHECK(o.host == NULL && o.headers == NULL && o.n_headers == 0 && o.conn == NULL);

	aiows_listen_options l;
	aiows_listen_options_init(&l, sizeof l);
	CHECK_INT(l.backlog, 1024);
	CHECK_INT(l.max_handshakes, 1024);
	CHECK_INT(l.open_timeout_ms, 10000);

	aiows_tls_options t;
	aiows_tls_options_init(&t, sizeof t);
	CHECK_INT(t.min_version, 0x0303);
	CHECK_INT(t.max_version, 0);

	aiows_loop_options lo;
	aiows_loop_options_init(&lo, sizeof lo);
	CHECK_INT(lo.size, sizeof lo);
	aiows_accept_options a;
	aiows_accept_options_init(&a, sizeof a);
	CHECK_INT(a.size, sizeof a);
}

// A caller compiled against a smaller or larger struct: nothing outside of it is
// written, and what this library does not know is zeroed.
static void options_respect_the_callers_size(void)
{
	unsigned char room[sizeof(aiows_conn_options) + 64];
	for (size_t n = 8; n <= sizeof room; n += 8) {
		memset(room, 0xee, sizeof room);
		aiows_conn_options_init((aiows_conn_options *)room, n);
		uint32_t stated;
		memcpy(&stated, room, sizeof stated);
		CHECK_INT(stated, n);
		for (size_t i = n; i < sizeof room; i++)
			CHECK_INT(room[i], 0xee);
		for (size_t i = sizeof(aiows_conn_options); i < n; i++)
			CHECK_INT(room[i], 0);
	}
	memset(room, 0xee, sizeof room);
	aiows_conn_options_init((aiows_conn_options *)room, 3);
	CHECK_INT(room[0], 0xee);
	aiows_conn_options_init(NULL, sizeof(aiows_conn_options));
}

static void log_arguments_are_checked(void)
{
	CHECK_RC(aiows_set_log(-1, 2), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_set_log(4, 2), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_set_log(AIOWS_LOG_INFO, -1), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_set_log(AIOWS_LOG_INFO, 9999), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_set_log(AIOWS_LOG_OFF, -1), AIOWS_OK);
}

static void log_lines_reach_the_descriptor(void)
{
	int pipes[2];
	char text[4096];
	CHECK(pipe2(pipes, O_CLOEXEC | O_NONBLOCK) == 0);
	CHECK_RC(aiows_set_log(AIOWS_LOG_DEBUG, pipes[1]), AIOWS_OK);
	aiows_loop *loop = aiows_loop_new(NULL, NULL);
	aiows_conn *conn;
	CHECK_RC(aiows_connect(loop, "ws://user:secret@127.0.0.1:1/", NULL, 0, &conn, NULL),
	         AIOWS_OK);
	wait_event(loop, AIOWS_EV_FAILED);
	CHECK_RC(aiows_set_log(AIOWS_LOG_OFF, 0), AIOWS_OK);
	ssize_t n = read(pipes[0], text, sizeof text - 1);
	CHECK(n > 0);
	text[n] = 0;
	CHECK(strncmp(text, "aiows: ", 7) == 0);
	CHECK(text[n - 1] == '\n');
	CHECK(strstr(text, "secret") == NULL);
	CHECK_RC(aiows_loop_free(loop), AIOWS_OK);
	close(pipes[0]);
	close(pipes[1]);
}

// The program would hang here, and be ended by whoever runs it.
static void log_lines_never_hold_a_loop_up(void)
{
	int pipes[2];
	char text[4096] = { 0 };
	CHECK(pipe2(pipes, O_CLOEXEC | O_NONBLOCK) == 0);
	while (write(pipes[1], text, sizeof text) > 0) {
	}
	CHECK(fcntl(pipes[1], F_SETFL, 0) == 0);
	CHECK_RC(aiows_set_log(AIOWS_LOG_DEBUG, pipes[1]), AIOWS_OK);
	aiows_loop *loop = aiows_loop_new(NULL, NULL);
	aiows_conn *conn;
	CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", NULL, 0, &conn, NULL), AIOWS_OK);
	wait_event(loop, AIOWS_EV_FAILED);
	CHECK_RC(aiows_set_log(AIOWS_LOG_OFF, 0), AIOWS_OK);
	CHECK_RC(aiows_loop_free(loop), AIOWS_OK);
	close(pipes[0]);
	close(pipes[1]);
}

static void free_takes_null(void)
{
	aiows_free(NULL);
}

#define TESTS(X)                                                                                   \
	X(version_is_told)                                                                         \
	X(every_error_has_its_text)                                                                \
	X(every_close_code_has_a_name)                                                             \
	X(options_get_their_defaults)                                                              \
	X(options_respect_the_callers_size)                                                        \
	X(log_arguments_are_checked)                                                               \
	X(log_lines_reach_the_descriptor)                                                          \
	X(log_lines_never_hold_a_loop_up)                                                          \
	X(free_takes_null)
HARNESS_MAIN(TESTS)
