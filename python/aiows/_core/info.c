// info.c: the descriptive structs of aiows.h as Python objects.
#include "core.h"

#include <stddef.h>
#include <string.h>

#define FIELD(struct_, name, type) { #name, type, offsetof(struct_, name), 0 }

static const Field info_fields[] = {
	FIELD(aiows_conn_info_t, state, FIELD_INT32),
	FIELD(aiows_conn_info_t, server, FIELD_BOOL),
	FIELD(aiows_conn_info_t, response_status, FIELD_INT32),
	FIELD(aiows_conn_info_t, uri, FIELD_STRING),
	FIELD(aiows_conn_info_t, subprotocol, FIELD_STRING),
	FIELD(aiows_conn_info_t, extensions, FIELD_STRING),
	FIELD(aiows_conn_info_t, local_address, FIELD_STRING),
	FIELD(aiows_conn_info_t, remote_address, FIELD_STRING),
	FIELD(aiows_conn_info_t, tls_version, FIELD_STRING),
	FIELD(aiows_conn_info_t, tls_cipher_suite, FIELD_STRING),
	FIELD(aiows_conn_info_t, request_target, FIELD_STRING),
	{ "request_headers", FIELD_HEADERS, offsetof(aiows_conn_info_t, request_headers),
	  offsetof(aiows_conn_info_t, n_request_headers) },
	FIELD(aiows_conn_info_t, response_reason, FIELD_STRING),
	{ "response_headers", FIELD_HEADERS, offsetof(aiows_conn_info_t, response_headers),
	  offsetof(aiows_conn_info_t, n_response_headers) },
	{ "response_body", FIELD_BYTES, offsetof(aiows_conn_info_t, response_body),
	  offsetof(aiows_conn_info_t, response_body_len) },
	FIELD(aiows_conn_info_t, added_host, FIELD_BOOL),
	FIELD(aiows_conn_info_t, close_received, FIELD_UINT16),
	FIELD(aiows_conn_info_t, close_sent, FIELD_UINT16),
	FIELD(aiows_conn_info_t, close_reason_received, FIELD_STRING),
	FIELD(aiows_conn_info_t, close_reason_sent, FIELD_STRING),
	FIELD(aiows_conn_info_t, tls_alpn, FIELD_STRING),
	{ "tls_peer_certificate", FIELD_BYTES, offsetof(aiows_conn_info_t, tls_peer_certificate),
	  offsetof(aiows_conn_info_t, tls_peer_certificate_len) },
	FIELD(aiows_conn_info_t, tls_resumed, FIELD_BOOL),
	{ "attempts", FIELD_ATTEMPTS, offsetof(aiows_conn_info_t, attempts),
	  offsetof(aiows_conn_info_t, n_attempts) },
	FIELD(aiows_conn_info_t, proxy, FIELD_STRING),
	{ NULL, 0, 0, 0 },
};

static const Field conn_stats_fields[] = {
	FIELD(aiows_conn_stats_t, messages_received, FIELD_UINT64),
	FIELD(aiows_conn_stats_t, messages_sent, FIELD_UINT64),
	FIELD(aiows_conn_stats_t, frames_received, FIELD_UINT64),
	FIELD(aiows_conn_stats_t, frames_sent, FIELD_UINT64),
	FIELD(aiows_conn_stats_t, bytes_received, FIELD_UINT64),
	FIELD(aiows_conn_stats_t, bytes_sent, FIELD_UINT64),
	FIELD(aiows_conn_stats_t, latency_ns, FIELD_INT64),
	FIELD(aiows_conn_stats_t, bytes_ahead, FIELD_UINT64),
	FIELD(aiows_conn_stats_t, message_bytes_received, FIELD_UINT64),
	FIELD(aiows_conn_stats_t, message_bytes_sent, FIELD_UINT64),
	FIELD(aiows_conn_stats_t, payload_bytes_received, FIELD_UINT64),
	FIELD(aiows_conn_stats_t, payload_bytes_sent, FIELD_UINT64),
	FIELD(aiows_conn_stats_t, rtt_samples, FIELD_UINT64),
	FIELD(aiows_conn_stats_t, rtt_p50_ns, FIELD_INT64),
	FIELD(aiows_conn_stats_t, rtt_p90_ns, FIELD_INT64),
	FIELD(aiows_conn_stats_t, rtt_p99_ns, FIELD_INT64),
	FIELD(aiows_conn_stats_t, rtt_max_ns, FIELD_INT64),
	{ NULL, 0, 0, 0 },
};

static const Field loop_stats_fields[] = {
	FIELD(aiows_loop_stats_t, connections, FIELD_UINT32),
	FIELD(aiows_loop_stats_t, listeners, FIELD_UINT32),
	FIELD(aiows_loop_stats_t, handles, FIELD_UINT32),
	FIELD(aiows_loop_stats_t, blocks, FIELD_UINT64),
	FIELD(aiows_loop_stats_t, block_bytes, FIELD_UINT64),
	FIELD(aiows_loop_stats_t, polls, FIELD_UINT64),
	FIELD(aiows_loop_stats_t, events, FIELD_UINT64),
	FIELD(aiows_loop_stats_t, bytes_received, FIELD_UINT64),
	FIELD(aiows_loop_stats_t, bytes_sent, FIELD_UINT64),
	FIELD(aiows_loop_stats_t, stalls, FIELD_UINT64),
	{ NULL, 0, 0, 0 },
};

static PyObject *text_new(const char *text)
{
	return text_lenient(text != NULL ? text : "", text != NULL ? (Py_ssize_t)strlen(text) : 0);
}

PyObject *headers_to_list(const aiows_header *headers, size_t n)
{
	PyObject *list = PyList_New((Py_ssize_t)n);
	for (size_t i = 0; list != NULL && i < n; i++) {
		PyObject *name = text_new(headers[i].name);
		PyObject *value = text_new(headers[i].value);
		PyObject *pair =
			name != NULL && value != NULL ? PyTuple_Pack(2, name, value) : NULL;
		Py_XDECREF(name);
		Py_XDECREF(value);
		if (pair == NULL || PyList_SetItem(list, (Py_ssize_t)i, pair) < 0) {
			Py_CLEAR(list);
		}
	}
	return list;
}

PyObject *strings_to_list(const char *const *strings, size_t n)
{
	PyObject *list = PyList_New((Py_ssize_t)n);
	for (size_t i = 0; list != NULL && i < n; i++) {
		PyObject *text = text_new(strings[i]);
		if (text == NULL || PyList_SetItem(list, (Py_ssize_t)i, text) < 0) {
			Py_CLEAR(list);
		}
	}
	return list;
}

// attempts_to_list makes (address, errno, text) of each.
static PyObject *attempts_to_list(const aiows_attempt *attempts, size_t n)
{
	PyObject *list = PyList_New((Py_ssize_t)n);
	for (size_t i = 0; list != NULL && i < n; i++) {
		PyObject *item =
			Py_BuildValue("(NiN)", text_new(attempts[i].address),
			              (int)attempts[i].os_errno, text_new(attempts[i].text));
		if (item == NULL || PyList_SetItem(list, (Py_ssize_t)i, item) < 0) {
			Py_CLEAR(list);
		}
	}
	return list;
}

static PyObject *field_get(const Field *field, const char *source)
{
	const void *place = source + field->offset;
	const void *count = source + field->count;
	switch (field->type) {
	case FIELD_INT32:
		return PyLong_FromLong(*(const int32_t *)place);
	case FIELD_UINT16:
		return PyLong_FromLong(*(const uint16_t *)place);
	case FIELD_UINT32:
		return PyLong_FromUnsignedLong(*(const uint32_t *)place);
	case FIELD_INT64:
		return PyLong_FromLongLong(*(const int64_t *)place);
	case FIELD_UINT64:
		return PyLong_FromUnsignedLongLong(*(const uint64_t *)place);
	case FIELD_BOOL:
		return PyBool_FromLong(*(const int32_t *)place);
	case FIELD_STRING:
		return text_new(*(const char *const *)place);
	case FIELD_HEADERS:
		return headers_to_list(*(const aiows_header *const *)place, *(const size_t *)count);
	case FIELD_ATTEMPTS:
		return attempts_to_list(*(const aiows_attempt *const *)place,
		                        *(const size_t *)count);
	case FIELD_BYTES:
		return PyBytes_FromStringAndSize(*(const char *const *)place,
		                                 (Py_ssize_t) * (const size_t *)count);
	}
	PyErr_BadInternalCall();
	return NULL;
}

static PyObject *fields_to_dict(const Field *fields, const void *source)
{
	PyObject *dict = PyDict_New();
	for (const Field *field = fields; dict != NULL && field->name != NULL; field++) {
		PyObject *value = field_get(field, source);
		if (value == NULL || PyDict_SetItemString(dict, field->name, value) < 0) {
			Py_CLEAR(dict);
		}
		Py_XDECREF(value);
	}
	return dict;
}

static PyObject *ended(Connection *conn, PyObject *remembered)
{
	if (remembered == NULL) {
		PyErr_SetString(PyExc_RuntimeError, conn->loop != NULL && conn->loop->closed
							    ? "loop is closed"
							    : "the connection was not started");
		return NULL;
	}
	return PyDict_Check(remembered) ? PyDict_Copy(remembered) : Py_NewRef(remembered);
}

PyObject *info_of(State *state, aiows_conn *handle)
{
	aiows_conn_info_t info;
	memset(&info, 0, sizeof info);
	info.size = sizeof info;
	int32_t code = lib.conn_info(handle, &info);
	if (code < 0) {
		raise_error(state, code, NULL);
		return NULL;
	}
	return fields_to_dict(info_fields, &info);
}

PyObject *conn_info(Connection *conn)
{
	return conn->handle == NULL ? ended(conn, conn->last_info)
	                            : info_of(conn->state, conn->handle);
}

PyObject *stats_of(State *state, aiows_conn *handle)
{
	aiows_conn_stats_t stats;
	memset(&stats, 0, sizeof stats);
	stats.size = sizeof stats;
	int32_t code = lib.conn_stats(handle, &stats);
	if (code < 0) {
		raise_error(state, code, NULL);
		return NULL;
	}
	return fields_to_dict(conn_stats_fields, &stats);
}

PyObject *conn_stats(Connection *conn)
{
	return conn->handle == NULL ? ended(conn, conn->last_stats)
	                            : stats_of(conn->state, conn->handle);
}

PyObject *error_of(State *state, aiows_conn *handle)
{
	aiows_error error;
	memset(&error, 0, sizeof error);
	error.size = sizeof error;
	int32_t code = lib.conn_error(handle, &error);
	if (code == AIOWS_ERR_STATE || (code == 0 && error.code == 0)) {
		Py_RETURN_NONE;
	}
	if (code < 0) {
		raise_error(state, code, NULL);
		return NULL;
	}
	return error_new(state, error.code, &error);
}

PyObject *conn_error(Connection *conn)
{
	if (conn->handle == NULL) {
		return Py_NewRef(conn->last_error != NULL ? conn->last_error : Py_None);
	}
	return error_of(conn->state, conn->handle);
}

void conn_remember(Connection *conn)
{
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	replace(&conn->last_info, conn_info(conn));
	PyErr_Clear();
	replace(&conn->last_stats, conn_stats(conn));
	PyErr_Clear();
	replace(&conn->last_error, conn_error(conn));
	PyErr_Restore(type, value, traceback);
}

PyObject *loop_stats(Loop *loop)
{
	aiows_loop_stats_t stats;
	memset(&stats, 0, sizeof stats);
	stats.size = sizeof stats;
	int32_t code = lib.loop_stats(loop->handle, &stats);
	if (code < 0) {
		raise_error(loop->state, code, NULL);
		return NULL;
	}
	return fields_to_dict(loop_stats_fields, &stats);
}
