package libws

import (
	"aiows/libws/netpoll"
	"aiows/libws/wire"
)

// pieceCost is what a piece of the queue takes beside its bytes, about.
const pieceCost = 64

// ahead is what was read before the host wanted it: because it paused the
// connection, or because it does not poll. The loop lock guards it.
//
// The stream is kept as it came and parsed when it is delivered. Only its frames
// are followed, so that control frames are served when they arrive: pings are
// answered, pongs counted, and the close handshake goes on. An ahead exists while
// reader.rest is not empty and its frames were followed.
type ahead struct {
	pieces []piece // what follows reader.rest
	bytes  int     // that pieces take

	// Where the frames stand behind all that waits.
	left   int64 // payload bytes to come of the data frame at hand
	open   bool  // a fragmented message is open
	over   bool  // a Close or a broken rule: what follows no longer matters
	carry  [maxCarry]byte
	ncarry int

	served int // control frames that are served and not told yet
	answer bool
}

// piece is what one read brought.
type piece struct {
	block []byte
	room  int   // in front, for the start of a frame that the bytes before end with
	at    int64 // clock of the read
}

// readAhead reads what has arrived, as far as the queue may grow, and returns how
// many bytes came. Reading stops when the queue is full, until it was delivered.
func (c *Conn) readAhead(now int64) (total int) {
	r := &c.reader
	if r.eof || c.phase != phaseOpen || c.opts.ReadAhead == 0 {
		return 0
	}
	c.serveRest(now)
	for {
		room := c.roomAhead()
		if room <= 0 {
			c.stopReading()
			return total
		}
		buf := c.loop.scratchBuffer()
		if buf == nil {
			return total // the socket keeps it
		}
		n, err := c.fill(nil, buf[:min(room, len(buf))])
		if n > 0 {
			total += n
			c.enqueue(buf[:n], now)
		}
		if err != nil {
			c.readEnded(err)
		}
		if err != nil || n == 0 || !r.more {
			return total
		}
	}
}

// roomAhead returns how many bytes may be read ahead now.
func (c *Conn) roomAhead() int {
	r := &c.reader
	limit := int64(min(c.opts.ReadAhead, 1<<40))
	a := r.ahead
	switch {
	case r.discard || a != nil && a.over && c.ending.received != 0:
		return chunkSize // it is dropped, to find the end of the stream
	case a != nil && a.over:
		return 0
	case a != nil:
		limit -= int64(a.bytes)
	}
	return int(min(limit-int64(len(r.rest)), chunkSize))
}

// stopReading holds the peer back until what waits was delivered.
func (c *Conn) stopReading() {
	if !c.reader.stopped {
		c.reader.stopped = true
		c.out.setReading(false)
	}
}

// serveRest serves the control frames in what was left over by Poll.
func (c *Conn) serveRest(now int64) {
	if r := &c.reader; r.ahead == nil && len(r.rest) > 0 {
		c.follow()
		c.serve(r.rest, now)
	}
}

// follow starts where the parser stands.
func (c *Conn) follow() {
	r := &c.reader
	a := &ahead{left: r.left, open: r.open, ncarry: r.ncarry}
	copy(a.carry[:], r.carry[:r.ncarry])
	if r.left > 0 {
		a.open = !r.fin
	}
	r.ahead = a
}

// enqueue keeps data, and serves the control frames in it.
func (c *Conn) enqueue(data []byte, now int64) {
	r := &c.reader
	if r.discard || r.ahead != nil && r.ahead.over {
		return
	}
	if r.ahead == nil {
		c.follow()
	}
	a := r.ahead
	block := c.loop.mem.alloc(a.ncarry + len(data))
	if block == nil {
		c.failMemory()
		return
	}
	copy(block[a.ncarry:], data)
	a.pieces = append(a.pieces, piece{block, a.ncarry, now})
	a.bytes += len(block) + pieceCost
	c.counters.readAhead.Add(uint64(len(data)))
	if len(r.rest) == 0 {
		c.nextPiece()
	}
	c.serve(data, now)
}

// nextPiece makes the next piece the rest; false: there is none.
func (c *Conn) nextPiece() bool {
	r := &c.reader
	a := r.ahead
	if a == nil {
		return false
	}
	if len(a.pieces) == 0 || r.discard {
		r.dropAhead()
		return false
	}
	p := a.pieces[0]
	a.pieces[0] = piece{}
	a.pieces = a.pieces[1:]
	a.bytes -= len(p.block) + pieceCost
	copy(p.block, r.carry[:p.room])
	r.rest, r.block, r.ncarry = p.block, p.block, 0
	c.readAt = p.at
	return true
}

// dropAhead frees what is behind the rest.
func (r *reader) dropAhead() {
	if r.ahead == nil {
		return
	}
	for _, p := range r.ahead.pieces {
		r.conn.loop.mem.free(p.block)
	}
	r.ahead = nil
}

// serve follows the frames of data, the newest part of what waits, and serves the
// control frames.
func (c *Conn) serve(data []byte, now int64) {
	a := c.reader.ahead
	for len(data) > 0 && !a.over {
		if a.left > 0 {
			n := min(a.left, int64(len(data)))
			a.left -= n
			data = data[n:]
			continue
		}
		before := a.ncarry
		if before == 0 {
			if n := c.serveFrame(a, data, now); n > 0 {
				data = data[n:]
				continue
			}
		}
		a.ncarry += copy(a.carry[before:], data)
		if a.over || before == 0 {
			break
		}
		n := c.serveFrame(a, a.carry[:a.ncarry], now)
		if n == 0 {
			break
		}
		a.ncarry = 0
		data = data[n-before:]
	}
	if a.answer {
		a.answer = false
		c.flushControl()
	}
}

// serveFrame passes a header, or a whole control frame, at the start of b; 0: more
// is needed, or nothing more matters. What is wrong is left to the parser, who has
// to tell what precedes it first.
func (c *Conn) serveFrame(a *ahead, b []byte, now int64) int {
	h, n, broken := wire.ParseHeader(b)
	if broken == nil && n > 0 {
		broken = wire.CheckHeader(&h, c.role, a.open, c.rsv)
	}
	if broken != nil {
		a.over = true
		return 0
	}
	if n == 0 || h.Opcode.IsControl() && int64(len(b)-n) < h.Length {
		return 0
	}
	if !h.Opcode.IsControl() {
		a.left, a.open = h.Length, !h.Fin
		return n
	}
	var payload [125]byte
	size := copy(payload[:], b[n:n+int(h.Length)])
	if h.Masked {
		wire.Mask(payload[:size], h.Key, 0)
	}
	c.serveControl(a, h.Opcode, payload[:size], now)
	return n + size
}

func (c *Conn) serveControl(a *ahead, op wire.Opcode, payload []byte, now int64) {
	switch op {
	case wire.OpPing:
		if c.opts.AutoPong {
			c.control.setPong(payload) // the newest one is answered (RFC 6455 5.5.3)
			a.answer = true
		}
	case wire.OpPong:
		if !c.alive.answered(c, payload, now) {
			c.ponged(payload, now)
		}
	case wire.OpClose:
		a.over = true
		code, reason, broken := wire.ParseClose(payload)
		if broken != nil || !c.opts.AutoClose {
			return
		}
		c.closeArrived(code, reason, now)
	}
	a.served++
}

// wasServed reports whether the control frame that the parser reached was served
// when it arrived.
func (r *reader) wasServed() bool {
	if r.ahead == nil || r.ahead.served == 0 {
		return false
	}
	r.ahead.served--
	return true
}

// unread reports that bytes of the peer wait which were not read: then its silence
// means nothing.
func (c *Conn) unread() bool {
	r := &c.reader
	return r.stopped || c.opts.ReadAhead == 0 && (c.held() || len(r.rest) > 0 || r.more || c.waiting())
}

// waiting reports that the transport has bytes, its end or an error to be read.
func (c *Conn) waiting() bool {
	if c.attached != nil {
		return c.attached.waiting()
	}
	return netpoll.Waiting(c.out.fd)
}

// scratchBuffer is where reads ahead go first; nil: out of memory.
func (l *Loop) scratchBuffer() []byte {
	if l.scratch == nil {
		l.scratch = l.mem.alloc(chunkSize)
	}
	return l.scratch
}
