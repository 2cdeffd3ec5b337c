// blocking.h - what aiows_recv shares with the rest of the shim.
#ifndef AIOWS_CAPI_BLOCKING_H
#define AIOWS_CAPI_BLOCKING_H

#include <stdint.h>
#include <time.h>

// blocking_end frees the state of a connection that nobody uses any more, and its loop.
void blocking_end(void *state);

// deadline returns the CLOCK_MONOTONIC time in that many milliseconds, now for a negative
// number; until how long it is to go, none when it has passed; milliseconds rounds up.
struct timespec deadline(int32_t timeout_ms);
struct timespec until(struct timespec end);
int32_t milliseconds(struct timespec left);

#endif
