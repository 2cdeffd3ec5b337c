#include <aiows.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	aiows_error err = { .size = sizeof err };
	aiows_loop *loop = aiows_loop_new(NULL, &err);
	aiows_conn *conn = NULL;
	int done = argc != 3 || aiows_connect(loop, argv[1], NULL, 0, &conn, &err) != 0;

	while (!done) {
		aiows_event events[16];
		size_t n = 0;
		aiows_poll(loop, events, 16, -1, &n);
		for (size_t i = 0; i < n; i++) {
			const aiows_event *event = &events[i];
			switch (event->type) {
			case AIOWS_EV_OPEN:
				aiows_send(conn, AIOWS_TEXT, 0, argv[2], strlen(argv[2]));
				break;
			case AIOWS_EV_MESSAGE:
				fwrite((void *)(uintptr_t)event->data, 1, event->len, stdout);
				putchar('\n');
				aiows_close(conn, 1000, NULL);
				break;
			case AIOWS_EV_FAILED:
			case AIOWS_EV_CLOSED:
				aiows_conn_error(conn, &err);
				done = 1;
			}
		}
	}
	if (err.code != 0)
		fprintf(stderr, "%s\n", err.message);
	aiows_loop_free(loop);
	return err.code != 0 || argc != 3;
}
