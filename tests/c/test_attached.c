// Connections without a socket: their bytes go over a socket that the test moves them
// through by hand, or come from the test itself.
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static aiows_loop *loop;

// The pump has cuts: bytes that it moves at a time, 0 for a random number.
static aiows_conn *conn;
static int fd;
static size_t cut;
static int ended;

static size_t piece(size_t most)
{
	static uint32_t seed = 12345;
	if (cut != 0)
		return cut < most ? cut : most;
	seed = seed * 1664525u + 1013904223u;
	return 1 + (seed >> 8) % most;
}

static void carry_out(void)
{
	static char buffer[4096];
	size_t n;
	for (;;) {
		int32_t rc = aiows_drain(conn, buffer, piece(sizeof buffer), &n);
		if (n == 0) {
			if (rc == AIOWS_ERR_CLOSED)
				shutdown(fd, SHUT_WR);
			else
				CHECK_RC(rc, AIOWS_OK);
			return;
		}
		CHECK_RC(rc, AIOWS_OK);
		CHECK_INT(send(fd, buffer, n, MSG_NOSIGNAL), n);
	}
}

static void carry_in(void)
{
	static char buffer[4096];
	ssize_t n = recv(fd, buffer, piece(sizeof buffer), MSG_DONTWAIT);
	if (n > 0) {
		int32_t rc = aiows_feed(conn, buffer, (size_t)n);
		CHECK(rc == AIOWS_OK || rc == AIOWS_PENDING || rc == AIOWS_ERR_CLOSED);
	} else if (n == 0 && !ended) {
		ended = 1;
		CHECK_RC(aiows_feed_end(conn, 0, NULL), AIOWS_OK);
	}
}

// pump_until moves bytes until an event of the type comes.
static aiows_event pump_until(uint32_t type)
{
	for (int i = 0; i < 2000000; i++) {
		aiows_event event;
		size_t n;
		CHECK_RC(aiows_poll(loop, &event, 1, 0, &n), AIOWS_OK);
		if (n == 1 && event.type == type)
			return event;
		if (n == 1) {
			CHECK(event.type != AIOWS_EV_FAILED && event.type != AIOWS_EV_CLOSED);
			continue;
		}
		carry_out();
		carry_in();
		struct pollfd fds[] = { { .fd = fd, .events = POLLIN },
		                        { .fd = aiows_loop_fd(loop), .events = POLLIN } };
		poll(fds, 2, 20);
	}
	fail(__FILE__, __LINE__, "an event while pumping");
	abort();
}

static void attach_over(int socket, const aiows_connect_options *options)
{
	aiows_error e = { .size = sizeof e };
	char uri[256];
	snprintf(uri, sizeof uri, "%s/echo", setting("AIOWS_WS"));
	fd = socket;
	ended = 0;
	if (aiows_attach(loop, uri, options, 7, &conn, &e) != AIOWS_OK)
		fail(__FILE__, __LINE__, e.message);
}

static int dial(void)
{
	struct sockaddr_in to = loopback(atoi(strrchr(setting("AIOWS_WS"), ':') + 1));
	int s = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(s >= 0);
	CHECK_INT(connect(s, (struct sockaddr *)&to, sizeof to), 0);
	return s;
}

static void echo_over_a_pump(size_t at_a_time, const char *text, size_t len)
{
	cut = at_a_time;
	aiows_conn_options co;
	aiows_conn_options_init(&co, sizeof co);
	co.compression = AIOWS_COMPRESSION_DEFLATE;
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	o.conn = &co;
	attach_over(dial(), &o);
	aiows_event event = pump_until(AIOWS_EV_OPEN);
	CHECK_INT(event.conn, (uintptr_t)conn);
	CHECK_INT(event.user_data, 7);
	aiows_conn_info_t info = { .size = sizeof info };
	CHECK_RC(aiows_conn_info(conn, &info), AIOWS_OK);
	CHECK_TEXT(info.remote_address, "");
	CHECK_INT(info.response_status, 101);
	for (int i = 0; i < 3; i++) {
		int32_t rc = aiows_send(conn, AIOWS_TEXT, AIOWS_FORCE, text, len);
		CHECK(rc == AIOWS_OK || rc == AIOWS_PENDING);
		event = pump_until(AIOWS_EV_MESSAGE);
		CHECK_INT(event.len, len);
		CHECK(memcmp(payload(&event), text, len) == 0);
	}
	CHECK_RC(aiows_close(conn, 1000, "bye"), AIOWS_OK);
	event = pump_until(AIOWS_EV_CLOSED);
	CHECK_INT(event.code, 1000);
	CHECK(event.flags & AIOWS_EVF_CLEAN);
	size_t n;
	CHECK_RC(aiows_drain(conn, &event, 1, &n), AIOWS_ERR_CLOSED);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	close(fd);
}

static void echoes_in_any_cuts(void)
{
	static char big[100000];
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)('a' + (i * 2654435761u >> 13) % 26);
	loop = begin();
	echo_over_a_pump(1, "one byte at a time", 18);
	echo_over_a_pump(0, big, sizeof big);
	echo_over_a_pump(4096, big, sizeof big);
	finish(loop);
}

static void drop_output(void)
{
	char buffer[1000];
	size_t n;
	do {
		CHECK_RC(aiows_drain(conn, buffer, sizeof buffer, &n), AIOWS_OK);
	} while (n > 0);
}

static void open_by_pump(void)
{
	cut = 4096;
	attach_over(dial(), NULL);
	pump_until(AIOWS_EV_OPEN);
}

static void aborts_in_each_state(void)
{
	loop = begin();
	for (int state = 0; state < 4; state++) {
		if (state < 2)
			attach_over(-1, NULL);
		else
			open_by_pump();
		if (state == 1) {
			drop_output();
			CHECK_RC(aiows_feed(conn, "HTTP/1.1 403 No\r\n\r\nsome", 23), AIOWS_OK);
			no_event(loop);
		}
		if (state == 3)
			CHECK_RC(aiows_close(conn, 1000, NULL), AIOWS_OK);
		CHECK_RC(aiows_feed(conn, "\x81", 1), AIOWS_OK);
		CHECK_RC(aiows_abort(conn), AIOWS_OK);
		aiows_event event;
		do {
			event = wait_any(loop);
		} while (event.type == AIOWS_EV_OUTPUT);
		CHECK_INT(event.type, state < 2 ? AIOWS_EV_FAILED : AIOWS_EV_CLOSED);
		aiows_error e = { .size = sizeof e };
		CHECK_RC(aiows_conn_error(conn, &e), AIOWS_OK);
		CHECK_INT(e.code, AIOWS_ERR_ABORTED);
		char byte;
		size_t n = 9;
		CHECK_RC(aiows_drain(conn, &byte, 1, &n), AIOWS_ERR_CLOSED);
		CHECK_INT(n, 0);
		CHECK_RC(aiows_feed(conn, "x", 1), AIOWS_ERR_CLOSED);
		CHECK_RC(aiows_feed_end(conn, 0, NULL), AIOWS_ERR_CLOSED);
		CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
		if (fd >= 0)
			close(fd);
	}
	finish(loop);
}

static void garbage_ends_it(void)
{
	loop = begin();
	attach_over(-1, NULL);
	CHECK_RC(aiows_feed(conn, "SSH-2.0-OpenSSH\r\n", 17), AIOWS_OK);
	aiows_event event;
	do {
		event = wait_any(loop);
	} while (event.type == AIOWS_EV_OUTPUT);
	CHECK_INT(event.type, AIOWS_EV_FAILED);
	CHECK_INT(event.code, AIOWS_ERR_HANDSHAKE);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);

	open_by_pump();
	static char noise[70000];
	memset(noise, 0xff, sizeof noise);
	CHECK_RC(aiows_feed(conn, noise, sizeof noise), AIOWS_OK);
	wait_event(loop, AIOWS_EV_OUTPUT);
	size_t n;
	// The Close frame at once: the watchdog may be quick to put the end behind it.
	CHECK_RC(aiows_drain(conn, noise, sizeof noise, &n), AIOWS_OK);
	CHECK(n > 0);
	wait_event(loop, AIOWS_EV_OUTPUT); // the end of the output
	CHECK_RC(aiows_drain(conn, noise, 1, &n), AIOWS_ERR_CLOSED);
	CHECK_RC(aiows_feed_end(conn, ECONNRESET, "the tunnel fell in"), AIOWS_OK);
	CHECK_INT(wait_event(loop, AIOWS_EV_CLOSED).close_sent, 1002);
	aiows_error e = { .size = sizeof e };
	CHECK_RC(aiows_conn_error(conn, &e), AIOWS_OK);
	CHECK_INT(e.code, AIOWS_ERR_PROTOCOL);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	close(fd);
	finish(loop);
}

static void frees_with_bytes_in_flight(void)
{
	static char big[300000];
	loop = begin();
	for (int way = 0; way < 4; way++) {
		if (way == 0)
			attach_over(-1, NULL);
		else
			open_by_pump();
		if (way > 0)
			CHECK_RC(aiows_send(conn, AIOWS_BINARY, AIOWS_FORCE, big, sizeof big),
			         AIOWS_PENDING);
		if (way == 2)
			CHECK_RC(aiows_pause(conn), AIOWS_OK);
		// A frame of 70,000 bytes, most of it.
		CHECK_RC(aiows_feed(conn, "\x82\x7f\0\0\0\0\0\x01\x11\x70", 10), AIOWS_OK);
		CHECK_RC(aiows_feed(conn, big, 60000), AIOWS_OK);
		if (way > 1) {
			aiows_event events[8];
			size_t n;
			CHECK_RC(aiows_poll(loop, events, 8, 0, &n), AIOWS_OK);
		}
		if (way < 3) {
			CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
		} else { // the loop ends it
			CHECK_RC(aiows_loop_free(loop), AIOWS_OK);
			CHECK_RC(aiows_feed(conn, "x", 1), AIOWS_ERR_HANDLE);
			loop = NULL;
		}
		if (fd >= 0)
			close(fd);
	}
	check_baseline();
}

static void holds_back(void)
{
	static char frame[50000] = { (char)0x82, 0x7e, (char)0xc3, 0x4c };
	aiows_conn_options co;
	aiows_conn_options_init(&co, sizeof co);
	co.read_ahead = 100000;
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	o.conn = &co;
	loop = begin();
	cut = 4096;
	attach_over(dial(), &o);
	pump_until(AIOWS_EV_OPEN);
	CHECK_RC(aiows_pause(conn), AIOWS_OK);
	CHECK_RC(aiows_feed(conn, NULL, 0), AIOWS_OK);
	int fed = 0;
	int32_t rc;
	while ((rc = aiows_feed(conn, frame, sizeof frame)) == AIOWS_OK && ++fed < 100) {
		aiows_event event;
		size_t n;
		CHECK_RC(aiows_poll(loop, &event, 1, 0, &n), AIOWS_OK);
		CHECK_INT(n, 0);
	}
	CHECK_RC(rc, AIOWS_PENDING);
	CHECK(++fed == 2 || fed == 3);
	CHECK_RC(aiows_feed(conn, frame, sizeof frame), AIOWS_ERR_AGAIN);
	CHECK_RC(aiows_resume(conn), AIOWS_OK);
	for (int told = 0, again = 0; told < fed || again < 1;) {
		aiows_event event = wait_any(loop);
		CHECK(event.type == AIOWS_EV_MESSAGE || event.type == AIOWS_EV_INPUT);
		told += event.type == AIOWS_EV_MESSAGE;
		again += event.type == AIOWS_EV_INPUT;
	}
	no_event(loop);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	close(fd);
	finish(loop);
}

static void redirects_lead_on(void)
{
	static const char answer[] = "HTTP/1.1 307 Go\r\nLocation: wss://other.example/x\r\n"
				     "Content-Length: 0\r\n\r\n";
	loop = begin();
	aiows_header secret = { "Cookie", "a=b" };
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	o.headers = &secret;
	o.n_headers = 1;
	attach_over(-1, &o);
	aiows_conn *next = conn;
	CHECK_RC(aiows_attach_redirect(conn, 0, &next, NULL), AIOWS_ERR_STATE);
	CHECK(next == NULL);
	CHECK_RC(aiows_feed(conn, answer, strlen(answer)), AIOWS_OK);
	aiows_event event;
	do {
		event = wait_any(loop);
	} while (event.type == AIOWS_EV_OUTPUT);
	CHECK_INT(event.code, AIOWS_ERR_STATUS);
	CHECK_RC(aiows_attach_redirect(conn, 9, NULL, NULL), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_attach_redirect(conn, 9, &next, NULL), AIOWS_OK);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	conn = next;
	CHECK_RC(aiows_attach_redirect(conn, 9, &next, NULL), AIOWS_ERR_STATE);
	event = wait_event(loop, AIOWS_EV_OUTPUT);
	CHECK_INT(event.user_data, 9);
	aiows_conn_info_t info = { .size = sizeof info };
	CHECK_RC(aiows_conn_info(conn, &info), AIOWS_OK);
	CHECK_TEXT(info.uri, "wss://other.example/x");
	char request[1000] = "";
	size_t n;
	CHECK_RC(aiows_drain(conn, request, sizeof request - 1, &n), AIOWS_OK);
	CHECK(strstr(request, "GET /x HTTP/1.1\r\nHost: other.example\r\n") == request);
	CHECK(strstr(request, "Cookie") == NULL);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	finish(loop);
}

static void the_library_connects(void)
{
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	CHECK_INT(o.dial, 0);
	o.dial = 1;
	loop = begin();
	cut = 4096;
	for (int take = 0; take < 3; take++) {
		o.local_address = take == 2 ? "127.0.0.3" : NULL;
		attach_over(-1, &o);
		CHECK_RC(aiows_take_socket(conn), AIOWS_ERR_STATE);
		wait_event(loop, AIOWS_EV_SOCKET);
		if (take > 0) {
			fd = aiows_take_socket(conn);
			CHECK(fd >= 0);
			CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
			CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
			CHECK_RC(aiows_take_socket(conn), AIOWS_ERR_STATE);
			pump_until(AIOWS_EV_OPEN);
			aiows_conn_info_t info = { .size = sizeof info };
			CHECK_RC(aiows_conn_info(conn, &info), AIOWS_OK);
			CHECK_TEXT(strrchr(info.remote_address, ':'),
			           strrchr(setting("AIOWS_WS"), ':'));
			CHECK(take == 1 || strncmp(info.local_address, "127.0.0.3:", 10) == 0);
		}
		CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
		if (take > 0)
			close(fd);
	}
	o.local_address = NULL;
	o.port = 1;
	attach_over(-1, &o);
	CHECK_INT(wait_any(loop).type, AIOWS_EV_FAILED);
	aiows_error e = { .size = sizeof e };
	CHECK_RC(aiows_conn_error(conn, &e), AIOWS_OK);
	CHECK_INT(e.code, AIOWS_ERR_CONNECT);
	CHECK_INT(e.os_errno, ECONNREFUSED);
	CHECK_RC(aiows_take_socket(conn), AIOWS_ERR_STATE);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);

	CHECK_RC(aiows_connect(loop, "ws://x/", &o, 0, &conn, &e), AIOWS_ERR_ARGUMENT);
	CHECK(strstr(e.message, "dial") != NULL);
	o.dial = 2;
	CHECK_RC(aiows_attach(loop, "ws://x/", &o, 0, &conn, &e), AIOWS_ERR_ARGUMENT);
	o.dial = 1;
	o.server_name = "x";
	CHECK_RC(aiows_attach(loop, "ws://x/", &o, 0, &conn, &e), AIOWS_ERR_ARGUMENT);
	CHECK(strstr(e.message, "server name") != NULL);
	finish(loop);
}

static void says_what_it_cannot(void)
{
	loop = begin();
	aiows_error e = { .size = sizeof e };
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	o.port = 1;
	CHECK_RC(aiows_attach(loop, "ws://x/", &o, 0, &conn, &e), AIOWS_ERR_ARGUMENT);
	CHECK(conn == NULL);
	CHECK(strstr(e.message, "a host or port") != NULL);
	CHECK_RC(aiows_attach(loop, "http://x/", NULL, 0, &conn, &e), AIOWS_ERR_URI);
	CHECK_RC(aiows_attach(loop, NULL, NULL, 0, &conn, &e), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_attach(loop, "ws://x/", NULL, 0, NULL, &e), AIOWS_ERR_ARGUMENT);
	CHECK_RC(aiows_attach(NULL, "ws://x/", NULL, 0, &conn, &e), AIOWS_ERR_HANDLE);
	finish(loop);
}

#define TESTS(X)                                                                                   \
	X(echoes_in_any_cuts)                                                                      \
	X(aborts_in_each_state)                                                                    \
	X(garbage_ends_it)                                                                         \
	X(frees_with_bytes_in_flight)                                                              \
	X(holds_back)                                                                              \
	X(the_library_connects)                                                                    \
	X(redirects_lead_on)                                                                       \
	X(says_what_it_cannot)

HARNESS_MAIN(TESTS)
