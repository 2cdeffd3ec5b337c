package libws

const (
	minSegment = 4 << 10
	maxSegment = 256 << 10
)

// segment is a block of bytes that wait.
type segment struct {
	buf  []byte
	r, w int
}

// segments is a queue of bytes.
type segments []segment

// keep appends b. After a failure, for want of memory, the queue has a hole.
func (q *segments) keep(mem *memory, b []byte) bool {
	for len(b) > 0 {
		if n := len(*q); n > 0 {
			s := &(*q)[n-1]
			k := copy(s.buf[s.w:], b)
			s.w += k
			b = b[k:]
			if len(b) == 0 {
				return true
			}
		}
		buf := mem.alloc(min(max(len(b), minSegment), maxSegment))
		if buf == nil {
			return false
		}
		*q = append(*q, segment{buf: buf})
	}
	return true
}

// take moves bytes from the front to b and returns how many.
func (q *segments) take(mem *memory, b []byte) (n int) {
	done := 0
	for done < len(*q) && n < len(b) {
		s := &(*q)[done]
		k := copy(b[n:], s.buf[s.r:s.w])
		s.r += k
		n += k
		if s.r < s.w {
			break
		}
		done++
	}
	q.drop(mem, done)
	return n
}

// drop frees the first n segments.
func (q *segments) drop(mem *memory, n int) {
	s := *q
	for i := range s[:n] {
		mem.free(s[i].buf)
	}
	if n == len(s) {
		*q = nil // an idle connection holds no buffer
		return
	}
	*q = append(s[:0], s[n:]...)
}
