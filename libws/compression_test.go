package libws

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"aiows/libws/deflate"
	"aiows/libws/wire"
)

// compressed turns compression on at both ends.
func compressed(c, s *ConnOptions) { c.Compression, s.Compression = true, true }

func text(n int) []byte {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, `{"id":%d,"price":%.3f,"name":"größe"},`, rand.IntN(1e6), rand.Float64())
	}
	return bytes.ToValidUTF8(b.Bytes()[:n], []byte("??"))[:n]
}

// TestCompression: every window, both kinds of takeover, both roles, messages of
// many sizes; text that can be compressed and bytes that cannot.
func TestCompression(t *testing.T) {
	sizes := []int{0, 1, 60, 127, 128, 129, 1 << 10, 16 << 10, 100 << 10}
	for bits := 8; bits <= 15; bits++ {
		for _, forgets := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bits, forgets %v", bits, forgets), func(t *testing.T) {
				h := newHost(t)
				c, s := h.pair(nil, func(c, s *ConnOptions) {
					compressed(c, s)
					c.Deflate = []deflate.Config{{
						ServerNoContextTakeover: forgets, ClientNoContextTakeover: forgets,
						ServerMaxWindowBits: bits, ClientMaxWindowBits: bits,
					}}
				})
				value := deflate.Offer(c.opts.Deflate)
				if got := s.Info().Extensions; got != value || c.Info().Extensions != value {
					t.Fatalf("agreed on %q, expected %q", got, value)
				}
				for _, n := range sizes {
					for _, m := range [][]byte{text(n), random(n), filled(n, 'x')} {
						for _, from := range []*Conn{c, s} {
							before := from.Stats().BytesSent
							if _, err := from.Send(Binary, SendForce, m); err != nil {
								t.Fatal(err)
							}
							to := uint64(1)
							if from == c {
								to = 2
							}
							if e := h.until(EventMessage, to); !bytes.Equal(e.data, m) {
								t.Fatalf("%d bytes: got %d", n, len(e.data))
							}
							if sent := from.Stats().BytesSent - before; sent > uint64(n)+14 {
								t.Errorf("%d bytes took %d", n, sent)
							}
						}
					}
				}
				sent := c.Stats().BytesSent
				if total := 3 << 20; sent > uint64(total) {
					t.Errorf("%d bytes were sent", sent)
				}
			})
		}
	}
}

// agreed opens a connection of ours, handle 1, in either role, to a peer that offers, or
// answers with, extension; the options have compression. Ours agrees.
func (h *host) agreed(server bool, change func(*ConnOptions), extension string) (c *Conn, p *peer) {
	h.t.Helper()
	o := quiet(change)
	field := "\r\nSec-WebSocket-Extensions: " + extension + "\r\n\r\n"
	if server {
		ln := h.listen(nil)
		p = h.ask(ln, nil, []byte(strings.Replace(sampleRequest, "\r\n\r\n", field, 1)))
		c = h.accept(1, o)
		if head := p.head(); !strings.Contains(head, field[2:]) {
			h.t.Fatalf("answer %q", head)
		}
	} else {
		ln := listenTCP(h.t)
		c = h.dialTo(ln, nil, o)
		var key string
		p, key = h.acceptRaw(ln, nil)
		p.write([]byte(strings.Replace(string(accepted(key)), "\r\n\r\n", field, 1)))
	}
	h.until(EventOpen, 1)
	if got := c.Info().Extensions; got != extension {
		h.t.Errorf("extensions %q, expected %q", got, extension)
	}
	return c, p
}

// packedPair is a connection of ours with compression, and a peer that speaks it by hand.
func inBothRolesCompressed(t *testing.T, change func(*ConnOptions), f func(h *host, c *Conn, p *packer)) {
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			h := newHost(t)
			o := quiet(func(o *ConnOptions) {
				o.Compression = true
				if change != nil {
					change(o)
				}
			})
			c, p := h.agreed(role == "server", func(to *ConnOptions) { *to = o }, "permessage-deflate")
			f(h, c, newPacker(p))
		})
	}
}

// packer is a peer with Go's own compressor and decompressor.
type packer struct {
	*peer
	out  bytes.Buffer
	w    *flate.Writer
	past []byte
}

func newPacker(p *peer) *packer {
	k := &packer{peer: p}
	k.w, _ = flate.NewWriter(&k.out, 9)
	return k
}

// pack compresses in the context of what was packed before.
func (k *packer) pack(text []byte) []byte {
	k.out.Reset()
	_, _ = k.w.Write(text)
	_ = k.w.Flush()
	return bytes.Clone(k.out.Bytes()[:k.out.Len()-4])
}

// first is a frame with RSV1, which is set after the payload was framed.
func (k *packer) first(op wire.Opcode, fin bool, payload []byte) []byte {
	b := k.frame(op, fin, payload)
	b[0] |= 0x40
	return b
}

// message reads a message of ours.
func (k *packer) message() (text []byte, packed bool) {
	k.t.Helper()
	var payload []byte
	for {
		h, b, err := k.next()
		if err != nil {
			k.t.Fatal(err)
		}
		packed = packed || h.Rsv == 4
		payload = append(payload, b...)
		if h.Fin {
			break
		}
	}
	if !packed {
		return payload, false
	}
	whole := append(payload, 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff)
	text, err := io.ReadAll(flate.NewReaderDict(bytes.NewReader(whole), k.past))
	if err != nil {
		k.t.Fatal(err)
	}
	k.past = append(k.past, text...)
	return text, true
}

// TestCompressedReceive: messages in one frame and in many, with control frames between,
// mixed with others that are not compressed, cut anywhere.
func TestCompressedReceive(t *testing.T) {
	inBothRolesCompressed(t, nil, func(h *host, c *Conn, k *packer) {
		var stream []byte
		var want [][]byte
		for i := range 200 {
			m := text(rand.IntN(5000))
			want = append(want, m)
			switch i % 4 {
			case 0:
				stream = append(stream, k.frame(wire.OpText, true, m)...)
				continue
			case 1:
				stream = append(stream, k.first(wire.OpText, true, k.pack(m))...)
				continue
			}
			payload, op := k.pack(m), wire.OpText
			for fin := false; !fin; op = wire.OpContinuation {
				n := min(len(payload), rand.IntN(300))
				fin = n == len(payload)
				f := k.frame(op, fin, payload[:n])
				if op == wire.OpText {
					f[0] |= 0x40
				}
				stream = append(stream, f...)
				stream = append(stream, k.frame(wire.OpPing, true, []byte("p"))...)
				payload = payload[n:]
			}
		}
		h.async("writing", func() {
			for len(stream) > 0 {
				n := min(len(stream), 1+rand.IntN(10000))
				k.write(stream[:n])
				stream = stream[n:]
			}
		})
		h.while("messages", func() bool { return c.Stats().MessagesReceived == uint64(len(want)) })
		for i, e := range h.take(EventMessage) {
			if !bytes.Equal(e.data, want[i]) || e.Kind != Text {
				t := k.t
				t.Fatalf("message %d: %d bytes, expected %d", i, len(e.data), len(want[i]))
			}
		}
	})
}

// TestCompressedSend: whole messages, fragments and messages that are to stay as they
// are, in the order of the wire.
func TestCompressedSend(t *testing.T) {
	inBothRolesCompressed(t, nil, func(h *host, c *Conn, k *packer) {
		t := k.t
		expect := func(want []byte, wantPacked bool) {
			t.Helper()
			if got, packed := k.message(); !bytes.Equal(got, want) || packed != wantPacked {
				t.Fatalf("got %d bytes, packed %v; expected %d, %v", len(got), packed, len(want), wantPacked)
			}
		}
		m := text(3000)
		send := func(flags SendFlags, m []byte) {
			if _, err := c.Send(Text, flags, m); err != nil {
				t.Fatal(err)
			}
		}
		send(0, m)
		expect(m, true)
		send(SendNoCompress, m)
		expect(m, false)
		send(SendCompress, m)
		expect(m, true)
		send(0, nil)
		expect(nil, false)
		if n, _, err := c.SendMany(Text, 0, [][]byte{m, m[:200], []byte("x"), m}); n != 4 || err != nil {
			t.Fatal(n, err)
		}
		for i, want := range [][]byte{m, m[:200], []byte("x"), m} {
			expect(want, i != 2)
		}
		for _, flags := range []SendFlags{0, SendCompress, SendNoCompress} {
			for i, part := range [][]byte{m[:1000], nil, m[1000:2000], m[2000:], nil} {
				if _, err := c.SendFragment(Text, flags, i == 4, part); err != nil {
					t.Fatal(err)
				}
			}
			expect(m, flags != SendNoCompress)
		}
		noisy := random(500)
		if _, err := c.Send(Binary, 0, noisy); err != nil {
			t.Fatal(err)
		}
		expect(noisy, false)
		if _, err := c.SendFragment(Binary, 0, false, noisy); err != nil {
			t.Fatal(err)
		}
		if _, err := c.SendFragment(Binary, SendCompress, true, m); err != nil {
			t.Fatal(err)
		}
		expect(append(noisy, m...), false)
		send(0, m)
		expect(m, true)
		if _, err := c.Send(Text, SendCompress|SendNoCompress, m); result(err) != CodeArgument {
			t.Errorf("both flags: %v", err)
		}
	})
}

// result is the code of an error.
func result(err error) Code {
	if e, ok := err.(*Error); ok {
		return e.Code
	}
	c, _ := err.(Code)
	return c
}

// TestCompressedFailures: what breaks RFC 7692 ends the connection with the close code
// of its rule, and nothing of the message is told.
func TestCompressedFailures(t *testing.T) {
	zeros := func(k *packer, n int) []byte { return k.pack(make([]byte, n)) }
	for _, c := range []struct {
		name   string
		close  int
		code   Code
		stream func(k *packer) []byte
	}{
		{"RSV1 in a continuation (RFC 7692 section 6.1)", 1002, CodeProtocol, func(k *packer) []byte {
			return append(k.first(wire.OpText, false, nil), k.first(wire.OpContinuation, true, []byte{0})...)
		}},
		{"RSV1 in a Ping (RFC 7692 section 6.1)", 1002, CodeProtocol, func(k *packer) []byte {
			return k.first(wire.OpPing, true, nil)
		}},
		{"corrupt data", 1007, CodeProtocol, func(k *packer) []byte {
			return k.first(wire.OpText, true, []byte{6})
		}},
		{"corrupt data in fragments", 1007, CodeProtocol, func(k *packer) []byte {
			return append(k.first(wire.OpText, false, []byte{0xf2}), k.frame(wire.OpContinuation, true, []byte{0x48})...)
		}},
		{"text that is not UTF-8", 1007, CodeProtocol, func(k *packer) []byte {
			return k.first(wire.OpText, true, k.pack([]byte("abc\xff")))
		}},
		{"a bomb", 1009, CodeTooBig, func(k *packer) []byte {
			return k.first(wire.OpBinary, true, zeros(k, 4<<20))
		}},
		{"a bomb in fragments", 1009, CodeTooBig, func(k *packer) []byte {
			z := zeros(k, 4<<20)
			return append(k.first(wire.OpBinary, false, z[:100]), k.frame(wire.OpContinuation, true, z[100:])...)
		}},
		{"one byte over the limit", 1009, CodeTooBig, func(k *packer) []byte {
			return k.first(wire.OpBinary, true, zeros(k, 1<<20+1))
		}},
		{"a payload over the limit", 1009, CodeTooBig, func(k *packer) []byte {
			return k.first(wire.OpBinary, true, make([]byte, 2<<20))[:20]
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBothRolesCompressed(t, nil, func(h *host, ours *Conn, k *packer) {
				k.write(c.stream(k))
				h.async("the Close frame", func() { k.expectClose(c.close) })
				k.reset()
				h.until(EventClosed, 1)
				if e := ours.Err(); e == nil || e.Code != c.code || int(e.CloseCode) != c.close {
					t.Errorf("error %+v", e)
				}
				if len(h.take(EventMessage)) > 0 {
					t.Error("a message was told")
				}
				if _, held := h.heap.sizes(); held > 4<<20 {
					t.Errorf("%d bytes are held", held)
				}
			})
		})
	}
}

// TestAnswerBeforeCompressedFailure: messages in front of one that cannot be inflated can
// be answered, though all of it came in one segment.
func TestAnswerBeforeCompressedFailure(t *testing.T) {
	inBothRolesCompressed(t, nil, func(h *host, c *Conn, k *packer) {
		stream := bytes.Repeat(k.frame(wire.OpText, true, []byte("ask")), 3)
		k.write(append(stream, k.first(wire.OpText, true, []byte{6})...))
		for range 3 {
			h.until(EventMessage, 1)
			if _, err := c.Send(Text, 0, []byte("answer")); err != nil {
				k.t.Fatal(err)
			}
		}
		h.async("the answers", func() {
			for range 3 {
				if text, _ := k.message(); string(text) != "answer" {
					k.t.Errorf("got %q", text)
				}
			}
			k.expectClose(1007)
			k.socket.Close()
		})
		h.until(EventClosed, 1)
		if err := c.Err(); err == nil || err.Text != deflate.ErrBlockType.Error() {
			k.t.Errorf("error %+v", err)
		}
	})
}

// TestExactLimitCompressed: the limit is for the message, compressed or not.
func TestExactLimitCompressed(t *testing.T) {
	limit := func(o *ConnOptions) { o.MaxMessageSize = 5000 }
	inBothRolesCompressed(t, limit, func(h *host, c *Conn, k *packer) {
		for _, m := range [][]byte{text(5000), random(5000)} {
			k.write(k.first(wire.OpBinary, true, k.pack(m)))
			if e := h.until(EventMessage, 1); !bytes.Equal(e.data, m) {
				k.t.Errorf("got %d bytes", len(e.data))
			}
		}
	})
}

// TestManyBombs: however many messages of the limit came, few are held at a time.
func TestManyBombs(t *testing.T) {
	const count, size = 40, 200 << 10
	limit := func(o *ConnOptions) { o.MaxMessageSize = size }
	inBothRolesCompressed(t, limit, func(h *host, c *Conn, k *packer) {
		var stream []byte
		payload := k.pack(make([]byte, size)) // which needs nothing of what was before
		for range count {
			stream = append(stream, k.first(wire.OpBinary, true, payload)...)
		}
		go func() { _, _ = k.stream.Write(stream) }()
		most := 0
		h.while("messages", func() bool {
			h.take(EventMessage)
			_, held := h.heap.sizes()
			most = max(most, held)
			return c.Stats().MessagesReceived == count
		})
		if most > 2<<20 {
			k.t.Errorf("%d bytes were held", most)
		}
	})
}

// TestCompressionPaused: what is read ahead, and by the watchdog, is inflated in its turn.
func TestCompressionPaused(t *testing.T) {
	inBothRolesCompressed(t, nil, func(h *host, c *Conn, k *packer) {
		_ = c.Pause()
		var want [][]byte
		for range 20 {
			m := text(1000)
			want = append(want, m)
			k.write(k.first(wire.OpText, true, k.pack(m)))
			k.send(wire.OpPing, "still there")
			k.expectPolling(h, wire.OpPong, "still there")
		}
		if len(h.take(EventMessage)) > 0 {
			k.t.Error("messages came in a pause")
		}
		_ = c.Resume()
		for i, m := range want {
			if e := h.until(EventMessage, 1); !bytes.Equal(e.data, m) {
				k.t.Fatalf("message %d: %d bytes", i, len(e.data))
			}
		}
	})
}

// TestWritersCompress: whatever threads send, each message is understood in the order of
// the wire.
func TestWritersCompress(t *testing.T) {
	h := newHost(t)
	c, s := h.pair(nil, compressed)
	const writers, each = 4, 200
	var group sync.WaitGroup
	for _, conn := range []*Conn{c, s} {
		for w := range writers {
			group.Go(func() {
				for i := range each {
					m := append(fmt.Appendf(nil, "%d %d ", w, i), text(rand.IntN(2000))...)
					if _, err := conn.Send(Text, SendForce, append(m, fmt.Sprintf(" %d", len(m))...)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	h.while("messages", func() bool {
		return c.Stats().MessagesReceived == writers*each && s.Stats().MessagesReceived == writers*each
	})
	group.Wait()
	next := map[string]int{}
	for _, e := range h.take(EventMessage) {
		var w, i int
		if _, err := fmt.Sscanf(string(e.data), "%d %d", &w, &i); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint(e.Conn, w)
		at := bytes.LastIndexByte(e.data, ' ')
		if i != next[key] || string(e.data[at+1:]) != fmt.Sprint(at) {
			t.Fatalf("message %d of writer %s, expected %d", i, key, next[key])
		}
		next[key]++
	}
}

// TestWindowsAreFreed: what a connection remembers goes with it, and is no more than it
// has to be.
func TestWindowsAreFreed(t *testing.T) {
	h := newHost(t)
	c, s := h.pair(nil, compressed)
	for range 100 {
		if _, err := c.Send(Text, 0, text(1000)); err != nil {
			t.Fatal(err)
		}
		h.until(EventMessage, 2)
	}
	pages := func() int {
		_, inHeap := h.heap.sizes()
		return int(h.loop.Stats().BlockBytes) - inHeap
	}
	if blocks, _ := h.heap.sizes(); pages() != 32<<10 || blocks[deflate.DefaultHistory] != 1 {
		t.Errorf("%d bytes of pages, blocks by size %v, expected one window and one history", pages(), blocks)
	}
	c.Free()
	_ = s.Abort()
	h.until(EventClosed, 2)
	if blocks, _ := h.heap.sizes(); pages() != 0 || blocks[deflate.DefaultHistory] != 0 {
		t.Errorf("%d bytes of pages, blocks by size %v, expected no window", pages(), blocks)
	}
}
