// waiter.c: the future that recv, send and drain await.
//
// A task treats it as it treats an asyncio.Future. What differs is the wake-up:
// the reader callback may run the task's callback itself, without a turn of the
// event loop.
#include "core.h"

// waiter_new returns a waiter of conn, a used one where nothing else refers to it.
Waiter *waiter_new(Connection *conn)
{
	Loop *loop = conn->loop;
	Waiter *self = NULL;
	if (loop->n_waiters > 0) {
		self = loop->waiters[--loop->n_waiters];
	}
	if (self == NULL || Py_REFCNT((PyObject *)self) != 1) {
		Py_XDECREF((PyObject *)self);
		self = PyObject_GC_New(Waiter, conn->state->waiter_type);
		if (self == NULL) {
			return NULL;
		}
		self->conn = NULL;
		self->callback = self->context = self->cancel_message = NULL;
		PyObject_GC_Track((PyObject *)self);
	}
	self->conn = (Connection *)Py_NewRef((PyObject *)conn);
	self->status = WAITER_PENDING;
	self->place = PLACE_NONE;
	self->entered = false;
	self->blocking = 1;
	return self;
}

// waiter_recycle keeps a waiter that nobody else holds for the next suspension.
void waiter_recycle(Waiter *self)
{
	Connection *conn = self->conn;
	if (Py_REFCNT((PyObject *)self) != 1 || conn == NULL) {
		Py_DECREF((PyObject *)self);
		return;
	}
	Py_CLEAR(self->callback);
	Py_CLEAR(self->context);
	if (self->cancel_message != NULL) {
		Py_CLEAR(self->cancel_message);
	}
	Loop *loop = conn->loop;
	if (loop->n_waiters < SPARES) {
		self->conn = NULL;
		loop->waiters[loop->n_waiters++] = self;
		Py_DECREF((PyObject *)conn); // which may have held the loop
	} else {
		Py_DECREF((PyObject *)self);
	}
}

void waiter_attach_receiver(Waiter *self, Awaitable *receiver)
{
	Connection *conn = self->conn;
	self->place = PLACE_RECEIVER;
	conn->waiter = (Waiter *)Py_NewRef((PyObject *)self);
	conn->receiver = receiver;
}

void waiter_attach_sender(Waiter *self, uint64_t epoch)
{
	Connection *conn = self->conn;
	self->place = PLACE_SENDER;
	self->epoch = epoch;
	self->previous = conn->last_sender;
	self->next = NULL;
	if (conn->last_sender != NULL) {
		conn->last_sender->next = self;
	} else {
		conn->senders = self;
	}
	conn->last_sender = self;
	Py_INCREF((PyObject *)self);
}

// waiter_take ends the attachment and hands the connection's reference over.
static Waiter *waiter_take(Waiter *self)
{
	Connection *conn = self->conn;
	if (self->place == PLACE_RECEIVER) {
		conn->waiter = NULL;
	} else {
		*(self->previous != NULL ? &self->previous->next : &conn->senders) = self->next;
		*(self->next != NULL ? &self->next->previous : &conn->last_sender) = self->previous;
		self->previous = self->next = NULL;
	}
	self->place = PLACE_NONE;
	return self;
}

// waiter_detach has no event wake the waiter any more.
void waiter_detach(Waiter *self)
{
	if (self->place == PLACE_RECEIVER) {
		self->conn->receiver = NULL;
	}
	if (self->place != PLACE_NONE) {
		Py_DECREF((PyObject *)waiter_take(self));
	}
}

static int waiter_schedule(Waiter *self)
{
	return loop_call_soon(self->conn->loop, self->callback, (PyObject *)self, self->context);
}

// wakes_task tells whether callback is the wake-up of a task in C. Such a one asks
// its argument for the result and nothing else, and looks into a real Future where
// it calls a method of any other: 3.11 makes the method's name each time, 90 ns.
static bool wakes_task(State *state, PyObject *callback)
{
	if (!PyCFunction_CheckExact(callback)) {
		return false;
	}
	PyObject *task = PyCFunction_GetSelf(callback);
	return task != NULL && Py_TYPE(task) == (PyTypeObject *)state->task_type;
}

// waiter_wake completes a waiter that is not attached any more. It steals the
// reference. -1: what the task raised, or could not be scheduled for.
int waiter_wake(Waiter *self, bool step)
{
	int result = 0;
	self->status = WAITER_DONE;
	if (self->callback == NULL) {
		// add_done_callback schedules it.
	} else if (!step) {
		result = waiter_schedule(self);
	} else {
		Connection *conn = self->conn;
		conn->loop->quick = 0;
		State *state = conn->state;
		PyObject *future =
			wakes_task(state, self->callback) ? state->done_future : (PyObject *)self;
		PyObject *value = PyObject_CallMethodObjArgs(self->context, state->s_run,
		                                             self->callback, future, NULL);
		if (value != NULL) {
			Py_DECREF(value);
		} else if (self->entered) {
			result = -1;
		} else {
			// The task was not entered: an interrupt came first, or its context
			// is entered already. It must not sleep for ever.
			PyObject *type, *error, *traceback;
			PyErr_Fetch(&type, &error, &traceback);
			result = waiter_schedule(self);
			if (result == 0 && !PyErr_GivenExceptionMatches(type, PyExc_RuntimeError)) {
				PyErr_Restore(type, error, traceback);
				result = -1;
			} else {
				Py_XDECREF(type);
				Py_XDECREF(error);
				Py_XDECREF(traceback);
			}
		}
	}
	waiter_recycle(self);
	return result;
}

int wake_receiver(Connection *conn, bool step)
{
	return conn->waiter != NULL ? waiter_wake(waiter_take(conn->waiter), step) : 0;
}

// wake_senders wakes the waiters whose epoch is before epoch; after an exception
// the others are scheduled.
int wake_senders(Connection *conn, uint64_t epoch, bool step)
{
	int result = 0;
	Waiter *waiter = conn->senders;
	while (waiter != NULL) {
		if (waiter->epoch >= epoch) {
			waiter = waiter->next;
			continue;
		}
		waiter_take(waiter);
		if (result < 0) {
			PyObject *type, *error, *traceback;
			PyErr_Fetch(&type, &error, &traceback);
			waiter_wake(waiter, false);
			PyErr_Restore(type, error, traceback);
		} else {
			result = waiter_wake(waiter, step);
		}
		waiter = conn->senders; // a step may have changed the list
	}
	return result;
}

// --- turns to send

// wake_turn wakes the oldest of those that wait for their turn.
static int wake_turn(Connection *conn)
{
	Waiter *waiter = conn->senders;
	while (waiter != NULL && waiter->epoch != EPOCH_TURN) {
		waiter = waiter->next;
	}
	return waiter != NULL ? waiter_wake(waiter_take(waiter), false) : 0;
}

void end_turn(Connection *conn)
{
	conn->turns--;
	if (conn->turns == 0 || conn->status == AIOWS_CLOSED) { // that woke them all
		return;
	}
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	if (wake_turn(conn) < 0) {
		PyErr_WriteUnraisable((PyObject *)conn);
	}
	PyErr_Restore(type, value, traceback);
}

void leave_turn(Awaitable *self)
{
	bool taken = self->turn == TURN_TAKEN ||
	             (self->waiter != NULL && self->waiter->status == WAITER_DONE);
	self->turn = TURN_NONE;
	if (taken) {
		end_turn(self->conn);
	} else {
		self->conn->turns--;
	}
}

// --- the methods that tasks call

static bool is_context(Waiter *self, PyObject *names)
{
	PyObject *name = PyTuple_GetItem(names, 0);
	return (self->conn != NULL && name == self->conn->state->s_context) ||
	       PyUnicode_CompareWithASCIIString(name, "context") == 0;
}

static PyObject *waiter_add_done_callback(PyObject *op, PyObject *const *args, Py_ssize_t n,
                                          PyObject *names)
{
	Waiter *self = (Waiter *)op;
	Py_ssize_t n_names = names != NULL ? PyTuple_Size(names) : 0;
	if (n != 1 || n_names > 1 || (n_names == 1 && !is_context(self, names))) {
		PyErr_SetString(PyExc_TypeError, "expected a callback and context=");
		return NULL;
	}
	if (self->conn == NULL || self->callback != NULL) {
		PyErr_SetString(PyExc_RuntimeError, "another task awaits this already");
		return NULL;
	}
	PyObject *context = n_names == 1 && args[1] != Py_None
	                            ? Py_NewRef(args[1])
	                            : PyObject_CallNoArgs(self->conn->state->copy_context);
	if (context == NULL) {
		return NULL;
	}
	replace(&self->context, context);
	self->callback = Py_NewRef(args[0]);
	if (self->status != WAITER_PENDING && waiter_schedule(self) < 0) {
		return NULL;
	}
	Py_RETURN_NONE;
}

static PyObject *waiter_remove_done_callback(PyObject *op, PyObject *callback)
{
	Waiter *self = (Waiter *)op;
	if (self->callback == NULL) {
		return PyLong_FromLong(0);
	}
	int equal = PyObject_RichCompareBool(self->callback, callback, Py_EQ);
	if (equal > 0) {
		Py_CLEAR(self->callback);
	}
	return equal < 0 ? NULL : PyLong_FromLong(equal);
}

static State *waiter_state(Waiter *self)
{
	return PyType_GetModuleState(Py_TYPE((PyObject *)self));
}

static int waiter_check_result(Waiter *self)
{
	self->entered = true;
	if (self->status == WAITER_DONE) {
		return 0;
	}
	State *state = waiter_state(self);
	if (self->status == WAITER_PENDING) {
		PyErr_SetString(state->invalid_state_error, "Result is not set.");
	} else if (self->cancel_message == NULL) {
		PyErr_SetNone(state->cancelled_error);
	} else {
		raise_object(call_one(state->cancelled_error, self->cancel_message));
	}
	return -1;
}

static PyObject *waiter_result(PyObject *op, PyObject *unused UNUSED)
{
	if (waiter_check_result((Waiter *)op) < 0) {
		return NULL;
	}
	Py_RETURN_NONE;
}

static PyObject *waiter_cancel(PyObject *op, PyObject *args, PyObject *kwargs)
{
	static char *keywords[] = { "msg", NULL };
	PyObject *message = Py_None;
	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:cancel", keywords, &message)) {
		return NULL;
	}
	Waiter *self = (Waiter *)op;
	if (self->status != WAITER_PENDING || self->conn == NULL) {
		Py_RETURN_FALSE;
	}
	waiter_detach(self);
	self->status = WAITER_CANCELLED;
	replace(&self->cancel_message, message != Py_None ? Py_NewRef(message) : NULL);
	if (self->callback != NULL && waiter_schedule(self) < 0) {
		return NULL;
	}
	Py_RETURN_TRUE;
}

static PyObject *waiter_done(PyObject *op, PyObject *unused UNUSED)
{
	return PyBool_FromLong(((Waiter *)op)->status != WAITER_PENDING);
}

static PyObject *waiter_cancelled(PyObject *op, PyObject *unused UNUSED)
{
	return PyBool_FromLong(((Waiter *)op)->status == WAITER_CANCELLED);
}

static PyObject *waiter_get_loop(PyObject *op, PyObject *unused UNUSED)
{
	Waiter *self = (Waiter *)op;
	if (self->conn == NULL) {
		PyErr_SetString(PyExc_RuntimeError, "the waiter was used");
		return NULL;
	}
	return loop_asyncio(self->conn->loop);
}

static PyObject *waiter_repr(PyObject *op)
{
	static const char *const names[] = { "pending", "done", "cancelled" };
	Waiter *self = (Waiter *)op;
	if (self->callback == NULL) {
		return PyUnicode_FromFormat("<Waiter %s>", names[self->status]);
	}
	return PyUnicode_FromFormat("<Waiter %s cb=[%R]>", names[self->status], self->callback);
}

static int waiter_traverse(PyObject *op, visitproc visit, void *arg)
{
	Waiter *self = (Waiter *)op;
	Py_VISIT(Py_TYPE(op));
	Py_VISIT((PyObject *)self->conn);
	Py_VISIT(self->callback);
	Py_VISIT(self->context);
	Py_VISIT(self->cancel_message);
	return 0;
}

// The connection stays: it breaks its half of the cycle.
static int waiter_clear(PyObject *op)
{
	Waiter *self = (Waiter *)op;
	Py_CLEAR(self->callback);
	Py_CLEAR(self->context);
	Py_CLEAR(self->cancel_message);
	return 0;
}

static void waiter_dealloc(PyObject *op)
{
	PyTypeObject *type = Py_TYPE(op);
	PyObject_GC_UnTrack(op);
	waiter_clear(op);
	Py_CLEAR(((Waiter *)op)->conn);
	PyObject_GC_Del(op);
	Py_DECREF(type);
}

static PyMethodDef waiter_methods[] = {
	{ "add_done_callback", (PyCFunction)(void (*)(void))waiter_add_done_callback,
	  METH_FASTCALL | METH_KEYWORDS, NULL },
	{ "remove_done_callback", waiter_remove_done_callback, METH_O, NULL },
	{ "result", waiter_result, METH_NOARGS, NULL },
	{ "exception", waiter_result, METH_NOARGS, NULL }, // there is none but a cancellation
	{ "cancel", (PyCFunction)(void (*)(void))waiter_cancel, METH_VARARGS | METH_KEYWORDS,
	  NULL },
	{ "done", waiter_done, METH_NOARGS, NULL },
	{ "cancelled", waiter_cancelled, METH_NOARGS, NULL },
	{ "get_loop", waiter_get_loop, METH_NOARGS, NULL },
	{ NULL, NULL, 0, NULL },
};

static PyMemberDef waiter_members[] = {
	{ "_asyncio_future_blocking", T_BOOL, offsetof(Waiter, blocking), 0, NULL },
	{ NULL, 0, 0, 0, NULL },
};

static PyType_Slot waiter_slots[] = {
	{ Py_tp_methods, waiter_methods },
	{ Py_tp_members, waiter_members },
	{ Py_tp_repr, waiter_repr },
	{ Py_tp_traverse, waiter_traverse },
	{ Py_tp_clear, waiter_clear },
	{ Py_tp_dealloc, waiter_dealloc },
	{ 0, NULL },
};

PyType_Spec waiter_spec = {
	.name = "aiows._core.Waiter",
	.basicsize = sizeof(Waiter),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
	         Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = waiter_slots,
};
