// blocking_send.c: what a blocking connection sends.
#include "blocking.h"

// A send looks for the peer's Close first when nobody did for this long.
enum { STALE_NS = 5 * 1000 * 1000 };

// --- sending

// await_closed waits for the end, unless that waits for messages to be received.
static int await_closed(Blocking *self)
{
	while (self->status != AIOWS_CLOSED && !self->paused) {
		if (attend(self, NO_DEADLINE) < 0) {
			return -1;
		}
	}
	return 0;
}

// sent ends what sends: None when code says that it is done, waiting while more than
// the high mark is to be sent; else an exception.
static PyObject *sent(Blocking *self, int32_t code, uint64_t epoch)
{
	if (code >= 0 && carry_push(self) < 0) {
		return NULL;
	}
	if (code == AIOWS_PENDING) {
		if (self->writable_epoch == epoch) {
			self->writable_owed = true;
		}
		while (self->writable_epoch == epoch && self->status != AIOWS_CLOSED) {
			if (attend(self, NO_DEADLINE) < 0) {
				return NULL;
			}
		}
		return self->status == AIOWS_CLOSED ? raise_ended(self) : Py_NewRef(Py_None);
	}
	if (code == AIOWS_OK) {
		Py_RETURN_NONE;
	}
	if (code == AIOWS_ERR_CLOSED || code == AIOWS_ERR_HANDLE) {
		// How it ended is known with CLOSED only.
		return await_closed(self) < 0 ? NULL : raise_ended(self);
	}
	if (code == AIOWS_ERR_MEMORY || code == AIOWS_ERR_INTERNAL || code == AIOWS_ERR_FORKED) {
		raise_error(self->state, code, NULL);
		return NULL;
	}
	PyObject *error = error_new(self->state, code, NULL);
	if (error != NULL) {
		raise_object(PyObject_CallMethodObjArgs((PyObject *)self, self->state->s__map_error,
		                                        error, NULL));
		Py_DECREF(error);
	}
	return NULL;
}

PyObject *blocking_send(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	Blocking *self = (Blocking *)op;
	PyObject *message, *text;
	if (!blocking_usable(self) || message_from(args, n, names, &message, &text) < 0) {
		return NULL;
	}
	if (!PyUnicode_Check(message) && !PyBytes_Check(message) &&
	    !PyObject_CheckBuffer(message)) {
		return PyObject_CallMethodObjArgs(op, self->state->s__send_parts, message, text,
		                                  NULL);
	}
	int kind = message_kind(message, text);
	if (kind < 0 || (now_ns() - self->polled_at > STALE_NS && glance(self) < 0)) {
		return NULL;
	}
	if (self->status == AIOWS_CLOSED) {
		return raise_ended(self);
	}
	uint64_t epoch = self->writable_epoch;
	size_t len;
	int code = send_payload(self->handle, message, kind, AIOWS_FORCE, &len);
	return code == SEND_RAISED ? NULL : sent(self, code, epoch);
}

PyObject *blocking_send_fragment(PyObject *op, PyObject *args)
{
	Blocking *self = (Blocking *)op;
	int kind, fin;
	PyObject *data;
	if (!blocking_usable(self) ||
	    !PyArg_ParseTuple(args, "ipO:_send_fragment", &kind, &fin, &data)) {
		return NULL;
	}
	uint64_t epoch = self->writable_epoch;
	int code = send_fragment(self->handle, AIOWS_ERR_CLOSED, kind, fin, data);
	return code == SEND_RAISED ? NULL : sent(self, code, epoch);
}

static PyObject *control(Blocking *self, PyObject *data, __typeof__(lib.ping) function)
{
	if (!blocking_usable(self) || glance(self) < 0) {
		return NULL;
	}
	int code = send_control(self->handle, AIOWS_ERR_CLOSED, function, data);
	return code == SEND_RAISED ? NULL : sent(self, code, self->writable_epoch);
}

PyObject *blocking_ping(PyObject *op, PyObject *data)
{
	return control((Blocking *)op, data, lib.ping);
}

PyObject *blocking_pong(PyObject *op, PyObject *data)
{
	return control((Blocking *)op, data, lib.pong);
}

// start_close begins the close handshake, which nothing holds back: 0, SEND_RAISED, or
// what the library refused it with.
int32_t start_close(Blocking *self, int close_code, const char *reason)
{
	aiows_conn *handle = self->handle;
	if (handle == NULL) {
		return 0;
	}
	if (self->paused && self->status == AIOWS_OPEN) {
		self->paused = false;
		lib.resume(handle);
	}
	int32_t code;
	Py_BEGIN_ALLOW_THREADS code = lib.close(handle, close_code, reason);
	Py_END_ALLOW_THREADS if (code < 0 && code != AIOWS_ERR_CLOSED && code != AIOWS_ERR_HANDLE)
	{
		return code;
	}
	if (self->status == AIOWS_OPEN) {
		self->status = AIOWS_CLOSING;
	}
	return carry_push(self) < 0 ? SEND_RAISED : 0;
}

PyObject *blocking_close(PyObject *op, PyObject *args)
{
	Blocking *self = (Blocking *)op;
	int close_code;
	const char *reason;
	if (!blocking_usable(self) || !PyArg_ParseTuple(args, "is:_close", &close_code, &reason)) {
		return NULL;
	}
	int32_t code = start_close(self, close_code, reason);
	if (code < 0) {
		return code == SEND_RAISED ? NULL : sent(self, code, 0);
	}
	Py_RETURN_NONE;
}

PyObject *blocking_abort(PyObject *op, PyObject *unused UNUSED)
{
	Blocking *self = (Blocking *)op;
	if (!blocking_made(self)) {
		return NULL;
	}
	aiows_conn *handle = self->handle;
	if (handle != NULL && !library_forked) {
		Py_BEGIN_ALLOW_THREADS lib.abort(handle);
		Py_END_ALLOW_THREADS if (self->attached && glance(self) < 0)
		{ // gives up the socket
			return NULL;
		}
	}
	Py_RETURN_NONE;
}
