// What crossing into the library costs, in nanoseconds: the best of many rounds,
// since a busy machine only ever adds. Run it as "calls all".
#include "harness.h"

#include <time.h>

enum { ROUNDS = 300, CALLS = 5000 };

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

#define MEASURE(name, call)                                                                        \
	do {                                                                                       \
		double best = 1e18;                                                                \
		for (int round = 0; round < ROUNDS; round++) {                                     \
			double start = now();                                                      \
			for (int i = 0; i < CALLS; i++)                                            \
				call;                                                              \
			double each = (now() - start) / CALLS;                                     \
			best = each < best ? each : best;                                          \
		}                                                                                  \
		printf("%-44s %7.1f\n", name, best);                                               \
	} while (0)

static void calls(void)
{
	aiows_loop *loop = begin();
	aiows_event events[64];
	size_t n;
	pair p = open_pair(loop, NULL, NULL);
	MEASURE("C alone: aiows_close_code_name", aiows_close_code_name(1000));
	MEASURE("into Go and back: aiows_loop_fd(NULL)", aiows_loop_fd(NULL));
	MEASURE("with a live handle: aiows_loop_fd", aiows_loop_fd(loop));
	MEASURE("aiows_buffered", aiows_buffered(p.client, &n));
	MEASURE("aiows_poll, two sockets, nothing there", aiows_poll(loop, events, 64, 0, &n));
	// Counted with the message that the other side reads and hands out.
	MEASURE("aiows_send, 64 bytes, and its aiows_poll", {
		static const char text[64];
		aiows_send(p.client, AIOWS_BINARY, AIOWS_FORCE, text, sizeof text);
		aiows_poll(loop, events, 64, 0, &n);
	});
	CHECK_RC(aiows_close(p.client, 1000, NULL), AIOWS_OK);
	close_pair(loop, &p);
	finish(loop);
}

#define TESTS(X) X(calls)
HARNESS_MAIN(TESTS)
