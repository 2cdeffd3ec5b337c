package deflate

// Part decodes the next part of a message that is told in parts: payload may end
// anywhere, last ends the message. It returns the text that can be told now; the rest
// of the payload is kept, at most the start of a block's codes or of a symbol. limit is
// in bytes, math.MaxInt for none. Room and into are as for Inflate, which must not be
// called before the message has ended.
func (r *Receiver) Part(payload, room []byte, into Buffer, limit int, last bool) ([]byte, *Error) {
	d := r.open
	if d == nil {
		d = inflaters.Get().(*inflater)
		d.bits, d.n = 0, 0
		d.within, d.left = betweenBlocks, nil
		r.open = d
	}
	d.in = payload
	if len(d.left) > 0 {
		d.left = append(d.left, payload...)
		d.in = d.left
	}
	d.pos = 0
	d.limit = limit
	d.out, d.have, d.into, d.past = room[:min(len(room), limit)], 0, into, &r.past
	err := d.resume(last)
	out := d.out[:d.have]
	d.keepLeft()
	d.in, d.out, d.into, d.past = nil, nil, nil, nil
	if last || err != nil {
		r.open = nil
		d.left = nil
		inflaters.Put(d)
	}
	if err != nil {
		return nil, err
	}
	if !r.past.add(out, r.mem) {
		return nil, ErrMemory
	}
	if last && !r.takeover {
		r.past.free(r.mem)
		r.past.next, r.past.have = 0, 0
	}
	return out, nil
}

// keepLeft keeps the input that was not used.
func (d *inflater) keepLeft() {
	if cap(d.left) > maxLeft {
		d.left = nil
	}
	d.left = append(d.left[:0], d.in[d.pos:]...)
}

// maxLeft is about as much as keepLeft finds: the codes of a block take 570 bytes at most.
const maxLeft = 1 << 10

// Where a message that is inflated in parts was left.
const (
	betweenBlocks = iota
	inStored
	inCodes
)

// mark is a place in the input.
type mark struct {
	pos  int
	bits uint64
	n    uint
}

func (d *inflater) mark() mark    { return mark{d.pos, d.bits, d.n} }
func (d *inflater) rewind(m mark) { d.pos, d.bits, d.n = m.pos, m.bits, m.n }

// unread gives whole bytes back, so that what is kept begins inside one at most.
func (d *inflater) unread() {
	d.pos -= int(d.n >> 3)
	d.n &= 7
	d.bits &= 1<<d.n - 1
}

// resume is message for a payload that comes in parts: where it ends too early it goes
// back to the last symbol, or to the start of a block's header.
func (d *inflater) resume(last bool) *Error {
	for {
		if d.within == betweenBlocks {
			if d.atEnd() {
				return nil
			}
			at := d.mark()
			err := d.enter(last)
			if err == ErrTruncated && !last {
				d.rewind(at)
				d.unread()
				return nil
			}
			if err != nil || d.within == betweenBlocks {
				return err
			}
		}
		var end bool
		var err *Error
		if d.within == inStored {
			end, err = d.storedPart()
		} else {
			end, err = d.codesPart()
		}
		if err != nil {
			return err
		}
		if !end {
			if last {
				return ErrTruncated
			}
			d.unread()
			return nil
		}
		if d.within = betweenBlocks; d.final {
			d.align()
		}
	}
}

// enter reads the header of a block. It stays between blocks when the message ends with
// the three bits of the empty one whose lengths were removed.
func (d *inflater) enter(last bool) (err *Error) {
	header, ok := d.take(3)
	if !ok {
		return ErrTruncated
	}
	d.final = header&1 != 0
	switch header >> 1 {
	case 0:
		d.align()
		if last && d.atEnd() {
			return nil
		}
		if d.stored, err = d.storedLength(); err != nil {
			return err
		}
		d.within = inStored
	case 1:
		d.lit, d.dist = fixedLit, fixedDist
		d.within = inCodes
	case 2:
		if err = d.codes(); err != nil {
			return err
		}
		d.lit, d.dist = &d.dynLit, &d.dynDist
		d.within = inCodes
	default:
		return ErrBlockType
	}
	return nil
}

// storedPart copies what is there of a stored block.
func (d *inflater) storedPart() (end bool, err *Error) {
	n := min(d.stored, len(d.in)-d.pos)
	d.stored -= n
	return d.stored == 0, d.copyStored(n)
}

// codesPart decodes the symbols that are there in full.
func (d *inflater) codesPart() (end bool, err *Error) {
	for {
		if d.pos+fastInput <= len(d.in) && d.have+fastRoom <= len(d.out) {
			if end, err := d.fast(); end || err != nil {
				return end, err
			}
		}
		at := d.mark()
		end, err := d.symbol()
		if err == ErrTruncated {
			d.rewind(at)
			return false, nil
		}
		if end || err != nil {
			return end, err
		}
	}
}
