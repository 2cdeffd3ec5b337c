// Where a client connects, and where redirects lead.
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static aiows_loop *loop;

static const char *uri(const char *path)
{
	static char text[256];
	snprintf(text, sizeof text, "%s%s", setting("AIOWS_WS"), path);
	return text;
}

static aiows_connect_options options(void)
{
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	CHECK_INT(o.fd, -1);
	CHECK_INT(o.interleave, 1);
	CHECK_INT(o.happy_eyeballs_delay_ms, 250);
	CHECK_INT(o.tls_handshake_timeout_ms, 60000);
	CHECK_INT(o.tls_shutdown_timeout_ms, 30000);
	CHECK_INT(o.max_redirects, 10);
	return o;
}

// server_port is that of AIOWS_WS.
static int server_port(void)
{
	return atoi(strrchr(setting("AIOWS_WS"), ':') + 1);
}

static int connected(void)
{
	struct sockaddr_in to = loopback(server_port());
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
	return fd;
}

static aiows_conn_info_t described(aiows_conn *conn)
{
	aiows_conn_info_t info = { .size = sizeof info };
	CHECK_RC(aiows_conn_info(conn, &info), AIOWS_OK);
	return info;
}

static aiows_error failed(aiows_conn *conn, int32_t code)
{
	aiows_event event = wait_any(loop);
	CHECK_INT(event.type, AIOWS_EV_FAILED);
	CHECK_RC(event.code, code);
	aiows_error e = { .size = sizeof e };
	CHECK_RC(aiows_conn_error(conn, &e), AIOWS_OK);
	CHECK_RC(e.code, code);
	return e;
}

static void a_given_socket_is_duplicated(void)
{
	loop = begin();
	aiows_connect_options o = options();
	o.fd = connected();
	aiows_conn *conn;
	CHECK_RC(aiows_connect(loop, "ws://name.test/headers", &o, 0, &conn, NULL), AIOWS_OK);
	CHECK_INT(close(o.fd), 0);
	wait_event(loop, AIOWS_EV_OPEN);
	aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
	CHECK(memmem(payload(&event), event.len, "name.test", 9) != NULL);
	aiows_conn_info_t info = described(conn);
	CHECK_TEXT(info.uri, "ws://name.test/headers");
	CHECK(strncmp(info.remote_address, "127.0.0.1:", 10) == 0);
	close_conn(loop, conn);
	finish(loop);
}

static void refuse(aiows_connect_options *o, int32_t code, int os_errno, const char *text)
{
	aiows_error e = { .size = sizeof e };
	aiows_conn *conn = (aiows_conn *)&e;
	CHECK_RC(aiows_connect(loop, "ws://name.test/", o, 0, &conn, &e), code);
	CHECK(conn == NULL);
	CHECK_INT(e.os_errno, os_errno);
	if (strstr(e.message, text) == NULL)
		fail(__FILE__, __LINE__, e.message);
}

static void what_cannot_be_used_is_refused(void)
{
	loop = begin();
	aiows_connect_options o = options();
	o.fd = -2;
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "fd is -2");
	o.fd = 999;
	refuse(&o, AIOWS_ERR_SYSTEM, EBADF, "connect over descriptor 999");
	o.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	refuse(&o, AIOWS_ERR_SYSTEM, ENOTSOCK, "socket");
	close(o.fd);
	o.fd = socket(AF_INET, SOCK_DGRAM, 0);
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "not a stream socket");
	close(o.fd);
	o.fd = socket(AF_INET, SOCK_STREAM, 0);
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "expected a socket that is connected");
	o.unix_path = "/x";
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "a socket together with a Unix socket's path");
	o.unix_path = NULL;
	o.port = 1;
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "a socket together with host or port");
	o.port = 0;
	o.family = 4;
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "local address, local port or family together");
	close(o.fd);
	o = options();
	o.family = 5;
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "family 5, expected 0, 4 or 6");
	o = options();
	o.local_port = 65536;
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "local_port is 65536");
	o = options();
	o.local_address = "";
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "local_address is empty");
	o = options();
	o.unix_path = "";
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "unix_path is empty");
	o = options();
	o.max_redirects = -1;
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "max_redirects is -1");
	o = options();
	o.interleave = -1;
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "interleave is -1");
	o = options();
	o.happy_eyeballs_delay_ms = -1;
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "happy_eyeballs_delay_ms is -1");
	o = options();
	o.reserved = 1;
	refuse(&o, AIOWS_ERR_ARGUMENT, 0, "reserved is 1");
	finish(loop);
}

static void a_unix_socket_is_connected_to(void)
{
	loop = begin();
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int len = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "aiows-%d", (int)getpid());
	aiows_listen_options lo;
	aiows_listen_options_init(&lo, sizeof lo);
	lo.fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(bind(lo.fd, (struct sockaddr *)&name,
	           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0);
	aiows_listener *listener = aiows_listen(loop, NULL, 0, &lo, 0, NULL);
	CHECK(listener != NULL);
	close(lo.fd);

	aiows_connect_options o = options();
	char path[128];
	snprintf(path, sizeof path, "@%s", name.sun_path + 1);
	o.unix_path = path;
	aiows_conn *client, *server;
	CHECK_RC(aiows_connect(loop, "ws://name.test:81/x", &o, 0, &client, NULL), AIOWS_OK);
	aiows_event event = wait_event(loop, AIOWS_EV_REQUEST);
	aiows_request *request = (aiows_request *)(uintptr_t)event.request;
	CHECK_RC(aiows_accept(request, NULL, 0, &server, NULL), AIOWS_OK);
	CHECK_RC(aiows_request_free(request), AIOWS_OK);
	wait_event(loop, AIOWS_EV_OPEN);
	wait_event(loop, AIOWS_EV_OPEN);
	aiows_conn_info_t info = described(client);
	CHECK_TEXT(info.remote_address, path);
	CHECK_TEXT(info.local_address, "");
	CHECK_TEXT(info.request_headers[0].value, "name.test:81");
	CHECK_RC(aiows_conn_free(client), AIOWS_OK);
	CHECK_RC(aiows_conn_free(server), AIOWS_OK);
	CHECK_RC(aiows_listener_free(listener), AIOWS_OK);

	CHECK_RC(aiows_connect(loop, "ws://name.test/", &o, 0, &client, NULL), AIOWS_OK);
	aiows_error e = failed(client, AIOWS_ERR_CONNECT);
	CHECK_INT(e.os_errno, ECONNREFUSED);
	CHECK(strstr(e.message, "unix socket") != NULL);
	CHECK_RC(aiows_conn_free(client), AIOWS_OK);
	finish(loop);
}

static void a_local_address_is_bound(void)
{
	loop = begin();
	aiows_connect_options o = options();
	o.local_address = "127.0.0.9";
	aiows_conn *conn = open_conn(loop, uri("/echo"), &o);
	CHECK(strncmp(described(conn).local_address, "127.0.0.9:", 10) == 0);
	close_conn(loop, conn);
	finish(loop);
}

static void each_address_is_told(void)
{
	loop = begin();
	aiows_conn *conn;
	CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", NULL, 0, &conn, NULL), AIOWS_OK);
	failed(conn, AIOWS_ERR_CONNECT);
	aiows_conn_info_t info = described(conn);
	CHECK_INT(info.n_attempts, 1);
	CHECK_TEXT(info.attempts[0].address, "127.0.0.1:1");
	CHECK_INT(info.attempts[0].os_errno, ECONNREFUSED);
	CHECK_TEXT(info.attempts[0].text, "connection refused (127.0.0.1:1)");
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	finish(loop);
}

static void redirects_are_followed(void)
{
	loop = begin();
	aiows_conn *conn = open_conn(loop, uri("/redirect?/redirect%3F/headers"), NULL);
	char want[256];
	snprintf(want, sizeof want, "%s", uri("/headers"));
	aiows_conn_info_t info = described(conn);
	CHECK_TEXT(info.uri, want);
	CHECK_TEXT(info.request_target, "/headers");
	CHECK_INT(info.response_status, 101);
	CHECK_INT(info.response_body_len, 0);
	wait_event(loop, AIOWS_EV_MESSAGE);
	close_conn(loop, conn);
	finish(loop);
}

static void redirects_that_are_not_followed(void)
{
	static const struct {
		const char *location;
		int32_t max_redirects, port, code;
		const char *text;
	} cases[] = {
		{ "/echo", 0, 0, AIOWS_ERR_STATUS, "server answered 302 Found" },
		{ "/redirect%3F/echo", 1, 0, AIOWS_ERR_HANDSHAKE, "more than 1 redirects" },
		{ "ftp://x/", 10, 0, AIOWS_ERR_URI, "redirect: uri \"ftp://x/\": scheme" },
		{ "ws://x/", 10, 1, AIOWS_ERR_ARGUMENT, "another origin" },
	};
	loop = begin();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		aiows_connect_options o = options();
		char text[256];
		snprintf(text, sizeof text, "/redirect?%s", cases[i].location);
		o.max_redirects = cases[i].max_redirects;
		o.port = cases[i].port ? server_port() : 0;
		aiows_conn *conn;
		CHECK_RC(aiows_connect(loop, uri(text), &o, 0, &conn, NULL), AIOWS_OK);
		aiows_error e = failed(conn, cases[i].code);
		CHECK_INT(e.http_status, 302);
		if (strstr(e.message, cases[i].text) == NULL)
			fail(__FILE__, __LINE__, e.message);
		CHECK_INT(described(conn).response_status, 302);
		CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	}
	finish(loop);
}

// An opening that waits for TCP, for TLS, for the 101, or for the second one behind
// a redirect, ends when the program says so, and leaves nothing: finish looks.
static void an_opening_can_be_ended(void)
{
	enum { TCP, TLS, ANSWER, REDIRECT, STAGES };
	loop = begin();
	int port, full, full_port, fill[3];
	int fd = silent(128, &port);
	full = silent(0, &full_port);
	struct sockaddr_in to = loopback(full_port);
	for (int i = 0; i < 3; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(fill[i], (struct sockaddr *)&to, sizeof to);
	}
	for (int stage = TCP; stage < STAGES; stage++) {
		char text[256];
		snprintf(text, sizeof text, "%s://127.0.0.1:%d/", stage == TLS ? "wss" : "ws",
		         stage == TCP ? full_port : port);
		if (stage == REDIRECT) {
			char location[64];
			snprintf(location, sizeof location, "/redirect?ws://127.0.0.1:%d/", port);
			snprintf(text, sizeof text, "%s", uri(location));
		}
		for (int how = 0; how < 3; how++) {
			aiows_conn *conn;
			aiows_event event;
			size_t n;
			CHECK_RC(aiows_connect(loop, text, NULL, 0, &conn, NULL), AIOWS_OK);
			CHECK_RC(aiows_poll(loop, &event, 1, 20, &n), AIOWS_OK);
			CHECK_INT(n, 0);
			if (how > 0) {
				CHECK_RC(how == 1 ? aiows_close(conn, 1000, NULL)
				                  : aiows_abort(conn),
				         AIOWS_OK);
				failed(conn, AIOWS_ERR_ABORTED);
			}
			CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
		}
	}
	for (int i = 0; i < 3; i++)
		close(fill[i]);
	close(full);
	close(fd);
	finish(loop);
}

#define TESTS(X)                                                                                   \
	X(a_given_socket_is_duplicated)                                                            \
	X(what_cannot_be_used_is_refused)                                                          \
	X(a_unix_socket_is_connected_to)                                                           \
	X(a_local_address_is_bound)                                                                \
	X(each_address_is_told)                                                                    \
	X(redirects_are_followed)                                                                  \
	X(redirects_that_are_not_followed)                                                         \
	X(an_opening_can_be_ended)

HARNESS_MAIN(TESTS)
