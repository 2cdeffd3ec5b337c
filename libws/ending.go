package libws

import (
	"time"

	"aiows/libws/wire"
)

// ending is the close handshake (RFC 6455 7) seen from the reactor; the loop lock
// guards it.
type ending struct {
	received  wire.CloseCode // of the peer's Close, CloseNoStatus without one, 0: none came
	reason    string
	peerFirst bool  // it came before ours was sent
	deadline  int64 // by when the connection has to end; 0: not closing
	finSent   bool
	// tlsTimeout bounds the end of TLS once Close frames went both ways; 0 later, without
	// TLS, or when close timeout alone does.
	tlsTimeout time.Duration
}

// peerClosed serves the peer's Close frame. What follows it on the wire is ignored.
func (c *Conn) peerClosed(code wire.CloseCode, reason []byte, b *batch) {
	c.reader.discard = true
	e := b.next(c, EventClosing)
	e.Code = int32(code)
	e.setData(c.loop.arena.keep(reason))
	c.closeArrived(code, reason, c.readAt)
}

// closeArrived answers the peer's Close frame, once, by the same code and reason.
func (c *Conn) closeArrived(code wire.CloseCode, reason []byte, now int64) {
	if c.ending.received != 0 {
		return
	}
	c.ending.received, c.ending.reason = code, string(reason)
	c.ending.peerFirst = !c.writer.closeSent.Load()
	c.state.Store(int32(StateClosing))
	if c.err != nil && c.err.Code == CodeLost { // the end of the stream was read first
		c.err = nil
	}
	if c.opts.AutoClose {
		c.control.setClose(code, c.ending.reason)
		c.flushControl()
	}
	c.closeProgress(now)
}

// fail fails the connection (RFC 6455 7.1.7): say why, stop listening, wait for the
// peer to leave.
func (c *Conn) fail(code wire.CloseCode, e *Error) {
	c.reader.discard, c.reader.more = true, false
	if c.err == nil || c.err.Code == CodeLost { // the end of the stream was read first
		c.err = e
	}
	c.state.Store(int32(StateClosing))
	c.control.setClose(code, e.Error())
	c.flushControl()
	c.closeProgress(clock())
}

// closeProgress moves the close handshake on as far as it goes now.
func (c *Conn) closeProgress(now int64) {
	sent, received := c.writer.closeSent.Load(), c.ending.received != 0
	if !sent && !received {
		return
	}
	if c.ending.deadline == 0 && c.opts.CloseTimeout > 0 {
		c.ending.deadline = now + int64(c.opts.CloseTimeout)
		c.retime()
	}
	if sent && received && c.ending.tlsTimeout > 0 {
		if at := now + int64(c.ending.tlsTimeout); c.ending.deadline == 0 || at < c.ending.deadline {
			c.ending.deadline = at
			c.retime()
		}
		c.ending.tlsTimeout = 0
	}
	over := sent && (received || c.reader.discard)
	if !over || c.ending.finSent || c.out.pending.Load() > 0 {
		return
	}
	// The server ends the TCP connection first (RFC 6455 7.1.1); so does who
	// fails it. The client waits for that.
	if c.role == wire.Server || !received {
		if !c.wmu.TryLock() {
			c.loop.post(c)
			return
		}
		c.ending.finSent = true
		if c.tls != nil {
			_ = c.tls.CloseWrite()
		}
		c.out.shutdownWrite()
		c.unlockWrite()
		if c.out.news.Load() {
			c.loop.post(c)
		}
	}
}

// closeExpired ends a connection whose peer did not play its part in time.
func (c *Conn) closeExpired() {
	if c.err == nil && c.ending.received == 0 {
		c.err = &Error{Code: CodeTimeout, Text: "no close frame came within " + c.opts.CloseTimeout.Round(time.Millisecond).String()}
	}
	c.reader.more = false // what was read is still told
	c.finish()
}

// tellClosed emits the last event of a connection that was open.
func (c *Conn) tellClosed(b *batch) {
	e := b.next(c, EventClosed)
	sent := c.writer.closeSent.Load()
	e.Code = int32(wire.CloseAbnormal)
	if c.ending.received != 0 {
		e.Code = int32(c.ending.received)
		e.setData(c.loop.arena.keep([]byte(c.ending.reason)))
	}
	if sent {
		e.CloseSent = uint16(c.writer.closeCode)
	}
	if sent && c.ending.received != 0 {
		e.Flags |= FlagClean
	}
	if c.ending.peerFirst {
		e.Flags |= FlagPeer
	}
}
