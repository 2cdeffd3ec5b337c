// message.c: messages, as they come in and as they go out.
#include "core.h"

// Up to this size sending keeps the GIL: giving it up costs more than the copy.
enum { LARGE = 16 * 1024 };

// A queue that had room for more than this is given back once it is empty.
enum { SPACIOUS = 64 };

// Messages from this length on wait in their events.
enum { RAW = 1024 };

// --- queue

static Message *queue_add(Connection *self)
{
	uint32_t size = self->ring != NULL ? self->ring_mask + 1 : 0;
	if (self->count == size) {
		uint32_t larger = size == 0 ? 8 : size * 2;
		Message *ring = larger > size ? PyMem_Malloc(larger * sizeof *ring) : NULL;
		if (ring == NULL) {
			PyErr_NoMemory();
			return NULL;
		}
		for (uint32_t i = 0; i < self->count; i++) {
			ring[i] = self->ring[(self->head + i) & self->ring_mask];
		}
		PyMem_Free(self->ring);
		self->ring = ring;
		self->ring_mask = larger - 1;
		self->head = 0;
	}
	return &self->ring[(self->head + self->count) & self->ring_mask];
}

// queue_lost ends a connection that misses a message for want of memory: it must not
// go on with a gap.
static void queue_lost(Connection *self, const aiows_event *event)
{
	self->muted = true;
	lib.abort((aiows_conn *)(uintptr_t)event->conn);
}

static int message_convert(Connection *self, Message *message)
{
	const aiows_event *event = message->from.event;
	message->object = message_new(self, event);
	message->from.time_ns = event->time_ns;
	if (message->object == NULL) {
		queue_lost(self, event);
		return -1;
	}
	return 0;
}

static void queue_raw(Connection *self, Message *place, const aiows_event *event)
{
	place->object = NULL;
	place->from.event = event;
	self->count++;
	self->raw++;
	if (!self->listed) {
		Loop *loop = self->loop;
		self->listed = true;
		self->next_raw = loop->with_raw;
		loop->with_raw = (Connection *)Py_NewRef((PyObject *)self);
	}
}

// queue_message adds the message of an event. A raw one wants queue_convert before the
// next poll.
int queue_message(Connection *self, const aiows_event *event)
{
	Message *place = queue_add(self);
	// Behind a raw one every one is: convert_raw takes them from the end.
	if (place != NULL && (event->len >= RAW || self->raw > 0)) {
		queue_raw(self, place, event);
		return 0;
	}
	PyObject *object = place != NULL ? message_new(self, event) : NULL;
	if (object == NULL) {
		queue_lost(self, event);
		return -1;
	}
	place->object = object;
	place->from.time_ns = event->time_ns;
	self->count++;
	return 0;
}

static void convert_raw(Connection *self)
{
	while (self->raw > 0) {
		uint32_t at = self->head + self->count - self->raw;
		if (message_convert(self, &self->ring[at & self->ring_mask]) < 0) {
			PyErr_Clear();
			self->count -= self->raw;
			self->raw = 0;
			return;
		}
		self->raw--;
	}
}

// queue_convert makes objects of all that points into the batch in hand.
void queue_convert(Loop *loop)
{
	while (loop->with_raw != NULL) {
		Connection *conn = loop->with_raw;
		loop->with_raw = conn->next_raw;
		conn->listed = false;
		convert_raw(conn);
		Py_DECREF((PyObject *)conn);
	}
}

PyObject *queue_pop(Connection *self)
{
	Message *message = &self->ring[self->head];
	self->head = (self->head + 1) & self->ring_mask;
	self->count--;
	if (message->object == NULL) {
		self->raw--;
		if (message_convert(self, message) < 0) {
			self->count = self->raw = 0;
			return NULL;
		}
	}
	self->received_at = message->from.time_ns;
	PyObject *object = message->object;
	if (self->count == 0 && self->ring_mask >= SPACIOUS) {
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
	return object;
}

// gather adds a part, which it steals, to those of a message that is not complete for recv:
// 1 when it is now, -1 with an exception.
static int gather(Connection *self, PyObject *part)
{
	bool fin = PyTuple_GetItem(part, 1) == Py_True;
	if (self->parts == NULL) {
		self->parts = PyList_New(0);
	}
	int result = self->parts != NULL ? PyList_Append(self->parts, part) : -1;
	Py_DECREF(part);
	return result < 0 ? -1 : fin;
}

// whole makes a message of the parts that were gathered.
static PyObject *whole(Connection *self)
{
	PyObject *parts = self->parts;
	Py_ssize_t n = PyList_Size(parts);
	bool text = PyTuple_GetItem(PyList_GetItem(parts, 0), 2) == Py_True;
	PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
	PyObject *joined = NULL;
	self->parts = NULL;
	for (Py_ssize_t i = 0; i < n; i++) {
		PyObject *data = Py_NewRef(PyTuple_GetItem(PyList_GetItem(parts, i), 0));
		PyList_SetItem(parts, i, data);
	}
	if (empty != NULL) {
		joined = PyObject_CallMethod(empty, "join", "O", parts);
		Py_DECREF(empty);
	}
	Py_DECREF(parts);
	if (joined != NULL && text && !self->text_as_bytes) {
		PyObject *decoded = PyUnicode_FromEncodedObject(joined, "utf-8", NULL);
		Py_DECREF(joined);
		return decoded;
	}
	return joined;
}

PyObject *message_next(Connection *self)
{
	while (self->count > 0) {
		PyObject *object = queue_pop(self);
		if (object == NULL || !PyTuple_CheckExact(object)) {
			return object;
		}
		int result = gather(self, object); // so that the queue is not full of parts
		if (result != 0) {
			return result > 0 ? whole(self) : NULL;
		}
	}
	return NULL;
}

PyObject *messages_next(Connection *conn, uint32_t most)
{
	PyObject *list = NULL;
	for (uint32_t n = 0; n < most; n++) {
		PyObject *message = message_next(conn);
		if (message == NULL) {
			break;
		}
		if (list == NULL && (list = PyList_New(0)) == NULL) {
			Py_DECREF(message);
			return NULL;
		}
		int appended = PyList_Append(list, message);
		Py_DECREF(message);
		if (appended < 0) {
			break;
		}
	}
	if (PyErr_Occurred()) {
		Py_CLEAR(list);
	}
	return list;
}

PyObject *part_next(Connection *self)
{
	PyObject *part;
	if (self->parts != NULL) { // a recv was cancelled
		part = Py_NewRef(PyList_GetItem(self->parts, 0));
		if (PyList_SetSlice(self->parts, 0, 1, NULL) < 0) {
			Py_DECREF(part);
			return NULL;
		}
		if (PyList_Size(self->parts) == 0) {
			Py_CLEAR(self->parts);
		}
	} else {
		part = queue_pop(self);
	}
	if (part != NULL && !PyTuple_CheckExact(part)) {
		part = Py_BuildValue("(NOO)", part, Py_True,
		                     PyUnicode_Check(part) ? Py_True : Py_False);
	}
	if (part != NULL) {
		self->streaming = PyTuple_GetItem(part, 1) != Py_True;
	}
	return part;
}

PyObject *message_of(const aiows_event *event, bool as_bytes)
{
	const char *data = (const char *)(uintptr_t)event->data;
	if (event->kind == AIOWS_TEXT && !as_bytes) {
		return PyUnicode_DecodeUTF8(data != NULL ? data : "", (Py_ssize_t)event->len, NULL);
	}
	return PyBytes_FromStringAndSize(data, (Py_ssize_t)event->len);
}

// message_new returns the str or bytes of an event; of a part a tuple of bytes, as it may end
// inside a character, whether it is the last, and whether it is text. It is called once for
// each event, in order.
PyObject *message_new(Connection *self, const aiows_event *event)
{
	bool fin = (event->flags & AIOWS_EVF_FIN) != 0;
	if (fin && !self->parted) {
		return message_of(event, self->text_as_bytes);
	}
	self->parted = !fin;
	PyObject *data = message_of(event, true);
	return data == NULL ? NULL
	                    : Py_BuildValue("(NOO)", data, fin ? Py_True : Py_False,
	                                    event->kind == AIOWS_TEXT ? Py_True : Py_False);
}

PyObject *message_decode(PyObject *message, int decode)
{
	if (message == NULL || decode < 0 || (decode != 0) == PyUnicode_Check(message)) {
		return message;
	}
	PyObject *converted;
	if (decode) {
		char *data;
		Py_ssize_t len;
		converted = PyBytes_AsStringAndSize(message, &data, &len) == 0
		                    ? PyUnicode_DecodeUTF8(data, len, NULL)
		                    : NULL;
	} else {
		converted = PyUnicode_AsUTF8String(message);
	}
	Py_DECREF(message);
	return converted;
}

// --- out

// message_kind returns AIOWS_TEXT or AIOWS_BINARY, or -1 with TypeError.
int message_kind(PyObject *message, PyObject *text)
{
	int kind;
	if (PyUnicode_Check(message)) {
		kind = AIOWS_TEXT;
	} else if (PyBytes_Check(message) || PyObject_CheckBuffer(message)) {
		kind = AIOWS_BINARY;
	} else {
		PyErr_Format(PyExc_TypeError, "expected str or a bytes-like object, not %R",
		             (PyObject *)Py_TYPE(message));
		return -1;
	}
	if (text != Py_None) {
		int truth = PyObject_IsTrue(text);
		kind = truth < 0 ? -1 : truth ? AIOWS_TEXT : AIOWS_BINARY;
	}
	return kind;
}

int payload_open(Payload *payload, PyObject *object)
{
	payload->exported = false;
	if (PyBytes_Check(object)) {
		return PyBytes_AsStringAndSize(object, (char **)&payload->data, &payload->len);
	}
	if (PyUnicode_Check(object)) {
		payload->data = PyUnicode_AsUTF8AndSize(object, &payload->len);
		return payload->data != NULL ? 0 : -1;
	}
	if (PyObject_GetBuffer(object, &payload->buffer, PyBUF_SIMPLE) < 0) {
		return -1;
	}
	payload->exported = true;
	payload->data = payload->buffer.buf;
	payload->len = payload->buffer.len;
	return 0;
}

void payload_close(Payload *payload)
{
	if (payload->exported) {
		PyBuffer_Release(&payload->buffer);
	}
}

int send_payload(aiows_conn *handle, PyObject *object, int kind, uint32_t flags, size_t *len_out)
{
	Payload payload;
	if (payload_open(&payload, object) < 0) {
		return SEND_RAISED;
	}
	size_t len = (size_t)payload.len;
	int32_t code = AIOWS_ERR_STATE;
	if (handle != NULL) {
		code = AIOWS_ERR_BUSY;
		if (len <= LARGE) {
			code = lib.send(handle, kind, flags | AIOWS_TRY, payload.data, len);
		}
		if (code == AIOWS_ERR_BUSY) {
			Py_BEGIN_ALLOW_THREADS code =
				lib.send(handle, kind, flags, payload.data, len);
			Py_END_ALLOW_THREADS
		}
	}
	payload_close(&payload);
	*len_out = len;
	return code;
}

int send_message(Connection *self, PyObject *object, int kind, uint32_t flags, size_t *len_out)
{
	int code = send_payload(self->handle, object, kind, flags, len_out);
	if (code == AIOWS_ERR_HANDLE && self->status == AIOWS_CLOSED) {
		return AIOWS_ERR_CLOSED; // another thread closed the loop meanwhile
	}
	return code;
}
