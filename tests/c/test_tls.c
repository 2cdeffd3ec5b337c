// test_tls.c: encrypted keys, certificates of clients, pins, names, directories, sessions.
#include "harness.h"

#define OTHER_PIN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static aiows_loop *loop;
static aiows_listener *listener;

static aiows_tls *must(const aiows_tls_options *o)
{
	aiows_error e = { .size = sizeof e };
	aiows_tls *tls = aiows_tls_new(o, &e);
	if (tls == NULL)
		fail(__FILE__, __LINE__, e.message);
	return tls;
}

// own fills in the certificate, whose key is encrypted.
static void own(aiows_tls_options *o, const char *password)
{
	o->cert_file = setting("AIOWS_CA");
	o->key_file = setting("AIOWS_KEY");
	o->key_password = password;
}

// serve listens with the certificate; optional is -1 where clients need none.
static void serve(int optional)
{
	aiows_tls_options o;
	const char *alpn[] = { "http/1.1" };
	aiows_tls_options_init(&o, sizeof o);
	own(&o, setting("AIOWS_PASSWORD"));
	o.server = 1;
	o.alpn = alpn;
	o.n_alpn = 1;
	if (optional >= 0) {
		o.ca_file = setting("AIOWS_CA");
		o.client_cert_optional = optional;
	}
	aiows_listen_options lo;
	aiows_listen_options_init(&lo, sizeof lo);
	lo.tls = must(&o);
	lo.open_timeout_ms = PATIENCE_MS;
	listener = aiows_listen(loop, "127.0.0.1", 0, &lo, 0, NULL);
	CHECK(listener != NULL);
	CHECK_RC(aiows_tls_free(lo.tls), AIOWS_OK);
}

static aiows_conn *dial(aiows_tls *tls, const char *name)
{
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	o.tls = tls;
	o.server_name = name;
	o.open_timeout_ms = PATIENCE_MS;
	char uri[64];
	snprintf(uri, sizeof uri, "wss://127.0.0.1:%d/", (int)aiows_listener_port(listener));
	aiows_conn *conn;
	CHECK_RC(aiows_connect(loop, uri, &o, 0, &conn, NULL), AIOWS_OK);
	return conn;
}

// meet opens a connection and hands out what both sides know of it.
static pair meet(aiows_tls *tls, const char *name, aiows_conn_info_t *client,
                 aiows_conn_info_t *server)
{
	pair p = { .listener = listener, .client = dial(tls, name) };
	aiows_event event = wait_any(loop);
	if (event.type == AIOWS_EV_FAILED) {
		aiows_error e = { .size = sizeof e };
		aiows_conn_error(p.client, &e);
		fail(__FILE__, __LINE__, e.message);
	}
	CHECK_INT(event.type, AIOWS_EV_REQUEST);
	aiows_request *request = (aiows_request *)(uintptr_t)event.request;
	CHECK_RC(aiows_accept(request, NULL, 0, &p.server, NULL), AIOWS_OK);
	CHECK_RC(aiows_request_free(request), AIOWS_OK);
	wait_event(loop, AIOWS_EV_OPEN);
	wait_event(loop, AIOWS_EV_OPEN);
	*client = *server = (aiows_conn_info_t){ .size = sizeof *client };
	CHECK_RC(aiows_conn_info(p.client, client), AIOWS_OK);
	CHECK_RC(aiows_conn_info(p.server, server), AIOWS_OK);
	return p;
}

// part ends both connections and leaves the listener alone.
static void part(const pair *p)
{
	CHECK_RC(aiows_close(p->client, 1000, NULL), AIOWS_OK);
	wait_event(loop, AIOWS_EV_CLOSED);
	wait_event(loop, AIOWS_EV_CLOSED);
	CHECK_RC(aiows_conn_free(p->client), AIOWS_OK);
	CHECK_RC(aiows_conn_free(p->server), AIOWS_OK);
}

// refused is about a connection that must fail.
static void refused(aiows_tls *tls, const char *name, int32_t code, const char *text)
{
	aiows_conn *conn = dial(tls, name);
	wait_event(loop, AIOWS_EV_FAILED);
	aiows_error e = { .size = sizeof e };
	CHECK_RC(aiows_conn_error(conn, &e), AIOWS_OK);
	CHECK_RC(e.code, code);
	if (strstr(e.message, text) == NULL)
		fail(__FILE__, __LINE__, e.message);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
}

static void stop(void)
{
	CHECK_RC(aiows_listener_free(listener), AIOWS_OK);
	finish(loop);
}

static void trusting(aiows_tls_options *o)
{
	aiows_tls_options_init(o, sizeof *o);
	o->ca_file = setting("AIOWS_CA");
}

static void wrong_passwords_are_told(void)
{
	aiows_tls_options o;
	aiows_error e = { .size = sizeof e };
	loop = begin();
	aiows_tls_options_init(&o, sizeof o);
	own(&o, "not it");
	CHECK(aiows_tls_new(&o, &e) == NULL);
	CHECK_RC(e.code, AIOWS_ERR_CERTIFICATE);
	CHECK(strstr(e.message, "wrong password") != NULL);
	CHECK(strstr(e.message, "not it") == NULL);
	own(&o, "");
	CHECK(aiows_tls_new(&o, &e) == NULL);
	CHECK(strstr(e.message, "wrong password") != NULL);
	own(&o, NULL);
	CHECK(aiows_tls_new(&o, &e) == NULL);
	CHECK(strstr(e.message, "encrypted, expected a password") != NULL);
	finish(loop);
}

static void clients_show_certificates(void)
{
	aiows_tls_options o;
	aiows_conn_info_t client, server;
	const char *alpn[] = { "acme", "http/1.1" };
	loop = begin();
	for (int optional = 0; optional < 2; optional++) {
		serve(optional);
		trusting(&o);
		aiows_tls *tls = must(&o);
		if (optional) {
			pair p = meet(tls, "localhost", &client, &server);
			CHECK(server.tls_peer_certificate == NULL);
			CHECK_TEXT(client.tls_alpn, "");
			part(&p);
		} else {
			refused(tls, "localhost", AIOWS_ERR_TLS, "it wants a client certificate");
		}
		CHECK_RC(aiows_tls_free(tls), AIOWS_OK);

		own(&o, setting("AIOWS_PASSWORD"));
		o.alpn = alpn;
		o.n_alpn = 2;
		tls = must(&o);
		pair p = meet(tls, "localhost", &client, &server);
		CHECK(client.tls_peer_certificate_len > 100);
		CHECK_INT(client.tls_peer_certificate_len, server.tls_peer_certificate_len);
		CHECK(memcmp(client.tls_peer_certificate, server.tls_peer_certificate,
		             client.tls_peer_certificate_len) == 0);
		CHECK_TEXT(client.tls_alpn, "http/1.1");
		CHECK_TEXT(server.tls_alpn, "http/1.1");
		CHECK_INT(client.tls_resumed, 0);
		part(&p);
		p = meet(tls, "localhost", &client, &server);
		CHECK_INT(client.tls_resumed, 1);
		CHECK_INT(server.tls_resumed, 1);
		part(&p);
		CHECK_RC(aiows_tls_free(tls), AIOWS_OK);
		CHECK_RC(aiows_listener_free(listener), AIOWS_OK);
	}
	finish(loop);
}

static void pins_decide(void)
{
	aiows_tls_options o;
	aiows_conn_info_t client, server;
	const char *pins[] = { OTHER_PIN, setting("AIOWS_PIN") };
	loop = begin();
	serve(-1);
	for (int insecure = 0; insecure < 2; insecure++) {
		trusting(&o);
		o.insecure = insecure;
		o.pins = pins;
		o.n_pins = 2;
		aiows_tls *tls = must(&o);
		pair p = meet(tls, "localhost", &client, &server);
		part(&p);
		CHECK_RC(aiows_tls_free(tls), AIOWS_OK);
		o.n_pins = 1;
		tls = must(&o);
		char text[256];
		snprintf(text, sizeof text, "its pin is %s, expected " OTHER_PIN, pins[1]);
		refused(tls, "localhost", AIOWS_ERR_CERTIFICATE, text);
		CHECK_RC(aiows_tls_free(tls), AIOWS_OK);
	}
	stop();
}

static void any_name_will_do(void)
{
	aiows_tls_options o;
	aiows_conn_info_t client, server;
	loop = begin();
	serve(-1);
	trusting(&o);
	aiows_tls *tls = must(&o);
	refused(tls, "other.example", AIOWS_ERR_CERTIFICATE, "not valid for \"other.example\"");
	CHECK_RC(aiows_tls_free(tls), AIOWS_OK);
	o.any_name = 1;
	tls = must(&o);
	pair p = meet(tls, "other.example", &client, &server);
	part(&p);
	CHECK_RC(aiows_tls_free(tls), AIOWS_OK);
	o.ca_file = NULL; // the system's authorities
	tls = must(&o);
	refused(tls, "other.example", AIOWS_ERR_CERTIFICATE, "self-signed and not trusted");
	CHECK_RC(aiows_tls_free(tls), AIOWS_OK);
	stop();
}

static void a_directory_holds_authorities(void)
{
	aiows_tls_options o;
	aiows_conn_info_t client, server;
	const char *suites[] = { "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" };
	char folder[512];
	snprintf(folder, sizeof folder, "%s", setting("AIOWS_CA"));
	*strrchr(folder, '/') = 0;
	loop = begin();
	serve(-1);
	aiows_tls_options_init(&o, sizeof o);
	o.ca_dir = folder;
	o.max_version = 0x0303;
	o.cipher_suites = suites;
	o.n_cipher_suites = 1;
	aiows_tls *tls = must(&o);
	pair p = meet(tls, "localhost", &client, &server);
	CHECK_TEXT(client.tls_version, "TLS 1.2");
	CHECK_TEXT(client.tls_cipher_suite, suites[0]);
	part(&p);
	CHECK_RC(aiows_tls_free(tls), AIOWS_OK);
	stop();
}

#define TESTS(X)                                                                                   \
	X(wrong_passwords_are_told)                                                                \
	X(clients_show_certificates)                                                               \
	X(pins_decide)                                                                             \
	X(any_name_will_do)                                                                        \
	X(a_directory_holds_authorities)
HARNESS_MAIN(TESTS)
