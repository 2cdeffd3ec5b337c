// calls.c: what a program has a connection receive, send and end.
#include "connection.h"

// raise_sending raises what a plain call that sends answers with.
static PyObject *raise_sending(Connection *self, int code)
{
	if (code == SEND_RAISED) {
		return NULL;
	}
	if (code == AIOWS_ERR_CLOSED) {
		raise_closed(self);
	} else {
		raise_conn_error(self, code);
	}
	return NULL;
}

// open_handle is NULL, with the error that tells why in *without, where nothing can be sent.
static aiows_conn *open_handle(Connection *self, int32_t *without)
{
	bool closed = self->status == AIOWS_CLOSED;
	*without = closed ? AIOWS_ERR_CLOSED : AIOWS_ERR_STATE;
	return closed ? NULL : self->handle;
}

// --- receiving and sending

PyObject *connection_recv(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	Connection *self = (Connection *)op;
	int decode = -1;
	if (!was_made(self)) {
		return NULL;
	}
	if (n != 0 || names != NULL) {
		static const char *const keywords[2] = { "decode", NULL };
		PyObject *value = NULL;
		if (keywords_from(args, n, names, keywords, &value) < 0 ||
		    decode_from_object(value, &decode) < 0) {
			return NULL;
		}
	}
	PyObject *awaitable = awaitable_new(self, OP_RECV);
	if (awaitable != NULL) {
		((Awaitable *)awaitable)->decode = (int8_t)decode;
	}
	return awaitable;
}

PyObject *connection_recv_many(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	static const char *const keywords[2] = { "max", NULL };
	Connection *self = (Connection *)op;
	PyObject *value = NULL;
	if (!was_made(self) || keywords_from(args, n, names, keywords, &value) < 0) {
		return NULL;
	}
	uint32_t most = UINT32_MAX;
	if (value != NULL && value != Py_None) {
		int overflow = 0;
		if (!PyLong_Check(value) || PyBool_Check(value)) {
			PyErr_Format(PyExc_TypeError, "max must be int, got %.200R", value);
			return NULL;
		}
		long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
		if (overflow != 0 || number < 1) {
			PyErr_Format(PyExc_ValueError, "max = %.200R, expected 1 to %lld", value,
			             LLONG_MAX);
			return NULL;
		}
		most = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
	}
	PyObject *awaitable = awaitable_new(self, OP_MANY);
	if (awaitable != NULL) {
		((Awaitable *)awaitable)->most = most;
	}
	return awaitable;
}

PyObject *connection_recv_part(PyObject *op, PyObject *unused UNUSED)
{
	return was_made((Connection *)op) ? awaitable_new((Connection *)op, OP_PART) : NULL;
}

PyObject *connection_stream(PyObject *op, PyObject *unused UNUSED)
{
	Connection *self = (Connection *)op;
	if (!was_made(self)) {
		return NULL;
	}
	if (!self->streams && self->handle != NULL && self->on_message == NULL) {
		int32_t code;
		Py_BEGIN_ALLOW_THREADS code = lib.conn_stream(self->handle, 1);
		Py_END_ALLOW_THREADS if (code < 0 && code != AIOWS_ERR_CLOSED)
		{
			raise_conn_error(self, code);
			return NULL;
		}
		self->streams = true;
	}
	Py_RETURN_NONE;
}

PyObject *connection_anext(PyObject *op)
{
	return was_made((Connection *)op) ? awaitable_new((Connection *)op, OP_NEXT) : NULL;
}

PyObject *connection_send(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	Connection *self = (Connection *)op;
	PyObject *message, *text;
	if (!was_made(self) || message_from(args, n, names, &message, &text) < 0) {
		return NULL;
	}
	if (!PyUnicode_Check(message) && !PyBytes_Check(message) &&
	    !PyObject_CheckBuffer(message)) {
		return PyObject_CallMethodObjArgs(op, self->state->s__send_parts, message, text,
		                                  NULL);
	}
	int kind = message_kind(message, text);
	if (kind < 0) {
		return NULL;
	}
	Awaitable *awaitable = (Awaitable *)awaitable_new(self, OP_SEND);
	if (awaitable != NULL) {
		awaitable->payload = Py_NewRef(message);
		awaitable->kind = (uint8_t)kind;
	}
	return (PyObject *)awaitable;
}

PyObject *connection_send_nowait(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	Connection *self = (Connection *)op;
	PyObject *message, *text;
	if (!was_made(self) || message_from(args, n, names, &message, &text) < 0) {
		return NULL;
	}
	int kind = message_kind(message, text);
	if (kind < 0) {
		return NULL;
	}
	uint64_t epoch = self->writable_epoch;
	size_t len;
	int code = self->status == AIOWS_CLOSED ? AIOWS_ERR_CLOSED
	                                        : send_message(self, message, kind, 0, &len);
	if (code == AIOWS_OK) {
		Py_RETURN_NONE;
	}
	if (code == AIOWS_ERR_AGAIN && self->writable_epoch == epoch) {
		self->writable_owed = true;
	}
	return raise_sending(self, code);
}

PyObject *connection_send_fragment(PyObject *op, PyObject *args)
{
	Connection *self = (Connection *)op;
	int kind, fin;
	PyObject *data;
	if (!was_made(self) || !PyArg_ParseTuple(args, "ipO:send_fragment", &kind, &fin, &data)) {
		return NULL;
	}
	uint64_t epoch = self->writable_epoch;
	int32_t without;
	aiows_conn *handle = open_handle(self, &without);
	int code = send_fragment(handle, without, kind, fin, data);
	if (code < 0) {
		return raise_sending(self, code);
	}
	if (code == AIOWS_PENDING && self->writable_epoch == epoch) {
		self->writable_owed = true;
	}
	return PyBool_FromLong(code == AIOWS_PENDING && self->writable_owed);
}

PyObject *connection_drain(PyObject *op, PyObject *unused UNUSED)
{
	return was_made((Connection *)op) ? awaitable_new((Connection *)op, OP_DRAIN) : NULL;
}

PyObject *connection_take_turn(PyObject *op, PyObject *unused UNUSED)
{
	return was_made((Connection *)op) ? awaitable_new((Connection *)op, OP_TURN) : NULL;
}

PyObject *connection_end_turn(PyObject *op, PyObject *unused UNUSED)
{
	Connection *self = (Connection *)op;
	if (!was_made(self)) {
		return NULL;
	}
	if (self->turns == 0) {
		PyErr_SetString(PyExc_RuntimeError, "_end_turn() without _take_turn()");
		return NULL;
	}
	end_turn(self);
	Py_RETURN_NONE;
}

// --- control

static PyObject *control(Connection *self, PyObject *data, __typeof__(lib.ping) function)
{
	if (!was_made(self)) {
		return NULL;
	}
	int32_t without;
	aiows_conn *handle = open_handle(self, &without);
	int code = send_control(handle, without, function, data);
	if (code < 0) {
		return raise_sending(self, code);
	}
	Py_RETURN_NONE;
}

PyObject *connection_ping(PyObject *op, PyObject *data)
{
	return control((Connection *)op, data, lib.ping);
}

PyObject *connection_pong(PyObject *op, PyObject *data)
{
	return control((Connection *)op, data, lib.pong);
}

PyObject *connection_close(PyObject *op, PyObject *args)
{
	Connection *self = (Connection *)op;
	int close_code;
	const char *reason;
	if (!was_made(self) || !PyArg_ParseTuple(args, "is:_close", &close_code, &reason)) {
		return NULL;
	}
	aiows_conn *handle = self->handle;
	if (handle == NULL || self->status == AIOWS_CLOSED) {
		Py_RETURN_NONE;
	}
	if (self->paused && self->status == AIOWS_OPEN) {
		self->paused = false;
		lib.resume(handle);
	}
	int32_t code;
	Py_BEGIN_ALLOW_THREADS code = lib.close(handle, close_code, reason);
	Py_END_ALLOW_THREADS if (code < 0 && code != AIOWS_ERR_CLOSED)
	{
		raise_conn_error(self, code);
		return NULL;
	}
	if (self->status == AIOWS_OPEN) {
		self->status = AIOWS_CLOSING;
	}
	Py_RETURN_NONE;
}

PyObject *connection_abort(PyObject *op, PyObject *unused UNUSED)
{
	Connection *self = (Connection *)op;
	if (!was_made(self)) {
		return NULL;
	}
	aiows_conn *handle = self->handle;
	if (handle == NULL || self->status == AIOWS_CLOSED || library_forked) {
		Py_RETURN_NONE;
	}
	int32_t code;
	Py_BEGIN_ALLOW_THREADS code = lib.abort(handle);
	Py_END_ALLOW_THREADS if (code < 0 && code != AIOWS_ERR_CLOSED)
	{
		raise_conn_error(self, code);
		return NULL;
	}
	Py_RETURN_NONE;
}
