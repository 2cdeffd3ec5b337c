#include "core.h"

#include <string.h>

PyDoc_STRVAR(tls_doc,
             "TLS(*, server=False, insecure=False, min_version=0, max_version=0, ca_file=None,\n"
             "    ca_pem=None, cert_file=None, key_file=None, cert_pem=None, key_pem=None,\n"
             "    server_name=None, alpn=(), ca_dir=None, key_password=None, pins=(),\n"
             "    cipher_suites=(), any_name=False, client_cert_optional=False,\n"
             "    strict=False)\n--\n\n"
             "A TLS context that connections and listeners share.\n\n"
             "Certificates are loaded here, once; Error names what could not be loaded.");

static PyObject *tls_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	State *state = PyType_GetModuleState(type);
	if (PyTuple_Size(args) != 0) {
		PyErr_SetString(PyExc_TypeError, "TLS takes keyword arguments only");
		return NULL;
	}
	if (!library_loaded()) {
		PyErr_SetString(PyExc_RuntimeError, "the library is not loaded: call load first");
		return NULL;
	}
	aiows_tls_options options;
	lib.tls_options_init(&options, sizeof options);
	Scratch scratch;
	const Field *tables[] = { tls_fields, NULL };
	void *targets[] = { &options, NULL };
	TLS *self = NULL;
	if (scratch_init(&scratch) < 0) {
		return NULL;
	}
	uint16_t least = options.min_version;
	if (set_fields(state, &scratch, kwargs, tables, targets) == 0) {
		if (options.min_version == 0) {
			options.min_version = least;
		}
		aiows_error error = { .size = sizeof error };
		aiows_tls *handle;
		Py_BEGIN_ALLOW_THREADS handle = lib.tls_new(&options, &error);
		Py_END_ALLOW_THREADS if (handle == NULL)
		{
			raise_error(state, error.code, &error);
		}
		else if ((self = PyObject_New(TLS, type)) == NULL)
		{
			lib.tls_free(handle);
		}
		else
		{
			self->handle = handle;
		}
	}
	scratch_free(&scratch);
	return (PyObject *)self;
}

static void tls_dealloc(PyObject *op)
{
	PyTypeObject *type = Py_TYPE(op);
	TLS *self = (TLS *)op;
	if (!is_finalizing()) {
		lib.tls_free(self->handle);
	}
	PyObject_Free(op);
	Py_DECREF(type);
}

static PyType_Slot tls_slots[] = {
	{ Py_tp_doc, (void *)tls_doc },
	{ Py_tp_new, tls_new },
	{ Py_tp_dealloc, tls_dealloc },
	{ 0, NULL },
};

PyType_Spec tls_spec = {
	.name = "aiows._core.TLS",
	.basicsize = sizeof(TLS),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
	.slots = tls_slots,
};
