package deflate

import (
	"encoding/binary"
	"sync"
)

// Buffer is where a message is inflated to.
type Buffer interface {
	// Grow returns a longer room that begins with what full holds, the room before.
	// nil: out of memory.
	Grow(full []byte) []byte
}

// inflater decodes one message (RFC 1951). It is heavy and pooled.
type inflater struct {
	in   []byte
	pos  int
	bits uint64 // read from in and not used
	n    uint   // how many

	out   []byte
	have  int // bytes of out in use
	limit int // of them
	into  Buffer
	past  *window

	// Of a message in parts.
	within uint8
	final  bool   // the block at hand is the last of a stream
	stored int    // bytes of it to come
	left   []byte // input that was not used

	lit, dist *table
	dynLit    table
	dynDist   table
	meta      table
}

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// fastRoom is the longest that one turn of the fast loop writes, and fastInput what
// it reads at a time.
const (
	maxMatch  = 258
	fastRoom  = maxMatch
	fastInput = 8
)

// message inflates all of in. The sender removed 00 00 ff ff from the end, the lengths
// of an empty stored block (RFC 7692 section 7.2.1): the message ends where that block's
// three bits and their padding were the last, or where a block ended on a byte border.
func (d *inflater) message() *Error {
	for {
		if d.atEnd() {
			return nil
		}
		header, ok := d.take(3)
		if !ok {
			return ErrTruncated
		}
		var err *Error
		switch header >> 1 {
		case 0:
			d.align()
			if d.atEnd() {
				return nil
			}
			if d.stored, err = d.storedLength(); err != nil {
				return err
			}
			var end bool
			if end, err = d.storedPart(); err == nil && !end {
				err = ErrTruncated
			}
		case 1:
			d.lit, d.dist = fixedLit, fixedDist
			err = d.block()
		case 2:
			if err = d.codes(); err == nil {
				d.lit, d.dist = &d.dynLit, &d.dynDist
				err = d.block()
			}
		default:
			err = ErrBlockType
		}
		if err != nil {
			return err
		}
		if header&1 != 0 { // BFINAL: another stream begins at the next byte
			d.align()
		}
	}
}

// atEnd reports that a whole number of bytes was used, all of them.
func (d *inflater) atEnd() bool { return d.n == 0 && d.pos == len(d.in) }

// refill takes in as many bytes as there is room for.
func (d *inflater) refill() {
	for d.n <= 56 && d.pos < len(d.in) {
		d.bits |= uint64(d.in[d.pos]) << d.n
		d.pos++
		d.n += 8
	}
}

func (d *inflater) take(n uint) (v int, ok bool) {
	if d.n < n {
		if d.refill(); d.n < n {
			return 0, false
		}
	}
	v = int(d.bits & (1<<n - 1))
	d.bits >>= n
	d.n -= n
	return v, true
}

// align drops the bits up to the next byte border and gives whole bytes back.
func (d *inflater) align() {
	d.pos -= int(d.n >> 3)
	d.bits, d.n = 0, 0
}

// room sees to it that out has at least one byte left.
func (d *inflater) room() *Error {
	if d.have < len(d.out) {
		return nil
	}
	if d.have >= d.limit {
		return ErrTooBig
	}
	out := d.into.Grow(d.out[:d.have])
	if out == nil {
		return ErrMemory
	}
	d.out = out[:min(len(out), d.limit)]
	return nil
}

// storedLength reads the length of a block without compression (RFC 1951 section 3.2.4).
func (d *inflater) storedLength() (int, *Error) {
	if len(d.in)-d.pos < 4 {
		return 0, ErrTruncated
	}
	n := int(binary.LittleEndian.Uint16(d.in[d.pos:]))
	if n^0xffff != int(binary.LittleEndian.Uint16(d.in[d.pos+2:])) {
		return 0, ErrStoredLength
	}
	d.pos += 4
	return n, nil
}

// copyStored copies n bytes, which are there, of a block without compression.
func (d *inflater) copyStored(n int) *Error {
	for n > 0 {
		if err := d.room(); err != nil {
			return err
		}
		k := copy(d.out[d.have:], d.in[d.pos:d.pos+n])
		d.have += k
		d.pos += k
		n -= k
	}
	return nil
}

// metaOrder is in which order the lengths of the code length codes stand.
var metaOrder = [metaCodes]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// codes reads the two codes of a block (RFC 1951 section 3.2.7).
func (d *inflater) codes() *Error {
	v, ok := d.take(14)
	if !ok {
		return ErrTruncated
	}
	nlit, ndist, nmeta := v&0x1f+257, v>>5&0x1f+1, v>>10+4
	if nlit > 286 || ndist > 30 {
		return ErrCode
	}
	var lengths [litCodes + distCodes]uint8
	for _, symbol := range metaOrder[:nmeta] {
		n, ok := d.take(3)
		if !ok {
			return ErrTruncated
		}
		lengths[symbol] = uint8(n)
	}
	if !d.meta.build(lengths[:metaCodes], metaEntries[:], 7) {
		return ErrCode
	}
	clear(lengths[:metaCodes])
	for i := 0; i < nlit+ndist; {
		if d.n < 7+7 {
			d.refill()
		}
		e := d.meta.entries[d.bits&(1<<d.meta.root-1)&tableMask]
		if e&kindMask != kindLiteral {
			return ErrCode
		}
		if e.length() > d.n {
			return ErrTruncated
		}
		d.bits >>= e.length()
		d.n -= e.length()
		if e.value() < 16 {
			lengths[i] = uint8(e.value())
			i++
			continue
		}
		value, times := uint8(0), 0
		switch e.value() {
		case 16:
			if i == 0 {
				return ErrCode
			}
			value = lengths[i-1]
			times, ok = d.take(2)
			times += 3
		case 17:
			times, ok = d.take(3)
			times += 3
		default:
			times, ok = d.take(7)
			times += 11
		}
		if !ok {
			return ErrTruncated
		}
		if i+times > nlit+ndist {
			return ErrCode
		}
		for ; times > 0; times-- {
			lengths[i] = value
			i++
		}
	}
	if lengths[256] == 0 || // no end of the block
		!d.dynLit.build(lengths[:nlit], litEntries[:], litRoot) ||
		!d.dynDist.build(lengths[nlit:nlit+ndist], distEntries[:], distRoot) {
		return ErrCode
	}
	return nil
}

// block decodes symbols up to the end of the block.
func (d *inflater) block() *Error {
	for {
		if d.pos+fastInput <= len(d.in) && d.have+fastRoom <= len(d.out) {
			if end, err := d.fast(); end || err != nil {
				return err
			}
		}
		if end, err := d.symbol(); end || err != nil {
			return err
		}
	}
}

// fast decodes while input and room are plenty: then nothing has to be checked.
func (d *inflater) fast() (end bool, err *Error) {
	in, out, pos, have := d.in, d.out, d.pos, d.have
	hold, n := d.bits, d.n
	lit, dist := d.lit, d.dist
	litMask, distMask := uint64(1)<<lit.root-1, uint64(1)<<dist.root-1
	for pos+fastInput <= len(in) && have+fastRoom <= len(out) {
		if n < 48 { // the longest length and distance
			hold |= binary.LittleEndian.Uint64(in[pos:]) << n
			pos += int(63-n) >> 3
			n |= 56
		}
		e := lit.entries[hold&litMask&tableMask]
		if e&kindMask == kindSub {
			hold >>= e.length()
			n -= e.length()
			e = lit.entries[(uint64(e.value())+hold&(1<<e.extra()-1))&tableMask]
		}
		hold >>= e.length()
		n -= e.length()
		if e&kindMask == kindLiteral {
			out[have] = byte(e >> 16)
			have++
			continue
		}
		if e&kindMask != kindBase {
			end = e&kindMask == kindEnd
			if !end {
				err = ErrCode
			}
			break
		}
		length := e.value() + int(hold&(1<<e.extra()-1))
		hold >>= e.extra()
		n -= e.extra()
		e = dist.entries[hold&distMask&tableMask]
		if e&kindMask == kindSub {
			hold >>= e.length()
			n -= e.length()
			e = dist.entries[(uint64(e.value())+hold&(1<<e.extra()-1))&tableMask]
		}
		if e&kindMask != kindBase {
			err = ErrCode
			break
		}
		hold >>= e.length()
		n -= e.length()
		distance := e.value() + int(hold&(1<<e.extra()-1))
		hold >>= e.extra()
		n -= e.extra()
		if distance > have || distance > d.past.size {
			if !d.past.reaches(distance, have) {
				err = ErrDistance
				break
			}
			d.past.copy(out[:have+length], have, distance)
			have += length
			continue
		}
		// Byte by byte where source and target overlap: then what was just written is
		// repeated.
		to := out[have : have+length]
		from := out[have-distance : have-distance+length]
		if distance >= length {
			copy(to, from)
		} else {
			for i := range to {
				to[i] = from[i]
			}
		}
		have += length
	}
	// Bits above n were read ahead and will be read again.
	d.pos, d.have, d.bits, d.n = pos, have, hold&(1<<n-1), n
	return end, err
}

// symbol decodes one literal, or one length and distance, and checks everything.
func (d *inflater) symbol() (end bool, err *Error) {
	d.refill()
	e, err := d.code(d.lit)
	if err != nil {
		return false, err
	}
	switch e & kindMask {
	case kindLiteral:
		if err := d.room(); err != nil {
			return false, err
		}
		d.out[d.have] = byte(e >> 16)
		d.have++
		return false, nil
	case kindEnd:
		return true, nil
	}
	extra, ok := d.take(e.extra())
	if !ok {
		return false, ErrTruncated
	}
	length := e.value() + extra
	if e, err = d.code(d.dist); err != nil {
		return false, err
	}
	if extra, ok = d.take(e.extra()); !ok {
		return false, ErrTruncated
	}
	distance := e.value() + extra
	if !d.past.reaches(distance, d.have) {
		return false, ErrDistance
	}
	for length > 0 {
		if err := d.room(); err != nil {
			return false, err
		}
		k := min(length, len(d.out)-d.have)
		d.past.copy(d.out[:d.have+k], d.have, distance)
		d.have += k
		length -= k
	}
	return false, nil
}

// code decodes one symbol of t.
func (d *inflater) code(t *table) (entry, *Error) {
	d.refill()
	e := t.entries[d.bits&(1<<t.root-1)&tableMask]
	if e&kindMask == kindSub {
		if e.length() > d.n {
			return 0, ErrTruncated
		}
		d.bits >>= e.length()
		d.n -= e.length()
		e = t.entries[(uint64(e.value())+d.bits&(1<<e.extra()-1))&tableMask]
	}
	if e.length() > d.n {
		return 0, ErrTruncated
	}
	if e&kindMask == kindInvalid {
		if d.n == 0 {
			return 0, ErrTruncated
		}
		return 0, ErrCode
	}
	d.bits >>= e.length()
	d.n -= e.length()
	return e, nil
}
