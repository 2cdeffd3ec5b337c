#include "harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// The library that the tests load was built with the tag aiows_test.
int32_t aiows_test_goroutines(void);

static const char *running = "";

void fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s: check failed: %s\n", file, line, running, what);
	exit(1);
}

void check_int(const char *file, int line, const char *what, int64_t got, int64_t want)
{
	if (got == want)
		return;
	fprintf(stderr, "%s:%d: %s: %s is %" PRId64 ", expected %" PRId64 "\n", file, line, running,
	        what, got, want);
	exit(1);
}

void check_rc(const char *file, int line, const char *what, int32_t got, int32_t want)
{
	if (got == want)
		return;
	fprintf(stderr, "%s:%d: %s: %s is %" PRId32 " (%s), expected %" PRId32 " (%s)\n", file,
	        line, running, what, got, aiows_strerror(got), want, aiows_strerror(want));
	exit(1);
}

void check_text(const char *file, int line, const char *what, const char *got, const char *want)
{
	if (got != NULL && strcmp(got, want) == 0)
		return;
	fprintf(stderr, "%s:%d: %s: %s is \"%s\", expected \"%s\"\n", file, line, running, what,
	        got ? got : "(null)", want);
	exit(1);
}

const char *setting(const char *name)
{
	const char *value = getenv(name);
	if (value == NULL) {
		fprintf(stderr, "%s is not set\n", name);
		exit(1);
	}
	return value;
}

// ---------------------------------------------------------------- what is left

static int descriptors(void)
{
	int n = 0;
	DIR *dir = opendir("/proc/self/fd");
	if (dir == NULL)
		fail(__FILE__, __LINE__, "opendir(\"/proc/self/fd\")");
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static int base_descriptors;
static int base_goroutines;

static void nap(void)
{
	const struct timespec t = { 0, 5 * 1000 * 1000 };
	nanosleep(&t, NULL);
}

// warm_up makes the Go runtime open what it keeps for good: its own epoll set.
static void warm_up(void)
{
	aiows_loop *loop = aiows_loop_new(NULL, NULL);
	aiows_conn *conn;
	CHECK(loop != NULL);
	CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", NULL, 0, &conn, NULL), AIOWS_OK);
	wait_event(loop, AIOWS_EV_FAILED);
	CHECK_RC(aiows_loop_free(loop), AIOWS_OK);
}

aiows_loop *begin(void)
{
	static int warm;
	if (!warm) {
		base_goroutines = aiows_test_goroutines();
		warm_up();
		for (int i = 0; i < PATIENCE_MS / 5 && aiows_test_goroutines() > base_goroutines;
		     i++)
			nap();
		base_descriptors = descriptors();
		warm = 1;
	}
	aiows_error e = { .size = sizeof e };
	aiows_loop *loop = aiows_loop_new(NULL, &e);
	if (loop == NULL)
		fail(__FILE__, __LINE__, e.message);
	return loop;
}

void check_baseline(void)
{
	// A goroutine may be on its way out.
	for (int i = 0; i < 1000; i++) {
		if (aiows_test_goroutines() <= base_goroutines && descriptors() == base_descriptors)
			return;
		nap();
	}
	check_int(__FILE__, __LINE__, "goroutines", aiows_test_goroutines(), base_goroutines);
	check_int(__FILE__, __LINE__, "descriptors", descriptors(), base_descriptors);
}

void finish(aiows_loop *loop)
{
	aiows_loop_stats_t stats = { .size = sizeof stats };
	aiows_event events[16];
	size_t n;
	for (int i = 0; i < PATIENCE_MS / 5; i++) {
		CHECK_RC(aiows_poll(loop, events, 16, 0, &n), AIOWS_OK);
		CHECK_RC(aiows_loop_stats(loop, &stats), AIOWS_OK);
		if (stats.connections == 0)
			break;
		nap();
	}
	// What the events of a batch point to is free again with the next one.
	do {
		CHECK_RC(aiows_poll(loop, events, 16, 0, &n), AIOWS_OK);
	} while (n > 0);
	CHECK_RC(aiows_trim(loop), AIOWS_OK);
	CHECK_RC(aiows_loop_stats(loop, &stats), AIOWS_OK);
	CHECK_INT(stats.connections, 0);
	CHECK_INT(stats.listeners, 0);
	CHECK_INT(stats.handles, 1);
	CHECK(stats.blocks <= 1); // what the next poll reads into
	CHECK(stats.block_bytes <= 256 << 10);
	CHECK_RC(aiows_loop_free(loop), AIOWS_OK);
	check_baseline();
}

// ---------------------------------------------------------------- events

aiows_event wait_any(aiows_loop *loop)
{
	// One at a time: more would be lost to the caller.
	aiows_event event;
	size_t n = 0;
	for (int i = 0; i < PATIENCE_MS / 10 && n == 0; i++)
		CHECK_RC(aiows_poll(loop, &event, 1, 10, &n), AIOWS_OK);
	CHECK_INT(n, 1);
	return event;
}

aiows_event wait_event(aiows_loop *loop, uint32_t type)
{
	for (int i = 0; i < 100000; i++) {
		aiows_event event = wait_any(loop);
		if (event.type == type)
			return event;
		if (event.type == AIOWS_EV_FAILED) {
			aiows_error e = { .size = sizeof e };
			aiows_conn_error((aiows_conn *)(uintptr_t)event.conn, &e);
			fail(__FILE__, __LINE__, e.message);
		}
		if (event.type == AIOWS_EV_CLOSED) {
			check_int(__FILE__, __LINE__, "type of the event", event.type, type);
		}
	}
	fail(__FILE__, __LINE__, "an event of the type that is waited for");
	abort();
}

void no_event(aiows_loop *loop)
{
	aiows_event event;
	size_t n;
	CHECK_RC(aiows_poll(loop, &event, 1, 0, &n), AIOWS_OK);
	CHECK_INT(n, 0);
}

aiows_conn *open_conn(aiows_loop *loop, const char *uri, const aiows_connect_options *options)
{
	aiows_error e = { .size = sizeof e };
	aiows_conn *conn;
	aiows_connect_options patient;
	if (options == NULL) {
		aiows_connect_options_init(&patient, sizeof patient);
	} else {
		patient = *options;
	}
	if (patient.open_timeout_ms == 10000) // the default
		patient.open_timeout_ms = PATIENCE_MS;
	if (aiows_connect(loop, uri, &patient, 0, &conn, &e) != AIOWS_OK)
		fail(__FILE__, __LINE__, e.message);
	aiows_event event = wait_event(loop, AIOWS_EV_OPEN);
	CHECK_INT(event.conn, (uintptr_t)conn);
	return conn;
}

void close_conn(aiows_loop *loop, aiows_conn *conn)
{
	CHECK_RC(aiows_close(conn, 1000, "bye"), AIOWS_OK);
	aiows_event event = wait_event(loop, AIOWS_EV_CLOSED);
	CHECK_INT(event.conn, (uintptr_t)conn);
	CHECK_INT(event.code, 1000);
	CHECK(event.flags & AIOWS_EVF_CLEAN);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
}

pair open_pair(aiows_loop *loop, const aiows_conn_options *client, const aiows_conn_options *server)
{
	pair p = { 0 };
	aiows_error e = { .size = sizeof e };
	p.listener = aiows_listen(loop, "127.0.0.1", 0, NULL, 3, &e);
	if (p.listener == NULL)
		fail(__FILE__, __LINE__, e.message);

	char uri[64];
	snprintf(uri, sizeof uri, "ws://127.0.0.1:%d/", (int)aiows_listener_port(p.listener));
	aiows_connect_options co;
	aiows_connect_options_init(&co, sizeof co);
	co.conn = client;
	CHECK_RC(aiows_connect(loop, uri, &co, 1, &p.client, &e), AIOWS_OK);

	aiows_event event = wait_event(loop, AIOWS_EV_REQUEST);
	CHECK_INT(event.conn, (uintptr_t)p.listener);
	CHECK_INT(event.user_data, 3);
	aiows_accept_options ao;
	aiows_accept_options_init(&ao, sizeof ao);
	ao.conn = server;
	aiows_request *request = (aiows_request *)(uintptr_t)event.request;
	CHECK_RC(aiows_accept(request, &ao, 2, &p.server, &e), AIOWS_OK);
	CHECK_RC(aiows_request_free(request), AIOWS_OK);
	wait_event(loop, AIOWS_EV_OPEN);
	wait_event(loop, AIOWS_EV_OPEN);
	return p;
}

void close_pair(aiows_loop *loop, pair *p)
{
	int32_t rc = aiows_close(p->client, 1000, NULL);
	CHECK(rc == AIOWS_OK || rc == AIOWS_ERR_CLOSED);
	aiows_loop_stats_t stats = { .size = sizeof stats };
	do {
		aiows_event events[16];
		size_t n;
		CHECK_RC(aiows_poll(loop, events, 16, 10, &n), AIOWS_OK);
		CHECK_RC(aiows_loop_stats(loop, &stats), AIOWS_OK);
	} while (stats.connections > 0);
	CHECK_RC(aiows_conn_free(p->client), AIOWS_OK);
	CHECK_RC(aiows_conn_free(p->server), AIOWS_OK);
	CHECK_RC(aiows_listener_free(p->listener), AIOWS_OK);
}

// ---------------------------------------------------------------- sockets

struct sockaddr_in loopback(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

int silent(int n, int *port)
{
	struct sockaddr_in a = loopback(0);
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, n) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
	*port = ntohs(a.sin_port);
	return fd;
}

// ---------------------------------------------------------------- main

int harness_main(int argc, char **argv, const test *tests, size_t n)
{
	setvbuf(stderr, NULL, _IOLBF, 1024);
	int found = 0;
	for (size_t i = 0; argc == 2 && i < n; i++) {
		if (strcmp(argv[1], "--list") == 0) {
			puts(tests[i].name);
		} else if (strcmp(argv[1], "all") == 0 || strcmp(argv[1], tests[i].name) == 0) {
			running = tests[i].name;
			tests[i].run();
			found = 1;
		}
	}
	if (argc == 2 && (found || strcmp(argv[1], "--list") == 0))
		return 0;
	fprintf(stderr, "usage: %s TEST | all | --list\n", argv[0]);
	return 2;
}
