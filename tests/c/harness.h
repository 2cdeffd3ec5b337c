// harness.h - what the C tests share.
//
// A program defines TESTS as a list of functions and ends with HARNESS_MAIN. It
// runs the test named by its argument, every test for "all", or prints the names
// for "--list". A failed check ends the process with status 1.
#ifndef AIOWS_TESTS_HARNESS_H
#define AIOWS_TESTS_HARNESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <inttypes.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aiows.h"

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail(__FILE__, __LINE__, #condition);                                      \
	} while (0)

#define CHECK_INT(got, want) check_int(__FILE__, __LINE__, #got, (int64_t)(got), (int64_t)(want))
#define CHECK_RC(got, want) check_rc(__FILE__, __LINE__, #got, (got), (want))
#define CHECK_TEXT(got, want) check_text(__FILE__, __LINE__, #got, (got), (want))

void fail(const char *file, int line, const char *what);
void check_int(const char *file, int line, const char *what, int64_t got, int64_t want);
void check_rc(const char *file, int line, const char *what, int32_t got, int32_t want);
void check_text(const char *file, int line, const char *what, const char *got, const char *want);

// Under valgrind a handshake of TLS takes seconds.
enum { PATIENCE_MS = 60000 };

// setting returns an environment variable that the test runner must set.
const char *setting(const char *name);

// begin makes a loop, noting what is open and running.
aiows_loop *begin(void);

// finish checks that nothing is left in the loop, frees it, and checks that no
// descriptor and no goroutine is left.
void finish(aiows_loop *loop);

// check_baseline waits for goroutines and descriptors to be what begin noted.
void check_baseline(void);

// wait_event polls until an event of the type comes, skipping others, and fails
// after PATIENCE_MS. Payloads stay valid until the next call.
aiows_event wait_event(aiows_loop *loop, uint32_t type);

// wait_any polls until any event comes.
aiows_event wait_any(aiows_loop *loop);

// no_event polls without waiting and checks that nothing is there.
void no_event(aiows_loop *loop);

// open_conn connects and waits for OPEN, for PATIENCE_MS where options leave the default.
aiows_conn *open_conn(aiows_loop *loop, const char *uri, const aiows_connect_options *options);

// close_conn closes with 1000, waits for CLOSED, and frees.
void close_conn(aiows_loop *loop, aiows_conn *conn);

struct sockaddr_in loopback(int port);

// silent listens with room for n clients and never accepts them: whoever asks it
// for a connection waits until something else happens.
int silent(int n, int *port);

// pair is a connection between a client and a listener of the same loop.
typedef struct pair {
	aiows_listener *listener;
	aiows_conn *client;
	aiows_conn *server;
} pair;

pair open_pair(aiows_loop *loop, const aiows_conn_options *client,
               const aiows_conn_options *server);
void close_pair(aiows_loop *loop, pair *p);

static inline const void *payload(const aiows_event *event)
{
	return (const void *)(uintptr_t)event->data;
}

typedef struct test {
	const char *name;
	void (*run)(void);
} test;

int harness_main(int argc, char **argv, const test *tests, size_t n);

#define HARNESS_ENTRY(name) { #name, name },
#define HARNESS_MAIN(TESTS)                                                                        \
	static const test all_tests[] = { TESTS(HARNESS_ENTRY) };                                  \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return harness_main(argc, argv, all_tests, sizeof all_tests / sizeof *all_tests);  \
	}

#endif
