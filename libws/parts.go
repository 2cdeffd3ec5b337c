package libws

import (
	"math"

	"aiows/libws/wire"
)

// maxPart is the longest payload that one event tells a part of a message with: a frame
// that is longer comes in several. A block of that length is kept for the next one.
const maxPart = maxKept

// errFragmentTooBig is the rule of ConnOptions.MaxFragmentSize.
var errFragmentTooBig = &wire.Error{Code: wire.CloseMessageTooBig, Section: "10.4", Text: "frame exceeds the fragment size limit"}

// Stream has messages told in parts, frame by frame as they arrive, or as a whole again.
// On reaches the message that is being received: what has come of it is told by the next
// Poll. Off holds from the next message on. Any thread.
func (c *Conn) Stream(on bool) error {
	if c.Ended() {
		return CodeClosed
	}
	c.streams.Store(on)
	if on {
		c.loop.post(c)
	}
	return nil
}

// untold is how many bytes of the frame at hand come before there is something to tell.
func (r *reader) untold() int64 {
	if r.parted {
		return max(0, min(r.left, int64(maxPart-r.have)))
	}
	return r.left
}

// noteStream switches the message that is being received to parts, if the host wants
// them. The loop lock is held.
func (c *Conn) noteStream() {
	r := &c.reader
	if !r.open || r.parted || r.discard || !c.streams.Load() {
		return
	}
	r.parted = true
	c.due.part = r.have > 0
}

// tellBegun tells what had come of a message before the host wanted parts. There is room
// for one event.
func (c *Conn) tellBegun(b *batch) {
	c.due.part = false
	r := &c.reader
	if r.discard {
		return
	}
	// The text of earlier frames is in it: it is not held to the limit of one.
	r.piece = math.MinInt64 / 2
	ok := c.tellPart(b)
	r.piece = 0
	if ok && !r.grow(0) {
		c.failMemory()
	}
}

// framePart tells a whole frame where it stands.
func (c *Conn) framePart(payload []byte, b *batch) bool {
	r := &c.reader
	if c.role == wire.Server {
		wire.Mask(payload, r.key, 0)
	}
	r.left = 0
	c.counters.payloadBytesReceived.Add(uint64(len(payload)))
	if r.kind == wire.OpText && !r.packed && !r.text.Write(payload) {
		c.failWire(wire.ErrInvalidUTF8)
		return false
	}
	return c.emitPart(payload, 0, b)
}

// tellPart tells what stands in the block.
func (c *Conn) tellPart(b *batch) bool {
	r := &c.reader
	block, payload := r.message, r.message[:r.have]
	r.usual = min(r.have, maxKept)
	r.message, r.have = nil, 0
	flags := uint16(0)
	switch {
	case block == nil:
	case r.packed:
		defer c.loop.arena.keepBlock(block)
	default:
		c.loop.arena.loose = append(c.loop.arena.loose, block)
		flags = FlagBlock
	}
	return c.emitPart(payload, flags, b)
}

// emitPart tells a part of the message at hand, the last one when its last frame is
// complete.
func (c *Conn) emitPart(payload []byte, flags uint16, b *batch) bool {
	r := &c.reader
	last := r.fin && r.left == 0
	op, packed := wire.OpContinuation, unpacked
	if r.before == 0 && r.fragments == 1 {
		op = r.kind
	}
	r.before += int64(len(payload))
	if r.packed {
		packed = len(payload)
		var ok bool
		if payload, flags, ok = c.unpackPart(payload, last, b); !ok {
			return false
		}
	}
	if last {
		if r.kind == wire.OpText && !r.text.Complete() {
			c.failWire(wire.ErrInvalidUTF8)
			return false
		}
		flags |= FlagFin
		r.open, r.packed, r.parted = false, false, false
	}
	if r.piece >= 0 { // of what is told late the frames were noted
		c.logReceived(op, last, payload, packed, b)
	}
	c.tellMessage(r.kind, payload, flags, b)
	return true
}

// unpackPart inflates a part of a compressed message.
func (c *Conn) unpackPart(payload []byte, last bool, b *batch) (text []byte, flags uint16, ok bool) {
	r := &c.reader
	limit, failure := int64(math.MaxInt64), (*wire.Error)(nil)
	if most := c.opts.MaxMessageSize; most > 0 {
		limit = int64(most) - r.plain
	}
	if most := c.opts.MaxFragmentSize; most > 0 && int64(most)-r.piece < limit {
		limit, failure = max(int64(most)-r.piece, 0), errFragmentTooBig
	}
	room := c.inflationRoom(len(payload), uint64(limit))
	if room == nil {
		c.failMemory()
		return nil, 0, false
	}
	text, broken := c.deflate.receive.Part(payload, room, &c.loop.inflation, int(limit), last)
	if flags, ok = c.inflated(text, broken, failure, b); !ok {
		return nil, 0, false
	}
	r.plain += int64(len(text))
	r.piece += int64(len(text))
	if r.kind == wire.OpText && !r.text.Write(text) {
		c.failWire(wire.ErrInvalidUTF8)
		return nil, 0, false
	}
	return text, flags, true
}
