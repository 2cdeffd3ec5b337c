package deflate

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

const (
	// shortText is below what shortEncoder makes fewer bytes than flate.Writer, whose
	// matches have at least 4 bytes, and which stores or merely Huffman-codes what is
	// shorter than 128 whatever its dictionary (BenchmarkSender).
	shortText = 256
	// shortDict is what it looks at of the history: each byte takes about a nanosecond.
	shortDict = 4 << 10

	minMatch  = 3
	hashBits  = 11
	niceMatch = 32 // long enough to look no further
)

// shortEncoder compresses a short message into one block of fixed codes (RFC 1951
// section 3.2.6), which need no header: chains of hashes over the history, and a match is
// put off by a byte when the next one is longer, as zlib does.
type shortEncoder struct {
	head [1 << hashBits]uint16 // position plus 1 of the newest three bytes of a hash
	prev [shortDict + shortText]uint16
	text []byte // history and message

	out  []byte
	bits uint64
	n    uint
}

var shortEncoders = sync.Pool{New: func() any { return new(shortEncoder) }}

// fixedCode is a code of RFC 1951 section 3.2.6, its first bit lowest, with extra bits.
type fixedCode struct {
	code  uint16
	n     uint8
	extra uint8
	base  uint16
}

var fixedLits, fixedLengths, fixedDistances = func() (lits [257]fixedCode, lengths [maxMatch + 1]fixedCode, distances [30]fixedCode) {
	reversed := func(code, n int) uint16 { return bits.Reverse16(uint16(code)) >> (16 - n) }
	for i := range lits {
		switch {
		case i < 144:
			lits[i] = fixedCode{code: reversed(0x30+i, 8), n: 8}
		case i < 256:
			lits[i] = fixedCode{code: reversed(0x190+i-144, 9), n: 9}
		default:
			lits[i] = fixedCode{n: 7}
		}
	}
	for symbol := 257; symbol < 286; symbol++ {
		e := litEntries[symbol]
		c := fixedCode{code: reversed(symbol-256, 7), n: 7, extra: uint8(e.extra()), base: uint16(e.value())}
		if symbol >= 280 {
			c.code, c.n = reversed(0xc0+symbol-280, 8), 8
		}
		for i := range 1 << e.extra() {
			lengths[min(e.value()+i, maxMatch)] = c
		}
	}
	for symbol := range distances {
		e := distEntries[symbol]
		distances[symbol] = fixedCode{code: reversed(symbol, 5), n: 5, extra: uint8(e.extra()), base: uint16(e.value())}
	}
	return lits, lengths, distances
}()

// encode appends text, compressed and flushed, to out.
func (s *shortEncoder) encode(out, dict, text []byte, depth int) []byte {
	dict = dict[max(0, len(dict)-shortDict):]
	s.text = append(append(s.text[:0], dict...), text...)
	clear(s.head[:])
	for i := range max(0, min(len(dict), len(s.text)-minMatch)) {
		s.insert(i)
	}
	s.out, s.bits, s.n = out, 0, 0
	s.put(1<<1, 3) // not the last block, fixed codes
	s.matches(len(dict), depth)
	s.put(0, 7+3) // end of the block, an empty stored one
	for s.n > 0 {
		s.out = append(s.out, byte(s.bits))
		s.bits >>= 8
		s.n -= min(s.n, 8)
	}
	out = append(s.out, 0, 0, 0xff, 0xff)
	s.out = nil
	return out
}

// matches encodes the text from start on.
func (s *shortEncoder) matches(start, depth int) {
	length, distance := 0, 0 // of the match at i, when it was looked for already
	for i := start; i < len(s.text); {
		if length == 0 {
			length, distance = s.find(i, minMatch-1, depth)
			s.insertAt(i)
		}
		if length < minMatch {
			s.literal(s.text[i])
			i, length = i+1, 0
			continue
		}
		if length < niceMatch && i+1 < len(s.text) {
			next, far := s.find(i+1, length, depth)
			if next > length {
				s.literal(s.text[i])
				i++
				s.insertAt(i)
				length, distance = next, far
				continue
			}
		}
		s.match(length, distance)
		for end := i + length; i+1 < end; {
			i++
			s.insertAt(i)
		}
		i, length = i+1, 0
	}
}

func (s *shortEncoder) hash(i int) uint32 {
	v := uint32(s.text[i]) | uint32(s.text[i+1])<<8 | uint32(s.text[i+2])<<16
	return v * 0x9e3779b1 >> (32 - hashBits)
}

func (s *shortEncoder) insert(i int) {
	h := s.hash(i)
	s.prev[i] = s.head[h]
	s.head[h] = uint16(i + 1)
}

func (s *shortEncoder) insertAt(i int) {
	if i+minMatch <= len(s.text) {
		s.insert(i)
	}
}

// find returns the longest match at i among depth candidates that is longer than least;
// length 0: there is none.
func (s *shortEncoder) find(i, least, depth int) (length, distance int) {
	text := s.text
	most := min(maxMatch, len(text)-i)
	if most < minMatch || most <= least {
		return 0, 0
	}
	for at := int(s.head[s.hash(i)]); at > 0 && depth > 0; depth-- {
		from := at - 1
		at = int(s.prev[from])
		if from >= i || text[from+least] != text[i+least] {
			continue
		}
		n := 0
		for n+8 <= most {
			if x := binary.LittleEndian.Uint64(text[from+n:]) ^ binary.LittleEndian.Uint64(text[i+n:]); x != 0 {
				n += bits.TrailingZeros64(x) >> 3
				goto compared
			}
			n += 8
		}
		for n < most && text[from+n] == text[i+n] {
			n++
		}
	compared:
		if n > least {
			length, distance, least = n, i-from, n
			if n >= niceMatch || n == most {
				break
			}
		}
	}
	return length, distance
}

func (s *shortEncoder) put(v uint64, n uint) {
	s.bits |= v << s.n
	s.n += n
	if s.n >= 32 {
		s.out = binary.LittleEndian.AppendUint32(s.out, uint32(s.bits))
		s.bits >>= 32
		s.n -= 32
	}
}

func (s *shortEncoder) literal(b byte) {
	c := &fixedLits[b]
	s.put(uint64(c.code), uint(c.n))
}

func (s *shortEncoder) match(length, distance int) {
	c := &fixedLengths[length]
	s.put(uint64(c.code)|uint64(length-int(c.base))<<c.n, uint(c.n+c.extra))
	// Two symbols for each power of two (RFC 1951 section 3.2.5).
	symbol := distance - 1
	if distance > 4 {
		top := bits.Len(uint(distance-1)) - 1
		symbol = 2*top + (distance-1)>>(top-1)&1
	}
	c = &fixedDistances[symbol]
	s.put(uint64(c.code)|uint64(distance-int(c.base))<<c.n, uint(c.n+c.extra))
}
