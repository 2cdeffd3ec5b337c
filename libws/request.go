package libws

import (
	"errors"
	"io"

	"aiows/libws/handshake"
	"aiows/libws/wire"
)

// Request is a client's request that waits for an answer. Its methods may
// be called by any thread.
type Request struct {
	conn     *Conn
	listener *Listener
	request  *handshake.ServerRequest
	rest     []byte                 // read behind the head
	problem  *handshake.RejectError // why it cannot be accepted, nil when it can
	number   uint64                 // what LoopOptions.RequestHandle returned
	answered bool                   // guarded by the loop lock
	freed    bool                   // the same: the host wants to hear no more of it
}

// readHead feeds arriving bytes to the request parser.
func (c *Conn) readHead(now int64, b *batch) {
	ch := c.loop.arena.room(minRead)
	if ch == nil {
		return
	}
	buf := ch.buf[ch.used:][:headRead]
	n, err := c.fill(nil, buf)
	if c.role == wire.Client {
		c.readAnswer(buf[:n], err, now)
		return
	}
	if n > 0 {
		c.readAt = now
		done, rest, bad := c.opened.parser.Feed(buf[:n])
		switch {
		case bad != nil:
			c.rejectHead(handshake.Reject(bad))
			return
		case done:
			c.headDone(rest)
			return
		}
	}
	if err != nil {
		if !errors.Is(err, io.EOF) {
			c.loop.log(LogDebug, "handshake: "+c.describe()+": "+err.Error())
		}
		c.finish()
	}
}

// headDone checks the request and asks the host.
func (c *Conn) headDone(rest []byte) {
	request := c.opened.parser.Request()
	c.opened.parser = nil
	problem := request.CheckUpgrade()
	if problem != nil && !c.opened.listener.opts.AnyRequest {
		c.rejectHead(problem)
		return
	}
	c.info.target = request.Target
	c.opened.asked = &Request{conn: c, listener: c.opened.listener, request: request, problem: problem, rest: append([]byte(nil), rest...)}
	c.phase = phaseAsked
	c.due.request = true
	c.loop.queue(c)
}

// askedReady serves the socket of a client that waits for the host's answer. What it
// sends meanwhile stays in the socket; its end is told, since a client that sends no
// more cannot be a WebSocket. A host that answers at once never comes here.
func (c *Conn) askedReady(events uint32) {
	switch {
	case c.opened.asked.answered: // and the answer is on its way
	case events&^(epollIn|epollOut) != 0:
		c.loop.log(LogInfo, "left before the answer: "+c.describe())
		c.finish()
	default:
		c.out.awaitLeaving()
	}
}

// tellRequest emits EventRequest.
func (c *Conn) tellRequest(b *batch) {
	c.due.request = false
	r := c.opened.asked
	e := b.next(c, EventRequest)
	e.Conn, e.UserData = r.listener.handle, r.listener.userData
	if name := c.loop.opts.RequestHandle; name != nil {
		r.number = name(r)
	}
	e.Request = r.number
}

// tellGone emits EventGone.
func (c *Conn) tellGone(b *batch) {
	c.due.gone = false
	if r := c.opened.asked; !r.freed {
		e := b.next(c, EventGone)
		e.Conn, e.UserData, e.Request = r.listener.handle, r.listener.userData, r.number
	}
}

func (c *Conn) rejectHead(e *handshake.RejectError) {
	c.loop.log(LogInfo, "rejected: "+c.describe()+": "+e.Text)
	c.refuse(e.Status, e.Header, []byte(e.Text+"\n"))
}

// refuse answers with another status than 101 and closes; the loop lock is held.
func (c *Conn) refuse(status int, extra handshake.Header, body []byte) {
	answer, err := handshake.AppendReject(nil, status, extra, body)
	if err != nil {
		answer, _ = handshake.AppendReject(nil, 500, nil, nil)
	}
	c.wmu.Lock()
	_ = c.emit(answer, nil)
	if c.tls != nil {
		_ = c.tls.CloseWrite()
	}
	c.wmu.Unlock()
	c.due.request = false
	c.phase = phaseRefused
	c.reader.discard = true
	c.out.setReading(true)
	c.refusedProgress()
}

// refusedProgress ends the stream behind the answer, then waits for the client to
// leave, so that no reset overtakes the answer.
func (c *Conn) refusedProgress() {
	if c.out.pending.Load() == 0 && !c.ending.finSent {
		c.ending.finSent = true
		c.out.shutdownWrite()
	}
}

// readRefused drops what a refused client still sends.
func (c *Conn) readRefused() {
	ch := c.loop.arena.room(minRead)
	if ch == nil {
		return
	}
	if _, err := c.fill(nil, ch.buf[ch.used:][:headRead]); err != nil {
		c.finish()
	}
}

// openExpired ends a handshake that took too long.
func (c *Conn) openExpired(now int64) {
	c.opened.deadline = 0
	if c.role == wire.Client {
		c.answerExpired(now)
		return
	}
	c.loop.log(LogInfo, "not open in time: "+c.describe())
	c.finish()
}

// Info describes the request.
func (r *Request) Info() (method, target, local, remote string, header handshake.Header, subprotocols []string) {
	i := &r.conn.info
	return r.request.Method, r.request.Target, i.local, i.remote, r.request.Header, r.request.Subprotocols
}

// Refusal is what NewConn would answer a request that is no upgrade; status 0 for one
// that is.
func (r *Request) Refusal() (status int, text string, header handshake.Header) {
	if e := r.problem; e != nil {
		return e.Status, e.Text, e.Header
	}
	return 0, "", nil
}

// NewConn checks o and turns the request into a connection; its Start answers 101.
func (r *Request) NewConn(o *AcceptOptions, userData uint64) (*Conn, error) {
	c := r.conn
	l := c.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := r.answerable(); err != nil {
		return nil, err
	}
	if e := r.problem; e != nil {
		r.answered = true
		c.rejectHead(e)
		return nil, &Error{Code: CodeHandshake, Text: e.Text}
	}
	extensions, agreed, err := o.Conn.answer(r.request)
	if err != nil {
		return nil, err
	}
	headers := o.Headers
	if name := r.listener.opts.ServerName; name != "" && !headers.Has("Server") {
		headers = append(handshake.Header{{Name: "Server", Value: name}}, headers...)
	}
	answer, err := r.request.AppendAccept(nil, o.Subprotocol, extensions, headers)
	if err != nil {
		code := CodeHeader
		if errors.Is(err, handshake.ErrNotOffered) {
			code = CodeArgument
		}
		return nil, &Error{Code: code, Text: err.Error()}
	}
	r.answered = true
	c.opts = o.Conn.consistent()
	c.streams.Store(c.opts.Stream)
	c.logFrames()
	c.userData.Store(userData)
	c.compress(agreed)
	c.info.subprotocol, c.info.extensions = o.Subprotocol, extensions
	c.info.received, c.info.sent = packHeader(r.request.Header), string(answer)
	c.opened.answer = answer
	c.opened.deadline = 0
	c.retime()
	return c, nil
}

// answerable reports why the request cannot be answered any more.
func (r *Request) answerable() error {
	switch {
	case r.conn.loop.closed || r.conn.phase > phaseAsked && !r.answered:
		return CodeClosed
	case r.answered && r.conn.phase >= phaseDone:
		return CodeClosed
	case r.answered:
		return CodeState
	}
	return nil
}

// startAccepted answers 101.
func (c *Conn) startAccepted() {
	l := c.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || c.phase != phaseAsked {
		return
	}
	asked, answer := c.opened.asked, c.opened.answer
	c.opened.leave()
	c.opened = opening{}
	c.wmu.Lock()
	_ = c.emit(answer, nil)
	c.wmu.Unlock()
	now := clock()
	if c.lines != nil {
		c.logLine("< ", asked.request.Method+" "+withoutUser(asked.request.Target)+" HTTP/1.1")
		c.logFields("< ", asked.request.Header)
		c.logHead("> ", string(answer))
	}
	c.becomeOpen(now, asked.rest)
	if c.tls != nil {
		c.reader.more = true
	}
	c.out.setReading(true)
	l.post(c)
}

// Reject answers with an HTTP status and closes.
func (r *Request) Reject(status int, extra handshake.Header, body []byte) error {
	c := r.conn
	if status < 200 || status > 599 {
		return argument("status %d, expected 200 to 599", status)
	}
	if _, err := handshake.AppendReject(nil, status, extra, body); err != nil {
		return &Error{Code: CodeHeader, Text: err.Error()}
	}
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	if err := r.answerable(); err != nil {
		return err
	}
	r.answered = true
	c.refuse(status, extra, body)
	return nil
}

// Free answers 503 unless the request was answered.
func (r *Request) Free() {
	c := r.conn
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	r.freed = true
	if r.answerable() == nil {
		r.answered = true
		c.refuse(503, nil, nil)
	}
}
