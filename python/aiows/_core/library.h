// library.h: the functions of libaiows, found at run time.
//
// The library is loaded by name and never linked, so that importing the
// extension starts no Go runtime.
#ifndef AIOWS_LIBRARY_H
#define AIOWS_LIBRARY_H

#include <stdbool.h>

#include "aiows.h"

#define LIBRARY_FUNCTIONS(X)                                                                       \
	X(version)                                                                                 \
	X(abi_version)                                                                             \
	X(strerror)                                                                                \
	X(close_code_name)                                                                         \
	X(loop_new)                                                                                \
	X(loop_fd)                                                                                 \
	X(poll)                                                                                    \
	X(wake)                                                                                    \
	X(loop_stats)                                                                              \
	X(loop_free)                                                                               \
	X(tls_options_init)                                                                        \
	X(tls_new)                                                                                 \
	X(tls_free)                                                                                \
	X(conn_options_init)                                                                       \
	X(connect_options_init)                                                                    \
	X(connect)                                                                                 \
	X(send)                                                                                    \
	X(send_fragment)                                                                           \
	X(ping)                                                                                    \
	X(pong)                                                                                    \
	X(close)                                                                                   \
	X(abort)                                                                                   \
	X(pause)                                                                                   \
	X(resume)                                                                                  \
	X(conn_stream)                                                                             \
	X(buffered)                                                                                \
	X(attach)                                                                                  \
	X(attach_redirect)                                                                         \
	X(take_socket)                                                                             \
	X(feed)                                                                                    \
	X(feed_end)                                                                                \
	X(drain)                                                                                   \
	X(conn_info)                                                                               \
	X(conn_stats)                                                                              \
	X(conn_error)                                                                              \
	X(conn_free)                                                                               \
	X(listen_options_init)                                                                     \
	X(listen)                                                                                  \
	X(listener_port)                                                                           \
	X(listener_free)                                                                           \
	X(request_info)                                                                            \
	X(accept_options_init)                                                                     \
	X(accept)                                                                                  \
	X(reject)                                                                                  \
	X(request_free)

// Library holds aiows_NAME as its member NAME.
typedef struct Library {
#define X(name) __typeof__(aiows_##name) *name;
	LIBRARY_FUNCTIONS(X)
#undef X
} Library;

// lib is filled by library_load; it belongs to the process, as the library does.
extern Library lib;

bool library_loaded(void);

// library_forked tells that this process is a forked child of the one that loaded the
// library, which then refuses every call. What needs no call has to ask.
extern bool library_forked;

// library_load loads path unless a library is loaded already. It raises
// ImportError: the file is missing, or its ABI number is another one.
int library_load(const char *path);

#endif
