package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// heap is a Memory that spoils what is freed and counts.
type heap struct {
	live map[*byte]int
	held int
	fail bool
}

func newHeap() *heap { return &heap{live: map[*byte]int{}} }

func (h *heap) Alloc(n int) []byte {
	if h.fail {
		return nil
	}
	b := bytes.Repeat([]byte{0xa5}, n)
	h.live[&b[0]] = n
	h.held += n
	return b
}

func (h *heap) Free(b []byte) {
	if h.live[&b[0]] != len(b) {
		panic("free of what is no live block")
	}
	delete(h.live, &b[0])
	h.held -= len(b)
	for i := range b {
		b[i] = 0xdd
	}
}

// blocks is a Buffer that grows by step and remembers how far it grew.
type blocks struct{ step, largest int }

func (b *blocks) Grow(full []byte) []byte {
	grown := make([]byte, len(full)+max(1, b.step, len(full)))
	b.largest = max(b.largest, len(grown))
	copy(grown, full)
	return grown
}

// strict is an inflater of another make, Go's, that holds the sender to its window.
type strict struct {
	window int
	past   []byte
}

// message decodes one message. Go's decoder takes any distance up to 32 KiB, so each one
// is looked at by itself.
func (s *strict) message(payload []byte) ([]byte, error) {
	whole := append(bytes.Clone(payload), 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff)
	out, err := io.ReadAll(flate.NewReaderDict(bytes.NewReader(whole), s.past))
	if err != nil {
		return nil, err
	}
	text := append(bytes.Clone(s.past), out...)
	if err := distances(whole, len(s.past), s.window); err != nil {
		return nil, err
	}
	s.past = text[max(0, len(text)-s.window):]
	return out, nil
}

// distances walks the symbols of a stream, one bit at a time, and fails at a distance
// above window or before what is known.
func distances(in []byte, known, window int) error {
	r := naive{in: in}
	r.known, r.window = known, window
	return r.stream()
}

func jsonText(r *rand.Rand, n int) []byte {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, `{"e":"trade","E":%d,"s":"BNBBTC","t":%d,"p":"%.5f","q":"%d","m":%v},`,
			1672515782136+r.IntN(1e6), r.IntN(1e6), r.Float64(), r.IntN(1000), r.IntN(2) == 0)
	}
	return b.Bytes()[:n]
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// shapes are messages that take different ways through a compressor.
func shapes(r *rand.Rand, n int) [][]byte {
	mixed := jsonText(r, n)
	for i := n / 3; i < n/2; i++ {
		mixed[i] = byte(r.Uint32())
	}
	return [][]byte{jsonText(r, n), noise(r, n), bytes.Repeat([]byte("a"), n), mixed}
}

// TestRoundTrip: what a Sender makes is what another decoder understands within the
// window that was agreed on (RFC 7692 section 7.1.2), and what a Receiver gives back.
func TestRoundTrip(t *testing.T) {
	sizes := []int{0, 1, 60, 127, 128, 129, 255, 256, 257, 511, 513, 1 << 10, 4 << 10, 16 << 10, 33 << 10, 100 << 10}
	for bits := minBits; bits <= maxBits; bits++ {
		for _, forgets := range []bool{false, true} {
			for _, server := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d bits, forgets %v, server %v", bits, forgets, server), func(t *testing.T) {
					r := rand.New(rand.NewPCG(1, uint64(bits)))
					level := []int{0, 1, 2, 3, 4, 5, 6, 7, 9}[(bits-minBits+r.IntN(2))%9]
					history := []int{0, 100, 1 << 10, 4 << 10, MaxHistory}[r.IntN(5)]
					config := Config{ServerMaxWindowBits: bits, ServerNoContextTakeover: forgets, Level: level, History: history}
					if !server {
						config = Config{ClientMaxWindowBits: bits, ClientNoContextTakeover: forgets, Level: level, History: history}
					}
					roundTrip(t, config.agreement(config.parameters()), server, sizes, r)
				})
			}
		}
	}
}

func roundTrip(t *testing.T, a *Agreement, server bool, sizes []int, r *rand.Rand) {
	mem := newHeap()
	sender, receiver := NewSender(a, server, mem), NewReceiver(a, !server, mem)
	window, forgets := 1<<a.ClientMaxWindowBits, a.ClientNoContextTakeover
	if server {
		window, forgets = 1<<a.ServerMaxWindowBits, a.ServerNoContextTakeover
	}
	oracle := strict{window: window}
	packed := 0
	for _, n := range sizes {
		for _, text := range shapes(r, n) {
			before := bytes.Clone(text)
			p := sender.Message(text)
			if !bytes.Equal(before, text) {
				t.Fatal("the message was changed")
			}
			if p == nil {
				continue
			}
			packed++
			payload := bytes.Clone(p.Bytes())
			p.Release()
			if len(payload) >= n {
				t.Fatalf("%d bytes became %d", n, len(payload))
			}
			if forgets {
				oracle.past = nil
			}
			if got, err := oracle.message(payload); err != nil || !bytes.Equal(got, text) {
				t.Fatalf("level %d, history %d, %d bytes: the oracle got %d bytes, %v", a.Level, a.History, n, len(got), err)
			}
			got, broken := receiver.Inflate(payload, nil, &blocks{step: 1 + r.IntN(5000)}, uint64(n))
			if broken != nil || !bytes.Equal(got, text) {
				t.Fatalf("%d bytes: got %d bytes, %v", n, len(got), broken)
			}
		}
	}
	if packed < len(sizes) {
		t.Errorf("%d messages were compressed, expected most", packed)
	}
	if mem.held > window+a.History {
		t.Errorf("%d bytes are kept for a window of %d", mem.held, window)
	}
	if forgets && mem.held > 0 {
		t.Errorf("%d bytes are kept without context takeover", mem.held)
	}
	sender.Free()
	receiver.Free()
	if len(mem.live) > 0 {
		t.Errorf("%d blocks are left", len(mem.live))
	}
}

// TestShortMessages: so many that a window is passed over and over.
func TestShortMessages(t *testing.T) {
	for _, bits := range []int{8, 9, 10, 15} {
		r := rand.New(rand.NewPCG(5, uint64(bits)))
		c := Config{ClientMaxWindowBits: bits, Level: 1 + r.IntN(9), History: 1 << r.IntN(16)}
		a := c.agreement(c.parameters())
		sender, receiver := NewSender(a, false, newHeap()), NewReceiver(a, true, newHeap())
		oracle := strict{window: 1 << bits}
		packed := 0
		for range 400 {
			text := shapes(r, 3+r.IntN(280))[r.IntN(4)]
			p := sender.Message(text)
			if p == nil {
				continue
			}
			packed++
			if got, err := oracle.message(p.Bytes()); err != nil || !bytes.Equal(got, text) {
				t.Fatalf("%d bits, %d bytes: the oracle got %d, %v", bits, len(text), len(got), err)
			}
			if got, err := receiver.Inflate(p.Bytes(), nil, &blocks{}, 0); err != nil || !bytes.Equal(got, text) {
				t.Fatalf("%d bits, %d bytes: got %d, %v", bits, len(text), len(got), err)
			}
			p.Release()
		}
		if packed < 240 {
			t.Errorf("%d bits: %d of 400 messages were compressed", bits, packed)
		}
	}
}

// TestOracleSees: the strict decoder refuses what leaves the window.
func TestOracleSees(t *testing.T) {
	a := new(Config).agreement(parameters{})
	sender := NewSender(a, false, newHeap())
	once := noise(rand.New(rand.NewPCG(6, 6)), 300)
	p := sender.Message(append(once, once...))
	oracle := strict{window: 256}
	if _, err := oracle.message(p.Bytes()); err == nil || !strings.Contains(err.Error(), "distance 300") {
		t.Errorf("error %v", err)
	}
}

// TestDamage: a stream that was damaged is refused, or means what Go's decoder reads.
func TestDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	understood := 0
	for range 1000 {
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, r.IntN(10))
		_, _ = w.Write(shapes(r, 1+r.IntN(2000))[r.IntN(4)])
		_ = w.Flush()
		payload := b.Bytes()[:b.Len()-tail]
		for range 1 + r.IntN(3) {
			payload[r.IntN(len(payload))] ^= 1 << r.IntN(8)
		}
		payload = payload[:len(payload)-r.IntN(len(payload))*r.IntN(2)]
		receiver := NewReceiver(new(Config).agreement(parameters{}), true, newHeap())
		got, err := receiver.Inflate(payload, nil, &blocks{step: 10}, 1<<20)
		want, theirs := readAll(payload)
		switch {
		case err == nil:
			understood++
			if !bytes.Equal(got, want) {
				t.Fatalf("%x: got %d bytes, Go's decoder %d", payload, len(got), len(want))
			}
		case err == ErrTooBig || err == ErrTruncated:
		case theirs == nil:
			t.Fatalf("%x: %v, Go's decoder reads %d bytes", payload, err, len(want))
		}
	}
	if understood < 50 {
		t.Errorf("%d of 1000 were understood", understood)
	}
}

// readAll reads every stream of a payload with Go's decoder.
func readAll(payload []byte) (out []byte, err error) {
	in := bytes.NewReader(append(bytes.Clone(payload), 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff))
	for in.Len() > 9 {
		var b []byte
		b, err = io.ReadAll(io.LimitReader(flate.NewReaderDict(in, out), 1<<20+1))
		if out = append(out, b...); err != nil {
			break
		}
	}
	return out, err
}

// TestParts: a message in fragments is one stream, wherever it is cut.
func TestParts(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, bits := range []int{8, 9, 15} {
		for _, forgets := range []bool{false, true} {
			c := Config{ServerMaxWindowBits: bits, ServerNoContextTakeover: forgets}
			mem := newHeap()
			a := c.agreement(c.parameters())
			sender, receiver := NewSender(a, true, mem), NewReceiver(a, false, mem)
			oracle := strict{window: 1 << bits}
			packed := 0
			for range 60 {
				text := jsonText(r, r.IntN(3000))
				var payload []byte
				rest, first := text, true
				for last := false; !last; first = false {
					n := min(len(rest), r.IntN(1000))
					last = n == len(rest) && r.IntN(2) == 0
					p := sender.Part(rest[:n], first, last)
					if p == nil {
						if !first {
							t.Fatal("a later fragment was refused")
						}
						break
					}
					packed++
					payload = append(payload, p.Bytes()...)
					p.Release()
					rest = rest[n:]
				}
				if payload == nil {
					continue
				}
				if forgets {
					oracle.past = nil
				}
				if got, err := oracle.message(payload); err != nil || !bytes.Equal(got, text) {
					t.Fatalf("%d bits: the oracle got %d bytes of %d, %v", bits, len(got), len(text), err)
				}
				got, broken := receiver.Inflate(payload, make([]byte, 10), &blocks{}, 0)
				if broken != nil || !bytes.Equal(got, text) {
					t.Fatalf("%d bits: got %d bytes of %d, %v", bits, len(got), len(text), broken)
				}
			}
			if packed < 60 {
				t.Errorf("%d fragments were compressed", packed)
			}
		}
	}
}

// TestReceives: what RFC 7692 section 7.2.3 shows, and what peers send besides.
func TestReceives(t *testing.T) {
	a := new(Config).agreement(parameters{})
	for _, c := range []struct {
		name     string
		messages []string // payloads
		want     []string
	}{
		{"7.2.3.1, one block", []string{"\xf2\x48\xcd\xc9\xc9\x07\x00"}, []string{"Hello"}},
		{"7.2.3.2, sharing the window", []string{"\xf2\x48\xcd\xc9\xc9\x07\x00", "\xf2\x00\x11\x00\x00"}, []string{"Hello", "Hello"}},
		{"7.2.3.3, no compression", []string{"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"}, []string{"Hello"}},
		{"7.2.3.4, BFINAL", []string{"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"}, []string{"Hello"}},
		{"7.2.3.5, two blocks", []string{"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"}, []string{"Hello"}},
		{"7.2.3.6, an empty message", []string{"\x00"}, []string{""}},
		{"BFINAL alone", []string{"\xf3\x48\xcd\xc9\xc9\x07\x00", "\xf2\x00\x11\x00\x00"}, []string{"Hello", "Hello"}},
		{"BFINAL, then more", []string{"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00"}, []string{"HelloHello"}},
		{"the tail was not removed", []string{"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff", "\xf2\x00\x11\x00\x00"}, []string{"Hello", "Hello"}},
		{"nothing at all", []string{"", "\xf2\x48\xcd\xc9\xc9\x07\x00"}, []string{"", "Hello"}},
	} {
		receiver := NewReceiver(a, false, newHeap())
		for i, payload := range c.messages {
			got, err := receiver.Inflate([]byte(payload), nil, &blocks{}, 0)
			if err != nil || string(got) != c.want[i] {
				t.Errorf("%s: message %d is %q, %v, expected %q", c.name, i, got, err, c.want[i])
			}
		}
	}
}

// TestRefuses: each rule has a message that breaks it, and no other.
func TestRefuses(t *testing.T) {
	hello := "\xf2\x48\xcd\xc9\xc9\x07\x00"
	broken := map[*Error]bool{}
	for _, c := range []struct {
		name    string
		payload string
		limit   uint64
		want    *Error
	}{
		{"block type 3", "\x06", 0, ErrBlockType},
		{"length of a stored block", "\x00\x05\x00\xfb\xff\x48\x65\x6c\x6c\x6f\x00", 0, ErrStoredLength},
		{"stored block cut in its length", "\x00\x05\x00\xfa", 0, ErrTruncated},
		{"stored block cut in its data", "\x00\x05\x00\xfa\xff\x48\x65", 0, ErrTruncated},
		{"fixed block cut", hello[:3], 0, ErrTruncated},
		{"no empty block at the end", "\xf2\x48\xcd\xc9\xc9\x07", 0, ErrTruncated},
		{"dynamic block cut", "\x04", 0, ErrTruncated},
		{"31 lengths of distances", "\x04\xde\x00", 0, ErrCode},
		{"fixed symbol 286", "\x1a\x03", 0, ErrCode},
		{"distance before the first byte", "\xf2\x00\x11\x00\x00", 0, ErrDistance},
		{"one byte too many", hello, 4, ErrTooBig},
		{"stored block cut behind one byte too many", "\x00\x05\x00\xfa\xff\x48\x65", 1, ErrTooBig},
		{"stored, one byte too many", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 4, ErrTooBig},
	} {
		receiver := NewReceiver(new(Config).agreement(parameters{}), false, newHeap())
		_, err := receiver.Inflate([]byte(c.payload), nil, &blocks{}, c.limit)
		if err != c.want {
			t.Errorf("%s: %v, expected %v", c.name, err, c.want)
		}
		limit := math.MaxInt
		if c.limit > 0 {
			limit = int(c.limit)
		}
		if _, err := receiver.Part([]byte(c.payload), nil, &blocks{}, limit, true); err != c.want {
			t.Errorf("%s, the last part: %v, expected %v", c.name, err, c.want)
		}
		broken[c.want] = true
	}
	for _, rule := range StreamRules {
		if !broken[rule] {
			t.Errorf("nothing breaks %q", rule.Text)
		}
		if e := rule.Error(); !strings.Contains(e, "section") || rule.Code == 0 {
			t.Errorf("%q does not say where it stands", e)
		}
	}
}

// TestWindowIsKept: a distance that leaves the window is refused though the bytes may
// still be there (RFC 7692 section 7.1.2).
func TestWindowIsKept(t *testing.T) {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	r := rand.New(rand.NewPCG(3, 3))
	once := noise(r, 300)
	_, _ = w.Write(once)
	_, _ = w.Write(once)
	_ = w.Flush()
	payload := b.Bytes()[:b.Len()-tail]
	for bits, want := range map[int]*Error{8: ErrDistance, 9: nil} {
		c := Config{ServerMaxWindowBits: bits}
		receiver := NewReceiver(c.agreement(c.parameters()), false, newHeap())
		if _, err := receiver.Inflate(payload, nil, &blocks{}, 0); err != want {
			t.Errorf("%d bits: %v, expected %v", bits, err, want)
		}
	}
}

// TestBomb: memory grows with what is inflated and never above the limit.
func TestBomb(t *testing.T) {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	_, _ = w.Write(make([]byte, 1<<28))
	_ = w.Flush()
	receiver := NewReceiver(new(Config).agreement(parameters{}), true, newHeap())
	into := &blocks{step: 1 << 12}
	if _, err := receiver.Inflate(b.Bytes(), nil, into, 1<<20); err != ErrTooBig {
		t.Errorf("%v, expected %v", err, ErrTooBig)
	}
	if into.largest > 2<<20 {
		t.Errorf("memory grew to %d bytes", into.largest)
	}
}

// TestExactLimit: a message of exactly the limit passes, however it is packed.
func TestExactLimit(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, n := range []int{1, 100, 258, 259, 5000, 70000} {
		for _, text := range shapes(r, n) {
			var b bytes.Buffer
			w, _ := flate.NewWriter(&b, r.IntN(10))
			_, _ = w.Write(text)
			_ = w.Flush()
			for _, limit := range []int{n, n - 1} {
				receiver := NewReceiver(new(Config).agreement(parameters{}), true, newHeap())
				got, err := receiver.Inflate(b.Bytes()[:b.Len()-tail], make([]byte, r.IntN(2*n)), &blocks{step: 1}, uint64(limit))
				if limit == n && (err != nil || !bytes.Equal(got, text)) || limit == n-1 && limit > 0 && err != ErrTooBig {
					t.Errorf("%d bytes, limit %d: got %d, %v", n, limit, len(got), err)
				}
			}
		}
	}
}

// TestNoMemory: a Sender does without its history, a Receiver cannot.
func TestNoMemory(t *testing.T) {
	mem := newHeap()
	a := new(Config).agreement(parameters{})
	sender, receiver := NewSender(a, true, mem), NewReceiver(a, false, mem)
	mem.fail = true
	text := bytes.Repeat([]byte("text "), 100)
	for range 2 {
		p := sender.Message(text)
		oracle := strict{window: 1 << 15}
		if got, err := oracle.message(p.Bytes()); err != nil || !bytes.Equal(got, text) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		if _, err := receiver.Inflate(p.Bytes(), nil, &blocks{}, 0); err != ErrMemory {
			t.Errorf("%v, expected %v", err, ErrMemory)
		}
		if _, err := receiver.Part(p.Bytes(), nil, &blocks{}, math.MaxInt, true); err != ErrMemory {
			t.Errorf("in parts: %v, expected %v", err, ErrMemory)
		}
		p.Release()
	}
}

// naive reads a deflate stream bit by bit, as RFC 1951 tells it, for its distances.
type naive struct {
	in            []byte
	at            int // bit
	known, window int
	have          int
}

var errEnd = errors.New("end of input")

func (r *naive) bit() int {
	if r.at>>3 >= len(r.in) {
		panic(errEnd)
	}
	b := int(r.in[r.at>>3]) >> (r.at & 7) & 1
	r.at++
	return b
}

func (r *naive) number(n int) (v int) {
	for i := range n {
		v |= r.bit() << i
	}
	return v
}

// codes holds the symbols whose codes have a length.
type codes [16][]int

func codesOf(lengths []int) (c codes) {
	for s, n := range lengths {
		c[n] = append(c[n], s)
	}
	return c
}

// symbol decodes by counting codes of each length.
func (r *naive) symbol(c *codes) int {
	code, first := 0, 0
	for n := 1; n <= 15; n++ {
		code = code<<1 | r.bit()
		if code-first < len(c[n]) {
			return c[n][code-first]
		}
		first = (first + len(c[n])) << 1
	}
	panic(errors.New("no such code"))
}

func (r *naive) stream() (err error) {
	defer func() {
		if e, ok := recover().(error); ok {
			err = e
		}
	}()
	for final := 0; final == 0; {
		final = r.number(1)
		switch r.number(2) {
		case 0:
			r.at = (r.at + 7) &^ 7
			n := r.number(16)
			r.number(16)
			r.at += n * 8
			r.have += n
		case 1:
			lengths := make([]int, 288)
			for i := range lengths {
				lengths[i] = 8
				if i >= 144 && i < 256 {
					lengths[i] = 9
				} else if i >= 256 && i < 280 {
					lengths[i] = 7
				}
			}
			r.block(lengths, []int{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5})
		case 2:
			nlit, ndist, nmeta := r.number(5)+257, r.number(5)+1, r.number(4)+4
			meta := make([]int, 19)
			for i := range nmeta {
				meta[metaOrder[i]] = r.number(3)
			}
			var lengths []int
			metaCodes := codesOf(meta)
			for len(lengths) < nlit+ndist {
				s, times := r.symbol(&metaCodes), 1
				switch s {
				case 16:
					s, times = lengths[len(lengths)-1], r.number(2)+3
				case 17:
					s, times = 0, r.number(3)+3
				case 18:
					s, times = 0, r.number(7)+11
				}
				for range times {
					lengths = append(lengths, s)
				}
			}
			r.block(lengths[:nlit], lengths[nlit:])
		}
	}
	return nil
}

func (r *naive) block(litLengths, distLengths []int) {
	lit, dist := codesOf(litLengths), codesOf(distLengths)
	for {
		s := r.symbol(&lit)
		switch {
		case s < 256:
			r.have++
			continue
		case s == 256:
			return
		}
		e := litEntries[s]
		length := e.value() + r.number(int(e.extra()))
		e = distEntries[r.symbol(&dist)]
		distance := e.value() + r.number(int(e.extra()))
		if distance > r.window || distance > r.have+r.known {
			panic(fmt.Errorf("distance %d at byte %d of a message, window %d of which %d are known", distance, r.have, r.window, r.known))
		}
		r.have += length
	}
}
