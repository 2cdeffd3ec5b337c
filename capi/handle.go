package main

// #include <stdint.h>
import "C"

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/mattn/go-pointer"
)

// A handle is the address of a box that go-pointer keeps. The box's type says what
// kind of handle it is, and an empty box is a freed one.
type box[T any] struct {
	ptr unsafe.Pointer
	obj atomic.Pointer[T]
}

// save makes a handle for v.
func save[T any](v *T) *box[T] {
	b := new(box[T])
	b.obj.Store(v)
	b.ptr = pointer.Save(b)
	return b
}

func (b *box[T]) handle() C.uintptr_t { return C.uintptr_t(uintptr(b.ptr)) }

// lookup returns the box and the object of handle h, or nil when it is no live
// handle of this kind: whatever number the host passed, it is only a map key.
func lookup[T any](h C.uintptr_t) (*box[T], *T) {
	b, ok := pointer.Restore(*(*unsafe.Pointer)(unsafe.Pointer(&h))).(*box[T])
	if !ok {
		return nil, nil
	}
	return b, b.obj.Load()
}

// shortcut remembers boxes by their handle, for calls made once a message:
// go-pointer's lock and map cost an echo 1% with one connection, 3% with 2,000.
type shortcut[T any] [4096]atomic.Pointer[box[T]]

// lookup is lookup by way of the shortcut. A box that was freed is still found in it
// until another takes its place, and is empty.
func (s *shortcut[T]) lookup(h C.uintptr_t) (*box[T], *T) {
	slot := &s[h/32%C.uintptr_t(len(s))] // malloc(1) takes 32 bytes
	if b := slot.Load(); b != nil && b.handle() == h {
		if v := b.obj.Load(); v != nil {
			return b, v
		}
	}
	b, v := lookup[T](h)
	if v != nil {
		slot.Store(b)
	}
	return b, v
}

// end frees the handle and returns its object to the one caller that wins.
func (b *box[T]) end() *T {
	v := b.obj.Swap(nil)
	if v != nil {
		retire(b.ptr)
	}
	return v
}

// quarantined is how many handles are freed before a number may come again.
// go-pointer's numbers are malloc(1), which returns the newest one freed.
const quarantined = 4096

var quarantine struct {
	sync.Mutex
	ring [quarantined]unsafe.Pointer
	next int
}

// retire gives the number to malloc after quarantined others. Only numbers that
// save made come here: Unref frees whatever it is given.
func retire(p unsafe.Pointer) {
	q := &quarantine
	q.Lock()
	old := q.ring[q.next]
	q.ring[q.next] = p
	q.next = (q.next + 1) % quarantined
	q.Unlock()
	pointer.Unref(old)
}
