package libws

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"

	"aiows/libws/wire"
)

// State is where a connection is in its life, with the values of AIOWS_CONNECTING
// to AIOWS_CLOSED.
type State int32

const (
	StateConnecting State = iota
	StateOpen
	StateClosing
	StateClosed
)

// phase is State seen from the reactor.
type phase uint8

const (
	phaseOpening phase = iota // a goroutine dials, or does TLS for a listener
	phaseHello                // a listener's connection whose first byte of TLS is awaited
	phaseHead                 // a listener's connection whose request arrives
	phaseAsked                // the request is told, the host has not answered
	phaseRefused              // another answer than 101 was given, the client has to leave
	phaseOpen                 // frames flow; closing included
	phaseDone                 // the socket is gone, the last event may be due
	phaseEnded                // nothing follows
)

// Conn is one WebSocket connection, client or server. Its methods may be called by
// any thread, unless said otherwise.
type Conn struct {
	loop     *Loop
	role     wire.Role // of this end
	opts     ConnOptions
	handle   uint64
	userData atomic.Uint64
	state    atomic.Int32 // State

	// Guarded by the loop lock.
	phase  phase
	tag    uint64
	placed bool // has a slot
	queued bool // on the ready list
	due    due
	err    *Error
	info   info
	reader reader
	ending ending
	alive  keepalive
	alarm  timer
	opened opening

	posted   bool // guarded by Loop.postMu
	handover atomic.Pointer[handover]
	cancel   context.CancelFunc // ends the goroutine that dials

	freed   atomic.Bool // Free was called
	aborted atomic.Bool // Abort was called
	paused  atomic.Bool
	streams atomic.Bool // messages are told in parts from the next one on
	leaving atomic.Bool // Close was called
	// outOfMemory is set when bytes that were accepted could not be kept: the stream
	// has a hole, so the connection has to end.
	outOfMemory atomic.Bool
	parked      atomic.Bool // Poll left something undone because of paused

	compressing atomic.Bool  // deflate is set
	deflate     *compression // nil: none; set before the connection is open
	rsv         uint8        // bits that a first frame may have

	wmu     sync.Mutex // the write lock: the order of frames and TLS records
	writer  writer
	control control
	tls     *tls.Conn
	out     output

	attached *attachment // nil: there is a socket
	fed      bool        // on Loop.fed; guarded by the loop lock

	readAt        int64 // clock of the newest read
	bytesReceived atomic.Uint64
	counters      counters
	measured      atomic.Pointer[roundTrips]
	lines         *frameLog // nil: frames are not logged; set before the connection is open
}

// due is what the host has not been told yet.
type due struct {
	open, failed, writable, closed, request, gone bool
	socket, tunnel                                bool // see tellSocket
	part                                          bool // of the message that Stream found half received
}

// counters feed ConnStats. Reads and writes happen on different threads.
type counters struct {
	messagesReceived, messagesSent         atomic.Uint64
	framesReceived, framesSent             atomic.Uint64
	readAhead                              atomic.Uint64 // bytes
	latency                                atomic.Int64
	payloadBytesReceived, payloadBytesSent atomic.Uint64 // of data frames
	// Of the messages in them, where compression was negotiated: otherwise it is the same.
	messageBytesReceived, messageBytesSent atomic.Uint64
}

func newConn(l *Loop, role wire.Role, o ConnOptions) *Conn {
	c := &Conn{loop: l, role: role, opts: o.consistent()}
	c.out.mem, c.out.poller, c.out.fd, c.out.nomem = &l.mem, l.poller, -1, &c.outOfMemory
	c.reader.conn = c
	c.streams.Store(o.Stream)
	c.logFrames()
	return c
}

// SetHandle sets what Event.Conn carries. Call it before Start.
func (c *Conn) SetHandle(h uint64) { c.handle = h }

// SetUserData changes what Event.UserData carries in later batches.
func (c *Conn) SetUserData(v uint64) { c.userData.Store(v) }

// State returns where the connection is in its life.
func (c *Conn) State() State { return State(c.state.Load()) }

// Buffered returns the bytes accepted and not yet written to the socket.
func (c *Conn) Buffered() int { return int(c.out.pending.Load()) }

// Ended reports whether FAILED or CLOSED was decided, after which Err tells why.
func (c *Conn) Ended() bool { return c.State() == StateClosed }

// Err returns why the connection failed or closed; nil after a clean end and
// before the end.
func (c *Conn) Err() *Error {
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	if !c.Ended() {
		return nil
	}
	return c.err
}

// Pause stops the delivery of messages after the batch in hand. What arrives is read
// ahead, and control frames are answered, until ConnOptions.ReadAhead is reached; a
// pause that is shorter than that costs no system call.
func (c *Conn) Pause() error {
	if c.Ended() {
		return CodeClosed
	}
	c.paused.Store(true)
	return nil
}

// Resume goes on delivering.
func (c *Conn) Resume() error {
	c.paused.Store(false)
	if c.parked.Swap(false) {
		c.loop.post(c)
	}
	return nil
}

// park notes that the pause kept Poll from doing something. It reports false when
// Resume came in between.
func (c *Conn) park() bool {
	c.parked.Store(true)
	return c.paused.Load() || !c.parked.Swap(false)
}

// Abort ends the connection without a handshake. Once it has returned nothing more
// is written; the event comes with a later Poll.
func (c *Conn) Abort() error {
	if c.Ended() {
		return CodeClosed
	}
	c.aborted.Store(true)
	c.out.abandon()
	if c.cancel != nil {
		c.cancel()
	}
	c.loop.post(c)
	return nil
}

// Free ends the connection silently: no later Poll names it.
func (c *Conn) Free() {
	c.freed.Store(true)
	if c.cancel != nil {
		c.cancel()
	}
	if c.loop.mu.TryLock() {
		if !c.loop.closed {
			c.destroy()
		}
		c.loop.mu.Unlock()
		return
	}
	c.loop.post(c)
}

// attend serves what other threads asked for, with the loop lock held.
func (c *Conn) attend(now int64) {
	switch {
	case c.freed.Load():
		c.destroy()
		return
	case c.phase >= phaseDone: // an end that overtook the dialer
		c.discardHandover()
		if c.phase == phaseDone {
			c.loop.queue(c)
		}
		return
	}
	if h := c.handover.Swap(nil); h != nil {
		c.adopt(h, now)
	}
	if c.outOfMemory.Load() && c.err == nil {
		c.err = &Error{Code: CodeMemory}
		c.abort()
	}
	if c.aborted.Load() && c.phase != phaseDone {
		c.abort()
	}
	c.noteFed()
	c.askServer()
	if c.phase == phaseOpen {
		c.closeProgress(now)
		// A Pause may have followed the Resume that asked for this.
		if !c.held() || !c.park() {
			c.parked.Store(false)
			c.out.setReading(!c.reader.eof && !c.reader.stopped)
		}
		c.checkWritable()
		c.noteStream()
	}
	c.loop.queue(c)
}

// abort ends the connection at once; the loop lock is held.
func (c *Conn) abort() {
	if c.err == nil {
		c.err = &Error{Code: CodeAborted}
	}
	c.reader.drop()
	c.finish()
}

// socketReady serves what epoll reported.
func (c *Conn) socketReady(events uint32, now int64, b *batch) {
	if events&^epollIn != 0 {
		c.flush(now)
	}
	if events&^epollOut == 0 {
		c.deliver(now, b)
		return
	}
	if b.full() {
		return // level triggered: it comes back
	}
	switch {
	case c.phase == phaseHead:
		c.readHead(now, b)
	case c.phase == phaseHello:
		c.helloReady(now)
	case c.phase == phaseRefused:
		c.readRefused()
	case c.phase == phaseAsked:
		c.askedReady(events)
	case c.phase != phaseOpen || c.reader.eof:
		c.out.setReading(false)
	case c.due.open: // precedes what is read
	case c.held():
		if c.park() {
			c.holdBack(now)
		}
	case len(c.reader.rest) == 0 && !c.due.part:
		c.readable(now, b)
		return
	}
	c.deliver(now, b)
}

// held reports that the host's pause stands. After Close it does not: the peer's
// Close must be reached.
func (c *Conn) held() bool {
	return c.paused.Load() && !c.leaving.Load() && !c.reader.discard
}

// holdBack serves a readable socket without telling what came.
func (c *Conn) holdBack(now int64) {
	if c.opts.ReadAhead == 0 {
		c.out.setReading(false)
		return
	}
	c.readAhead(now)
}

// plainlyReading reports that nothing but arriving data can be of interest.
func (c *Conn) plainlyReading() bool {
	return c.phase == phaseOpen && !c.queued && !c.reader.eof && len(c.reader.rest) == 0 && !c.paused.Load() && c.out.pending.Load() == 0
}

// deliver tells the host what is due, in order, and re-queues what does not fit.
func (c *Conn) deliver(now int64, b *batch) {
	if c.freed.Load() {
		c.destroy()
		return
	}
	c.tell(now, b)
	if c.phase == phaseDone || c.phase == phaseEnded {
		c.end(b)
		return
	}
	if c.attached != nil {
		c.tellTransport(b)
	}
	if c.hasMore() {
		c.loop.queue(c)
	}
}

func (c *Conn) tell(now int64, b *batch) {
	c.tellLog(b, 0)
	switch {
	case c.phase == phaseHead && c.reader.more:
		c.readHead(now, b)
	case c.phase == phaseRefused && c.reader.more:
		c.readRefused()
	}
	if c.due.request && !b.full() {
		c.tellRequest(b)
	}
	c.tellSocket(b)
	if c.due.open && !b.full() {
		c.due.open = false
		b.next(c, EventOpen)
	}
	if c.due.writable && !b.full() {
		c.due.writable = false
		b.next(c, EventWritable)
	}
	if c.reader.eof && c.phase < phaseOpen {
		c.finish() // a writer was in its way
	}
	if c.due.open || c.phase != phaseOpen && c.phase != phaseDone {
		return
	}
	if broken := c.reader.broken; broken != nil && c.phase == phaseOpen {
		if c.justTold() {
			return
		}
		c.failBroken(broken)
	}
	if c.due.part {
		if b.spent() || c.held() && c.park() {
			return
		}
		c.tellBegun(b)
	}
	if len(c.reader.rest) > 0 {
		if c.held() && c.park() {
			c.serveRest(now)
			return
		}
		c.parseRest(b)
	}
	if c.reader.more && len(c.reader.rest) == 0 && !c.reader.eof && c.phase == phaseOpen && !b.spent() {
		if c.held() && c.park() {
			c.holdBack(now)
			return
		}
		c.pull(now, b)
	}
	if c.reader.eof && len(c.reader.rest) == 0 && c.reader.broken == nil && c.phase == phaseOpen {
		c.finish()
	}
}

// hasMore reports that the next Poll has to come back without a socket's help.
func (c *Conn) hasMore() bool {
	if c.due.open || c.due.writable || c.due.request || c.due.failed || c.due.socket || c.due.tunnel || c.lines != nil && c.lines.waiting.Load() {
		return true
	}
	if c.reader.broken != nil && c.phase == phaseOpen {
		return true
	}
	if c.attached != nil && c.transportDue() {
		return true
	}
	if c.phase == phaseAsked {
		return false // the host's answer brings it back
	}
	return (len(c.reader.rest) > 0 || c.reader.more || c.due.part) && !c.parked.Load()
}

// finish gives the socket back; CLOSED or FAILED follows. A writer that is busy
// with the socket on another thread puts it off to the next Poll.
func (c *Conn) finish() {
	if c.phase >= phaseDone {
		return
	}
	if !c.wmu.TryLock() {
		c.reader.eof = true
		c.loop.queue(c)
		return
	}
	failed := c.phase < phaseOpen
	c.due.gone = c.phase == phaseAsked
	c.out.close()
	c.wmu.Unlock()
	c.phase = phaseDone
	c.due.failed, c.due.closed = failed, !failed
	c.due.socket, c.due.tunnel = false, false
	c.unplace()
	c.state.Store(int32(StateClosed))
	c.loop.queue(c)
}

// end tells the last event once everything before it is told.
func (c *Conn) end(b *batch) {
	if c.phase == phaseEnded {
		return
	}
	untold := len(c.reader.rest) > 0 || c.due.part
	if untold && c.parked.Load() {
		return
	}
	if !c.tellLog(b, 0) || untold || c.due.open || b.full() {
		c.loop.queue(c)
		return
	}
	c.due.writable = false
	switch {
	case c.due.gone:
		c.tellGone(b)
	case c.opened.silent:
	case c.due.failed:
		e := b.next(c, EventFailed)
		if c.err != nil {
			e.Code = int32(c.err.Code)
		}
		c.loop.log(LogError, "failed: "+c.describe())
	case c.due.closed:
		c.tellClosed(b)
		if c.loop.logs(LogInfo) {
			c.loop.log(LogInfo, "closed: "+c.describe())
		}
	}
	c.destroy()
}

// destroy frees everything without an event; the loop lock is held. Later calls
// find the connection closed.
func (c *Conn) destroy() {
	c.discardHandover()
	if c.phase == phaseEnded {
		return
	}
	if c.cancel != nil {
		c.cancel()
	}
	c.wmu.Lock()
	c.out.close()
	c.deflate.free()
	c.wmu.Unlock()
	c.attached.shut(&c.loop.mem)
	c.reader.drop()
	c.reader.free()
	c.unplace()
	c.opened.leave()
	c.phase = phaseEnded
	c.due = due{}
	c.state.Store(int32(StateClosed))
	c.loop.conns--
}

// discardHandover closes what a goroutine handed over too late. Any thread.
func (c *Conn) discardHandover() {
	if h := c.handover.Swap(nil); h != nil {
		h.discard()
	}
}

// place gives the connection a slot, so that its descriptor can be watched.
func (c *Conn) place() {
	c.tag = c.loop.addSlot(c, nil)
	c.out.tag = c.tag
	c.placed = true
	c.loop.findLone()
}

func (c *Conn) unplace() {
	c.loop.timers.set(c, 0)
	if c.placed {
		c.placed = false
		c.loop.received.Add(c.bytesReceived.Load())
		c.loop.sent.Add(c.out.sent.Load())
		c.loop.dropSlot(c.tag)
		c.loop.findLone()
	}
}

// systemError turns err of operation op into an Error.
func systemError(op string, err error) *Error {
	e := &Error{Code: CodeSystem, Text: op + ": " + err.Error()}
	errors.As(err, &e.Errno)
	if e.Errno == syscall.ENOMEM {
		e.Code = CodeMemory
	}
	return e
}
