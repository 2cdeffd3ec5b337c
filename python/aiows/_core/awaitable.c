// awaitable.c: what recv, send, drain and __anext__ return, a coroutine in C.
//
// Nothing happens before the first step. cr_await and cr_frame are left out on
// purpose: tools that find them expect frames, and asyncio needs neither.
#include "core.h"

enum { PHASE_CREATED, PHASE_RUNNING, PHASE_SUSPENDED, PHASE_FINISHED };

// QUICK_COMPLETIONS is how many times in a row a task may go on without being
// suspended before the event loop gets a turn.
// In the reader callback it may go on for QUICK_NS since that began: a batch that is
// consumed at once need not hold the peer back.
enum { QUICK_COMPLETIONS = 64, QUICK_NS = 1000000 };

static const char *const op_names[] = { "recv", "__anext__", "recv_many", "_recv_part",
                                        "send", "drain",     "_take_turn" };

static bool receives(const Awaitable *self)
{
	return self->op <= OP_PART;
}

PyObject *awaitable_new(Connection *conn, int op)
{
	Loop *loop = conn->loop;
	Awaitable *self = NULL;
	if (loop->n_awaitables > 0) {
		self = loop->awaitables[--loop->n_awaitables];
	}
	if (self == NULL || Py_REFCNT((PyObject *)self) != 1) {
		Py_XDECREF((PyObject *)self);
		self = PyObject_GC_New(Awaitable, conn->state->awaitable_type);
		if (self == NULL) {
			return NULL;
		}
		self->conn = NULL;
		self->payload = NULL;
		self->waiter = NULL;
		PyObject_GC_Track((PyObject *)self);
	}
	self->conn = (Connection *)Py_NewRef((PyObject *)conn);
	self->op = (uint8_t)op;
	self->phase = PHASE_CREATED;
	self->decode = -1;
	self->turn = TURN_NONE;
	return (PyObject *)self;
}

static void drop_waiter(Awaitable *self)
{
	Waiter *waiter = self->waiter;
	if (waiter != NULL) {
		self->waiter = NULL;
		waiter->entered = true;
		waiter_detach(waiter);
		Py_DECREF((PyObject *)waiter);
	}
}

// finish ends the awaitable and returns its connection, which the caller owns.
static Connection *finish(Awaitable *self)
{
	Connection *conn = self->conn;
	self->phase = PHASE_FINISHED;
	if (self->turn != TURN_NONE) {
		leave_turn(self);
	}
	if (self->waiter != NULL) {
		drop_waiter(self);
	}
	if (conn->receiver == self) {
		conn->receiver = NULL;
	}
	if (self->payload != NULL) {
		Py_CLEAR(self->payload);
	}
	self->conn = NULL;
	Loop *loop = conn->loop;
	if (loop->n_awaitables < SPARES) {
		loop->awaitables[loop->n_awaitables++] = (Awaitable *)Py_NewRef((PyObject *)self);
	}
	return conn;
}

static PySendResult finish_with(Awaitable *self, PyObject *value, PyObject **result)
{
	Py_DECREF((PyObject *)finish(self));
	*result = value;
	return value != NULL ? PYGEN_RETURN : PYGEN_ERROR;
}

static PySendResult finish_closed(Awaitable *self, PyObject **result)
{
	bool ends_loop = self->op == OP_NEXT;
	Connection *conn = finish(self);
	raise_closed(conn);
	if (ends_loop && conn->state->closed_ok != NULL &&
	    PyErr_ExceptionMatches(conn->state->closed_ok)) {
		PyErr_Clear();
		PyErr_SetNone(PyExc_StopAsyncIteration);
	}
	Py_DECREF((PyObject *)conn);
	*result = NULL;
	return PYGEN_ERROR;
}

static PySendResult finish_concurrency(Awaitable *self, PyObject **result)
{
	Connection *conn = finish(self);
	raise_concurrency(conn);
	Py_DECREF((PyObject *)conn);
	*result = NULL;
	return PYGEN_ERROR;
}

static PySendResult finish_code(Awaitable *self, int32_t code, PyObject **result)
{
	Connection *conn = finish(self);
	raise_conn_error(conn, code);
	Py_DECREF((PyObject *)conn);
	*result = NULL;
	return PYGEN_ERROR;
}

static PySendResult suspend(Awaitable *self, Waiter *waiter, PyObject **result)
{
	self->phase = PHASE_SUSPENDED;
	self->waiter = waiter;
	self->conn->loop->quick = 0;
	*result = Py_NewRef((PyObject *)waiter);
	return PYGEN_NEXT;
}

// give_turn suspends with a waiter that is done, so that it resumes in the next
// turn of the event loop.
static PySendResult give_turn(Awaitable *self, PyObject **result)
{
	Waiter *waiter = waiter_new(self->conn);
	if (waiter == NULL) {
		return finish_with(self, NULL, result);
	}
	waiter->status = WAITER_DONE;
	if (receives(self)) {
		self->conn->receiver = self;
	}
	return suspend(self, waiter, result);
}

static PySendResult suspend_sender(Awaitable *self, uint64_t epoch, PyObject **result)
{
	Waiter *waiter = waiter_new(self->conn);
	if (waiter == NULL) {
		return finish_with(self, NULL, result);
	}
	waiter_attach_sender(waiter, epoch);
	return suspend(self, waiter, result);
}

// is_due tells whether the loop should get a turn; large messages count for more.
static bool is_due(Connection *conn, size_t len)
{
	Loop *loop = conn->loop;
	loop->quick += 1 + (uint32_t)(len >> 14);
	if (loop->quick <= QUICK_COMPLETIONS) {
		return false;
	}
	if (loop->started != 0 && now_ns() - loop->started < QUICK_NS) {
		loop->quick = 0;
		return false;
	}
	return true;
}

// next returns what a receiver is to have. NULL without an exception: nothing yet.
static PyObject *next(Awaitable *self)
{
	Connection *conn = self->conn;
	switch (self->op) {
	case OP_MANY:
		return messages_next(conn, self->most);
	case OP_PART:
		return conn->count > 0 || conn->parts != NULL ? part_next(conn) : NULL;
	default:
		return message_decode(message_next(conn), self->decode);
	}
}

static PySendResult receive(Awaitable *self, bool first, PyObject **result)
{
	Connection *conn = self->conn;
	if (conn->receiver != NULL && conn->receiver != self) {
		return finish_concurrency(self, result);
	}
	if (conn->streaming && self->op != OP_PART &&
	    (conn->count > 0 || conn->status != AIOWS_CLOSED)) {
		return finish_concurrency(self, result);
	}
	if (conn->count > 0 || (conn->parts != NULL && self->op == OP_PART)) {
		if (first && is_due(conn, 0)) {
			return give_turn(self, result);
		}
		PyObject *value = next(self);
		if (value != NULL || PyErr_Occurred()) {
			return finish_with(self, value, result);
		}
	}
	if (conn->status == AIOWS_CLOSED) {
		return finish_closed(self, result);
	}
	if (conn->on_message != NULL) {
		PyErr_SetString(PyExc_RuntimeError,
		                "messages of this connection go to its on_message");
		return finish_with(self, NULL, result);
	}
	Waiter *waiter = waiter_new(conn);
	if (waiter == NULL) {
		return finish_with(self, NULL, result);
	}
	waiter_attach_receiver(waiter, self);
	return suspend(self, waiter, result);
}

static PySendResult await_turn(Awaitable *self, PyObject **result)
{
	self->turn = TURN_AWAITED;
	self->conn->turns++;
	return suspend_sender(self, EPOCH_TURN, result);
}

// turn_first takes the turn for whoever awaits, who gives it back by end_turn.
static PySendResult turn_first(Awaitable *self, PyObject **result)
{
	Connection *conn = self->conn;
	if (conn->status == AIOWS_CLOSED) {
		return finish_closed(self, result);
	}
	if (conn->turns > 0) {
		return await_turn(self, result);
	}
	conn->turns++;
	return finish_with(self, Py_NewRef(Py_None), result);
}

static PySendResult send_first(Awaitable *self, PyObject **result)
{
	Connection *conn = self->conn;
	if (conn->status == AIOWS_CLOSED) {
		return finish_closed(self, result);
	}
	if (conn->turns > 0 && self->turn != TURN_TAKEN) {
		return await_turn(self, result);
	}
	uint64_t epoch = conn->writable_epoch;
	size_t len;
	int code = send_message(conn, self->payload, self->kind, AIOWS_FORCE, &len);
	if (self->turn != TURN_NONE) {
		leave_turn(self);
	}
	if (code == AIOWS_OK) {
		if (is_due(conn, len)) {
			Py_CLEAR(self->payload);
			return give_turn(self, result);
		}
		return finish_with(self, Py_NewRef(Py_None), result);
	}
	if (code == AIOWS_PENDING) {
		Py_CLEAR(self->payload);
		// Had WRITABLE been dispatched while the GIL was released, nothing would
		// wake the waiter.
		if (conn->writable_epoch != epoch || conn->status == AIOWS_CLOSED) {
			return give_turn(self, result);
		}
		conn->writable_owed = true;
		return suspend_sender(self, epoch, result);
	}
	if (code == AIOWS_ERR_CLOSED) {
		if (conn->status == AIOWS_CLOSED) {
			return finish_closed(self, result);
		}
		// Closing: how it ended is known with CLOSED only.
		Py_CLEAR(self->payload);
		return suspend_sender(self, EPOCH_CLOSED, result);
	}
	if (code == SEND_RAISED) {
		return finish_with(self, NULL, result);
	}
	return finish_code(self, code, result);
}

static PySendResult drain_first(Awaitable *self, PyObject **result)
{
	Connection *conn = self->conn;
	if (conn->status == AIOWS_CLOSED) {
		return finish_closed(self, result);
	}
	if (conn->writable_owed) {
		return suspend_sender(self, conn->writable_epoch, result);
	}
	if (is_due(conn, 0)) {
		return give_turn(self, result);
	}
	return finish_with(self, Py_NewRef(Py_None), result);
}

static PySendResult resume(Awaitable *self, PyObject **result)
{
	Waiter *waiter = self->waiter;
	if (waiter->status == WAITER_PENDING) {
		// A second task awaits it; the first one goes on waiting.
		PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
		*result = NULL;
		return PYGEN_ERROR;
	}
	if (waiter->status == WAITER_CANCELLED) {
		State *state = self->conn->state;
		PyErr_SetNone(state->cancelled_error);
		return finish_with(self, NULL, result);
	}
	self->waiter = NULL;
	waiter->entered = true;
	waiter_recycle(waiter);
	if (receives(self)) {
		return receive(self, false, result);
	}
	if (self->conn->status == AIOWS_CLOSED) {
		return finish_closed(self, result);
	}
	if (self->turn == TURN_AWAITED && self->op == OP_SEND) {
		self->turn = TURN_TAKEN;
		self->phase = PHASE_RUNNING;
		return send_first(self, result);
	}
	self->turn = TURN_NONE; // OP_TURN: it is the caller's
	return finish_with(self, Py_NewRef(Py_None), result);
}

static PySendResult awaitable_am_send(PyObject *op, PyObject *value, PyObject **result)
{
	Awaitable *self = (Awaitable *)op;
	if (self->phase == PHASE_SUSPENDED) {
		return resume(self, result);
	}
	*result = NULL;
	if (self->phase == PHASE_FINISHED) {
		PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
		return PYGEN_ERROR;
	}
	if (self->phase == PHASE_RUNNING) { // a large send has released the GIL
		PyErr_SetString(PyExc_ValueError, "coroutine already executing");
		return PYGEN_ERROR;
	}
	if (value != Py_None) {
		PyErr_SetString(PyExc_TypeError,
		                "can't send non-None value to a just-started coroutine");
		return PYGEN_ERROR;
	}
	self->phase = PHASE_RUNNING;
	if (library_forked) { // nothing would wake a receiver
		return finish_code(self, AIOWS_ERR_FORKED, result);
	}
	if (receives(self)) {
		return receive(self, true, result);
	}
	return self->op == OP_SEND   ? send_first(self, result)
	       : self->op == OP_TURN ? turn_first(self, result)
	                             : drain_first(self, result);
}

// --- the methods of a coroutine

// step turns a PySendResult into what send and __next__ return.
static PyObject *step(PyObject *op, PyObject *value, bool is_next)
{
	PyObject *result;
	switch (awaitable_am_send(op, value, &result)) {
	case PYGEN_NEXT:
		return result;
	case PYGEN_ERROR:
		return NULL;
	case PYGEN_RETURN:
		break;
	}
	if (result == Py_None) {
		if (!is_next) { // __next__ says the same by returning nothing
			PyErr_SetNone(PyExc_StopIteration);
		}
	} else if (PyTuple_Check(result)) { // which would be taken for several arguments
		raise_object(call_one(PyExc_StopIteration, result));
	} else {
		PyErr_SetObject(PyExc_StopIteration, result);
	}
	Py_DECREF(result);
	return NULL;
}

static PyObject *awaitable_send(PyObject *op, PyObject *value)
{
	return step(op, value, false);
}

static PyObject *awaitable_next(PyObject *op)
{
	return step(op, Py_None, true);
}

static PyObject *awaitable_throw(PyObject *op, PyObject *args)
{
	Awaitable *self = (Awaitable *)op;
	PyObject *type, *value = Py_None, *traceback = Py_None;
	if (!PyArg_ParseTuple(args, "O|OO:throw", &type, &value, &traceback)) {
		return NULL;
	}
	if (traceback != Py_None && !PyObject_TypeCheck(traceback, &PyTraceBack_Type)) {
		PyErr_SetString(PyExc_TypeError,
		                "throw() third argument must be a traceback object");
		return NULL;
	}
	PyObject *exception;
	if (PyExceptionInstance_Check(type)) {
		if (value != Py_None) {
			PyErr_SetString(PyExc_TypeError,
			                "instance exception may not have a separate value");
			return NULL;
		}
		exception = Py_NewRef(type);
	} else if (!PyExceptionClass_Check(type)) {
		PyErr_Format(PyExc_TypeError,
		             "exceptions must be classes or instances deriving from "
		             "BaseException, not %R",
		             (PyObject *)Py_TYPE(type));
		return NULL;
	} else if (PyExceptionInstance_Check(value) &&
	           PyType_IsSubtype(Py_TYPE(value), (PyTypeObject *)type)) {
		exception = Py_NewRef(value);
	} else if (value == Py_None) {
		exception = PyObject_CallNoArgs(type);
	} else if (PyTuple_Check(value)) {
		exception = PyObject_CallObject(type, value);
	} else {
		exception = call_one(type, value);
	}
	if (exception != NULL && traceback != Py_None &&
	    PyException_SetTraceback(exception, traceback) < 0) {
		Py_CLEAR(exception);
	}
	if (exception == NULL) {
		return NULL;
	}
	if (self->phase == PHASE_FINISHED || self->phase == PHASE_RUNNING) {
		Py_DECREF(exception);
		if (self->phase == PHASE_FINISHED) {
			PyErr_SetString(PyExc_RuntimeError,
			                "cannot reuse already awaited coroutine");
		} else {
			PyErr_SetString(PyExc_ValueError, "coroutine already executing");
		}
		return NULL;
	}
	Py_DECREF((PyObject *)finish(self));
	raise_object(exception);
	return NULL;
}

static PyObject *awaitable_close(PyObject *op, PyObject *unused UNUSED)
{
	Awaitable *self = (Awaitable *)op;
	if (self->phase == PHASE_RUNNING) {
		PyErr_SetString(PyExc_ValueError, "coroutine already executing");
		return NULL;
	}
	if (self->phase != PHASE_FINISHED) {
		Py_DECREF((PyObject *)finish(self));
	}
	Py_RETURN_NONE;
}

static PyObject *awaitable_get_name(PyObject *op, void *closure UNUSED)
{
	return PyUnicode_FromString(op_names[((Awaitable *)op)->op]);
}

static PyObject *awaitable_get_qualname(PyObject *op, void *closure UNUSED)
{
	return PyUnicode_FromFormat("Connection.%s", op_names[((Awaitable *)op)->op]);
}

static PyObject *awaitable_get_running(PyObject *op, void *closure UNUSED)
{
	return PyBool_FromLong(((Awaitable *)op)->phase == PHASE_RUNNING);
}

static PyObject *awaitable_repr(PyObject *op)
{
	return PyUnicode_FromFormat("<coroutine Connection.%s at %p>",
	                            op_names[((Awaitable *)op)->op], op);
}

static int awaitable_traverse(PyObject *op, visitproc visit, void *arg)
{
	Awaitable *self = (Awaitable *)op;
	Py_VISIT(Py_TYPE(op));
	Py_VISIT((PyObject *)self->conn);
	Py_VISIT(self->payload);
	Py_VISIT((PyObject *)self->waiter);
	return 0;
}

// The connection stays: no cycle needs it broken here, and the steps rely on it.
static int awaitable_clear(PyObject *op)
{
	Py_CLEAR(((Awaitable *)op)->payload);
	return 0;
}

static void warn_never_awaited(Awaitable *self)
{
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine 'Connection.%s' was never awaited",
	                     op_names[self->op]) < 0) {
		PyErr_WriteUnraisable((PyObject *)Py_TYPE((PyObject *)self));
	}
	PyErr_Restore(type, value, traceback);
}

static void awaitable_dealloc(PyObject *op)
{
	Awaitable *self = (Awaitable *)op;
	PyTypeObject *type = Py_TYPE(op);
	PyObject_GC_UnTrack(op);
	if (self->phase == PHASE_CREATED) {
		warn_never_awaited(self);
	}
	if (self->conn != NULL) {
		if (self->conn->receiver == self) {
			self->conn->receiver = NULL;
		}
		if (self->turn != TURN_NONE) {
			leave_turn(self);
		}
		drop_waiter(self);
		Py_CLEAR(self->conn);
	}
	Py_CLEAR(self->payload);
	PyObject_GC_Del(op);
	Py_DECREF(type);
}

static PyMethodDef awaitable_methods[] = {
	{ "send", awaitable_send, METH_O, NULL },
	{ "throw", awaitable_throw, METH_VARARGS, NULL },
	{ "close", awaitable_close, METH_NOARGS, NULL },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef awaitable_getset[] = {
	{ "__name__", awaitable_get_name, NULL, NULL, NULL },
	{ "__qualname__", awaitable_get_qualname, NULL, NULL, NULL },
	{ "cr_running", awaitable_get_running, NULL, NULL, NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot awaitable_slots[] = {
	{ Py_am_await, PyObject_SelfIter },
	{ Py_am_send, awaitable_am_send },
	{ Py_tp_iter, PyObject_SelfIter },
	{ Py_tp_iternext, awaitable_next },
	{ Py_tp_methods, awaitable_methods },
	{ Py_tp_getset, awaitable_getset },
	{ Py_tp_repr, awaitable_repr },
	{ Py_tp_traverse, awaitable_traverse },
	{ Py_tp_clear, awaitable_clear },
	{ Py_tp_dealloc, awaitable_dealloc },
	{ 0, NULL },
};

PyType_Spec awaitable_spec = {
	.name = "aiows._core.Awaitable",
	.basicsize = sizeof(Awaitable),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
	         Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = awaitable_slots,
};
