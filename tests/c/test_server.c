// A listener and its requests, with a client of the same loop.
#include "harness.h"

#include <sys/socket.h>
#include <unistd.h>

static aiows_loop *loop;
static aiows_listener *listener;

static void start(void)
{
	aiows_error e = { .size = sizeof e };
	loop = begin();
	listener = aiows_listen(loop, "127.0.0.1", 0, NULL, 9, &e);
	if (listener == NULL)
		fail(__FILE__, __LINE__, e.message);
	CHECK(aiows_listener_port(listener) > 0);
}

static aiows_conn *dial(const char *target, const aiows_connect_options *options)
{
	char uri[256];
	aiows_conn *conn;
	snprintf(uri, sizeof uri, "ws://127.0.0.1:%d%s", (int)aiows_listener_port(listener),
	         target);
	CHECK_RC(aiows_connect(loop, uri, options, 1, &conn, NULL), AIOWS_OK);
	return conn;
}

static aiows_request *wait_request(void)
{
	aiows_event event = wait_event(loop, AIOWS_EV_REQUEST);
	CHECK_INT(event.conn, (uintptr_t)listener);
	CHECK_INT(event.user_data, 9);
	CHECK(event.request != 0);
	return (aiows_request *)(uintptr_t)event.request;
}

static void stop(void)
{
	CHECK_RC(aiows_listener_free(listener), AIOWS_OK);
	finish(loop);
}

static void a_request_is_described_and_accepted(void)
{
	const char *offered[] = { "a", "b" };
	aiows_header ask[] = { { "X-Ask", "yes" } }, answer[] = { { "X-Answer", "no" } };
	aiows_connect_options co;
	aiows_connect_options_init(&co, sizeof co);
	co.subprotocols = offered;
	co.n_subprotocols = 2;
	co.headers = ask;
	co.n_headers = 1;
	start();
	aiows_conn *client = dial("/path?q=1", &co), *server;
	aiows_request *request = wait_request();

	aiows_request_info_t info = { .size = sizeof info }, again = { .size = sizeof again };
	CHECK_RC(aiows_request_info(request, &info), AIOWS_OK);
	CHECK_TEXT(info.method, "GET");
	CHECK_TEXT(info.target, "/path?q=1");
	CHECK(strncmp(info.remote_address, "127.0.0.1:", 10) == 0);
	CHECK_INT(info.n_subprotocols, 2);
	CHECK_TEXT(info.subprotocols[1], "b");
	int found = 0;
	for (size_t i = 0; i < info.n_headers; i++)
		found += strcmp(info.headers[i].name, "X-Ask") == 0;
	CHECK_INT(found, 1);
	CHECK_INT(info.refusal_status, 0);
	CHECK_INT(info.n_refusal_headers, 0);
	CHECK_TEXT(info.refusal_text, "");
	CHECK_RC(aiows_request_info(request, &again), AIOWS_OK);
	CHECK(again.headers == info.headers);

	aiows_accept_options ao;
	aiows_accept_options_init(&ao, sizeof ao);
	aiows_error e = { .size = sizeof e };
	ao.subprotocol = "c";
	CHECK_RC(aiows_accept(request, &ao, 2, &server, &e), AIOWS_ERR_ARGUMENT);
	CHECK(server == NULL);
	CHECK(strstr(e.message, "c") != NULL);
	CHECK_RC(aiows_accept(request, &ao, 2, NULL, &e), AIOWS_ERR_ARGUMENT);
	ao.subprotocol = "b";
	ao.headers = answer;
	ao.n_headers = 1;
	CHECK_RC(aiows_accept(request, &ao, 2, &server, &e), AIOWS_OK);
	aiows_conn *second;
	CHECK_RC(aiows_accept(request, &ao, 2, &second, &e), AIOWS_ERR_STATE);
	CHECK_RC(aiows_reject(request, 404, NULL, 0, NULL, 0), AIOWS_ERR_STATE);
	CHECK_RC(aiows_request_free(request), AIOWS_OK);
	wait_event(loop, AIOWS_EV_OPEN);
	wait_event(loop, AIOWS_EV_OPEN);

	aiows_conn_info_t ci = { .size = sizeof ci };
	CHECK_RC(aiows_conn_info(client, &ci), AIOWS_OK);
	CHECK_TEXT(ci.subprotocol, "b");
	found = 0;
	for (size_t i = 0; i < ci.n_response_headers; i++) {
		found += strcmp(ci.response_headers[i].name, "X-Answer") == 0;
		if (strcmp(ci.response_headers[i].name, "Server") == 0)
			CHECK(strncmp(ci.response_headers[i].value, "aiows/", 6) == 0);
	}
	CHECK_INT(found, 1);
	CHECK_RC(aiows_conn_info(server, &ci), AIOWS_OK);
	CHECK_INT(ci.server, 1);
	CHECK_TEXT(ci.uri, "");
	CHECK_TEXT(ci.request_target, "/path?q=1");

	pair p = { listener, client, server };
	close_pair(loop, &p);
	finish(loop);
}

static void messages_go_both_ways(void)
{
	loop = begin();
	pair p = open_pair(loop, NULL, NULL);
	CHECK_RC(aiows_send(p.client, AIOWS_TEXT, 0, "to the server", 13), AIOWS_OK);
	aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
	CHECK_INT(event.conn, (uintptr_t)p.server);
	CHECK_INT(event.user_data, 2);
	CHECK(memcmp(payload(&event), "to the server", 13) == 0);
	CHECK_RC(aiows_send(p.server, AIOWS_BINARY, 0, "to the client", 13), AIOWS_OK);
	event = wait_event(loop, AIOWS_EV_MESSAGE);
	CHECK_INT(event.conn, (uintptr_t)p.client);
	CHECK_INT(event.user_data, 1);
	CHECK_INT(event.kind, AIOWS_BINARY);
	close_pair(loop, &p);
	finish(loop);
}

static void the_listener_may_end_before_its_connections(void)
{
	loop = begin();
	pair p = open_pair(loop, NULL, NULL);
	CHECK_RC(aiows_listener_close(p.listener), AIOWS_OK);
	CHECK_RC(aiows_listener_close(p.listener), AIOWS_OK);
	CHECK_RC(aiows_send(p.client, AIOWS_TEXT, 0, "still", 5), AIOWS_OK);
	wait_event(loop, AIOWS_EV_MESSAGE);
	close_pair(loop, &p);
	finish(loop);
}

static void check_refused(aiows_conn *client, int status, const char *body)
{
	aiows_event event = wait_any(loop);
	CHECK_INT(event.type, AIOWS_EV_FAILED);
	CHECK_RC(event.code, AIOWS_ERR_STATUS);
	CHECK_INT(event.conn, (uintptr_t)client);
	aiows_conn_info_t info = { .size = sizeof info };
	CHECK_RC(aiows_conn_info(client, &info), AIOWS_OK);
	CHECK_INT(info.response_status, status);
	if (body != NULL) {
		CHECK_INT(info.response_body_len, strlen(body));
		CHECK(memcmp(info.response_body, body, strlen(body)) == 0);
	}
	CHECK_RC(aiows_conn_free(client), AIOWS_OK);
}

static void a_request_is_rejected(void)
{
	aiows_header fields[] = { { "Retry-After", "5" } }, bad[] = { { "a b", "c" } };
	start();
	aiows_conn *client = dial("/", NULL);
	aiows_request *request = wait_request();
	CHECK_RC(aiows_reject(request, 199, NULL, 0, NULL, 0), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_reject(request, 600, NULL, 0, NULL, 0), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_reject(request, 403, NULL, 1, NULL, 0), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_reject(request, 403, NULL, 0, NULL, 1), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_reject(request, 403, bad, 1, NULL, 0), AIOWS_ERR_HEADER);
	CHECK_RC(aiows_reject(request, 403, fields, 1, "go away", 7), AIOWS_OK);
	CHECK_RC(aiows_request_free(request), AIOWS_OK);
	check_refused(client, 403, "go away");
	stop();
}

static void an_unanswered_request_gets_503(void)
{
	start();
	aiows_conn *client = dial("/", NULL);
	CHECK_RC(aiows_request_free(wait_request()), AIOWS_OK);
	check_refused(client, 503, NULL);

	client = dial("/", NULL);
	aiows_request *request = wait_request();
	CHECK_RC(aiows_listener_close(listener), AIOWS_OK);
	check_refused(client, 503, NULL);
	aiows_conn *server;
	int32_t rc = aiows_accept(request, NULL, 0, &server, NULL);
	CHECK(rc == AIOWS_ERR_CLOSED || rc == AIOWS_ERR_STATE);
	CHECK_RC(aiows_request_free(request), AIOWS_OK);
	stop();
}

static int ask_without_upgrade(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = loopback(aiows_listener_port(listener));
	CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
	static const char ask[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	CHECK(send(fd, ask, sizeof ask - 1, 0) == (ssize_t)sizeof ask - 1);
	return fd;
}

// check_answer reads to the end of the stream, and closes.
static void check_answer(int fd, const char *beginning)
{
	char answer[1024] = { 0 };
	size_t have = 0;
	for (int i = 0; i < 2000; i++) {
		aiows_event event;
		size_t n;
		CHECK_RC(aiows_poll(loop, &event, 1, 10, &n), AIOWS_OK);
		CHECK_INT(n, 0);
		ssize_t r = recv(fd, answer + have, sizeof answer - 1 - have, MSG_DONTWAIT);
		if (r == 0)
			break;
		have += r > 0 ? (size_t)r : 0;
	}
	answer[strlen(beginning)] = 0;
	CHECK_TEXT(answer, beginning);
	close(fd);
}

static void what_is_no_upgrade_is_answered(void)
{
	start();
	check_answer(ask_without_upgrade(), "HTTP/1.1 426 ");
	stop();
}

static void the_host_may_answer_what_is_no_upgrade(void)
{
	aiows_listen_options lo;
	aiows_listen_options_init(&lo, sizeof lo);
	lo.any_request = 1;
	loop = begin();
	listener = aiows_listen(loop, "127.0.0.1", 0, &lo, 9, NULL);
	CHECK(listener != NULL);
	for (int answered = 0; answered < 2; answered++) {
		int fd = ask_without_upgrade();
		aiows_request *request = wait_request();
		aiows_request_info_t info = { .size = sizeof info };
		CHECK_RC(aiows_request_info(request, &info), AIOWS_OK);
		CHECK_INT(info.refusal_status, 426);
		CHECK(info.refusal_text[0] != 0);
		int found = 0;
		for (size_t i = 0; i < info.n_refusal_headers; i++)
			found += strcmp(info.refusal_headers[i].name, "Upgrade") == 0;
		CHECK_INT(found, 1);
		if (answered) {
			CHECK_RC(aiows_reject(request, 200, NULL, 0, "fine", 4), AIOWS_OK);
		} else {
			aiows_conn *conn;
			CHECK_RC(aiows_accept(request, NULL, 1, &conn, NULL), AIOWS_ERR_HANDSHAKE);
		}
		CHECK_RC(aiows_request_free(request), AIOWS_OK);
		check_answer(fd, answered ? "HTTP/1.1 200 " : "HTTP/1.1 426 ");
	}
	stop();
}

static void loop_free_ends_unanswered_requests(void)
{
	start();
	dial("/", NULL);
	aiows_request *request = wait_request();
	aiows_request_info_t info = { .size = sizeof info };
	CHECK_RC(aiows_request_info(request, &info), AIOWS_OK);
	CHECK_RC(aiows_loop_free(loop), AIOWS_OK);
	CHECK_RC(aiows_request_free(request), AIOWS_ERR_HANDLE);
	check_baseline();
}

static void a_tls_context_serves_one_side(void)
{
	aiows_listen_options lo;
	aiows_listen_options_init(&lo, sizeof lo);
	aiows_error e = { .size = sizeof e };
	loop = begin();
	lo.tls = aiows_tls_new(NULL, NULL);
	CHECK(aiows_listen(loop, "127.0.0.1", 0, &lo, 0, &e) == NULL);
	CHECK_RC(e.code, AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_tls_free(lo.tls), AIOWS_OK);

	aiows_tls_options so, co;
	aiows_tls_options_init(&so, sizeof so);
	so.server = 1;
	so.cert_file = setting("AIOWS_CERT");
	lo.tls = aiows_tls_new(&so, &e);
	if (lo.tls == NULL)
		fail(__FILE__, __LINE__, e.message);
	aiows_tls_options_init(&co, sizeof co);
	co.ca_file = setting("AIOWS_CA");
	co.server_name = "localhost";
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	lo.open_timeout_ms = o.open_timeout_ms = PATIENCE_MS;
	listener = aiows_listen(loop, "127.0.0.1", 0, &lo, 9, &e);
	CHECK(listener != NULL);
	char uri[64];
	snprintf(uri, sizeof uri, "wss://127.0.0.1:%d/", (int)aiows_listener_port(listener));
	aiows_conn *client, *server;
	o.tls = lo.tls;
	CHECK_RC(aiows_connect(loop, uri, &o, 1, &client, &e), AIOWS_ERR_ARGUMENT);
	o.tls = aiows_tls_new(&co, &e);
	CHECK(o.tls != NULL);
	CHECK_RC(aiows_connect(loop, uri, &o, 1, &client, &e), AIOWS_OK);
	CHECK_RC(aiows_tls_free(o.tls), AIOWS_OK);
	CHECK_RC(aiows_tls_free(lo.tls), AIOWS_OK);
	aiows_request *request = wait_request();
	CHECK_RC(aiows_accept(request, NULL, 2, &server, &e), AIOWS_OK);
	CHECK_RC(aiows_request_free(request), AIOWS_OK);
	wait_event(loop, AIOWS_EV_OPEN);
	wait_event(loop, AIOWS_EV_OPEN);
	CHECK_RC(aiows_send(client, AIOWS_TEXT, 0, "over TLS", 8), AIOWS_OK);
	aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
	CHECK_INT(event.len, 8);
	pair p = { listener, client, server };
	close_pair(loop, &p);
	finish(loop);
}

#define TESTS(X)                                                                                   \
	X(a_request_is_described_and_accepted)                                                     \
	X(messages_go_both_ways)                                                                   \
	X(the_listener_may_end_before_its_connections)                                             \
	X(a_request_is_rejected)                                                                   \
	X(an_unanswered_request_gets_503)                                                          \
	X(what_is_no_upgrade_is_answered)                                                          \
	X(the_host_may_answer_what_is_no_upgrade)                                                  \
	X(loop_free_ends_unanswered_requests)                                                      \
	X(a_tls_context_serves_one_side)
HARNESS_MAIN(TESTS)
