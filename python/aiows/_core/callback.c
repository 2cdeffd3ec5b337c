// callback.c: messages that go to on_message, in whichever thread waits.
//
// One thread at a time takes messages for it, as one at a time receives. It does not
// drive while on_message runs: others may wait then, and what they find is queued.
#include "blocking.h"

// --- who delivers

// identify tells threads apart, and greenlets where those took their place.
static int identify(Blocking *self, uint64_t *ident)
{
	*ident = PyThread_get_thread_ident();
	if (self->wait == NULL) {
		return 0;
	}
	PyObject *threading = PyImport_ImportModule("threading");
	PyObject *number =
		threading != NULL ? PyObject_CallMethod(threading, "get_ident", NULL) : NULL;
	Py_XDECREF(threading);
	if (number == NULL) {
		return -1;
	}
	*ident = PyLong_AsUnsignedLongLongMask(number);
	Py_DECREF(number);
	return PyErr_Occurred() ? -1 : 0;
}

// claim has this thread deliver: 1, 0 when another does or nothing is to be, or -1.
static int claim(Blocking *self)
{
	uint64_t ident;
	if (self->on_message == NULL) {
		return 0;
	}
	if (identify(self, &ident) < 0) {
		return -1;
	}
	if (self->delivering || self->muted) {
		return 0;
	}
	self->delivering = true;
	self->deliverer = ident;
	return 1;
}

// release lets another thread deliver: one that drives has to be told.
static void release(Blocking *self)
{
	self->delivering = false;
	if (self->driving && self->loop != NULL && self->count > 0) {
		lib.wake(self->loop);
	}
	self->turns++;
	wake_followers(self);
}

bool refuse_receiver(Blocking *self)
{
	if (self->on_message == NULL) {
		return false;
	}
	if (self->status == AIOWS_CLOSED) {
		raise_ended(self);
	} else {
		PyErr_SetString(PyExc_RuntimeError,
		                "messages of this connection go to its on_message");
	}
	return true;
}

// --- delivering

// settle has the end told, once nothing is left that comes before it. What was raised,
// for which result is -1, stays so.
static int settle(Blocking *self, int result)
{
	if (!self->finish_owed || self->calling || self->count > 0) {
		return result;
	}
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	self->finish_owed = false;
	if (call_hook(self, self->state->s__on_finished, NULL) < 0) {
		Py_XDECREF(type); // the newer one is told
		Py_XDECREF(value);
		Py_XDECREF(traceback);
		return -1;
	}
	PyErr_Restore(type, value, traceback);
	return result;
}

// tell_end tells that the connection is closed: what waits for that now, the program
// after its last message.
int tell_end(Blocking *self)
{
	self->finish_owed = true;
	return call_hook(self, self->state->s__on_closed, NULL) < 0 ? -1 : settle(self, 0);
}

// mute ends a connection whose on_message raised, which stays raised.
static void mute(Blocking *self)
{
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	self->muted = true;
	blocking_drop(self);
	if (self->paused && self->handle != NULL) {
		self->paused = false;
		lib.resume(self->handle);
	}
	if (start_close(self, 1011, "") == SEND_RAISED) {
		PyErr_WriteUnraisable((PyObject *)self);
	}
	PyErr_Restore(type, value, traceback);
}

// deliver hands one message to on_message, or takes a turn when there is none: 1, 0 when
// the time is up, or -1.
static int deliver(Blocking *self, int64_t deadline)
{
	if (PyErr_CheckSignals() < 0) {
		return -1;
	}
	bool failed = false;
	self->calling = true;
	PyObject *message = take(self, WANT_WHOLE, -1, &failed);
	if (message == NULL) {
		self->calling = false;
		return failed                         ? -1
		       : self->status == AIOWS_CLOSED ? settle(self, 1)
		                                      : turn(self, deadline, true);
	}
	PyObject *result =
		PyObject_CallFunctionObjArgs(self->on_message, (PyObject *)self, message, NULL);
	self->calling = false;
	Py_DECREF(message);
	// Others, KeyboardInterrupt for one, mean the program and not this message.
	if (result == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
		mute(self);
	}
	if (settle(self, result != NULL ? 0 : -1) < 0) {
		Py_XDECREF(result);
		return -1;
	}
	Py_DECREF(result);
	return deadline == NO_DEADLINE || now_ns() < deadline;
}

// deliver_arrived hands over what is there, without waiting for more.
static int deliver_arrived(Blocking *self, int64_t deadline)
{
	if (blocking_queued(self) == 0 && turn(self, deadline, true) < 0) {
		return -1;
	}
	for (size_t n = blocking_queued(self); n > 0; n--) {
		if (deliver(self, deadline) < 0) {
			return -1;
		}
	}
	// What follows the last message may be the end.
	return self->next_event < self->n_events && turn(self, deadline, true) < 0 ? -1 : 0;
}

// --- waiting

int attend(Blocking *self, int64_t deadline)
{
	int claimed = claim(self);
	if (claimed <= 0) {
		return claimed < 0 ? -1 : turn(self, deadline, false);
	}
	int result = deliver(self, deadline);
	release(self);
	return result;
}

PyObject *blocking_turn(PyObject *op, PyObject *args)
{
	Blocking *self = (Blocking *)op;
	PyObject *timeout = NULL;
	int64_t deadline;
	if (!blocking_usable(self) || !PyArg_ParseTuple(args, "|O:_turn", &timeout) ||
	    deadline_from_object(timeout, &deadline) < 0) {
		return NULL;
	}
	int result = self->status == AIOWS_CLOSED ? 1 : attend(self, deadline);
	return result < 0 ? NULL : PyBool_FromLong(result);
}

// is_over tells whether the connection has ended and nothing is left to be waited for.
static int is_over(Blocking *self, bool mine, bool others)
{
	if (self->status != AIOWS_CLOSED) {
		return 0;
	}
	if (mine) {
		return self->count == 0 && !self->finish_owed;
	}
	if (!self->delivering || !others) {
		return 1;
	}
	uint64_t ident;
	if (identify(self, &ident) < 0) {
		return -1;
	}
	return ident == self->deliverer || !self->delivering; // inside on_message: not for itself
}

// await_end returns 1 at the end, 0 when the time is up, or -1.
static int await_end(Blocking *self, int64_t deadline, bool others)
{
	bool arrived = deadline != NO_DEADLINE && now_ns() >= deadline;
	bool mine = false;
	int result = 1, over = 0;
	while (result > 0) {
		if (!mine) {
			int claimed = claim(self);
			if (claimed < 0) {
				result = -1;
				break;
			}
			mine = claimed > 0;
		}
		over = is_over(self, mine, others);
		if (over != 0) {
			break;
		}
		if (mine) {
			result =
				arrived ? deliver_arrived(self, deadline) : deliver(self, deadline);
		} else if (self->status == AIOWS_CLOSED) {
			result = follow(self, deadline);
		} else {
			result = turn(self, deadline, false);
		}
	}
	if (result == 0) {
		over = is_over(self, mine, others);
	}
	if (mine) {
		release(self);
	}
	return result < 0 ? -1 : over;
}

PyObject *blocking_await_end(PyObject *op, PyObject *args)
{
	Blocking *self = (Blocking *)op;
	PyObject *timeout;
	int others;
	int64_t deadline;
	if (!blocking_made(self) || !PyArg_ParseTuple(args, "Op:_await_end", &timeout, &others) ||
	    deadline_from_object(timeout, &deadline) < 0) {
		return NULL;
	}
	if (library_forked && self->status == AIOWS_CLOSED) {
		Py_RETURN_TRUE; // what is left is the parent's to deliver
	}
	if (!blocking_usable(self)) {
		return NULL;
	}
	int result = await_end(self, deadline, others);
	return result < 0 ? NULL : PyBool_FromLong(result);
}
