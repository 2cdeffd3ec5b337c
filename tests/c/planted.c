// Faults on purpose. Each must make its checker fail, or the checker checks nothing.
#include "harness.h"

void aiows_test_leak(void);
void aiows_test_use_after_free(void);
int32_t aiows_test_descriptor(void);
void aiows_test_goroutine(void);
int32_t aiows_test_panic(void);

static void nothing(void)
{
	finish(begin());
}

static void leak(void)
{
	aiows_loop *loop = begin();
	aiows_test_leak();
	finish(loop);
}

static void use_after_free(void)
{
	aiows_loop *loop = begin();
	aiows_test_use_after_free();
	finish(loop);
}

static void descriptor(void)
{
	aiows_loop *loop = begin();
	CHECK(aiows_test_descriptor() >= 0);
	finish(loop);
}

static void goroutine(void)
{
	aiows_loop *loop = begin();
	aiows_test_goroutine();
	finish(loop);
}

static void handle(void)
{
	aiows_loop *loop = begin();
	aiows_conn *conn;
	CHECK_RC(aiows_connect(loop, "ws://127.0.0.1:1/", NULL, 0, &conn, NULL), AIOWS_OK);
	wait_event(loop, AIOWS_EV_FAILED);
	finish(loop);
}

// A panic does not pass the guard, and ends the use of the library.
static void panic(void)
{
	aiows_loop *loop = begin();
	aiows_event event;
	aiows_error e = { .size = sizeof e };
	size_t n;
	CHECK_RC(aiows_test_panic(), AIOWS_ERR_INTERNAL);
	CHECK_RC(aiows_poll(loop, &event, 1, -1, &n), AIOWS_ERR_INTERNAL);
	CHECK_RC(aiows_loop_free(loop), AIOWS_ERR_INTERNAL);
	CHECK(aiows_loop_new(NULL, &e) == NULL);
	CHECK_RC(e.code, AIOWS_ERR_INTERNAL);
	CHECK_TEXT(e.message, aiows_strerror(AIOWS_ERR_INTERNAL));
	CHECK_INT(aiows_abi_version(), AIOWS_ABI);
}

#define TESTS(X)                                                                                   \
	X(nothing)                                                                                 \
	X(leak)                                                                                    \
	X(use_after_free)                                                                          \
	X(descriptor)                                                                              \
	X(goroutine)                                                                               \
	X(handle)                                                                                  \
	X(panic)
HARNESS_MAIN(TESTS)
