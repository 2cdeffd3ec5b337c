// methods.c: what the methods of both kinds of connection have in common.
#include "core.h"

// --- arguments

int keywords_from(PyObject *const *args, Py_ssize_t n, PyObject *names,
                  const char *const keywords[2], PyObject **values)
{
	Py_ssize_t n_names = names != NULL ? PyTuple_Size(names) : 0;
	Py_ssize_t most = keywords[1] != NULL ? 2 : 1;
	if (n > most) {
		PyErr_Format(PyExc_TypeError, "expected at most %zd arguments, got %zd", most, n);
		return -1;
	}
	for (Py_ssize_t i = 0; i < n; i++) {
		values[i] = args[i];
	}
	for (Py_ssize_t i = 0; i < n_names; i++) {
		PyObject *name = PyTuple_GetItem(names, i);
		Py_ssize_t place = 0;
		while (place < most &&
		       PyUnicode_CompareWithASCIIString(name, keywords[place]) != 0) {
			place++;
		}
		if (place == most || values[place] != NULL) {
			PyErr_Format(PyExc_TypeError, "unexpected keyword argument %R", name);
			return -1;
		}
		values[place] = args[n + i];
	}
	return 0;
}

int message_from(PyObject *const *args, Py_ssize_t n, PyObject *names, PyObject **message,
                 PyObject **text)
{
	static const char *const keywords[2] = { "message", "text" };
	PyObject *values[2] = { NULL, NULL };
	if (keywords_from(args, n, names, keywords, values) < 0) {
		return -1;
	}
	if (values[0] == NULL) {
		PyErr_SetString(PyExc_TypeError, "missing argument: 'message'");
		return -1;
	}
	*message = values[0];
	*text = values[1] != NULL ? values[1] : Py_None;
	return 0;
}

int decode_from_object(PyObject *value, int *decode)
{
	*decode = value != NULL && value != Py_None ? PyObject_IsTrue(value) : -1;
	return *decode < 0 && PyErr_Occurred() ? -1 : 0;
}

// --- description

PyObject *buffered_of(State *state, aiows_conn *handle, size_t more)
{
	size_t bytes = 0;
	if (handle != NULL) {
		int32_t code = lib.buffered(handle, &bytes);
		if (code < 0 && code != AIOWS_ERR_CLOSED) {
			raise_error(state, code, NULL);
			return NULL;
		}
	}
	return PyLong_FromSize_t(bytes + more);
}

// --- sending

int send_fragment(aiows_conn *handle, int32_t without, int kind, int fin, PyObject *data)
{
	Payload payload;
	if (message_kind(data, Py_None) < 0 || payload_open(&payload, data) < 0) {
		return SEND_RAISED;
	}
	int32_t code = without;
	if (handle != NULL) {
		Py_BEGIN_ALLOW_THREADS code = lib.send_fragment(handle, kind, AIOWS_FORCE, fin,
		                                                payload.data, (size_t)payload.len);
		Py_END_ALLOW_THREADS
	}
	payload_close(&payload);
	return code;
}

int send_control(aiows_conn *handle, int32_t without, __typeof__(lib.ping) function, PyObject *data)
{
	Payload payload;
	if (message_kind(data, Py_None) < 0 || payload_open(&payload, data) < 0) {
		return SEND_RAISED;
	}
	int32_t code = without;
	if (handle != NULL) {
		Py_BEGIN_ALLOW_THREADS code = function(handle, payload.data, (size_t)payload.len);
		Py_END_ALLOW_THREADS
	}
	payload_close(&payload);
	return code;
}

// --- what subclasses replace

PyObject *hook_nothing(PyObject *op UNUSED, PyObject *unused UNUSED)
{
	Py_RETURN_NONE;
}

PyObject *hook_map_error(PyObject *op UNUSED, PyObject *error)
{
	return Py_NewRef(error);
}

PyObject *hook_send_parts(PyObject *op UNUSED, PyObject *args)
{
	PyObject *message, *text;
	if (PyArg_ParseTuple(args, "OO:_send_parts", &message, &text)) {
		message_kind(message, text); // raises
	}
	return NULL;
}
