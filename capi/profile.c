//go:build aiows_profile

#include "_cgo_export.h"

__attribute__((destructor)) static void at_exit(void)
{
	go_profile_end();
}
