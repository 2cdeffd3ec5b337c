// echo.c - a server that sends every message back.
//
//     cc -std=c99 -Iinclude examples/c/echo.c -Lbuild -laiows -o echo
//     ./echo 8000
//
// Prints the port, which port 0 lets the system choose. SIGINT and SIGTERM end it.
#define _XOPEN_SOURCE 700 // sigaction

#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aiows.h"

static volatile sig_atomic_t stopping;

static void stop(int signal_number)
{
	(void)signal_number;
	stopping = 1;
}

// Events hold addresses as integers, so that every language reads one layout.
static aiows_conn *conn_of(const aiows_event *event)
{
	return (aiows_conn *)(uintptr_t)event->conn;
}

static void accept_client(const aiows_event *event)
{
	aiows_request *request = (aiows_request *)(uintptr_t)event->request;
	aiows_conn *conn;
	int32_t rc = aiows_accept(request, NULL, 0, &conn, NULL);
	if (rc != AIOWS_OK && rc != AIOWS_ERR_CLOSED) // CLOSED: the client left meanwhile
		fprintf(stderr, "accept: %s\n", aiows_strerror(rc));
	aiows_request_free(request);
}

// echo queues the message whatever is pending, and reads no more from a client
// that does not read what it gets: WRITABLE says when it did.
static void echo(const aiows_event *event)
{
	int32_t rc = aiows_send(conn_of(event), event->kind, AIOWS_FORCE,
	                        (const void *)(uintptr_t)event->data, (size_t)event->len);
	if (rc == AIOWS_PENDING)
		aiows_pause(conn_of(event));
}

static void handle(const aiows_event *event)
{
	switch (event->type) {
	case AIOWS_EV_REQUEST:
		accept_client(event);
		break;
	case AIOWS_EV_MESSAGE:
		echo(event);
		break;
	case AIOWS_EV_WRITABLE:
		aiows_resume(conn_of(event));
		break;
	case AIOWS_EV_CLOSED:
	case AIOWS_EV_FAILED:
		aiows_conn_free(conn_of(event));
		break;
	}
}

int main(int argc, char **argv)
{
	if (argc > 2) {
		fprintf(stderr, "usage: %s [PORT]\n", argv[0]);
		return 2;
	}

	// The Go runtime inside the library needs SA_ONSTACK on every handler; without
	// SA_RESTART the signal ends aiows_poll's wait.
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = stop;
	action.sa_flags = SA_ONSTACK;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);

	aiows_error error;
	error.size = sizeof error;
	aiows_loop *loop = aiows_loop_new(NULL, &error);
	aiows_listener *listener = NULL;
	if (loop != NULL)
		listener = aiows_listen(loop, "127.0.0.1", argc == 2 ? atoi(argv[1]) : 0, NULL, 0,
		                        &error);
	if (listener == NULL) {
		fprintf(stderr, "%s\n", error.message);
		aiows_loop_free(loop);
		return EXIT_FAILURE;
	}
	printf("%" PRId32 "\n", aiows_listener_port(listener));
	fflush(stdout);

	int32_t rc = AIOWS_OK;
	while (!stopping && rc == AIOWS_OK) {
		aiows_event events[64];
		size_t n;
		rc = aiows_poll(loop, events, 64, -1, &n);
		for (size_t i = 0; i < n; i++)
			handle(&events[i]);
	}
	if (rc != AIOWS_OK)
		fprintf(stderr, "poll: %s\n", aiows_strerror(rc));

	aiows_listener_free(listener);
	aiows_loop_free(loop);
	return rc == AIOWS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
