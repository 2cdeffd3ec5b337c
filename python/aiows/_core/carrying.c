// carrying.c: the bytes of a blocking connection over a TLS object of Python's, which an
// https proxy puts into another one; over neither where a ws URI needs no such proxy.
//
// The driver carries, or who sends while none drives. A signal handler may raise inside
// the methods of the TLS object after they did their work: what they did is told by what
// else changed, so that no byte is lost and none is sent twice.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "blocking.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NOTHING = 0, SOME = 1, RAISED = -1, ENDED = -2, BROKEN = -3 };

bool carried(Blocking *self)
{
	return self->carrier.plain != NULL;
}

// count_of takes the number that a method or an attribute gave.
static Py_ssize_t count_of(PyObject *number)
{
	Py_ssize_t n = number != NULL ? PyLong_AsSsize_t(number) : -1;
	Py_XDECREF(number);
	return n;
}

static Py_ssize_t readable(Layer *layer)
{
	return count_of(PyObject_CallMethod(layer->tls, "pending", NULL));
}

// readable_now is readable though handlers raise inside of it: the first one is told.
static Py_ssize_t readable_now(Layer *layer)
{
	Py_ssize_t n = -1;
	for (int tries = 0; n < 0 && tries < 10000; tries++) {
		PyErr_Clear();
		n = readable(layer);
	}
	return n;
}

static Py_ssize_t held(PyObject *bio)
{
	return count_of(PyObject_GetAttrString(bio, "pending"));
}

// tls_call ends a call of the TLS object: its count, or NOTHING when it wants more bytes,
// BROKEN with why in carrier->why, or RAISED by a signal handler.
static Py_ssize_t tls_call(Carrier *carrier, PyObject *result)
{
	if (result != NULL) {
		Py_ssize_t n = count_of(result);
		return n == 0 ? ENDED : n < 0 ? RAISED : n;
	}
	if (PyErr_ExceptionMatches(carrier->want_read)) {
		PyErr_Clear();
		return NOTHING;
	}
	if (!PyErr_ExceptionMatches(carrier->tls_error)) {
		return RAISED;
	}
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	if (carrier->why == NULL) {
		carrier->why = value != NULL ? PyObject_Str(value) : NULL;
		if (carrier->why == NULL) {
			PyErr_Clear();
		}
	}
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback);
	return BROKEN;
}

// --- in

// read_some decrypts to the end of what is in to, which has room for most bytes; at most a
// record.
static Py_ssize_t read_some(Blocking *self, Layer *layer, char *to, Py_ssize_t *len,
                            Py_ssize_t most)
{
	char *at = to + *len;
	most -= *len;
	// A call whose outcome is lost must show by what is readable then: so it takes what
	// is known to be there, or one byte.
	Py_ssize_t before = readable(layer);
	Py_ssize_t incoming = before == 0 ? held(layer->incoming) : 0;
	if (before < 0 || incoming < 0) {
		return RAISED;
	}
	Py_ssize_t wanted = before == 0 ? 1 : before < most ? before : most;
	char mark = (char)(now_ns() >> 3); // not the peer's choice
	at[0] = mark;
	PyObject *view = PyMemoryView_FromMemory(at, wanted, PyBUF_WRITE);
	if (view == NULL) {
		return RAISED;
	}
	Py_ssize_t n = tls_call(&self->carrier,
	                        PyObject_CallMethod(layer->tls, "read", "nO", wanted, view));
	Py_DECREF(view);
	if (n != RAISED) {
		*len += n > 0 ? n : 0;
		return n;
	}
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	Py_ssize_t after = readable_now(layer), left = held(layer->incoming);
	bool done = before > 0 ? after < before : after > 0 || (left < incoming && at[0] != mark);
	if (after < 0 || left < 0) { // nobody knows: the stream may have a gap
		PyErr_Clear();
		done = false;
		lib.abort(self->handle);
	}
	PyErr_Restore(type, value, traceback);
	if (done) {
		*len += wanted;
	}
	return RAISED;
}

// hand_in gives bytes to a memory BIO, all of them or none.
static int hand_in(PyObject *bio, const char *bytes, Py_ssize_t n)
{
	PyObject *view = PyMemoryView_FromMemory((char *)bytes, n, PyBUF_READ);
	PyObject *written = view != NULL ? PyObject_CallMethod(bio, "write", "O", view) : NULL;
	Py_XDECREF(view);
	Py_XDECREF(written);
	return written != NULL ? 0 : -1;
}

// unwrap_outer decrypts what came through the outer TLS for the one inside.
static int unwrap_outer(Blocking *self)
{
	Carrier *carrier = &self->carrier;
	for (Py_ssize_t n = SOME; n > 0;) {
		if (carrier->between_len > 0) {
			if (hand_in(carrier->tls.incoming, carrier->between, carrier->between_len) <
			    0) {
				return -1;
			}
			carrier->between_len = 0;
		}
		n = read_some(self, &carrier->outer, carrier->between, &carrier->between_len,
		              CARRY_RECORD);
		if (n == RAISED) {
			return -1;
		}
		carrier->outer_over = n == ENDED || n == BROKEN;
	}
	return 0;
}

// wire_of is the layer whose records the socket carries.
static Layer *wire_of(Carrier *carrier)
{
	return carrier->outer.tls != NULL ? &carrier->outer : &carrier->tls;
}

static int32_t feed(Blocking *self)
{
	Carrier *carrier = &self->carrier;
	if (carrier->plain_len == 0 || self->handle == NULL) {
		return 0;
	}
	aiows_conn *handle = self->handle;
	int32_t code;
	Py_BEGIN_ALLOW_THREADS code = lib.feed(handle, carrier->plain, (size_t)carrier->plain_len);
	Py_END_ALLOW_THREADS if (code == AIOWS_ERR_AGAIN)
	{
		carrier->full = true; // kept for later
		return 0;
	}
	carrier->plain_len = 0;
	carrier->full = code == AIOWS_PENDING;
	return code;
}

// over tells the core that nothing comes any more, once.
static void over(Blocking *self, int number)
{
	Carrier *carrier = &self->carrier;
	if (carrier->over || self->handle == NULL) {
		return;
	}
	carrier->over = true;
	PyObject *bytes = NULL;
	const char *text = NULL;
	if (number != 0) {
		text = strerror(number);
	} else if (carrier->why != NULL) {
		bytes = PyUnicode_AsEncodedString(carrier->why, "utf-8", "replace");
		text = bytes != NULL ? PyBytes_AsString(bytes) : NULL;
		if (text == NULL) {
			PyErr_Clear();
			text = "TLS failed";
		}
	}
	lib.feed_end(self->handle, number, text);
	Py_XDECREF(bytes);
}

// decrypt feeds what can be read from the TLS object.
static int decrypt(Blocking *self)
{
	Carrier *carrier = &self->carrier;
	Py_ssize_t n = SOME;
	if (carrier->tls.tls == NULL) {
		if (!carrier->full) {
			feed(self);
		}
		return 0;
	}
	if (carrier->outer.tls != NULL && !carrier->over && unwrap_outer(self) < 0) {
		return -1;
	}
	while (n > 0 && !carrier->full && !carrier->over) {
		while (n > 0 && carrier->plain_len < CARRY_PIECE) {
			n = read_some(self, &carrier->tls, carrier->plain, &carrier->plain_len,
			              CARRY_PIECE);
		}
		if (n == RAISED) {
			return -1;
		}
		feed(self);
	}
	bool ended = n == ENDED || n == BROKEN || (n == NOTHING && carrier->outer_over);
	if (ended && carrier->plain_len == 0) {
		over(self, 0);
	}
	return 0;
}

// take_in has what arrived wait to be decrypted, or fed.
static int take_in(Carrier *carrier, const char *bytes, Py_ssize_t n)
{
	Layer *wire = wire_of(carrier);
	if (wire->tls != NULL) {
		return hand_in(wire->incoming, bytes, n);
	}
	memcpy(carrier->plain, bytes, (size_t)n); // empty, or the core would be full
	carrier->plain_len = n;
	return 0;
}

// carry_in reads what has arrived.
static int carry_in(Blocking *self)
{
	Carrier *carrier = &self->carrier;
	if (carrier->full && carrier->plain_len > 0) {
		carrier->full = false;
		feed(self);
	}
	// What an interrupt left there, or back-pressure.
	if (decrypt(self) < 0) {
		return -1;
	}
	for (int turns = 0; turns < CARRY_TURNS && !carrier->full && !carrier->over; turns++) {
		PyObject *data = PyBytes_FromStringAndSize(NULL, CARRY_PIECE);
		if (data == NULL) {
			return -1;
		}
		ssize_t n;
		int fd = carrier->fd, number;
		Py_BEGIN_ALLOW_THREADS n =
			recv(fd, PyBytes_AsString(data), CARRY_PIECE, MSG_DONTWAIT);
		number = errno;
		Py_END_ALLOW_THREADS if (n > 0)
		{
			int written = take_in(carrier, PyBytes_AsString(data), n);
			Py_DECREF(data);
			if (written < 0) { // of memory, and the stream has a gap
				lib.abort(self->handle);
				return -1;
			}
			if (decrypt(self) < 0) {
				return -1;
			}
			if (n < CARRY_PIECE) {
				break;
			}
			continue;
		}
		Py_DECREF(data);
		if (n < 0 && (number == EAGAIN || number == EINTR)) {
			if (carrier->broken_by != 0) {
				over(self, carrier->broken_by);
			}
			break;
		}
		over(self, n < 0 ? number : 0);
	}
	return 0;
}

// --- out

// encrypt makes one record of what the layer has to.
static Py_ssize_t encrypt(Carrier *carrier, Layer *layer)
{
	Py_ssize_t before = held(layer->outgoing);
	PyObject *view =
		before < 0 ? NULL
		           : PyMemoryView_FromMemory(layer->clear, layer->clear_len, PyBUF_READ);
	if (view == NULL) {
		return RAISED;
	}
	Py_ssize_t n = tls_call(carrier, PyObject_CallMethod(layer->tls, "write", "O", view));
	Py_DECREF(view);
	if (n == RAISED) {
		PyObject *type, *value, *traceback;
		PyErr_Fetch(&type, &value, &traceback);
		Py_ssize_t after = held(layer->outgoing);
		PyErr_Restore(type, value, traceback);
		if (after >= before + layer->clear_len) { // a record is longer than what it holds
			layer->clear_len = 0;
		}
		return RAISED;
	}
	if (n > 0) {
		layer->clear_len -= n;
		memmove(layer->clear, layer->clear + n, (size_t)layer->clear_len);
	}
	return n;
}

// end_output says that nothing follows.
static int end_output(Carrier *carrier)
{
	carrier->finished = true;
	if (carrier->tls.tls == NULL) {
		if (carrier->out == NULL) {
			shutdown(carrier->fd, SHUT_WR);
		}
		return 0;
	}
	PyObject *result = PyObject_CallMethod(carrier->tls.tls, "unwrap", NULL);
	if (result != NULL) {
		Py_DECREF(result);
		return 0;
	}
	return tls_call(carrier, NULL) == RAISED ? -1 : 0; // it wants the peer's answer
}

// drain_some takes more from the core: SOME, NOTHING, ENDED when nothing follows, RAISED.
static Py_ssize_t drain_some(Blocking *self)
{
	Carrier *carrier = &self->carrier;
	size_t n = 0;
	aiows_conn *handle = self->handle;
	int32_t code;
	Py_BEGIN_ALLOW_THREADS code = lib.drain(handle, carrier->tls.clear, CARRY_RECORD, &n);
	Py_END_ALLOW_THREADS if (code < 0)
	{
		return end_output(carrier) < 0 ? RAISED : ENDED;
	}
	carrier->tls.clear_len = (Py_ssize_t)n;
	return n > 0 ? SOME : NOTHING;
}

// encrypt_output has the TLS with the server hold something, if there is anything: how much.
static Py_ssize_t encrypt_output(Blocking *self)
{
	Carrier *carrier = &self->carrier;
	Layer *layer = &carrier->tls;
	Py_ssize_t waiting = held(layer->outgoing);
	while (waiting >= 0 && waiting < CARRY_PIECE && !carrier->finished &&
	       self->handle != NULL) {
		if (layer->clear_len == 0) {
			Py_ssize_t n = drain_some(self);
			if (n != SOME) {
				waiting = n == RAISED ? -1 : held(layer->outgoing);
				break;
			}
		}
		Py_ssize_t n = encrypt(carrier, layer);
		if (n == RAISED) {
			return -1;
		}
		if (n == BROKEN || n == ENDED) {
			over(self, 0);
			break;
		}
		if (n == NOTHING) { // it wants to read first
			break;
		}
		waiting = held(layer->outgoing);
	}
	return waiting;
}

// wrap_outer encrypts once more what is for an https proxy: how much waits then.
static Py_ssize_t wrap_outer(Blocking *self)
{
	Carrier *carrier = &self->carrier;
	Layer *layer = &carrier->outer;
	Py_ssize_t waiting = held(layer->outgoing);
	while (waiting >= 0 && waiting < CARRY_PIECE) {
		if (layer->clear_len == 0) {
			PyObject *record = PyObject_CallMethod(carrier->tls.outgoing, "read", "i",
			                                       CARRY_RECORD);
			if (record == NULL) {
				return -1;
			}
			layer->clear_len = PyBytes_Size(record);
			memcpy(layer->clear, PyBytes_AsString(record), (size_t)layer->clear_len);
			Py_DECREF(record);
			if (layer->clear_len == 0) {
				break;
			}
		}
		Py_ssize_t n = encrypt(carrier, layer);
		if (n == RAISED) {
			return -1;
		}
		if (n == BROKEN || n == ENDED) {
			over(self, 0);
		}
		if (n <= 0) {
			break;
		}
		waiting = held(layer->outgoing);
	}
	return waiting;
}

// fill_clear is fill without TLS.
static int fill_clear(Blocking *self)
{
	Carrier *carrier = &self->carrier;
	Layer *layer = &carrier->tls;
	if (layer->clear_len == 0 && !carrier->finished && self->handle != NULL) {
		drain_some(self);
	}
	if (layer->clear_len > 0) {
		carrier->out_at = 0;
		carrier->out = PyBytes_FromStringAndSize(layer->clear, layer->clear_len);
		if (carrier->out == NULL) {
			return -1;
		}
		layer->clear_len = 0;
	}
	return 0;
}

// fill has the output hold something, if there is anything.
static int fill(Blocking *self)
{
	Carrier *carrier = &self->carrier;
	if (carrier->tls.tls == NULL) {
		return fill_clear(self);
	}
	Py_ssize_t waiting = encrypt_output(self);
	if (waiting >= 0 && carrier->outer.tls != NULL) {
		waiting = wrap_outer(self);
	}
	if (waiting <= 0) {
		return waiting < 0 ? -1 : 0;
	}
	carrier->out_at = 0;
	carrier->out = PyObject_CallMethod(wire_of(carrier)->outgoing, "read", NULL);
	return carrier->out == NULL ? -1 : 0;
}

// carry_out writes what the socket takes.
int carry_out(Blocking *self)
{
	Carrier *carrier = &self->carrier;
	while (carrier->fd >= 0 && carrier->broken_by == 0) {
		if (carrier->out == NULL && fill(self) < 0) {
			return -1;
		}
		if (carrier->out == NULL) {
			return 0;
		}
		Py_ssize_t left = PyBytes_Size(carrier->out) - carrier->out_at;
		ssize_t n;
		int fd = carrier->fd, number;
		const char *from = PyBytes_AsString(carrier->out) + carrier->out_at;
		Py_BEGIN_ALLOW_THREADS n =
			send(fd, from, (size_t)left, MSG_DONTWAIT | MSG_NOSIGNAL);
		number = errno;
		Py_END_ALLOW_THREADS if (n < 0)
		{
			if (number == EAGAIN) {
				return 0;
			}
			if (number != EINTR) {
				carrier->broken_by = number; // told once nothing is left to read
			}
			continue;
		}
		carrier->out_at += n;
		if (n == left) {
			Py_CLEAR(carrier->out);
		}
	}
	return 0;
}

// --- both

// carry_push writes what a sender has queued, or has the driver do it.
int carry_push(Blocking *self)
{
	if (!carried(self) || self->loop == NULL) {
		return 0;
	}
	if (self->driving) {
		self->carrier.owed = true;
		return 0;
	}
	self->driving = true;
	return driven(self, carry_out(self));
}

int carry(Blocking *self)
{
	return carry_out(self) < 0 || carry_in(self) < 0 ? -1 : 0;
}

// carry_wait waits for the socket, or for loop_fd.
int carry_wait(Blocking *self, int loop_fd, int32_t timeout_ms, PyObject *seconds)
{
	Carrier *carrier = &self->carrier;
	bool writing = carrier->out != NULL && carrier->broken_by == 0;
	bool reading = !carrier->full && !carrier->over;
	if (seconds != NULL) {
		PyObject *result = PyObject_CallFunction(self->wait, "iOiOO", loop_fd, seconds,
		                                         carrier->fd, reading ? Py_True : Py_False,
		                                         writing ? Py_True : Py_False);
		Py_XDECREF(result);
		return result != NULL ? 0 : -1;
	}
	struct pollfd fds[2] = { { .fd = loop_fd, .events = POLLIN } };
	fds[1].fd = writing || reading ? carrier->fd : -1;
	fds[1].events = (short)((reading ? POLLIN : 0) | (writing ? POLLOUT : 0));
	Py_BEGIN_ALLOW_THREADS poll(fds, 2, timeout_ms);
	Py_END_ALLOW_THREADS return 0;
}

// carry_last writes what was written before the end, as far as the socket takes it.
int carry_last(Blocking *self)
{
	Carrier *carrier = &self->carrier;
	if (!carried(self) || carrier->fd < 0) {
		return 0;
	}
	if (carry_out(self) < 0) {
		return -1;
	}
	if (!carrier->finished && carrier->tls.clear_len == 0) {
		return end_output(carrier) < 0 ? -1 : carry_out(self);
	}
	return 0;
}

size_t carry_held(Blocking *self)
{
	Carrier *carrier = &self->carrier;
	Py_ssize_t out = carrier->out != NULL ? PyBytes_Size(carrier->out) - carrier->out_at : 0;
	return (size_t)(carrier->tls.clear_len + carrier->outer.clear_len + out);
}

static void drop_layer(Layer *layer)
{
	PyMem_Free(layer->clear);
	Py_CLEAR(layer->tls);
	Py_CLEAR(layer->incoming);
	Py_CLEAR(layer->outgoing);
	*layer = (Layer){ 0 };
}

// carry_drop gives up the socket.
void carry_drop(Blocking *self)
{
	Carrier *carrier = &self->carrier;
	if (carrier->fd >= 0 && carried(self)) {
		close(carrier->fd);
	}
	PyMem_Free(carrier->plain);
	PyMem_Free(carrier->between);
	drop_layer(&carrier->tls);
	drop_layer(&carrier->outer);
	Py_CLEAR(carrier->want_read);
	Py_CLEAR(carrier->tls_error);
	Py_CLEAR(carrier->out);
	Py_CLEAR(carrier->why);
	*carrier = (Carrier){ .fd = -1 };
}

int carry_traverse(Blocking *self, visitproc visit, void *arg)
{
	const Layer *layers[] = { &self->carrier.tls, &self->carrier.outer };
	for (int i = 0; i < 2; i++) {
		Py_VISIT(layers[i]->tls);
		Py_VISIT(layers[i]->incoming);
		Py_VISIT(layers[i]->outgoing);
	}
	return 0;
}

// fill_layer has layer use the objects of Python's ssl, all of them None for no TLS.
static int fill_layer(Layer *layer, PyObject *tls, PyObject *incoming, PyObject *outgoing)
{
	char *clear = PyMem_Malloc(CARRY_RECORD);
	if (clear == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	*layer = (Layer){ .clear = clear };
	if (tls != Py_None) {
		layer->tls = Py_NewRef(tls);
		layer->incoming = Py_NewRef(incoming);
		layer->outgoing = Py_NewRef(outgoing);
	}
	return 0;
}

PyObject *blocking_carry(PyObject *op, PyObject *args)
{
	Blocking *self = (Blocking *)op;
	int fd;
	PyObject *tls, *incoming, *outgoing;
	if (!blocking_usable(self) ||
	    !PyArg_ParseTuple(args, "iOOO:_carry", &fd, &tls, &incoming, &outgoing)) {
		return NULL;
	}
	if (self->loop == NULL || carried(self)) {
		PyErr_SetString(PyExc_RuntimeError,
		                "expected an attached connection without a socket");
		return NULL;
	}
	Carrier carrier = { .fd = -1 };
	PyObject *module = PyImport_ImportModule("ssl");
	if (module != NULL) {
		carrier.want_read = PyObject_GetAttrString(module, "SSLWantReadError");
		carrier.tls_error = PyObject_GetAttrString(module, "SSLError");
		carrier.plain = PyMem_Malloc(CARRY_PIECE);
		Py_DECREF(module);
	}
	self->carrier = carrier;
	if (carrier.want_read == NULL || carrier.tls_error == NULL || carrier.plain == NULL ||
	    fill_layer(&self->carrier.tls, tls, incoming, outgoing) < 0) {
		carry_drop(self);
		return PyErr_Occurred() ? NULL : PyErr_NoMemory();
	}
	self->carrier.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (self->carrier.fd < 0) {
		carry_drop(self);
		return PyErr_SetFromErrno(PyExc_OSError);
	}
	Py_RETURN_NONE;
}

PyObject *blocking_carry_within(PyObject *op, PyObject *args)
{
	Blocking *self = (Blocking *)op;
	Carrier *carrier = &self->carrier;
	PyObject *tls, *incoming, *outgoing;
	if (!blocking_usable(self) ||
	    !PyArg_ParseTuple(args, "OOO:_carry_within", &tls, &incoming, &outgoing)) {
		return NULL;
	}
	if (!carried(self) || carrier->tls.tls == NULL || carrier->between != NULL) {
		PyErr_SetString(PyExc_RuntimeError,
		                "expected a connection that _carry was called for");
		return NULL;
	}
	Layer layer;
	carrier->between = PyMem_Malloc(CARRY_RECORD);
	if (carrier->between == NULL) {
		return PyErr_NoMemory();
	}
	if (fill_layer(&layer, tls, incoming, outgoing) < 0) {
		return NULL;
	}
	carrier->outer = carrier->tls;
	carrier->tls = layer;
	Py_RETURN_NONE;
}
