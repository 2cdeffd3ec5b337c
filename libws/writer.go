package libws

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"aiows/libws/wire"
)

const (
	// frameBuffer is what a frame is built in; longer ones go piece by piece.
	frameBuffer = 64 << 10
	// copyLimit is the longest unmasked payload that is copied behind its header
	// rather than handed to the kernel as a second piece.
	copyLimit = 2 << 10
)

var frameBuffers = sync.Pool{New: func() any { return new([frameBuffer]byte) }}

// writer is the sending half of a connection; the write lock guards it.
type writer struct {
	fragment    wire.Opcode // of the message that is being sent in parts, 0: none
	packed      bool        // it is sent compressed
	text        wire.UTF8   // of it
	closeSent   atomic.Bool // written under the lock
	closeCode   wire.CloseCode
	closeReason string
	wantEvent   atomic.Bool // the host waits for WRITABLE
}

func argument(format string, args ...any) *Error {
	return &Error{Code: CodeArgument, Text: fmt.Sprintf(format, args...)}
}

func dataOpcode(kind int, flags SendFlags) (wire.Opcode, error) {
	if kind != Text && kind != Binary {
		return 0, argument("message kind %d, expected 1 (text) or 2 (binary)", kind)
	}
	if flags&^(SendCompress|SendNoCompress|SendTry|SendForce) != 0 {
		return 0, argument("send flags %#x are not known", uint32(flags))
	}
	if flags&SendCompress != 0 && flags&SendNoCompress != 0 {
		return 0, argument("send flags %#x ask for compression and for none", uint32(flags))
	}
	return wire.Opcode(kind), nil
}

func (c *Conn) lockWrite(flags SendFlags) bool {
	if flags&SendTry != 0 {
		return c.wmu.TryLock()
	}
	c.wmu.Lock()
	return true
}

// writable reports why nothing may be sent. The write lock is held.
func (c *Conn) writable() error {
	if c.State() == StateConnecting {
		return CodeState
	}
	if c.State() != StateOpen || c.writer.closeSent.Load() || c.out.lost() {
		return CodeClosed
	}
	return nil
}

// Send queues one message. pending is set when SendForce took it above the high
// mark; one EventWritable follows then, as it does after CodeAgain.
func (c *Conn) Send(kind int, flags SendFlags, data []byte) (pending bool, err error) {
	op, err := dataOpcode(kind, flags)
	if err != nil {
		return false, err
	}
	if op == wire.OpText && !wire.ValidUTF8(data) {
		return false, CodeUTF8
	}
	if !c.lockWrite(flags) {
		return false, CodeBusy
	}
	pending, err = c.send(op, flags, data)
	c.unlockWrite()
	return pending, err
}

// send queues a whole message. The write lock is held.
func (c *Conn) send(op wire.Opcode, flags SendFlags, data []byte) (pending bool, err error) {
	if err := c.writable(); err != nil {
		return false, err
	}
	if c.writer.fragment != 0 {
		return false, CodeState
	}
	if flags&SendCompress != 0 && c.deflate == nil {
		return false, CodeUnsupported
	}
	if flags&SendForce == 0 && c.overHigh() {
		return false, CodeAgain
	}
	if err := c.writeMessage(op, flags, data); err != nil {
		return false, err
	}
	c.counters.messagesSent.Add(1)
	return flags&SendForce != 0 && c.overHigh(), nil
}

// SendMany queues messages of one kind until one is refused; n counts the queued.
func (c *Conn) SendMany(kind int, flags SendFlags, messages [][]byte) (n int, pending bool, err error) {
	op, err := dataOpcode(kind, flags)
	if err != nil {
		return 0, false, err
	}
	if !c.lockWrite(flags) {
		return 0, false, CodeBusy
	}
	c.out.cork()
	for _, m := range messages {
		if flags&SendForce == 0 && uint64(c.out.pending.Load()) > c.opts.WriteHigh { // what is held back may fit
			c.out.uncork()
			c.out.cork()
		}
		if op == wire.OpText && !wire.ValidUTF8(m) {
			err = CodeUTF8
			break
		}
		if pending, err = c.send(op, flags, m); err != nil {
			break
		}
		n++
	}
	c.out.uncork()
	c.unlockWrite()
	return n, pending, err
}

// SendFragment queues one frame of a message in parts (RFC 6455 5.4).
func (c *Conn) SendFragment(kind int, flags SendFlags, fin bool, data []byte) (pending bool, err error) {
	op, err := dataOpcode(kind, flags)
	if err != nil {
		return false, err
	}
	if !c.lockWrite(flags) {
		return false, CodeBusy
	}
	defer c.unlockWrite()
	if err := c.writable(); err != nil {
		return false, err
	}
	if flags&SendCompress != 0 && c.deflate == nil {
		return false, CodeUnsupported
	}
	w := &c.writer
	if w.fragment != 0 && w.fragment != op {
		return false, argument("fragment of a %s message, the message began as %s", op, w.fragment)
	}
	if flags&SendForce == 0 && c.overHigh() {
		return false, CodeAgain
	}
	first := w.fragment == 0
	if op == wire.OpText {
		text := w.text
		if first {
			text = wire.UTF8{}
		}
		if !text.Write(data) || fin && !text.Complete() {
			return false, CodeUTF8
		}
		w.text = text
	}
	frame := wire.OpContinuation
	if first {
		frame = op
	}
	if err := c.writePart(frame, fin, flags, data); err != nil {
		return false, err
	}
	w.fragment = op
	if fin {
		w.fragment = 0
		c.counters.messagesSent.Add(1)
	}
	return flags&SendForce != 0 && c.overHigh(), nil
}

// overHigh reports that the host has to wait for EventWritable, and sees to it that
// one comes.
func (c *Conn) overHigh() bool {
	if uint64(c.out.pending.Load()) <= c.opts.WriteHigh {
		return false
	}
	c.writer.wantEvent.Store(true)
	c.checkDrained()
	return true
}

// checkDrained covers the backlog that drained before the wish was noted.
func (c *Conn) checkDrained() {
	if c.writer.wantEvent.Load() && uint64(c.out.pending.Load()) <= c.opts.WriteLow {
		c.loop.post(c)
	}
}

// checkWritable tells EventWritable when it is owed; the loop lock is held.
func (c *Conn) checkWritable() {
	if uint64(c.out.pending.Load()) <= c.opts.WriteLow && c.writer.wantEvent.Load() && c.writer.wantEvent.Swap(false) {
		c.due.writable = true
		c.loop.queue(c)
	}
}

// flush writes the backlog as the socket allows; the loop lock is held.
func (c *Conn) flush(now int64) {
	empty := c.out.flush()
	c.control.pongFlushed(c.out.sent.Load())
	c.flushControl()
	c.checkWritable()
	switch {
	case !empty:
	case c.phase == phaseOpen:
		c.closeProgress(now)
	case c.phase == phaseRefused:
		c.refusedProgress()
	}
}

// writeFrame writes one frame. The write lock is held.
func (c *Conn) writeFrame(op wire.Opcode, fin bool, payload []byte) error {
	c.logSent(op, fin, payload, unpacked)
	return c.writeHeaded(wire.Header{Fin: fin, Opcode: op}, payload)
}

func (c *Conn) writeHeaded(h wire.Header, payload []byte) error {
	c.counters.framesSent.Add(1)
	h.Length = int64(len(payload))
	if !h.Opcode.IsControl() {
		c.counters.payloadBytesSent.Add(uint64(len(payload)))
	}
	if c.role == wire.Server {
		return c.writePlain(h, payload)
	}
	h.Masked, h.Key = true, rand.Uint32()
	buf := frameBuffers.Get().(*[frameBuffer]byte)
	defer frameBuffers.Put(buf)
	b := wire.AppendHeader(buf[:0], h)
	n := min(len(payload), frameBuffer-len(b))
	pos := wire.MaskCopy(buf[len(b):], payload[:n], h.Key, 0)
	b = buf[:len(b)+n]
	payload = payload[n:]
	if len(payload) == 0 {
		return c.emit(b, nil)
	}
	if c.tls != nil {
		c.out.cork()
		defer c.out.uncork()
	}
	for {
		if err := c.emit(b, nil); err != nil || len(payload) == 0 {
			return err
		}
		n := min(len(payload), frameBuffer)
		pos = wire.MaskCopy(buf[:n], payload[:n], h.Key, pos)
		b, payload = buf[:n], payload[n:]
	}
}

// writePlain writes an unmasked frame.
func (c *Conn) writePlain(h wire.Header, payload []byte) error {
	var head [wire.MaxHeaderLen]byte
	b := wire.AppendHeader(head[:0], h)
	if c.tls == nil && len(payload) > copyLimit {
		return c.emit(b, payload)
	}
	if len(b)+len(payload) <= frameBuffer {
		buf := frameBuffers.Get().(*[frameBuffer]byte)
		defer frameBuffers.Put(buf)
		n := copy(buf[:], b)
		n += copy(buf[n:], payload)
		return c.emit(buf[:n], nil)
	}
	c.out.cork()
	defer c.out.uncork()
	return c.emit(b, payload)
}

// emit hands bytes to the socket, through TLS where there is one.
func (c *Conn) emit(head, body []byte) error {
	if c.tls == nil {
		_ = c.out.write(head, body)
	} else {
		for _, p := range [...][]byte{head, body} {
			if len(p) > 0 {
				if _, err := c.tls.Write(p); err != nil {
					return CodeClosed
				}
			}
		}
	}
	if c.out.news.Load() {
		c.loop.post(c) // the host is told of output
	}
	if c.outOfMemory.Load() {
		c.loop.post(c) // the reactor ends the connection
		return CodeMemory
	}
	return nil
}
