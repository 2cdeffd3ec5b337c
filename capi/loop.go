package main

// #include "shim.h"
// #include "gate.h"
import "C"

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"unsafe"

	"aiows/libws"
)

// loop is what a handle of an aiows_loop stands for.
type loop struct {
	ws    *libws.Loop
	freed atomic.Bool

	// waiters are threads in poll(2) on the descriptor, which therefore stays open
	// until the last of them has left. left is told of each, under mu.
	waiters atomic.Int32
	left    sync.Cond

	mu      sync.Mutex
	handles map[C.uintptr_t]func() // how to end each handle of this loop; nil once freed
}

var loopHandles shortcut[loop]

// loops holds every live loop, for wakeAll and to know the last one.
var loops sync.Map // *loop to struct{}

//export go_loop_new
func go_loop_new(watchdog C.int32_t, out *C.uintptr_t, e *C.aiows_error) (rc C.int32_t) {
	defer guard(&rc)
	l := &loop{handles: map[C.uintptr_t]func(){}}
	l.left.L = &l.mu
	ws, err := libws.NewLoop(libws.LoopOptions{
		Allocator:     cMemory{},
		RequestHandle: l.newRequest,
		Log:           writeLog,
		Logs:          logs,
		NoWatchdog:    watchdog == 0,
	})
	if err != nil {
		return explain(e, err)
	}
	l.ws = ws
	loops.Store(l, struct{}{})
	*out = save(l).handle()
	return C.AIOWS_OK
}

// loopOf returns the live loop of handle h, or nil.
func loopOf(h C.uintptr_t) *loop {
	_, l := lookup[loop](h)
	if l == nil || l.freed.Load() {
		return nil
	}
	return l
}

// adopt notes a handle that the loop's end must end. false: the loop is gone.
func (l *loop) adopt(h C.uintptr_t, end func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handles == nil {
		return false
	}
	l.handles[h] = end
	return true
}

func (l *loop) forget(h C.uintptr_t) {
	l.mu.Lock()
	delete(l.handles, h)
	l.mu.Unlock()
}

//export go_loop_fd
func go_loop_fd(h C.uintptr_t) (rc C.int32_t) {
	defer guard(&rc)
	l := loopOf(h)
	if l == nil {
		return C.AIOWS_ERR_HANDLE
	}
	return C.int32_t(l.ws.FD())
}

//export go_poll
func go_poll(h C.uintptr_t, events *C.aiows_event, cap C.size_t, mode C.int32_t, out *C.poll_result) (rc C.int32_t) {
	defer guard(&rc)
	_, l := loopHandles.lookup(h)
	if l == nil {
		return C.AIOWS_ERR_HANDLE
	}
	if mode&(C.POLL_AGAIN|C.POLL_LEAVE) != 0 {
		l.leave()
	}
	switch {
	case l.freed.Load():
		return C.AIOWS_ERR_HANDLE
	case mode&C.POLL_LEAVE != 0:
		out.n = 0
		return C.AIOWS_OK
	}
	n, woke, err := l.ws.Poll(unsafe.Slice((*libws.Event)(unsafe.Pointer(events)), int(cap)), mode&C.POLL_TRY != 0)
	if l.freed.Load() {
		// What the events point to goes with the loop.
		l.rouse()
		return C.AIOWS_ERR_HANDLE
	}
	if err != nil {
		return result(err)
	}
	out.n = C.size_t(n)
	if n == 0 && !woke && mode&C.POLL_WAIT != 0 {
		l.waiters.Add(1)
		if l.freed.Load() {
			l.leave()
			return C.AIOWS_ERR_HANDLE
		}
		out.fd = C.int32_t(l.ws.FD())
		return C.SHIM_WAIT
	}
	return C.AIOWS_OK
}

// leave is said by a thread that no longer waits.
func (l *loop) leave() {
	l.waiters.Add(-1)
	if l.freed.Load() {
		l.rouse()
	}
}

// rouse runs when the loop is being freed: a poll that was under way may have used
// up the wake-up that the waiters need.
func (l *loop) rouse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiters.Load() > 0 {
		l.ws.Wake()
	}
	l.left.Broadcast()
}

//export go_event_take
func go_event_take(h C.uintptr_t, event *C.aiows_event, data *unsafe.Pointer, n *C.size_t) (rc C.int32_t) {
	defer guard(&rc)
	l := loopOf(h)
	if l == nil {
		return C.AIOWS_ERR_HANDLE
	}
	size := event.len
	b, err := l.ws.Take((*libws.Event)(unsafe.Pointer(event)))
	if err != nil {
		return result(err)
	}
	if b != nil {
		*data = unsafe.Pointer(unsafe.SliceData(b))
		*n = C.size_t(size)
	}
	return C.AIOWS_OK
}

//export go_wake
func go_wake(h C.uintptr_t) (rc C.int32_t) {
	defer guard(&rc)
	l := loopOf(h)
	if l == nil {
		return C.AIOWS_ERR_HANDLE
	}
	l.ws.Wake()
	return C.AIOWS_OK
}

//export go_loop_stats
func go_loop_stats(h C.uintptr_t, out *C.aiows_loop_stats_t) (rc C.int32_t) {
	defer guard(&rc)
	l := loopOf(h)
	if l == nil {
		return C.AIOWS_ERR_HANDLE
	}
	s := l.ws.Stats()
	out.connections = C.uint32_t(s.Connections)
	out.listeners = C.uint32_t(s.Listeners)
	out.blocks = C.uint64_t(s.Blocks)
	out.block_bytes = C.uint64_t(s.BlockBytes)
	out.polls = C.uint64_t(s.Polls)
	out.events = C.uint64_t(s.Events)
	out.stalls = C.uint64_t(s.Stalls)
	out.bytes_received = C.uint64_t(s.BytesReceived)
	out.bytes_sent = C.uint64_t(s.BytesSent)
	l.mu.Lock()
	out.handles = C.uint32_t(len(l.handles) + 1)
	l.mu.Unlock()
	return C.AIOWS_OK
}

//export go_trim
func go_trim(h C.uintptr_t) (rc C.int32_t) {
	defer guard(&rc)
	l := loopOf(h)
	if l == nil {
		return C.AIOWS_ERR_HANDLE
	}
	l.ws.Trim()
	debug.FreeOSMemory()
	C.gate_trim()
	return C.AIOWS_OK
}

//export go_loop_free
func go_loop_free(h C.uintptr_t) (rc C.int32_t) {
	defer guard(&rc)
	b, l := lookup[loop](h)
	if l == nil || !l.freed.CompareAndSwap(false, true) {
		return C.AIOWS_ERR_HANDLE
	}
	l.mu.Lock()
	if l.waiters.Load() > 0 {
		l.ws.Wake()
	}
	for l.waiters.Load() > 0 && !poisoned.Load() {
		l.left.Wait()
	}
	handles := l.handles
	l.handles = nil
	l.mu.Unlock()

	l.ws.Close()
	for _, end := range handles {
		end()
	}
	loops.Delete(l)
	b.end()
	giveBack()
	return C.AIOWS_OK
}

// worthGiving is how much free Go heap makes a collection worth its milliseconds.
const worthGiving = 32 << 20

// giveBack returns the memory of a spike to the system when the last loop is gone;
// the runtime would keep it.
func giveBack() {
	last := true
	loops.Range(func(_, _ any) bool { last = false; return false })
	if !last {
		return
	}
	sample := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() == metrics.KindUint64 && sample[0].Value.Uint64() > worthGiving {
		go debug.FreeOSMemory()
	}
}
