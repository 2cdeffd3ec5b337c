// Waiting, waking, and many threads on one loop.
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static aiows_loop *loop;

typedef struct waiter {
	pthread_t thread;
	int32_t timeout_ms;
	int32_t rc;
	size_t n;
	volatile int returned;
} waiter;

static void nap_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
	nanosleep(&t, NULL);
}

static void *wait_in_thread(void *arg)
{
	waiter *w = arg;
	aiows_event events[4];
	w->rc = aiows_poll(loop, events, 4, w->timeout_ms, &w->n);
	__atomic_store_n(&w->returned, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void start(waiter *w, int32_t timeout_ms)
{
	memset(w, 0, sizeof *w);
	w->timeout_ms = timeout_ms;
	CHECK(pthread_create(&w->thread, NULL, wait_in_thread, w) == 0);
}

static int returned(waiter *w)
{
	return __atomic_load_n(&w->returned, __ATOMIC_ACQUIRE);
}

static void poll_returns_after_its_timeout(void)
{
	aiows_event event;
	size_t n;
	struct timespec before, after;
	loop = begin();
	CHECK_RC(aiows_poll(loop, &event, 1, 0, &n), AIOWS_OK);
	CHECK_RC(aiows_poll(loop, &event, 1, AIOWS_TRY_POLL, &n), AIOWS_OK);
	clock_gettime(CLOCK_MONOTONIC, &before);
	CHECK_RC(aiows_poll(loop, &event, 1, 50, &n), AIOWS_OK);
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK_INT(n, 0);
	// Not before its time: the only clock that a busy machine cannot upset.
	int64_t ms =
		(after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	CHECK(ms >= 48);
	finish(loop);
}

static void a_wake_waits_for_the_next_poll(void)
{
	aiows_event event;
	size_t n;
	loop = begin();
	CHECK_RC(aiows_wake(loop), AIOWS_OK);
	CHECK_RC(aiows_wake(loop), AIOWS_OK);
	CHECK_RC(aiows_poll(loop, &event, 1, -1, &n), AIOWS_OK);
	CHECK_INT(n, 0);
	waiter w;
	start(&w, -1);
	nap_ms(50);
	CHECK(!returned(&w));
	CHECK_RC(aiows_wake(loop), AIOWS_OK);
	pthread_join(w.thread, NULL);
	CHECK_RC(w.rc, AIOWS_OK);
	CHECK_INT(w.n, 0);
	finish(loop);
}

static void a_wake_ends_one_of_two_waits(void)
{
	waiter w[2];
	loop = begin();
	start(&w[0], -1);
	start(&w[1], -1);
	nap_ms(50);
	CHECK_RC(aiows_wake(loop), AIOWS_OK);
	while (!returned(&w[0]) && !returned(&w[1]))
		nap_ms(1);
	nap_ms(50);
	CHECK_INT(returned(&w[0]) + returned(&w[1]), 1);
	CHECK_RC(aiows_wake(loop), AIOWS_OK);
	pthread_join(w[0].thread, NULL);
	pthread_join(w[1].thread, NULL);
	finish(loop);
}

static void loop_free_ends_every_wait(void)
{
	for (int round = 0; round < 50; round++) {
		waiter w[4];
		loop = begin();
		for (int i = 0; i < 4; i++)
			start(&w[i], i % 2 ? -1 : 60000);
		if (round % 2)
			nap_ms(5);
		CHECK_RC(aiows_loop_free(loop), AIOWS_OK);
		for (int i = 0; i < 4; i++) {
			pthread_join(w[i].thread, NULL);
			CHECK_RC(w[i].rc, AIOWS_ERR_HANDLE);
			CHECK_INT(w[i].n, 0);
		}
	}
	check_baseline();
}

static volatile sig_atomic_t caught;

static void note(int signal_number)
{
	(void)signal_number;
	caught = 1;
}

static void a_signal_ends_the_wait(void)
{
	struct sigaction action = { .sa_handler = note, .sa_flags = SA_ONSTACK };
	sigaction(SIGUSR1, &action, NULL);
	waiter w;
	loop = begin();
	start(&w, -1);
	while (!returned(&w)) {
		nap_ms(20);
		// Again: the one before may have come when it did not wait yet.
		pthread_kill(w.thread, SIGUSR1);
	}
	pthread_join(w.thread, NULL);
	CHECK(caught);
	CHECK_RC(w.rc, AIOWS_OK);
	CHECK_INT(w.n, 0);
	finish(loop);
}

static void a_signal_of_the_runtime_does_not(void)
{
	waiter w;
	loop = begin();
	start(&w, -1);
	for (int i = 0; i < 20; i++) {
		nap_ms(5);
		CHECK(pthread_kill(w.thread, SIGURG) == 0);
	}
	CHECK(!returned(&w));
	CHECK_RC(aiows_wake(loop), AIOWS_OK);
	pthread_join(w.thread, NULL);
	CHECK_RC(w.rc, AIOWS_OK);
	finish(loop);
}

enum { SENDERS = 4, EACH = 2000 };
static aiows_conn *shared;

static void *send_in_thread(void *arg)
{
	uint32_t id = (uint32_t)(uintptr_t)arg;
	for (uint32_t i = 0; i < EACH; i++) {
		uint32_t text[2] = { id, i };
		int32_t rc = aiows_send(shared, AIOWS_BINARY,
		                        i % 3 ? AIOWS_FORCE : AIOWS_FORCE | AIOWS_TRY, text,
		                        sizeof text);
		if (rc == AIOWS_ERR_BUSY) {
			i--;
			sched_yield();
		} else {
			CHECK(rc == AIOWS_OK || rc == AIOWS_PENDING);
		}
	}
	return NULL;
}

static void order_holds_per_sending_thread(void)
{
	loop = begin();
	pair p = open_pair(loop, NULL, NULL);
	shared = p.client;
	pthread_t threads[SENDERS];
	uint32_t next[SENDERS] = { 0 };
	for (uintptr_t i = 0; i < SENDERS; i++)
		CHECK(pthread_create(&threads[i], NULL, send_in_thread, (void *)i) == 0);
	for (int got = 0; got < SENDERS * EACH; got++) {
		aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
		uint32_t text[2];
		CHECK_INT(event.len, sizeof text);
		memcpy(text, payload(&event), sizeof text);
		CHECK(text[0] < SENDERS);
		CHECK_INT(text[1], next[text[0]]);
		next[text[0]]++;
	}
	for (int i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	close_pair(loop, &p);
	finish(loop);
}

static void *free_in_thread(void *arg)
{
	return (void *)(intptr_t)aiows_conn_free(arg);
}

static void one_of_two_frees_wins(void)
{
	loop = begin();
	for (int i = 0; i < 500; i++) {
		aiows_conn *conn;
		pthread_t threads[2];
		void *rc[2];
		CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", NULL, 0, &conn, NULL), AIOWS_OK);
		for (int t = 0; t < 2; t++)
			CHECK(pthread_create(&threads[t], NULL, free_in_thread, conn) == 0);
		for (int t = 0; t < 2; t++)
			pthread_join(threads[t], &rc[t]);
		CHECK_INT((intptr_t)rc[0] + (intptr_t)rc[1], AIOWS_ERR_HANDLE);
	}
	finish(loop);
}

#define TESTS(X)                                                                                   \
	X(poll_returns_after_its_timeout)                                                          \
	X(a_wake_waits_for_the_next_poll)                                                          \
	X(a_wake_ends_one_of_two_waits)                                                            \
	X(loop_free_ends_every_wait)                                                               \
	X(a_signal_ends_the_wait)                                                                  \
	X(a_signal_of_the_runtime_does_not)                                                        \
	X(order_holds_per_sending_thread)                                                          \
	X(one_of_two_frees_wins)
HARNESS_MAIN(TESTS)
