#include <stdlib.h>

#include "blocking.h"
#include "call.h"

enum { BATCH = 64 };

// blocking is what aiows_recv knows of a connection.
typedef struct blocking {
	int32_t use; // BLOCKING_*; Go enters, under a lock
	int32_t auto_pong;
	int32_t auto_close;
	aiows_loop *loop; // of this connection alone
	size_t n;         // events in the batch in hand
	size_t next;      // the first that was not handed out
	aiows_event events[BATCH];
	aiows_event closed; // CLOSED, once it came
} blocking;

void blocking_end(void *state)
{
	blocking *b = state;
	aiows_loop_free(b->loop);
	free(b);
}

// is_told leaves out what the library answers itself, and the opening.
static int is_told(const blocking *b, const aiows_event *event)
{
	switch (event->type) {
	case AIOWS_EV_OPEN:
		return 0;
	case AIOWS_EV_PING:
		return !b->auto_pong;
	case AIOWS_EV_CLOSING:
		return !b->auto_close;
	}
	return 1;
}

static int32_t next_event(blocking *b, aiows_event *event_out)
{
	while (b->next < b->n) {
		const aiows_event *event = &b->events[b->next++];
		if (event->type == AIOWS_EV_CLOSED)
			b->closed = *event;
		else if (is_told(b, event)) {
			*event_out = *event;
			return AIOWS_OK;
		}
	}
	if (b->closed.type == AIOWS_EV_CLOSED) {
		*event_out = b->closed;
		return AIOWS_ERR_CLOSED;
	}
	return AIOWS_ERR_AGAIN;
}

// receive returns AIOWS_ERR_TIMEOUT when a poll told nothing: the time is up, or a signal
// handler ran.
static int32_t receive(blocking *b, int32_t timeout_ms, aiows_event *event_out)
{
	struct timespec end = deadline(timeout_ms);
	for (;;) {
		int32_t rc = next_event(b, event_out);
		if (rc != AIOWS_ERR_AGAIN)
			return rc;
		int32_t left = timeout_ms < 0 ? -1 : milliseconds(until(end));
		b->next = b->n = 0;
		rc = aiows_poll(b->loop, b->events, BATCH, left, &b->n);
		if (rc != AIOWS_OK)
			return rc;
		if (__atomic_load_n(&b->use, __ATOMIC_ACQUIRE) & BLOCKING_FREED)
			return AIOWS_ERR_HANDLE;
		if (b->n == 0)
			return AIOWS_ERR_TIMEOUT;
	}
}

int32_t aiows_recv(aiows_conn *conn, int32_t timeout_ms, aiows_event *event_out)
{
	NEED(event_out != NULL, AIOWS_ERR_ARGUMENT);
	*event_out = (aiows_event){ 0 };
	ENTER();
	NEED(timeout_ms >= -1, AIOWS_ERR_ARGUMENT);
	void *state = NULL;
	int32_t rc = go_blocking_enter(HANDLE(conn), &state);
	if (rc != AIOWS_OK)
		return rc;
	blocking *b = state;
	rc = receive(b, timeout_ms, event_out);
	if (__atomic_fetch_and(&b->use, ~BLOCKING_USED, __ATOMIC_ACQ_REL) & BLOCKING_FREED) {
		*event_out = (aiows_event){ 0 }; // what it points to ends here
		blocking_end(b);
		return AIOWS_ERR_HANDLE;
	}
	return rc;
}

// ---------------------------------------------------------------- opening

// opened waits until the connection is open. The batch that tells so is left to aiows_recv:
// lines of log_frames precede OPEN, and may be so many that it has to follow.
static int32_t opened(blocking *b, aiows_conn *conn, aiows_error *e)
{
	for (;;) {
		int32_t rc = aiows_poll(b->loop, b->events, BATCH, -1, &b->n);
		if (rc != AIOWS_OK)
			return rc;
		if (b->n == 0)
			return error_set(e, AIOWS_ERR_ABORTED, "a signal handler ran");
		for (size_t i = 0; i < b->n; i++) {
			if (b->events[i].type == AIOWS_EV_OPEN)
				return AIOWS_OK;
			if (b->events[i].type == AIOWS_EV_FAILED) {
				int32_t code = b->events[i].code;
				aiows_conn_error(conn, e);
				return code;
			}
		}
		aiows_conn_info_t info = { .size = sizeof info };
		rc = aiows_conn_info(conn, &info);
		if (rc != AIOWS_OK || info.state == AIOWS_OPEN || info.state == AIOWS_CLOSING)
			return rc;
	}
}

static int32_t open_blocking(blocking *b, const char *uri, const aiows_connect_options *options,
                             aiows_conn **conn_out, aiows_error *e)
{
	aiows_connect_options o = default_connect_options;
	conn_in c = { .options = default_conn_options };
	int32_t rc = connect_options(&o, &c, options, e);
	if (rc != AIOWS_OK)
		return rc;
	b->auto_pong = c.options.auto_pong;
	b->auto_close = c.options.auto_close;
	b->loop = aiows_loop_new(NULL, e);
	if (b->loop == NULL)
		return e->code;
	aiows_conn *conn = NULL;
	rc = aiows_connect(b->loop, uri, options, 0, &conn, e);
	if (rc == AIOWS_OK)
		rc = opened(b, conn, e);
	if (rc == AIOWS_OK)
		rc = go_blocking_set(HANDLE(conn), b);
	if (rc == AIOWS_OK)
		*conn_out = conn;
	return rc;
}

int32_t aiows_connect_blocking(const char *uri, const aiows_connect_options *options,
                               aiows_conn **conn_out, aiows_error *err)
{
	aiows_error e = { .size = sizeof e };
	if (conn_out != NULL)
		*conn_out = NULL;
	int32_t rc = gate_check();
	if (rc == AIOWS_OK && (conn_out == NULL || uri == NULL))
		rc = error_set(&e, AIOWS_ERR_ARGUMENT, "%s is NULL", uri ? "conn_out" : "uri");
	blocking *b = rc == AIOWS_OK ? calloc(1, sizeof *b) : NULL;
	if (rc == AIOWS_OK && b == NULL)
		rc = AIOWS_ERR_MEMORY;
	if (rc == AIOWS_OK)
		rc = open_blocking(b, uri, options, conn_out, &e);
	if (rc != AIOWS_OK && b != NULL) {
		if (b->loop != NULL)
			aiows_loop_free(b->loop);
		free(b);
	}
	return error_give(err, &e, rc);
}
