#include "blocking.h"

#include <string.h>

bool blocking_made(Blocking *self)
{
	if (self->state == NULL) {
		PyErr_SetString(PyExc_RuntimeError, "BlockingConnection.__init__() was not called");
		return false;
	}
	return true;
}

bool blocking_usable(Blocking *self)
{
	if (!blocking_made(self)) {
		return false;
	}
	if (library_forked) {
		raise_error(self->state, AIOWS_ERR_FORKED, NULL);
		return false;
	}
	return true;
}

// --- receiving

PyDoc_STRVAR(recv_doc, "recv($self, /, timeout=None, decode=None)\n--\n\n"
                       "Wait for the next message: str for TEXT, bytes for BINARY.\n\n"
                       "timeout is in seconds, None for no limit; after it TimeoutError is\n"
                       "raised, and nothing is lost. decode=True decodes, decode=False does\n"
                       "not, whatever came. Raises _closed_exception() once closed and\n"
                       "empty, _concurrency_error() while another thread receives.");

PyDoc_STRVAR(take_doc, "_take($self, decode=None, /)\n--\n\n"
                       "A message that has been read already, None without one.");

PyDoc_STRVAR(recv_part_doc, "_recv_part($self, /)\n--\n\n"
                            "Wait for the next part of a message: (data, fin, text).");

PyDoc_STRVAR(stream_doc, "_stream($self, /)\n--\n\nHave messages come in parts from now on.");

// --- sending

PyDoc_STRVAR(send_doc, "send($self, /, message, text=None)\n--\n\n"
                       "Send a message: str as TEXT, a bytes-like object as BINARY; text\n"
                       "overrides; anything else goes to _send_parts(message, text). Any\n"
                       "thread may call. It waits while more than write_high bytes are to be\n"
                       "sent.");

PyDoc_STRVAR(send_fragment_doc, "_send_fragment($self, kind, fin, data, /)\n--\n\n"
                                "Send one frame of a message; waits as send does.");

PyDoc_STRVAR(ping_doc, "_ping($self, data, /)\n--\n\nSend a Ping of at most 125 bytes.");

PyDoc_STRVAR(pong_doc, "_pong($self, data, /)\n--\n\nSend a Pong of at most 125 bytes.");

PyDoc_STRVAR(close_doc, "_close($self, code, reason, /)\n--\n\n"
                        "Start the close handshake; nothing once closed.");

PyDoc_STRVAR(abort_doc, "_abort($self, /)\n--\n\n"
                        "End the connection without a close handshake; nothing once closed, or\n"
                        "in a forked child, whose it is not.");

// --- waiting

PyDoc_STRVAR(turn_doc, "_turn($self, timeout=None, /)\n--\n\n"
                       "Wait for something to happen, in whichever thread, and have on_message\n"
                       "called. False when it did not within timeout seconds.");

PyDoc_STRVAR(await_end_doc,
             "_await_end($self, timeout, others, /)\n--\n\n"
             "Wait for the end, having on_message called until nothing is left for\n"
             "it. others tells whether to wait for another thread that calls it.\n"
             "False when the end did not come within timeout seconds; with 0 or less\n"
             "on_message gets what has arrived.");

PyDoc_STRVAR(glance_doc, "_glance($self, /)\n--\n\n"
                         "Take notice of what has arrived, without waiting.");

static PyObject *blocking_glance(PyObject *op, PyObject *unused UNUSED)
{
	Blocking *self = (Blocking *)op;
	if (!blocking_made(self) || glance(self) < 0) {
		return NULL;
	}
	Py_RETURN_NONE;
}

// --- opening

PyDoc_STRVAR(open_doc, "_open($self, uri, /, **options)\n--\n\n"
                       "Open the connection and wait for it, once.\n\n"
                       "The options are those of Loop.connect. Raises Error.");

static int make_loop(Blocking *self)
{
	if (self->loop != NULL || self->status != AIOWS_CONNECTING) {
		PyErr_SetString(PyExc_RuntimeError, "expected a fresh BlockingConnection");
		return -1;
	}
	aiows_error error = { .size = sizeof error };
	aiows_loop *loop;
	Py_BEGIN_ALLOW_THREADS loop = lib.loop_new(NULL, &error);
	Py_END_ALLOW_THREADS if (loop == NULL)
	{
		raise_error(self->state, error.code, &error);
		return -1;
	}
	self->loop = loop;
	return 0;
}

// abandon gives up the loop while an exception is on its way.
static void abandon(Blocking *self)
{
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	end_loop(self);
	PyErr_Restore(type, value, traceback);
}

static int start(Blocking *self, PyObject *args, PyObject *kwargs, __typeof__(lib.connect) function)
{
	PyObject *uri;
	if (!blocking_usable(self) || !PyArg_ParseTuple(args, "O", &uri) || make_loop(self) < 0) {
		return -1;
	}
	aiows_error error = { .size = sizeof error };
	int code = start_connection(function, self->state, self->loop, uri, kwargs, 0,
	                            &self->handle, &error);
	if (code < 0) {
		if (code != SEND_RAISED) {
			raise_error(self->state, code, &error);
		}
		self->handle = NULL;
		abandon(self);
	}
	return code < 0 ? -1 : 0;
}

// raise_failed raises why an opening failed.
static int raise_failed(Blocking *self)
{
	if (self->last_error != NULL && self->last_error != Py_None) {
		raise_object(Py_NewRef(self->last_error));
	} else {
		raise_error(self->state, AIOWS_ERR_LOST, NULL);
	}
	return -1;
}

// await_step waits until the opening has come as far as reached tells, or was redirected.
// It raises why it failed.
static int await_step(Blocking *self, const bool *reached)
{
	while (!*reached && !self->redirected && self->status != AIOWS_CLOSED) {
		if (turn(self, NO_DEADLINE, true) < 0) {
			abandon(self);
			return -1;
		}
	}
	if (*reached || self->redirected) {
		return 0;
	}
	return raise_failed(self);
}

static PyObject *await_open(Blocking *self)
{
	return await_step(self, &self->opened) < 0 ? NULL : PyBool_FromLong(self->opened);
}

static PyObject *blocking_open(PyObject *op, PyObject *args, PyObject *kwargs)
{
	Blocking *self = (Blocking *)op;
	return start(self, args, kwargs, lib.connect) < 0 ? NULL : await_open(self);
}

PyDoc_STRVAR(attach_doc, "_attach($self, uri, /, **options)\n--\n\n"
                         "Start to open a connection that _carry gives a socket and TLS.\n\n"
                         "The options are those of Loop.attach. Raises Error.");

static PyObject *blocking_attach(PyObject *op, PyObject *args, PyObject *kwargs)
{
	Blocking *self = (Blocking *)op;
	if (start(self, args, kwargs, lib.attach) < 0) {
		return NULL;
	}
	self->attached = true;
	Py_RETURN_NONE;
}

PyDoc_STRVAR(carry_doc, "_carry($self, fd, tls, incoming, outgoing, /)\n--\n\n"
                        "Carry the bytes of an attached connection over a duplicate of fd, and\n"
                        "the ssl.SSLObject between the two ssl.MemoryBIO, all None for no TLS.");

PyDoc_STRVAR(carry_within_doc,
             "_carry_within($self, tls, incoming, outgoing, /)\n--\n\n"
             "Carry what goes over the TLS of _carry through another one inside of it.");

PyDoc_STRVAR(await_socket_doc,
             "_await_socket($self, /)\n--\n\n"
             "Return the socket of an attached connection that dials, once it is\n"
             "connected: a descriptor, the caller's. Raises Error.");

static PyObject *blocking_await_socket(PyObject *op, PyObject *unused UNUSED)
{
	Blocking *self = (Blocking *)op;
	if (!blocking_usable(self)) {
		return NULL;
	}
	self->redirected = false;
	if (await_step(self, &self->socket_due) < 0) {
		return NULL;
	}
	if (self->status == AIOWS_CLOSED) { // it failed in the same moment
		raise_failed(self);
		return NULL;
	}
	self->socket_due = false;
	int32_t fd = lib.take_socket(self->handle);
	if (fd < 0) {
		raise_error(self->state, fd, NULL);
		return NULL;
	}
	return PyLong_FromLong(fd);
}

PyDoc_STRVAR(await_tunnel_doc, "_await_tunnel($self, /)\n--\n\n"
                               "Wait until an https proxy leads to the server. Raises Error.");

static PyObject *blocking_await_tunnel(PyObject *op, PyObject *unused UNUSED)
{
	Blocking *self = (Blocking *)op;
	if (!blocking_usable(self) || await_step(self, &self->tunnelled) < 0) {
		return NULL;
	}
	Py_RETURN_NONE;
}

PyDoc_STRVAR(await_open_doc,
             "_await_open($self, /)\n--\n\n"
             "Wait until an attached connection is open: True. False after a\n"
             "redirect, for which it begins anew, with _await_socket: info() tells\n"
             "where. Raises Error.");

static PyObject *blocking_await_open(PyObject *op, PyObject *unused UNUSED)
{
	Blocking *self = (Blocking *)op;
	if (!blocking_usable(self)) {
		return NULL;
	}
	self->redirected = false;
	return await_open(self);
}

PyDoc_STRVAR(abandon_doc, "_abandon($self, /)\n--\n\nGive up what _attach started.");

static PyObject *blocking_abandon(PyObject *op, PyObject *unused UNUSED)
{
	Blocking *self = (Blocking *)op;
	if (blocking_made(self) && !library_forked) {
		abandon(self);
	}
	Py_RETURN_NONE;
}

// --- description

static PyObject *described(Blocking *self, PyObject *(*function)(State *state, aiows_conn *handle),
                           PyObject *remembered)
{
	if (!blocking_made(self)) {
		return NULL;
	}
	if (self->handle != NULL) {
		return function(self->state, self->handle);
	}
	if (remembered == NULL) {
		PyErr_SetString(PyExc_RuntimeError, "the connection was not started");
		return NULL;
	}
	return PyDict_Check(remembered) ? PyDict_Copy(remembered) : Py_NewRef(remembered);
}

PyDoc_STRVAR(info_doc, "info($self, /)\n--\n\nEvery field of aiows_conn_info_t by its name.");

static PyObject *blocking_info(PyObject *op, PyObject *unused UNUSED)
{
	return described((Blocking *)op, info_of, ((Blocking *)op)->last_info);
}

PyDoc_STRVAR(stats_doc, "stats_($self, /)\n--\n\nEvery field of aiows_conn_stats_t by its name.");

static PyObject *blocking_stats(PyObject *op, PyObject *unused UNUSED)
{
	return described((Blocking *)op, stats_of, ((Blocking *)op)->last_stats);
}

PyDoc_STRVAR(error_doc, "error($self, /)\n--\n\n"
                        "Why it failed or closed; None before that and after a clean end.");

static PyObject *blocking_error(PyObject *op, PyObject *unused UNUSED)
{
	Blocking *self = (Blocking *)op;
	PyObject *last = self->opened && self->closed == NULL ? NULL : self->last_error;
	return Py_NewRef(last != NULL ? last : Py_None);
}

size_t blocking_queued(Blocking *self)
{
	size_t n = self->count;
	for (size_t i = self->next_event; i < self->n_events; i++) {
		n += self->events[i].type == AIOWS_EV_MESSAGE;
	}
	return n;
}

void blocking_drop(Blocking *self)
{
	for (; self->count > 0; self->count--) {
		Py_XDECREF(self->ring[self->head].object);
		self->head = (self->head + 1) & self->ring_mask;
	}
	PyMem_Free(self->ring);
	self->ring = NULL;
}

static PyObject *get_queued(PyObject *op, void *closure UNUSED)
{
	return PyLong_FromSize_t(blocking_queued((Blocking *)op));
}

static PyObject *get_buffered(PyObject *op, void *closure UNUSED)
{
	Blocking *self = (Blocking *)op;
	return buffered_of(self->state, self->handle, carry_held(self));
}

static PyObject *get_inherited(PyObject *op, void *closure UNUSED)
{
	return PyBool_FromLong(library_forked && ((Blocking *)op)->state != NULL);
}

// --- what subclasses replace

static PyObject *hook_closed_exception(PyObject *op, PyObject *unused UNUSED)
{
	Blocking *self = (Blocking *)op;
	return blocking_made(self) ? error_new(self->state, AIOWS_ERR_CLOSED, NULL) : NULL;
}

static PyObject *hook_concurrency_error(PyObject *op UNUSED, PyObject *unused UNUSED)
{
	return PyObject_CallFunction(PyExc_RuntimeError, "s",
	                             "another thread is already waiting for a message");
}

// --- life

static int blocking_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
	static char *keywords[] = { "max_queue", "wait", "on_message", NULL };
	Blocking *self = (Blocking *)op;
	PyObject *high = NULL, *low = NULL, *wait = Py_None, *on_message = Py_None;
	State *state = state_of_base(Py_TYPE(op));
	if (state == NULL ||
	    !PyArg_ParseTupleAndKeywords(args, kwargs, "|$(OO)OO:BlockingConnection", keywords,
	                                 &high, &low, &wait, &on_message)) {
		return -1;
	}
	if (self->state != NULL) {
		PyErr_SetString(PyExc_RuntimeError,
		                "BlockingConnection.__init__() was called already");
		return -1;
	}
	if (!library_loaded()) {
		PyErr_SetString(PyExc_RuntimeError, "the library is not loaded: call load first");
		return -1;
	}
	self->carrier.fd = -1;
	self->high = 16;
	self->low = 4;
	if (high != NULL && queue_marks(high, low, &self->high, &self->low) < 0) {
		return -1;
	}
	self->events = PyMem_Calloc(BATCH, sizeof *self->events);
	if (self->events == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	self->wait = wait != Py_None ? Py_NewRef(wait) : NULL;
	self->on_message = on_message != Py_None ? Py_NewRef(on_message) : NULL;
	self->state = state;
	return 0;
}

static int blocking_traverse(PyObject *op, visitproc visit, void *arg)
{
	Blocking *self = (Blocking *)op;
	Py_VISIT(Py_TYPE(op));
	Py_VISIT(self->wait);
	Py_VISIT(self->on_message);
	Py_VISIT(self->followers);
	Py_VISIT(self->parts);
	Py_VISIT(self->closed);
	Py_VISIT(self->last_info);
	Py_VISIT(self->last_stats);
	Py_VISIT(self->last_error);
	if (carry_traverse(self, visit, arg) != 0) {
		return -1;
	}
	return 0; // queued messages are str and bytes: no cycle goes through them
}

static int blocking_clear(PyObject *op)
{
	Blocking *self = (Blocking *)op;
	carry_drop(self); // as a whole, should anything use it yet
	Py_CLEAR(self->wait);
	Py_CLEAR(self->on_message);
	Py_CLEAR(self->followers);
	Py_CLEAR(self->parts);
	Py_CLEAR(self->closed);
	Py_CLEAR(self->last_info);
	Py_CLEAR(self->last_stats);
	Py_CLEAR(self->last_error);
	return 0;
}

static void blocking_dealloc(PyObject *op)
{
	Blocking *self = (Blocking *)op;
	PyTypeObject *type = Py_TYPE(op);
	PyObject_GC_UnTrack(op);
	if (self->weakrefs != NULL) {
		PyObject_ClearWeakRefs(op);
	}
	if (self->loop != NULL && !is_finalizing()) {
		lib.loop_free(self->loop); // aborts; inside a collection the GIL stays
	}
	blocking_clear(op);
	blocking_drop(self);
	PyMem_Free(self->events);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
	Py_DECREF(type);
}

static PyMethodDef blocking_methods[] = {
	{ "_open", (PyCFunction)(void (*)(void))blocking_open, METH_VARARGS | METH_KEYWORDS,
	  open_doc },
	{ "_attach", (PyCFunction)(void (*)(void))blocking_attach, METH_VARARGS | METH_KEYWORDS,
	  attach_doc },
	{ "_await_socket", blocking_await_socket, METH_NOARGS, await_socket_doc },
	{ "_carry", blocking_carry, METH_VARARGS, carry_doc },
	{ "_await_tunnel", blocking_await_tunnel, METH_NOARGS, await_tunnel_doc },
	{ "_carry_within", blocking_carry_within, METH_VARARGS, carry_within_doc },
	{ "_await_open", blocking_await_open, METH_NOARGS, await_open_doc },
	{ "_abandon", blocking_abandon, METH_NOARGS, abandon_doc },
	{ "recv", (PyCFunction)(void (*)(void))blocking_recv, METH_FASTCALL | METH_KEYWORDS,
	  recv_doc },
	{ "send", (PyCFunction)(void (*)(void))blocking_send, METH_FASTCALL | METH_KEYWORDS,
	  send_doc },
	{ "info", blocking_info, METH_NOARGS, info_doc },
	{ "stats_", blocking_stats, METH_NOARGS, stats_doc },
	{ "error", blocking_error, METH_NOARGS, error_doc },
	{ "_take", blocking_take, METH_VARARGS, take_doc },
	{ "_recv_part", blocking_recv_part, METH_NOARGS, recv_part_doc },
	{ "_stream", blocking_stream, METH_NOARGS, stream_doc },
	{ "_send_fragment", blocking_send_fragment, METH_VARARGS, send_fragment_doc },
	{ "_ping", blocking_ping, METH_O, ping_doc },
	{ "_pong", blocking_pong, METH_O, pong_doc },
	{ "_close", blocking_close, METH_VARARGS, close_doc },
	{ "_abort", blocking_abort, METH_NOARGS, abort_doc },
	{ "_turn", blocking_turn, METH_VARARGS, turn_doc },
	{ "_await_end", blocking_await_end, METH_VARARGS, await_end_doc },
	{ "_glance", blocking_glance, METH_NOARGS, glance_doc },
	{ "_on_log", hook_nothing, METH_VARARGS,
	  HOOK_DOC("_on_log", ", line, dropped") "A line of log_frames." },
	{ "_on_pong", hook_nothing, METH_O, HOOK_DOC("_on_pong", ", data") "A Pong came." },
	{ "_on_closed", hook_nothing, METH_NOARGS, HOOK_DOC("_on_closed", "") "It ended." },
	{ "_on_finished", hook_nothing, METH_NOARGS,
	  HOOK_DOC("_on_finished", "") "It ended, and on_message gets no more." },
	{ "_closed_exception", hook_closed_exception, METH_NOARGS,
	  HOOK_DOC("_closed_exception", "") "A fresh exception for a closed connection." },
	{ "_concurrency_error", hook_concurrency_error, METH_NOARGS,
	  HOOK_DOC("_concurrency_error", "") "A fresh exception for a second receiver." },
	{ "_map_error", hook_map_error, METH_O,
	  HOOK_DOC("_map_error", ", error") "The exception to raise for an Error." },
	{ "_send_parts", hook_send_parts, METH_VARARGS,
	  HOOK_DOC("_send_parts", ", message, text") "Sends what is neither str nor bytes-like." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef blocking_getset[] = {
	{ "queued", get_queued, NULL, "Messages that have been read and wait for recv().", NULL },
	{ "buffered", get_buffered, NULL, "Bytes accepted and not yet written.", NULL },
	{ "_inherited", get_inherited, NULL, "Whether this process is a forked child.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyMemberDef blocking_members[] = {
	COMMON_MEMBERS(Blocking),
	MEMBER(Blocking, "_closed", T_OBJECT, closed,
	       "(code, reason, sent, flags) after the end, else None."),
	MEMBER(Blocking, "_muted", T_BOOL, muted, "Whether on_message failed."),
	{ NULL, 0, 0, 0, NULL },
};

PyDoc_STRVAR(blocking_doc,
             "BlockingConnection(*, max_queue=(16, 4), wait=None, on_message=None)\n--\n\n"
             "One WebSocket connection for threads, without an event loop.\n\n"
             "max_queue: above the first mark of queued messages the peer is held back, at or\n"
             "below the second no more; None is no bound. wait(fd, seconds), when given, waits\n"
             "for fd to turn readable in place of the library; after _carry it is called with\n"
             "(fd, seconds, socket, reading, writing). on_message(connection, message), when\n"
             "given, is called for each message by whoever waits, and recv is refused.");

static PyType_Slot blocking_slots[] = {
	{ Py_tp_doc, (void *)blocking_doc },   { Py_tp_new, PyType_GenericNew },
	{ Py_tp_init, blocking_init },         { Py_tp_methods, blocking_methods },
	{ Py_tp_getset, blocking_getset },     { Py_tp_members, blocking_members },
	{ Py_tp_iter, PyObject_SelfIter },     { Py_tp_iternext, blocking_next },
	{ Py_tp_traverse, blocking_traverse }, { Py_tp_clear, blocking_clear },
	{ Py_tp_dealloc, blocking_dealloc },   { 0, NULL },
};

PyType_Spec blocking_spec = {
	.name = "aiows._core.BlockingConnection",
	.basicsize = sizeof(Blocking),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
	         Py_TPFLAGS_IMMUTABLETYPE,
	.slots = blocking_slots,
};
