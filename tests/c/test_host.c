// What the library does to the process it lives in: signals, limits, fork.
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Noted before any constructor of the library ran.
static sigset_t first_mask;
static struct rlimit first_limit;

static void note_first(void)
{
	sigprocmask(SIG_BLOCK, NULL, &first_mask);
	getrlimit(RLIMIT_NOFILE, &first_limit);
}
__attribute__((section(".preinit_array"), used)) static void (*preinit)(void) = note_first;

static void the_descriptor_limit_is_the_hosts(void)
{
	struct rlimit now;
	CHECK(first_limit.rlim_cur > 0);
	CHECK(first_limit.rlim_cur < first_limit.rlim_max); // the runner lowers it
	getrlimit(RLIMIT_NOFILE, &now);
	CHECK_INT(now.rlim_cur, first_limit.rlim_cur);
	CHECK_INT(now.rlim_max, first_limit.rlim_max);
	aiows_loop *loop = begin();
	getrlimit(RLIMIT_NOFILE, &now);
	CHECK_INT(now.rlim_cur, first_limit.rlim_cur);
	finish(loop);
}

static void the_signal_mask_is_the_hosts(void)
{
	sigset_t now;
	sigprocmask(SIG_BLOCK, NULL, &now);
	for (int s = 1; s < 32; s++)
		CHECK_INT(sigismember(&now, s), sigismember(&first_mask, s));
}

// blocked returns the SigBlk of a thread.
static uint64_t blocked(const char *task)
{
	char path[300], line[256];
	uint64_t mask = 0;
	int found = 0;
	snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		return UINT64_MAX; // the thread ended
	while (fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "SigBlk: %" SCNx64, &mask) == 1)
			found = 1;
	fclose(f);
	CHECK(found);
	return mask;
}

static void gos_threads_get_no_signal_of_the_host(void)
{
	// Not SIGCHLD, which the runtime unblocks by itself.
	static const int theirs[] = {
		SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGUSR1, SIGUSR2, SIGWINCH
	};
	aiows_loop *loop = begin();
	for (int i = 0; i < 20; i++) {
		aiows_conn *conn;
		CHECK_RC(aiows_connect(loop, "ws://localhost:1/", NULL, 0, &conn, NULL), AIOWS_OK);
	}
	for (int i = 0; i < 20; i++) {
		aiows_event event = wait_event(loop, AIOWS_EV_FAILED);
		aiows_conn_free((aiows_conn *)(uintptr_t)event.conn);
	}
	int threads = 0;
	DIR *dir = opendir("/proc/self/task");
	CHECK(dir != NULL);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
			continue;
		uint64_t mask = blocked(entry->d_name);
		for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
			CHECK(mask & (uint64_t)1 << (theirs[i] - 1));
		threads++;
	}
	closedir(dir);
	CHECK(threads >= 2);
	finish(loop);
}

static volatile sig_atomic_t count;
static pthread_t main_thread;

static void note_signal(int signal_number)
{
	(void)signal_number;
	if (pthread_equal(pthread_self(), main_thread))
		count++;
}

static void every_signal_reaches_the_host(void)
{
	static const int sent[] = { SIGINT, SIGTERM, SIGCHLD, SIGUSR1 };
	struct sigaction action = { .sa_handler = note_signal, .sa_flags = SA_ONSTACK };
	main_thread = pthread_self();
	for (int i = 0; i < 4; i++)
		sigaction(sent[i], &action, NULL);
	aiows_loop *loop = begin();
	for (int i = 0; i < 100; i++) {
		aiows_event event;
		size_t n;
		CHECK(kill(getpid(), sent[i % 4]) == 0);
		CHECK_RC(aiows_poll(loop, &event, 1, 0, &n), AIOWS_OK);
		CHECK_INT(count, i + 1);
	}
	finish(loop);
}

static void sigpipe_is_never_raised(void)
{
	aiows_loop *loop = begin();
	int pipes[2];
	CHECK(pipe2(pipes, O_CLOEXEC) == 0);
	close(pipes[0]);
	signal(SIGPIPE, SIG_DFL);
	CHECK_RC(aiows_set_log(AIOWS_LOG_DEBUG, pipes[1]), AIOWS_OK);
	pair p = open_pair(loop, NULL, NULL);
	CHECK_RC(aiows_abort(p.server), AIOWS_OK);
	wait_event(loop, AIOWS_EV_CLOSED);
	int32_t rc = AIOWS_OK;
	for (int i = 0; i < 1000 && rc == AIOWS_OK; i++)
		rc = aiows_send(p.client, AIOWS_TEXT, 0, "into the void", 13);
	close_pair(loop, &p);
	CHECK_RC(aiows_set_log(AIOWS_LOG_OFF, 0), AIOWS_OK);
	close(pipes[1]);
	finish(loop);
}

// ---------------------------------------------------------------- fork

static int exit_status(pid_t child)
{
	int status;
	CHECK(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define FORKED(call) CHECK_RC(call, AIOWS_ERR_FORKED)

static void check_child(aiows_loop *loop, const pair *p)
{
	aiows_event event = { 0 };
	aiows_error e = { .size = sizeof e };
	aiows_loop_stats_t stats = { .size = sizeof stats };
	aiows_conn_info_t info = { .size = sizeof info };
	aiows_request_info_t request = { .size = sizeof request };
	aiows_slice slice = { "x", 1 };
	aiows_conn *conn;
	void *data;
	size_t n;

	CHECK(aiows_loop_new(NULL, &e) == NULL);
	CHECK_RC(e.code, AIOWS_ERR_FORKED);
	CHECK(strstr(e.message, "fork") != NULL);
	CHECK(aiows_tls_new(NULL, &e) == NULL);
	CHECK(aiows_listen(loop, "127.0.0.1", 0, NULL, 0, &e) == NULL);
	FORKED(aiows_set_log(0, 0));
	FORKED(aiows_loop_fd(loop));
	FORKED(aiows_poll(loop, &event, 1, 0, &n));
	FORKED(aiows_poll(loop, &event, 1, -1, &n));
	FORKED(aiows_event_take(loop, &event, &data, &n));
	FORKED(aiows_wake(loop));
	FORKED(aiows_loop_stats(loop, &stats));
	FORKED(aiows_trim(loop));
	FORKED(aiows_loop_free(loop));
	FORKED(aiows_tls_free(NULL));
	FORKED(aiows_connect(loop, "ws://127.0.0.1:1/", NULL, 0, &conn, &e));
	FORKED(aiows_send(p->client, AIOWS_TEXT, 0, "x", 1));
	FORKED(aiows_send_fragment(p->client, AIOWS_TEXT, 0, 1, "x", 1));
	FORKED(aiows_send_many(p->client, AIOWS_TEXT, 0, &slice, 1, &n));
	FORKED(aiows_ping(p->client, "x", 1));
	FORKED(aiows_pong(p->client, "x", 1));
	FORKED(aiows_close(p->client, 1000, NULL));
	FORKED(aiows_abort(p->client));
	FORKED(aiows_pause(p->client));
	FORKED(aiows_resume(p->client));
	FORKED(aiows_buffered(p->client, &n));
	FORKED(aiows_attach(loop, "ws://127.0.0.1:1/", NULL, 0, &conn, &e));
	FORKED(aiows_attach_redirect(p->client, 0, &conn, &e));
	FORKED(aiows_take_socket(p->client));
	FORKED(aiows_feed(p->client, "x", 1));
	FORKED(aiows_feed_end(p->client, 0, NULL));
	FORKED(aiows_drain(p->client, &n, 1, &n));
	FORKED(aiows_conn_info(p->client, &info));
	FORKED(aiows_conn_stats(p->client,
	                        &(aiows_conn_stats_t){ .size = sizeof(aiows_conn_stats_t) }));
	FORKED(aiows_conn_error(p->client, &e));
	FORKED(aiows_conn_set_user_data(p->client, 1));
	FORKED(aiows_conn_free(p->client));
	FORKED(aiows_listener_port(p->listener));
	FORKED(aiows_listener_close(p->listener));
	FORKED(aiows_listener_free(p->listener));
	FORKED(aiows_request_info(NULL, &request));
	FORKED(aiows_accept(NULL, NULL, 0, &conn, &e));
	FORKED(aiows_reject(NULL, 404, NULL, 0, NULL, 0));
	FORKED(aiows_request_free(NULL));

	CHECK_INT(aiows_abi_version(), AIOWS_ABI);
	CHECK(aiows_version()[0] != 0);
	CHECK_TEXT(aiows_strerror(AIOWS_ERR_CLOSED), "the connection is closed or closing");
	CHECK_TEXT(aiows_close_code_name(1001), "going away");
	aiows_conn_options c;
	aiows_conn_options_init(&c, sizeof c);
	CHECK_INT(c.auto_pong, 1);
	aiows_free(malloc(1));
}

// still_open counts sockets and the loop's descriptors among 3 to 99.
static int still_open(int *sockets)
{
	int loops = 0;
	*sockets = 0;
	for (int fd = 3; fd < 100; fd++) {
		char path[64], target[128] = { 0 };
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		if (readlink(path, target, sizeof target - 1) < 0)
			continue;
		*sockets += strncmp(target, "socket:", 7) == 0;
		loops += strstr(target, "event") != NULL;
	}
	return loops;
}

static void a_forked_child_is_told_and_holds_no_socket(void)
{
	aiows_loop *empty = begin();
	int sockets, after;
	int runtime = still_open(&sockets) - 2; // the epoll set and the eventfd of empty
	CHECK_INT(sockets, 0);
	aiows_loop *loop = aiows_loop_new(NULL, NULL);
	pair p = open_pair(loop, NULL, NULL);
	still_open(&sockets);
	CHECK_INT(sockets, 3);

	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		int left = still_open(&after);
		CHECK_INT(after, 0);
		CHECK_INT(left, runtime);
		check_child(loop, &p);
		_exit(7);
	}
	CHECK_INT(exit_status(child), 7);

	CHECK_RC(aiows_send(p.client, AIOWS_TEXT, 0, "alive", 5), AIOWS_OK);
	aiows_event event = wait_event(loop, AIOWS_EV_MESSAGE);
	CHECK_INT(event.len, 5);
	close_pair(loop, &p);
	CHECK_RC(aiows_loop_free(loop), AIOWS_OK);
	finish(empty);
}

// fork(2) itself, past the C library and its handlers.
static void a_raw_fork_is_noticed_too(void)
{
	aiows_loop *loop = begin();
	pair p = open_pair(loop, NULL, NULL);
	pid_t child = (pid_t)syscall(SYS_fork);
	CHECK(child >= 0);
	if (child == 0) {
		int32_t rc = aiows_send(p.client, AIOWS_TEXT, 0, "x", 1);
		_exit(rc == AIOWS_ERR_FORKED ? 7 : 1);
	}
	CHECK_INT(exit_status(child), 7);
	close_pair(loop, &p);
	finish(loop);
}

static void a_peer_sees_the_end_though_a_child_lives(void)
{
	aiows_loop *loop = begin();
	pair p = open_pair(loop, NULL, NULL);
	int gate[2];
	CHECK(pipe2(gate, O_CLOEXEC) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		char byte;
		close(gate[1]);
		_exit(read(gate[0], &byte, 1) == 0 ? 7 : 1);
	}
	CHECK_RC(aiows_abort(p.client), AIOWS_OK);
	wait_event(loop, AIOWS_EV_CLOSED);
	wait_event(loop, AIOWS_EV_CLOSED);
	close(gate[0]);
	close(gate[1]);
	CHECK_INT(exit_status(child), 7);
	CHECK_RC(aiows_conn_free(p.client), AIOWS_OK);
	CHECK_RC(aiows_conn_free(p.server), AIOWS_OK);
	CHECK_RC(aiows_listener_free(p.listener), AIOWS_OK);
	finish(loop);
}

static void children_by_system_work(void)
{
	aiows_loop *loop = begin();
	CHECK_INT(system("exit 3") >> 8, 3);
	FILE *f = popen("ulimit -S -n", "r");
	char line[64] = "";
	CHECK(f != NULL && fgets(line, sizeof line, f) != NULL);
	pclose(f);
	CHECK_INT(atoll(line), first_limit.rlim_cur);
	finish(loop);
}

#define TESTS(X)                                                                                   \
	X(the_descriptor_limit_is_the_hosts)                                                       \
	X(the_signal_mask_is_the_hosts)                                                            \
	X(gos_threads_get_no_signal_of_the_host)                                                   \
	X(every_signal_reaches_the_host)                                                           \
	X(sigpipe_is_never_raised)                                                                 \
	X(a_forked_child_is_told_and_holds_no_socket)                                              \
	X(a_raw_fork_is_noticed_too)                                                               \
	X(a_peer_sees_the_end_though_a_child_lives)                                                \
	X(children_by_system_work)
HARNESS_MAIN(TESTS)
