// attach.c - a WebSocket over whatever a program's standard input and output lead to.
//
//     cc -std=c99 -Iinclude examples/c/attach.c -Lbuild -laiows -o attach
//     ./attach ws://example.com/feed "hello" nc example.com 80
//     ./attach wss://example.com/feed "hello" openssl s_client -quiet -connect example.com:443
//     ./attach ws://localhost:8080/ "hello" ssh host nc localhost 8080
//
// The library opens no socket: it asks this program to carry its bytes. A child process is
// the transport, as with the ProxyCommand of ssh. Prints the first message that comes, then
// closes; the exit status is 0 when the close was clean.
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aiows.h"

// tunnel is the transport, and what it has not taken yet.
struct tunnel {
	int fd;
	int paused; // the library holds enough
	int ended;  // nothing comes any more
	int done;   // nothing goes out any more
	char out[16384];
	size_t at, len;
};

// open_tunnel starts the command with a socket as its standard input and output. It comes
// before the library's first call: what follows fork must not use it.
static int open_tunnel(struct tunnel *t, char **command)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		return -1;
	pid_t child = fork();
	if (child == 0) {
		dup2(pair[1], 0);
		dup2(pair[1], 1);
		close(pair[0]);
		close(pair[1]);
		execvp(command[0], command);
		perror(command[0]);
		_exit(127);
	}
	close(pair[1]);
	t->fd = pair[0];
	fcntl(t->fd, F_SETFL, O_NONBLOCK);
	fcntl(t->fd, F_SETFD, FD_CLOEXEC);
	return child < 0 ? -1 : 0;
}

// carry_out moves bytes from the library to the tunnel until one of them has no more.
static void carry_out(aiows_conn *conn, struct tunnel *t)
{
	while (!t->done) {
		if (t->at == t->len) {
			t->at = 0;
			if (aiows_drain(conn, t->out, sizeof t->out, &t->len) == AIOWS_ERR_CLOSED) {
				shutdown(t->fd, SHUT_WR);
				t->done = 1;
			}
			if (t->len == 0)
				return;
		}
		ssize_t n = send(t->fd, t->out + t->at, t->len - t->at, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			t->done = 1; // reading tells why
		if (n < 0)
			return;
		t->at += (size_t)n;
	}
}

// carry_in moves what the tunnel has to the library.
static void carry_in(aiows_conn *conn, struct tunnel *t)
{
	char in[16384];
	ssize_t n = recv(t->fd, in, sizeof in, 0);
	if (n > 0) {
		t->paused = aiows_feed(conn, in, (size_t)n) == AIOWS_PENDING;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		aiows_feed_end(conn, n == 0 ? 0 : errno, NULL);
		t->ended = 1;
	}
}

// handle deals with one event. Returns 0 once the connection has ended.
static int handle(aiows_conn *conn, struct tunnel *t, const aiows_event *event, const char *message,
                  int *status)
{
	aiows_error error;
	switch (event->type) {
	case AIOWS_EV_OPEN:
		aiows_send(conn, AIOWS_TEXT, 0, message, strlen(message));
		return 1;
	case AIOWS_EV_MESSAGE:
		fwrite((const char *)(uintptr_t)event->data, 1, (size_t)event->len, stdout);
		putchar('\n');
		aiows_close(conn, 1000, "done");
		return 1;
	case AIOWS_EV_INPUT:
		t->paused = 0;
		return 1;
	case AIOWS_EV_CLOSED:
		fprintf(stderr, "closed: %ld %s\n", (long)event->code,
		        aiows_close_code_name(event->code));
		*status = event->flags & AIOWS_EVF_CLEAN ? EXIT_SUCCESS : EXIT_FAILURE;
		return 0;
	case AIOWS_EV_FAILED:
		error.size = sizeof error;
		if (aiows_conn_error(conn, &error) == AIOWS_OK)
			fprintf(stderr, "connect: %s\n", error.message);
		return 0;
	}
	return 1;
}

// run serves the connection until it ends.
static int run(aiows_loop *loop, aiows_conn *conn, struct tunnel *t, const char *message)
{
	int status = EXIT_FAILURE;
	for (;;) {
		carry_out(conn, t);
		struct pollfd fds[2];
		fds[0].fd = aiows_loop_fd(loop);
		fds[0].events = POLLIN;
		fds[1].events = 0;
		if (!t->paused && !t->ended)
			fds[1].events |= POLLIN;
		if (t->at < t->len && !t->done)
			fds[1].events |= POLLOUT;
		fds[1].fd = fds[1].events ? t->fd : -1;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return EXIT_FAILURE;
		if (fds[1].fd >= 0 && fds[1].revents & (POLLIN | POLLHUP | POLLERR))
			carry_in(conn, t);

		aiows_event events[16];
		size_t n;
		if (aiows_poll(loop, events, 16, 0, &n) != AIOWS_OK)
			return EXIT_FAILURE;
		for (size_t i = 0; i < n; i++) {
			if (!handle(conn, t, &events[i], message, &status)) {
				carry_out(conn, t);
				return status;
			}
		}
	}
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: %s URI MESSAGE COMMAND...\n", argv[0]);
		return 2;
	}
	struct tunnel t = { .fd = -1 };
	if (open_tunnel(&t, argv + 3) != 0) {
		perror("tunnel");
		return EXIT_FAILURE;
	}

	aiows_error error;
	error.size = sizeof error;
	aiows_loop *loop = aiows_loop_new(NULL, &error);
	aiows_conn *conn = NULL;
	int status = EXIT_FAILURE;
	if (loop == NULL || aiows_attach(loop, argv[1], NULL, 0, &conn, &error) != AIOWS_OK)
		fprintf(stderr, "%s\n", error.message);
	else
		status = run(loop, conn, &t, argv[2]);
	aiows_conn_free(conn);
	aiows_loop_free(loop);
	close(t.fd);
	wait(NULL);
	return status;
}
