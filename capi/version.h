// version.h - the version of the library, named nowhere else in capi.
#ifndef AIOWS_CAPI_VERSION_H
#define AIOWS_CAPI_VERSION_H

#define AIOWS_VERSION_TEXT "0.1.0"

#endif
