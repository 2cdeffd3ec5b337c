#ifndef _GNU_SOURCE
#define _GNU_SOURCE // ppoll
#endif
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "blocking.h"
#include "call.h"

int32_t aiows_set_log(int32_t level, int32_t fd)
{
	ENTER();
	NEED(level >= AIOWS_LOG_OFF && level <= AIOWS_LOG_DEBUG, AIOWS_ERR_ARGUMENT);
	NEED(level == AIOWS_LOG_OFF || (fd >= 0 && fcntl(fd, F_GETFD) >= 0), AIOWS_ERR_ARGUMENT);
	return go_set_log(level, fd);
}

aiows_loop *aiows_loop_new(const aiows_loop_options *options, aiows_error *err)
{
	aiows_error e = { .size = sizeof e };
	aiows_loop_options o = default_loop_options;
	uintptr_t loop = 0;
	int32_t rc = gate_check();
	if (rc == AIOWS_OK)
		rc = sized_in(&o, sizeof o, options, "aiows_loop_options", &e);
	if (rc == AIOWS_OK && (o.reserved != 0 || o.reserved2 != 0))
		rc = error_set(&e, AIOWS_ERR_ARGUMENT, "reserved is %lu, expected 0",
		               (unsigned long)(o.reserved != 0 ? o.reserved : o.reserved2));
	if (rc == AIOWS_OK && o.watchdog != 0 && o.watchdog != 1)
		rc = error_set(&e, AIOWS_ERR_ARGUMENT, "watchdog is %ld, expected 0 or 1",
		               (long)o.watchdog);
	if (rc == AIOWS_OK)
		rc = go_loop_new(o.watchdog, &loop, &e);
	error_give(err, &e, rc);
	return (aiows_loop *)loop;
}

int32_t aiows_loop_fd(aiows_loop *loop)
{
	ENTER();
	return go_loop_fd(HANDLE(loop));
}

// ---------------------------------------------------------------- poll

static struct timespec now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t;
}

struct timespec deadline(int32_t timeout_ms)
{
	struct timespec end = now();
	if (timeout_ms > 0) {
		end.tv_sec += timeout_ms / 1000;
		end.tv_nsec += timeout_ms % 1000 * 1000000L;
		if (end.tv_nsec >= 1000000000) {
			end.tv_nsec -= 1000000000;
			end.tv_sec++;
		}
	}
	return end;
}

struct timespec until(struct timespec end)
{
	struct timespec t = now();
	t.tv_sec = end.tv_sec - t.tv_sec;
	t.tv_nsec = end.tv_nsec - t.tv_nsec;
	if (t.tv_nsec < 0) {
		t.tv_nsec += 1000000000;
		t.tv_sec--;
	}
	return t.tv_sec < 0 ? (struct timespec){ 0, 0 } : t;
}

int32_t milliseconds(struct timespec left)
{
	return (int32_t)(left.tv_sec * 1000 + (left.tv_nsec + 999999) / 1000000);
}

// wait_readable returns what poll(2) would. The runtime interrupts threads with
// SIGURG, also one that has just left it: that must not end the host's wait.
static int wait_readable(int fd, const struct timespec *limit)
{
	sigset_t mask;
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	sigaddset(&mask, SIGURG);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return ppoll(&p, 1, limit, &mask);
}

// wait_and_poll waits in C, never inside Go, where a signal would be held up.
static int32_t wait_and_poll(uintptr_t loop, aiows_event *events, size_t cap, int32_t timeout_ms,
                             poll_result *out)
{
	struct timespec end = deadline(timeout_ms);
	for (;;) {
		struct timespec left = until(end);
		int ready = wait_readable(out->fd, timeout_ms < 0 ? NULL : &left);
		ENTER();
		int32_t mode = ready > 0 ? POLL_AGAIN | POLL_WAIT : POLL_LEAVE;
		int32_t rc = go_poll(loop, events, cap, mode, out);
		if (rc != SHIM_WAIT)
			return rc;
	}
}

int32_t aiows_poll(aiows_loop *loop, aiows_event *events, size_t cap, int32_t timeout_ms,
                   size_t *n_out)
{
	NEED(n_out != NULL, AIOWS_ERR_ARGUMENT);
	*n_out = 0;
	ENTER();
	NEED(events != NULL && cap > 0 && cap <= PTRDIFF_MAX / sizeof *events, AIOWS_ERR_ARGUMENT);
	NEED(timeout_ms >= AIOWS_TRY_POLL, AIOWS_ERR_ARGUMENT);
	int32_t mode = timeout_ms == AIOWS_TRY_POLL ? POLL_TRY : timeout_ms == 0 ? 0 : POLL_WAIT;
	poll_result out = { 0, -1 };
	int32_t rc = go_poll(HANDLE(loop), events, cap, mode, &out);
	if (rc == SHIM_WAIT)
		rc = wait_and_poll(HANDLE(loop), events, cap, timeout_ms, &out);
	if (rc == AIOWS_OK)
		*n_out = out.n;
	return rc;
}

int32_t aiows_event_take(aiows_loop *loop, aiows_event *event, void **data_out, size_t *len_out)
{
	if (data_out != NULL)
		*data_out = NULL;
	if (len_out != NULL)
		*len_out = 0;
	NEED(event != NULL && data_out != NULL && len_out != NULL, AIOWS_ERR_ARGUMENT);
	ENTER();
	return go_event_take(HANDLE(loop), event, data_out, len_out);
}

void aiows_free(void *data)
{
	free(data);
}

// ---------------------------------------------------------------- the rest

int32_t aiows_wake(aiows_loop *loop)
{
	ENTER();
	return go_wake(HANDLE(loop));
}

int32_t aiows_loop_stats(aiows_loop *loop, aiows_loop_stats_t *stats_out)
{
	ENTER();
	NEED(sized_check(stats_out) == AIOWS_OK, AIOWS_ERR_ARGUMENT);
	aiows_loop_stats_t stats = { .size = sizeof stats };
	int32_t rc = go_loop_stats(HANDLE(loop), &stats);
	return rc == AIOWS_OK ? sized_out(stats_out, &stats, sizeof stats) : rc;
}

int32_t aiows_trim(aiows_loop *loop)
{
	ENTER();
	return go_trim(HANDLE(loop));
}

int32_t aiows_loop_free(aiows_loop *loop)
{
	ENTER();
	return go_loop_free(HANDLE(loop));
}
