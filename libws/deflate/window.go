package deflate

// Memory provides blocks that outlive a message.
type Memory interface {
	Alloc(n int) []byte // len n, contents undefined; nil: out of memory
	Free(b []byte)      // exactly what Alloc returned
}

const (
	// smallWindow is the first block of a window, and of one of up to 4 KiB the next is
	// twice as long. Others get their full size at once: many sizes would leave many
	// holes between the blocks of connections, and pages are free until they are used.
	smallWindow  = 1 << 10
	growingLimit = 4 << 10
)

// window is the newest part of what was received, a ring that grows with what came.
type window struct {
	size int    // the largest it gets, and the largest distance
	ring []byte // its length is a power of two
	next int    // where the next byte goes
	have int    // bytes in it, the newest before next
}

// reaches reports whether distance points into the window or into the n bytes of the
// message so far.
func (w *window) reaches(distance, n int) bool {
	return distance <= w.size && distance <= n+w.have
}

// copy repeats what stands distance bytes before out[n] until out is full. The distance
// is known to reach; what is before out[0] is in the window.
func (w *window) copy(out []byte, n, distance int) {
	if before := distance - n; before > 0 {
		at := (w.next - before) & (len(w.ring) - 1)
		for n < len(out) && before > 0 {
			k := copy(out[n:], w.ring[at:min(len(w.ring), at+before)])
			n += k
			before -= k
			at = 0
		}
	}
	for n < len(out) { // at most distance bytes at a time are there to be copied
		n += copy(out[n:], out[n-distance:n])
	}
}

// add appends p. It returns false when there is no memory.
func (w *window) add(p []byte, mem Memory) bool {
	if len(p) > w.size {
		p = p[len(p)-w.size:]
	}
	if need := min(w.have+len(p), w.size); need > len(w.ring) && !w.grow(need, mem) {
		return false
	}
	for len(p) > 0 {
		k := copy(w.ring[w.next:], p)
		w.next = (w.next + k) & (len(w.ring) - 1)
		w.have = min(w.have+k, len(w.ring))
		p = p[k:]
	}
	return true
}

// grow makes the ring hold need bytes.
func (w *window) grow(need int, mem Memory) bool {
	n := min(smallWindow, w.size)
	for n < need {
		n *= 2
		if w.size > growingLimit {
			n = w.size
		}
	}
	ring := mem.Alloc(n)
	if ring == nil {
		return false
	}
	if w.have > 0 {
		w.copy(ring[:w.have], 0, w.have)
	}
	w.free(mem)
	w.ring, w.next = ring, w.have&(n-1)
	return true
}

func (w *window) free(mem Memory) {
	if w.ring != nil {
		mem.Free(w.ring)
		w.ring = nil
	}
}
