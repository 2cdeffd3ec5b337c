#include "core.h"

int loop_check(Loop *self)
{
	if (!self->closed) {
		return 0;
	}
	if (self->gave_up != 0) {
		raise_error(self->state, self->gave_up, NULL);
	} else {
		PyErr_SetString(PyExc_RuntimeError, "loop is closed");
	}
	return -1;
}

PyObject *loop_asyncio(Loop *self)
{
	PyObject *loop =
		self->asyncio_loop != NULL ? PyWeakref_GetObject(self->asyncio_loop) : NULL;
	if (loop == NULL || loop == Py_None) {
		if (!PyErr_Occurred()) {
			PyErr_SetString(PyExc_RuntimeError, "the event loop is gone");
		}
		return NULL;
	}
	return Py_NewRef(loop);
}

int loop_call_soon(Loop *self, PyObject *callback, PyObject *argument, PyObject *context)
{
	PyObject *loop = loop_asyncio(self);
	if (loop == NULL) {
		return -1;
	}
	PyObject *function = PyObject_GetAttr(loop, self->state->s_call_soon);
	PyObject *args = PyTuple_Pack(2, callback, argument);
	PyObject *kwargs = PyDict_New();
	PyObject *handle = NULL;
	if (function != NULL && args != NULL && kwargs != NULL &&
	    PyDict_SetItem(kwargs, self->state->s_context, context) == 0) {
		handle = PyObject_Call(function, args, kwargs);
	}
	Py_XDECREF(kwargs);
	Py_XDECREF(args);
	Py_XDECREF(function);
	Py_DECREF(loop);
	Py_XDECREF(handle);
	return handle != NULL ? 0 : -1;
}

void loop_wake(Loop *self)
{
	if (self->handle != NULL && !self->closed) {
		lib.wake(self->handle);
	}
}

// --- registration

// loop_add registers conn: the loop owns it until its last event was dispatched.
void loop_add(Loop *self, Connection *conn)
{
	conn->previous = NULL;
	conn->next = self->connections;
	if (conn->next != NULL) {
		conn->next->previous = conn;
	}
	self->connections = (Connection *)Py_NewRef((PyObject *)conn);
	conn->registered = true;
	self->n_registered++;
}

void loop_forget(Loop *self, Connection *conn)
{
	if (!conn->registered) {
		return;
	}
	conn->registered = false;
	self->n_registered--;
	if (self->n_registered == 0 && self->n_listening == 0) {
		self->idle_due = true;
	}
	Py_DECREF((PyObject *)conn);
}

// loop_unlink takes conn, whose handle ends, out of the list.
void loop_unlink(Loop *self, Connection *conn)
{
	if (conn->previous != NULL) {
		conn->previous->next = conn->next;
	} else if (self->connections == conn) {
		self->connections = conn->next;
	}
	if (conn->next != NULL) {
		conn->next->previous = conn->previous;
	}
	conn->previous = conn->next = NULL;
}

static Connection *fresh(Loop *self, PyObject *object)
{
	Connection *conn = (Connection *)object;
	if (conn->loop != self || conn->handle != NULL || conn->registered ||
	    conn->status != AIOWS_CONNECTING) {
		PyErr_SetString(PyExc_RuntimeError, "expected a fresh Connection of this loop");
		return NULL;
	}
	return conn;
}

// started ends what starts conn with what the library answered.
static PyObject *started(Loop *self, Connection *conn, aiows_conn *handle, int code,
                         const aiows_error *error)
{
	if (code < 0) {
		if (code != SEND_RAISED) {
			raise_error(self->state, code, error);
		}
		loop_unlink(self, conn);
		loop_forget(self, conn);
		loop_wake(self); // for on_idle
		return NULL;
	}
	if (!self->closed) {
		conn->handle = handle;
	}
	Py_RETURN_NONE;
}

static PyObject *start(Loop *self, PyObject *args, PyObject *kwargs,
                       __typeof__(lib.connect) function)
{
	PyObject *object, *uri;
	if (loop_check(self) < 0 ||
	    !PyArg_ParseTuple(args, "O!O", self->state->connection_type, &object, &uri)) {
		return NULL;
	}
	Connection *conn = fresh(self, object);
	if (conn == NULL) {
		return NULL;
	}
	aiows_error error = { .size = sizeof error };
	aiows_conn *handle = NULL;
	loop_add(self, conn);
	int code = start_connection(function, self->state, self->handle, uri, kwargs,
	                            (uint64_t)(uintptr_t)conn, &handle, &error);
	return started(self, conn, handle, code, &error);
}

static PyObject *loop_connect(PyObject *op, PyObject *args, PyObject *kwargs)
{
	return start((Loop *)op, args, kwargs, lib.connect);
}

static PyObject *loop_attach(PyObject *op, PyObject *args, PyObject *kwargs)
{
	return start((Loop *)op, args, kwargs, lib.attach);
}

static PyObject *loop_attach_redirect(PyObject *op, PyObject *args)
{
	Loop *self = (Loop *)op;
	PyObject *object, *from_object;
	if (loop_check(self) < 0 ||
	    !PyArg_ParseTuple(args, "O!O!:attach_redirect", self->state->connection_type, &object,
	                      self->state->connection_type, &from_object)) {
		return NULL;
	}
	Connection *conn = fresh(self, object);
	if (conn == NULL) {
		return NULL;
	}
	aiows_error error = { .size = sizeof error };
	aiows_conn *handle = NULL;
	loop_add(self, conn);
	int32_t code = lib.attach_redirect(((Connection *)from_object)->handle,
	                                   (uint64_t)(uintptr_t)conn, &handle, &error);
	return started(self, conn, handle, code, &error);
}

// --- closing

// is_dying tells whether conn is inside its dealloc, which may run anything while
// it drops the attributes of a subclass; no reference may be taken any more.
static bool is_dying(Connection *conn)
{
	return Py_REFCNT((PyObject *)conn) == 0;
}

// loop_drop lets go of every connection and listener. With wake it has the tasks
// that wait scheduled and remembers what describes the connections.
void loop_drop(Loop *self, bool wake)
{
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	if (wake) {
		PyObject *loop = loop_asyncio(self);
		PyObject *closed =
			loop != NULL
		                ? PyObject_CallMethodObjArgs(loop, self->state->s_is_closed, NULL)
		                : NULL;
		wake = closed != NULL && PyObject_IsTrue(closed) == 0;
		Py_XDECREF(closed);
		Py_XDECREF(loop);
		PyErr_Clear();
	}
	while (self->connections != NULL) {
		Connection *conn = self->connections;
		loop_unlink(self, conn);
		if (is_dying(conn)) {
			conn->handle = NULL; // as below
			continue;
		}
		Py_INCREF((PyObject *)conn);
		if (wake) {
			conn_remember(conn);
		}
		conn->handle = NULL; // aiows_loop_free ends it
		conn->status = AIOWS_CLOSED;
		conn->writable_owed = false;
		if (wake) {
			if (wake_receiver(conn, false) < 0) {
				PyErr_WriteUnraisable((PyObject *)conn);
			}
			if (wake_senders(conn, EPOCH_ALL, false) < 0) {
				PyErr_WriteUnraisable((PyObject *)conn);
			}
		} else {
			if (conn->waiter != NULL) {
				waiter_detach(conn->waiter);
			}
			while (conn->senders != NULL) {
				waiter_detach(conn->senders);
			}
		}
		loop_forget(self, conn);
		Py_DECREF((PyObject *)conn);
	}
	while (self->listeners != NULL) {
		Listener *listener = self->listeners;
		self->listeners = listener->next;
		listener->next = NULL;
		listener->handle = NULL;
		Py_DECREF((PyObject *)listener);
	}
	self->n_listening = 0;
	self->idle_due = false;
	PyErr_Restore(type, value, traceback);
}

// loop_finish_close ends the handle; the newest batch must be done with.
void loop_finish_close(Loop *self)
{
	aiows_loop *handle = self->handle;
	if (handle != NULL) {
		self->handle = NULL;
		Py_BEGIN_ALLOW_THREADS lib.loop_free(handle);
		Py_END_ALLOW_THREADS
	}
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
                        "Abort the connections, close the listeners, end the loop. Idempotent.\n\n"
                        "Tasks that wait are woken while the event loop is open; no hook is\n"
                        "called. Inside ready() the descriptor lives until that returns.");

static PyObject *loop_close(PyObject *op, PyObject *unused UNUSED)
{
	Loop *self = (Loop *)op;
	if (!self->closed) {
		self->closed = true;
		loop_drop(self, true);
		if (!self->dispatching) {
			loop_finish_close(self);
		}
	}
	Py_RETURN_NONE;
}

// --- the rest of the type

PyDoc_STRVAR(fileno_doc, "fileno($self, /)\n--\n\n"
                         "The descriptor to watch for readability, with ready as the callback.");

static PyObject *loop_fileno(PyObject *op, PyObject *unused UNUSED)
{
	Loop *self = (Loop *)op;
	if (loop_check(self) < 0) {
		return NULL;
	}
	int32_t fd = lib.loop_fd(self->handle);
	if (fd < 0) {
		raise_error(self->state, fd, NULL);
		return NULL;
	}
	return PyLong_FromLong(fd);
}

PyDoc_STRVAR(ready_doc,
             "ready($self, /)\n--\n\n"
             "The reader callback: poll, dispatch, and step the tasks that wait.\n\n"
             "Bounded in polls and time; what is left comes with the next call, for which\n"
             "the descriptor stays readable. A call inside a call returns at once.");

static PyObject *ready(PyObject *op, PyObject *unused)
{
	return loop_ready((Loop *)op, unused);
}

PyDoc_STRVAR(connect_doc,
             "connect($self, conn, uri, /, *, port=..., host=..., tls=..., server_name=...,\n"
             "        open_timeout_ms=..., origin=..., user_agent=..., subprotocols=...,\n"
             "        headers=..., raw_lines=..., fd=..., family=..., unix_path=...,\n"
             "        local_address=..., local_port=..., interleave=...,\n"
             "        happy_eyeballs_delay_ms=..., tls_handshake_timeout_ms=...,\n"
             "        tls_shutdown_timeout_ms=..., max_redirects=..., proxy=...,\n"
             "        proxy_tls=..., proxy_server_name=..., proxy_environment=...,\n"
             "        proxy_tls_handshake_timeout_ms=..., proxy_tls_shutdown_timeout_ms=...,\n"
             "        auto_pong=..., auto_close=..., compression=..., deflate=..., "
             "close_timeout_ms=...,\n"
             "        ping_interval_ms=..., ping_timeout_ms=..., max_message_size=...,\n"
             "        write_high=..., write_low=..., max_fragments=...,\n"
             "        log_frames=..., max_fragment_size=..., stream=...)\n--\n\n"
             "Start to open conn; its _on_open or _on_failed follows.\n\n"
             "The options are those of aiows_connect_options and aiows_conn_options; None\n"
             "leaves a default. Raises Error, and then no hook is called.");

PyDoc_STRVAR(attach_doc,
             "attach($self, conn, uri, /, **options)\n--\n\n"
             "Start to open conn without a socket: _feed and _drain carry its bytes.\n\n"
             "Its _on_output follows at once, later _on_open or _on_failed. Options are those\n"
             "of connect that do not say where and how to connect. With dial=True they may: the\n"
             "library connects, _on_socket follows, by an https proxy _on_tunnel later, and all\n"
             "but contexts and names of TLS holds.");

PyDoc_STRVAR(attach_redirect_doc,
             "attach_redirect($self, conn, redirected, /)\n--\n\n"
             "Start to open conn where redirected, which failed, was sent, as attach does.\n\n"
             "Raises Error(STATE) where it was sent nowhere.");

PyDoc_STRVAR(listen_doc,
             "listen($self, host, port, on_request, /, *, backlog=..., reuse_port=...,\n"
             "       max_handshakes=..., tls=..., open_timeout_ms=..., server_name=..., fd=...,\n"
             "       any_request=...)\n--\n\n"
             "Listen; on_request(Request) is called for each client with a valid request.\n\n"
             "The options are those of aiows_listen_options; None leaves a default. With fd\n"
             "host is \"\" and port 0.");

static PyObject *loop_listen(PyObject *op, PyObject *args, PyObject *kwargs)
{
	return loop_check((Loop *)op) < 0 ? NULL : listener_new((Loop *)op, args, kwargs);
}

PyDoc_STRVAR(stats_doc, "stats($self, /)\n--\n\nEvery field of aiows_loop_stats_t by its name.");

static PyObject *stats(PyObject *op, PyObject *unused UNUSED)
{
	return loop_check((Loop *)op) < 0 ? NULL : loop_stats((Loop *)op);
}

static PyObject *get_connections(PyObject *op, void *closure UNUSED)
{
	return PyLong_FromSsize_t(((Loop *)op)->n_registered);
}

static PyObject *get_on_idle(PyObject *op, void *closure UNUSED)
{
	PyObject *on_idle = ((Loop *)op)->on_idle;
	return Py_NewRef(on_idle != NULL ? on_idle : Py_None);
}

static int set_on_idle(PyObject *op, PyObject *value, void *closure UNUSED)
{
	if (value != NULL && value != Py_None && !PyCallable_Check(value)) {
		PyErr_Format(PyExc_TypeError, "on_idle %R is not callable", value);
		return -1;
	}
	replace(&((Loop *)op)->on_idle,
	        value != NULL && value != Py_None ? Py_NewRef(value) : NULL);
	return 0;
}

static PyObject *loop_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *keywords[] = { "loop", NULL };
	PyObject *asyncio_loop;
	State *state = PyType_GetModuleState(type);
	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Loop", keywords, &asyncio_loop) ||
	    import_asyncio(state) < 0) {
		return NULL;
	}
	if (!library_loaded()) {
		PyErr_SetString(PyExc_RuntimeError, "the library is not loaded: call load first");
		return NULL;
	}
	Loop *self = (Loop *)PyType_GenericAlloc(type, 0);
	if (self == NULL) {
		return NULL;
	}
	self->state = state;
	self->closed = true;
	self->asyncio_loop = PyWeakref_NewRef(asyncio_loop, NULL);
	self->events = PyMem_Calloc(EVENTS_PER_POLL, sizeof *self->events);
	if (self->asyncio_loop == NULL || self->events == NULL) {
		if (!PyErr_Occurred()) {
			PyErr_NoMemory();
		}
		Py_DECREF((PyObject *)self);
		return NULL;
	}
	aiows_error error = { .size = sizeof error };
	aiows_loop *handle;
	Py_BEGIN_ALLOW_THREADS handle = lib.loop_new(NULL, &error);
	Py_END_ALLOW_THREADS if (handle == NULL)
	{
		raise_error(state, error.code, &error);
		Py_DECREF((PyObject *)self);
		return NULL;
	}
	self->handle = handle;
	self->closed = false;
	return (PyObject *)self;
}

static int loop_traverse(PyObject *op, visitproc visit, void *arg)
{
	Loop *self = (Loop *)op;
	Py_VISIT(Py_TYPE(op));
	Py_VISIT(self->asyncio_loop);
	Py_VISIT(self->on_idle);
	for (Connection *conn = self->connections; conn != NULL; conn = conn->next) {
		if (conn->registered) {
			Py_VISIT((PyObject *)conn);
		}
	}
	for (Listener *listener = self->listeners; listener != NULL; listener = listener->next) {
		Py_VISIT((PyObject *)listener);
	}
	for (int i = 0; i < self->n_awaitables; i++) {
		Py_VISIT((PyObject *)self->awaitables[i]);
	}
	for (int i = 0; i < self->n_waiters; i++) {
		Py_VISIT((PyObject *)self->waiters[i]);
	}
	return 0;
}

static int loop_clear(PyObject *op)
{
	Loop *self = (Loop *)op;
	self->closed = true;
	loop_drop(self, false);
	aiows_loop *handle = self->handle;
	self->handle = NULL;
	if (handle != NULL && !is_finalizing()) {
		lib.loop_free(handle); // inside a collection the GIL stays
	}
	while (self->n_awaitables > 0) {
		Py_DECREF((PyObject *)self->awaitables[--self->n_awaitables]);
	}
	while (self->n_waiters > 0) {
		Py_DECREF((PyObject *)self->waiters[--self->n_waiters]);
	}
	Py_CLEAR(self->on_idle);
	Py_CLEAR(self->asyncio_loop);
	return 0;
}

static void loop_dealloc(PyObject *op)
{
	Loop *self = (Loop *)op;
	PyTypeObject *type = Py_TYPE(op);
	PyObject_GC_UnTrack(op);
	if (self->weakrefs != NULL) {
		PyObject_ClearWeakRefs(op);
	}
	loop_clear(op);
	PyMem_Free(self->events);
	PyObject_GC_Del(op);
	Py_DECREF(type);
}

static PyMethodDef loop_methods[] = {
	{ "fileno", loop_fileno, METH_NOARGS, fileno_doc },
	{ "ready", ready, METH_NOARGS, ready_doc },
	{ "connect", (PyCFunction)(void (*)(void))loop_connect, METH_VARARGS | METH_KEYWORDS,
	  connect_doc },
	{ "attach", (PyCFunction)(void (*)(void))loop_attach, METH_VARARGS | METH_KEYWORDS,
	  attach_doc },
	{ "attach_redirect", loop_attach_redirect, METH_VARARGS, attach_redirect_doc },
	{ "listen", (PyCFunction)(void (*)(void))loop_listen, METH_VARARGS | METH_KEYWORDS,
	  listen_doc },
	{ "stats", stats, METH_NOARGS, stats_doc },
	{ "close", loop_close, METH_NOARGS, close_doc },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef loop_getset[] = {
	{ "connections", get_connections, NULL, "Connections whose last event did not come.",
	  NULL },
	{ "on_idle", get_on_idle, set_on_idle,
	  "Called when no connection and no listener is left; it may close the loop.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyMemberDef loop_members[] = {
	{ "__weaklistoffset__", T_PYSSIZET, offsetof(Loop, weakrefs), READONLY, NULL },
	{ NULL, 0, 0, 0, NULL },
};

PyDoc_STRVAR(loop_doc, "Loop(loop)\n--\n\n"
                       "The connections of one asyncio event loop, behind one descriptor.\n\n"
                       "Watch fileno() with ready as the callback, in an empty Context. The\n"
                       "event loop is referred to weakly.");

static PyType_Slot loop_slots[] = {
	{ Py_tp_doc, (void *)loop_doc },
	{ Py_tp_new, loop_new },
	{ Py_tp_methods, loop_methods },
	{ Py_tp_getset, loop_getset },
	{ Py_tp_members, loop_members },
	{ Py_tp_traverse, loop_traverse },
	{ Py_tp_clear, loop_clear },
	{ Py_tp_dealloc, loop_dealloc },
	{ 0, NULL },
};

PyType_Spec loop_spec = {
	.name = "aiows._core.Loop",
	.basicsize = sizeof(Loop),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = loop_slots,
};
