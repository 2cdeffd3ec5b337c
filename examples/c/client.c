// client.c - connect, send one message, print what comes, close.
//
//     cc -std=c99 -Iinclude examples/c/client.c -Lbuild -laiows -o client
//     ./client wss://example.com/feed "hello"
//
// Prints every message until the first has come, then closes and waits for the
// peer to agree. The exit status is 0 when the close was clean.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aiows.h"

// Events hold addresses as integers, so that every language reads one layout.
static const char *payload(const aiows_event *event)
{
	return (const char *)(uintptr_t)event->data;
}

static void print_error(const char *what, const aiows_error *error)
{
	fprintf(stderr, "%s: %s (%s)\n", what, error->message, aiows_strerror(error->code));
}

// handle deals with one event. Returns 0 once the connection has ended.
static int handle(aiows_conn *conn, const aiows_event *event, const char *message, int *status)
{
	aiows_error error;
	int32_t rc;

	switch (event->type) {
	case AIOWS_EV_OPEN:
		rc = aiows_send(conn, AIOWS_TEXT, 0, message, strlen(message));
		if (rc != AIOWS_OK) {
			fprintf(stderr, "send: %s\n", aiows_strerror(rc));
			aiows_abort(conn);
		}
		return 1;
	case AIOWS_EV_MESSAGE:
		fwrite(payload(event), 1, (size_t)event->len, stdout);
		putchar('\n');
		aiows_close(conn, 1000, "done");
		return 1;
	case AIOWS_EV_CLOSED:
		fprintf(stderr, "closed: %ld %s\n", (long)event->code,
		        aiows_close_code_name(event->code));
		*status = event->flags & AIOWS_EVF_CLEAN ? EXIT_SUCCESS : EXIT_FAILURE;
		return 0;
	case AIOWS_EV_FAILED:
		error.size = sizeof error;
		if (aiows_conn_error(conn, &error) == AIOWS_OK)
			print_error("connect", &error);
		return 0;
	}
	return 1;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s URI MESSAGE\n", argv[0]);
		return 2;
	}

	aiows_error error;
	error.size = sizeof error;
	aiows_loop *loop = aiows_loop_new(NULL, &error);
	if (loop == NULL) {
		print_error("loop", &error);
		return EXIT_FAILURE;
	}

	int status = EXIT_FAILURE;
	aiows_conn *conn;
	if (aiows_connect(loop, argv[1], NULL, 0, &conn, &error) != AIOWS_OK) {
		print_error("connect", &error);
		aiows_loop_free(loop);
		return EXIT_FAILURE;
	}

	int going = 1;
	while (going) {
		aiows_event events[16];
		size_t n;
		int32_t rc = aiows_poll(loop, events, 16, -1, &n);
		if (rc != AIOWS_OK) {
			fprintf(stderr, "poll: %s\n", aiows_strerror(rc));
			break;
		}
		for (size_t i = 0; i < n && going; i++)
			going = handle(conn, &events[i], argv[2], &status);
	}

	aiows_conn_free(conn);
	aiows_loop_free(loop);
	return status;
}
