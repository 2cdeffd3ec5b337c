#include "core.h"

#include <string.h>

PyDoc_STRVAR(error_doc, "A call into libaiows failed.\n\n"
                        "code is a number of ERRORS; os_errno, close_code and http_status are 0\n"
                        "where there is none.");

PyObject *error_type_new(void)
{
	PyObject *dict = Py_BuildValue("{s:i,s:i,s:i,s:i,s:s}", "code", 0, "os_errno", 0,
	                               "close_code", 0, "http_status", 0, "message", "");
	if (dict == NULL) {
		return NULL;
	}
	PyObject *type =
		PyErr_NewExceptionWithDoc("aiows._core.Error", error_doc, PyExc_Exception, dict);
	Py_DECREF(dict);
	return type;
}

PyObject *text_lenient(const char *data, Py_ssize_t len)
{
	return PyUnicode_DecodeUTF8(data, len, "surrogateescape");
}

static int set_int(PyObject *object, PyObject *name, long value)
{
	PyObject *number = PyLong_FromLong(value);
	if (number == NULL) {
		return -1;
	}
	int result = PyObject_SetAttr(object, name, number);
	Py_DECREF(number);
	return result;
}

PyObject *error_new(State *state, int32_t code, const aiows_error *error)
{
	bool detailed = error != NULL && error->code != 0;
	const char *text =
		detailed && error->message[0] != '\0' ? error->message : lib.strerror(code);
	PyObject *message = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
	if (message == NULL) {
		return NULL;
	}
	PyObject *object = call_one(state->error_type, message);
	if (object == NULL || PyObject_SetAttr(object, state->s_message, message) < 0 ||
	    set_int(object, state->s_code, code) < 0 ||
	    set_int(object, state->s_os_errno, detailed ? error->os_errno : 0) < 0 ||
	    set_int(object, state->s_close_code, detailed ? error->close_code : 0) < 0 ||
	    set_int(object, state->s_http_status, detailed ? error->http_status : 0) < 0) {
		Py_CLEAR(object);
	}
	Py_DECREF(message);
	return object;
}

void raise_object(PyObject *exception)
{
	if (exception == NULL) {
		return;
	}
	if (PyExceptionInstance_Check(exception)) {
		PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
	} else {
		PyErr_Format(PyExc_TypeError, "expected an exception, not %R", exception);
	}
	Py_DECREF(exception);
}

// raise_builtin raises the errors that are not the connection's, and answers
// whether code is one of them.
static bool raise_builtin(int32_t code)
{
	switch (code) {
	case AIOWS_ERR_FORKED:
		PyErr_SetString(PyExc_RuntimeError,
		                "aiows was used before fork(): connect after fork, or start "
		                "processes with the 'spawn' or 'forkserver' method");
		return true;
	case AIOWS_ERR_INTERNAL:
		PyErr_SetString(PyExc_RuntimeError, lib.strerror(code));
		return true;
	case AIOWS_ERR_MEMORY:
		PyErr_NoMemory();
		return true;
	}
	return false;
}

void raise_error(State *state, int32_t code, const aiows_error *error)
{
	if (!raise_builtin(code)) {
		raise_object(error_new(state, code, error));
	}
}

void raise_conn_error(Connection *conn, int32_t code)
{
	if (raise_builtin(code)) {
		return;
	}
	PyObject *error = error_new(conn->state, code, NULL);
	if (error != NULL) {
		raise_object(PyObject_CallMethodObjArgs((PyObject *)conn, conn->state->s__map_error,
		                                        error, NULL));
		Py_DECREF(error);
	}
}

void raise_closed(Connection *conn)
{
	raise_object(PyObject_CallMethodObjArgs((PyObject *)conn, conn->state->s__closed_exception,
	                                        NULL));
}

void raise_concurrency(Connection *conn)
{
	raise_object(PyObject_CallMethodObjArgs((PyObject *)conn, conn->state->s__concurrency_error,
	                                        NULL));
}
