// Connections through a proxy, whose address the runner sets.
#include "harness.h"

#include <errno.h>

static aiows_loop *loop;

static const char *joined(const char *a, const char *b, const char *c)
{
	static char texts[64][256];
	static int next;
	char *text = texts[next++ % 64];
	snprintf(text, sizeof texts[0], "%s%s%s", a, b, c);
	return text;
}

static aiows_connect_options options(const char *login)
{
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	CHECK_INT(o.proxy_tls_handshake_timeout_ms, 60000);
	CHECK_INT(o.proxy_tls_shutdown_timeout_ms, 30000);
	o.proxy = joined("http://", login, setting("AIOWS_PROXY"));
	return o;
}

static aiows_conn_info_t described(aiows_conn *conn)
{
	aiows_conn_info_t info = { .size = sizeof info };
	CHECK_RC(aiows_conn_info(conn, &info), AIOWS_OK);
	return info;
}

static void echo(aiows_conn *conn)
{
	CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "hello", 5), AIOWS_OK);
	aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
	CHECK_INT(event.len, 5);
	CHECK(memcmp(payload(&event), "hello", 5) == 0);
}

static void ws_and_wss_go_through(void)
{
	loop = begin();
	aiows_tls_options t;
	aiows_tls_options_init(&t, sizeof t);
	t.ca_file = setting("AIOWS_CA");
	aiows_tls *tls = aiows_tls_new(&t, NULL);
	CHECK(tls != NULL);
	aiows_connect_options o = options("c:p%20ss@");
	for (int secure = 0; secure < 2; secure++) {
		o.tls = secure ? tls : NULL;
		const char *uri = setting(secure ? "AIOWS_WSS" : "AIOWS_WS");
		const char *port = joined(strrchr(uri, ':'), "/echo", "");
		uri = joined(secure ? "wss" : "ws", "://localhost", port);
		aiows_conn *conn = open_conn(loop, uri, &o);
		echo(conn);
		aiows_conn_info_t info = described(conn);
		CHECK_TEXT(info.proxy, joined("http://", setting("AIOWS_PROXY"), ""));
		CHECK_TEXT(info.remote_address, setting("AIOWS_PROXY"));
		CHECK_INT(info.tls_version[0] != 0, secure);
		close_conn(loop, conn);
	}
	CHECK_RC(aiows_tls_free(tls), AIOWS_OK);
	finish(loop);
}

static void an_environment_chooses(void)
{
	loop = begin();
	const char *variables[] = {
		joined("HTTP_PROXY=http://c:p%20ss@", setting("AIOWS_PROXY"), ""),
		"no_proxy=localhost",
	};
	aiows_connect_options o = options("");
	o.proxy = "env";
	o.proxy_environment = variables;
	for (size_t n = 1; n <= 2; n++) {
		o.n_proxy_environment = n;
		aiows_conn *conn = open_conn(loop, joined(setting("AIOWS_WS"), "/echo", ""), &o);
		CHECK(described(conn).proxy[0] == 'h');
		close_conn(loop, conn);
	}
	variables[1] = "no_proxy=127.0.0.1";
	aiows_conn *conn = open_conn(loop, joined(setting("AIOWS_WS"), "/echo", ""), &o);
	CHECK_TEXT(described(conn).proxy, "");
	close_conn(loop, conn);
	finish(loop);
}

static aiows_error failure(const aiows_connect_options *o, aiows_conn **conn)
{
	const char *uri = joined(setting("AIOWS_WS"), "/echo", "");
	CHECK_RC(aiows_connect(loop, uri, o, 0, conn, NULL), AIOWS_OK);
	aiows_event event = wait_any(loop);
	CHECK_INT(event.type, AIOWS_EV_FAILED);
	aiows_error e = { .size = sizeof e };
	CHECK_RC(aiows_conn_error(*conn, &e), AIOWS_OK);
	CHECK_INT(e.code, event.code);
	CHECK(strstr(e.message, "secret") == NULL);
	return e;
}

static void a_refusal_tells_what_the_proxy_said(void)
{
	loop = begin();
	aiows_connect_options o = options("c:secret@");
	aiows_conn *conn;
	aiows_error e = failure(&o, &conn);
	CHECK_RC(e.code, AIOWS_ERR_PROXY);
	CHECK_INT(e.http_status, 407);
	CHECK(strstr(e.message, joined("proxy http://", setting("AIOWS_PROXY"),
	                               ": answered 407 Who Are You: the credentials were "
	                               "refused")) != NULL);
	aiows_conn_info_t info = described(conn);
	CHECK_INT(info.response_status, 407);
	CHECK_TEXT(info.response_reason, "Who Are You");
	CHECK_TEXT(info.response_headers[0].name, "X-Proxy");
	CHECK_INT(info.response_body_len, 4);
	CHECK(memcmp(info.response_body, "tell", 4) == 0);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);

	o.proxy = "socks5://u:secret@127.0.0.1:1";
	e = failure(&o, &conn);
	CHECK_RC(e.code, AIOWS_ERR_CONNECT);
	CHECK_INT(e.os_errno, ECONNREFUSED);
	CHECK(strstr(e.message, "proxy socks5://127.0.0.1:1: connect to ") != NULL);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);

	// The proxy speaks no TLS.
	o.proxy = joined("https://u:secret@", setting("AIOWS_PROXY"), "");
	o.proxy_server_name = "name.test";
	e = failure(&o, &conn);
	CHECK_RC(e.code, AIOWS_ERR_TLS);
	CHECK(strstr(e.message, "the peer answered in plain HTTP") != NULL);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	finish(loop);
}

static void refuse(const aiows_connect_options *o, int32_t code, const char *text)
{
	aiows_error e = { .size = sizeof e };
	aiows_conn *conn = (aiows_conn *)&e;
	CHECK_RC(aiows_connect(loop, "ws://name.test/", o, 0, &conn, &e), code);
	CHECK(conn == NULL);
	if (strstr(e.message, text) == NULL || strstr(e.message, "secret") != NULL)
		fail(__FILE__, __LINE__, e.message);
}

static void what_cannot_be_used_is_refused(void)
{
	loop = begin();
	aiows_connect_options o = options("");
	o.proxy = "ftp://u:secret@name.test/";
	refuse(&o, AIOWS_ERR_ARGUMENT, "proxy \"ftp://name.test/\": scheme \"ftp\", expected http");
	o.proxy = "";
	refuse(&o, AIOWS_ERR_ARGUMENT, "proxy is empty");
	o = options("u:secret@");
	o.proxy_server_name = "x";
	refuse(&o, AIOWS_ERR_ARGUMENT, "expected an https proxy");
	o = options("");
	o.proxy_tls = (aiows_tls *)loop;
	refuse(&o, AIOWS_ERR_HANDLE, "proxy_tls is not a live aiows_tls");
	o = options("");
	o.n_proxy_environment = 1;
	refuse(&o, AIOWS_ERR_ARGUMENT, "proxy_environment is NULL and n_proxy_environment is 1");
	o = options("");
	o.unix_path = "/x";
	refuse(&o, AIOWS_ERR_ARGUMENT, "a proxy together with a socket or a Unix path");
	o = options("");
	o.proxy_tls_handshake_timeout_ms = -1;
	refuse(&o, AIOWS_ERR_ARGUMENT, "proxy_tls_handshake_timeout_ms is -1");
	finish(loop);
}

#define TESTS(X)                                                                                   \
	X(ws_and_wss_go_through)                                                                   \
	X(an_environment_chooses)                                                                  \
	X(a_refusal_tells_what_the_proxy_said)                                                     \
	X(what_cannot_be_used_is_refused)
HARNESS_MAIN(TESTS)
