// blocking_recv.c: what a blocking connection receives.
#include "blocking.h"

// --- what is there

// join makes a message of the parts that were gathered.
static PyObject *join(Blocking *self, int decode)
{
	PyObject *parts = self->parts;
	self->parts = NULL;
	PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
	PyObject *joined = empty != NULL ? PyObject_CallMethod(empty, "join", "O", parts) : NULL;
	Py_XDECREF(empty);
	Py_DECREF(parts);
	bool text = decode < 0 ? self->parts_kind == AIOWS_TEXT : decode;
	return message_decode(joined, text);
}

static PyObject *take_whole(Blocking *self, int decode, bool *failed)
{
	Item item;
	int found;
	while ((found = take_item(self, decode == 0, &item)) > 0) {
		PyObject *message = NULL;
		if (item.part == PART_NONE) {
			message = message_decode(item.object, decode);
		} else {
			self->parts_kind = item.kind;
			if (self->parts == NULL) {
				self->parts = PyList_New(0);
			}
			int result =
				self->parts != NULL ? PyList_Append(self->parts, item.object) : -1;
			Py_DECREF(item.object);
			if (result == 0 && item.part == PART_MORE) {
				continue;
			}
			message = result == 0 ? join(self, decode) : NULL;
		}
		*failed = message == NULL;
		return message;
	}
	*failed = found < 0;
	return NULL;
}

// take_part returns (data, fin, text).
static PyObject *take_part(Blocking *self, bool *failed)
{
	Item item;
	PyObject *part = NULL;
	if (self->parts != NULL) { // a recv was interrupted, or its time was up
		PyObject *data = Py_XNewRef(PyList_GetItem(self->parts, 0));
		if (data != NULL && PyList_SetSlice(self->parts, 0, 1, NULL) == 0) {
			part = Py_BuildValue("(OOO)", data, Py_False,
			                     self->parts_kind == AIOWS_TEXT ? Py_True : Py_False);
		}
		Py_XDECREF(data);
		if (PyList_Size(self->parts) == 0) {
			Py_CLEAR(self->parts);
		}
		self->streaming = true;
	} else {
		int found = take_item(self, false, &item);
		if (found <= 0) {
			*failed = found < 0;
			return NULL;
		}
		self->streaming = item.part == PART_MORE;
		part = Py_BuildValue("(NOO)", item.object, self->streaming ? Py_False : Py_True,
		                     item.kind == AIOWS_TEXT ? Py_True : Py_False);
	}
	*failed = part == NULL;
	return part;
}

// take returns what is there, or NULL; *failed tells an exception.
PyObject *take(Blocking *self, int want, int decode, bool *failed)
{
	*failed = false;
	return want == WANT_PART ? take_part(self, failed) : take_whole(self, decode, failed);
}

// --- waiting for it

// receive waits for a message. NULL without an exception: the time is up.
static PyObject *receive(Blocking *self, int64_t deadline, int want, int decode)
{
	for (;;) {
		bool failed = false;
		PyObject *message = take(self, want, decode, &failed);
		if (message != NULL || failed) {
			return message;
		}
		if (self->status == AIOWS_CLOSED) {
			return raise_ended(self);
		}
		int result = turn(self, deadline, true);
		if (result <= 0) {
			return result == 0 ? take(self, want, decode, &failed) : NULL;
		}
	}
}

// may_receive raises unless this thread may take messages.
static bool may_receive(Blocking *self, int want)
{
	if (refuse_receiver(self)) {
		return false;
	}
	if (self->receiving || (self->streaming && want == WANT_WHOLE)) {
		raise_object(PyObject_CallMethodObjArgs((PyObject *)self,
		                                        self->state->s__concurrency_error, NULL));
		return false;
	}
	return true;
}

static PyObject *receive_alone(Blocking *self, int64_t deadline, int want, int decode)
{
	if (!may_receive(self, want)) {
		return NULL;
	}
	self->receiving = true;
	PyObject *message = receive(self, deadline, want, decode);
	self->receiving = false;
	if (message == NULL && !PyErr_Occurred()) {
		PyErr_SetString(PyExc_TimeoutError, "no message came within the timeout");
	}
	return message;
}

PyObject *blocking_recv(PyObject *op, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	static const char *const keywords[2] = { "timeout", "decode" };
	Blocking *self = (Blocking *)op;
	PyObject *values[2] = { NULL, NULL };
	int64_t deadline = NO_DEADLINE;
	int decode = -1;
	if (!blocking_usable(self)) {
		return NULL;
	}
	if (n != 0 || names != NULL) {
		if (keywords_from(args, n, names, keywords, values) < 0 ||
		    deadline_from_object(values[0], &deadline) < 0 ||
		    decode_from_object(values[1], &decode) < 0) {
			return NULL;
		}
	}
	return receive_alone(self, deadline, WANT_WHOLE, decode);
}

PyObject *blocking_next(PyObject *op)
{
	Blocking *self = (Blocking *)op;
	if (!blocking_usable(self)) {
		return NULL;
	}
	PyObject *message = receive_alone(self, NO_DEADLINE, WANT_WHOLE, -1);
	if (message == NULL && self->state->closed_ok != NULL &&
	    PyErr_ExceptionMatches(self->state->closed_ok)) {
		PyErr_Clear(); // StopIteration
	}
	return message;
}

PyObject *blocking_take(PyObject *op, PyObject *args)
{
	Blocking *self = (Blocking *)op;
	PyObject *choice = NULL;
	int decode;
	bool failed = false;
	if (!blocking_usable(self) || !PyArg_ParseTuple(args, "|O:_take", &choice) ||
	    decode_from_object(choice, &decode) < 0) {
		return NULL;
	}
	if (!may_receive(self, WANT_WHOLE)) {
		return NULL;
	}
	PyObject *message = take(self, WANT_WHOLE, decode, &failed);
	return message != NULL || failed ? message : Py_NewRef(Py_None);
}

PyObject *blocking_recv_part(PyObject *op, PyObject *unused UNUSED)
{
	Blocking *self = (Blocking *)op;
	return blocking_usable(self) ? receive_alone(self, NO_DEADLINE, WANT_PART, -1) : NULL;
}

PyObject *blocking_stream(PyObject *op, PyObject *unused UNUSED)
{
	Blocking *self = (Blocking *)op;
	if (!blocking_usable(self)) {
		return NULL;
	}
	aiows_conn *handle = self->handle;
	if (handle != NULL && self->on_message == NULL) {
		Py_BEGIN_ALLOW_THREADS lib.conn_stream(handle, 1);
		Py_END_ALLOW_THREADS
	}
	Py_RETURN_NONE;
}
