// shim.h - what the C shim and the Go exports share.
#ifndef AIOWS_CAPI_SHIM_H
#define AIOWS_CAPI_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include "aiows.h"

// Parts of a wait. They never leave the library.
enum {
	POLL_TRY = 1,     // answer AIOWS_ERR_BUSY rather than wait for a lock
	POLL_WAIT = 2,    // nothing there: enter the waiters, answer SHIM_WAIT
	POLL_AGAIN = 4,   // back from waiting: leave the waiters first
	POLL_LEAVE = 8,   // the same, and nothing else
	SHIM_WAIT = 1000, // wait for fd, then call again
};

// Who uses the state of a connection that waits: a thread in aiows_recv; nobody, once it
// has left.
enum { BLOCKING_USED = 1, BLOCKING_FREED = 2 };

typedef struct poll_result {
	size_t n;
	int32_t fd;
} poll_result;

// Defaults of the options, as the init functions write them.
extern const aiows_loop_options default_loop_options;
extern const aiows_tls_options default_tls_options;
extern const aiows_conn_options default_conn_options;
extern const aiows_connect_options default_connect_options;
extern const aiows_listen_options default_listen_options;
extern const aiows_accept_options default_accept_options;

#endif
