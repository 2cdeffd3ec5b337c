// options.c: keyword arguments to the option structs of aiows.h.
#include "core.h"

#include <stddef.h>
#include <string.h>

#define FIELD(struct_, name, type) { #name, type, offsetof(struct_, name), 0 }
#define COUNTED(struct_, name, type)                                                               \
	{ #name, type, offsetof(struct_, name), offsetof(struct_, n_##name) }

const Field conn_fields[] = {
	FIELD(aiows_conn_options, auto_pong, FIELD_BOOL),
	FIELD(aiows_conn_options, auto_close, FIELD_BOOL),
	FIELD(aiows_conn_options, compression, FIELD_INT32),
	{ "deflate", FIELD_DEFLATE, offsetof(aiows_conn_options, deflate),
	  offsetof(aiows_conn_options, deflate_len) },
	FIELD(aiows_conn_options, close_timeout_ms, FIELD_INT64),
	FIELD(aiows_conn_options, ping_interval_ms, FIELD_INT64),
	FIELD(aiows_conn_options, ping_timeout_ms, FIELD_INT64),
	FIELD(aiows_conn_options, max_message_size, FIELD_UINT64),
	FIELD(aiows_conn_options, write_high, FIELD_UINT64),
	FIELD(aiows_conn_options, write_low, FIELD_UINT64),
	FIELD(aiows_conn_options, max_fragments, FIELD_UINT32),
	FIELD(aiows_conn_options, max_fragment_size, FIELD_UINT64),
	FIELD(aiows_conn_options, stream, FIELD_BOOL),
	FIELD(aiows_conn_options, read_ahead, FIELD_UINT64),
	FIELD(aiows_conn_options, log_frames, FIELD_BOOL),
	{ NULL, 0, 0, 0 },
};

static const Field deflate_fields[] = {
	FIELD(aiows_deflate, server_no_context_takeover, FIELD_FLAG),
	FIELD(aiows_deflate, client_no_context_takeover, FIELD_FLAG),
	FIELD(aiows_deflate, require_client_max_window_bits, FIELD_FLAG),
	FIELD(aiows_deflate, server_max_window_bits, FIELD_INT32),
	FIELD(aiows_deflate, client_max_window_bits, FIELD_INT32),
	FIELD(aiows_deflate, level, FIELD_INT32),
	FIELD(aiows_deflate, history, FIELD_INT32),
	{ NULL, 0, 0, 0 },
};

const Field connect_fields[] = {
	FIELD(aiows_connect_options, port, FIELD_INT32),
	FIELD(aiows_connect_options, host, FIELD_STRING),
	FIELD(aiows_connect_options, tls, FIELD_TLS),
	FIELD(aiows_connect_options, server_name, FIELD_STRING),
	FIELD(aiows_connect_options, open_timeout_ms, FIELD_INT64),
	FIELD(aiows_connect_options, origin, FIELD_STRING),
	FIELD(aiows_connect_options, user_agent, FIELD_STRING),
	COUNTED(aiows_connect_options, subprotocols, FIELD_STRINGS),
	COUNTED(aiows_connect_options, headers, FIELD_HEADERS),
	COUNTED(aiows_connect_options, raw_lines, FIELD_STRINGS),
	FIELD(aiows_connect_options, fd, FIELD_INT32),
	FIELD(aiows_connect_options, family, FIELD_INT32),
	FIELD(aiows_connect_options, unix_path, FIELD_STRING),
	FIELD(aiows_connect_options, local_address, FIELD_STRING),
	FIELD(aiows_connect_options, local_port, FIELD_INT32),
	FIELD(aiows_connect_options, interleave, FIELD_INT32),
	FIELD(aiows_connect_options, happy_eyeballs_delay_ms, FIELD_INT64),
	FIELD(aiows_connect_options, tls_handshake_timeout_ms, FIELD_INT64),
	FIELD(aiows_connect_options, tls_shutdown_timeout_ms, FIELD_INT64),
	FIELD(aiows_connect_options, max_redirects, FIELD_INT32),
	FIELD(aiows_connect_options, proxy, FIELD_STRING),
	FIELD(aiows_connect_options, proxy_tls, FIELD_TLS),
	FIELD(aiows_connect_options, proxy_server_name, FIELD_STRING),
	FIELD(aiows_connect_options, proxy_tls_handshake_timeout_ms, FIELD_INT64),
	FIELD(aiows_connect_options, proxy_tls_shutdown_timeout_ms, FIELD_INT64),
	FIELD(aiows_connect_options, dial, FIELD_BOOL),
	COUNTED(aiows_connect_options, proxy_environment, FIELD_STRINGS),
	{ NULL, 0, 0, 0 },
};

const Field listen_fields[] = {
	FIELD(aiows_listen_options, backlog, FIELD_INT32),
	FIELD(aiows_listen_options, reuse_port, FIELD_BOOL),
	FIELD(aiows_listen_options, max_handshakes, FIELD_INT32),
	FIELD(aiows_listen_options, tls, FIELD_TLS),
	FIELD(aiows_listen_options, open_timeout_ms, FIELD_INT64),
	FIELD(aiows_listen_options, server_name, FIELD_STRING),
	FIELD(aiows_listen_options, fd, FIELD_INT32),
	FIELD(aiows_listen_options, any_request, FIELD_BOOL),
	{ NULL, 0, 0, 0 },
};

const Field accept_fields[] = {
	FIELD(aiows_accept_options, subprotocol, FIELD_STRING),
	COUNTED(aiows_accept_options, headers, FIELD_HEADERS),
	{ NULL, 0, 0, 0 },
};

const Field tls_fields[] = {
	FIELD(aiows_tls_options, server, FIELD_BOOL),
	FIELD(aiows_tls_options, insecure, FIELD_BOOL),
	FIELD(aiows_tls_options, min_version, FIELD_UINT16),
	FIELD(aiows_tls_options, max_version, FIELD_UINT16),
	FIELD(aiows_tls_options, ca_file, FIELD_STRING),
	FIELD(aiows_tls_options, ca_pem, FIELD_STRING),
	FIELD(aiows_tls_options, cert_file, FIELD_STRING),
	FIELD(aiows_tls_options, key_file, FIELD_STRING),
	FIELD(aiows_tls_options, cert_pem, FIELD_STRING),
	FIELD(aiows_tls_options, key_pem, FIELD_STRING),
	FIELD(aiows_tls_options, server_name, FIELD_STRING),
	COUNTED(aiows_tls_options, alpn, FIELD_STRINGS),
	FIELD(aiows_tls_options, ca_dir, FIELD_STRING),
	FIELD(aiows_tls_options, key_password, FIELD_SECRET),
	COUNTED(aiows_tls_options, pins, FIELD_STRINGS),
	COUNTED(aiows_tls_options, cipher_suites, FIELD_STRINGS),
	FIELD(aiows_tls_options, any_name, FIELD_BOOL),
	FIELD(aiows_tls_options, client_cert_optional, FIELD_BOOL),
	FIELD(aiows_tls_options, strict, FIELD_BOOL),
	{ NULL, 0, 0, 0 },
};

int scratch_init(Scratch *scratch)
{
	scratch->n_blocks = 0;
	scratch->objects = PyList_New(0);
	return scratch->objects != NULL ? 0 : -1;
}

void scratch_free(Scratch *scratch)
{
	while (scratch->n_blocks > 0) {
		PyMem_Free(scratch->blocks[--scratch->n_blocks]);
	}
	Py_CLEAR(scratch->objects);
}

static void *scratch_block(Scratch *scratch, size_t size)
{
	void *block = NULL;
	if (scratch->n_blocks < (int)(sizeof scratch->blocks / sizeof scratch->blocks[0])) {
		block = PyMem_Calloc(1, size);
	}
	if (block == NULL) {
		PyErr_NoMemory();
		return NULL;
	}
	return scratch->blocks[scratch->n_blocks++] = block;
}

const char *text_from_object(Scratch *scratch, PyObject *object)
{
	if (!PyUnicode_Check(object)) {
		PyErr_Format(PyExc_TypeError, "expected str, not %R", object);
		return NULL;
	}
	Py_ssize_t len;
	const char *text = PyUnicode_AsUTF8AndSize(object, &len);
	if (text == NULL) {
		return NULL;
	}
	if (strlen(text) != (size_t)len) {
		PyErr_Format(PyExc_ValueError, "%R contains a null character", object);
		return NULL;
	}
	return PyList_Append(scratch->objects, object) == 0 ? text : NULL;
}

// secret_from_object takes bytes, as a password need not be UTF-8; no error shows them.
static const char *secret_from_object(Scratch *scratch, PyObject *object)
{
	char *secret;
	Py_ssize_t len;
	if (PyBytes_AsStringAndSize(object, &secret, &len) < 0) {
		return NULL;
	}
	if (strlen(secret) != (size_t)len) {
		PyErr_SetString(PyExc_ValueError, "a password contains a null character");
		return NULL;
	}
	return PyList_Append(scratch->objects, object) == 0 ? secret : NULL;
}

// sequence_items returns a list or tuple of object's elements, owned by scratch.
static PyObject *sequence_items(Scratch *scratch, PyObject *object)
{
	if (PyUnicode_Check(object) || PyBytes_Check(object)) {
		PyErr_Format(PyExc_TypeError, "expected a sequence, not %R", object);
		return NULL;
	}
	PyObject *items = PySequence_Tuple(object);
	if (items == NULL) {
		return NULL;
	}
	int failed = PyList_Append(scratch->objects, items);
	Py_DECREF(items);
	return failed ? NULL : items;
}

static int strings_from_object(Scratch *scratch, PyObject *object, const char *const **out,
                               size_t *n)
{
	PyObject *items = sequence_items(scratch, object);
	if (items == NULL) {
		return -1;
	}
	Py_ssize_t count = PyTuple_Size(items);
	const char **array = NULL;
	if (count > 0) {
		array = scratch_block(scratch, (size_t)count * sizeof *array);
		if (array == NULL) {
			return -1;
		}
	}
	for (Py_ssize_t i = 0; i < count; i++) {
		array[i] = text_from_object(scratch, PyTuple_GetItem(items, i));
		if (array[i] == NULL) {
			return -1;
		}
	}
	*out = array;
	*n = (size_t)count;
	return 0;
}

int headers_from_object(Scratch *scratch, PyObject *object, const aiows_header **out, size_t *n)
{
	PyObject *items = sequence_items(scratch, object);
	if (items == NULL) {
		return -1;
	}
	Py_ssize_t count = PyTuple_Size(items);
	aiows_header *array = NULL;
	if (count > 0) {
		array = scratch_block(scratch, (size_t)count * sizeof *array);
		if (array == NULL) {
			return -1;
		}
	}
	for (Py_ssize_t i = 0; i < count; i++) {
		PyObject *pair = sequence_items(scratch, PyTuple_GetItem(items, i));
		if (pair == NULL) {
			return -1;
		}
		if (PyTuple_Size(pair) != 2) {
			PyErr_Format(PyExc_ValueError, "expected (name, value), not %R", pair);
			return -1;
		}
		array[i].name = text_from_object(scratch, PyTuple_GetItem(pair, 0));
		if (array[i].name == NULL) {
			return -1;
		}
		array[i].value = text_from_object(scratch, PyTuple_GetItem(pair, 1));
		if (array[i].value == NULL) {
			return -1;
		}
	}
	*out = array;
	*n = (size_t)count;
	return 0;
}

static int deflate_from_object(State *state, Scratch *scratch, PyObject *object,
                               const aiows_deflate **out, size_t *n)
{
	PyObject *items = sequence_items(scratch, object);
	if (items == NULL) {
		return -1;
	}
	Py_ssize_t count = PyTuple_Size(items);
	aiows_deflate *array = NULL;
	if (count > 0) {
		array = scratch_block(scratch, (size_t)count * sizeof *array);
		if (array == NULL) {
			return -1;
		}
	}
	for (Py_ssize_t i = 0; i < count; i++) {
		PyObject *item = PyTuple_GetItem(items, i);
		if (!PyDict_Check(item)) {
			PyErr_Format(PyExc_TypeError, "expected dict, not %R", item);
			return -1;
		}
		array[i].size = sizeof array[i];
		const Field *const tables[] = { deflate_fields, NULL };
		void *const targets[] = { &array[i], NULL };
		if (set_fields(state, scratch, item, tables, targets) < 0) {
			return -1;
		}
	}
	*out = array;
	*n = (size_t)count;
	return 0;
}

static int out_of_range(PyObject *value)
{
	if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_OverflowError)) {
		PyErr_Clear();
		PyErr_Format(PyExc_ValueError, "%R is out of range", value);
	}
	return -1;
}

static int signed_from_object(PyObject *value, long long min, long long max, long long *out)
{
	*out = PyLong_AsLongLong(value);
	if ((*out == -1 && PyErr_Occurred()) || *out < min || *out > max) {
		return out_of_range(value);
	}
	return 0;
}

static int set_field(State *state, Scratch *scratch, const Field *field, char *target,
                     PyObject *value)
{
	void *place = target + field->offset;
	long long number;
	switch (field->type) {
	case FIELD_INT32:
		if (signed_from_object(value, INT32_MIN, INT32_MAX, &number) < 0) {
			return -1;
		}
		*(int32_t *)place = (int32_t)number;
		return 0;
	case FIELD_UINT16:
		if (signed_from_object(value, 0, UINT16_MAX, &number) < 0) {
			return -1;
		}
		*(uint16_t *)place = (uint16_t)number;
		return 0;
	case FIELD_UINT32:
		if (signed_from_object(value, 0, UINT32_MAX, &number) < 0) {
			return -1;
		}
		*(uint32_t *)place = (uint32_t)number;
		return 0;
	case FIELD_INT64:
		if (signed_from_object(value, INT64_MIN, INT64_MAX, &number) < 0) {
			return -1;
		}
		*(int64_t *)place = number;
		return 0;
	case FIELD_UINT64:
		if (signed_from_object(value, 0, INT64_MAX, &number) < 0) {
			return -1;
		}
		*(uint64_t *)place = (uint64_t)number;
		return 0;
	case FIELD_BOOL: {
		int truth = PyObject_IsTrue(value);
		*(int32_t *)place = truth;
		return truth < 0 ? -1 : 0;
	}
	case FIELD_FLAG: {
		int truth = PyObject_IsTrue(value);
		*(uint8_t *)place = truth > 0;
		return truth < 0 ? -1 : 0;
	}
	case FIELD_STRING:
		return (*(const char **)place = text_from_object(scratch, value)) != NULL ? 0 : -1;
	case FIELD_SECRET:
		return (*(const char **)place = secret_from_object(scratch, value)) != NULL ? 0
		                                                                            : -1;
	case FIELD_STRINGS:
		return strings_from_object(scratch, value, place,
		                           (size_t *)(target + field->count));
	case FIELD_HEADERS:
		return headers_from_object(scratch, value, place,
		                           (size_t *)(target + field->count));
	case FIELD_DEFLATE:
		return deflate_from_object(state, scratch, value, place,
		                           (size_t *)(target + field->count));
	case FIELD_TLS:
		if (Py_TYPE(value) != state->tls_type) {
			PyErr_Format(PyExc_TypeError, "expected TLS, not %R", value);
			return -1;
		}
		*(aiows_tls **)place = ((TLS *)value)->handle;
		return PyList_Append(scratch->objects, value);
	}
	PyErr_BadInternalCall();
	return -1;
}

int set_fields(State *state, Scratch *scratch, PyObject *kwargs, const Field *const *tables,
               void *const *targets)
{
	PyObject *name, *value;
	Py_ssize_t position = 0;
	while (kwargs != NULL && PyDict_Next(kwargs, &position, &name, &value)) {
		const Field *found = NULL;
		void *target = NULL;
		for (int i = 0; tables[i] != NULL && found == NULL; i++) {
			for (const Field *field = tables[i]; field->name != NULL; field++) {
				if (PyUnicode_CompareWithASCIIString(name, field->name) == 0) {
					found = field;
					target = targets[i];
					break;
				}
			}
		}
		if (found == NULL) {
			PyErr_Format(PyExc_TypeError, "unexpected option %R", name);
			return -1;
		}
		if (value != Py_None && set_field(state, scratch, found, target, value) < 0) {
			return -1;
		}
	}
	return 0;
}

int start_connection(__typeof__(lib.connect) function, State *state, aiows_loop *loop,
                     PyObject *uri_object, PyObject *kwargs, uint64_t user_data,
                     aiows_conn **handle, aiows_error *error)
{
	aiows_conn_options conn_options;
	aiows_connect_options options;
	lib.conn_options_init(&conn_options, sizeof conn_options);
	lib.connect_options_init(&options, sizeof options);
	options.conn = &conn_options;
	Scratch scratch;
	const Field *tables[] = { connect_fields, conn_fields, NULL };
	void *targets[] = { &options, &conn_options, NULL };
	if (scratch_init(&scratch) < 0) {
		return SEND_RAISED;
	}
	int code = SEND_RAISED;
	const char *uri = text_from_object(&scratch, uri_object);
	if (uri != NULL && set_fields(state, &scratch, kwargs, tables, targets) == 0) {
		Py_BEGIN_ALLOW_THREADS code =
			function(loop, uri, &options, user_data, handle, error);
		Py_END_ALLOW_THREADS
	}
	scratch_free(&scratch);
	return code;
}
