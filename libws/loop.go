// Package libws is a WebSocket engine that does its socket I/O on the caller's
// thread, when the caller asks.
//
// One Loop owns every connection behind one pollable descriptor. The host watches
// that descriptor; when it turns readable, one Poll reads every ready socket,
// decrypts, checks, answers pings, and returns a batch of finished events. What
// may block (names, connecting, TLS handshakes) runs on goroutines that hand an
// open socket over.
//
// Locks are taken in this order: the loop's, a connection's write lock, the one
// inside tls.Conn, the output's leaf lock.
package libws

import (
	"sync"
	"sync/atomic"
	"time"

	"aiows/libws/netpoll"

	"golang.org/x/sys/unix"
)

// Loop is a set of connections and listeners behind one descriptor. Its methods
// may be called by any thread.
type Loop struct {
	mu     sync.Mutex // the loop lock: everything here that is not said otherwise
	opts   LoopOptions
	mem    memory
	poller *netpoll.Poller
	closed bool

	slots []slot
	free  []uint32 // slots to reuse
	conns int      // connections, opening ones included
	lns   int      // listeners

	// lone is the only connection with a socket while there is no listener; it is
	// read without asking the kernel which socket is ready.
	lone *Conn

	ready        []*Conn // connections with something undelivered in user space
	again        []*Conn // the same, for the next Poll
	fed          []*Conn // attached connections with something to be read
	fedLast      bool    // the last Poll read sockets first
	found        [socketsPerPoll]netpoll.Ready
	fresh        []netpoll.Ready // the part of found that is not served yet
	touched      int             // what warm read, so that it is not left out
	socketsFirst bool            // the last Poll had no room for all of the sockets
	arena        arena
	cipher       []byte // ciphertext of the connection being read
	scratch      []byte // what is being read ahead
	inflation    inflation
	timers       timers

	postMu    sync.Mutex // a leaf lock: posted, woken, shut
	shut      bool       // the eventfd is closed, and its number may be somebody else's
	posted    []*Conn    // connections that want attention at the next Poll
	woken     bool
	attention atomic.Bool // posted or woken is set
	signalled atomic.Bool // the eventfd is; written under postMu

	received atomic.Uint64 // by connections that are gone
	sent     atomic.Uint64
	polls    uint64
	events   uint64
	stalls   uint64
	dog      *watchdog
	patience time.Duration // of the watchdog; set before the first connection opens
}

// slot is an entry of the table that epoll's tags index. The generation tells a
// new owner from an entry that was already fetched for the old one.
type slot struct {
	gen  uint32
	conn *Conn
	ln   *Listener
}

// LoopStats counts what a loop did.
type LoopStats struct {
	Connections, Listeners   int
	Blocks, BlockBytes       uint64
	Polls, Events            uint64
	Stalls                   uint64 // times that the watchdog stepped in
	BytesReceived, BytesSent uint64
}

var (
	clockStart = time.Now()
	clockBase  = monotonic()
)

func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// clock returns CLOCK_MONOTONIC in nanoseconds, by way of the runtime's vDSO call:
// 25 ns, where the system call takes 100.
func clock() int64 { return clockBase + int64(time.Since(clockStart)) }

// NewLoop makes an empty loop.
func NewLoop(o LoopOptions) (*Loop, error) {
	p, err := netpoll.New()
	if err != nil {
		return nil, systemError("loop", err)
	}
	if o.Allocator == nil {
		o.Allocator = goHeap{}
	}
	l := &Loop{opts: o, poller: p, patience: stallAfter}
	l.mem.Allocator = o.Allocator
	l.arena.mem = &l.mem
	l.timers.fire = l.nudge
	for _, fd := range p.FDs() {
		track(fd)
	}
	return l, nil
}

// FD returns the descriptor to watch for readability.
func (l *Loop) FD() int { return l.poller.FD() }

// Wake makes the descriptor readable until the next Poll, which reports it.
func (l *Loop) Wake() {
	l.postMu.Lock()
	l.woken = true
	l.attention.Store(true)
	l.signalLocked()
	l.postMu.Unlock()
}

// nudge makes the host poll, for a timer.
func (l *Loop) nudge() {
	l.postMu.Lock()
	l.attention.Store(true)
	l.signalLocked()
	l.postMu.Unlock()
}

// post asks for c to be attended to by the next Poll.
func (l *Loop) post(c *Conn) {
	l.postMu.Lock()
	if !c.posted {
		c.posted = true
		l.posted = append(l.posted, c)
	}
	l.attention.Store(true)
	l.signalLocked()
	l.postMu.Unlock()
}

func (l *Loop) signalLocked() {
	if !l.signalled.Load() && !l.shut {
		l.signalled.Store(true)
		l.poller.Signal()
	}
}

// handOver gives h to c from a goroutine.
func (l *Loop) handOver(c *Conn, h *handover) {
	c.handover.Store(h)
	l.post(c)
	l.postMu.Lock()
	shut := l.shut
	l.postMu.Unlock()
	if shut { // no Poll will come for it
		c.discardHandover()
	}
}

// takePosted returns what was posted since the last Poll.
func (l *Loop) takePosted(into []*Conn) (conns []*Conn, woken bool) {
	l.postMu.Lock()
	defer l.postMu.Unlock()
	l.attention.Store(false)
	woken, l.woken = l.woken, false
	conns = append(into, l.posted...)
	for i, c := range l.posted {
		c.posted = false
		l.posted[i] = nil
	}
	l.posted = l.posted[:0]
	return conns, woken
}

// settle leaves the eventfd signalled exactly while something waits in user space,
// since an empty socket will never wake the host for it.
func (l *Loop) settle() {
	waiting := len(l.ready) > 0 || l.fedReady()
	if waiting == l.signalled.Load() {
		return
	}
	l.postMu.Lock()
	defer l.postMu.Unlock()
	if waiting || len(l.posted) > 0 || l.woken || l.attention.Load() {
		l.signalLocked()
	} else if l.signalled.Load() {
		l.signalled.Store(false)
		l.poller.Drain()
	}
}

// queue puts c on the ready list.
func (l *Loop) queue(c *Conn) {
	if !c.queued {
		c.queued = true
		l.ready = append(l.ready, c)
	}
}

// addSlot gives c or ln a slot and returns its tag.
func (l *Loop) addSlot(c *Conn, ln *Listener) uint64 {
	var i uint32
	if n := len(l.free); n > 0 {
		i = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		i = uint32(len(l.slots))
		l.slots = append(l.slots, slot{})
	}
	s := &l.slots[i]
	s.gen = (s.gen + 1) & 0x7fffffff
	s.conn, s.ln = c, ln
	return uint64(s.gen)<<32 | uint64(i)
}

func (l *Loop) dropSlot(tag uint64) {
	i := uint32(tag)
	l.slots[i].conn, l.slots[i].ln = nil, nil
	l.free = append(l.free, i)
}

// at returns the slot of tag, nil when it has another owner now.
func (l *Loop) at(tag uint64) *slot {
	i := uint32(tag)
	if int(i) >= len(l.slots) || l.slots[i].gen != uint32(tag>>32) {
		return nil
	}
	return &l.slots[i]
}

// findLone runs when a socket came or went.
func (l *Loop) findLone() {
	l.lone = nil
	if l.lns > 0 || len(l.slots)-len(l.free) != 1 {
		return
	}
	for i := range l.slots {
		if c := l.slots[i].conn; c != nil && c.attached == nil {
			l.lone = c
		}
	}
}

// Stats returns the loop's counters.
func (l *Loop) Stats() LoopStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := LoopStats{
		Connections: l.conns, Listeners: l.lns,
		Blocks: uint64(l.mem.blocks.Load()), BlockBytes: uint64(l.mem.bytes.Load()),
		Polls: l.polls, Events: l.events, Stalls: l.stalls,
		BytesReceived: l.received.Load(), BytesSent: l.sent.Load(),
	}
	for i := range l.slots {
		if c := l.slots[i].conn; c != nil {
			s.BytesReceived += c.bytesReceived.Load()
			s.BytesSent += c.out.sent.Load()
		}
	}
	return s
}

// Trim frees spare memory.
func (l *Loop) Trim() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.arena.trim()
		l.freeBuffers()
	}
}

func (l *Loop) freeBuffers() {
	for _, b := range [...]*[]byte{&l.cipher, &l.scratch} {
		if *b != nil {
			l.mem.free(*b)
			*b = nil
		}
	}
}

// Take gives the payload of ev, of the newest batch, to the caller, who frees it
// with the loop's Allocator. It is nil for an empty payload, and may be longer
// than ev.Len when the payload had a block of its own.
func (l *Loop) Take(ev *Event) ([]byte, error) {
	if ev.Len == 0 {
		return nil, nil
	}
	if ev.Data == 0 {
		return nil, CodeState
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, CodeHandle // the memory is gone
	}
	if ev.Flags&FlagBlock != 0 {
		b := l.arena.claim(ev.Data)
		if b == nil {
			return nil, CodeState
		}
		ev.Data = 0
		return b, nil
	}
	b := l.mem.Alloc(int(ev.Len))
	if b == nil {
		return nil, CodeMemory
	}
	copy(b, bytesAt(ev.Data, ev.Len))
	ev.Data = 0
	return b, nil
}

// Close aborts every connection, closes every listener and frees all memory.
func (l *Loop) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	l.postMu.Lock()
	l.shut = true
	l.postMu.Unlock()
	for i := range l.slots {
		if c := l.slots[i].conn; c != nil {
			c.destroy()
		}
		if ln := l.slots[i].ln; ln != nil {
			ln.closeLocked()
		}
	}
	conns, _ := l.takePosted(nil)
	for _, c := range conns {
		c.destroy()
	}
	for _, c := range l.ready {
		c.destroy()
	}
	l.ready, l.again, l.fed = nil, nil, nil
	l.timers.stop()
	l.arena.release()
	l.freeBuffers()
	if l.dog != nil {
		l.dog.stop()
	}
	for _, fd := range l.poller.FDs() {
		untrack(fd)
	}
	_ = l.poller.Close()
}

// logs reports that a line of this level is wanted.
func (l *Loop) logs(level LogLevel) bool {
	return l.opts.Log != nil && (l.opts.Logs == nil || l.opts.Logs(level))
}

func (l *Loop) log(level LogLevel, text string) {
	if l.opts.Log != nil {
		l.opts.Log(level, text)
	}
}
