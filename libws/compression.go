package libws

import (
	"math"
	"unsafe"

	"aiows/libws/deflate"
	"aiows/libws/handshake"
	"aiows/libws/wire"

	"golang.org/x/sys/unix"
)

// rsv1 marks the first frame of a compressed message (RFC 7692 section 7.2.1).
const rsv1 = 4

// compression is permessage-deflate on a connection that agreed on it: what is sent is
// guarded by the write lock, what is received by the loop lock.
type compression struct {
	send    deflate.Sender
	receive deflate.Receiver
}

// windows makes a loop's memory that of windows. The host sees none of them, and they
// stay for as long as a connection does: large ones are pages of their own, which take no
// memory until they are written to, and leave no holes in the host's heap. With malloc
// 2,000 connections that had exchanged 64 KiB took 53 KiB each (tests/bench).
type windows memory

// ownPages is the least block that is made of pages.
const ownPages = 8 << 10

// Alloc implements deflate.Memory.
func (w *windows) Alloc(n int) []byte {
	if n < ownPages {
		return (*memory)(w).alloc(n)
	}
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	b := unsafe.Slice((*byte)(p), n)
	(*memory)(w).count(b)
	return b
}

// Free implements deflate.Memory.
func (w *windows) Free(b []byte) {
	if len(b) < ownPages {
		(*memory)(w).free(b)
		return
	}
	(*memory)(w).forget(b)
	_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)))
}

// configs returns what o offers or accepts.
func (o *ConnOptions) configs(usual deflate.Config, check func(*deflate.Config) error) ([]deflate.Config, error) {
	if !o.Compression {
		return nil, nil
	}
	if len(o.Deflate) == 0 {
		return []deflate.Config{usual}, nil
	}
	for i := range o.Deflate {
		if err := check(&o.Deflate[i]); err != nil {
			return nil, argument("deflate[%d]: %s", i, err)
		}
	}
	return o.Deflate, nil
}

// offers returns what a client offers.
func (o *ConnOptions) offers() ([]deflate.Config, error) {
	return o.configs(deflate.Config{ClientMaxWindowBits: deflate.AnyWindow}, (*deflate.Config).CheckOffer)
}

// offered returns what the request says in the end: a header or raw lines of the host's
// own may offer something else.
func (o *ConnOptions) offered(meant []deflate.Config, request *handshake.Built) []deflate.Config {
	if request.Extensions == deflate.Offer(meant) {
		return meant
	}
	var own deflate.Config
	if len(meant) > 0 {
		own = meant[0]
	}
	return deflate.Offered(request.Extensions, own)
}

// answer takes an offer of the client's; value is "" for none.
func (o *ConnOptions) answer(r *handshake.ServerRequest) (value string, agreed *deflate.Agreement, err error) {
	configs, err := o.configs(deflate.Config{}, (*deflate.Config).CheckAccept)
	if err != nil {
		return "", nil, err
	}
	value, agreed = deflate.Answer(r.Extensions, configs)
	return value, agreed, nil
}

// compress starts compression as agreed, if it was.
func (c *Conn) compress(a *deflate.Agreement) {
	if a == nil {
		return
	}
	mem, server := (*windows)(&c.loop.mem), c.role == wire.Server
	c.deflate = &compression{
		send:    deflate.NewSender(a, server, mem),
		receive: deflate.NewReceiver(a, server, mem),
	}
	c.rsv = rsv1
	c.compressing.Store(true)
}

// free gives the history back; nothing is sent or received any more.
func (d *compression) free() {
	if d != nil {
		d.send.Free()
		d.receive.Free()
	}
}

// writeMessage writes a message in one frame. The write lock is held.
func (c *Conn) writeMessage(op wire.Opcode, flags SendFlags, text []byte) error {
	h := wire.Header{Fin: true, Opcode: op}
	c.countSent(text)
	if c.deflate == nil || flags&SendNoCompress != 0 {
		c.logSent(op, true, text, unpacked)
		return c.writeHeaded(h, text)
	}
	p := c.deflate.send.Message(text)
	if p == nil {
		return c.writeFrame(op, true, text)
	}
	defer p.Release()
	h.Rsv = rsv1
	c.logSent(op, true, text, len(p.Bytes()))
	return c.writeHeaded(h, p.Bytes())
}

// countSent counts what is to be sent before compression; without, it is the same as after.
func (c *Conn) countSent(text []byte) {
	if c.deflate != nil {
		c.counters.messageBytesSent.Add(uint64(len(text)))
	}
}

// writePart writes a frame of a message in fragments. The write lock is held.
func (c *Conn) writePart(op wire.Opcode, fin bool, flags SendFlags, text []byte) error {
	h := wire.Header{Fin: fin, Opcode: op}
	c.countSent(text)
	first := op != wire.OpContinuation
	if first {
		c.writer.packed = c.deflate != nil && flags&SendNoCompress == 0
	}
	if !c.writer.packed {
		return c.writeFrame(op, fin, text)
	}
	p := c.deflate.send.Part(text, first, fin)
	if p == nil {
		c.writer.packed = false
		return c.writeFrame(op, fin, text)
	}
	defer p.Release()
	c.logSent(op, fin, text, len(p.Bytes()))
	if first {
		h.Rsv = rsv1
	}
	return c.writeHeaded(h, p.Bytes())
}

// payloadLimit is how long the frames of a message may be together. What cannot be
// compressed gets a little longer: by 5 bytes a block, which zlib makes of 127 and more.
func (c *Conn) payloadLimit(packed bool) int64 {
	limit := int64(min(c.opts.MaxMessageSize, math.MaxInt64/2))
	if packed && limit > 0 {
		limit += limit/16 + 64
	}
	return limit
}

// inflation is the block that a message is inflated to when it does not fit behind what
// was read. It doubles, so that a message costs memory only as it is inflated.
type inflation struct {
	loop  *Loop
	limit uint64 // bytes, 0: none
	block []byte // nil: none yet
}

// Grow implements deflate.Buffer.
func (i *inflation) Grow(full []byte) []byte {
	a := &i.loop.arena
	size := uint64(max(2*len(full), firstBlock))
	if i.limit > 0 {
		size = min(size, i.limit)
	}
	block := a.block(int(size))
	if block == nil {
		return nil
	}
	copy(block, full)
	if i.block != nil {
		a.keepBlock(i.block)
	}
	i.block = block
	return block
}

// packedMessage tells a message whose payload is compressed, alone: it came in one frame.
// There is room for one event.
func (c *Conn) packedMessage(op wire.Opcode, payload []byte, alone bool, b *batch) bool {
	limit, failure := c.opts.MaxMessageSize, (*wire.Error)(nil)
	if most := c.opts.MaxFragmentSize; alone && most > 0 && (limit == 0 || most < limit) {
		limit, failure = most, errFragmentTooBig
	}
	room := c.inflationRoom(len(payload), limit)
	if room == nil {
		c.failMemory()
		return false
	}
	data, broken := c.deflate.receive.Inflate(payload, room, &c.loop.inflation, limit)
	flags, ok := c.inflated(data, broken, failure, b)
	if !ok {
		return false
	}
	if op == wire.OpText && !wire.ValidUTF8(data) {
		c.failWire(wire.ErrInvalidUTF8)
		return false
	}
	c.logReceived(op, true, data, len(payload), b)
	c.tellMessage(op, data, flags|FlagFin, b)
	return true
}

// inflationRoom returns where n bytes of payload are inflated to, and prepares
// Loop.inflation for what is longer. nil: out of memory.
func (c *Conn) inflationRoom(n int, limit uint64) []byte {
	a, r := &c.loop.arena, &c.reader
	into := &c.loop.inflation
	*into = inflation{loop: c.loop, limit: limit}
	if a.cur != nil && len(a.cur.buf)-a.cur.used >= max(r.inflated, 4*n) {
		return a.cur.buf[a.cur.used:]
	}
	into.block = a.block(max(firstBlock, r.inflated))
	return into.block
}

// inflated keeps the text where it stands until the next Poll, or fails the connection;
// tooBig is the rule that text above the limit breaks, nil for the usual one.
func (c *Conn) inflated(text []byte, broken *deflate.Error, tooBig *wire.Error, b *batch) (flags uint16, ok bool) {
	a, r := &c.loop.arena, &c.reader
	block := c.loop.inflation.block
	c.loop.inflation.block = nil
	if broken != nil {
		if block != nil {
			a.keepBlock(block)
		}
		c.failDeflate(broken, tooBig)
		return 0, false
	}
	switch {
	case block != nil:
		a.loose = append(a.loose, block)
		a.grown += len(text)
		flags = FlagBlock
	case len(text) > 0:
		a.cur.bump(len(text))
	}
	b.inflated(len(text))
	r.inflated = min(len(text), maxKept)
	return flags, true
}

// failDeflate fails the connection over a compressed message; tooBig is as for inflated.
func (c *Conn) failDeflate(e *deflate.Error, tooBig *wire.Error) {
	switch {
	case e == deflate.ErrMemory:
		c.failMemory()
	case e == deflate.ErrTooBig && tooBig != nil:
		c.failWire(tooBig)
	default:
		c.failRule(e.Code, e.Error())
	}
}
