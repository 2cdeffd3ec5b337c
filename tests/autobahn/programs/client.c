// client.c - the C client under test: asks a fuzzing server for its cases, and
// sends every message back.
//
//     client [-a CA_FILE] [-n CASES_AT_ONCE] URI AGENT
#define _XOPEN_SOURCE 700 // getopt

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aiows.h"

enum { MAX_SIZE = 64 << 20 }; // the longest message of the suite has 16 MiB

// What a connection is for, in its user data.
enum { COUNT = 1, CASE, REPORT };

static aiows_loop *loop;
static aiows_connect_options options;
static const char *uri, *agent;
static long cases = -1, next_case = 1, at_once = 1, running;

static void die(const char *what, const aiows_error *error)
{
	fprintf(stderr, "%s: %s (%s)\n", what, error->message, aiows_strerror(error->code));
	exit(EXIT_FAILURE);
}

static aiows_conn *conn_of(const aiows_event *event)
{
	return (aiows_conn *)(uintptr_t)event->conn;
}

static void open_path(const char *path, uint64_t purpose)
{
	char whole[1024];
	aiows_error error = { .size = sizeof error };
	aiows_conn *conn;
	snprintf(whole, sizeof whole, "%s%s", uri, path);
	if (aiows_connect(loop, whole, &options, purpose, &conn, &error) != AIOWS_OK)
		die(whole, &error);
	running++;
}

// go_on starts what comes next. Returns 0 when all is done.
static int go_on(void)
{
	char path[512];
	while (next_case <= cases && running < at_once) {
		snprintf(path, sizeof path, "/runCase?case=%ld&agent=%s", next_case++, agent);
		open_path(path, CASE);
	}
	if (running == 0 && cases >= 0 && next_case == cases + 1) {
		next_case++;
		snprintf(path, sizeof path, "/updateReports?agent=%s", agent);
		open_path(path, REPORT);
	}
	return running > 0;
}

static void message(const aiows_event *event)
{
	const void *data = (const void *)(uintptr_t)event->data;
	if (event->user_data == COUNT) {
		char text[16] = "";
		memcpy(text, data, event->len < sizeof text ? (size_t)event->len : sizeof text - 1);
		cases = strtol(text, NULL, 10);
		return;
	}
	int32_t rc = aiows_send(conn_of(event), event->kind, AIOWS_FORCE, data, (size_t)event->len);
	if (rc == AIOWS_PENDING) // the server does not read: read no more from it
		aiows_pause(conn_of(event));
}

static void handle(const aiows_event *event)
{
	aiows_error error = { .size = sizeof error };
	switch (event->type) {
	case AIOWS_EV_MESSAGE:
		message(event);
		break;
	case AIOWS_EV_WRITABLE:
		aiows_resume(conn_of(event));
		break;
	case AIOWS_EV_FAILED:
		aiows_conn_error(conn_of(event), &error);
		die("connect", &error);
		break;
	case AIOWS_EV_CLOSED:
		aiows_conn_free(conn_of(event));
		running--;
		break;
	}
}

static int read_options(int argc, char **argv, aiows_tls_options *tls)
{
	int option;
	while ((option = getopt(argc, argv, "a:n:")) != -1) {
		if (option == 'a')
			tls->ca_file = optarg;
		else if (option == 'n')
			at_once = strtol(optarg, NULL, 10);
		else
			return 0;
	}
	if (at_once < 1 || optind + 2 != argc)
		return 0;
	uri = argv[optind];
	agent = argv[optind + 1];
	return 1;
}

int main(int argc, char **argv)
{
	aiows_tls_options tls;
	aiows_tls_options_init(&tls, sizeof tls);
	if (!read_options(argc, argv, &tls)) {
		fprintf(stderr, "usage: %s [-a CA_FILE] [-n CASES_AT_ONCE] URI AGENT\n", argv[0]);
		return 2;
	}
	aiows_conn_options conn;
	aiows_conn_options_init(&conn, sizeof conn);
	conn.max_message_size = MAX_SIZE;
	// kosoku's cases 13.2, 13.5 and 13.6 want an offer that speaks of
	// client_no_context_takeover: it comes second.
	aiows_deflate offers[2];
	memset(offers, 0, sizeof offers);
	offers[0].size = offers[1].size = sizeof offers[0];
	offers[0].client_max_window_bits = offers[1].client_max_window_bits = AIOWS_WINDOW_ANY;
	offers[1].client_no_context_takeover = 1;
	conn.compression = AIOWS_COMPRESSION_DEFLATE;
	conn.deflate = offers;
	conn.deflate_len = 2;
	aiows_connect_options_init(&options, sizeof options);
	options.conn = &conn;

	aiows_error error = { .size = sizeof error };
	if (tls.ca_file != NULL) {
		options.tls = aiows_tls_new(&tls, &error);
		if (options.tls == NULL)
			die(tls.ca_file, &error);
	}
	loop = aiows_loop_new(NULL, &error);
	if (loop == NULL)
		die("loop", &error);
	open_path("/getCaseCount", COUNT);
	while (go_on()) {
		aiows_event events[64];
		size_t n;
		int32_t rc = aiows_poll(loop, events, 64, -1, &n);
		if (rc != AIOWS_OK) {
			fprintf(stderr, "poll: %s\n", aiows_strerror(rc));
			return EXIT_FAILURE;
		}
		for (size_t i = 0; i < n; i++)
			handle(&events[i]);
	}
	if (options.tls != NULL)
		aiows_tls_free(options.tls);
	aiows_loop_free(loop);
	return cases > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
