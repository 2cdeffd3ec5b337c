#include "call.h"

aiows_listener *aiows_listen(aiows_loop *loop, const char *host, int32_t port,
                             const aiows_listen_options *options, uint64_t user_data,
                             aiows_error *err)
{
	aiows_error e = { .size = sizeof e };
	aiows_listen_options o = default_listen_options;
	uintptr_t listener = 0;
	int32_t rc = gate_check();
	if (rc == AIOWS_OK)
		rc = sized_in(&o, sizeof o, options, "aiows_listen_options", &e);
	if (rc == AIOWS_OK && host == NULL && o.fd == -1)
		rc = error_set(&e, AIOWS_ERR_ARGUMENT,
		               "host is NULL, expected \"\" for every address");
	if (rc == AIOWS_OK)
		rc = go_listen(HANDLE(loop), (char *)host, port, &o, user_data, &listener, &e);
	error_give(err, &e, rc);
	return (aiows_listener *)listener;
}

int32_t aiows_listener_port(aiows_listener *listener)
{
	ENTER();
	return go_listener_port(HANDLE(listener));
}

int32_t aiows_listener_close(aiows_listener *listener)
{
	ENTER();
	return go_listener_close(HANDLE(listener));
}

int32_t aiows_listener_free(aiows_listener *listener)
{
	ENTER();
	return go_listener_free(HANDLE(listener));
}

// ---------------------------------------------------------------- requests

int32_t aiows_request_info(aiows_request *request, aiows_request_info_t *info_out)
{
	ENTER();
	NEED(sized_check(info_out) == AIOWS_OK, AIOWS_ERR_ARGUMENT);
	aiows_request_info_t info = { .size = sizeof info };
	int32_t rc = go_request_info(HANDLE(request), &info);
	return rc == AIOWS_OK ? sized_out(info_out, &info, sizeof info) : rc;
}

static int32_t accept_options(aiows_accept_options *o, conn_in *c,
                              const aiows_accept_options *options, aiows_error *e)
{
	int32_t rc = sized_in(o, sizeof *o, options, "aiows_accept_options", e);
	if (rc == AIOWS_OK)
		rc = conn_options(c, o->conn, e);
	o->conn = &c->options;
	return rc;
}

int32_t aiows_accept(aiows_request *request, const aiows_accept_options *options,
                     uint64_t user_data, aiows_conn **conn_out, aiows_error *err)
{
	aiows_error e = { .size = sizeof e };
	aiows_accept_options o = default_accept_options;
	conn_in c = { .options = default_conn_options };
	uintptr_t conn = 0;
	if (conn_out != NULL)
		*conn_out = NULL;
	int32_t rc = gate_check();
	if (rc == AIOWS_OK && conn_out == NULL)
		rc = error_set(&e, AIOWS_ERR_ARGUMENT, "conn_out is NULL");
	if (rc == AIOWS_OK)
		rc = accept_options(&o, &c, options, &e);
	if (rc == AIOWS_OK)
		rc = go_accept(HANDLE(request), &o, user_data, &conn, &e);
	if (rc == AIOWS_OK)
		*conn_out = (aiows_conn *)conn;
	return error_give(err, &e, rc);
}

int32_t aiows_reject(aiows_request *request, int32_t status, const aiows_header *headers,
                     size_t n_headers, const void *body, size_t body_len)
{
	ENTER();
	NEED(SPAN(headers, n_headers, sizeof *headers) && SPAN(body, body_len, 1),
	     AIOWS_ERR_ARGUMENT);
	return go_reject(HANDLE(request), status, (aiows_header *)headers, n_headers, (void *)body,
	                 body_len);
}

int32_t aiows_request_free(aiows_request *request)
{
	ENTER();
	return go_request_free(HANDLE(request));
}
