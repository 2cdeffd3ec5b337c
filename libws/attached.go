package libws

import (
	"context"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"aiows/libws/dial"
	"aiows/libws/handshake"
)

// hostGrace is how long a deadline waits for a host that may hold what the peer sent.
const hostGrace = 50 * time.Millisecond

// maxTail is how much of what was sent can still be drained after the end: about what a
// kernel would still carry to the peer after a close.
const maxTail = 64 << 10

// attachment is the receiving side of a connection without a socket: what the host fed
// and the reactor has not read. Sending is the part of output.
type attachment struct {
	mu     sync.Mutex // a leaf lock
	in     segments
	bytes  int   // in in
	over   error // how the stream ends behind them, io.EOF for an orderly end; nil: it goes on
	closed bool  // nothing is read any more
	behind int   // bytes that the reactor read and has not told
	owed   bool  // Feed told that more than ReadAhead wait: EventInput follows

	// Guarded by the loop lock.
	socket hostSocket
	late   bool   // a deadline has passed, for the first time at the Poll numbered polls
	polls  uint64 // of Loop.polls
}

// fedError is an end of the stream that the host explained.
type fedError struct {
	errno syscall.Errno
	text  string
}

func (e *fedError) Error() string {
	if e.text == "" {
		return e.errno.Error()
	}
	return e.text
}

func (e *fedError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}

// Attach checks o and prepares a client connection without a socket: the host carries its
// bytes, from Drain to the peer and from the peer to Feed. Start puts the request into the
// output, or with o.Dial begins to connect. Fields of o that say how to connect must be unset
// without Dial, and those about TLS with it.
func (l *Loop) Attach(o *ConnectOptions, userData uint64) (*Conn, error) {
	for _, way := range [...]struct {
		name  string
		given bool
		tls   bool
	}{
		{"a host or port", o.Host != "" || o.Port != 0, false},
		{"a TLS context or server name", o.TLS != nil || o.ServerName != "", true},
		{"a socket or Unix path", o.HasSocket || o.UnixPath != "", false},
		{"a local address, local port or family", o.LocalAddress != "" || o.LocalPort != 0 || o.Family != 0, false},
		{"a proxy", o.Proxy != "" || o.ProxyEnvironment != nil, false},
		{"a TLS context or server name of a proxy", o.ProxyTLS != nil || o.ProxyServerName != "", true},
	} {
		switch {
		case !way.given:
		case way.tls:
			return nil, argument("%s for an attached connection, expected none: whoever carries the bytes does TLS", way.name)
		case !o.Dial:
			return nil, argument("%s for an attached connection without dial, expected none: whoever carries the bytes connects", way.name)
		}
	}
	return l.newClient(o, userData, true)
}

// attach makes c a connection without a socket; nobody else knows c yet.
func (c *Conn) attach() {
	c.attached = &attachment{socket: hostSocket{fd: -1}}
	c.out.host, c.out.reading = true, true
}

// Feed takes bytes of the peer. pending means that it took them, and that more than
// ConnOptions.ReadAhead wait to be delivered now; one EventInput follows. Until then, and
// while as much waits, nothing is taken: CodeAgain.
func (c *Conn) Feed(b []byte) (pending bool, err error) {
	a := c.attached
	if a == nil {
		return false, CodeState
	}
	a.mu.Lock()
	switch {
	case a.closed || a.over != nil || c.Ended():
		err = CodeClosed
	case len(b) == 0:
	case a.owed && a.full(c.opts.ReadAhead):
		err = CodeAgain
	case !a.in.keep(&c.loop.mem, b):
		a.over, err = io.EOF, CodeMemory // the stream has a hole: nothing may follow
		c.outOfMemory.Store(true)
	default:
		a.bytes += len(b)
		pending = a.full(c.opts.ReadAhead)
		a.owed = a.owed || pending
	}
	a.mu.Unlock()
	if len(b) > 0 && err != CodeClosed {
		c.loop.post(c)
	}
	return pending, err
}

// FeedEnd tells that the peer sends no more. errno and text, where not zero, say what went
// wrong.
func (c *Conn) FeedEnd(errno syscall.Errno, text string) error {
	a := c.attached
	if a == nil {
		return CodeState
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.over != nil || c.Ended() {
		return CodeClosed
	}
	a.over = io.EOF
	if errno != 0 || text != "" {
		a.over = &fedError{errno, text}
	}
	c.loop.post(c)
	return nil
}

// Drain moves bytes for the peer to b. CodeClosed means that all are drained and that none
// follow: the host ends its transport's sending side.
func (c *Conn) Drain(b []byte) (n int, err error) {
	if c.attached == nil {
		return 0, CodeState
	}
	n, ended := c.out.drain(b)
	if n == 0 {
		if ended {
			err = CodeClosed
		}
		return 0, err
	}
	// What the reactor does when a socket took bytes. A writer that is at work does it.
	if c.State() != StateConnecting && c.wmu.TryLock() {
		c.unlockWrite()
	}
	if c.State() == StateClosing && c.out.pending.Load() == 0 {
		c.loop.post(c) // the close handshake goes on
	}
	return n, nil
}

// full reports that more than limit bytes wait. The lock is held.
func (a *attachment) full(limit uint64) bool { return uint64(a.bytes+a.behind) > limit }

// inputDue reports that the host waits to feed, and may again. The lock is held.
func (a *attachment) inputDue(limit uint64) bool {
	return a.owed && uint64(a.bytes+a.behind) <= limit/2
}

// waiting reports that there are bytes, or the end, to be read.
func (a *attachment) waiting() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bytes > 0 || a.over != nil
}

// shut frees what was not read; a may be nil.
func (a *attachment) shut(mem *memory) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.socket.drop()
	a.in.drop(mem, len(a.in))
	a.bytes, a.behind = 0, 0
}

// fillFed reads what the host fed into a, then into b, as a socket would be read.
func (c *Conn) fillFed(a, b []byte) (n int, err error) {
	t := c.attached
	t.mu.Lock()
	n = t.in.take(&c.loop.mem, a)
	n += t.in.take(&c.loop.mem, b)
	t.late = t.late && (n == 0 || c.phase < phaseOpen)
	t.bytes -= n
	if n == 0 {
		err = t.over
	}
	t.mu.Unlock()
	c.bytesReceived.Add(uint64(n))
	return n, err
}

// account notes what the reactor read and has not told; the loop lock is held.
func (c *Conn) account() {
	a, r := c.attached, &c.reader
	if a == nil {
		return
	}
	behind := len(r.rest)
	if r.ahead != nil {
		behind += r.ahead.bytes
	}
	a.mu.Lock()
	a.behind = behind
	a.mu.Unlock()
}

// transportDue reports that the host is owed an EventOutput or EventInput.
func (c *Conn) transportDue() bool {
	if c.out.news.Load() {
		return true
	}
	c.account()
	a := c.attached
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inputDue(c.opts.ReadAhead)
}

// tellTransport emits EventOutput and EventInput when they are due.
func (c *Conn) tellTransport(b *batch) {
	if c.out.news.Load() && !b.full() {
		c.out.news.Store(false)
		if c.out.drainable() { // unless the host did not wait for it
			b.next(c, EventOutput)
		}
	}
	if b.full() || c.out.news.Load() {
		return
	}
	c.account()
	a := c.attached
	a.mu.Lock()
	due := a.inputDue(c.opts.ReadAhead)
	a.owed = a.owed && !due
	a.mu.Unlock()
	if due {
		b.next(c, EventInput)
	}
}

// ---------------------------------------------------------------- readiness

// noteFed puts c on the list of connections that Poll reads without a socket's help.
func (c *Conn) noteFed() {
	if c.attached != nil && !c.fed && c.phase < phaseDone && !c.reader.eof && c.attached.waiting() {
		c.fed = true
		c.loop.fed = append(c.loop.fed, c)
	}
}

// fedReady is what readable is for a socket: it is to be read, and there is something.
func (c *Conn) fedReady() bool {
	return c.phase < phaseDone && c.out.wanted() && c.attached.waiting()
}

func (l *Loop) fedReady() bool {
	for _, c := range l.fed {
		if c.fedReady() {
			return true
		}
	}
	return false
}

// readFed reads what the host fed. Whom this Poll has no room for comes first in the next.
func (l *Loop) readFed(now int64, b *batch) (done bool) {
	list, kept := l.fed, 0
	for i, c := range list {
		if b.full() || l.arena.exhausted() {
			l.fed = append(append(make([]*Conn, 0, len(list)), list[i:]...), list[:kept]...)
			return false
		}
		if c.fedReady() {
			b.allot(l.conns == 1)
			c.socketReady(epollIn, now, b)
		}
		if c.phase < phaseDone && !c.reader.eof && c.attached.waiting() {
			list[kept] = c
			kept++
		} else {
			c.fed = false
		}
	}
	clear(list[kept:])
	l.fed = list[:kept]
	return true
}

// ---------------------------------------------------------------- output without a socket

// raise sees to it that the host is told of output. The lock is held.
func (o *output) raise() {
	if o.host && !o.told {
		o.told = true
		o.news.Store(true)
	}
}

// drain moves bytes to b; ended reports that none are left and none follow.
func (o *output) drain(b []byte) (n int, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n = o.segs.take(o.mem, b)
	k := copy(b[n:], o.tail)
	if o.tail = o.tail[k:]; len(o.tail) == 0 {
		o.tail = nil
	}
	n += k
	o.sent.Add(uint64(n))
	o.pending.Add(-int64(n))
	if o.pending.Load() > 0 {
		return n, false
	}
	o.told = false
	return n, o.ended || o.err != 0
}

// drainable reports that drain has something to give or to say.
func (o *output) drainable() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pending.Load() > 0 || o.ended
}

// wanted reports that arriving bytes are to be read.
func (o *output) wanted() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reading
}

// closeHost ends an output that the host drains. What waits becomes the tail, in memory
// that needs no freeing; more than maxTail is dropped. The lock is held.
func (o *output) closeHost() {
	if n := int(o.pending.Load()); len(o.segs) > 0 {
		if n <= maxTail {
			o.tail = make([]byte, n)
			o.segs.take(o.mem, o.tail)
		}
		o.drop(len(o.segs))
		o.pending.Store(int64(len(o.tail)))
	}
	o.ended = true
	o.errored.Store(true)
}

// ---------------------------------------------------------------- handshake

// startAttached sends the request; the answer is read in the reactor.
func (c *Conn) startAttached() {
	l := c.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || c.phase != phaseOpening {
		return
	}
	if t := c.opened.options.OpenTimeout; t > 0 {
		c.opened.deadline = clock() + int64(t)
	}
	c.beginAnswer(c.opened.request.Bytes)
}

// beginAnswer sends the first request, and expects an answer; the loop lock is held.
func (c *Conn) beginAnswer(request []byte) {
	c.phase = phaseHead
	c.opened.parser = handshake.NewResponseParser()
	c.retime()
	c.sendRequest(request)
}

// sendRequest sends before the connection is open; the loop lock is held.
func (c *Conn) sendRequest(request []byte) {
	c.wmu.Lock()
	_ = c.emit(request, nil)
	c.wmu.Unlock()
	c.loop.post(c)
}

// readAnswer takes in the server's answer. err is how the stream ended.
func (c *Conn) readAnswer(data []byte, err error, now int64) {
	o := &c.opened
	if len(data) > 0 {
		c.readAt = now
	}
	if c.attached.socket.asking != nil {
		c.readProxy(data, err, now)
		return
	}
	if o.answered != nil {
		if o.body.Feed(data) || err != nil {
			c.refused(now)
		}
		return
	}
	h := &handover{fd: -1, requested: true}
	done, rest, bad := o.parser.Feed(data)
	switch {
	case bad != nil:
		c.notOpened(h, bad, now)
		return
	case !done && err != nil:
		c.notOpened(h, earlyEnd(err), now)
		return
	case !done:
		return
	}
	bad = h.judge(o.parser.Response(), o)
	var status *handshake.StatusError
	switch {
	case errors.As(bad, &status):
		o.answered, o.body = h, dial.NewBody(h.response)
		if o.body.Feed(rest) {
			c.refused(now)
		}
	case bad != nil:
		c.notOpened(h, bad, now)
	default:
		h.rest = rest
		c.adopt(h, now)
	}
}

// refused fails the opening over an answer other than 101, with as much of its body as came.
// Where that is a redirect, AttachRedirect may follow it.
func (c *Conn) refused(now int64) {
	o := &c.opened
	h := o.answered
	h.body = o.body.Bytes()
	if o.options.follows(h.response) {
		if h.err = o.redirect(h.response, now); h.err != nil {
			if h.err.Code == CodeURI {
				h.uri, h.target, h.request = dial.Redact(h.response.Header.Get("Location")), o.uri.Target, o.request
			}
			c.adopt(h, now)
			return
		}
	}
	c.notOpened(h, &handshake.StatusError{Response: h.response}, now)
}

// redirect notes where r leads, by the rules for connections that the core dials.
func (o *opening) redirect(r *handshake.Response, now int64) *Error {
	if o.followed == o.options.MaxRedirects {
		return tooManyRedirects(o.followed, r)
	}
	next, err := o.redirected(r.Header.Get("Location"))
	if err != nil {
		err.HTTPStatus = r.Status
		return err
	}
	next.followed = o.followed + 1
	if o.deadline != 0 { // one limit for all of them
		next.options.OpenTimeout = time.Duration(max(o.deadline-now, int64(time.Millisecond)))
	}
	o.next = next
	return nil
}

// AttachRedirect prepares an attached connection to where c, which failed with CodeStatus,
// was redirected. CodeState: c was not, has not failed yet, or MaxRedirects is 0.
func (c *Conn) AttachRedirect(userData uint64) (*Conn, error) {
	c.loop.mu.Lock()
	next := c.opened.next
	c.opened.next = nil
	c.loop.mu.Unlock()
	if next == nil || c.attached == nil {
		return nil, CodeState
	}
	return c.loop.client(next, userData, true)
}

func (c *Conn) notOpened(h *handover, err error, now int64) {
	h.err = handshakeError(context.Background(), &c.opened, err)
	c.adopt(h, now)
}

// awaitsHost reports that a deadline must not count yet. What the peer sent in time may wait
// in the host's transport, so a host that was late comes by twice first: once to find that
// its transport is readable, and once after it has fed.
func (c *Conn) awaitsHost() bool {
	a := c.attached
	switch {
	case a == nil:
		return false
	case !a.late:
		a.late, a.polls = true, c.loop.polls
		return true
	}
	a.late = c.loop.polls-a.polls < 2
	return a.late
}

// answerExpired ends an opening whose time is over.
func (c *Conn) answerExpired(now int64) {
	o := &c.opened
	switch {
	case c.awaitsHost():
		o.deadline = now + int64(hostGrace)
		c.retime()
	case c.attached.socket.asking != nil:
		c.proxyExpired(now)
	case o.answered != nil:
		c.refused(now)
	default:
		text := "timed out: " + withoutSecrets(o.uri.Raw) + ": no answer within " + o.options.OpenTimeout.Round(time.Millisecond).String()
		c.adopt(&handover{fd: -1, requested: true, err: &Error{Code: CodeTimeout, Text: text}}, now)
	}
}
