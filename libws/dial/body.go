package dial

import (
	"io"
	"strconv"
	"strings"

	"aiows/libws/handshake"
)

const (
	// maxBody is how much of the body of an answer other than 101 is kept.
	maxBody = 64 << 10
	// maxChunkLine is the longest line of the chunked coding that is read.
	maxChunkLine = 4 << 10
)

// Body takes in what a server says beside a status other than 101. What is wrong with it
// only cuts it short. It stops where the body ends (RFC 9112 6.3), since the server may
// keep the connection.
type Body struct {
	data    []byte
	left    int64 // bytes to come: of the body, or of the chunk at hand
	chunked bool
	inChunk bool   // left bytes and the line end behind them follow, then a size
	line    []byte // the start of the line that is being read
	done    bool
}

// NewBody begins the body of r.
func NewBody(r *handshake.Response) *Body {
	b := &Body{left: maxBody}
	switch {
	case r.Status < 200 || r.Status == 204 || r.Status == 304:
		b.left = 0
	case r.Header.HasToken("Transfer-Encoding", "chunked"):
		b.chunked, b.left = true, 0
		return b
	default:
		if n, err := strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
			b.left = min(n, maxBody)
		}
	}
	b.done = b.left == 0
	return b
}

// Feed takes the next bytes, and reports that no more are wanted.
func (b *Body) Feed(p []byte) (done bool) {
	for len(p) > 0 && !b.done {
		if b.left > 0 {
			n := min(b.left, int64(len(p)), int64(maxBody-len(b.data)))
			b.data = append(b.data, p[:n]...)
			b.left -= n
			p = p[n:]
			b.done = len(b.data) == maxBody || !b.chunked && b.left == 0
			continue
		}
		c := p[0]
		p = p[1:]
		if b.line = append(b.line, c); c == '\n' {
			b.endLine(string(b.line))
			b.line = b.line[:0]
		} else if len(b.line) == maxChunkLine {
			b.done = true
		}
	}
	return b.done
}

// endLine undoes the chunked transfer coding (RFC 9112 7.1).
func (b *Body) endLine(line string) {
	if b.inChunk { // the line end behind the data
		b.inChunk = false
		return
	}
	digits, _, _ := strings.Cut(line, ";")
	size, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 63)
	b.left, b.inChunk = int64(size), true
	b.done = err != nil || size == 0
}

// Bytes returns what came of it.
func (b *Body) Bytes() []byte { return b.data }

// ReadBody reads a body; start of it was read with the head.
func ReadBody(stream io.Reader, start []byte, r *handshake.Response) []byte {
	b := NewBody(r)
	done := b.Feed(start)
	for buf := make([]byte, 4<<10); !done; {
		n, err := stream.Read(buf)
		done = b.Feed(buf[:n]) || err != nil
	}
	return b.data
}
