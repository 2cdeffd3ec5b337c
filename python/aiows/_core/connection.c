#include "connection.h"

bool was_made(Connection *self)
{
	if (self->state != NULL) {
		return true;
	}
	PyErr_SetString(PyExc_RuntimeError, "Connection.__init__() was not called");
	return false;
}

// --- receiving and sending

PyDoc_STRVAR(recv_doc, "recv($self, /, decode=None)\n--\n\n"
                       "Return the next message: str for TEXT, bytes for BINARY.\n\n"
                       "decode=True decodes, decode=False does not, whatever came. Cancelling is\n"
                       "safe: the message stays queued. Raises _closed_exception() once closed\n"
                       "and empty, _concurrency_error() while another recv waits.");

PyDoc_STRVAR(recv_many_doc,
             "recv_many($self, /, max=None)\n--\n\n"
             "Return a list of the messages that are queued, at most max, once there is one.\n\n"
             "Cancelling is safe: the messages stay queued. Raises as recv().");

PyDoc_STRVAR(recv_part_doc,
             "_recv_part($self, /)\n--\n\n"
             "Return (data, fin, text) of the next part of a message: bytes, or of a whole\n"
             "message what recv() returns.");

PyDoc_STRVAR(stream_doc, "_stream($self, /)\n--\n\nHave messages come in parts from now on.");

PyDoc_STRVAR(send_doc,
             "send($self, /, message, text=None)\n--\n\n"
             "Send a message: str as TEXT, a bytes-like object as BINARY; text overrides.\n"
             "What is neither goes to _send_parts().\n\n"
             "The whole message is queued at the first step and goes out even when the await\n"
             "is cancelled; then it waits while more than write_high bytes are pending.");

PyDoc_STRVAR(send_nowait_doc,
             "send_nowait($self, /, message, text=None)\n--\n\n"
             "Queue a message from any thread, or raise Error(AGAIN) and queue nothing.");

PyDoc_STRVAR(send_fragment_doc, "send_fragment($self, kind, fin, data, /)\n--\n\n"
                                "Queue one frame of a message; True when drain() would wait.");

PyDoc_STRVAR(drain_doc, "drain($self, /)\n--\n\n"
                        "Wait until no more than write_low bytes are pending, if more than\n"
                        "write_high were.");

PyDoc_STRVAR(take_turn_doc,
             "_take_turn($self, /)\n--\n\n"
             "Wait until no other message is being sent in parts. send() waits from\n"
             "then on until _end_turn().");

PyDoc_STRVAR(end_turn_doc, "_end_turn($self, /)\n--\n\nLet the next one send.");

// --- control

PyDoc_STRVAR(ping_doc, "_ping($self, data, /)\n--\n\nQueue a Ping of at most 125 bytes.");

PyDoc_STRVAR(pong_doc, "_pong($self, data, /)\n--\n\nQueue a Pong of at most 125 bytes.");

PyDoc_STRVAR(close_doc, "_close($self, code, reason, /)\n--\n\n"
                        "Start the close handshake; nothing once closed.");

PyDoc_STRVAR(abort_doc, "_abort($self, /)\n--\n\n"
                        "End the connection without a close handshake; nothing once closed, or\n"
                        "in a forked child, whose it is not.");

// --- own I/O

PyDoc_STRVAR(feed_doc, "_feed($self, data, /)\n--\n\n"
                       "Take bytes of the peer of an attached connection; nothing once closed.\n\n"
                       "True when no more may be fed before _on_input or the end.");

PyDoc_STRVAR(take_socket_doc,
             "_take_socket($self, /)\n--\n\n"
             "Return the descriptor that _on_socket told of, which is the caller's then.");

PyDoc_STRVAR(feed_end_doc, "_feed_end($self, os_errno=0, message=None, /)\n--\n\n"
                           "Say that the peer of an attached connection sends no more.");

PyDoc_STRVAR(drain_output_doc,
             "_drain_output($self, most, /)\n--\n\n"
             "Return at most that many bytes for the peer of an attached connection.\n\n"
             "b\"\" when there are none now, None when none follow.");

// --- description

PyDoc_STRVAR(info_doc, "info($self, /)\n--\n\nEvery field of aiows_conn_info_t by its name.");

static PyObject *connection_info(PyObject *op, PyObject *unused UNUSED)
{
	return was_made((Connection *)op) ? conn_info((Connection *)op) : NULL;
}

PyDoc_STRVAR(stats_doc, "stats_($self, /)\n--\n\nEvery field of aiows_conn_stats_t by its name.");

static PyObject *connection_stats(PyObject *op, PyObject *unused UNUSED)
{
	return was_made((Connection *)op) ? conn_stats((Connection *)op) : NULL;
}

PyDoc_STRVAR(error_doc, "error($self, /)\n--\n\n"
                        "Why it failed or closed; None before that and after a clean end.");

static PyObject *connection_error(PyObject *op, PyObject *unused UNUSED)
{
	return was_made((Connection *)op) ? conn_error((Connection *)op) : NULL;
}

static PyObject *get_buffered(PyObject *op, void *closure UNUSED)
{
	Connection *self = (Connection *)op;
	return buffered_of(self->state, self->handle, 0);
}

// --- what subclasses replace

static PyObject *hook_closed_exception(PyObject *op, PyObject *unused UNUSED)
{
	Connection *self = (Connection *)op;
	return was_made(self) ? error_new(self->state, AIOWS_ERR_CLOSED, NULL) : NULL;
}

static PyObject *hook_concurrency_error(PyObject *op UNUSED, PyObject *unused UNUSED)
{
	return PyObject_CallFunction(PyExc_RuntimeError, "s",
	                             "another task is already waiting for a message");
}

// --- life

static int mark_from_object(PyObject *object, uint32_t *out)
{
	if (object == Py_None) {
		*out = UINT32_MAX;
		return 0;
	}
	long value = PyLong_AsLong(object);
	if (value == -1 && PyErr_Occurred()) {
		return -1;
	}
	if (value < 0 || value >= INT32_MAX) {
		PyErr_Format(PyExc_ValueError, "max_queue %R is not a number of messages", object);
		return -1;
	}
	*out = (uint32_t)value;
	return 0;
}

int queue_marks(PyObject *high, PyObject *low, uint32_t *high_out, uint32_t *low_out)
{
	if (mark_from_object(high, high_out) < 0 || mark_from_object(low, low_out) < 0) {
		return -1;
	}
	if (*low_out > *high_out && low != Py_None) {
		PyErr_Format(PyExc_ValueError, "max_queue: low mark %R is above high mark %R", low,
		             high);
		return -1;
	}
	return 0;
}

static int connection_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
	static char *keywords[] = { "loop", "max_queue", "text_as_bytes", "on_message", NULL };
	Connection *self = (Connection *)op;
	PyObject *loop, *high = NULL, *low = NULL, *on_message = Py_None;
	int text_as_bytes = 0;
	State *state = state_of_base(Py_TYPE(op));
	if (state == NULL ||
	    !PyArg_ParseTupleAndKeywords(args, kwargs, "O|$(OO)pO:Connection", keywords, &loop,
	                                 &high, &low, &text_as_bytes, &on_message)) {
		return -1;
	}
	if (Py_TYPE(loop) != state->loop_type) {
		PyErr_Format(PyExc_TypeError, "expected Loop, not %R", loop);
		return -1;
	}
	if (self->state != NULL) {
		PyErr_SetString(PyExc_RuntimeError, "Connection.__init__() was called already");
		return -1;
	}
	uint32_t high_mark = 16, low_mark = 4;
	if (high != NULL && queue_marks(high, low, &high_mark, &low_mark) < 0) {
		return -1;
	}
	if (on_message != Py_None) {
		if (!PyCallable_Check(on_message)) {
			PyErr_Format(PyExc_TypeError, "on_message %R is not callable", on_message);
			return -1;
		}
		PyObject *context = PyObject_CallNoArgs(state->copy_context);
		self->run = context != NULL ? PyObject_GetAttr(context, state->s_run) : NULL;
		Py_XDECREF(context);
		if (self->run == NULL) {
			return -1;
		}
		self->on_message = Py_NewRef(on_message);
	}
	self->loop = (Loop *)Py_NewRef(loop);
	self->high = high_mark;
	self->low = low_mark;
	self->text_as_bytes = text_as_bytes;
	self->state = state;
	return 0;
}

static int connection_traverse(PyObject *op, visitproc visit, void *arg)
{
	Connection *self = (Connection *)op;
	Py_VISIT(Py_TYPE(op));
	Py_VISIT((PyObject *)self->loop);
	Py_VISIT((PyObject *)self->waiter);
	for (Waiter *waiter = self->senders; waiter != NULL; waiter = waiter->next) {
		Py_VISIT((PyObject *)waiter);
	}
	Py_VISIT(self->parts);
	Py_VISIT(self->on_message);
	Py_VISIT(self->run);
	Py_VISIT(self->last_info);
	Py_VISIT(self->last_stats);
	Py_VISIT(self->last_error);
	return 0; // queued messages are str and bytes: no cycle goes through them
}

// The loop stays until dealloc: it breaks its half of every cycle itself.
static int connection_clear(PyObject *op)
{
	Connection *self = (Connection *)op;
	if (self->waiter != NULL) {
		waiter_detach(self->waiter);
	}
	while (self->senders != NULL) {
		waiter_detach(self->senders);
	}
	Py_CLEAR(self->parts);
	Py_CLEAR(self->on_message);
	Py_CLEAR(self->run);
	Py_CLEAR(self->last_info);
	Py_CLEAR(self->last_stats);
	Py_CLEAR(self->last_error);
	return 0;
}

static void connection_dealloc(PyObject *op)
{
	Connection *self = (Connection *)op;
	PyTypeObject *type = Py_TYPE(op);
	PyObject_GC_UnTrack(op);
	if (self->loop != NULL) {
		loop_unlink(self->loop, self); // before anything can run that walks the list
	}
	if (self->weakrefs != NULL) {
		PyObject_ClearWeakRefs(op);
	}
	if (self->handle != NULL && !is_finalizing()) {
		lib.conn_free(self->handle);
	}
	connection_clear(op);
	while (self->count > 0) {
		self->count--;
		Py_XDECREF(self->ring[self->head].object);
		self->head = (self->head + 1) & self->ring_mask;
	}
	PyMem_Free(self->ring);
	Py_CLEAR(self->loop);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
	Py_DECREF(type);
}

static PyMethodDef connection_methods[] = {
	{ "recv", (PyCFunction)(void (*)(void))connection_recv, METH_FASTCALL | METH_KEYWORDS,
	  recv_doc },
	{ "recv_many", (PyCFunction)(void (*)(void))connection_recv_many,
	  METH_FASTCALL | METH_KEYWORDS, recv_many_doc },
	{ "_recv_part", connection_recv_part, METH_NOARGS, recv_part_doc },
	{ "_stream", connection_stream, METH_NOARGS, stream_doc },
	{ "_take_turn", connection_take_turn, METH_NOARGS, take_turn_doc },
	{ "_end_turn", connection_end_turn, METH_NOARGS, end_turn_doc },
	{ "send", (PyCFunction)(void (*)(void))connection_send, METH_FASTCALL | METH_KEYWORDS,
	  send_doc },
	{ "send_nowait", (PyCFunction)(void (*)(void))connection_send_nowait,
	  METH_FASTCALL | METH_KEYWORDS, send_nowait_doc },
	{ "send_fragment", connection_send_fragment, METH_VARARGS, send_fragment_doc },
	{ "drain", connection_drain, METH_NOARGS, drain_doc },
	{ "info", connection_info, METH_NOARGS, info_doc },
	{ "stats_", connection_stats, METH_NOARGS, stats_doc },
	{ "error", connection_error, METH_NOARGS, error_doc },
	{ "_ping", connection_ping, METH_O, ping_doc },
	{ "_pong", connection_pong, METH_O, pong_doc },
	{ "_close", connection_close, METH_VARARGS, close_doc },
	{ "_abort", connection_abort, METH_NOARGS, abort_doc },
	{ "_on_open", hook_nothing, METH_NOARGS,
	  HOOK_DOC("_on_open", "") "The handshake is done; no message came before." },
	{ "_on_failed", hook_nothing, METH_O,
	  HOOK_DOC("_on_failed", ", error") "It never opened; nothing follows." },
	{ "_on_ping", hook_nothing, METH_O, HOOK_DOC("_on_ping", ", data") "A Ping came." },
	{ "_feed", connection_feed, METH_O, feed_doc },
	{ "_take_socket", connection_take_socket, METH_NOARGS, take_socket_doc },
	{ "_feed_end", connection_feed_end, METH_VARARGS, feed_end_doc },
	{ "_drain_output", connection_drain_output, METH_O, drain_output_doc },
	{ "_on_output", hook_nothing, METH_NOARGS,
	  HOOK_DOC("_on_output", "") "_drain_output has something." },
	{ "_on_input", hook_nothing, METH_NOARGS,
	  HOOK_DOC("_on_input", "") "_feed takes bytes again." },
	{ "_on_socket", hook_nothing, METH_NOARGS,
	  HOOK_DOC("_on_socket", "") "_take_socket has a socket, see attach." },
	{ "_on_tunnel", hook_nothing, METH_NOARGS,
	  HOOK_DOC("_on_tunnel", "") "An https proxy leads to the server from here on." },
	{ "_on_log", hook_nothing, METH_VARARGS,
	  HOOK_DOC("_on_log", ", line, dropped") "A line of log_frames." },
	{ "_on_pong", hook_nothing, METH_O, HOOK_DOC("_on_pong", ", data") "A Pong came." },
	{ "_on_closing", hook_nothing, METH_VARARGS,
	  HOOK_DOC("_on_closing", ", code, reason") "The peer's Close came." },
	{ "_on_closed", hook_nothing, METH_VARARGS,
	  HOOK_DOC("_on_closed",
	           ", code, reason, sent, flags") "It ended; receivers that wait are woken next." },
	{ "_send_parts", hook_send_parts, METH_VARARGS,
	  HOOK_DOC("_send_parts", ", message, text") "What send() returns for an iterable." },
	{ "_closed_exception", hook_closed_exception, METH_NOARGS,
	  HOOK_DOC("_closed_exception", "") "A fresh exception for a closed connection." },
	{ "_concurrency_error", hook_concurrency_error, METH_NOARGS,
	  HOOK_DOC("_concurrency_error", "") "A fresh exception for a second receiver." },
	{ "_map_error", hook_map_error, METH_O,
	  HOOK_DOC("_map_error", ", error") "The exception to raise for an Error." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef connection_getset[] = {
	{ "buffered", get_buffered, NULL, "Bytes accepted and not yet written.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyMemberDef connection_members[] = {
	COMMON_MEMBERS(Connection),
	MEMBER(Connection, "queued", T_UINT, count, "Messages that wait for recv()."),
	{ NULL, 0, 0, 0, NULL },
};

PyDoc_STRVAR(connection_doc,
             "Connection(loop, *, max_queue=(16, 4), text_as_bytes=False, on_message=None)\n"
             "--\n\n"
             "One WebSocket connection; made first, then started by Loop.connect or\n"
             "Request.accept.\n\n"
             "max_queue: above the first mark of queued messages the peer is held back, at or\n"
             "below the second no more; None is no bound.");

static PyType_Slot connection_slots[] = {
	{ Py_tp_doc, (void *)connection_doc },   { Py_tp_new, PyType_GenericNew },
	{ Py_tp_init, connection_init },         { Py_tp_methods, connection_methods },
	{ Py_tp_getset, connection_getset },     { Py_tp_members, connection_members },
	{ Py_am_aiter, PyObject_SelfIter },      { Py_am_anext, connection_anext },
	{ Py_tp_traverse, connection_traverse }, { Py_tp_clear, connection_clear },
	{ Py_tp_dealloc, connection_dealloc },   { 0, NULL },
};

PyType_Spec connection_spec = {
	.name = "aiows._core.Connection",
	.basicsize = sizeof(Connection),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
	         Py_TPFLAGS_IMMUTABLETYPE,
	.slots = connection_slots,
};
