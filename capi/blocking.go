package main

// #include "shim.h"
import "C"

import (
	"sync/atomic"
	"unsafe"
)

// A connection of aiows_connect_blocking has a loop of its own, and a state in C memory
// for the thread that waits in aiows_recv. The first word of it says who uses it: a
// thread in aiows_recv keeps the state when the handle is freed, and is the one to end it.

//export go_blocking_set
func go_blocking_set(h C.uintptr_t, state unsafe.Pointer) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	c.blockingMu.Lock()
	c.blocking = state
	c.blockingMu.Unlock()
	return C.AIOWS_OK
}

//export go_blocking_enter
func go_blocking_enter(h C.uintptr_t, out *unsafe.Pointer) (rc C.int32_t) {
	defer guard(&rc)
	_, c := connections.lookup(h)
	if c == nil {
		return C.AIOWS_ERR_HANDLE
	}
	c.blockingMu.Lock()
	defer c.blockingMu.Unlock()
	switch {
	case c.blocking == nil:
		return C.AIOWS_ERR_STATE
	case !atomic.CompareAndSwapInt32((*int32)(c.blocking), 0, C.BLOCKING_USED):
		return C.AIOWS_ERR_BUSY
	}
	*out = c.blocking
	return C.AIOWS_OK
}

// endBlocking returns the state that is to be ended, nil when there is none, or a thread
// in aiows_recv has it: that one is woken and ends it.
func (c *conn) endBlocking() unsafe.Pointer {
	c.blockingMu.Lock()
	defer c.blockingMu.Unlock()
	state := c.blocking
	c.blocking = nil
	if state == nil {
		return nil
	}
	if atomic.OrInt32((*int32)(state), C.BLOCKING_FREED)&C.BLOCKING_USED != 0 {
		c.loop.ws.Wake()
		return nil
	}
	return state
}
