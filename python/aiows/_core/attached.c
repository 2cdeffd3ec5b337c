// attached.c: the bytes of a connection that asyncio carries.
#include "connection.h"

PyObject *connection_feed(PyObject *op, PyObject *data)
{
	Connection *self = (Connection *)op;
	Payload payload;
	if (!was_made(self) || message_kind(data, Py_None) < 0 ||
	    payload_open(&payload, data) < 0) {
		return NULL;
	}
	aiows_conn *handle = self->handle;
	int32_t code = AIOWS_ERR_CLOSED;
	if (handle != NULL) {
		Py_BEGIN_ALLOW_THREADS code = lib.feed(handle, payload.data, (size_t)payload.len);
		Py_END_ALLOW_THREADS
	}
	payload_close(&payload);
	if (code < 0 && code != AIOWS_ERR_CLOSED) {
		raise_conn_error(self, code);
		return NULL;
	}
	return PyBool_FromLong(code == AIOWS_PENDING);
}

PyObject *connection_take_socket(PyObject *op, PyObject *unused UNUSED)
{
	Connection *self = (Connection *)op;
	if (!was_made(self)) {
		return NULL;
	}
	int32_t code = AIOWS_ERR_CLOSED;
	if (self->handle != NULL) {
		code = lib.take_socket(self->handle);
	}
	if (code < 0) {
		raise_conn_error(self, code);
		return NULL;
	}
	return PyLong_FromLong(code);
}

PyObject *connection_feed_end(PyObject *op, PyObject *args)
{
	Connection *self = (Connection *)op;
	int number = 0;
	const char *message = NULL;
	if (!was_made(self) || !PyArg_ParseTuple(args, "|iz:_feed_end", &number, &message)) {
		return NULL;
	}
	int32_t code = AIOWS_ERR_CLOSED;
	if (self->handle != NULL) {
		code = lib.feed_end(self->handle, number, message);
	}
	if (code < 0 && code != AIOWS_ERR_CLOSED) {
		raise_conn_error(self, code);
		return NULL;
	}
	Py_RETURN_NONE;
}

PyObject *connection_drain_output(PyObject *op, PyObject *object)
{
	Connection *self = (Connection *)op;
	size_t n = 0;
	Py_ssize_t most = PyLong_AsSsize_t(object);
	if (!was_made(self) || (most == -1 && PyErr_Occurred())) {
		return NULL;
	}
	if (most < 1) {
		PyErr_Format(PyExc_ValueError, "most = %R, expected a positive number", object);
		return NULL;
	}
	if (self->handle == NULL) {
		Py_RETURN_NONE;
	}
	int32_t code = lib.buffered(self->handle, &n);
	if (code < 0) {
		raise_conn_error(self, code);
		return NULL;
	}
	most = n == 0 ? 1 : n < (size_t)most ? (Py_ssize_t)n : most;
	PyObject *bytes = PyBytes_FromStringAndSize(NULL, most);
	if (bytes == NULL) {
		return NULL;
	}
	code = lib.drain(self->handle, PyBytes_AsString(bytes), (size_t)most, &n);
	if (code < 0) {
		Py_DECREF(bytes);
		if (code == AIOWS_ERR_CLOSED) {
			Py_RETURN_NONE;
		}
		raise_conn_error(self, code);
		return NULL;
	}
	if (n < (size_t)most) { // another thread drains as well, or nothing was there
		PyObject *whole = bytes;
		bytes = PyBytes_FromStringAndSize(PyBytes_AsString(whole), (Py_ssize_t)n);
		Py_DECREF(whole);
	}
	return bytes;
}
