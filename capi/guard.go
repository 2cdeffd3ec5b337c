package main

// #include "gate.h"
import "C"

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"aiows/libws"
)

// guard ends every export: a panic becomes AIOWS_ERR_INTERNAL. It must be deferred
// itself, as recover works only there.
func guard(rc *C.int32_t) {
	if v := recover(); v != nil {
		poison(v, debug.Stack())
		*rc = C.AIOWS_ERR_INTERNAL
	}
}

// poison shuts the gate for good: after a panic a lock may be held and a structure
// half changed. Hosts that wait are woken, to find out.
func poison(v any, stack []byte) {
	C.gate_poison()
	poisoned.Store(true)
	writeLog(libws.LogError, fmt.Sprintf("internal error, the library stopped: %v\n%s", v, stack))
	go wakeAll()
}

// poisoned lets aiows_loop_free end its wait for threads that will not come back.
var poisoned atomic.Bool

func wakeAll() {
	// A loop may be what broke.
	defer func() { _ = recover() }()
	loops.Range(func(key, _ any) bool {
		l := key.(*loop)
		l.left.Broadcast()
		l.ws.Wake()
		return true
	})
}
