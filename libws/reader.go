package libws

import (
	"errors"
	"io"
	"syscall"

	"aiows/libws/dial"
	"aiows/libws/netpoll"
	"aiows/libws/wire"
)

const (
	epollIn  = netpoll.In
	epollOut = netpoll.Out

	// maxCarry is the longest start of a frame that waits outside a block: a
	// header, or a whole control frame but its last byte.
	maxCarry = wire.MaxHeaderLen + 125
	// firstBlock is the least first step of a block that grows with arrival.
	firstBlock = 4 << 10
)

// reader is the receiving half of a connection; the loop lock guards it.
type reader struct {
	conn *Conn

	// rest is what was read and not parsed, because the batch was full or the
	// host paused. It stands in a chunk or in a block of its own.
	rest  []byte
	chunk *chunk
	block []byte

	carry  [maxCarry]byte // the start of a frame, copied before the next read
	ncarry int

	// A data frame whose payload has not arrived in full, or a message in
	// fragments, is put together in a block.
	message   []byte // the block
	have      int    // bytes of it in use
	usual     int    // length of the last such message, as far as the next may count on it
	kind      wire.Opcode
	open      bool // a fragmented message is open, or a frame is incomplete
	packed    bool // it is compressed: RSV1 was set
	inflated  int  // like usual, of the last compressed message inflated
	fragments uint32
	fin       bool  // of the frame at hand
	begun     int   // where its payload begins in message
	left      int64 // payload bytes of it to come
	key       uint32
	pos       int
	text      wire.UTF8

	// Of a message that is told in parts.
	parted bool
	before int64 // payload bytes of it that are told
	plain  int64 // bytes of text that they stood for, if it is compressed
	piece  int64 // of those, of the frame at hand

	ahead   *ahead // what follows rest
	stopped bool   // the queue is full: the socket is not read

	discard bool   // after the peer's Close or a broken rule: bytes no longer matter
	told    uint64 // the Poll that told the newest message
	// A message was not told, as the host closed while it had paused.
	untellable bool
	broken     *Error // over the rule that what followed this message broke
	eof        bool
	more       bool   // TLS may hold decrypted bytes
	sealed     []byte // ciphertext read and not yet decrypted
	spare      []byte // the block that sealed stands in, nil when it is the loop's
	dry        bool   // the socket gave less than asked for: it is empty
}

// readable reads once and parses; the connection is open, nothing is undelivered.
func (c *Conn) readable(now int64, b *batch) {
	c.pull(now, b)
	if c.reader.eof || c.hasMore() || c.phase != phaseOpen {
		c.deliver(now, b)
	}
}

// pull reads from the socket or from TLS and parses what came.
func (c *Conn) pull(now int64, b *batch) {
	r := &c.reader
	ch := c.loop.arena.room(minRead)
	if ch == nil {
		return // this Poll read enough; the socket, or the ready list, comes back
	}
	if r.discard {
		r.left, r.ncarry = 0, 0
	}
	into := r.space()
	buf := ch.buf[ch.used:]
	if len(into) > chunkSize && c.loop.conns > 1 { // the budget
		into, buf = into[:chunkSize], nil
	} else if len(into) > 0 && len(r.message) >= chunkSize {
		// The next message may be as long: most of it shall go into its block as well.
		buf = buf[:min(len(buf), minRead)]
	}
	k := copy(buf, r.carry[:r.ncarry])
	n, err := c.fill(into, buf[k:])
	if n > 0 {
		c.readAt = now
		m := min(n, len(into))
		if n -= m; n > 0 {
			ch.bump(k + n) // a message may be inflated behind it
		}
		if m > 0 && !c.absorb(m, n, b) {
			n = 0
		}
		if n > 0 {
			r.ncarry = 0
			data := buf[:k+n]
			c.keepRest(c.parse(data, b), ch)
		}
	}
	if err != nil {
		c.readEnded(err)
	}
}

// fill reads into a, then into b. Without error, 0 means that nothing was there.
func (c *Conn) fill(a, b []byte) (int, error) {
	if c.tls != nil {
		return c.fillTLS(a, b)
	}
	if c.attached != nil {
		return c.fillFed(a, b)
	}
	var n int
	var e netpoll.Errno
	if len(a) == 0 {
		n, e = netpoll.Read(c.out.fd, b)
	} else {
		n, e = netpoll.Readv(c.out.fd, a, b)
	}
	switch {
	case e == 0 && n > 0:
		c.bytesReceived.Add(uint64(n))
		return n, nil
	case e == 0:
		return 0, io.EOF
	case netpoll.Again(e):
		return 0, nil
	}
	return 0, e
}

// readEnded notes that no more bytes will come.
func (c *Conn) readEnded(err error) {
	c.reader.eof, c.reader.more = true, false
	c.out.setReading(false)
	if c.err != nil || c.ending.received != 0 {
		return
	}
	c.err = &Error{Code: CodeLost, Text: "the connection ended without a close frame"}
	if errors.Is(err, io.EOF) {
		if e := c.out.broken(); e != 0 {
			c.err.Errno = e
			c.err.Text += ": " + e.Error()
		}
		return
	}
	if errors.As(err, &c.err.Errno) && c.err.Errno == syscall.ENOMEM {
		c.err = &Error{Code: CodeMemory, Errno: syscall.ENOMEM}
		return
	}
	c.err.Text += ": " + err.Error()
}

// keepRest keeps what was not parsed until the next Poll.
func (c *Conn) keepRest(rest []byte, ch *chunk) {
	r := &c.reader
	if len(rest) == 0 {
		return
	}
	if len(rest) >= keepInPlace {
		ch.holders++
		r.rest, r.chunk = rest, ch
		return
	}
	block := c.loop.mem.alloc(len(rest))
	if block == nil {
		c.fail(wire.CloseInternalError, &Error{Code: CodeMemory})
		return
	}
	copy(block, rest)
	r.rest, r.block = block, block
}

// parseRest goes on with what the last batch had no room for.
func (c *Conn) parseRest(b *batch) {
	r := &c.reader
	for {
		if r.rest = c.parse(r.rest, b); len(r.rest) > 0 {
			break
		}
		r.letGo(&c.loop.arena)
		if !c.nextPiece() {
			break
		}
	}
	if len(r.rest) == 0 {
		if r.stopped {
			r.stopped = false
			c.out.setReading(!r.eof)
		}
	} else if r.chunk != nil && len(r.rest) < keepInPlace {
		ch, rest := r.chunk, r.rest
		r.chunk, r.rest = nil, nil
		ch.holders--
		c.keepRest(rest, ch)
	}
}

// letGo gives back what rest stood in. Events of this batch may point into it, so a
// block lives until the next Poll.
func (r *reader) letGo(a *arena) {
	if r.chunk != nil {
		r.chunk.holders--
		r.chunk = nil
	}
	if r.block != nil {
		a.loose = append(a.loose, r.block)
		r.block = nil
	}
	r.rest = nil
}

// drop forgets what was not told.
func (r *reader) drop() {
	r.letGo(&r.conn.loop.arena)
	r.dropAhead()
	r.ncarry = 0
	r.discard, r.more = true, false
}

// free gives every block back.
func (r *reader) free() {
	mem := &r.conn.loop.mem
	if r.message != nil {
		mem.free(r.message)
		r.message = nil
	}
	if r.spare != nil {
		mem.free(r.spare)
		r.spare = nil
	}
	r.sealed = nil
}

// adapterRead is what tls.Conn reads from: ciphertext in large pieces, so that a
// record does not cost two system calls. Only Poll comes here.
func (c *Conn) adapterRead(p []byte) (int, error) {
	r := &c.reader
	if len(r.sealed) == 0 {
		if r.dry {
			return 0, dial.ErrAgain
		}
		l := c.loop
		if l.cipher == nil {
			if l.cipher = l.mem.alloc(chunkSize); l.cipher == nil {
				return 0, syscall.ENOMEM
			}
		}
		n, e := netpoll.Read(c.out.fd, l.cipher)
		if e != 0 {
			if netpoll.Again(e) {
				r.dry = true
				return 0, dial.ErrAgain
			}
			return 0, e
		}
		if n == 0 {
			return 0, io.EOF
		}
		c.bytesReceived.Add(uint64(n))
		r.dry = n < len(l.cipher)
		r.sealed = l.cipher[:n]
	}
	n := copy(p, r.sealed)
	r.sealed = r.sealed[n:]
	if len(r.sealed) == 0 && r.spare != nil {
		c.loop.mem.free(r.spare)
		r.spare = nil
	}
	return n, nil
}

// adapterWrite is what tls.Conn writes to. It takes everything, since an error
// would stick to the tls.Conn.
func (c *Conn) adapterWrite(p []byte) (int, error) {
	_ = c.out.write(p, nil)
	return len(p), nil
}

// fillTLS decrypts until the socket is dry or a and b are full.
func (c *Conn) fillTLS(a, b []byte) (total int, err error) {
	r := &c.reader
	r.dry, r.more = false, false
	for len(a)+len(b) > 0 {
		dst := a
		if len(dst) == 0 {
			dst = b
		}
		n, e := c.tls.Read(dst)
		total += n
		if len(a) > 0 {
			a = a[n:]
		} else {
			b = b[n:]
		}
		if e != nil {
			if !errors.Is(e, dial.ErrAgain) {
				err = e
			}
			break
		}
		r.more = len(a)+len(b) == 0
	}
	if c.outOfMemory.Load() { // for what tls.Conn answered
		return total, syscall.ENOMEM
	}
	if len(r.sealed) > 0 && r.spare == nil {
		r.more = true
		if r.spare = c.loop.mem.alloc(len(r.sealed)); r.spare == nil {
			return total, syscall.ENOMEM
		}
		copy(r.spare, r.sealed)
		r.sealed = r.spare[:len(r.sealed)]
	}
	return total, err
}
