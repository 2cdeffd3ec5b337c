package libws

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// host drives a loop as a program would.
type host struct {
	t    testing.TB
	loop *Loop
	heap *checkedHeap
	buf  [128]Event
	cap  int // events taken at a time
	seen []got

	requests []*Request
}

// got is an event with its payload copied.
type got struct {
	Event
	data []byte
}

func newHost(t testing.TB) *host {
	t.Helper()
	heap := &checkedHeap{t: t, live: map[*byte]int{}}
	l, err := NewLoop(LoopOptions{Allocator: heap, Log: func(level LogLevel, text string) { t.Logf("log %d: %s", level, text) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		if n, m := l.mem.blocks.Load(), l.mem.bytes.Load(); n != 0 || m != 0 {
			t.Errorf("%d blocks of %d bytes held after Close", n, m)
		}
		if n := heap.count(); n != 0 {
			t.Errorf("%d blocks live after Close", n)
		}
		if !eventually(func() bool { return descriptors.count() == 0 }) {
			t.Error(descriptors.wrong())
		}
	})
	return &host{t: t, loop: l, heap: heap, cap: 128}
}

// readable waits for the descriptor.
func (h *host) readable(wait time.Duration) bool {
	h.t.Helper()
	fds := []unix.PollFd{{Fd: int32(h.loop.FD()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int((wait+time.Millisecond-1)/time.Millisecond))
	if err != nil && err != unix.EINTR {
		h.t.Fatal(err)
	}
	return n > 0
}

// poll waits for the descriptor and takes one batch.
func (h *host) poll(wait time.Duration) int {
	h.t.Helper()
	h.readable(wait)
	n, _, err := h.loop.Poll(h.buf[:h.cap], false)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range h.buf[:n] {
		var data []byte
		if e.Len > 0 {
			data = bytes.Clone(bytesAt(e.Data, e.Len))
		}
		h.seen = append(h.seen, got{e, data})
	}
	return n
}

// until polls until an event of type want of connection conn came, and takes it.
func (h *host) until(want EventType, conn uint64) got {
	h.t.Helper()
	deadline := time.Now().Add(hang)
	for {
		for i, e := range h.seen {
			if e.Type == want && e.Conn == conn {
				h.seen = append(h.seen[:i], h.seen[i+1:]...)
				return e
			}
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("no event %d of connection %d; seen %+v", want, conn, h.seen)
		}
		h.poll(time.Second)
	}
}

// pair opens a client and a server connection over loopback, handles 1 and 2. Each
// option set is changed by its function, which may be nil.
func (h *host) pair(tls *testTLS, change func(client, server *ConnOptions)) (c, s *Conn) {
	h.t.Helper()
	ln := h.listen(tls)
	co, so := DefaultConnOptions(), DefaultConnOptions()
	if change != nil {
		change(&co, &so)
	}
	c = h.dial(ln, tls, 1, co)
	s = h.accept(2, so)
	h.until(EventOpen, 1)
	h.until(EventOpen, 2)
	ln.Close()
	return c, s
}

// number makes EventRequest carry indices of h.requests, from 1.
func (h *host) number() {
	h.loop.opts.RequestHandle = func(r *Request) uint64 {
		h.requests = append(h.requests, r)
		return uint64(len(h.requests))
	}
}

func (h *host) listen(tls *testTLS) *Listener {
	h.t.Helper()
	o := &ListenOptions{Host: "127.0.0.1", OpenTimeout: hang}
	if tls != nil {
		o.TLS = tls.server
	}
	h.number()
	ln, err := h.loop.Listen(o, 77)
	if err != nil {
		h.t.Fatal(err)
	}
	ln.SetHandle(100)
	if err := ln.Start(); err != nil {
		h.t.Fatal(err)
	}
	return ln
}

func (h *host) dial(ln *Listener, tls *testTLS, handle uint64, o ConnOptions) *Conn {
	h.t.Helper()
	co := &ConnectOptions{URI: fmt.Sprintf("ws://127.0.0.1:%d/", ln.Port()), OpenTimeout: hang, Conn: o}
	if tls != nil {
		co.URI = fmt.Sprintf("wss://127.0.0.1:%d/", ln.Port())
		co.TLS = tls.client
	}
	c, err := h.loop.NewClient(co, handle*10)
	if err != nil {
		h.t.Fatal(err)
	}
	c.SetHandle(handle)
	c.Start()
	return c
}

func (h *host) accept(handle uint64, o ConnOptions) *Conn {
	h.t.Helper()
	e := h.until(EventRequest, 100)
	if e.UserData != 77 {
		h.t.Errorf("REQUEST carries user data %d, want 77", e.UserData)
	}
	s, err := h.requests[e.Request-1].NewConn(&AcceptOptions{Conn: o}, handle*10)
	if err != nil {
		h.t.Fatal(err)
	}
	s.SetHandle(handle)
	s.Start()
	return s
}
