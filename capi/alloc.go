package main

// #include <stdlib.h>
// #include "gate.h"
import "C"

import "unsafe"

// cMemory is malloc for libws: the host's sanitizers see it, and what
// aiows_event_take gives away can be freed without entering Go.
type cMemory struct{}

func (cMemory) Alloc(n int) []byte {
	p := C.gate_alloc(C.size_t(max(n, 1)))
	if p == nil {
		return nil
	}
	return unsafe.Slice((*byte)(p), n)
}

func (cMemory) Free(b []byte) {
	C.free(unsafe.Pointer(unsafe.SliceData(b)))
}

// hostBytes is the host's memory as a slice, for the time of a call.
func hostBytes(data unsafe.Pointer, n C.size_t) []byte {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(data), int(n))
}
