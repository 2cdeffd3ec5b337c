#include "blocking.h"
#include "call.h"

// deflate_options copies the elements, whose size is that of the caller's version.
static int32_t deflate_options(conn_in *in, const aiows_deflate *deflate, aiows_error *e)
{
	size_t n = in->options.deflate_len;
	if (n == 0)
		return AIOWS_OK;
	if (deflate == NULL || n > MAX_DEFLATE)
		return error_set(e, AIOWS_ERR_ARGUMENT,
		                 deflate ? "deflate_len is %zu, expected at most %d"
		                         : "deflate is NULL and deflate_len is %zu",
		                 n, MAX_DEFLATE);
	uint32_t step = deflate->size;
	for (size_t i = 0; i < n; i++) {
		const aiows_deflate *d = (const aiows_deflate *)((const char *)deflate + i * step);
		if (d->size != step)
			return error_set(e, AIOWS_ERR_ARGUMENT,
			                 "size of deflate[%zu] is %u, expected %u, as before", i,
			                 d->size, step);
		int32_t rc =
			sized_in(&in->deflate[i], sizeof in->deflate[i], d, "aiows_deflate", e);
		if (rc != AIOWS_OK)
			return rc;
	}
	in->options.deflate = in->deflate;
	return AIOWS_OK;
}

int32_t conn_options(conn_in *in, const aiows_conn_options *options, aiows_error *e)
{
	int32_t rc = sized_in(&in->options, sizeof in->options, options, "aiows_conn_options", e);
	return rc == AIOWS_OK ? deflate_options(in, in->options.deflate, e) : rc;
}

int32_t connect_options(aiows_connect_options *o, conn_in *c, const aiows_connect_options *options,
                        aiows_error *e)
{
	int32_t rc = sized_in(o, sizeof *o, options, "aiows_connect_options", e);
	if (rc == AIOWS_OK)
		rc = conn_options(c, o->conn, e);
	o->conn = &c->options;
	return rc;
}

static int32_t start(int32_t attached, aiows_loop *loop, const char *uri,
                     const aiows_connect_options *options, uint64_t user_data,
                     aiows_conn **conn_out, aiows_error *err)
{
	aiows_error e = { .size = sizeof e };
	aiows_connect_options o = default_connect_options;
	conn_in c = { .options = default_conn_options };
	uintptr_t conn = 0;
	if (conn_out != NULL)
		*conn_out = NULL;
	int32_t rc = gate_check();
	if (rc == AIOWS_OK && (conn_out == NULL || uri == NULL))
		rc = error_set(&e, AIOWS_ERR_ARGUMENT, "%s is NULL", uri ? "conn_out" : "uri");
	if (rc == AIOWS_OK)
		rc = connect_options(&o, &c, options, &e);
	if (rc == AIOWS_OK)
		rc = go_connect(HANDLE(loop), (char *)uri, &o, attached, user_data, &conn, &e);
	if (rc == AIOWS_OK)
		*conn_out = (aiows_conn *)conn;
	return error_give(err, &e, rc);
}

int32_t aiows_connect(aiows_loop *loop, const char *uri, const aiows_connect_options *options,
                      uint64_t user_data, aiows_conn **conn_out, aiows_error *err)
{
	return start(0, loop, uri, options, user_data, conn_out, err);
}

int32_t aiows_attach(aiows_loop *loop, const char *uri, const aiows_connect_options *options,
                     uint64_t user_data, aiows_conn **conn_out, aiows_error *err)
{
	return start(1, loop, uri, options, user_data, conn_out, err);
}

// ---------------------------------------------------------------- sending

#define COMPRESS_FLAGS (AIOWS_COMPRESS | AIOWS_NO_COMPRESS)
#define SEND_FLAGS (COMPRESS_FLAGS | AIOWS_TRY | AIOWS_FORCE)
#define SENDABLE(kind, flags)                                                                      \
	(((kind) == AIOWS_TEXT || (kind) == AIOWS_BINARY) &&                                       \
	 ((flags) & ~(uint32_t)SEND_FLAGS) == 0 && ((flags) & COMPRESS_FLAGS) != COMPRESS_FLAGS)

int32_t aiows_send(aiows_conn *conn, int32_t kind, uint32_t flags, const void *data, size_t len)
{
	ENTER();
	NEED(SENDABLE(kind, flags) && SPAN(data, len, 1), AIOWS_ERR_ARGUMENT);
	return go_send(HANDLE(conn), kind, flags, (void *)data, len);
}

int32_t aiows_send_fragment(aiows_conn *conn, int32_t kind, uint32_t flags, int32_t fin,
                            const void *data, size_t len)
{
	ENTER();
	NEED(SENDABLE(kind, flags) && SPAN(data, len, 1), AIOWS_ERR_ARGUMENT);
	NEED(fin == 0 || fin == 1, AIOWS_ERR_ARGUMENT);
	return go_send_fragment(HANDLE(conn), kind, flags, fin, (void *)data, len);
}

int32_t aiows_send_many(aiows_conn *conn, int32_t kind, uint32_t flags, const aiows_slice *messages,
                        size_t n, size_t *n_out)
{
	NEED(n_out != NULL, AIOWS_ERR_ARGUMENT);
	*n_out = 0;
	ENTER();
	NEED(SENDABLE(kind, flags) && SPAN(messages, n, sizeof *messages), AIOWS_ERR_ARGUMENT);
	for (size_t i = 0; i < n; i++)
		NEED(SPAN(messages[i].data, messages[i].len, 1), AIOWS_ERR_ARGUMENT);
	return go_send_many(HANDLE(conn), kind, flags, (aiows_slice *)messages, n, n_out);
}

int32_t aiows_ping(aiows_conn *conn, const void *data, size_t len)
{
	ENTER();
	NEED(SPAN(data, len, 1), AIOWS_ERR_ARGUMENT);
	return go_ping(HANDLE(conn), (void *)data, len);
}

int32_t aiows_pong(aiows_conn *conn, const void *data, size_t len)
{
	ENTER();
	NEED(SPAN(data, len, 1), AIOWS_ERR_ARGUMENT);
	return go_pong(HANDLE(conn), (void *)data, len);
}

int32_t aiows_close(aiows_conn *conn, int32_t code, const char *reason)
{
	ENTER();
	return go_close(HANDLE(conn), code, (char *)reason);
}

int32_t aiows_abort(aiows_conn *conn)
{
	ENTER();
	return go_abort(HANDLE(conn));
}

int32_t aiows_pause(aiows_conn *conn)
{
	ENTER();
	return go_pause(HANDLE(conn));
}

int32_t aiows_resume(aiows_conn *conn)
{
	ENTER();
	return go_resume(HANDLE(conn));
}

int32_t aiows_conn_stream(aiows_conn *conn, int32_t on)
{
	ENTER();
	NEED(on == 0 || on == 1, AIOWS_ERR_ARGUMENT);
	return go_conn_stream(HANDLE(conn), on);
}

int32_t aiows_buffered(aiows_conn *conn, size_t *bytes_out)
{
	NEED(bytes_out != NULL, AIOWS_ERR_ARGUMENT);
	*bytes_out = 0;
	ENTER();
	return go_buffered(HANDLE(conn), bytes_out);
}

// ---------------------------------------------------------------- own I/O

int32_t aiows_attach_redirect(aiows_conn *conn, uint64_t user_data, aiows_conn **conn_out,
                              aiows_error *err)
{
	aiows_error e = { .size = sizeof e };
	uintptr_t next = 0;
	if (conn_out != NULL)
		*conn_out = NULL;
	int32_t rc = gate_check();
	if (rc == AIOWS_OK && conn_out == NULL)
		rc = error_set(&e, AIOWS_ERR_ARGUMENT, "conn_out is NULL");
	if (rc == AIOWS_OK)
		rc = go_attach_redirect(HANDLE(conn), user_data, &next, &e);
	if (rc == AIOWS_OK)
		*conn_out = (aiows_conn *)next;
	return error_give(err, &e, rc);
}

int32_t aiows_take_socket(aiows_conn *conn)
{
	ENTER();
	return go_take_socket(HANDLE(conn));
}

int32_t aiows_feed(aiows_conn *conn, const void *data, size_t len)
{
	ENTER();
	NEED(SPAN(data, len, 1), AIOWS_ERR_ARGUMENT);
	return go_feed(HANDLE(conn), (void *)data, len);
}

int32_t aiows_feed_end(aiows_conn *conn, int32_t os_errno, const char *message)
{
	ENTER();
	NEED(os_errno >= 0, AIOWS_ERR_ARGUMENT);
	return go_feed_end(HANDLE(conn), os_errno, (char *)message);
}

int32_t aiows_drain(aiows_conn *conn, void *buffer, size_t cap, size_t *n_out)
{
	NEED(n_out != NULL, AIOWS_ERR_ARGUMENT);
	*n_out = 0;
	ENTER();
	NEED(SPAN(buffer, cap, 1), AIOWS_ERR_ARGUMENT);
	return go_drain(HANDLE(conn), buffer, cap, n_out);
}

// ---------------------------------------------------------------- what it is

int32_t aiows_conn_info(aiows_conn *conn, aiows_conn_info_t *info_out)
{
	ENTER();
	NEED(sized_check(info_out) == AIOWS_OK, AIOWS_ERR_ARGUMENT);
	aiows_conn_info_t info = { .size = sizeof info };
	int32_t rc = go_conn_info(HANDLE(conn), &info);
	return rc == AIOWS_OK ? sized_out(info_out, &info, sizeof info) : rc;
}

int32_t aiows_conn_stats(aiows_conn *conn, aiows_conn_stats_t *stats_out)
{
	ENTER();
	NEED(sized_check(stats_out) == AIOWS_OK, AIOWS_ERR_ARGUMENT);
	aiows_conn_stats_t stats = { .size = sizeof stats };
	int32_t rc = go_conn_stats(HANDLE(conn), &stats);
	return rc == AIOWS_OK ? sized_out(stats_out, &stats, sizeof stats) : rc;
}

int32_t aiows_conn_error(aiows_conn *conn, aiows_error *error_out)
{
	ENTER();
	NEED(sized_check(error_out) == AIOWS_OK, AIOWS_ERR_ARGUMENT);
	aiows_error e = { .size = sizeof e };
	int32_t rc = go_conn_error(HANDLE(conn), &e);
	if (rc != AIOWS_OK)
		return rc;
	sized_out(error_out, &e, sizeof e);
	error_give(error_out, &e, e.code);
	return AIOWS_OK;
}

int32_t aiows_conn_set_user_data(aiows_conn *conn, uint64_t user_data)
{
	ENTER();
	return go_conn_set_user_data(HANDLE(conn), user_data);
}

int32_t aiows_conn_free(aiows_conn *conn)
{
	ENTER();
	void *state = NULL;
	int32_t rc = go_conn_free(HANDLE(conn), &state);
	if (state != NULL)
		blocking_end(state);
	return rc;
}
