// Sends a message and prints what comes back: a program without a loop.
#include <aiows.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	aiows_error err = { .size = sizeof err };
	aiows_conn *conn;
	if (argc != 3)
		return 1;
	if (aiows_connect_blocking(argv[1], NULL, &conn, &err) != AIOWS_OK) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	aiows_send(conn, AIOWS_TEXT, 0, argv[2], strlen(argv[2]));
	aiows_event event;
	int32_t rc;
	while ((rc = aiows_recv(conn, 10000, &event)) == AIOWS_OK) {
		if (event.type != AIOWS_EV_MESSAGE)
			continue;
		fwrite((void *)(uintptr_t)event.data, 1, event.len, stdout);
		putchar('\n');
		aiows_close(conn, 1000, NULL);
	}
	aiows_conn_error(conn, &err);
	aiows_conn_free(conn);
	if (rc != AIOWS_ERR_CLOSED || err.code != 0)
		fprintf(stderr, "%s\n", rc != AIOWS_ERR_CLOSED ? aiows_strerror(rc) : err.message);
	return rc != AIOWS_ERR_CLOSED || err.code != 0;
}
