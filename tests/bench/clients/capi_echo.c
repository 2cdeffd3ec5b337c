// capi_echo measures CPU per 256-byte echo without Python: through aiows.h
// ("capi"), or with the three system calls that no client can do without, a frame
// made beforehand and nothing read of the answer but its length ("floor").
//
//     capi_echo capi|floor ws://127.0.0.1:PORT CONNECTIONS WARMUP MESSAGES
//
// Prints the JSON that the Python clients print.
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "aiows.h"

enum { SIZE = 256, EVENTS = 64, HEADER = 8, ANSWER = SIZE + 4, MOST = 1 << 16 };

static unsigned char payload[SIZE];

static void fail(const char *what)
{
	fprintf(stderr, "capi_echo: %s\n", what);
	exit(1);
}

// ---------------------------------------------------------------- measuring

typedef struct meter {
	double cpu, wall, kernel;
	long switches;
} meter;

static double seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static meter read_meter(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	meter m = { seconds(CLOCK_PROCESS_CPUTIME_ID), seconds(CLOCK_MONOTONIC),
	            (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec * 1e-6,
	            usage.ru_nvcsw + usage.ru_nivcsw };
	return m;
}

static void report(const char *name, int connections, long echoes, meter from, meter to)
{
	double n = (double)echoes;
	printf("{\"client\": \"%s\", \"version\": \"%s\", \"api\": \"C\", \"loop\": \"poll\", "
	       "\"connections\": %d, \"echoes\": %ld, \"cpu_us\": %.4f, \"kernel_us\": %.4f, "
	       "\"wall_us\": %.4f, \"switches\": %.4f}\n",
	       name, aiows_version(), connections, echoes, (to.cpu - from.cpu) * 1e6 / n,
	       (to.kernel - from.kernel) * 1e6 / n, (to.wall - from.wall) * 1e6 / n,
	       (double)(to.switches - from.switches) / n);
}

// ---------------------------------------------------------------- through aiows.h

static void send_one(aiows_conn *conn)
{
	if (aiows_send(conn, AIOWS_BINARY, 0, payload, SIZE) != 0)
		fail("aiows_send");
}

// echo_all has every connection exchange count messages.
static void echo_all(aiows_loop *loop, int epoll, aiows_conn **conns, int connections, long count)
{
	long *left = malloc(sizeof *left * (size_t)connections);
	if (left == NULL)
		fail("malloc");
	for (int i = 0; i < connections; i++) {
		left[i] = count;
		send_one(conns[i]);
	}
	for (int busy = connections; busy > 0;) {
		struct epoll_event ready;
		if (epoll_wait(epoll, &ready, 1, -1) != 1)
			continue;
		aiows_event events[EVENTS];
		size_t n;
		if (aiows_poll(loop, events, EVENTS, 0, &n) != 0)
			fail("aiows_poll");
		for (size_t i = 0; i < n; i++) {
			if (events[i].type != AIOWS_EV_MESSAGE || events[i].len != SIZE)
				fail("an event that is no echo");
			if (--left[events[i].user_data] > 0)
				send_one(conns[events[i].user_data]);
			else
				busy--;
		}
	}
	free(left);
}

// As a host does: the loop's descriptor in an epoll set of the program's own.
static void through_library(const char *uri, int connections, long warmup, long count)
{
	aiows_loop *loop = aiows_loop_new(NULL, NULL);
	aiows_conn **conns = calloc((size_t)connections, sizeof(aiows_conn *));
	if (loop == NULL || conns == NULL)
		fail("aiows_loop_new");
	for (int i = 0; i < connections; i++) {
		if (aiows_connect(loop, uri, NULL, (uint64_t)i, &conns[i], NULL) != 0)
			fail("aiows_connect");
		for (int open = 0; !open;) {
			aiows_event event;
			size_t n;
			aiows_poll(loop, &event, 1, -1, &n);
			if (n == 1 && event.type != AIOWS_EV_OPEN)
				fail("the connection did not open");
			open = n == 1;
		}
	}
	int epoll = epoll_create1(0);
	struct epoll_event watch = { .events = EPOLLIN, .data = { .u64 = 0 } };
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, aiows_loop_fd(loop), &watch) != 0)
		fail("epoll");
	echo_all(loop, epoll, conns, connections, warmup);
	meter from = read_meter();
	echo_all(loop, epoll, conns, connections, count);
	report("capi", connections, count * connections, from, read_meter());
	close(epoll);
	aiows_loop_free(loop);
	free(conns);
}

// ---------------------------------------------------------------- the floor

static void send_bare(int fd)
{
	static const unsigned char header[HEADER] = { 0x82, 0xfe, SIZE >> 8, SIZE & 255 };
	unsigned char frame[HEADER + SIZE]; // a masking key of zeros leaves the payload as it is
	memcpy(frame, header, HEADER);
	memcpy(frame + HEADER, payload, SIZE);
	if (send(fd, frame, sizeof frame, MSG_NOSIGNAL) != (ssize_t)sizeof frame)
		fail("send");
}

static int connect_bare(const char *uri)
{
	const char *colon = strrchr(uri, ':');
	struct sockaddr_in address = { .sin_family = AF_INET };
	address.sin_port = htons((uint16_t)atoi(colon == NULL ? "" : colon + 1));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int on = 1;
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
		fail("connect");
	static const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
				      "Upgrade: websocket\r\nConnection: Upgrade\r\n"
				      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
				      "Sec-WebSocket-Version: 13\r\n\r\n";
	if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof request - 1))
		fail("send");
	char answer[4096];
	size_t got = 0;
	while (got < 4 || memcmp(answer + got - 4, "\r\n\r\n", 4) != 0) {
		ssize_t n = recv(fd, answer + got, sizeof answer - got, 0);
		if (n <= 0)
			fail("the handshake did not end");
		got += (size_t)n;
	}
	return fd;
}

static void echo_bare(int epoll, const int *fds, int connections, long count)
{
	static long left[MOST];
	for (int i = 0; i < connections; i++) {
		left[i] = count;
		send_bare(fds[i]);
	}
	for (int busy = connections; busy > 0;) {
		struct epoll_event ready[EVENTS];
		int n = epoll_wait(epoll, ready, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			int who = (int)ready[i].data.u64;
			unsigned char answer[4096];
			if (recv(fds[who], answer, sizeof answer, 0) != ANSWER)
				fail("an answer that is no echo");
			if (--left[who] > 0)
				send_bare(fds[who]);
			else
				busy--;
		}
	}
}

static void three_calls(const char *uri, int connections, long warmup, long count)
{
	static int fds[MOST];
	int epoll = epoll_create1(0);
	for (int i = 0; i < connections; i++) {
		struct epoll_event watch = { .events = EPOLLIN, .data = { .u64 = (uint64_t)i } };
		fds[i] = connect_bare(uri);
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &watch) != 0)
			fail("epoll");
	}
	echo_bare(epoll, fds, connections, warmup);
	meter from = read_meter();
	echo_bare(epoll, fds, connections, count);
	report("floor", connections, count * connections, from, read_meter());
}

int main(int argc, char **argv)
{
	if (argc != 6)
		fail("usage: capi_echo capi|floor URI CONNECTIONS WARMUP MESSAGES");
	int connections = atoi(argv[3]);
	if (connections < 1 || connections > MOST)
		fail("CONNECTIONS out of range");
	long warmup = atol(argv[4]) / connections + 1, count = atol(argv[5]) / connections + 1;
	for (int i = 0; i < SIZE; i++)
		payload[i] = (unsigned char)i;
	if (strcmp(argv[1], "floor") == 0)
		three_calls(argv[2], connections, warmup, count);
	else
		through_library(argv[2], connections, warmup, count);
	return 0;
}
