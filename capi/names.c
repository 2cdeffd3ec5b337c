// The functions that never enter Go, and so work in a forked child.
#include "aiows.h"

#include "close_codes.h"
#include "version.h"

const char *aiows_version(void)
{
	return AIOWS_VERSION_TEXT;
}

int32_t aiows_abi_version(void)
{
	return AIOWS_ABI;
}

const char *aiows_strerror(int32_t code)
{
	switch (code) {
	case AIOWS_OK:
		return "success";
#define TEXT(name, number, text)                                                                   \
	case number:                                                                               \
		return text;
		AIOWS_ERROR_MAP(TEXT)
#undef TEXT
	}
	return "unknown error";
}

const char *aiows_close_code_name(int32_t code)
{
#define RUN(first, last, name)                                                                     \
	if (code >= (first) && code <= (last))                                                     \
		return name;
	CLOSE_CODE_MAP(RUN)
#undef RUN
	return "invalid";
}
