// gate.h - what stands between the host process and the Go runtime.
#ifndef AIOWS_CAPI_GATE_H
#define AIOWS_CAPI_GATE_H

#include <stddef.h>
#include <stdint.h>

#include "aiows.h"

// States of the gate. FORKED is 0 because that is what MADV_WIPEONFORK leaves.
enum { GATE_FORKED = 0, GATE_OPEN = 1, GATE_POISONED = 2 };

extern int32_t *gate_state;

// gate_check returns 0, or why Go must not be entered.
static inline int32_t gate_check(void)
{
	int32_t state = __atomic_load_n(gate_state, __ATOMIC_RELAXED);
	if (__builtin_expect(state == GATE_OPEN, 1))
		return AIOWS_OK;
	return state == GATE_FORKED ? AIOWS_ERR_FORKED : AIOWS_ERR_INTERNAL;
}

// gate_poison makes gate_check answer AIOWS_ERR_INTERNAL from now on.
void gate_poison(void);

// gate_started tells that every Go package is initialised.
void gate_started(void);

// gate_fd adds or removes a descriptor that a forked child closes. A socket may be
// left in when it is closed: the child closes only what is the same file still.
void gate_fd(int fd, int open);

// gate_memory returns the bytes of memory of the machine, or 0.
uint64_t gate_memory(void);

// gate_alloc is malloc(3) for Go, whose own C.malloc ends the process for want of memory.
void *gate_alloc(size_t n);

// gate_trim returns what free(3) kept to the system.
void gate_trim(void);

// gate_write writes a log line and never raises SIGPIPE.
void gate_write(int fd, const char *line, size_t len);

#endif
