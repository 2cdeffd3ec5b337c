#include "sized.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// No struct of this library comes near this size: more is an uninitialised field.
#define MAX_SIZE 4096

static uint32_t size_of(const void *theirs)
{
	uint32_t n;
	memcpy(&n, theirs, sizeof n);
	return n;
}

// Sizes are multiples of 8, and 8-byte fields are aligned: no field is ever cut.
static int plausible(size_t n)
{
	return n >= 8 && n % 8 == 0 && n <= MAX_SIZE;
}

int32_t sized_in(void *ours, size_t size, const void *theirs, const char *what, aiows_error *e)
{
	if (theirs == NULL)
		return AIOWS_OK;
	uint32_t n = size_of(theirs);
	if (!plausible(n))
		return error_set(e, AIOWS_ERR_ARGUMENT,
		                 "size of %s is %lu, expected sizeof, as %s_init sets it", what,
		                 (unsigned long)n, what);
	for (size_t i = size; i < n; i++)
		if (((const char *)theirs)[i] != 0)
			return error_set(
				e, AIOWS_ERR_UNSUPPORTED,
				"%s sets a field at byte %lu, which version %s does not know", what,
				(unsigned long)i, aiows_version());
	memcpy((char *)ours + sizeof n, (const char *)theirs + sizeof n,
	       (n < size ? n : size) - sizeof n);
	return AIOWS_OK;
}

void sized_init(void *theirs, size_t n, const void *defaults, size_t size)
{
	if (theirs == NULL || !plausible(n))
		return;
	uint32_t stated = (uint32_t)n;
	memset(theirs, 0, n);
	memcpy(theirs, defaults, n < size ? n : size);
	memcpy(theirs, &stated, sizeof stated);
}

int32_t sized_check(const void *theirs)
{
	return theirs != NULL && plausible(size_of(theirs)) ? AIOWS_OK : AIOWS_ERR_ARGUMENT;
}

int32_t sized_out(void *theirs, const void *ours, size_t size)
{
	if (sized_check(theirs) != AIOWS_OK)
		return AIOWS_ERR_ARGUMENT;
	uint32_t n = size_of(theirs);
	size_t common = n < size ? n : size;
	memcpy((char *)theirs + sizeof n, (const char *)ours + sizeof n, common - sizeof n);
	memset((char *)theirs + common, 0, n - common);
	return AIOWS_OK;
}

int32_t error_set(aiows_error *e, int32_t code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(e->message, sizeof e->message, format, args);
	va_end(args);
	e->code = code;
	return code;
}

int32_t error_give(aiows_error *err, aiows_error *e, int32_t code)
{
	if (code >= 0 || err == NULL)
		return code;
	e->code = code;
	if (e->message[0] == 0)
		snprintf(e->message, sizeof e->message, "%s", aiows_strerror(code));
	uint32_t n = size_of(err);
	if (sized_out(err, e, sizeof *e) == AIOWS_OK && n > offsetof(aiows_error, message) &&
	    n < sizeof *e)
		((char *)err)[n - 1] = 0;
	return code;
}
