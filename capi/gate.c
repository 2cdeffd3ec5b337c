#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "gate.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

// Where the page cannot be had (Linux before 4.14) the atfork handler alone
// closes the gate.
static int32_t state_without_page = GATE_OPEN;
int32_t *gate_state = &state_without_page;

static sigset_t host_mask;
static struct sigaction host_pipe;
static struct rlimit host_files;
static int host_files_known;
static int host_slack; // nanoseconds; negative: unknown

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t start_cond;
static int started;

// ---------------------------------------------------------------- descriptors

// What is open under each number, in leaves that are allocated when needed, the first
// aside: a forked child reads the table, whatever other threads were doing to it.
// Zero: nothing of ours.
#define LEAF_BITS 16
#define LEAF_FDS ((size_t)1 << LEAF_BITS)
#define LEAVES ((size_t)1 << (31 - LEAF_BITS))

static uint64_t first_leaf[LEAF_FDS];
static uint64_t *leaves[LEAVES] = { first_leaf };
static int highest = -1;

static uint64_t *leaf_of(int fd)
{
	uint64_t **slot = &leaves[fd >> LEAF_BITS];
	uint64_t *leaf = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
	if (leaf != NULL)
		return leaf;
	uint64_t *fresh = calloc(LEAF_FDS, sizeof *fresh);
	if (fresh == NULL)
		return NULL;
	if (__atomic_compare_exchange_n(slot, &leaf, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return fresh;
	free(fresh);
	return leaf;
}

// identity tells the file under a number from the next owner's: inode and type. A
// socket that Go's own poller has is closed without a word, and its entry stays.
static uint64_t identity(int fd)
{
	struct stat s;
	if (fstat(fd, &s) != 0)
		return 0;
	return (uint64_t)s.st_ino << 4 | (s.st_mode & S_IFMT) >> 12;
}

void gate_fd(int fd, int open)
{
	if (fd < 0)
		return;
	uint64_t *leaf = leaf_of(fd);
	if (leaf == NULL)
		return;
	__atomic_store_n(&leaf[(size_t)fd % LEAF_FDS], open ? identity(fd) : 0, __ATOMIC_RELAXED);
	int seen = __atomic_load_n(&highest, __ATOMIC_RELAXED);
	while (open && seen < fd &&
	       !__atomic_compare_exchange_n(&highest, &seen, fd, 1, __ATOMIC_RELAXED,
	                                    __ATOMIC_RELAXED)) {
	}
}

// close_inherited closes the child's copies. close(2) only: shutdown(2) would end
// the parent's connections.
static void close_inherited(void)
{
	for (int base = 0; base <= highest; base += (int)LEAF_FDS) {
		uint64_t *leaf = leaves[base >> LEAF_BITS];
		for (int i = 0; leaf != NULL && i < (int)LEAF_FDS && base + i <= highest; i++)
			if (leaf[i] != 0 && leaf[i] == identity(base + i))
				close(base + i);
		if (base > INT32_MAX - (int)LEAF_FDS)
			break;
	}
}

static void in_child(void)
{
	int saved = errno;
	__atomic_store_n(gate_state, GATE_FORKED, __ATOMIC_RELAXED);
	close_inherited();
	errno = saved;
}

// ---------------------------------------------------------------- start

// GO_TIMER_SLACK is how late a sleep of the runtime's threads may end, in
// nanoseconds; threads inherit it. The runtime's monitor would otherwise nap for
// 20 us at a time while the host calls in: 60 wake-ups in 10 ms, 6 to 8% of the CPU
// of an echo client (tests/bench). Timeouts of connections may be as late.
#define GO_TIMER_SLACK (10 * 1000 * 1000UL)

// before_go runs before the constructor by which the Go runtime starts, whose
// threads inherit the mask: asynchronous signals of the host, SIGINT above all,
// would otherwise land on them.
__attribute__((constructor(101))) static void before_go(void)
{
	static const int synchronous[] = { SIGSEGV, SIGBUS,  SIGFPE,  SIGILL, SIGTRAP,
	                                   SIGSYS,  SIGABRT, SIGPROF, SIGURG };
	sigset_t blocked;
	sigfillset(&blocked);
	for (size_t i = 0; i < sizeof synchronous / sizeof *synchronous; i++)
		sigdelset(&blocked, synchronous[i]);
	pthread_sigmask(SIG_BLOCK, &blocked, &host_mask);

	sigaction(SIGPIPE, NULL, &host_pipe);
	host_files_known = getrlimit(RLIMIT_NOFILE, &host_files) == 0;

	host_slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	if (host_slack >= 0)
		prctl(PR_SET_TIMERSLACK, GO_TIMER_SLACK, 0, 0, 0);

	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&start_cond, &attr);
	pthread_condattr_destroy(&attr);

	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED) {
		if (madvise(p, page, MADV_WIPEONFORK) == 0) {
			gate_state = p;
			*gate_state = GATE_OPEN;
		} else {
			munmap(p, page);
		}
	}
	pthread_atfork(NULL, NULL, in_child);
}

// gate_started runs on a thread of the Go runtime, which by then has raised the
// soft limit of descriptors, for the host and its children too, and has taken SIGPIPE,
// though its threads block it: a host that ignores it would no longer have programs
// inherit that.
void gate_started(void)
{
	sigaction(SIGPIPE, &host_pipe, NULL);
	struct rlimit now;
	if (host_files_known && getrlimit(RLIMIT_NOFILE, &now) == 0 &&
	    now.rlim_cur > host_files.rlim_cur) {
		now.rlim_cur = host_files.rlim_cur;
		setrlimit(RLIMIT_NOFILE, &now);
	}
	pthread_mutex_lock(&start_lock);
	started = 1;
	pthread_cond_broadcast(&start_cond);
	pthread_mutex_unlock(&start_lock);
}

// after_go runs after the runtime's constructor: plain ones follow in link order,
// where Go's object is the first. Waiting takes the 1 to 2 ms that the first call
// would, and is bounded because a loader may hold a lock that Go's threads want.
__attribute__((constructor)) static void after_go(void)
{
	struct timespec limit;
	clock_gettime(CLOCK_MONOTONIC, &limit);
	limit.tv_nsec += 200 * 1000 * 1000;
	if (limit.tv_nsec >= 1000 * 1000 * 1000) {
		limit.tv_nsec -= 1000 * 1000 * 1000;
		limit.tv_sec++;
	}
	pthread_mutex_lock(&start_lock);
	while (!started && pthread_cond_timedwait(&start_cond, &start_lock, &limit) == 0) {
	}
	pthread_mutex_unlock(&start_lock);
	if (host_slack >= 0)
		prctl(PR_SET_TIMERSLACK, (unsigned long)host_slack, 0, 0, 0);
	pthread_sigmask(SIG_SETMASK, &host_mask, NULL);
}

void gate_poison(void)
{
	int32_t open = GATE_OPEN;
	__atomic_compare_exchange_n(gate_state, &open, GATE_POISONED, 0, __ATOMIC_RELAXED,
	                            __ATOMIC_RELAXED);
}

// ---------------------------------------------------------------- system

uint64_t gate_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	long size = sysconf(_SC_PAGESIZE);
	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

void *gate_alloc(size_t n)
{
	return malloc(n);
}

void gate_trim(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

void gate_write(int fd, const char *line, size_t len)
{
	// A pipe that nobody reads must not hold up the loop: the line is dropped.
	struct pollfd full = { .fd = fd, .events = POLLOUT };
	if (poll(&full, 1, 0) == 0)
		return;
	sigset_t pipe, pending, old;
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe, &old);
	ssize_t n;
	do {
		n = write(fd, line, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EPIPE && !sigismember(&pending, SIGPIPE)) {
		const struct timespec now = { 0, 0 };
		while (sigtimedwait(&pipe, NULL, &now) < 0 && errno == EINTR) {
		}
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}
