// Handles that are NULL, foreign, of another kind, or freed: every function answers
// AIOWS_ERR_HANDLE and dereferences nothing.
#include "harness.h"

#define WRONG(call) CHECK_RC(call, AIOWS_ERR_HANDLE)

static void refuse_loop(void *h)
{
	aiows_loop *loop = h;
	aiows_event event = { 0 };
	aiows_error e = { .size = sizeof e };
	aiows_loop_stats_t stats = { .size = sizeof stats };
	aiows_conn *conn = (aiows_conn *)1;
	size_t n = 99;
	void *data = &n;

	WRONG(aiows_loop_fd(loop));
	WRONG(aiows_poll(loop, &event, 1, 0, &n));
	CHECK_INT(n, 0);
	WRONG(aiows_poll(loop, &event, 1, -1, &n));
	WRONG(aiows_poll(loop, &event, 1, AIOWS_TRY_POLL, &n));
	WRONG(aiows_event_take(loop, &event, &data, &n));
	CHECK(data == NULL);
	WRONG(aiows_wake(loop));
	WRONG(aiows_loop_stats(loop, &stats));
	WRONG(aiows_trim(loop));
	WRONG(aiows_loop_free(loop));
	WRONG(aiows_connect(loop, "ws://127.0.0.1:1/", NULL, 0, &conn, &e));
	CHECK(conn == NULL);
	CHECK_INT(e.code, AIOWS_ERR_HANDLE);
	CHECK_TEXT(e.message, aiows_strerror(AIOWS_ERR_HANDLE));
	memset(e.message, 0, sizeof e.message);
	CHECK(aiows_listen(loop, "127.0.0.1", 0, NULL, 0, &e) == NULL);
	CHECK_INT(e.code, AIOWS_ERR_HANDLE);
}

static void refuse_conn(void *h)
{
	aiows_conn *conn = h;
	aiows_conn_info_t info = { .size = sizeof info };
	aiows_conn_stats_t stats = { .size = sizeof stats };
	aiows_error e = { .size = sizeof e };
	aiows_slice slice = { "x", 1 };
	size_t n = 99;

	WRONG(aiows_send(conn, AIOWS_TEXT, 0, "x", 1));
	WRONG(aiows_send_fragment(conn, AIOWS_TEXT, 0, 1, "x", 1));
	WRONG(aiows_send_many(conn, AIOWS_TEXT, 0, &slice, 1, &n));
	CHECK_INT(n, 0);
	WRONG(aiows_ping(conn, "x", 1));
	WRONG(aiows_pong(conn, "x", 1));
	WRONG(aiows_close(conn, 1000, NULL));
	WRONG(aiows_abort(conn));
	WRONG(aiows_pause(conn));
	WRONG(aiows_resume(conn));
	WRONG(aiows_conn_stream(conn, 1));
	WRONG(aiows_buffered(conn, &n));
	aiows_conn *next;
	WRONG(aiows_attach_redirect(conn, 0, &next, NULL));
	WRONG(aiows_take_socket(conn));
	WRONG(aiows_feed(conn, "x", 1));
	WRONG(aiows_feed_end(conn, 0, "x"));
	WRONG(aiows_drain(conn, &slice, 1, &n));
	WRONG(aiows_conn_info(conn, &info));
	WRONG(aiows_conn_stats(conn, &stats));
	WRONG(aiows_conn_error(conn, &e));
	WRONG(aiows_conn_set_user_data(conn, 1));
	WRONG(aiows_conn_free(conn));
}

static void refuse_server(void *h)
{
	aiows_listener *listener = h;
	aiows_request *request = h;
	aiows_request_info_t info = { .size = sizeof info };
	aiows_error e = { .size = sizeof e };
	aiows_conn *conn;

	WRONG(aiows_listener_port(listener));
	WRONG(aiows_listener_close(listener));
	WRONG(aiows_listener_free(listener));
	WRONG(aiows_request_info(request, &info));
	WRONG(aiows_accept(request, NULL, 0, &conn, &e));
	WRONG(aiows_reject(request, 404, NULL, 0, NULL, 0));
	WRONG(aiows_request_free(request));
}

static void refuse_all(void *h)
{
	refuse_loop(h);
	refuse_conn(h);
	refuse_server(h);
	WRONG(aiows_tls_free(h));
}

static void null_and_foreign_handles_are_refused(void)
{
	char on_the_stack[64] = { 0 };
	void *on_the_heap = malloc(64);
	CHECK_RC(aiows_loop_free(begin()), AIOWS_OK);
	refuse_all(NULL);
	refuse_all((void *)1);
	refuse_all((void *)4095);
	refuse_all((void *)4096);
	refuse_all((void *)UINTPTR_MAX);
	refuse_all((void *)((uintptr_t)0xdeadbeef << 20));
	refuse_all(on_the_stack);
	refuse_all(on_the_heap);
	free(on_the_heap);
	check_baseline();
}

static void handles_of_another_kind_are_refused(void)
{
	aiows_loop *loop = begin();
	aiows_tls *tls = aiows_tls_new(NULL, NULL);
	pair p = open_pair(loop, NULL, NULL);
	CHECK(tls != NULL);

	refuse_conn(loop);
	refuse_server(loop);
	WRONG(aiows_tls_free((aiows_tls *)loop));
	refuse_loop(p.client);
	refuse_server(p.client);
	refuse_loop(p.listener);
	refuse_conn(p.listener);
	refuse_loop(tls);
	refuse_conn(tls);
	refuse_server(tls);

	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	aiows_conn *conn;
	o.tls = (aiows_tls *)loop;
	WRONG(aiows_connect(loop, "wss://127.0.0.1:1/", &o, 0, &conn, NULL));

	CHECK_RC(aiows_tls_free(tls), AIOWS_OK);
	close_pair(loop, &p);
	finish(loop);
}

static void freed_handles_are_refused(void)
{
	aiows_loop *loop = begin();
	aiows_tls *tls = aiows_tls_new(NULL, NULL);
	CHECK_RC(aiows_tls_free(tls), AIOWS_OK);
	refuse_all(tls);
	pair p = open_pair(loop, NULL, NULL);
	close_pair(loop, &p);
	refuse_all(p.client);
	refuse_all(p.server);
	refuse_all(p.listener);
	finish(loop);
	refuse_all(loop);
}

static void loop_free_ends_every_handle(void)
{
	CHECK_RC(aiows_loop_free(begin()), AIOWS_OK);
	for (int i = 0; i < 20; i++) {
		aiows_loop *loop = begin();
		pair p = open_pair(loop, NULL, NULL);
		aiows_conn_info_t info = { .size = sizeof info };
		CHECK_RC(aiows_conn_info(p.client, &info), AIOWS_OK);
		aiows_conn *opening;
		CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", NULL, 0, &opening, NULL),
		         AIOWS_OK);
		CHECK_RC(aiows_loop_free(loop), AIOWS_OK);
		refuse_all(loop);
		refuse_all(p.client);
		refuse_all(p.server);
		refuse_all(p.listener);
		refuse_all(opening);
	}
	check_baseline();
}

// malloc gives the newest freed number again at once; the quarantine may not.
static void freed_numbers_do_not_come_back_soon(void)
{
	enum { ROUNDS = 10000, SOON = 4000 };
	static void *freed[ROUNDS];
	aiows_loop *loop = begin();
	for (int i = 0; i < ROUNDS; i++) {
		aiows_tls *tls = aiows_tls_new(NULL, NULL);
		CHECK(tls != NULL);
		// Looking back over all of SOON each time would take 40 million steps.
		for (int back = 1; back <= SOON && back <= i; back += back < 64 ? 1 : 97)
			CHECK(freed[i - back] != (void *)tls);
		CHECK_RC(aiows_tls_free(tls), AIOWS_OK);
		CHECK_RC(aiows_tls_free(tls), AIOWS_ERR_HANDLE);
		freed[i] = tls;
	}
	for (int i = 0; i < ROUNDS; i++)
		CHECK_RC(aiows_tls_free(freed[i]), AIOWS_ERR_HANDLE);
	finish(loop);
}

static void ten_thousand_loops_leave_nothing(void)
{
	CHECK_RC(aiows_loop_free(begin()), AIOWS_OK);
	for (int i = 0; i < 10000; i++) {
		aiows_loop *loop = aiows_loop_new(NULL, NULL);
		CHECK(loop != NULL);
		CHECK_RC(aiows_loop_free(loop), AIOWS_OK);
	}
	check_baseline();
}

#define TESTS(X)                                                                                   \
	X(handles_of_another_kind_are_refused)                                                     \
	X(freed_handles_are_refused)                                                               \
	X(loop_free_ends_every_handle)                                                             \
	X(freed_numbers_do_not_come_back_soon)                                                     \
	X(ten_thousand_loops_leave_nothing)                                                        \
	X(null_and_foreign_handles_are_refused)
HARNESS_MAIN(TESTS)
