// A program that does not poll: what the watchdog and reading ahead do meanwhile, for
// peers of another library in another process, and what ends beside them.
#include "harness.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

static void nap_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
	nanosleep(&t, NULL);
}

static const char *uri(const char *server, const char *path)
{
	static char text[256];
	snprintf(text, sizeof text, "%s%s", setting(server), path);
	return text;
}

// tls_for returns a context for wss, NULL for ws.
static aiows_tls *tls_for(const char *server)
{
	aiows_tls_options to;
	aiows_tls_options_init(&to, sizeof to);
	to.ca_file = setting("AIOWS_CA");
	return strcmp(server, "AIOWS_WSS") == 0 ? aiows_tls_new(&to, NULL) : NULL;
}

static uint64_t bytes_ahead(aiows_conn *conn)
{
	aiows_conn_stats_t stats = { .size = sizeof stats };
	CHECK_RC(aiows_conn_stats(conn, &stats), AIOWS_OK);
	return stats.bytes_ahead;
}

static uint64_t stalls(aiows_loop *loop)
{
	aiows_loop_stats_t stats = { .size = sizeof stats };
	CHECK_RC(aiows_loop_stats(loop, &stats), AIOWS_OK);
	return stats.stalls;
}

// wait_ahead waits, without a poll, until that much was read ahead.
static void wait_ahead(aiows_conn *conn, uint64_t least)
{
	for (int i = 0; i < 6000 && bytes_ahead(conn) < least; i++)
		nap_ms(10);
	CHECK(bytes_ahead(conn) >= least);
}

typedef struct setup {
	const char *server;
	int32_t watchdog;
	uint64_t read_ahead;
	int seconds; // that the peer waits for a Pong
	const char *fate;
} setup;

// meet_impatience leaves a loop alone until its impatient peer is content or gone, which
// a second loop is told.
static void meet_impatience(const setup *s)
{
	static int number;
	char path[64], fate[64];
	snprintf(path, sizeof path, "/impatient?%d-%d&%d", (int)getpid(), ++number, s->seconds);
	snprintf(fate, sizeof fate, "/fate?%d-%d", (int)getpid(), number);

	aiows_loop *polled = begin();
	aiows_loop_options lo;
	aiows_loop_options_init(&lo, sizeof lo);
	CHECK_INT(lo.watchdog, 1);
	lo.watchdog = s->watchdog;
	aiows_loop *stalled = aiows_loop_new(&lo, NULL);
	CHECK(stalled != NULL);

	aiows_conn_options conn_options;
	aiows_conn_options_init(&conn_options, sizeof conn_options);
	CHECK_INT(conn_options.read_ahead, 1 << 20);
	conn_options.read_ahead = s->read_ahead;
	conn_options.compression = AIOWS_COMPRESSION_OFF;
	aiows_connect_options co;
	aiows_connect_options_init(&co, sizeof co);
	co.conn = &conn_options;
	co.tls = tls_for(s->server);
	aiows_conn *asking = open_conn(polled, uri("AIOWS_WS", fate), NULL);
	aiows_conn *conn = open_conn(stalled, uri(s->server, path), &co);

	aiows_event event = wait_event(polled, AIOWS_EV_MESSAGE);
	char told[16] = { 0 };
	CHECK(event.len < sizeof told);
	memcpy(told, payload(&event), event.len);
	CHECK_TEXT(told, s->fate);
	if (strcmp(told, "alive") == 0) {
		CHECK(stalls(stalled) > 0);
		wait_ahead(conn, 10000);
		event = wait_event(stalled, AIOWS_EV_MESSAGE);
		CHECK_INT(event.len, 10000);
		CHECK_RC(aiows_send(conn, AIOWS_TEXT, 0, "still here", 10), AIOWS_OK);
		event = wait_event(stalled, AIOWS_EV_MESSAGE);
		CHECK_INT(event.len, 10);
		close_conn(stalled, conn);
	} else {
		CHECK_INT(bytes_ahead(conn), 0);
		CHECK_INT(wait_event(stalled, AIOWS_EV_CLOSED).code, 1006);
		CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
	}
	if (!s->watchdog)
		CHECK_INT(stalls(stalled), 0);
	close_conn(polled, asking);
	CHECK(co.tls == NULL || aiows_tls_free(co.tls) == AIOWS_OK);
	CHECK_RC(aiows_loop_free(stalled), AIOWS_OK);
	finish(polled);
}

static void the_watchdog_answers_an_impatient_peer(void)
{
	meet_impatience(&(setup){ "AIOWS_WS", 1, 1 << 20, 60, "alive" });
	meet_impatience(&(setup){ "AIOWS_WSS", 1, 1 << 20, 60, "alive" });
}

static void without_a_watchdog_it_gives_up(void)
{
	meet_impatience(&(setup){ "AIOWS_WS", 0, 1 << 20, 1, "gave up" });
}

static void without_read_ahead_it_gives_up(void)
{
	meet_impatience(&(setup){ "AIOWS_WS", 1, 0, 1, "gave up" });
}

// flooded opens a connection on which 10,000 messages of 100 bytes come.
static aiows_conn *flooded(aiows_loop *loop, const char *server, uint64_t read_ahead)
{
	aiows_conn_options conn_options;
	aiows_conn_options_init(&conn_options, sizeof conn_options);
	conn_options.read_ahead = read_ahead;
	conn_options.ping_interval_ms = 0;
	conn_options.compression = AIOWS_COMPRESSION_OFF;
	aiows_connect_options co;
	aiows_connect_options_init(&co, sizeof co);
	co.conn = &conn_options;
	co.tls = tls_for(server);
	aiows_conn *conn = open_conn(loop, uri(server, "/flood"), &co);
	CHECK(co.tls == NULL || aiows_tls_free(co.tls) == AIOWS_OK);
	return conn;
}

static void read_ahead_bounds_what_is_kept_and_loses_nothing(void)
{
	static const uint64_t limits[] = { 20000, 1 << 20 };
	for (int i = 0; i < 4; i++) {
		uint64_t limit = limits[i / 2];
		aiows_loop *loop = begin();
		aiows_conn *conn = flooded(loop, i % 2 ? "AIOWS_WSS" : "AIOWS_WS", limit);
		// With their headers 1,020,000 bytes come.
		wait_ahead(conn, limit == 20000 ? limit / 2 : 1000000);
		nap_ms(limit == 20000 ? 300 : 0); // time for a fault to show
		CHECK(bytes_ahead(conn) <= limit);
		for (uint32_t n = 0; n < 10000; n++) {
			aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
			const unsigned char *text = payload(&event);
			CHECK_INT(event.len, 100);
			CHECK_INT(text[0] << 24 | text[1] << 16 | text[2] << 8 | text[3], n);
		}
		close_conn(loop, conn);
		finish(loop);
	}
}

enum { CONNS = 4, ROUNDS = 6 };
static aiows_conn *conns[CONNS];
static aiows_loop *ending;

static void *free_in_thread(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	for (int i = 0; i < CONNS; i++) {
		usleep((useconds_t)(rand_r(&seed) % 2000));
		CHECK_RC(i % 3 == 1 ? aiows_abort(conns[i]) : AIOWS_OK, AIOWS_OK);
		CHECK_RC(aiows_conn_free(conns[i]), AIOWS_OK);
	}
	return NULL;
}

static void *end_in_thread(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	usleep((useconds_t)(rand_r(&seed) % 4000));
	CHECK_RC(aiows_loop_free(ending), AIOWS_OK);
	return NULL;
}

// What the watchdog reads ends at any moment, on a thread that is not the host's.
static void ends_race_the_watchdog(void)
{
	for (uintptr_t round = 0; round < ROUNDS; round++) {
		aiows_loop *loop = begin();
		uint64_t before = stalls(loop); // it may be done by the time that all are open
		for (int i = 0; i < CONNS; i++)
			conns[i] = flooded(loop, i % 2 ? "AIOWS_WSS" : "AIOWS_WS", 1 << 20);
		while (stalls(loop) == before) // it is at work then
			nap_ms(1);
		pthread_t thread;
		int all = round % 3 == 2; // the loop, and with it all of them
		ending = loop;
		CHECK(pthread_create(&thread, NULL, all ? end_in_thread : free_in_thread,
		                     (void *)round) == 0);
		for (int i = 0; round % 3 == 1 && i < 200; i++) {
			aiows_event events[16];
			size_t n;
			CHECK_RC(aiows_poll(loop, events, 16, 1, &n), AIOWS_OK);
		}
		pthread_join(thread, NULL);
		if (all) {
			for (int i = 0; i < CONNS; i++)
				CHECK_RC(aiows_conn_free(conns[i]), AIOWS_ERR_HANDLE);
			check_baseline();
		} else {
			finish(loop);
		}
	}
}

#define TESTS(X)                                                                                   \
	X(the_watchdog_answers_an_impatient_peer)                                                  \
	X(without_a_watchdog_it_gives_up)                                                          \
	X(without_read_ahead_it_gives_up)                                                          \
	X(read_ahead_bounds_what_is_kept_and_loses_nothing)                                        \
	X(ends_race_the_watchdog)
HARNESS_MAIN(TESTS)
