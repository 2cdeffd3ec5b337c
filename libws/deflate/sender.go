package deflate

import (
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	// tail ends whatever is flushed and is not sent (RFC 7692 section 7.2.1).
	tail = 4
	// shortest is the least message that can get shorter: block header, a match and
	// two ends of blocks take as much.
	shortest = 6
	// maxScratch is the longest buffer that goes back to a pool.
	maxScratch = 256 << 10
)

// Sender compresses what one end sends. It keeps some of the text that it sent and no
// compressor, which takes 1 MiB: those are pooled.
type Sender struct {
	mem     Memory
	level   int
	window  int // the largest distance
	history int // bytes of past at most; 0: no context takeover
	past    []byte
	have    int // bytes of past in use
}

// NewSender returns the sender of the server's or the client's end.
func NewSender(a *Agreement, server bool, mem Memory) Sender {
	bits, forgets := a.ClientMaxWindowBits, a.ClientNoContextTakeover
	if server {
		bits, forgets = a.ServerMaxWindowBits, a.ServerNoContextTakeover
	}
	s := Sender{mem: mem, level: a.Level, window: 1 << bits}
	if !forgets {
		s.history = min(a.History, s.window)
	}
	return s
}

// Packed is a compressed message or a part of one.
type Packed struct {
	writer *flate.Writer // nil: only out is used
	pool   *sync.Pool
	out    []byte
	dict   []byte
}

// Bytes returns the payload, valid until Release.
func (p *Packed) Bytes() []byte { return p.out }

// Release gives the payload back.
func (p *Packed) Release() {
	if cap(p.out) > maxScratch {
		p.out = nil
	}
	p.pool.Put(p)
}

// Write is for the flate.Writer.
func (p *Packed) Write(b []byte) (int, error) {
	p.out = append(p.out, b...)
	return len(b), nil
}

var (
	byLevel  [maxLevel + 1]sync.Pool // 0: without a flate.Writer
	byWindow [maxBits]sync.Pool
)

// Message compresses a whole message. nil: it is to be sent as it is, because that is
// not longer; then it has not become part of the history either. Messages must be
// sent in the order of the calls.
func (s *Sender) Message(text []byte) *Packed {
	if len(text) < shortest {
		return nil
	}
	p := s.pack(text)
	p.out = p.out[:len(p.out)-tail]
	if len(p.out) >= len(text) {
		p.Release()
		return nil
	}
	s.remember(text)
	return p
}

// Part compresses a frame of a message in fragments; first and last say which. nil for
// the first one: the message is to be sent as it is.
func (s *Sender) Part(text []byte, first, last bool) *Packed {
	if first && len(text) == 0 {
		return nil
	}
	p := s.pack(text)
	if last {
		p.out = p.out[:len(p.out)-tail]
	}
	if first && len(p.out) >= len(text)+tail {
		p.Release()
		return nil
	}
	s.remember(text)
	return p
}

// pack compresses text and flushes.
func (s *Sender) pack(text []byte) *Packed {
	dict := s.past[:s.have]
	fits := len(dict)+len(text) <= s.window || s.window == 1<<maxBits
	if !fits && len(text) < s.window {
		dict = dict[len(dict)+len(text)-s.window:]
		fits = true
	}
	var p *Packed
	switch {
	case len(text) == 0:
		p = get(&byLevel[0], 0)
		p.out = append(p.out[:0], 0, 0, 0, 0xff, 0xff)
		return p
	case fits && len(text) < shortText:
		p = get(&byLevel[0], 0)
		e := shortEncoders.Get().(*shortEncoder)
		p.out = e.encode(p.out[:0], dict, text, 4*s.level)
		shortEncoders.Put(e)
		return p
	case !fits: // a writer of levels 1 to 6 knows no other window than 32 KiB
		p = get(&byWindow[bitsOf(s.window)], -s.window)
		dict = nil
	default:
		p = get(&byLevel[s.level], s.level)
	}
	// A writer keeps its dictionary until the next one, and ours may stand in memory
	// of the host, which is freed in between.
	p.dict = append(p.dict[:0], dict...)
	p.out = p.out[:0]
	p.writer.ResetDict(p, p.dict)
	_, _ = p.writer.Write(text)
	_ = p.writer.Flush()
	return p
}

func bitsOf(window int) (n int) {
	for 1<<n < window {
		n++
	}
	return n
}

// get returns a compressor of a level, of a window when that is negative.
func get(pool *sync.Pool, level int) *Packed {
	if p, ok := pool.Get().(*Packed); ok {
		return p
	}
	p := &Packed{pool: pool}
	switch {
	case level > 0:
		p.writer, _ = flate.NewWriter(p, level)
	case level < 0:
		p.writer, _ = flate.NewWriterWindow(p, -level)
	}
	return p
}

// remember appends text to the history. What cannot be kept is forgotten: the history
// is ours alone, the peer keeps a whole window.
func (s *Sender) remember(text []byte) {
	if s.history == 0 || len(text) == 0 {
		return
	}
	if s.past == nil {
		if s.past = s.mem.Alloc(s.history); s.past == nil {
			return
		}
	}
	if len(text) >= len(s.past) {
		s.have = copy(s.past, text[len(text)-len(s.past):])
		return
	}
	if over := s.have + len(text) - len(s.past); over > 0 {
		s.have = copy(s.past, s.past[over:s.have])
	}
	s.have += copy(s.past[s.have:], text)
}

// Free gives the history back.
func (s *Sender) Free() {
	if s.past != nil {
		s.mem.Free(s.past)
		s.past, s.have = nil, 0
	}
}
