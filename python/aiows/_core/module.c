#include "core.h"

static bool finalizing;

bool is_finalizing(void)
{
	return finalizing;
}

static State *module_state(PyObject *module)
{
	return PyModule_GetState(module);
}

State *state_of_base(PyTypeObject *type)
{
	while (type != NULL) {
		if (PyType_GetFlags(type) & Py_TPFLAGS_HEAPTYPE) {
			PyObject *module = PyType_GetModule(type);
			if (module != NULL && PyModule_GetDef(module) == &core_module) {
				return module_state(module);
			}
			PyErr_Clear();
		}
		type = PyType_GetSlot(type, Py_tp_base);
	}
	PyErr_BadInternalCall();
	return NULL;
}

static int import_from(PyObject **slot, const char *module_name, const char *name)
{
	PyObject *module = PyImport_ImportModule(module_name);
	if (module == NULL) {
		return -1;
	}
	replace(slot, PyObject_GetAttrString(module, name));
	Py_DECREF(module);
	return *slot != NULL ? 0 : -1;
}

// make_done_future makes the Future with which tasks in C are woken. Its loop is
// asked for get_debug() alone, so that no real one is kept alive.
static int make_done_future(State *state)
{
	PyObject *future_type = NULL, *namespace_type = NULL, *kwargs = NULL;
	PyObject *no_args = PyTuple_New(0), *loop = NULL, *future = NULL, *done = NULL;
	if (no_args != NULL && import_from(&future_type, "asyncio", "Future") == 0 &&
	    import_from(&namespace_type, "types", "SimpleNamespace") == 0 &&
	    (kwargs = Py_BuildValue("{s:O}", "get_debug", (PyObject *)&PyBool_Type)) != NULL &&
	    (loop = PyObject_Call(namespace_type, no_args, kwargs)) != NULL) {
		replace(&kwargs, Py_BuildValue("{s:O}", "loop", loop));
		future = kwargs != NULL ? PyObject_Call(future_type, no_args, kwargs) : NULL;
		done = future != NULL ? PyObject_CallMethod(future, "set_result", "O", Py_None)
		                      : NULL;
	}
	if (done != NULL) {
		replace(&state->done_future, Py_NewRef(future));
	}
	int result = done != NULL ? 0 : -1;
	Py_XDECREF(done);
	Py_XDECREF(future);
	Py_XDECREF(loop);
	Py_XDECREF(kwargs);
	Py_XDECREF(no_args);
	Py_XDECREF(namespace_type);
	Py_XDECREF(future_type);
	return result;
}

int import_asyncio(State *state)
{
	if (state->asyncio_imported) {
		return 0;
	}
	if (import_from(&state->cancelled_error, "asyncio", "CancelledError") < 0 ||
	    import_from(&state->invalid_state_error, "asyncio", "InvalidStateError") < 0 ||
	    import_from(&state->running_loop, "asyncio", "_get_running_loop") < 0 ||
	    import_from(&state->current_task, "asyncio", "current_task") < 0 ||
	    import_from(&state->task_type, "asyncio", "Task") < 0 ||
	    import_from(&state->copy_context, "contextvars", "copy_context") < 0 ||
	    make_done_future(state) < 0) {
		return -1;
	}
	// Looking into the dict takes a fraction of the call's time; 3.14 has it no more.
	if (Py_Version < 0x030e0000 &&
	    import_from(&state->current_tasks, "asyncio.tasks", "_current_tasks") < 0) {
		return -1;
	}
	state->asyncio_imported = true;
	return 0;
}

// --- functions

PyDoc_STRVAR(load_doc, "load($module, path, /)\n--\n\n"
                       "Load libaiows from path, once a process. Raises ImportError when it is\n"
                       "missing or has another ABI number.");

static PyObject *load(PyObject *module UNUSED, PyObject *path)
{
	PyObject *encoded;
	if (!PyUnicode_FSConverter(path, &encoded)) {
		return NULL;
	}
	int result = library_load(PyBytes_AsString(encoded));
	Py_DECREF(encoded);
	if (result < 0) {
		return NULL;
	}
	Py_RETURN_NONE;
}

PyDoc_STRVAR(loaded_doc, "loaded($module, /)\n--\n\nWhether load has succeeded.");

static PyObject *loaded(PyObject *module UNUSED, PyObject *unused UNUSED)
{
	return PyBool_FromLong(library_loaded());
}

static bool check_loaded(void)
{
	if (!library_loaded()) {
		PyErr_SetString(PyExc_RuntimeError, "the library is not loaded: call load first");
	}
	return library_loaded();
}

PyDoc_STRVAR(version_doc, "version($module, /)\n--\n\nThe version of the library.");

static PyObject *version(PyObject *module UNUSED, PyObject *unused UNUSED)
{
	return check_loaded() ? PyUnicode_FromString(lib.version()) : NULL;
}

static PyObject *text_of_code(PyObject *object, const char *(*function)(int32_t code))
{
	long code = PyLong_AsLong(object);
	if ((code == -1 && PyErr_Occurred()) || !check_loaded()) {
		return NULL;
	}
	int32_t number = code >= INT32_MIN && code <= INT32_MAX ? (int32_t)code : INT32_MAX;
	return PyUnicode_FromString(function(number));
}

PyDoc_STRVAR(strerror_doc, "strerror($module, code, /)\n--\n\nThe text of an error code.");

static PyObject *core_strerror(PyObject *module UNUSED, PyObject *code)
{
	return text_of_code(code, lib.strerror);
}

PyDoc_STRVAR(close_code_name_doc, "close_code_name($module, code, /)\n--\n\n"
                                  "The IANA name of a close code.");

static PyObject *close_code_name(PyObject *module UNUSED, PyObject *code)
{
	return text_of_code(code, lib.close_code_name);
}

PyDoc_STRVAR(set_closed_ok_doc, "set_closed_ok($module, cls, /)\n--\n\n"
                                "Have cls end async for instead of being raised by it.");

static PyObject *set_closed_ok(PyObject *module, PyObject *class)
{
	if (!PyExceptionClass_Check(class)) {
		PyErr_Format(PyExc_TypeError, "expected an exception class, not %R", class);
		return NULL;
	}
	replace(&module_state(module)->closed_ok, Py_NewRef(class));
	Py_RETURN_NONE;
}

static PyObject *at_exit(PyObject *module UNUSED, PyObject *unused UNUSED)
{
	finalizing = true;
	Py_RETURN_NONE;
}

static PyMethodDef at_exit_def = { "_at_exit", at_exit, METH_NOARGS, NULL };

static PyMethodDef core_methods[] = {
	{ "load", load, METH_O, load_doc },
	{ "loaded", loaded, METH_NOARGS, loaded_doc },
	{ "version", version, METH_NOARGS, version_doc },
	{ "strerror", core_strerror, METH_O, strerror_doc },
	{ "close_code_name", close_code_name, METH_O, close_code_name_doc },
	{ "set_closed_ok", set_closed_ok, METH_O, set_closed_ok_doc },
	{ NULL, NULL, 0, NULL },
};

// --- module

static int add_error_codes(PyObject *module)
{
	static const struct {
		const char *name;
		int number;
	} codes[] = {
#define X(name, number, text) { #name, number },
		AIOWS_ERROR_MAP(X)
#undef X
	};
	PyObject *dict = PyDict_New();
	for (size_t i = 0; dict != NULL && i < sizeof codes / sizeof codes[0]; i++) {
		PyObject *number = PyLong_FromLong(codes[i].number);
		if (number == NULL || PyDict_SetItemString(dict, codes[i].name, number) < 0) {
			Py_CLEAR(dict);
		}
		Py_XDECREF(number);
	}
	int result = dict != NULL ? PyModule_AddObjectRef(module, "ERRORS", dict) : -1;
	Py_XDECREF(dict);
	return result;
}

// The flag is set before anything is torn down, and only where the process ends: a
// sub-interpreter's objects may go on calling the library.
static int register_at_exit(PyObject *module)
{
	if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
		return 0;
	}
	PyObject *register_ = NULL;
	PyObject *function = PyCFunction_New(&at_exit_def, module);
	PyObject *result = NULL;
	if (function != NULL && import_from(&register_, "atexit", "register") == 0) {
		result = call_one(register_, function);
	}
	Py_XDECREF(register_);
	Py_XDECREF(function);
	Py_XDECREF(result);
	return result != NULL ? 0 : -1;
}

static int refuse_free_threading(void)
{
	PyObject *flags = PySys_GetObject("abiflags");
	if (flags != NULL && PyUnicode_Check(flags) &&
	    PyUnicode_FindChar(flags, 't', 0, PyUnicode_GetLength(flags), 1) >= 0) {
		PyErr_SetString(PyExc_ImportError,
		                "aiows does not support free-threaded builds of Python yet");
		return -1;
	}
	return 0;
}

static int core_exec(PyObject *module)
{
	State *state = module_state(module);
	if (refuse_free_threading() < 0) {
		return -1;
	}
#define X(name)                                                                                    \
	if ((state->s_##name = PyUnicode_InternFromString(#name)) == NULL) {                       \
		return -1;                                                                         \
	}
	CORE_NAMES(X)
#undef X
	static const struct {
		PyType_Spec *spec;
		size_t offset;
		bool public;
	} types[] = {
		{ &loop_spec, offsetof(State, loop_type), true },
		{ &connection_spec, offsetof(State, connection_type), true },
		{ &blocking_spec, offsetof(State, blocking_type), true },
		{ &tls_spec, offsetof(State, tls_type), true },
		{ &listener_spec, offsetof(State, listener_type), true },
		{ &request_spec, offsetof(State, request_type), true },
		{ &awaitable_spec, offsetof(State, awaitable_type), false },
		{ &waiter_spec, offsetof(State, waiter_type), false },
	};
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		PyTypeObject *type =
			(PyTypeObject *)PyType_FromModuleAndSpec(module, types[i].spec, NULL);
		if (type == NULL) {
			return -1;
		}
		*(PyTypeObject **)((char *)state + types[i].offset) = type;
		if (types[i].public && PyModule_AddType(module, type) < 0) {
			return -1;
		}
	}
	state->error_type = error_type_new();
	if (state->error_type == NULL ||
	    PyModule_AddObjectRef(module, "Error", state->error_type) < 0 ||
	    PyModule_AddIntConstant(module, "ABI", AIOWS_ABI) < 0 || add_error_codes(module) < 0) {
		return -1;
	}
	return register_at_exit(module);
}

#define STATE_OBJECTS(X)                                                                           \
	X(error_type)                                                                              \
	X(closed_ok)                                                                               \
	X(cancelled_error)                                                                         \
	X(invalid_state_error)                                                                     \
	X(running_loop)                                                                            \
	X(current_task)                                                                            \
	X(current_tasks)                                                                           \
	X(copy_context)                                                                            \
	X(task_type)                                                                               \
	X(done_future)

#define STATE_TYPES(X)                                                                             \
	X(loop_type)                                                                               \
	X(connection_type)                                                                         \
	X(blocking_type)                                                                           \
	X(awaitable_type)                                                                          \
	X(waiter_type)                                                                             \
	X(tls_type)                                                                                \
	X(listener_type)                                                                           \
	X(request_type)

static int core_traverse(PyObject *module, visitproc visit, void *arg)
{
	State *state = module_state(module);
#define X(name) Py_VISIT((PyObject *)state->name);
	STATE_OBJECTS(X)
	STATE_TYPES(X)
#undef X
	return 0;
}

static int core_clear(PyObject *module)
{
	State *state = module_state(module);
#define X(name) Py_CLEAR(state->name);
	STATE_OBJECTS(X)
	STATE_TYPES(X)
#undef X
	return 0;
}

static void core_free(void *module)
{
	State *state = module_state(module);
	core_clear(module);
#define X(name) Py_CLEAR(state->s_##name);
	CORE_NAMES(X)
#undef X
}

static PyModuleDef_Slot core_slots[] = {
	{ Py_mod_exec, core_exec },
	{ 0, NULL },
};

PyDoc_STRVAR(core_doc, "The engine's C interface for Python; see aiows for what to use.");

PyModuleDef core_module = {
	PyModuleDef_HEAD_INIT,       .m_name = "aiows._core",   .m_doc = core_doc,
	.m_size = sizeof(State),     .m_methods = core_methods, .m_slots = core_slots,
	.m_traverse = core_traverse, .m_clear = core_clear,     .m_free = core_free,
};

PyMODINIT_FUNC PyInit__core(void)
{
	return PyModuleDef_Init(&core_module);
}
