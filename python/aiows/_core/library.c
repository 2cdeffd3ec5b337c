#include "core.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

Library lib;

bool library_forked;

static void *handle;

static void in_child(void)
{
	library_forked = true;
}

bool library_loaded(void)
{
	return handle != NULL;
}

// descriptors_left tells whether the Go runtime will find the descriptors that it
// cannot start without: it ends the process when it does not.
static bool descriptors_left(void)
{
	enum { WANTED = 8 };
	int fds[WANTED], n = 0;
	while (n < WANTED && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
		n++;
	}
	bool enough = n == WANTED || errno == ENOENT || errno == EACCES;
	while (n > 0) {
		close(fds[--n]);
	}
	return enough;
}

static int import_error(PyObject *message)
{
	if (message != NULL) {
		PyErr_SetImportError(message, NULL, NULL);
		Py_DECREF(message);
	}
	return -1;
}

int library_load(const char *path)
{
	if (handle != NULL) {
		return 0;
	}
	if (!descriptors_left()) {
		return import_error(PyUnicode_FromFormat("libaiows cannot be loaded: fewer than 8 "
		                                         "descriptors are left (ulimit -n)"));
	}
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (library == NULL) {
		const char *reason = dlerror();
		const char *hint = reason != NULL && strstr(reason, "initial-exec TLS") != NULL
		                           ? " (musl libc cannot load Go libraries; use glibc)"
		                           : "";
		return import_error(
			PyUnicode_FromFormat("libaiows cannot be loaded: %s%s", reason, hint));
	}
	// The number first: a library of another ABI may lack functions.
	int32_t (*abi_version)(void) = NULL;
	*(void **)&abi_version = dlsym(library, "aiows_abi_version");
	int32_t abi = abi_version != NULL ? abi_version() : 0;
	if (abi != AIOWS_ABI) {
		return import_error(PyUnicode_FromFormat(
			"%s has ABI number %d, but aiows._core was built for %d", path, (int)abi,
			AIOWS_ABI));
	}
	Library found;
#define X(name)                                                                                    \
	*(void **)&found.name = dlsym(library, "aiows_" #name);                                    \
	if (found.name == NULL) {                                                                  \
		return import_error(PyUnicode_FromFormat("%s lacks aiows_" #name, path));          \
	}
	LIBRARY_FUNCTIONS(X)
#undef X
	pthread_atfork(NULL, NULL, in_child);
	lib = found;
	handle = library;
	return 0;
}
