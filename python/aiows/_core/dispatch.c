// dispatch.c: the reader callback.
//
// Two passes over a batch: messages are queued first, so that a task that is stepped
// finds all that came; then the events are dispatched in order.
// Any step may cancel, close or free anything: references are held, and state is
// read again after each one.
#include "core.h"

#include <string.h>
#include <time.h>

enum {
	MANY = 4,                  // events that came promise more: poll again
	EVENTS_PER_TURN = 512,     // of the event loop, about; then timers get theirs
	BUDGET_NS = 2000000,       // of steps and callbacks, the same
	SHORT_READ = 32 * 1024,    // bytes from one socket: up to here another costs nothing
	FULL_READ = 192 * 1024,    // and from here on it holds more
	LARGE_BATCH = 64 * 1024,   // bytes: the next poll gives up the GIL
};

int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static Connection *event_connection(const aiows_event *event)
{
	return (Connection *)(uintptr_t)event->user_data;
}

// in_loop tells whether this thread runs the asyncio loop. The answer is kept by
// thread: asyncio's own takes a system call in 3.11.
static bool in_loop(Loop *self, PyObject *loop)
{
	unsigned long thread = PyThread_get_thread_ident();
	if (self->thread != thread) {
		PyObject *running = PyObject_CallNoArgs(self->state->running_loop);
		self->thread = running == loop ? thread : 0;
		Py_XDECREF(running);
	}
	return self->thread == thread;
}

// can_step tells whether tasks may be stepped: ready runs in its event loop, and
// no task is current.
static bool can_step(Loop *self)
{
	if (self->can_step >= 0) {
		return self->can_step;
	}
	State *state = self->state;
	PyObject *loop = loop_asyncio(self);
	self->can_step = 0;
	if (loop != NULL && in_loop(self, loop)) {
		if (state->current_tasks != NULL) {
			PyObject *task = PyDict_GetItemWithError(state->current_tasks, loop);
			self->can_step = (task == NULL || task == Py_None) && !PyErr_Occurred();
		} else {
			PyObject *task = call_one(state->current_task, loop);
			self->can_step = task == Py_None;
			Py_XDECREF(task);
		}
	}
	if (!self->can_step) {
		PyErr_Clear();
	}
	Py_XDECREF(loop);
	return self->can_step;
}

// report_exception hands what was raised to the event loop's exception handler.
// It leaves it raised and returns -1 if it must end the program.
int report_exception(Loop *self, PyObject *subject, const char *message)
{
	if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
	    PyErr_ExceptionMatches(PyExc_SystemExit)) {
		return -1;
	}
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	if (traceback != NULL) {
		PyException_SetTraceback(value, traceback);
	}
	PyObject *result = NULL;
	PyObject *loop = loop_asyncio(self);
	PyObject *details = Py_BuildValue("{s:s,s:O,s:O}", "message", message, "exception", value,
	                                  "connection", subject);
	if (loop != NULL && details != NULL) {
		result = PyObject_CallMethodObjArgs(loop, self->state->s_call_exception_handler,
		                                    details, NULL);
	}
	Py_XDECREF(details);
	Py_XDECREF(loop);
	if (result == NULL && loop == NULL) {
		PyErr_Restore(type, value, traceback);
		PyErr_WriteUnraisable(subject);
		return 0;
	}
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback);
	Py_XDECREF(result);
	return result != NULL ? 0 : -1;
}

// hook_done ends a call of a hook: 0, or -1 when what it raised must go on.
static int hook_done(Loop *self, Connection *conn, PyObject *result, const char *message)
{
	if (result == NULL) {
		return report_exception(self, (PyObject *)conn, message);
	}
	Py_DECREF(result);
	return 0;
}

static int call_hook(Connection *conn, PyObject *name, PyObject *argument)
{
	PyObject *result = PyObject_CallMethodObjArgs((PyObject *)conn, name, argument, NULL);
	return hook_done(conn->loop, conn, result, "Exception in a connection's event method");
}

static int call_data_hook(Connection *conn, PyObject *name, const aiows_event *event)
{
	PyObject *data = PyBytes_FromStringAndSize((const char *)(uintptr_t)event->data,
	                                           (Py_ssize_t)event->len);
	if (data == NULL) {
		return report_exception(conn->loop, (PyObject *)conn, "No memory for an event");
	}
	int result = call_hook(conn, name, data);
	Py_DECREF(data);
	return result;
}

static int call_closing_hook(Connection *conn, PyObject *name, const aiows_event *event,
                             bool closed)
{
	const char *message =
		closed ? "Exception in on_close" : "Exception in a connection's event method";
	const char *data = event->len > 0 ? (const char *)(uintptr_t)event->data : "";
	PyObject *reason = PyUnicode_DecodeUTF8(data, (Py_ssize_t)event->len, "replace");
	PyObject *code = PyLong_FromLong(event->code);
	PyObject *sent = PyLong_FromLong(event->close_sent);
	PyObject *flags = PyLong_FromLong(event->flags);
	PyObject *result = NULL;
	if (reason != NULL && code != NULL && sent != NULL && flags != NULL) {
		result = PyObject_CallMethodObjArgs((PyObject *)conn, name, code, reason,
		                                    closed ? sent : NULL, flags, NULL);
	}
	Py_XDECREF(reason);
	Py_XDECREF(code);
	Py_XDECREF(sent);
	Py_XDECREF(flags);
	return hook_done(conn->loop, conn, result, message);
}

static int call_log_hook(Connection *conn, const aiows_event *event)
{
	PyObject *result = NULL;
	PyObject *line = text_lenient((const char *)(uintptr_t)event->data, (Py_ssize_t)event->len);
	PyObject *dropped = PyLong_FromLong(event->code);
	if (line != NULL && dropped != NULL) {
		result = PyObject_CallMethodObjArgs((PyObject *)conn, conn->loop->state->s__on_log,
		                                    line, dropped, NULL);
	}
	Py_XDECREF(line);
	Py_XDECREF(dropped);
	return hook_done(conn->loop, conn, result, "Exception in a connection's event method");
}

// deliver calls on_message. What it raises is reported and closes with 1011.
static int deliver(Connection *conn, const aiows_event *event)
{
	Loop *loop = conn->loop;
	if (conn->muted) {
		return 0;
	}
	PyObject *result = NULL;
	PyObject *message = message_new(conn, event);
	conn->received_at = event->time_ns;
	if (message != NULL) {
		result = PyObject_CallFunctionObjArgs(conn->run, conn->on_message, (PyObject *)conn,
		                                      message, NULL);
		Py_DECREF(message);
	}
	if (result != NULL) {
		Py_DECREF(result);
		return 0;
	}
	if (report_exception(loop, (PyObject *)conn, "Exception in on_message") < 0) {
		return -1;
	}
	conn->muted = true;
	if (conn->handle != NULL && lib.close(conn->handle, 1011, "") >= 0 &&
	    conn->status == AIOWS_OPEN) {
		conn->status = AIOWS_CLOSING;
	}
	return 0;
}

static int dispatch_message(Loop *self, Connection *conn, const aiows_event *event)
{
	if (conn->on_message != NULL) {
		return deliver(conn, event);
	}
	int result = 0;
	if (conn->waiter == NULL) {
		self->ran = false;
	} else if (conn->count > 0) {
		result = wake_receiver(conn, can_step(self));
	}
	if (conn->status == AIOWS_CLOSING) {
		conn->late += event->len + LATE_COST;
	}
	if (conn->count > conn->high && !conn->paused && conn->handle != NULL &&
	    (conn->status != AIOWS_CLOSING || conn->late > LATE_BYTES)) {
		conn->paused = true;
		lib.pause(conn->handle);
	}
	return result;
}

// wake_all wakes every task of an ended connection; after an exception, which
// stays raised, the rest is scheduled.
static int wake_all(Loop *self, Connection *conn, int result)
{
	PyObject *type = NULL, *value = NULL, *traceback = NULL;
	if (result < 0) {
		PyErr_Fetch(&type, &value, &traceback);
	}
	bool step = result == 0 && can_step(self);
	if (wake_receiver(conn, step) < 0 && result == 0) {
		PyErr_Fetch(&type, &value, &traceback);
		result = -1;
		step = false;
	}
	if (wake_senders(conn, EPOCH_ALL, step) < 0 && result == 0) {
		return -1;
	}
	if (result < 0) {
		PyErr_Restore(type, value, traceback);
	}
	return result;
}

static int dispatch_end(Loop *self, Connection *conn, const aiows_event *event)
{
	State *state = self->state;
	int result;
	conn->status = AIOWS_CLOSED;
	conn->writable_owed = false;
	conn->paused = false;
	loop_forget(self, conn);
	if (event->type == AIOWS_EV_CLOSED) {
		result = call_closing_hook(conn, state->s__on_closed, event, true);
	} else {
		aiows_error error = { .size = sizeof error };
		lib.conn_error(conn->handle, &error);
		PyObject *object =
			error_new(state, error.code != 0 ? error.code : event->code, &error);
		result = object != NULL ? call_hook(conn, state->s__on_failed, object)
		                        : report_exception(self, (PyObject *)conn, "No memory");
		Py_XDECREF(object);
	}
	return wake_all(self, conn, result);
}

static int dispatch_event(Loop *self, const aiows_event *event)
{
	State *state = self->state;
	if (event->type == AIOWS_EV_GONE) {
		return request_gone(self, (aiows_request *)(uintptr_t)event->request);
	}
	if (event->type == AIOWS_EV_REQUEST) {
		return listener_dispatch((Listener *)(uintptr_t)event->user_data,
		                         (aiows_request *)(uintptr_t)event->request);
	}
	Connection *conn = (Connection *)Py_NewRef((PyObject *)event_connection(event));
	int result = 0;
	if (conn->handle == NULL) { // connect is still on its way back in another thread
		conn->handle = (aiows_conn *)(uintptr_t)event->conn;
	}
	switch (event->type) {
	case AIOWS_EV_MESSAGE:
		result = dispatch_message(self, conn, event);
		break;
	case AIOWS_EV_OPEN:
		if (conn->status == AIOWS_CONNECTING) {
			conn->status = AIOWS_OPEN;
		}
		self->opened = true;
		result = call_hook(conn, state->s__on_open, NULL);
		break;
	case AIOWS_EV_PING:
		result = call_data_hook(conn, state->s__on_ping, event);
		break;
	case AIOWS_EV_PONG:
		result = call_data_hook(conn, state->s__on_pong, event);
		break;
	case AIOWS_EV_CLOSING:
		conn->status = AIOWS_CLOSING;
		result = call_closing_hook(conn, state->s__on_closing, event, false);
		break;
	case AIOWS_EV_WRITABLE:
		conn->writable_owed = false;
		conn->writable_epoch++;
		if (conn->senders != NULL) {
			result = wake_senders(conn, conn->writable_epoch, can_step(self));
		}
		break;
	case AIOWS_EV_OUTPUT:
		result = call_hook(conn, state->s__on_output, NULL);
		break;
	case AIOWS_EV_INPUT:
		result = call_hook(conn, state->s__on_input, NULL);
		break;
	case AIOWS_EV_SOCKET:
		result = call_hook(conn, state->s__on_socket, NULL);
		break;
	case AIOWS_EV_TUNNEL:
		result = call_hook(conn, state->s__on_tunnel, NULL);
		break;
	case AIOWS_EV_LOG:
		result = call_log_hook(conn, event);
		break;
	case AIOWS_EV_FAILED:
	case AIOWS_EV_CLOSED:
		result = dispatch_end(self, conn, event);
		break;
	}
	Py_DECREF((PyObject *)conn);
	return result;
}

// queue_messages is the first pass. No Python code runs in it: str and bytes are
// not followed by the garbage collector.
static void queue_messages(Loop *self)
{
	self->batch_bytes = 0;
	for (size_t i = 0; i < self->n_events; i++) {
		const aiows_event *event = &self->events[i];
		if (event->type != AIOWS_EV_MESSAGE) {
			continue;
		}
		self->batch_bytes += event->len;
		Connection *conn = event_connection(event);
		if (conn->on_message != NULL || conn->muted) {
			continue;
		}
		if (queue_message(conn, event) < 0) {
			PyErr_Clear(); // no memory, which nothing here may report
		}
	}
}

static int32_t fetch(Loop *self)
{
	aiows_loop *handle = self->handle;
	size_t n = 0;
	int32_t code = AIOWS_ERR_BUSY;
	queue_convert(self);
	if (self->batch_bytes < LARGE_BATCH) {
		code = lib.poll(handle, self->events, EVENTS_PER_POLL, AIOWS_TRY_POLL, &n);
	}
	if (code == AIOWS_ERR_BUSY) {
		Py_BEGIN_ALLOW_THREADS code =
			lib.poll(handle, self->events, EVENTS_PER_POLL, 0, &n);
		Py_END_ALLOW_THREADS
	}
	self->next_event = 0;
	self->n_events = code >= 0 ? n : 0;
	if (!self->closed) { // by another thread, while the GIL was released
		queue_messages(self);
	}
	return code;
}

// dispatch_batch returns 0 when the batch is done, 1 when the time is up, -1 with
// an exception; the rest of the batch stays for the next call.
static int dispatch_batch(Loop *self)
{
	if (self->started == 0 && self->n_events - self->next_event > 1) {
		self->started = now_ns();
	}
	while (self->next_event < self->n_events && !self->closed) {
		const aiows_event *event = &self->events[self->next_event++];
		self->ran = true;
		if (dispatch_event(self, event) < 0) {
			return -1;
		}
		// Not after a message that is only queued: the clock would be a tenth of
		// its cost.
		if (self->ran && self->next_event < self->n_events &&
		    now_ns() - self->started > BUDGET_NS) {
			return 1;
		}
	}
	return 0;
}

// promises_more tells whether to poll again rather than take a turn of the event loop.
// A lone connection that was read dry of long messages is left to gather more: each
// read of it has the kernel acknowledge, and wake the peer.
//
// Whoever waited for an opening runs in the next turn, and may answer what came with
// it before the next poll fails the connection.
static bool promises_more(Loop *self)
{
	if (self->opened) {
		return false;
	}
	if (self->n_registered == 1 && self->n_events < EVENTS_PER_POLL &&
	    self->batch_bytes >= SHORT_READ) {
		return self->batch_bytes >= FULL_READ;
	}
	return self->n_events >= MANY;
}

// end_all ends the connections of a loop whose library gave up, and raises why.
static void end_all(Loop *self, int32_t code)
{
	State *state = self->state;
	PyObject *type, *value, *traceback;
	raise_error(state, code, NULL);
	PyErr_Fetch(&type, &value, &traceback);
	PyObject *loop = loop_asyncio(self);
	PyObject *fd = PyLong_FromLong(lib.loop_fd(self->handle));
	if (loop != NULL && fd != NULL) {
		// Else it might stay readable, and nothing would ever read it.
		Py_XDECREF(PyObject_CallMethodObjArgs(loop, state->s_remove_reader, fd, NULL));
	}
	PyErr_Clear();
	Py_XDECREF(fd);
	Py_XDECREF(loop);
	self->closed = true;
	self->gave_up = code;
	PyObject *list = PyList_New(0);
	for (Connection *conn = self->connections; list != NULL && conn != NULL;
	     conn = conn->next) {
		if (conn->registered) {
			PyList_Append(list, (PyObject *)conn);
		}
	}
	PyErr_Clear();
	loop_drop(self, true);
	for (Py_ssize_t i = 0; list != NULL && i < PyList_Size(list); i++) {
		Connection *conn = (Connection *)PyList_GetItem(list, i);
		aiows_event lost = { .type = AIOWS_EV_CLOSED, .code = 1006 };
		if (call_closing_hook(conn, state->s__on_closed, &lost, true) < 0) {
			PyErr_WriteUnraisable((PyObject *)conn);
		}
	}
	Py_XDECREF(list);
	self->idle_due = true;
	PyErr_Restore(type, value, traceback);
}

static int call_idle(Loop *self)
{
	PyObject *on_idle = self->on_idle;
	self->idle_due = false;
	if (on_idle == NULL || self->n_registered > 0 || self->n_listening > 0) {
		return 0;
	}
	Py_INCREF(on_idle);
	PyObject *result = PyObject_CallNoArgs(on_idle);
	Py_DECREF(on_idle);
	if (result == NULL) {
		return report_exception(self, (PyObject *)self, "Exception in on_idle");
	}
	Py_DECREF(result);
	return 0;
}

// sweep_listeners lets go of the closed ones: no event of the batch names them.
static void sweep_listeners(Loop *self)
{
	Listener **place = &self->listeners;
	while (*place != NULL) {
		Listener *listener = *place;
		if (listener->handle != NULL) {
			place = &listener->next;
		} else {
			*place = listener->next;
			listener->next = NULL;
			Py_DECREF((PyObject *)listener);
		}
	}
}

PyObject *loop_ready(Loop *self, PyObject *unused UNUSED)
{
	// A forked child that leaves its parent's event loop in order may turn it again.
	if (self->dispatching || self->closed || library_forked) {
		Py_RETURN_NONE;
	}
	Py_INCREF((PyObject *)self);
	self->dispatching = true;
	self->can_step = -1;
	self->quick = 0;
	int result = 0;
	self->started = 0;
	self->opened = false;
	for (size_t events = 0; events < EVENTS_PER_TURN && !self->closed;
	     events += self->n_events) {
		if (self->next_event == self->n_events) {
			sweep_listeners(self);
			int32_t code = fetch(self);
			if (code < 0) {
				if (!self->closed) {
					end_all(self, code);
					result = -1;
				}
				break;
			}
		}
		result = dispatch_batch(self);
		if (result != 0 || !promises_more(self) || now_ns() - self->started > BUDGET_NS) {
			break;
		}
	}
	self->can_step = 0;
	self->started = 0;
	if (self->idle_due && self->next_event == self->n_events && result >= 0) {
		result = call_idle(self);
	}
	queue_convert(self);
	self->dispatching = false;
	if (self->closed) {
		PyObject *type, *value, *traceback;
		PyErr_Fetch(&type, &value, &traceback);
		loop_finish_close(self);
		PyErr_Restore(type, value, traceback);
	} else if (self->next_event < self->n_events || self->idle_due) {
		loop_wake(self); // the descriptor brings the next call
	}
	Py_DECREF((PyObject *)self);
	if (result < 0) {
		return NULL;
	}
	Py_RETURN_NONE;
}
