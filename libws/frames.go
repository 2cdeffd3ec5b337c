package libws

import (
	"aiows/libws/wire"
)

// space returns where the payload at hand continues, so that a long message is
// read straight into its block; nil when no payload is incomplete.
func (r *reader) space() []byte {
	if r.left == 0 || r.have == len(r.message) {
		return nil
	}
	return r.message[r.have:min(len(r.message), r.have+int(r.untold()))]
}

// grow makes room for the next bytes of a payload of which left are to come, more
// of them at hand. The block grows with what arrived, now or in the last message, so
// that a length field alone costs nothing; and by half at least while other frames
// follow, so that a message in 65,536 of them is not copied as often.
func (r *reader) grow(more int) bool {
	if r.have < len(r.message) || r.left == 0 {
		return true
	}
	size := min(int64(r.have)+r.untold(), int64(max(4*(r.have+more), firstBlock, r.usual)))
	if !r.fin && !r.parted {
		size = max(size, int64(r.have+r.have/2))
	}
	a := &r.conn.loop.arena
	block := a.block(int(size))
	if block == nil {
		return false
	}
	copy(block, r.message[:r.have])
	if r.message != nil {
		a.keepBlock(r.message)
	}
	r.message = block
	return true
}

// parse tells the frames in data and returns what it had no room for. Whole
// messages are told where they stand, without a copy.
func (c *Conn) parse(data []byte, b *batch) []byte {
	r := &c.reader
	for len(data) > 0 && !r.discard {
		if r.left > 0 {
			if b.spent() && int64(len(data)) >= r.untold() {
				return data
			}
			n := copy(r.space(), data)
			data = data[n:]
			if !c.absorb(n, len(data), b) {
				return nil
			}
			continue
		}
		if b.spent() || c.lines != nil && !c.logReady(b) {
			return data
		}
		h, n, broken := wire.ParseHeader(data)
		if broken == nil && n > 0 {
			broken = wire.CheckHeader(&h, c.role, r.open, c.rsv)
		}
		if broken != nil {
			c.failWire(broken)
			return nil
		}
		if n == 0 || h.Opcode.IsControl() && int64(len(data)-n) < h.Length {
			r.ncarry = copy(r.carry[:], data)
			return nil
		}
		c.counters.framesReceived.Add(1)
		if h.Opcode.IsControl() {
			end := n + int(h.Length)
			payload := data[n:end]
			if h.Masked {
				wire.Mask(payload, h.Key, 0)
			}
			c.controlFrame(h.Opcode, payload, b)
			data = data[end:]
			continue
		}
		if h.Fin && !r.open && int64(len(data)-n) >= h.Length {
			end := n + int(h.Length)
			if !c.wholeMessage(&h, data[n:end], b) {
				return nil
			}
			data = data[end:]
			continue
		}
		data = data[n:]
		if !c.beginFrame(&h, len(data), b) {
			return nil
		}
		if r.parted && r.have == 0 && r.left > 0 && int64(len(data)) >= r.left {
			end := r.left
			if !c.framePart(data[:end], b) {
				return nil
			}
			data = data[end:]
		}
	}
	return nil
}

// wholeMessage tells a message that arrived as one frame in one piece.
func (c *Conn) wholeMessage(h *wire.Header, payload []byte, b *batch) bool {
	if big := c.checkLength(0, h.Length, h.Rsv != 0); big != nil {
		c.failWire(big)
		return false
	}
	if h.Masked {
		wire.Mask(payload, h.Key, 0)
	}
	c.counters.payloadBytesReceived.Add(uint64(len(payload)))
	if h.Rsv != 0 {
		return c.packedMessage(h.Opcode, payload, true, b)
	}
	if h.Opcode == wire.OpText && !wire.ValidUTF8(payload) {
		c.failWire(wire.ErrInvalidUTF8)
		return false
	}
	c.logReceived(h.Opcode, true, payload, unpacked, b)
	c.tellMessage(h.Opcode, payload, FlagFin, b)
	return true
}

// checkLength applies the limits to the next frame of a message of which have bytes came.
func (c *Conn) checkLength(have, next int64, packed bool) *wire.Error {
	if limit := c.opts.MaxFragmentSize; limit > 0 && uint64(next) > limit {
		return errFragmentTooBig
	}
	return wire.CheckMessageLength(have, next, c.payloadLimit(packed))
}

// beginFrame starts or continues a message that is put together in a block; more
// bytes are at hand.
func (c *Conn) beginFrame(h *wire.Header, more int, b *batch) bool {
	r := &c.reader
	if !r.open {
		r.open, r.kind, r.text, r.fragments = true, h.Opcode, wire.UTF8{}, 0
		r.packed = h.Rsv != 0
		r.parted, r.before, r.plain = c.streams.Load(), 0, 0
	}
	if big := c.checkLength(r.before+int64(r.have), h.Length, r.packed); big != nil {
		c.failWire(big)
		return false
	}
	r.fragments++
	if limit := c.opts.MaxFragments; limit > 0 && r.fragments > limit {
		c.failWire(wire.ErrMessageTooBig)
		return false
	}
	r.fin, r.left, r.key, r.pos, r.piece, r.begun = h.Fin, h.Length, h.Key, 0, 0, r.have
	if r.left == 0 {
		return c.frameDone(b)
	}
	if r.parted && r.have == 0 && int64(more) >= r.left {
		return true // it is told where it stands
	}
	if !r.grow(more) {
		c.failMemory()
		return false
	}
	return true
}

// absorb takes in n payload bytes that stand at the end of the block; more follow.
func (c *Conn) absorb(n, more int, b *batch) bool {
	r := &c.reader
	p := r.message[r.have : r.have+n]
	if c.role == wire.Server {
		r.pos = wire.Mask(p, r.key, r.pos)
	}
	r.have += n
	r.left -= int64(n)
	c.counters.payloadBytesReceived.Add(uint64(n))
	if r.kind == wire.OpText && !r.packed && !r.text.Write(p) {
		c.failWire(wire.ErrInvalidUTF8)
		return false
	}
	if r.parted && r.untold() == 0 {
		if !c.tellPart(b) {
			return false
		}
		if r.left == 0 {
			return true
		}
	}
	if r.left > 0 {
		if !r.grow(more) {
			c.failMemory()
			return false
		}
		return true
	}
	return c.frameDone(b)
}

// frameDone ends a frame of a message in pieces. There is room for one event: parse
// stops before the last byte otherwise, and pull reads only with room.
func (c *Conn) frameDone(b *batch) bool {
	r := &c.reader
	if r.parted {
		return c.tellPart(b)
	}
	c.logFrame(b)
	if !r.fin {
		return true
	}
	if r.kind == wire.OpText && !r.packed && !r.text.Complete() {
		c.failWire(wire.ErrInvalidUTF8)
		return false
	}
	block, payload := r.message, r.message[:r.have]
	r.usual = min(r.have, maxKept)
	r.message, r.have, r.open = nil, 0, false
	if r.packed {
		r.packed = false
		ok := c.packedMessage(r.kind, payload, r.fragments == 1, b)
		if block != nil {
			c.loop.arena.keepBlock(block)
		}
		return ok
	}
	if block != nil {
		c.loop.arena.loose = append(c.loop.arena.loose, block)
	}
	c.tellMessage(r.kind, payload, FlagBlock|FlagFin, b)
	return true
}

// tellMessage emits a message or, without FlagFin, a part of one, unless the host closed
// while it had paused. What follows a message that was not told is not told either: the
// host sees a beginning of what came, without gaps.
func (c *Conn) tellMessage(op wire.Opcode, payload []byte, flags uint16, b *batch) {
	if flags&FlagFin != 0 {
		c.counters.messagesReceived.Add(1)
	}
	if c.deflate != nil {
		c.counters.messageBytesReceived.Add(uint64(len(payload)))
	}
	c.reader.told = c.loop.polls
	if c.reader.untellable || c.paused.Load() && c.leaving.Load() {
		c.reader.untellable = true
		return
	}
	e := b.next(c, EventMessage)
	e.Kind = uint16(op)
	e.Flags = flags
	e.setData(payload)
}

// controlFrame serves a Ping, Pong or Close (RFC 6455 5.5).
func (c *Conn) controlFrame(op wire.Opcode, payload []byte, b *batch) {
	served := c.reader.wasServed()
	c.logReceived(op, true, payload, unpacked, b)
	switch op {
	case wire.OpPing:
		if c.opts.AutoPong && !served {
			c.control.setPong(payload)
			c.flushControl()
		}
		b.next(c, EventPing).setData(payload)
	case wire.OpPong:
		if !c.alive.answered(c, payload, c.readAt) {
			c.ponged(payload, c.readAt)
			b.next(c, EventPong).setData(payload)
		}
	case wire.OpClose:
		code, reason, broken := wire.ParseClose(payload)
		if broken != nil {
			c.failWire(broken)
			return
		}
		c.peerClosed(code, reason, b)
	}
}

// failWire fails the connection over a rule of frames.
func (c *Conn) failWire(e *wire.Error) { c.failRule(e.Code, e.Error()) }

// failRule fails the connection over a rule the peer broke.
func (c *Conn) failRule(closeCode wire.CloseCode, text string) {
	code := CodeProtocol
	if closeCode == wire.CloseMessageTooBig {
		code = CodeTooBig
	}
	c.failBroken(&Error{Code: code, Text: text, CloseCode: uint16(closeCode)})
}

// failBroken fails the connection. When this Poll tells messages that came before, it
// does so in the next one: the host may answer them.
func (c *Conn) failBroken(e *Error) {
	if c.justTold() {
		c.reader.broken, c.reader.discard, c.reader.more = e, true, false
		return
	}
	c.reader.broken = nil
	c.fail(wire.CloseCode(e.CloseCode), e)
}

// justTold reports that the host does not have the newest message yet.
func (c *Conn) justTold() bool { return c.reader.told == c.loop.polls }

func (c *Conn) failMemory() {
	c.fail(wire.CloseInternalError, &Error{Code: CodeMemory, CloseCode: uint16(wire.CloseInternalError)})
}
