package deflate

import (
	"bytes"
	"compress/flate"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"aiows/libws/handshake"
)

// inflateNaive is RFC 1951 a bit at a time over a whole message without its tail: the
// oracle of FuzzInflate and FuzzDeflate. past is what the window held before.
type inflateNaive struct {
	in    []byte
	at    int // bit
	past  []byte
	size  int // of the window
	limit int // 0: none
	out   []byte
}

// The outcomes of inflateNaive.message.
const (
	inflated = "inflated"
	bad      = "bad"
	tooBig   = "too big"
)

type outcome string

func (r *inflateNaive) bits(n int) (v int) {
	for i := range n {
		if r.at >= 8*len(r.in) {
			panic(outcome(bad))
		}
		v |= int(r.in[r.at/8]) >> (r.at % 8) & 1 << i
		r.at++
	}
	return v
}

func (r *inflateNaive) align() (end bool) {
	r.at = (r.at + 7) / 8 * 8
	return r.at == 8*len(r.in)
}

func (r *inflateNaive) put(b byte) {
	if r.limit > 0 && len(r.out) == r.limit {
		panic(outcome(tooBig))
	}
	r.out = append(r.out, b)
}

// message decodes blocks until the input ends at the border of a byte behind one, or
// behind the header of a stored block, whose lengths were the tail.
func (r *inflateNaive) message() (result string) {
	defer func() {
		if p := recover(); p != nil {
			result = string(p.(outcome))
		}
	}()
	for r.at%8 != 0 || r.at < 8*len(r.in) {
		final, kind := r.bits(1), r.bits(2)
		switch kind {
		case 0:
			if r.align() {
				return inflated
			}
			n, complement := r.bits(16), r.bits(16)
			if n^complement != 0xffff {
				return bad
			}
			for range n {
				r.put(byte(r.bits(8)))
			}
		case 1:
			lit := slices.Concat(slices.Repeat([]int{8}, 144), slices.Repeat([]int{9}, 112), slices.Repeat([]int{7}, 24), slices.Repeat([]int{8}, 8))
			r.block(lit, slices.Repeat([]int{5}, 32))
		case 2:
			r.block(r.lengths())
		default:
			return bad
		}
		if final == 1 {
			r.align()
		}
	}
	return inflated
}

// lengths reads the two codes of a block (section 3.2.7).
func (r *inflateNaive) lengths() (lit, dist []int) {
	nlit, ndist, nmeta := 257+r.bits(5), 1+r.bits(5), 4+r.bits(4)
	if nlit > 286 || ndist > 30 {
		panic(outcome(bad))
	}
	meta := make([]int, 19)
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:nmeta] {
		meta[symbol] = r.bits(3)
	}
	r.check(meta)
	code := newNaiveCode(meta)
	var all []int
	for len(all) < nlit+ndist {
		symbol := r.symbol(&code)
		switch {
		case symbol < 16:
			all = append(all, symbol)
		case symbol == 16 && len(all) == 0:
			panic(outcome(bad))
		case symbol == 16:
			all = append(all, slices.Repeat(all[len(all)-1:], 3+r.bits(2))...)
		case symbol == 17:
			all = append(all, make([]int, 3+r.bits(3))...)
		default:
			all = append(all, make([]int, 11+r.bits(7))...)
		}
	}
	if len(all) > nlit+ndist || all[256] == 0 {
		panic(outcome(bad))
	}
	r.check(all[:nlit])
	r.check(all[nlit:])
	return all[:nlit], all[nlit:]
}

// check refuses what is no code: one that has too many symbols, or too few unless there
// is none, or one of one bit.
func (r *inflateNaive) check(lengths []int) {
	used, symbols := 0, 0 // used in 1/32768
	for _, n := range lengths {
		if n > 0 {
			used += 1 << (15 - n)
			symbols++
		}
	}
	if used > 1<<15 || used < 1<<15 && symbols > 0 && (symbols != 1 || used != 1<<14) {
		panic(outcome(bad))
	}
}

// naiveCode is the symbols of a code in the order of their codes (section 3.2.2).
type naiveCode struct {
	count   [16]int // codes of a length
	symbols []int
}

func newNaiveCode(lengths []int) (c naiveCode) {
	for n := 1; n < 16; n++ {
		for symbol, length := range lengths {
			if length == n {
				c.count[n]++
				c.symbols = append(c.symbols, symbol)
			}
		}
	}
	return c
}

// symbol lengthens a code by a bit as long as it is above the last one of its length.
func (r *inflateNaive) symbol(c *naiveCode) int {
	code, first, index := 0, 0, 0
	for n := 1; n < 16; n++ {
		code |= r.bits(1)
		if code-first < c.count[n] {
			return c.symbols[index+code-first]
		}
		index += c.count[n]
		first = (first + c.count[n]) << 1
		code <<= 1
	}
	panic(outcome(bad))
}

func (r *inflateNaive) block(lit, dist []int) {
	lits, dists := newNaiveCode(lit), newNaiveCode(dist)
	for {
		symbol := r.symbol(&lits)
		switch {
		case symbol < 256:
			r.put(byte(symbol))
			continue
		case symbol == 256:
			return
		case symbol > 285:
			panic(outcome(bad))
		}
		length := 258
		if i := symbol - 257; i < 8 {
			length = 3 + i
		} else if i < 28 {
			extra := i/4 - 1
			length = 3 + (4+i%4)<<extra + r.bits(extra)
		}
		i := r.symbol(&dists)
		if i > 29 {
			panic(outcome(bad))
		}
		distance := i + 1
		if i > 3 {
			extra := i/2 - 1
			distance = 1 + (2+i%2)<<extra + r.bits(extra)
		}
		if distance > r.size || distance > len(r.past)+len(r.out) {
			panic(outcome(bad))
		}
		for range length {
			if at := len(r.out) - distance; at >= 0 {
				r.put(r.out[at])
			} else {
				r.put(r.past[len(r.past)+at])
			}
		}
	}
}

// newest is what a window of size holds after text.
func newest(past, text []byte, size int) []byte {
	all := append(bytes.Clone(past), text...)
	return all[max(0, len(all)-size):]
}

// FuzzInflate: any octets inflate to what the naive reader makes of them, and Go's
// decoder where it can tell, or fail as there; the limit holds to the byte, the window is
// the one that was agreed on, and how the room grows makes no difference.
func FuzzInflate(f *testing.F) {
	hello := "\xf2\x48\xcd\xc9\xc9\x07\x00"
	for _, payload := range []string{
		"", "\x00", hello, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
		"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", hello[:6], hello + "\x00\x00\xff\xff", "\x06", "\x04", "\x04\xde\x00", "\x1a\x03",
		"\x00\x05\x00\xfb\xff", "\x00\x05\x00", "\x00\x05\x00\xfa\xff\x48", "\x4b\x84\x03\x00", "\x73\x49\x4d\xcb\x49\x2c\x49\x55\x00\x11\x00\x00",
	} {
		f.Add([]byte(payload), []byte("\xf2\x00\x11\x00\x00"), byte(0), true, uint16(0), uint16(1))
		f.Add([]byte(payload), []byte(hello), byte(7), false, uint16(4), uint16(600))
	}
	for i, text := range seedTexts() {
		for _, level := range []int{flate.HuffmanOnly, 1, 9} {
			var b bytes.Buffer
			w, _ := flate.NewWriter(&b, level)
			_, _ = w.Write(text)
			_ = w.Flush()
			f.Add(b.Bytes()[:b.Len()-4], []byte("\xf2\x00\x11\x00\x00"), byte(i), true, uint16(0), uint16(400*i))
			f.Add(b.Bytes()[:b.Len()/2], []byte{}, byte(7), true, uint16(100), uint16(10000))
			if i >= 3 && level != 1 {
				for cut := 1; cut < 90; cut += 4 {
					f.Add(b.Bytes()[:cut%b.Len()], []byte{}, byte(7), true, uint16(0), uint16(1))
				}
			}
		}
	}
	for _, payload := range brokenCodes() {
		f.Add(payload, []byte{}, byte(7), true, uint16(0), uint16(0))
	}
	f.Fuzz(func(t *testing.T, first, second []byte, windowBits byte, takeover bool, limit, room uint16) {
		if len(first)+len(second) > 1<<13 {
			return
		}
		c := Config{ServerMaxWindowBits: minBits + int(windowBits)%8, ServerNoContextTakeover: !takeover}
		size := 1 << c.ServerMaxWindowBits
		var receivers [3]Receiver
		for i := range receivers {
			receivers[i] = NewReceiver(c.agreement(c.parameters()), false, newHeap())
			defer receivers[i].Free()
		}
		most := int(limit)
		if most == 0 {
			most = 1 << 18 // of bombs the oracle is slow
		}
		var past []byte
		for _, payload := range [][]byte{first, second} {
			naive := inflateNaive{in: payload, past: past, size: size, limit: most}
			want := naive.message()
			for i := range receivers {
				into, start := &blocks{step: int(room)}, make([]byte, int(room)%1000)
				if i == 1 {
					into, start = &blocks{step: 1 << 18}, nil
				}
				var got []byte
				var err *Error
				if i == 2 {
					got, err = inParts(&receivers[i], payload, 1+int(room)%20, most)
				} else {
					got, err = receivers[i].Inflate(payload, start, into, uint64(most))
				}
				result := inflated
				if err == ErrTooBig {
					result = tooBig
				} else if err != nil {
					result = bad
				}
				if err != nil && (!strings.Contains(err.Error(), "(RFC ") || err.Code != 1007 && err.Code != 1009) {
					t.Fatalf("error %q, close code %d", err, err.Code)
				}
				if result != want || want == inflated && !bytes.Equal(got, naive.out) {
					t.Fatalf("%x after %d bytes: %s (%v), %.100x, expected %s, %.100x", payload, len(past), result, err, got, want, naive.out)
				}
			}
			if want != inflated {
				return
			}
			compareGo(t, payload, past, naive.out)
			if past = nil; takeover {
				past = newest(naive.past, naive.out, size)
			}
		}
	})
}

// inParts decodes a message in parts of up to n bytes, the last of which may be empty.
func inParts(r *Receiver, payload []byte, n, limit int) (text []byte, err *Error) {
	for last := false; !last; {
		k := min(n, len(payload))
		last = k == 0
		part, err := r.Part(payload[:k:k], make([]byte, 5), &blocks{step: n}, limit-len(text), last)
		if err != nil {
			return nil, err
		}
		text = append(text, part...)
		payload = payload[k:]
	}
	return text, nil
}

// compareGo compares with Go's decoder, which stops at BFINAL and wants a whole tail.
func compareGo(t *testing.T, payload, past, want []byte) {
	t.Helper()
	whole := append(bytes.Clone(payload), 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff)
	in := bytes.NewReader(whole)
	got, err := io.ReadAll(flate.NewReaderDict(in, past))
	if err != nil || in.Len() > 0 {
		return
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%x: inflated to %.100x, compress/flate to %.100x", payload, want, got)
	}
}

// brokenCodes are dynamic blocks of nothing but a header (RFC 1951 section 3.2.7): the
// lengths of the lengths, then symbols of that code.
func brokenCodes() (all [][]byte) {
	for _, header := range [][]int{
		{4, 3, 17, 5, 0, 5, 15, 4, 7, 3, 7, 3, 7, 3, 7, 3},                                          // too many codes of 7 bits
		{4, 3, 17, 5, 0, 5, 0, 4, 0, 3, 0, 3, 0, 3, 1, 3, 0, 40, 0, 40},                             // only zeros
		{4, 3, 17, 5, 0, 5, 0, 4, 1, 3, 0, 3, 0, 3, 1, 3, 0, 1, 0, 2},                               // begins with a repetition
		{4, 3, 17, 5, 0, 5, 0, 4, 0, 3, 0, 3, 1, 3, 1, 3, 1, 1, 127, 7, 1, 1, 127, 7, 1, 1, 127, 7}, // too many lengths
		{4, 3, 17, 5, 0, 5, 0, 4, 0, 3, 0, 3, 0, 3, 0, 3, 0, 40},                                    // no code
	} {
		var b []byte
		at := 0
		for i := 0; i < len(header); i += 2 {
			for bit := range header[i+1] {
				if at%8 == 0 {
					b = append(b, 0)
				}
				b[at/8] |= byte(header[i]>>bit&1) << (at % 8)
				at++
			}
		}
		all = append(all, append(b, 0, 0, 0, 0, 0, 0, 0, 0))
	}
	return all
}

// skewed has octets whose codes are of every length, and matches at many distances.
func skewed() (text []byte) {
	a, b := 1, 2
	for symbol := range 17 {
		text = append(text, bytes.Repeat([]byte{byte(7 * symbol)}, a)...)
		a, b = b, a+b
	}
	x := uint32(1)
	for i := range text {
		x = x*1664525 + 1013904223
		j := int(x>>8) % (i + 1)
		text[i], text[j] = text[j], text[i]
	}
	for i := range 60 {
		from := i * i * 2 % (len(text) - 40)
		text = append(append(text, text[from:from+5+i%9]...), byte(i))
	}
	return text
}

func seedTexts() [][]byte {
	return [][]byte{
		skewed(),
		[]byte("Hello"), []byte(strings.Repeat("ab", 700)), []byte(strings.Repeat(`{"e":"trade","p":"0.001"},`, 30)),
		[]byte("the quick brown fox jumps over the lazy dog, the lazy dog jumps over the quick brown fox; " + strings.Repeat("z", 300)),
		bytes.Repeat(slices.Concat([]byte{0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233}, []byte("fibonacci")), 9),
	}
}

// FuzzDeflate: what a Sender makes of messages, whole or in fragments, the naive reader
// inflates within the window that was agreed on, and a Receiver too; nothing gets longer.
func FuzzDeflate(f *testing.F) {
	for i, text := range seedTexts() {
		f.Add(text, text[:len(text)/2], byte(i), byte(2*i), uint16(100*i), true, uint16(0))
		f.Add(text, text, byte(7), byte(1), uint16(0), false, uint16(len(text)/3))
		f.Add([]byte{}, text, byte(i), byte(9), uint16(0), true, uint16(5))
		f.Add(slices.Concat(text, text[:len(text)/3]), []byte("short"), byte(0), byte(i), uint16(300), true, uint16(0))
		f.Add(text[:min(len(text), 200)], text[:min(len(text), 100)], byte(0), byte(3), uint16(300), true, uint16(0))
		f.Add([]byte(strings.Repeat(string(text), 40)), []byte{}, byte(i), byte(0), uint16(0), true, uint16(3*i))
	}
	f.Fuzz(func(t *testing.T, first, second []byte, windowBits, level byte, history uint16, takeover bool, cut uint16) {
		if len(first)+len(second) > 1<<14 {
			return
		}
		c := Config{ClientMaxWindowBits: minBits + int(windowBits)%8, ClientNoContextTakeover: !takeover,
			Level: int(level) % 10, History: int(history) % (MaxHistory + 1)}
		if err := c.CheckOffer(); err != nil {
			t.Fatal(err)
		}
		a := c.agreement(c.parameters())
		mem := newHeap()
		sender, receiver := NewSender(a, false, mem), NewReceiver(a, true, mem)
		var past []byte
		for _, text := range [][]byte{first, second, first} {
			payload, packed := pack(&sender, text, int(cut))
			if !packed {
				continue
			}
			if cut == 0 && len(payload) >= len(text) {
				t.Fatalf("%d bytes became %d", len(text), len(payload))
			}
			naive := inflateNaive{in: payload, past: past, size: 1 << c.ClientMaxWindowBits}
			if result := naive.message(); result != inflated || !bytes.Equal(naive.out, text) {
				t.Fatalf("%+v: %.200x became %.200x, which is %s, %.200x", c, text, payload, result, naive.out)
			}
			got, err := receiver.Inflate(payload, nil, &blocks{step: 100}, uint64(len(text)))
			if err != nil || !bytes.Equal(got, text) {
				t.Fatalf("%+v: %.200x became %.200x, which inflates to %.200x, %v", c, text, payload, got, err)
			}
			if past = nil; takeover {
				past = newest(naive.past, text, 1<<c.ClientMaxWindowBits)
			}
		}
		sender.Free()
		receiver.Free()
		if len(mem.live) > 0 {
			t.Fatalf("%d blocks are left", len(mem.live))
		}
	})
}

// pack compresses text, in two fragments when cut is not 0.
func pack(s *Sender, text []byte, cut int) (payload []byte, packed bool) {
	if cut == 0 {
		p := s.Message(text)
		if p == nil {
			return nil, false
		}
		defer p.Release()
		return bytes.Clone(p.Bytes()), true
	}
	cut = min(cut, len(text))
	for i, part := range [][]byte{text[:cut], text[cut:]} {
		p := s.Part(part, i == 0, i == 1)
		if p == nil {
			return nil, false
		}
		payload = append(payload, p.Bytes()...)
		p.Release()
	}
	return payload, true
}

// parametersNaive reads RFC 7692 section 7.1 from one element; ok is false for what is
// unknown, twice there or out of range. 0 are bits that are not said, -1 those without a value.
func parametersNaive(element string, offer bool) (p parameters, ok bool) {
	value := `(?:[89]|1[0-5])`
	grammar := regexp.MustCompile(`^(?:(server_no_context_takeover)|(client_no_context_takeover)|server_max_window_bits="?(` + value + `)"?|(client_max_window_bits)(?:="?(` + value + `)"?)?)$`)
	seen := map[string]bool{}
	for i, text := range strings.Split(element, ";") {
		text = strings.ReplaceAll(regexp.MustCompile(`[ \t\\]`).ReplaceAllString(text, ""), `""`, "!")
		if i == 0 {
			continue
		}
		m := grammar.FindStringSubmatch(text)
		name, _, _ := strings.Cut(text, "=")
		if m == nil || seen[name] || m[4] != "" && m[5] == "" && !offer {
			return p, false
		}
		seen[name] = true
		n, _ := strconv.Atoi(m[3] + m[5])
		switch {
		case m[1] != "":
			p.serverNoTakeover = true
		case m[2] != "":
			p.clientNoTakeover = true
		case m[3] != "":
			p.serverBits = n
		case m[5] != "":
			p.clientBits = n
		default:
			p.clientBits = AnyWindow
		}
	}
	return p, true
}

// FuzzNegotiate: a server takes the first offer that is valid and that it can meet, its
// answer keeps the rules of RFC 7692 section 7.1, and the client reads from it the same.
func FuzzNegotiate(f *testing.F) {
	for _, offer := range []string{
		"permessage-deflate", "permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=10; server_max_window_bits=9",
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover", "x-a, permessage-deflate; server_max_window_bits=16, permessage-deflate",
		`permessage-deflate; server_max_window_bits="1\2"`, "permessage-deflate; server_max_window_bits", "permessage-deflate; server_no_context_takeover=1",
		"permessage-deflate; client_max_window_bits; client_max_window_bits=8", "permessage-deflate; a", "permessage-deflate;", "permessage-deflate; server_max_window_bits=08",
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover", "permessage-deflate; client_max_window_bits=7", "",
		"permessage-deflate; client_no_context_takeover; client_no_context_takeover", "permessage-deflate; server_max_window_bits=8; server_max_window_bits=8",
	} {
		f.Add(offer, offer, byte(0), byte(0), byte(0))
		f.Add(offer, "permessage-deflate", byte(10), byte(0), byte(1))
		f.Add(offer, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10", byte(9), byte(10), byte(2))
		f.Add(offer, "permessage-deflate, permessage-deflate", byte(0), byte(12), byte(4|8))
		f.Add(offer, "x-a", byte(0), byte(200), byte(1))
		f.Add(offer, "permessage-deflate; client_max_window_bits=11", byte(0), byte(200), byte(0xa0))
		f.Add("permessage-deflate; client_max_window_bits=9", "permessage-deflate; client_max_window_bits=10", byte(0), byte(0), byte(4))
		f.Add("permessage-deflate; client_max_window_bits", offer, byte(15), byte(15), byte(7))
		f.Add("permessage-deflate; server_no_context_takeover; client_max_window_bits=9; server_max_window_bits=10", offer, byte(16), byte(7), byte(0))
	}
	f.Fuzz(func(t *testing.T, offer, answer string, serverBits, clientBits, flags byte) {
		own := Config{ServerMaxWindowBits: int(serverBits), ClientMaxWindowBits: int(clientBits), ServerNoContextTakeover: flags&1 != 0,
			ClientNoContextTakeover: flags&2 != 0, RequireClientMaxWindowBits: flags&4 != 0, Level: int(flags >> 4), History: int(flags)}
		within := func(n byte) bool { return n == 0 || n >= 8 && n <= 15 }
		fine := within(serverBits) && within(clientBits) && (flags&4 == 0 || clientBits != 0) && flags>>4 <= 9
		if err := own.CheckAccept(); (err == nil) != fine {
			t.Fatalf("%+v: %v", own, err)
		}
		offerable := own
		if clientBits == 200 {
			offerable.ClientMaxWindowBits = AnyWindow
		}
		fineOffer := within(serverBits) && (within(clientBits) || clientBits == 200) && flags&4 == 0 && flags>>4 <= 9
		if err := offerable.CheckOffer(); (err == nil) != fineOffer {
			t.Fatalf("%+v: %v", offerable, err)
		}
		if fineOffer {
			value := Offer([]Config{offerable, offerable})
			again := Offered(value, offerable)
			if len(again) != 2 || again[0] != offerable || again[1] != offerable {
				t.Fatalf("%+v is offered as %q, read as %+v", offerable, value, again)
			}
		}
		if !fine {
			return
		}
		if list, ok := handshake.ParseExtensions(offer); ok {
			checkAnswer(t, offer, list, own)
		}
		if list, ok := handshake.ParseExtensions(answer); ok {
			checkAccept(t, offer, answer, list)
		} else if agreed, err := Accept(answer, []Config{own}); agreed != nil || err == nil {
			t.Fatalf("%q: accepted as %+v", answer, agreed)
		}
	})
}

// ours returns the elements called permessage-deflate.
func ours(value string) (elements []string) {
	for element := range strings.SplitSeq(value, ",") {
		name, _, _ := strings.Cut(element, ";")
		if strings.Trim(name, " \t") == Name {
			elements = append(elements, element)
		}
	}
	return elements
}

func checkAnswer(t *testing.T, offer string, list []handshake.Extension, own Config) {
	t.Helper()
	var elements []string
	for element := range strings.SplitSeq(offer, ",") {
		elements = append(elements, element)
	}
	value, agreed := Answer(elements, []Config{own})
	var taken *parameters
	for _, element := range ours(offer) {
		p, ok := parametersNaive(element, true)
		if ok && (!own.RequireClientMaxWindowBits || p.clientBits != 0) {
			taken = &p
			break
		}
	}
	if (taken == nil) != (agreed == nil) || (value == "") != (agreed == nil) {
		t.Fatalf("%q for %+v: answered %q", offer, own, value)
	}
	if taken == nil {
		return
	}
	said, ok := parametersNaive(value, false)
	most := func(limits ...int) (n int) {
		n = maxBits
		for _, limit := range limits {
			if limit > 0 {
				n = min(n, limit)
			}
		}
		return n
	}
	server := most(own.ServerMaxWindowBits, taken.serverBits)
	client := maxBits
	if taken.clientBits != 0 {
		client = most(own.ClientMaxWindowBits, taken.clientBits)
	}
	switch {
	case !ok || len(ours(value)) != 1:
		t.Fatalf("%q: answered %q", offer, value)
	case most(said.serverBits) != server || most(said.clientBits) != client,
		taken.serverBits > 0 && said.serverBits == 0, said.clientBits != 0 && taken.clientBits == 0,
		said.serverNoTakeover != (taken.serverNoTakeover || own.ServerNoContextTakeover),
		said.clientNoTakeover != (taken.clientNoTakeover || own.ClientNoContextTakeover):
		t.Fatalf("%q for %+v: answered %q", offer, own, value)
	}
	want := Agreement{said.serverNoTakeover, said.clientNoTakeover, server, client, agreed.Level, agreed.History}
	if *agreed != want || agreed.Level < 1 || agreed.History < 1 {
		t.Fatalf("%q: agreed %+v, expected %+v", offer, *agreed, want)
	}
	theirs, err := Accept(value, Offered(offer, own))
	if err != nil {
		t.Fatalf("%q: the client refuses %q: %v", offer, value, err)
	}
	// A client may forget on its own account, without having been told.
	if theirs.ServerMaxWindowBits != server || theirs.ServerNoContextTakeover != want.ServerNoContextTakeover || theirs.ClientMaxWindowBits > client {
		t.Fatalf("%q, %q: the client agreed to %+v, the server to %+v", offer, value, *theirs, want)
	}
}

// checkAccept judges any answer to the offers of a client.
func checkAccept(t *testing.T, offer, answer string, list []handshake.Extension) {
	t.Helper()
	configs := Offered(offer, Config{})
	agreed, err := Accept(answer, configs)
	elements := ours(answer)
	if len(list) == 0 {
		if agreed != nil || err != nil {
			t.Fatalf("nothing: %+v, %v", agreed, err)
		}
		return
	}
	fits := false
	if len(list) == 1 && len(elements) == 1 {
		if p, ok := parametersNaive(elements[0], false); ok {
			for _, c := range configs {
				fits = fits || (!c.ServerNoContextTakeover || p.serverNoTakeover) &&
					(c.ServerMaxWindowBits == 0 || p.serverBits > 0 && p.serverBits <= c.ServerMaxWindowBits) &&
					(p.clientBits == 0 || c.ClientMaxWindowBits == AnyWindow || p.clientBits <= c.ClientMaxWindowBits)
			}
		}
	}
	if fits != (err == nil) || fits != (agreed != nil) {
		t.Fatalf("offered %q, answered %q: %+v, %v, expected to fit: %v", offer, answer, agreed, err, fits)
	}
}
