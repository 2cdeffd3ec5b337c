// Connections that wait in aiows_recv, without a loop of the program's.
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *uri(const char *path)
{
	static char text[256];
	snprintf(text, sizeof text, "%s%s", setting("AIOWS_WS"), path);
	return text;
}

static aiows_conn *open_blocking(const char *path)
{
	aiows_error err = { .size = sizeof err };
	aiows_conn *conn = NULL;
	if (aiows_connect_blocking(uri(path), NULL, &conn, &err) != AIOWS_OK)
		fail(__FILE__, __LINE__, err.message);
	return conn;
}

static aiows_event receive(aiows_conn *conn, uint32_t type)
{
	aiows_event event;
	CHECK_RC(aiows_recv(conn, 20000, &event), AIOWS_OK);
	CHECK_INT(event.type, type);
	CHECK_INT(event.conn, (uintptr_t)conn);
	return event;
}

static void check_text_event(aiows_conn *conn, const char *text)
{
	aiows_event event = receive(conn, AIOWS_EV_MESSAGE);
	CHECK_INT(event.kind, AIOWS_TEXT);
	CHECK_INT(event.len, strlen(text));
	CHECK(memcmp(payload(&event), text, strlen(text)) == 0);
}

// close_blocking closes with 1000 and waits for the end.
static void close_blocking(aiows_conn *conn)
{
	aiows_event event;
	int32_t rc;
	CHECK_RC(aiows_close(conn, 1000, "bye"), AIOWS_OK);
	while ((rc = aiows_recv(conn, 20000, &event)) == AIOWS_OK) {
	}
	CHECK_RC(rc, AIOWS_ERR_CLOSED);
	CHECK_INT(event.type, AIOWS_EV_CLOSED);
	CHECK_INT(event.code, 1000);
	CHECK(event.flags & AIOWS_EVF_CLEAN);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
}

static void messages_come_back(void)
{
	aiows_loop *loop = begin();
	aiows_conn *conn = open_blocking("/echo");
	char text[32];
	for (int i = 0; i < 300; i++) {
		snprintf(text, sizeof text, "message %d", i);
		CHECK_RC(aiows_send(conn, AIOWS_TEXT, AIOWS_FORCE, text, strlen(text)), AIOWS_OK);
	}
	for (int i = 0; i < 300; i++) {
		snprintf(text, sizeof text, "message %d", i);
		check_text_event(conn, text);
	}
	aiows_conn_info_t info = { .size = sizeof info };
	CHECK_RC(aiows_conn_info(conn, &info), AIOWS_OK);
	CHECK_INT(info.state, AIOWS_OPEN);
	CHECK_INT(info.response_status, 101);
	close_blocking(conn);
	finish(loop);
}

static void the_end_is_told_again(void)
{
	aiows_loop *loop = begin();
	aiows_conn *conn = open_blocking("/close");
	aiows_event event;
	int32_t rc = aiows_recv(conn, 20000, &event);
	for (int i = 0; i < 3; i++) {
		CHECK_RC(rc, AIOWS_ERR_CLOSED);
		CHECK_INT(event.type, AIOWS_EV_CLOSED);
		CHECK_INT(event.code, 4001);
		CHECK_INT(event.len, strlen("on purpose"));
		CHECK(memcmp(payload(&event), "on purpose", event.len) == 0);
		rc = aiows_recv(conn, -1, &event);
	}
	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "late", 4), AIOWS_ERR_CLOSED);
	aiows_error err = { .size = sizeof err };
	CHECK_RC(aiows_conn_error(conn, &err), AIOWS_OK);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	CHECK_RC(aiows_recv(conn, 0, &event), AIOWS_ERR_HANDLE);
	finish(loop);
}

static void time_runs_out(void)
{
	aiows_loop *loop = begin();
	aiows_conn *conn = open_blocking("/echo");
	aiows_event event;
	CHECK_RC(aiows_recv(conn, 0, &event), AIOWS_ERR_TIMEOUT);
	CHECK_INT(event.type, 0);
	CHECK_RC(aiows_recv(conn, 5, &event), AIOWS_ERR_TIMEOUT);
	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "after", 5), AIOWS_OK);
	check_text_event(conn, "after");
	close_blocking(conn);
	finish(loop);
}

static void what_was_asked_for_is_told(void)
{
	aiows_loop *loop = begin();
	aiows_conn *conn = open_blocking("/echo");
	CHECK_RC(aiows_ping(conn, "hello", 5), AIOWS_OK);
	aiows_event event = receive(conn, AIOWS_EV_PONG);
	CHECK_INT(event.len, 5);

	enum { SIZE = 1 << 20 };
	char *big = calloc(1, SIZE);
	int pending = 0, writable = 0, sent = 0, received = 0;
	while (!pending) {
		int32_t rc = aiows_send(conn, AIOWS_BINARY, AIOWS_FORCE, big, SIZE);
		CHECK(rc == AIOWS_OK || rc == AIOWS_PENDING);
		pending = rc == AIOWS_PENDING;
		sent++;
	}
	free(big);
	while (!writable || received < sent) {
		CHECK_RC(aiows_recv(conn, 20000, &event), AIOWS_OK);
		writable += event.type == AIOWS_EV_WRITABLE;
		received += event.type == AIOWS_EV_MESSAGE;
	}
	CHECK_INT(writable, 1);
	close_blocking(conn);
	finish(loop);
}

// frames_are_logged: the heads, too, though they come before the connection is handed out,
// and though there are more of their lines than in a batch.
static void frames_are_logged(void)
{
	enum { FIELDS = 100 };
	aiows_header fields[FIELDS];
	for (int i = 0; i < FIELDS; i++)
		fields[i] = (aiows_header){ "X-Field", "value" };
	for (int n = 0; n <= FIELDS; n += FIELDS) {
		aiows_loop *loop = begin();
		aiows_conn_options conn_options;
		aiows_connect_options options;
		aiows_conn_options_init(&conn_options, sizeof conn_options);
		aiows_connect_options_init(&options, sizeof options);
		conn_options.log_frames = 1;
		options.conn = &conn_options;
		options.headers = fields;
		options.n_headers = n;
		aiows_conn *conn = NULL;
		CHECK_RC(aiows_connect_blocking(uri("/echo"), &options, &conn, NULL), AIOWS_OK);
		CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "hello", 5), AIOWS_OK);
		aiows_event event = receive(conn, AIOWS_EV_LOG);
		CHECK(memcmp(payload(&event), "> GET /echo HTTP/1.1", event.len) == 0);
		int custom = 0;
		char last[64] = "";
		for (;;) {
			CHECK_RC(aiows_recv(conn, 20000, &event), AIOWS_OK);
			if (event.type == AIOWS_EV_MESSAGE)
				break;
			CHECK_INT(event.type, AIOWS_EV_LOG);
			snprintf(last, sizeof last, "%.*s", (int)event.len,
			         (const char *)payload(&event));
			custom += strcmp(last, "> X-Field: value") == 0;
		}
		CHECK_INT(custom, n);
		CHECK_TEXT(last, "< TEXT 'hello' [5 bytes]");
		close_blocking(conn);
		finish(loop);
	}
}

static void openings_fail(void)
{
	aiows_loop *loop = begin();
	aiows_conn *conn = (aiows_conn *)1;
	aiows_error err = { .size = sizeof err };
	CHECK_RC(aiows_connect_blocking("ws://127.0.0.1:1/", NULL, &conn, &err), AIOWS_ERR_CONNECT);
	CHECK(conn == NULL);
	CHECK_INT(err.os_errno, ECONNREFUSED);
	CHECK_RC(aiows_connect_blocking(uri("/nowhere"), NULL, &conn, &err), AIOWS_ERR_STATUS);
	CHECK_INT(err.http_status, 404);
	CHECK_RC(aiows_connect_blocking("http://localhost/", NULL, &conn, &err), AIOWS_ERR_URI);
	CHECK_RC(aiows_connect_blocking(NULL, NULL, &conn, &err), AIOWS_ERR_ARGUMENT);
	CHECK_TEXT(err.message, "uri is NULL");
	CHECK_RC(aiows_connect_blocking(uri("/echo"), NULL, NULL, NULL), AIOWS_ERR_ARGUMENT);
	aiows_connect_options options = { .size = 3 };
	CHECK_RC(aiows_connect_blocking(uri("/echo"), &options, &conn, &err), AIOWS_ERR_ARGUMENT);
	finish(loop);
}

static void arguments_are_checked(void)
{
	aiows_loop *loop = begin();
	aiows_event event;
	aiows_conn *shared = open_conn(loop, uri("/echo"), NULL);
	CHECK_RC(aiows_recv(shared, 0, &event), AIOWS_ERR_STATE);
	CHECK_RC(aiows_recv(shared, 0, NULL), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_recv(shared, AIOWS_TRY_POLL, &event), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_recv(NULL, 0, &event), AIOWS_ERR_HANDLE);
	CHECK_RC(aiows_recv((aiows_conn *)loop, 0, &event), AIOWS_ERR_HANDLE);
	close_conn(loop, shared);
	CHECK_RC(aiows_recv(shared, 0, &event), AIOWS_ERR_HANDLE);
	finish(loop);
}

// ---------------------------------------------------------------- threads

typedef struct waiting {
	aiows_conn *conn;
	int32_t rc;
	pthread_t thread;
} waiting;

static void *wait_in_recv(void *data)
{
	waiting *w = data;
	aiows_event event;
	do { // start_waiting looks in the same way, and may be first
		w->rc = aiows_recv(w->conn, -1, &event);
	} while (w->rc == AIOWS_ERR_BUSY);
	return NULL;
}

// start_waiting returns when the thread is in aiows_recv.
static void start_waiting(waiting *w)
{
	aiows_event event;
	int32_t rc = AIOWS_ERR_TIMEOUT;
	CHECK_INT(pthread_create(&w->thread, NULL, wait_in_recv, w), 0);
	while (rc == AIOWS_ERR_TIMEOUT) {
		usleep(1000);
		rc = aiows_recv(w->conn, 0, &event);
	}
	CHECK_RC(rc, AIOWS_ERR_BUSY);
}

static void one_thread_receives(void)
{
	aiows_loop *loop = begin();
	waiting w = { .conn = open_blocking("/echo") };
	start_waiting(&w);
	CHECK_RC(aiows_send(w.conn, AIOWS_TEXT, 0, "for it", 6), AIOWS_OK);
	pthread_join(w.thread, NULL);
	CHECK_RC(w.rc, AIOWS_OK);

	start_waiting(&w);
	CHECK_RC(aiows_close(w.conn, 1000, NULL), AIOWS_OK);
	pthread_join(w.thread, NULL);
	CHECK_RC(w.rc, AIOWS_ERR_CLOSED);
	CHECK_RC(aiows_conn_free(w.conn), AIOWS_OK);
	finish(loop);
}

static void freed_while_another_waits(void)
{
	aiows_loop *loop = begin();
	for (int i = 0; i < 20; i++) {
		waiting w = { .conn = open_blocking("/echo") };
		start_waiting(&w);
		CHECK_RC(aiows_conn_free(w.conn), AIOWS_OK);
		pthread_join(w.thread, NULL);
		CHECK_RC(w.rc, AIOWS_ERR_HANDLE);
		CHECK_RC(aiows_conn_free(w.conn), AIOWS_ERR_HANDLE);
	}
	finish(loop);
}

// ---------------------------------------------------------------- signals, fork

static void on_alarm(int number)
{
	(void)number;
}

static void catch_alarm(void)
{
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_ONSTACK };
	CHECK_INT(sigaction(SIGALRM, &action, NULL), 0);
	// Again and again: the first one may come before the wait.
	struct itimerval every = { { 0, 20000 }, { 0, 20000 } };
	CHECK_INT(setitimer(ITIMER_REAL, &every, NULL), 0);
}

static void signals_end_the_wait(void)
{
	aiows_loop *loop = begin();
	aiows_conn *conn = open_blocking("/echo");
	aiows_event event;
	catch_alarm();
	CHECK_RC(aiows_recv(conn, -1, &event), AIOWS_ERR_TIMEOUT);
	CHECK_RC(aiows_recv(conn, 1000000, &event), AIOWS_ERR_TIMEOUT);

	int port, fd = silent(1, &port);
	char text[64];
	snprintf(text, sizeof text, "ws://127.0.0.1:%d/", port);
	aiows_conn *other;
	aiows_error err = { .size = sizeof err };
	CHECK_RC(aiows_connect_blocking(text, NULL, &other, &err), AIOWS_ERR_ABORTED);
	CHECK_TEXT(err.message, "a signal handler ran");
	close(fd);

	struct itimerval never = { { 0, 0 }, { 0, 0 } };
	CHECK_INT(setitimer(ITIMER_REAL, &never, NULL), 0);
	CHECK(signal(SIGALRM, SIG_IGN) != SIG_ERR); // valgrind may hold back one that came before
	close_blocking(conn);
	finish(loop);
}

static void a_forked_child_is_refused(void)
{
	aiows_loop *loop = begin();
	aiows_conn *conn = open_blocking("/echo");
	pid_t child = fork();
	if (child == 0) {
		aiows_event event;
		aiows_conn *other;
		int refused = aiows_recv(conn, -1, &event) == AIOWS_ERR_FORKED &&
		              aiows_connect_blocking(uri("/echo"), NULL, &other, NULL) ==
		                      AIOWS_ERR_FORKED;
		_exit(refused ? 0 : 1);
	}
	int status;
	CHECK_INT(waitpid(child, &status, 0), child);
	CHECK_INT(status, 0);
	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "goes on", 7), AIOWS_OK);
	check_text_event(conn, "goes on");
	close_blocking(conn);
	finish(loop);
}

#define TESTS(X)                                                                                   \
	X(messages_come_back)                                                                      \
	X(the_end_is_told_again)                                                                   \
	X(time_runs_out)                                                                           \
	X(what_was_asked_for_is_told)                                                              \
	X(frames_are_logged)                                                                       \
	X(openings_fail)                                                                           \
	X(arguments_are_checked)                                                                   \
	X(one_thread_receives)                                                                     \
	X(freed_while_another_waits)                                                               \
	X(signals_end_the_wait)                                                                    \
	X(a_forked_child_is_refused)

HARNESS_MAIN(TESTS)
