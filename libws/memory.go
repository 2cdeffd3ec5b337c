package libws

import (
	"slices"
	"sync/atomic"
	"unsafe"
)

// Allocator provides the memory for what the host sees and for backlogs. The
// C ABI injects malloc, so that a host's sanitizers watch it.
type Allocator interface {
	Alloc(n int) []byte // len n, contents undefined; nil: out of memory
	Free(b []byte)      // exactly what Alloc returned
}

// goHeap is the Allocator of Go programs.
type goHeap struct{}

func (goHeap) Alloc(n int) []byte { return make([]byte, n) }
func (goHeap) Free([]byte)        {}

// memory counts what an Allocator gave to a loop. Any thread.
type memory struct {
	Allocator
	blocks atomic.Int64
	bytes  atomic.Int64
}

func (m *memory) alloc(n int) []byte {
	b := m.Alloc(n)
	if b != nil {
		m.count(b)
	}
	return b
}

// count begins to count a block.
func (m *memory) count(b []byte) {
	m.blocks.Add(1)
	m.bytes.Add(int64(len(b)))
}

func (m *memory) free(b []byte) {
	m.forget(b)
	m.Free(b)
}

// forget stops counting a block that was given away.
func (m *memory) forget(b []byte) {
	m.blocks.Add(-1)
	m.bytes.Add(-int64(len(b)))
}

const (
	chunkSize = 256 << 10
	// chunksPerPoll bounds what one Poll reads over all connections; level
	// triggered readiness brings the rest next time.
	chunksPerPoll = 4
	// minRead is the least room worth a read.
	minRead = 16 << 10
	// keepInPlace is the least remainder that stays in its chunk; a shorter one
	// moves to a block, so that it does not pin 256 KiB.
	keepInPlace = 16 << 10
	// maxKept is the longest block that is kept for the next long message, blocksKept
	// how many are: one is told of, one filled, and a batch may end two messages.
	maxKept    = 1 << 20
	blocksKept = 2
)

// chunk is a piece of the arena. It is reused only when no connection holds an
// unparsed part of it and no event of the newest batch points into it.
type chunk struct {
	buf     []byte
	used    int
	holders int
}

// arena is where sockets are read to: a bump allocator over chunks, retired at
// the next Poll. The loop lock guards it.
type arena struct {
	mem   *memory
	cur   *chunk
	used  []*chunk // filled, events of this batch or a connection point into them
	spare []*chunk
	taken int      // chunks begun in this Poll
	grown int      // bytes inflated beside the chunks in this Poll
	loose [][]byte // blocks to free at the next Poll
	kept  [][]byte // some of them, for the next long messages
}

// retire makes the memory of the last batch reusable.
func (a *arena) retire() {
	a.taken, a.grown = 0, 0
	if a.cur != nil {
		if a.cur.holders == 0 {
			a.cur.used = 0
		}
		a.taken = 1
	}
	if len(a.used) > 0 {
		kept := a.used[:0]
		for _, c := range a.used {
			switch {
			case c.holders > 0:
				kept = append(kept, c)
			case len(a.spare) < chunksPerPoll:
				c.used = 0
				a.spare = append(a.spare, c)
			default:
				a.mem.free(c.buf)
			}
		}
		clear(a.used[len(kept):])
		a.used = kept
	}
	if len(a.loose) > 0 {
		for i, b := range a.loose {
			a.keepBlock(b)
			a.loose[i] = nil
		}
		a.loose = a.loose[:0]
	}
}

// block returns memory of at least size bytes for a message.
func (a *arena) block(size int) []byte {
	for i, b := range a.kept {
		if len(b) >= size && size > len(b)/4 {
			a.kept = slices.Delete(a.kept, i, i+1)
			return b
		}
	}
	return a.mem.alloc(size)
}

// keepBlock takes a block back. A long one is kept: malloc would return its pages to
// the system, and faulting them in again costs half as much as reading a message of
// 1 MiB.
func (a *arena) keepBlock(b []byte) {
	if len(a.kept) < blocksKept && len(b) >= chunkSize && len(b) <= maxKept {
		a.kept = append(a.kept, b)
		return
	}
	a.mem.free(b)
}

// room returns the chunk to read into, with at least need bytes free; nil when
// this Poll has read enough or memory ran out.
func (a *arena) room(need int) *chunk {
	if a.cur != nil && chunkSize-a.cur.used >= need {
		return a.cur
	}
	if a.taken >= chunksPerPoll {
		return nil
	}
	var c *chunk
	if n := len(a.spare); n > 0 {
		c = a.spare[n-1]
		a.spare = a.spare[:n-1]
	} else {
		buf := a.mem.alloc(chunkSize)
		if buf == nil {
			return nil
		}
		c = &chunk{buf: buf}
	}
	if a.cur != nil {
		a.used = append(a.used, a.cur)
	}
	a.cur = c
	a.taken++
	return c
}

// exhausted reports that this Poll has read enough.
func (a *arena) exhausted() bool {
	return a.taken >= chunksPerPoll && chunkSize-a.cur.used < minRead || a.grown >= chunksPerPoll*chunkSize
}

// keep copies b to where it stays until the next Poll.
func (a *arena) keep(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if a.cur != nil && chunkSize-a.cur.used >= len(b) {
		return a.cur.push(b)
	}
	block := a.mem.alloc(len(b))
	if block == nil {
		return nil
	}
	copy(block, b)
	a.loose = append(a.loose, block)
	return block
}

func (c *chunk) push(b []byte) []byte {
	n := copy(c.buf[c.used:], b)
	kept := c.buf[c.used : c.used+n]
	c.bump(n)
	return kept
}

// bump marks n bytes as used, keeping what follows aligned to a word.
func (c *chunk) bump(n int) { c.used = min(len(c.buf), (c.used+n+7)&^7) }

// claim takes the loose block that starts at address out of the arena's care.
func (a *arena) claim(address uint64) []byte {
	for i, b := range a.loose {
		if addressOf(b) == address {
			last := len(a.loose) - 1
			a.loose[i] = a.loose[last]
			a.loose[last] = nil
			a.loose = a.loose[:last]
			a.mem.forget(b)
			return b
		}
	}
	return nil
}

// trim frees spare chunks, and the current one when nothing points into it.
func (a *arena) trim() {
	if a.cur != nil && a.cur.used == 0 && a.cur.holders == 0 {
		a.mem.free(a.cur.buf)
		a.cur = nil
	}
	for _, b := range a.kept {
		a.mem.free(b)
	}
	a.kept = nil
	for i, c := range a.spare {
		a.mem.free(c.buf)
		a.spare[i] = nil
	}
	a.spare = a.spare[:0]
}

// release frees everything.
func (a *arena) release() {
	a.trim()
	for _, c := range a.used {
		a.mem.free(c.buf)
	}
	if a.cur != nil {
		a.mem.free(a.cur.buf)
	}
	for _, b := range a.loose {
		a.mem.free(b)
	}
	a.cur, a.used, a.loose = nil, nil, nil
}

func addressOf(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
}
