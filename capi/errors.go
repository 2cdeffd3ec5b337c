package main

// #include "aiows.h"
import "C"

import (
	"errors"
	"fmt"
	"unicode/utf8"
	"unsafe"

	"aiows/libws"
)

// result returns the number of err.
func result(err error) C.int32_t {
	switch e := err.(type) {
	case nil:
		return C.AIOWS_OK
	case libws.Code:
		return C.int32_t(e)
	case *libws.Error:
		return C.int32_t(e.Code)
	}
	var e *libws.Error
	if errors.As(err, &e) {
		return C.int32_t(e.Code)
	}
	var c libws.Code
	if errors.As(err, &c) {
		return C.int32_t(c)
	}
	return C.AIOWS_ERR_INTERNAL
}

// explain fills out from err and returns its number.
func explain(out *C.aiows_error, err error) C.int32_t {
	rc := result(err)
	if rc >= 0 {
		return rc
	}
	var e *libws.Error
	if errors.As(err, &e) {
		out.os_errno = C.int32_t(e.Errno)
		out.close_code = C.uint16_t(e.CloseCode)
		out.http_status = C.uint16_t(e.HTTPStatus)
	}
	out.code = rc
	setMessage(out, err.Error())
	return rc
}

// setMessage cuts text at a character when it is too long.
func setMessage(out *C.aiows_error, text string) {
	if room := len(out.message) - 1; len(text) > room {
		for room > 0 && !utf8.RuneStart(text[room]) {
			room--
		}
		text = text[:room]
	}
	into := unsafe.Slice((*byte)(unsafe.Pointer(&out.message)), len(out.message))
	into[copy(into, text)] = 0
}

// refuse is an AIOWS_ERR_ARGUMENT that names the value.
func refuse(format string, args ...any) error {
	return &libws.Error{Code: libws.CodeArgument, Text: fmt.Sprintf(format, args...)}
}
