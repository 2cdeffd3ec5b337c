// Replays golden vectors: ../golden/README.md says what it reads and prints.
#include "harness.h"

#include <poll.h>
#include <unistd.h>

static aiows_loop *loop;

static const char *query(const char *target, const char *key)
{
	const char *found = strstr(target, key);
	return found == NULL ? NULL : found + strlen(key);
}

static aiows_conn_options options_of(const char *target)
{
	aiows_conn_options o;
	aiows_conn_options_init(&o, sizeof o);
	o.ping_interval_ms = 0;
	const char *limit = query(target, "limit=");
	if (limit != NULL)
		o.max_message_size = strtoull(limit, NULL, 10);
	if (query(target, "deflate=") != NULL)
		o.compression = AIOWS_COMPRESSION_DEFLATE;
	return o;
}

static void print_hex(const aiows_event *event)
{
	const unsigned char *data = payload(event);
	putchar(' ');
	for (uint64_t i = 0; i < event->len; i++)
		printf("%02x", data[i]);
	puts(event->len == 0 ? "-" : "");
}

static void print_open(aiows_conn *conn)
{
	aiows_conn_info_t info = { .size = sizeof info };
	CHECK_RC(aiows_conn_info(conn, &info), AIOWS_OK);
	printf("open %s\n", info.subprotocol[0] ? info.subprotocol : "-");
}

static void print_failed(aiows_conn *conn)
{
	aiows_error e = { .size = sizeof e };
	CHECK_RC(aiows_conn_error(conn, &e), AIOWS_OK);
	printf("failed %d\n", (int)e.http_status);
	CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
}

static void accept_request(aiows_request *request)
{
	aiows_request_info_t info = { .size = sizeof info };
	CHECK_RC(aiows_request_info(request, &info), AIOWS_OK);
	aiows_conn_options conn = options_of(info.target);
	aiows_accept_options o;
	aiows_accept_options_init(&o, sizeof o);
	o.conn = &conn;
	aiows_conn *server;
	CHECK_RC(aiows_accept(request, &o, 0, &server, NULL), AIOWS_OK);
	CHECK_RC(aiows_request_free(request), AIOWS_OK);
}

// serve prints what the events say and reports whether a connection ended.
static int serve(void)
{
	aiows_event events[16];
	size_t n;
	int ended = 0;
	CHECK_RC(aiows_poll(loop, events, 16, 0, &n), AIOWS_OK);
	for (size_t i = 0; i < n; i++) {
		const aiows_event *e = &events[i];
		aiows_conn *conn = (aiows_conn *)(uintptr_t)e->conn;
		switch (e->type) {
		case AIOWS_EV_REQUEST:
			accept_request((aiows_request *)(uintptr_t)e->request);
			break;
		case AIOWS_EV_GONE:
			CHECK_RC(aiows_request_free((aiows_request *)(uintptr_t)e->request),
			         AIOWS_OK);
			break;
		case AIOWS_EV_OPEN:
			print_open(conn);
			break;
		case AIOWS_EV_FAILED:
			print_failed(conn);
			ended = 1;
			break;
		case AIOWS_EV_MESSAGE:
			printf("message %s", e->kind == AIOWS_TEXT ? "text" : "binary");
			print_hex(e);
			break;
		case AIOWS_EV_PING:
			printf("ping");
			print_hex(e);
			break;
		case AIOWS_EV_PONG:
			printf("pong");
			print_hex(e);
			break;
		case AIOWS_EV_CLOSED:
			printf("end %d %d", (int)e->code, (int)e->close_sent);
			print_hex(e);
			CHECK_RC(aiows_conn_free(conn), AIOWS_OK);
			ended = 1;
			break;
		default:
			break;
		}
	}
	fflush(stdout);
	return ended;
}

// dial connects as a line of the input says.
static void dial(char *line)
{
	const char *uri = strtok(line, " \n"), *key = strtok(NULL, " \n");
	const char *offered[8];
	aiows_connect_options o;
	aiows_connect_options_init(&o, sizeof o);
	aiows_conn_options conn = options_of(uri);
	aiows_header header = { "Sec-WebSocket-Key", key };
	o.conn = &conn;
	o.headers = &header;
	o.n_headers = strcmp(key, "-") != 0;
	o.subprotocols = offered;
	for (const char *name = strtok(NULL, ",\n"); name != NULL && strcmp(name, "-") != 0;
	     name = strtok(NULL, ",\n"))
		offered[o.n_subprotocols++] = name;
	aiows_conn *client;
	aiows_error e = { .size = sizeof e };
	if (aiows_connect(loop, uri, &o, 0, &client, &e) != AIOWS_OK)
		fail(__FILE__, __LINE__, e.message);
}

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	char line[1024];
	loop = begin();
	if (strcmp(argv[1], "serve") == 0) {
		aiows_listener *listener = aiows_listen(loop, "127.0.0.1", 0, NULL, 0, NULL);
		CHECK(listener != NULL);
		struct pollfd both[2] = { { .fd = aiows_loop_fd(loop), .events = POLLIN },
		                          { .fd = STDIN_FILENO, .events = POLLIN } };
		for (;;) {
			CHECK(poll(both, 2, -1) > 0);
			serve();
			if (both[1].revents == 0)
				continue;
			if (fgets(line, sizeof line, stdin) == NULL)
				break;
			printf("port %d\n", (int)aiows_listener_port(listener)); // for every query
			fflush(stdout);
		}
		CHECK_RC(aiows_listener_free(listener), AIOWS_OK);
	} else {
		while (fgets(line, sizeof line, stdin) != NULL) {
			dial(line);
			struct pollfd one = { .fd = aiows_loop_fd(loop), .events = POLLIN };
			do
				CHECK(poll(&one, 1, -1) > 0);
			while (!serve());
		}
	}
	finish(loop);
	return 0;
}
