#include "call.h"

aiows_tls *aiows_tls_new(const aiows_tls_options *options, aiows_error *err)
{
	aiows_error e = { .size = sizeof e };
	aiows_tls_options o = default_tls_options;
	uintptr_t tls = 0;
	int32_t rc = gate_check();
	if (rc == AIOWS_OK)
		rc = sized_in(&o, sizeof o, options, "aiows_tls_options", &e);
	if (rc == AIOWS_OK)
		rc = go_tls_new(&o, &tls, &e);
	error_give(err, &e, rc);
	return (aiows_tls *)tls;
}

int32_t aiows_tls_free(aiows_tls *tls)
{
	ENTER();
	return go_tls_free(HANDLE(tls));
}
