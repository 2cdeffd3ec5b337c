// waiting.c: how threads wait on a connection, and what they find.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // gettid
#endif
#include "blocking.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

// --- queue

static uint8_t part_of(Blocking *self, const aiows_event *event)
{
	bool more = (event->flags & AIOWS_EVF_FIN) == 0;
	uint8_t part = more ? PART_MORE : self->parted ? PART_LAST : PART_NONE;
	self->parted = more;
	return part;
}

// item_of makes an object of an event: bytes of a part, as it may end inside a character.
static int item_of(Blocking *self, const aiows_event *event, bool as_bytes, Item *item)
{
	item->part = part_of(self, event);
	item->kind = (uint8_t)event->kind;
	item->time_ns = event->time_ns;
	item->object = message_of(event, as_bytes || item->part != PART_NONE);
	if (item->object != NULL) {
		return 0;
	}
	lib.abort(self->handle); // it must not go on with a gap
	return -1;
}

static int queue_add(Blocking *self, const aiows_event *event)
{
	uint32_t size = self->ring != NULL ? self->ring_mask + 1 : 0;
	if (self->count == size) {
		uint32_t larger = size == 0 ? 8 : size * 2;
		Item *ring = larger > size ? PyMem_Malloc(larger * sizeof *ring) : NULL;
		if (ring == NULL) {
			PyErr_NoMemory();
			lib.abort(self->handle);
			return -1;
		}
		for (uint32_t i = 0; i < self->count; i++) {
			ring[i] = self->ring[(self->head + i) & self->ring_mask];
		}
		PyMem_Free(self->ring);
		self->ring = ring;
		self->ring_mask = larger - 1;
		self->head = 0;
	}
	if (item_of(self, event, false, &self->ring[(self->head + self->count) & self->ring_mask]) <
	    0) {
		return -1;
	}
	self->count++;
	if (self->status == AIOWS_CLOSING) {
		self->late += event->len + LATE_COST;
	}
	return 0;
}

static Item queue_take(Blocking *self)
{
	Item item = self->ring[self->head];
	self->head = (self->head + 1) & self->ring_mask;
	self->count--;
	if (self->count == 0) {
		PyMem_Free(self->ring);
		self->ring = NULL;
	}
	if (self->count <= self->low) {
		self->late = 0;
		if (self->paused) {
			self->paused = false;
			if (self->handle != NULL) {
				lib.resume(self->handle);
			}
		}
	}
	return item;
}

// take_item takes what is at the front: 1, 0 when nothing is there, or -1.
int take_item(Blocking *self, bool as_bytes, Item *item)
{
	if (self->count > 0) {
		*item = queue_take(self);
	} else if (!self->driving && self->next_event < self->n_events &&
	           self->events[self->next_event].type == AIOWS_EV_MESSAGE) {
		if (item_of(self, &self->events[self->next_event++], as_bytes, item) < 0) {
			return -1;
		}
	} else {
		return 0;
	}
	self->received_at = item->time_ns;
	return 1;
}

// --- the end

PyObject *raise_ended(Blocking *self)
{
	raise_object(PyObject_CallMethodObjArgs((PyObject *)self, self->state->s__closed_exception,
	                                        NULL));
	return NULL;
}

static void remember(PyObject **slot, PyObject *value)
{
	if (value == NULL) {
		PyErr_Clear();
	}
	replace(slot, value);
}

// end_loop gives up the descriptors. Threads that are inside a call for the connection
// get AIOWS_ERR_HANDLE, which counts as closed.
void end_loop(Blocking *self)
{
	aiows_loop *loop = self->loop;
	self->status = AIOWS_CLOSED;
	self->paused = false;
	self->writable_owed = false;
	self->handle = NULL;
	self->loop = NULL;
	self->n_events = self->next_event = 0;
	carry_drop(self);
	if (loop != NULL) {
		Py_BEGIN_ALLOW_THREADS lib.loop_free(loop);
		Py_END_ALLOW_THREADS
	}
}

// hook_done ends a call of a hook: 0, or -1 when what it raised must go on.
static int hook_done(Blocking *self, PyObject *result)
{
	if (result != NULL) {
		Py_DECREF(result);
		return 0;
	}
	if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
	    PyErr_ExceptionMatches(PyExc_SystemExit)) {
		return -1;
	}
	PyErr_WriteUnraisable((PyObject *)self);
	return 0;
}

int call_hook(Blocking *self, PyObject *name, PyObject *argument)
{
	return hook_done(self, PyObject_CallMethodObjArgs((PyObject *)self, name, argument, NULL));
}

// follow_redirect goes on with the connection that follows the one that failed, if any.
static bool follow_redirect(Blocking *self)
{
	aiows_error error = { .size = sizeof error };
	aiows_conn *next = NULL;
	if (!self->attached || lib.attach_redirect(self->handle, 0, &next, &error) < 0) {
		return false;
	}
	lib.conn_free(self->handle);
	self->handle = next;
	self->redirected = true;
	self->socket_due = self->tunnelled = false;
	Py_CLEAR(self->closed);
	carry_drop(self);
	return true;
}

static int dispatch_end(Blocking *self, const aiows_event *event)
{
	State *state = self->state;
	int result = carry_last(self);
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	const char *data = event->len > 0 ? (const char *)(uintptr_t)event->data : "";
	int code = event->type == AIOWS_EV_CLOSED ? event->code : 1006;
	remember(&self->closed,
	         Py_BuildValue("(iNii)", code,
	                       PyUnicode_DecodeUTF8(data, (Py_ssize_t)event->len, "replace"),
	                       (int)event->close_sent, (int)event->flags));
	remember(&self->last_info, info_of(state, self->handle));
	remember(&self->last_stats, stats_of(state, self->handle));
	remember(&self->last_error, error_of(state, self->handle));
	if (event->type == AIOWS_EV_CLOSED || !follow_redirect(self)) {
		end_loop(self);
	}
	if (event->type == AIOWS_EV_CLOSED && tell_end(self) < 0) {
		Py_XDECREF(type); // the newer one is told
		Py_XDECREF(value);
		Py_XDECREF(traceback);
		return -1;
	}
	PyErr_Restore(type, value, traceback);
	return result;
}

// give_up ends a connection whose library refuses to go on, and raises why.
static int give_up(Blocking *self, int32_t code)
{
	aiows_event lost = { .type = AIOWS_EV_CLOSED, .code = 1006 };
	if (dispatch_end(self, &lost) == 0) {
		raise_error(self->state, code, NULL);
	}
	return -1;
}

// --- events

static int dispatch_event(Blocking *self, const aiows_event *event)
{
	switch (event->type) {
	case AIOWS_EV_MESSAGE:
		return self->muted ? 0 : queue_add(self, event);
	case AIOWS_EV_OPEN:
		self->opened = true;
		if (self->status == AIOWS_CONNECTING) {
			self->status = AIOWS_OPEN;
		}
		return 0;
	case AIOWS_EV_PONG: {
		PyObject *data = PyBytes_FromStringAndSize((const char *)(uintptr_t)event->data,
		                                           (Py_ssize_t)event->len);
		int result = data != NULL ? call_hook(self, self->state->s__on_pong, data) : -1;
		Py_XDECREF(data);
		return result;
	}
	case AIOWS_EV_LOG:
		return hook_done(
			self, PyObject_CallMethod((PyObject *)self, "_on_log", "Ni",
			                          text_lenient((const char *)(uintptr_t)event->data,
			                                       (Py_ssize_t)event->len),
			                          (int)event->code));
	case AIOWS_EV_CLOSING:
		self->status = AIOWS_CLOSING;
		return 0;
	case AIOWS_EV_WRITABLE:
		self->writable_owed = false;
		self->writable_epoch++;
		return 0;
	case AIOWS_EV_INPUT:
		self->carrier.full = false;
		return 0;
	case AIOWS_EV_SOCKET:
		self->socket_due = true;
		return 0;
	case AIOWS_EV_TUNNEL:
		self->tunnelled = true;
		return 0;
	case AIOWS_EV_FAILED:
	case AIOWS_EV_CLOSED:
		return dispatch_end(self, event);
	}
	return 0;
}

// dispatch_batch serves the batch in hand; a receiver leaves it at its first message,
// others queue them.
static int dispatch_batch(Blocking *self, bool receiving)
{
	while (self->next_event < self->n_events) {
		const aiows_event *event = &self->events[self->next_event];
		if (receiving && event->type == AIOWS_EV_MESSAGE) {
			return 0;
		}
		self->next_event++;
		if (dispatch_event(self, event) < 0) {
			return -1;
		}
	}
	if (self->count > self->high && !self->paused && self->handle != NULL &&
	    (self->status != AIOWS_CLOSING || self->late > LATE_BYTES)) {
		self->paused = true;
		lib.pause(self->handle);
	}
	return 0;
}

// --- waiting

// milliseconds_until rounds up, so that a poll is not repeated for a fraction.
static int32_t milliseconds_until(int64_t deadline)
{
	if (deadline == NO_DEADLINE) {
		return -1;
	}
	int64_t left = deadline - now_ns();
	int64_t milliseconds = left > 0 ? (left + 999999) / 1000000 : 0;
	return milliseconds < INT32_MAX ? (int32_t)milliseconds : INT32_MAX;
}

// slice_end returns when to look for signals again: one that comes after the look and
// before the wait does not end the wait. Only the main thread runs handlers.
static int64_t slice_end(int64_t deadline)
{
	enum { SLICE_NS = 500 * 1000 * 1000 };
	static _Thread_local int8_t is_main = -1; // asked once: two system calls
	if (is_main < 0) {
		is_main = gettid() == getpid();
	}
	if (!is_main) {
		return deadline;
	}
	int64_t end = now_ns() + SLICE_NS;
	return end < deadline ? end : deadline;
}

static PyObject *seconds_until(int64_t deadline)
{
	int64_t left = deadline - now_ns();
	return PyFloat_FromDouble(left > 0 ? (double)left / 1e9 : 0.0);
}

static int32_t fetch(Blocking *self, int32_t timeout_ms)
{
	aiows_loop *loop = self->loop;
	size_t n = 0;
	int32_t code;
	Py_BEGIN_ALLOW_THREADS code = lib.poll(loop, self->events, BATCH, timeout_ms, &n);
	Py_END_ALLOW_THREADS self->next_event = 0;
	self->n_events = code >= 0 ? n : 0;
	self->polled_at = now_ns();
	return code;
}

// fetch_cooperatively waits by way of the program's own function.
static int32_t fetch_cooperatively(Blocking *self, int64_t deadline)
{
	int32_t code = fetch(self, 0);
	if (code < 0 || self->n_events > 0 || milliseconds_until(deadline) == 0) {
		return code;
	}
	int32_t fd = lib.loop_fd(self->loop);
	if (fd < 0) {
		return fd;
	}
	PyObject *seconds = deadline == NO_DEADLINE ? Py_NewRef(Py_None) : seconds_until(deadline);
	PyObject *number = PyLong_FromLong(fd);
	PyObject *result = seconds != NULL && number != NULL
	                           ? PyObject_CallFunctionObjArgs(self->wait, number, seconds, NULL)
	                           : NULL;
	Py_XDECREF(number);
	Py_XDECREF(seconds);
	Py_XDECREF(result);
	return result != NULL ? fetch(self, 0) : SEND_RAISED;
}

// fetch_carried waits for the socket, too, and has its bytes carried.
static int32_t fetch_carried(Blocking *self, int64_t deadline)
{
	for (bool waited = false;; waited = true) {
		if (carry(self) < 0) {
			return SEND_RAISED;
		}
		int32_t code = fetch(self, 0);
		if (code < 0) {
			return code;
		}
		if (carry_out(self) < 0) { // what came may have been answered
			return SEND_RAISED;
		}
		if (waited || self->n_events > 0 || milliseconds_until(deadline) == 0) {
			return code;
		}
		int32_t fd = lib.loop_fd(self->loop);
		if (fd < 0) {
			return fd;
		}
		PyObject *seconds = self->wait == NULL        ? NULL
		                    : deadline == NO_DEADLINE ? Py_NewRef(Py_None)
		                                              : seconds_until(deadline);
		int result = self->wait != NULL && seconds == NULL
		                     ? -1
		                     : carry_wait(self, fd, milliseconds_until(slice_end(deadline)),
		                                  seconds);
		Py_XDECREF(seconds);
		if (result < 0) {
			return SEND_RAISED;
		}
	}
}

// drive is a turn of the thread that waits first: 1, 0 when the time is up, or -1.
static int drive(Blocking *self, int64_t deadline, bool receiving)
{
	if (self->next_event == self->n_events && self->loop != NULL) {
		if (PyErr_CheckSignals() < 0) {
			return -1;
		}
		int32_t code = carried(self) ? fetch_carried(self, deadline)
		               : self->wait != NULL
		                       ? fetch_cooperatively(self, deadline)
		                       : fetch(self, milliseconds_until(slice_end(deadline)));
		if (code == SEND_RAISED) {
			return -1;
		}
		if (code < 0) {
			return give_up(self, code);
		}
		if (self->n_events == 0) { // the time is up, or a signal came
			if (PyErr_CheckSignals() < 0) {
				return -1;
			}
			return deadline == NO_DEADLINE || now_ns() < deadline;
		}
	}
	return dispatch_batch(self, receiving) < 0 ? -1 : 1;
}

// follow waits for a turn of the thread that drives. The lock is of Python's, so that
// a signal ends the wait, and so that it is what a program made of locks.
int follow(Blocking *self, int64_t deadline)
{
	if (deadline != NO_DEADLINE && now_ns() >= deadline) {
		return 0;
	}
	int result = -1;
	uint64_t turns = self->turns;
	PyObject *acquired = NULL, *seconds = NULL;
	PyObject *threading = PyImport_ImportModule("threading");
	PyObject *lock = threading != NULL ? PyObject_CallMethod(threading, "Lock", NULL) : NULL;
	Py_XDECREF(threading);
	if (lock == NULL || (acquired = PyObject_CallMethod(lock, "acquire", NULL)) == NULL) {
		goto out;
	}
	Py_CLEAR(acquired);
	int64_t end = slice_end(deadline);
	seconds = end == NO_DEADLINE ? PyFloat_FromDouble(-1) : seconds_until(end);
	if (self->followers == NULL) {
		self->followers = PyList_New(0);
	}
	if (seconds == NULL || self->followers == NULL || PyErr_CheckSignals() < 0) {
		goto out;
	}
	if (self->turns != turns) { // the calls above may have let the driver do one
		result = 1;
		goto out;
	}
	PyObject *followers = Py_NewRef(self->followers);
	if (PyList_Append(followers, lock) == 0) {
		acquired = PyObject_CallMethod(lock, "acquire", "OO", Py_True, seconds);
		result = acquired == NULL ? -1 : acquired == Py_True || end < deadline;
		Py_ssize_t n = PyList_Size(followers);
		for (Py_ssize_t i = 0; i < n; i++) {
			if (PyList_GetItem(followers, i) == lock) {
				PyList_SetSlice(followers, i, i + 1, NULL);
				break;
			}
		}
	}
	Py_DECREF(followers);
out:
	Py_XDECREF(seconds);
	Py_XDECREF(acquired);
	Py_XDECREF(lock);
	return result;
}

void wake_followers(Blocking *self)
{
	PyObject *followers = self->followers;
	if (followers == NULL) {
		return;
	}
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	self->followers = NULL;
	PyObject *locks = PyList_AsTuple(followers);
	Py_DECREF(followers);
	for (Py_ssize_t i = 0; locks != NULL && i < PyTuple_Size(locks); i++) {
		PyObject *lock = PyTuple_GetItem(locks, i);
		Py_XDECREF(PyObject_CallMethod(lock, "release", NULL));
	}
	if (PyErr_Occurred()) {
		PyErr_WriteUnraisable((PyObject *)self);
	}
	Py_XDECREF(locks);
	PyErr_Restore(type, value, traceback);
}

// driven ends a turn. What others queued meanwhile is written first.
int driven(Blocking *self, int result)
{
	while (self->carrier.owed && result >= 0) {
		self->carrier.owed = false;
		if (carry_out(self) < 0) {
			result = -1;
		}
	}
	self->driving = false;
	self->turns++;
	wake_followers(self);
	return result;
}

// turn waits for something to happen: 1 when it may have, 0 when the time is up, -1.
int turn(Blocking *self, int64_t deadline, bool receiving)
{
	if (self->driving) {
		return follow(self, deadline);
	}
	self->driving = true;
	return driven(self, drive(self, deadline, receiving));
}

// glance dispatches what is there without waiting for anything.
int glance(Blocking *self)
{
	if (self->driving || self->loop == NULL || library_forked) {
		return 0;
	}
	int64_t now = now_ns();
	if (self->next_event < self->n_events && turn(self, now, false) < 0) {
		return -1;
	}
	return turn(self, now, false) < 0 ? -1 : 0;
}

int deadline_from_object(PyObject *timeout, int64_t *deadline)
{
	*deadline = NO_DEADLINE;
	if (timeout == NULL || timeout == Py_None) {
		return 0;
	}
	double seconds = PyFloat_AsDouble(timeout);
	if (seconds == -1.0 && PyErr_Occurred()) {
		return -1;
	}
	if (isnan(seconds)) {
		PyErr_SetString(PyExc_ValueError, "timeout is not a number of seconds");
		return -1;
	}
	int64_t now = now_ns();
	if (seconds < 1e9) { // 31 years
		*deadline = seconds > 0 ? now + (int64_t)(seconds * 1e9) : now;
	}
	return 0;
}
