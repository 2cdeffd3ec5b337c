// echo.c - a server that sends every message back.
//
//     cc -std=c99 -Iinclude examples/c/echo.c -Lbuild -laiows -o echo
//     ./echo 8000
//     ./echo -a 0.0.0.0 -c cert.pem -k key.pem -s chat -o https://example.com 443
//
// Prints the port, which port 0 lets the system choose. SIGINT and SIGTERM close
// every connection with 1001 and end it; a second one does not wait for the clients.
#define _XOPEN_SOURCE 700 // getopt, pselect, sigaction

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/select.h>
#include <unistd.h>

#include "aiows.h"

enum { MAX_NAMES = 16 };

// names is what an option that may be repeated was given.
typedef struct names {
	const char *list[MAX_NAMES];
	size_t n;
} names;

typedef struct settings {
	const char *host;
	int32_t port;
	const char *cert, *key;
	names subprotocols; // by preference; none: no subprotocol
	names origins;      // that may connect; none: any
	size_t max_clients;
	aiows_listen_options listen;
	aiows_conn_options conn;
} settings;

// client is a connection and its place in the list of all.
typedef struct client {
	aiows_conn *conn;
	struct client *next, **link; // *link is this
} client;

static settings set;
static client *clients;
static size_t n_clients;
static volatile sig_atomic_t signals; // how many came

// ---------------------------------------------------------------- connections

// Events hold addresses as integers, so that every language reads one layout.
static aiows_conn *conn_of(const aiows_event *event)
{
	return (aiows_conn *)(uintptr_t)event->conn;
}

static client *client_new(void)
{
	client *c = malloc(sizeof *c);
	if (c != NULL) {
		c->next = clients;
		c->link = &clients;
		if (clients != NULL)
			clients->link = &c->next;
		clients = c;
		n_clients++;
	}
	return c;
}

static void client_free(client *c)
{
	*c->link = c->next;
	if (c->next != NULL)
		c->next->link = c->link;
	n_clients--;
	free(c);
}

// echo queues the message whatever is pending, and reads no more from a client
// that does not read what it gets: WRITABLE says when it did.
static void echo(const aiows_event *event)
{
	int32_t rc = aiows_send(conn_of(event), event->kind, AIOWS_FORCE,
	                        (const void *)(uintptr_t)event->data, (size_t)event->len);
	if (rc == AIOWS_PENDING)
		aiows_pause(conn_of(event));
}

// ---------------------------------------------------------------- requests

// origin returns the request's Origin, which browsers always send, or NULL.
static const char *origin(const aiows_request_info_t *info)
{
	for (size_t i = 0; i < info->n_headers; i++)
		if (strcasecmp(info->headers[i].name, "Origin") == 0)
			return info->headers[i].value;
	return NULL;
}

static int contains(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], name) == 0)
			return 1;
	return 0;
}

static void refuse(aiows_request *request, int32_t status, const char *name, const char *value,
                   const char *body)
{
	const aiows_header headers[] = { { "Content-Type", "text/plain" }, { name, value } };
	aiows_reject(request, status, headers, name != NULL ? 2 : 1, body, strlen(body));
}

static void welcome(aiows_request *request, const char *subprotocol)
{
	char limit[32];
	snprintf(limit, sizeof limit, "%" PRIu64, set.conn.max_message_size);
	const aiows_header headers[] = { { "X-Max-Message-Size", limit } };

	aiows_accept_options options;
	aiows_accept_options_init(&options, sizeof options);
	options.subprotocol = subprotocol;
	options.headers = headers;
	options.n_headers = 1;
	options.conn = &set.conn;

	client *c = client_new();
	if (c == NULL) {
		refuse(request, 503, "Retry-After", "10", "out of memory\n");
		return;
	}
	aiows_error error;
	error.size = sizeof error;
	int32_t rc = aiows_accept(request, &options, (uintptr_t)c, &c->conn, &error);
	if (rc == AIOWS_OK)
		return;
	if (rc != AIOWS_ERR_CLOSED) // the client left meanwhile
		fprintf(stderr, "accept: %s\n", error.message);
	client_free(c);
}

static void answer(aiows_request *request)
{
	aiows_request_info_t info;
	info.size = sizeof info;
	if (aiows_request_info(request, &info) != AIOWS_OK)
		return;

	const char *from = origin(&info), *chosen = NULL;
	for (size_t i = 0; i < set.subprotocols.n && chosen == NULL; i++)
		if (contains(info.subprotocols, info.n_subprotocols, set.subprotocols.list[i]))
			chosen = set.subprotocols.list[i];

	if (n_clients >= set.max_clients)
		refuse(request, 503, "Retry-After", "10", "too many connections\n");
	else if (from != NULL && set.origins.n > 0 &&
	         !contains(set.origins.list, set.origins.n, from))
		refuse(request, 403, NULL, NULL, "this origin may not connect\n");
	else if (chosen == NULL && set.subprotocols.n > 0)
		refuse(request, 400, NULL, NULL, "none of the subprotocols is spoken here\n");
	else
		welcome(request, chosen);
}

// ---------------------------------------------------------------- the loop

static void handle(const aiows_event *event)
{
	switch (event->type) {
	case AIOWS_EV_REQUEST:
		// Answered at once here; it could be kept and answered later.
		answer((aiows_request *)(uintptr_t)event->request);
		aiows_request_free((aiows_request *)(uintptr_t)event->request);
		break;
	case AIOWS_EV_MESSAGE:
		echo(event);
		break;
	case AIOWS_EV_WRITABLE:
		aiows_resume(conn_of(event));
		break;
	case AIOWS_EV_CLOSED:
	case AIOWS_EV_FAILED:
		aiows_conn_free(conn_of(event));
		client_free((client *)(uintptr_t)event->user_data);
		break;
	}
}

static void on_signal(int number)
{
	(void)number;
	signals++;
}

// run serves until signals says stop: the first one closes the connections, the
// second one gives up on them.
//
// The signals stay blocked but while it waits, so that none comes unnoticed between
// the look at the counter and the wait.
static int32_t run(aiows_loop *loop, aiows_listener *listener, const sigset_t *unblocked)
{
	int closing = 0;
	int fd = aiows_loop_fd(loop);
	while (signals < 2 && !(closing && n_clients == 0)) {
		if (signals > 0 && !closing) {
			closing = 1;
			aiows_listener_close(listener);
			for (client *c = clients; c != NULL; c = c->next)
				aiows_close(c->conn, 1001, "the server ends");
			continue;
		}
		fd_set readable;
		FD_ZERO(&readable);
		FD_SET(fd, &readable);
		if (pselect(fd + 1, &readable, NULL, NULL, NULL, unblocked) < 0 && errno != EINTR)
			return AIOWS_ERR_SYSTEM;
		aiows_event events[64];
		size_t n;
		int32_t rc = aiows_poll(loop, events, 64, 0, &n);
		if (rc != AIOWS_OK)
			return rc;
		for (size_t i = 0; i < n; i++)
			handle(&events[i]);
	}
	return AIOWS_OK;
}

static aiows_tls *load_certificate(aiows_error *error)
{
	aiows_tls_options options;
	aiows_tls_options_init(&options, sizeof options);
	options.server = 1;
	options.cert_file = set.cert;
	options.key_file = set.key;
	return aiows_tls_new(&options, error);
}

static int serve(const sigset_t *unblocked)
{
	aiows_error error;
	error.size = sizeof error;
	aiows_listener *listener = NULL;
	aiows_loop *loop = aiows_loop_new(NULL, &error);
	if (loop != NULL && set.cert != NULL)
		set.listen.tls = load_certificate(&error);
	if (loop != NULL && (set.cert == NULL || set.listen.tls != NULL))
		listener = aiows_listen(loop, set.host, set.port, &set.listen, 0, &error);
	if (set.listen.tls != NULL)
		aiows_tls_free(set.listen.tls); // the listener keeps it
	int32_t rc = AIOWS_ERR_SYSTEM;
	if (listener == NULL) {
		fprintf(stderr, "%s\n", error.message);
	} else {
		printf("%" PRId32 "\n", aiows_listener_port(listener));
		fflush(stdout);
		rc = run(loop, listener, unblocked);
		if (rc != AIOWS_OK)
			fprintf(stderr, "poll: %s\n", aiows_strerror(rc));
	}
	aiows_loop_free(loop); // and every handle of it
	while (clients != NULL)
		client_free(clients);
	return rc == AIOWS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

// ---------------------------------------------------------------- options

static int usage(const char *program)
{
	fprintf(stderr,
	        "usage: %s [options] [PORT]\n"
	        "  -a ADDRESS      to listen on, \"\" for every one (127.0.0.1)\n"
	        "  -c FILE         certificate chain in PEM, for wss\n"
	        "  -k FILE         its key, unless the chain's file holds it\n"
	        "  -s SUBPROTOCOL  spoken here; may be repeated, preferred ones first\n"
	        "  -o ORIGIN       that may connect; may be repeated (any)\n"
	        "  -n NUMBER       of connections at a time (100000)\n"
	        "  -m BYTES        in a message at most (1048576)\n"
	        "  -z              permessage-deflate for clients that offer it\n"
	        "  -t SECONDS      for the opening and for the closing handshake (10)\n"
	        "  -p SECONDS      between pings, and for the answer to one (20)\n",
	        program);
	return 2;
}

static int number(const char *text, long long least, long long most, long long *out)
{
	char *end;
	errno = 0;
	*out = strtoll(text, &end, 10);
	return errno == 0 && end != text && *end == 0 && *out >= least && *out <= most;
}

static int add(names *to, const char *name)
{
	if (to->n == MAX_NAMES)
		return 0;
	to->list[to->n++] = name;
	return 1;
}

// read_options returns whether the arguments make sense.
static int read_options(int argc, char **argv)
{
	set.host = "127.0.0.1";
	set.max_clients = 100000;
	aiows_listen_options_init(&set.listen, sizeof set.listen);
	aiows_conn_options_init(&set.conn, sizeof set.conn);
	int option, ok = 1;
	long long n = 0;
	while (ok && (option = getopt(argc, argv, "a:c:k:s:o:n:m:zt:p:")) != -1) {
		switch (option) {
		case 'a':
			set.host = optarg;
			break;
		case 'c':
			set.cert = optarg;
			break;
		case 'k':
			set.key = optarg;
			break;
		case 's':
			ok = add(&set.subprotocols, optarg);
			break;
		case 'o':
			ok = add(&set.origins, optarg);
			break;
		case 'n':
			ok = number(optarg, 1, 10000000, &n);
			set.max_clients = (size_t)n;
			break;
		case 'm':
			ok = number(optarg, 1, 1LL << 40, &n);
			set.conn.max_message_size = (uint64_t)n;
			break;
		case 'z':
			set.conn.compression = AIOWS_COMPRESSION_DEFLATE;
			break;
		case 't':
			ok = number(optarg, 1, 1000000, &n);
			set.listen.open_timeout_ms = set.conn.close_timeout_ms = 1000 * n;
			break;
		case 'p':
			ok = number(optarg, 1, 1000000, &n);
			set.conn.ping_interval_ms = set.conn.ping_timeout_ms = 1000 * n;
			break;
		default:
			ok = 0;
		}
	}
	if (ok && optind < argc)
		ok = number(argv[optind++], 0, 65535, &n) && (set.port = (int32_t)n, 1);
	return ok && optind == argc && (set.key == NULL || set.cert != NULL);
}

int main(int argc, char **argv)
{
	if (!read_options(argc, argv))
		return usage(argv[0]);

	// The Go runtime inside the library needs SA_ONSTACK on every handler.
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = on_signal;
	action.sa_flags = SA_ONSTACK;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);

	sigset_t ours, unblocked;
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigprocmask(SIG_BLOCK, &ours, &unblocked);
	return serve(&unblocked);
}
