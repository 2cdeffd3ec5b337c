// call.h - what every shim function begins with.
#ifndef AIOWS_CAPI_CALL_H
#define AIOWS_CAPI_CALL_H

#include "_cgo_export.h"
#include "gate.h"
#include "shim.h"
#include "sized.h"

// HANDLE is the number by which Go looks a handle up. Values below a page are no
// handle of ours, and Go's stack scan refuses them as pointers.
#define HANDLE(h) ((uintptr_t)(h) < 4096 ? 0 : (uintptr_t)(h))

// ENTER returns when Go must not be entered.
#define ENTER()                                                                                    \
	do {                                                                                       \
		int32_t closed = gate_check();                                                     \
		if (closed != AIOWS_OK)                                                            \
			return closed;                                                             \
	} while (0)

// NEED returns code unless condition holds.
#define NEED(condition, code)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return code;                                                               \
	} while (0)

// MAX_DEFLATE is the largest deflate_len.
#define MAX_DEFLATE 16

// conn_in holds the caller's options of a connection, in this library's version.
typedef struct conn_in {
	aiows_conn_options options;
	aiows_deflate deflate[MAX_DEFLATE];
} conn_in;

// conn_options copies options, which may be NULL, over the defaults that in holds.
int32_t conn_options(conn_in *in, const aiows_conn_options *options, aiows_error *e);

// connect_options does the same for those of a client; o holds the defaults.
int32_t connect_options(aiows_connect_options *o, conn_in *c, const aiows_connect_options *options,
                        aiows_error *e);

// SPAN tells whether n elements of size bytes at data can be a piece of memory.
#define SPAN(data, n, size) ((n) == 0 || ((data) != NULL && (n) <= PTRDIFF_MAX / (size)))

#endif
