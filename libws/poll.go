package libws

import "unsafe"

const (
	// A connection may fill this much of a batch while others share the loop, so
	// that a flood on one starves nobody.
	budgetMessages = 64
	budgetInflated = 256 << 10 // bytes
	// What a batch touches stays in the processor's cache until the host has answered
	// it: an echo client with 2,000 connections takes 0.93 of the CPU that it took with
	// 256 (tests/bench).
	socketsPerPoll = 32
)

// batch is the array that one Poll fills.
type batch struct {
	events []Event
	n      int
	limit  int // where the connection at work has to stop
	grown  int // bytes inflated for it
}

func (b *batch) full() bool { return b.n >= len(b.events) }

// spent reports that the connection at work used up its part.
func (b *batch) spent() bool { return b.n >= b.limit }

// allot sets the part of the next connection.
func (b *batch) allot(alone bool) {
	b.limit, b.grown = len(b.events), 0
	if !alone && b.limit-b.n > budgetMessages {
		b.limit = b.n + budgetMessages
	}
}

// inflated counts n bytes that did not come from the wire: an event each for a
// thousand times what was read would fill the memory.
func (b *batch) inflated(n int) {
	if b.grown += n; b.grown >= budgetInflated {
		b.limit = b.n
	}
}

// next returns a cleared event of c, to be filled in place.
func (b *batch) next(c *Conn, t EventType) *Event {
	e := &b.events[b.n]
	b.n++
	*e = Event{Type: t, Conn: c.handle, UserData: c.userData.Load(), Time: c.readAt}
	return e
}

func (e *Event) setData(p []byte) {
	e.Data, e.Len = addressOf(p), uint64(len(p))
}

// bytesAt is what an event's address points to, in memory of the batch.
func bytesAt(address, n uint64) []byte {
	p := uintptr(address)
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&p)), n)
}

// Poll reads what is ready and fills events; it never waits for I/O. What the last
// batch pointed to is freed. try answers CodeBusy rather than wait for a thread
// that is inside the loop. woke tells that a Wake was used up.
func (l *Loop) Poll(events []Event, try bool) (n int, woke bool, err error) {
	if !try {
		l.mu.Lock()
	} else if !l.mu.TryLock() {
		return 0, false, CodeBusy
	}
	defer l.mu.Unlock()
	if l.closed {
		return 0, false, CodeHandle
	}
	if len(events) == 0 {
		return 0, false, CodeArgument
	}
	l.polls++
	l.arena.retire()
	now := clock()
	b := batch{events: events}

	l.timers.run(now)
	if l.attention.Load() {
		woke = l.attend(now)
	}
	switch c := l.lone; {
	case c != nil && len(l.ready) == 0 && c.plainlyReading():
		b.allot(true)
		c.readable(now, &b)
	case l.socketsFirst:
		l.socketsFirst = false
		l.readTransports(now, &b)
		l.deliverReady(now, &b)
	default:
		l.deliverReady(now, &b)
		l.socketsFirst = !l.readTransports(now, &b)
	}
	l.timers.arm(now)
	l.settle()
	l.events += uint64(b.n)
	return b.n, woke, nil
}

// attend serves what other threads posted.
func (l *Loop) attend(now int64) (woken bool) {
	l.again, woken = l.takePosted(l.again[:0])
	for i, c := range l.again {
		l.again[i] = nil
		c.attend(now)
	}
	return woken
}

// deliverReady continues connections that have something undelivered. Whom this
// Poll has no room for goes to the front of the next one's list.
func (l *Loop) deliverReady(now int64, b *batch) {
	if len(l.ready) == 0 {
		return
	}
	list := l.ready
	l.ready = l.again[:0]
	for i, c := range list {
		if b.full() || l.arena.exhausted() {
			served := l.ready
			l.ready = append(list[:0], list[i:]...)
			l.ready = append(l.ready, served...)
			clear(list[min(len(l.ready), len(list)):])
			clear(served)
			l.again = served[:0]
			return
		}
		list[i] = nil
		c.queued = false
		b.allot(l.conns == 1)
		c.deliver(now, b)
	}
	l.again = list[:0]
}

// readTransports reads sockets and what the host fed, in turn the one and the other first.
func (l *Loop) readTransports(now int64, b *batch) (done bool) {
	if len(l.fed) == 0 {
		return l.readSockets(now, b)
	}
	l.fedLast = !l.fedLast
	if l.fedLast {
		return l.readSockets(now, b) && l.readFed(now, b)
	}
	return l.readFed(now, b) && l.readSockets(now, b)
}

// readSockets reads what epoll reports. It goes on where the last Poll stopped,
// since epoll reports the same sockets in the same order: the last ones would never
// have their turn. An entry that is stale by then finds another generation, or
// nothing to read. done reports that all had their turn.
func (l *Loop) readSockets(now int64, b *batch) (done bool) {
	if b.full() {
		return false // level triggered: nothing is lost
	}
	if len(l.fresh) == 0 {
		l.fresh = l.found[:l.poller.Wait(l.found[:])]
		l.warm()
	}
	for len(l.fresh) > 0 {
		if b.full() || l.arena.exhausted() {
			return false
		}
		r := l.fresh[0]
		l.fresh = l.fresh[1:]
		s := l.at(r.Tag)
		switch {
		case s == nil:
		case s.conn != nil:
			b.allot(l.conns == 1)
			s.conn.socketReady(r.Events, now, b)
		case s.ln != nil:
			s.ln.acceptable(now)
		}
	}
	return true
}

// warm fetches into the processor's cache, for all of them at a time, what each
// connection would wait for alone: with 2,000 of them an echo takes 0.96 of the CPU.
func (l *Loop) warm() {
	if len(l.fresh) < 4 {
		return
	}
	touched := 0
	for _, r := range l.fresh {
		if s := l.at(r.Tag); s != nil && s.conn != nil {
			touched += s.conn.touch()
		}
	}
	l.touched = touched
}

// touch reads a word of each cache line that a message needs.
func (c *Conn) touch() int {
	return int(c.role) + int(c.userData.Load()) + len(c.reader.rest) + c.reader.have + int(c.reader.left) +
		int(c.state.Load()) + int(c.writer.closeCode) + c.out.fd + int(c.out.queued) + int(c.counters.framesReceived.Load())
}
