package deflate

import "math/bits"

// An entry of a table tells what a prefix of the bits to come stands for.
//
//	bits 0 to 3    length of the code
//	bits 4 to 7    number of bits behind it (extra bits), or the bits of a subtable
//	bits 8 to 11   kind
//	bits 16 to 31  literal, base of a length or distance, or place of a subtable
type entry uint32

const (
	kindLiteral entry = iota << 8
	kindBase          // of a length or a distance
	kindEnd           // of the block
	kindSub           // the code is longer: a subtable knows
	kindInvalid
	kindMask entry = 0xf00
)

func (e entry) length() uint { return uint(e & 0xf) }
func (e entry) extra() uint  { return uint(e >> 4 & 0xf) }
func (e entry) value() int   { return int(e >> 16) }

const (
	maxCode   = 15 // bits of a code
	litRoot   = 9  // bits of the first table of literals and lengths
	distRoot  = 7
	litCodes  = 288
	distCodes = 32
	metaCodes = 19
	// tableSize is above the 852 and 592 entries that zlib's enough.c finds for the
	// worst codes with roots of 9 and 6 bits.
	tableSize = 1 << 10
	tableMask = tableSize - 1
)

// table decodes one Huffman code (RFC 1951 section 3.2.2).
type table struct {
	entries [tableSize]entry
	root    uint // bits that index the first table
}

// litEntries and distEntries are what the symbols mean (RFC 1951 section 3.2.5);
// those that may not occur are invalid.
var litEntries, distEntries, metaEntries = func() (lit [litCodes]entry, dist [distCodes]entry, meta [metaCodes]entry) {
	for i := range lit {
		switch {
		case i < 256:
			lit[i] = kindLiteral | entry(i)<<16
		case i == 256:
			lit[i] = kindEnd
		default:
			lit[i] = kindInvalid
		}
	}
	length := 3
	for i := 257; i < 285; i++ {
		extra := max(0, (i-261)/4)
		lit[i] = kindBase | entry(extra)<<4 | entry(length)<<16
		length += 1 << extra
	}
	lit[285] = kindBase | 258<<16
	distance := 1
	for i := range dist {
		extra := max(0, i/2-1)
		dist[i] = kindInvalid
		if i < 30 {
			dist[i] = kindBase | entry(extra)<<4 | entry(distance)<<16
			distance += 1 << extra
		}
	}
	for i := range meta {
		meta[i] = kindLiteral | entry(i)<<16
	}
	return lit, dist, meta
}()

// fixedLit and fixedDist are the codes of RFC 1951 section 3.2.6.
var fixedLit, fixedDist = func() (lit, dist *table) {
	var lengths [litCodes]uint8
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	lit, dist = new(table), new(table)
	lit.build(lengths[:], litEntries[:], litRoot)
	for i := range distCodes {
		lengths[i] = 5
	}
	dist.build(lengths[:distCodes], distEntries[:], distRoot)
	return lit, dist
}()

// build makes the table for codes of these lengths, and returns whether they are a
// code: one that is complete, or has no symbol, or a single one of one bit.
func (t *table) build(lengths []uint8, meaning []entry, root uint) bool {
	var count [maxCode + 1]int
	for _, n := range lengths {
		count[n]++
	}
	longest := uint(maxCode)
	for longest > 0 && count[longest] == 0 {
		longest--
	}
	if longest == 0 {
		t.root = 0
		t.entries[0] = kindInvalid
		return true
	}
	left := 1
	var next [maxCode + 2]int // index of the next symbol of a length
	for n := 1; n <= maxCode; n++ {
		left = left<<1 - count[n]
		if left < 0 {
			return false
		}
		next[n+1] = next[n] + count[n]
	}
	if left > 0 {
		if longest != 1 {
			return false
		}
		t.entries[1] = kindInvalid
	}
	var sorted [litCodes]uint16
	for symbol, n := range lengths {
		if n > 0 {
			sorted[next[n]] = uint16(symbol)
			next[n]++
		}
	}
	root = min(root, longest)
	t.root = root
	t.fill(&count, sorted[:next[maxCode]], meaning, longest)
	return true
}

// fill writes the entries of symbols, which are sorted by their codes.
func (t *table) fill(count *[maxCode + 1]int, sorted []uint16, meaning []entry, longest uint) {
	root := t.root
	code, used := uint(0), uint(1)<<root
	prefix, sub, subBits := ^uint(0), uint(0), uint(0)
	n := uint(0) // length of the code at hand
	remaining := 0
	for _, symbol := range sorted {
		for remaining == 0 {
			n++
			code <<= 1
			remaining = count[n]
		}
		reversed := uint(bits.Reverse16(uint16(code))) >> (16 - n)
		m := meaning[symbol]
		if n <= root {
			for i := reversed; i < 1<<root; i += 1 << n {
				t.entries[i&tableMask] = m | entry(n)
			}
		} else {
			if low := reversed & (1<<root - 1); low != prefix {
				prefix, sub = low, used
				subBits = n - root
				for space := 1<<subBits - remaining; subBits+root < longest && space > 0; {
					subBits++
					space = space<<1 - count[subBits+root]
				}
				used += 1 << subBits
				t.entries[prefix&tableMask] = kindSub | entry(subBits)<<4 | entry(root) | entry(sub)<<16
			}
			for i := reversed >> root; i < 1<<subBits; i += 1 << (n - root) {
				t.entries[(sub+i)&tableMask] = m | entry(n-root)
			}
		}
		code++
		remaining--
	}
}
