// sized.h - structs that begin with their size, in and out.
#ifndef AIOWS_CAPI_SIZED_H
#define AIOWS_CAPI_SIZED_H

#include <stddef.h>
#include <stdint.h>

#include "aiows.h"

// sized_in copies the caller's options over the defaults that ours holds. Fields
// that the caller's header does not know keep their default; fields that this
// library does not know must be 0. theirs may be NULL.
int32_t sized_in(void *ours, size_t size, const void *theirs, const char *what, aiows_error *e);

// sized_init fills the caller's options of n bytes from the defaults.
void sized_init(void *theirs, size_t n, const void *defaults, size_t size);

// sized_out gives ours to the caller, as much of it as theirs has room for.
int32_t sized_out(void *theirs, const void *ours, size_t size);

// sized_check tells whether sized_out would succeed.
int32_t sized_check(const void *theirs);

// error_set notes code and what happened, and returns code.
__attribute__((format(printf, 3, 4))) int32_t error_set(aiows_error *e, int32_t code,
                                                        const char *format, ...);

// error_give writes e to the caller's err, if there is one, when code is an error,
// and returns code.
int32_t error_give(aiows_error *err, aiows_error *e, int32_t code);

#endif
