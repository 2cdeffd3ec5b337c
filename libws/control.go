package libws

import (
	"sync"
	"sync/atomic"

	"aiows/libws/wire"
)

// control holds the control frames that the reactor wants to send: at most one of
// each kind. Its mutex is a leaf lock.
//
// The reactor must not wait for a writer that is busy on another thread, so it
// leaves the frame here and tries the write lock; whoever holds that lock looks
// again after giving it back.
type control struct {
	mu      sync.Mutex
	waiting atomic.Bool // something below is set and could be written now

	held atomic.Bool // a Pong waits for the one before it

	hasPong, hasPing, hasClose bool
	pong                       []byte  // allocated for the first one
	ping                       [8]byte // keepalive's: the host's own never wait here
	code                       wire.CloseCode
	reason                     string

	// pongEnd is the stream position behind the newest Pong. Until the socket took
	// it, a newer Pong replaces the one that waits (RFC 6455 5.5.3): a peer that
	// pings without reading costs one frame, not memory.
	pongEnd uint64
}

func (k *control) setPong(payload []byte) {
	k.mu.Lock()
	k.pong = append(k.pong[:0], payload...)
	k.hasPong = true
	k.waiting.Store(true)
	k.mu.Unlock()
}

func (k *control) setPing(payload [8]byte) {
	k.mu.Lock()
	k.ping = payload
	k.hasPing = true
	k.waiting.Store(true)
	k.mu.Unlock()
}

func (k *control) setClose(code wire.CloseCode, reason string) {
	k.mu.Lock()
	if !k.hasClose {
		k.code, k.reason = code, reason
		k.hasClose = true
	}
	k.waiting.Store(true)
	k.mu.Unlock()
}

// flushControl writes what waits, unless a writer is at work: then that one does.
func (c *Conn) flushControl() {
	for c.control.waiting.Load() && c.wmu.TryLock() {
		c.writeControl()
		c.wmu.Unlock()
	}
}

// unlockWrite gives the write lock back and serves what came in the meantime: the
// reactor's control frames, and what the reactor would have done had it, and not
// this writer, brought the backlog down.
func (c *Conn) unlockWrite() {
	c.wmu.Unlock()
	if c.control.held.Load() {
		c.control.pongFlushed(c.out.sent.Load())
	}
	if c.control.waiting.Load() {
		c.flushControl()
		if c.writer.closeSent.Load() {
			c.loop.post(c) // the close handshake goes on
		}
	}
	c.checkDrained()
}

// writeControl writes the waiting control frames. The write lock is held.
func (c *Conn) writeControl() {
	k := &c.control
	k.mu.Lock()
	k.waiting.Store(false)
	sendPing, ping := k.hasPing, k.ping
	k.hasPing = false
	sendClose, code, reason := k.hasClose, k.code, k.reason
	k.mu.Unlock()

	c.writePong(false)
	if sendPing && !c.writer.closeSent.Load() {
		_ = c.writeFrame(wire.OpPing, true, ping[:])
	}
	if sendClose {
		c.writeClose(code, reason)
	}
}

// writePong writes the Pong that waits, once the socket took the one before it, or when no
// other can follow: last. The write lock is held.
func (c *Conn) writePong(last bool) {
	k := &c.control
	k.mu.Lock()
	var pong [125]byte
	n, due := 0, k.hasPong && (last || c.out.sent.Load() >= k.pongEnd)
	if due {
		n = copy(pong[:], k.pong)
		k.hasPong = false
	}
	k.held.Store(k.hasPong)
	k.mu.Unlock()
	if !due || c.writer.closeSent.Load() {
		return
	}
	_ = c.writeFrame(wire.OpPong, true, pong[:n])
	end := c.out.position()
	k.mu.Lock()
	k.pongEnd = end
	k.mu.Unlock()
}

// pongFlushed lets a waiting Pong go once the socket took the one before it.
func (k *control) pongFlushed(sent uint64) {
	k.mu.Lock()
	if k.hasPong && sent >= k.pongEnd {
		k.waiting.Store(true)
	}
	k.mu.Unlock()
}

// writeClose sends our Close frame, once, behind the Pong that is due. The write lock is held.
func (c *Conn) writeClose(code wire.CloseCode, reason string) {
	if c.writer.closeSent.Load() || c.aborted.Load() {
		return
	}
	c.writePong(true)
	var body [125]byte
	payload := wire.AppendClose(body[:0], code, reason)
	_ = c.writeFrame(wire.OpClose, true, payload)
	c.writer.closeCode = code
	if len(payload) > 2 {
		c.writer.closeReason = string(payload[2:])
	}
	c.writer.closeSent.Store(true)
}

// Ping queues a Ping frame.
func (c *Conn) Ping(payload []byte) error { return c.sendControl(wire.OpPing, payload) }

// Pong queues a Pong frame.
func (c *Conn) Pong(payload []byte) error { return c.sendControl(wire.OpPong, payload) }

func (c *Conn) sendControl(op wire.Opcode, payload []byte) error {
	if len(payload) > 125 {
		return argument("%s payload is %d bytes, at most 125 are allowed", op, len(payload))
	}
	c.wmu.Lock()
	defer c.unlockWrite()
	if err := c.writable(); err != nil {
		return err
	}
	if op == wire.OpPing {
		c.trips().pinged(payload, clock())
	}
	return c.writeFrame(op, true, payload)
}

// Close starts the close handshake; code 0 sends none. Later calls change nothing,
// and neither do those after Abort. A connection that is still opening is aborted.
func (c *Conn) Close(code int, reason string) error {
	if code == 0 {
		if reason != "" {
			return argument("close reason %q without a close code", reason)
		}
		code = int(wire.CloseNoStatus)
	} else if code < 0 || code > 4999 {
		return argument("close code %d, expected 1000 to 4999", code)
	} else if err := wire.CheckCloseArgs(wire.CloseCode(code), reason); err != nil {
		return argument("%s", err)
	}
	switch c.State() {
	case StateConnecting:
		return c.Abort()
	case StateClosed:
		return CodeClosed
	}
	if c.aborted.Load() {
		return nil
	}
	c.leaving.Store(true)
	c.wmu.Lock()
	if !c.writer.closeSent.Load() {
		c.state.CompareAndSwap(int32(StateOpen), int32(StateClosing))
		c.writeClose(wire.CloseCode(code), reason)
	}
	c.unlockWrite()
	c.loop.post(c)
	return nil
}
