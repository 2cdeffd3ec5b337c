// listener.c: the server's side, Listener and Request.
#include "core.h"

#include <string.h>

struct Request {
	PyObject ob_base;
	State *state;
	Loop *loop;
	aiows_request *handle;
	PyObject *method;
	PyObject *target;
	PyObject *local_address;
	PyObject *remote_address;
	PyObject *headers;
	PyObject *subprotocols;
	PyObject *refusal;
	PyObject *on_gone; // or NULL
	char gone;
	Request *previous; // of loop->requests
	Request *next;
};

// --- Listener

PyObject *listener_new(Loop *loop, PyObject *args, PyObject *kwargs)
{
	PyObject *host_object, *on_request;
	int port;
	if (!PyArg_ParseTuple(args, "OiO:listen", &host_object, &port, &on_request)) {
		return NULL;
	}
	if (!PyCallable_Check(on_request)) {
		PyErr_Format(PyExc_TypeError, "on_request %R is not callable", on_request);
		return NULL;
	}
	aiows_listen_options options;
	lib.listen_options_init(&options, sizeof options);
	Scratch scratch;
	const Field *tables[] = { listen_fields, NULL };
	void *targets[] = { &options, NULL };
	if (scratch_init(&scratch) < 0) {
		return NULL;
	}
	Listener *self = NULL;
	const char *host = text_from_object(&scratch, host_object);
	if (host != NULL && set_fields(loop->state, &scratch, kwargs, tables, targets) == 0) {
		self = PyObject_GC_New(Listener, loop->state->listener_type);
	}
	if (self == NULL) {
		scratch_free(&scratch);
		return NULL;
	}
	self->loop = (Loop *)Py_NewRef((PyObject *)loop);
	self->handle = NULL;
	self->on_request = Py_NewRef(on_request);
	self->next = NULL;
	self->port = 0;
	PyObject_GC_Track((PyObject *)self);
	aiows_error error = { .size = sizeof error };
	aiows_loop *loop_handle = loop->handle;
	aiows_listener *handle;
	Py_BEGIN_ALLOW_THREADS handle =
		lib.listen(loop_handle, host, port, &options, (uint64_t)(uintptr_t)self, &error);
	Py_END_ALLOW_THREADS scratch_free(&scratch);
	if (handle == NULL) {
		raise_error(loop->state, error.code, &error);
		Py_DECREF((PyObject *)self);
		return NULL;
	}
	if (loop_check(loop) < 0) { // another thread closed it meanwhile
		Py_DECREF((PyObject *)self);
		return NULL;
	}
	self->handle = handle;
	self->port = lib.listener_port(handle);
	self->next = loop->listeners;
	loop->listeners = (Listener *)Py_NewRef((PyObject *)self);
	loop->n_listening++;
	return (PyObject *)self;
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
                        "Stop accepting; connections stay. Idempotent.");

static PyObject *listener_close(PyObject *op, PyObject *unused UNUSED)
{
	Listener *self = (Listener *)op;
	aiows_listener *handle = self->handle;
	if (handle != NULL) {
		Loop *loop = self->loop;
		// The loop's reference stays until the batch in hand is done.
		self->handle = NULL;
		loop->n_listening--;
		loop->idle_due =
			loop->idle_due || (loop->n_listening == 0 && loop->n_registered == 0);
		Py_BEGIN_ALLOW_THREADS lib.listener_free(handle);
		Py_END_ALLOW_THREADS loop_wake(loop);
	}
	Py_RETURN_NONE;
}

static int listener_traverse(PyObject *op, visitproc visit, void *arg)
{
	Listener *self = (Listener *)op;
	Py_VISIT(Py_TYPE(op));
	Py_VISIT((PyObject *)self->loop);
	Py_VISIT(self->on_request);
	return 0;
}

// The loop stays: it breaks its half of the cycle.
static int listener_clear(PyObject *op)
{
	Py_CLEAR(((Listener *)op)->on_request);
	return 0;
}

static void listener_dealloc(PyObject *op)
{
	PyTypeObject *type = Py_TYPE(op);
	PyObject_GC_UnTrack(op);
	listener_clear(op);
	Py_CLEAR(((Listener *)op)->loop);
	PyObject_GC_Del(op);
	Py_DECREF(type);
}

static PyMethodDef listener_methods[] = {
	{ "close", listener_close, METH_NOARGS, close_doc },
	{ NULL, NULL, 0, NULL },
};

static PyObject *get_port(PyObject *op, void *closure UNUSED)
{
	return PyLong_FromLong(((Listener *)op)->port);
}

static PyGetSetDef listener_getset[] = {
	{ "port", get_port, NULL, "The port, also when the system chose it.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot listener_slots[] = {
	{ Py_tp_doc, (void *)"What Loop.listen returns; the loop keeps it until closed." },
	{ Py_tp_methods, listener_methods },
	{ Py_tp_getset, listener_getset },
	{ Py_tp_traverse, listener_traverse },
	{ Py_tp_clear, listener_clear },
	{ Py_tp_dealloc, listener_dealloc },
	{ 0, NULL },
};

PyType_Spec listener_spec = {
	.name = "aiows._core.Listener",
	.basicsize = sizeof(Listener),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
	         Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = listener_slots,
};

// --- Request

// refusal_new returns what the core would answer, None for a proper request.
static PyObject *refusal_new(const aiows_request_info_t *info)
{
	if (info->refusal_status == 0) {
		return Py_NewRef(Py_None);
	}
	PyObject *text = text_lenient(info->refusal_text, (Py_ssize_t)strlen(info->refusal_text));
	PyObject *headers = headers_to_list(info->refusal_headers, info->n_refusal_headers);
	return Py_BuildValue("(iNN)", (int)info->refusal_status, text, headers);
}

static Request *request_new(Loop *loop, aiows_request *handle)
{
	State *state = loop->state;
	aiows_request_info_t info;
	memset(&info, 0, sizeof info);
	info.size = sizeof info;
	int32_t code = lib.request_info(handle, &info);
	Request *self = NULL;
	if (code < 0) {
		raise_error(state, code, NULL);
	} else {
		self = PyObject_GC_New(Request, state->request_type);
	}
	if (self == NULL) {
		lib.request_free(handle);
		return NULL;
	}
	self->state = state;
	self->loop = (Loop *)Py_NewRef((PyObject *)loop);
	self->handle = handle;
	self->method = text_lenient(info.method, (Py_ssize_t)strlen(info.method));
	self->target = text_lenient(info.target, (Py_ssize_t)strlen(info.target));
	self->local_address =
		text_lenient(info.local_address, (Py_ssize_t)strlen(info.local_address));
	self->remote_address =
		text_lenient(info.remote_address, (Py_ssize_t)strlen(info.remote_address));
	self->headers = headers_to_list(info.headers, info.n_headers);
	self->subprotocols = strings_to_list(info.subprotocols, info.n_subprotocols);
	self->refusal = refusal_new(&info);
	self->on_gone = NULL;
	self->gone = 0;
	self->previous = NULL;
	self->next = loop->requests;
	if (self->next != NULL) {
		self->next->previous = self;
	}
	loop->requests = self;
	PyObject_GC_Track((PyObject *)self);
	if (self->method == NULL || self->target == NULL || self->local_address == NULL ||
	    self->remote_address == NULL || self->headers == NULL || self->subprotocols == NULL ||
	    self->refusal == NULL) {
		Py_DECREF((PyObject *)self);
		return NULL;
	}
	return self;
}

int listener_dispatch(Listener *listener, aiows_request *handle)
{
	Loop *loop = listener->loop;
	if (listener->handle == NULL) {
		lib.request_free(handle);
		return 0;
	}
	Py_INCREF((PyObject *)listener);
	Request *request = request_new(loop, handle);
	PyObject *result =
		request != NULL ? call_one(listener->on_request, (PyObject *)request) : NULL;
	int failed = 0;
	if (result == NULL) {
		if (request != NULL && request->handle != NULL) {
			lib.reject(request->handle, 500, NULL, 0, NULL, 0); // unless answered
		}
		failed = report_exception(loop, (PyObject *)listener, "Exception in on_request");
	}
	Py_XDECREF(result);
	Py_XDECREF((PyObject *)request);
	Py_DECREF((PyObject *)listener);
	return failed;
}

int request_gone(Loop *loop, aiows_request *handle)
{
	Request *self = loop->requests;
	while (self != NULL && self->handle != handle) {
		self = self->next;
	}
	if (self == NULL) {
		return 0; // dropped since the event was made
	}
	self->gone = 1;
	PyObject *on_gone = self->on_gone;
	if (on_gone == NULL) {
		return 0;
	}
	self->on_gone = NULL;
	Py_INCREF((PyObject *)self);
	PyObject *result = PyObject_CallNoArgs(on_gone);
	int failed = result == NULL
	                     ? report_exception(loop, (PyObject *)self, "Exception in on_gone")
	                     : 0;
	Py_XDECREF(result);
	Py_DECREF(on_gone);
	Py_DECREF((PyObject *)self);
	return failed;
}

PyDoc_STRVAR(accept_doc,
             "accept($self, conn, /, *, subprotocol=..., headers=..., auto_pong=...,\n"
             "       auto_close=..., compression=..., deflate=..., close_timeout_ms=...,\n"
             "       ping_interval_ms=..., ping_timeout_ms=..., max_message_size=...,\n"
             "       write_high=..., write_low=..., max_fragments=...,\n"
             "       log_frames=..., max_fragment_size=..., stream=...)\n--\n\n"
             "Answer 101; conn's _on_open follows.\n\n"
             "The options are those of aiows_accept_options and aiows_conn_options; None\n"
             "leaves a default. Raises Error.");

static PyObject *request_accept(PyObject *op, PyObject *args, PyObject *kwargs)
{
	Request *self = (Request *)op;
	Loop *loop = self->loop;
	PyObject *object;
	if (loop_check(loop) < 0 ||
	    !PyArg_ParseTuple(args, "O!:accept", self->state->connection_type, &object)) {
		return NULL;
	}
	Connection *conn = (Connection *)object;
	if (conn->loop != loop || conn->handle != NULL || conn->registered ||
	    conn->status != AIOWS_CONNECTING) {
		PyErr_SetString(PyExc_RuntimeError, "expected a fresh Connection of this loop");
		return NULL;
	}
	aiows_conn_options conn_options;
	aiows_accept_options options;
	lib.conn_options_init(&conn_options, sizeof conn_options);
	lib.accept_options_init(&options, sizeof options);
	options.conn = &conn_options;
	Scratch scratch;
	const Field *tables[] = { accept_fields, conn_fields, NULL };
	void *targets[] = { &options, &conn_options, NULL };
	if (scratch_init(&scratch) < 0) {
		return NULL;
	}
	bool done = false;
	if (set_fields(self->state, &scratch, kwargs, tables, targets) == 0) {
		aiows_error error = { .size = sizeof error };
		aiows_conn *handle = NULL;
		int32_t code;
		loop_add(loop, conn);
		Py_BEGIN_ALLOW_THREADS code = lib.accept(
			self->handle, &options, (uint64_t)(uintptr_t)conn, &handle, &error);
		Py_END_ALLOW_THREADS done = code >= 0;
		if (!done) {
			raise_error(self->state, code, &error);
			loop_unlink(loop, conn);
			loop_forget(loop, conn);
		} else if (!loop->closed) {
			conn->handle = handle;
		}
	}
	scratch_free(&scratch);
	if (!done) {
		return NULL;
	}
	Py_RETURN_NONE;
}

PyDoc_STRVAR(reject_doc, "reject($self, /, status, headers=(), body=b\"\")\n--\n\n"
                         "Answer with an HTTP status of 200 to 599. Raises Error.");

static PyObject *request_reject(PyObject *op, PyObject *args, PyObject *kwargs)
{
	static char *keywords[] = { "status", "headers", "body", NULL };
	Request *self = (Request *)op;
	int status;
	PyObject *headers_object = NULL;
	Py_buffer body = { .buf = NULL, .len = 0 };
	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|Oy*:reject", keywords, &status,
	                                 &headers_object, &body)) {
		return NULL;
	}
	const aiows_header *headers = NULL;
	size_t n = 0;
	int32_t code = SEND_RAISED;
	Scratch scratch;
	if (scratch_init(&scratch) == 0) {
		if (headers_object == NULL ||
		    headers_from_object(&scratch, headers_object, &headers, &n) == 0) {
			Py_BEGIN_ALLOW_THREADS code = lib.reject(self->handle, status, headers, n,
			                                         body.buf, (size_t)body.len);
			Py_END_ALLOW_THREADS
		}
		scratch_free(&scratch);
	}
	if (body.buf != NULL) {
		PyBuffer_Release(&body);
	}
	if (code == SEND_RAISED) {
		return NULL;
	}
	if (code < 0) {
		raise_error(self->state, code, NULL);
		return NULL;
	}
	Py_RETURN_NONE;
}

static int request_traverse(PyObject *op, visitproc visit, void *arg)
{
	Request *self = (Request *)op;
	Py_VISIT(Py_TYPE(op));
	Py_VISIT((PyObject *)self->loop);
	Py_VISIT(self->headers);
	Py_VISIT(self->subprotocols);
	Py_VISIT(self->refusal);
	Py_VISIT(self->on_gone);
	return 0;
}

// The loop stays: nothing of it leads back here.
static int request_clear(PyObject *op)
{
	Request *self = (Request *)op;
	Py_CLEAR(self->headers);
	Py_CLEAR(self->subprotocols);
	Py_CLEAR(self->refusal);
	Py_CLEAR(self->on_gone);
	return 0;
}

static void request_dealloc(PyObject *op)
{
	Request *self = (Request *)op;
	PyTypeObject *type = Py_TYPE(op);
	PyObject_GC_UnTrack(op);
	if (self->previous != NULL) {
		self->previous->next = self->next;
	} else {
		self->loop->requests = self->next;
	}
	if (self->next != NULL) {
		self->next->previous = self->previous;
	}
	if (!is_finalizing()) {
		lib.request_free(self->handle); // 503 unless answered
	}
	request_clear(op);
	Py_CLEAR(self->method);
	Py_CLEAR(self->target);
	Py_CLEAR(self->local_address);
	Py_CLEAR(self->remote_address);
	Py_CLEAR(self->loop);
	PyObject_GC_Del(op);
	Py_DECREF(type);
}

static PyMethodDef request_methods[] = {
	{ "accept", (PyCFunction)(void (*)(void))request_accept, METH_VARARGS | METH_KEYWORDS,
	  accept_doc },
	{ "reject", (PyCFunction)(void (*)(void))request_reject, METH_VARARGS | METH_KEYWORDS,
	  reject_doc },
	{ NULL, NULL, 0, NULL },
};

static PyObject *get_on_gone(PyObject *op, void *closure UNUSED)
{
	PyObject *on_gone = ((Request *)op)->on_gone;
	return Py_NewRef(on_gone != NULL ? on_gone : Py_None);
}

static int set_on_gone(PyObject *op, PyObject *value, void *closure UNUSED)
{
	Request *self = (Request *)op;
	if (value == NULL || (value != Py_None && !PyCallable_Check(value))) {
		PyErr_Format(PyExc_TypeError, "on_gone must be callable or None, got %R",
		             value != NULL ? value : Py_None);
		return -1;
	}
	PyObject *old = self->on_gone;
	self->on_gone = value != Py_None ? Py_NewRef(value) : NULL;
	Py_XDECREF(old);
	return 0;
}

static PyGetSetDef request_getset[] = {
	{ "on_gone", get_on_gone, set_on_gone,
	  "Called without arguments when gone turns true, or None.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyMemberDef request_members[] = {
	{ "method", T_OBJECT_EX, offsetof(Request, method), READONLY, NULL },
	{ "target", T_OBJECT_EX, offsetof(Request, target), READONLY, NULL },
	{ "local_address", T_OBJECT_EX, offsetof(Request, local_address), READONLY, NULL },
	{ "remote_address", T_OBJECT_EX, offsetof(Request, remote_address), READONLY, NULL },
	{ "headers", T_OBJECT_EX, offsetof(Request, headers), READONLY, NULL },
	{ "subprotocols", T_OBJECT_EX, offsetof(Request, subprotocols), READONLY, NULL },
	{ "refusal", T_OBJECT_EX, offsetof(Request, refusal), READONLY,
	  "Status, text and fields that accept would answer with because it is no upgrade; None "
	  "when it is one." },
	{ "gone", T_BOOL, offsetof(Request, gone), READONLY,
	  "Whether the client left, or its time ran out, before an answer." },
	{ NULL, 0, 0, 0, NULL },
};

static PyType_Slot request_slots[] = {
	{ Py_tp_doc, (void *)"A client's request, answered now or later; dropped "
	                     "unanswered it is answered with 503." },
	{ Py_tp_methods, request_methods },
	{ Py_tp_members, request_members },
	{ Py_tp_getset, request_getset },
	{ Py_tp_traverse, request_traverse },
	{ Py_tp_clear, request_clear },
	{ Py_tp_dealloc, request_dealloc },
	{ 0, NULL },
};

PyType_Spec request_spec = {
	.name = "aiows._core.Request",
	.basicsize = sizeof(Request),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
	         Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = request_slots,
};
