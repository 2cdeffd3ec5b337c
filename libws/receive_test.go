package libws

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"aiows/libws/wire"
)

// TestFailsFast: the first impossible octet of a text ends the connection, while its
// frame is still incomplete.
func TestFailsFast(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		whole := p.frame(1, true, append([]byte("ok \xf0\x90"), filled(1000, 'x')...))
		cut := len(whole) - 1000
		p.write(whole[:cut])
		h.settled()
		if c.State() != StateOpen {
			p.t.Fatalf("an incomplete character ended it: %v", c.Err())
		}
		p.write(whole[cut : cut+1])
		h.while("the failure", func() bool { return c.State() != StateOpen })
		p.expectClose(1007)
		p.socket.Close()
		if e := h.until(EventClosed, 1); e.CloseSent != 1007 || e.Flags&FlagClean != 0 || e.Code != 1006 {
			p.t.Errorf("CLOSED %d, sent %d, flags %d", e.Code, e.CloseSent, e.Flags)
		}
		if err := c.Err(); err.Code != CodeProtocol || err.CloseCode != 1007 {
			p.t.Errorf("error %+v", err)
		}
	})
}

// TestAnswerBeforeFailure: messages in front of a broken rule can be answered, though
// all of it came in one segment.
func TestAnswerBeforeFailure(t *testing.T) {
	broken := []struct {
		name string
		code int
		make func(p *peer) []byte
	}{
		{"opcode", 1002, func(p *peer) []byte { return p.frame(3, true, nil) }},
		{"continuation", 1002, func(p *peer) []byte { return p.frame(0, true, []byte("x")) }},
		{"close code", 1002, func(p *peer) []byte { return p.frame(8, true, []byte("\x03\xee")) }},
		{"UTF-8", 1007, func(p *peer) []byte { return p.frame(1, true, []byte("\xff")) }},
		{"UTF-8 in a part", 1007, func(p *peer) []byte {
			whole := p.frame(1, true, append([]byte("\xff"), filled(100, 'x')...))
			return whole[:len(whole)-10]
		}},
	}
	for _, rule := range broken {
		for _, end := range []bool{false, true} {
			t.Run(fmt.Sprint(rule.name, ", end ", end), func(t *testing.T) {
				inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
					p.write(append(bytes.Repeat(p.frame(1, true, []byte("ask")), 3), rule.make(p)...))
					if end {
						_ = p.socket.CloseWrite()
					}
					for range 3 {
						h.until(EventMessage, 1)
						if _, err := c.Send(Text, 0, []byte("answer")); err != nil {
							p.t.Fatal(err)
						}
					}
					h.async("the answers", func() {
						for range 3 {
							p.expect(wire.OpText, "answer")
						}
						p.expectClose(rule.code)
						p.socket.Close()
					})
					h.until(EventClosed, 1)
					if err := c.Err(); err == nil || err.Code != CodeProtocol || int(err.CloseCode) != rule.code {
						p.t.Errorf("error %+v", err)
					}
				})
			})
		}
	}
}

// TestManyFragments: a message is not copied for each of its frames.
func TestManyFragments(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		const n = 5000
		op, moved, longest := wire.OpBinary, 0, 0
		for i := range n {
			p.write(p.frame(op, i == n-1, random(16)))
			op = wire.OpContinuation
			if i%50 == 0 {
				h.while("the frame", func() bool { return c.reader.fragments == uint32(i+1) })
				if size := len(c.reader.message); size != longest {
					moved, longest = moved+1, size
				}
			}
		}
		if e := h.until(EventMessage, 1); len(e.data) != 16*n {
			p.t.Errorf("%d bytes", len(e.data))
		}
		if moved > 25 {
			p.t.Errorf("its block was replaced %d times", moved)
		}
	})
}

// TestControlFramesInsideAMessage: they are told and answered at once, the message
// follows whole.
func TestControlFramesInsideAMessage(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		var want []byte
		for i := range 5 {
			part := random(1000 * i)
			want = append(want, part...)
			op := wire.OpContinuation
			if i == 0 {
				op = wire.OpBinary
			}
			p.write(p.frame(op, i == 4, part))
			if i < 4 {
				p.send(9, fmt.Sprint("ping ", i))
				p.expectPolling(h, wire.OpPong, fmt.Sprint("ping ", i))
				p.send(10, fmt.Sprint("pong ", i))
			}
		}
		if e := h.until(EventMessage, 1); !bytes.Equal(e.data, want) || e.Kind != Binary || e.Flags&FlagFin == 0 {
			p.t.Errorf("message of %d bytes, kind %d", len(e.data), e.Kind)
		}
		h.settled()
		for i, e := range h.take(EventPing) {
			if string(e.data) != fmt.Sprint("ping ", i) {
				p.t.Errorf("PING %d %q", i, e.data)
			}
		}
		if pongs := h.take(EventPong); len(pongs) != 4 {
			p.t.Errorf("%d PONG events", len(pongs))
		}
	})
}

// expectPolling is expect while the loop runs.
func (p *peer) expectPolling(h *host, op wire.Opcode, payload string) {
	p.t.Helper()
	h.async("a frame", func() { p.expect(op, payload) })
}

// TestAnnouncedLengthCostsNothing: a header alone makes no block of its size, and one
// above the limit fails before any payload.
func TestAnnouncedLengthCostsNothing(t *testing.T) {
	unlimited := func(o *ConnOptions) { o.MaxMessageSize = 0 }
	inBothRoles(t, unlimited, func(h *host, c *Conn, p *peer) {
		before := h.loop.Stats().BlockBytes
		header := wire.Header{Fin: true, Opcode: wire.OpBinary, Length: 1 << 40, Masked: p.masks}
		p.write(wire.AppendHeader(nil, header))
		h.while("the header", func() bool { return c.reader.left > 0 })
		h.settled()
		h.loop.Trim()
		if grown := int64(h.loop.Stats().BlockBytes - before); grown > chunkSize+firstBlock {
			p.t.Errorf("a header of 1 TiB took %d bytes", grown)
		}
		if n := len(c.reader.message); n > firstBlock {
			p.t.Errorf("its block is %d bytes long", n)
		}
		const sent = 300 << 10
		h.async("a part", func() { p.write(make([]byte, sent)) })
		h.while("the part", func() bool { return c.reader.have == sent })
		if n := len(c.reader.message); n > 4*sent {
			p.t.Errorf("%d bytes that came take %d", sent, n)
		}
	})
	t.Run("limit", func(t *testing.T) {
		for _, sizes := range [][]int{{1001}, {1000, 1}, {500, 0, 501}} {
			h := newHost(t)
			defer h.loop.Close()
			c, p := h.client(nil, func(o *ConnOptions) { o.MaxMessageSize = 1000 }, nil)
			p.write(p.frame(2, true, make([]byte, 1000))) // as long as may be
			if e := h.until(EventMessage, 1); len(e.data) != 1000 {
				t.Fatalf("got %d bytes", len(e.data))
			}
			for i, n := range sizes {
				op := wire.OpBinary
				if i > 0 {
					op = wire.OpContinuation
				}
				last := i == len(sizes)-1
				b := p.frame(op, last, make([]byte, n))
				if last {
					b = b[:len(b)-n] // the header is enough
				}
				p.write(b)
			}
			h.async("the Close", func() { p.expectClose(1009) })
			p.socket.Close()
			h.until(EventClosed, 1)
			if err := c.Err(); err.Code != CodeTooBig || err.CloseCode != 1009 {
				t.Errorf("%v: error %+v", sizes, err)
			}
		}
	})
}

func TestMaxFragments(t *testing.T) {
	h := newHost(t)
	c, p := h.client(nil, func(o *ConnOptions) { o.MaxFragments = 3 }, nil)
	for range 2 { // each message counts anew
		p.write(p.frame(2, false, nil))
		p.write(p.frame(0, false, []byte("x")))
		p.write(p.frame(0, true, nil))
		if e := h.until(EventMessage, 1); string(e.data) != "x" {
			t.Fatalf("message %q", e.data)
		}
	}
	p.write(p.frame(2, false, nil))
	for range 3 {
		p.write(p.frame(0, false, nil))
	}
	h.async("the Close", func() { p.expectClose(1009) })
	p.socket.Close()
	h.until(EventClosed, 1)
	if err := c.Err(); err.Code != CodeTooBig {
		t.Errorf("error %+v", err)
	}
}

// TestRandomStreams sends messages of every shape, cut anywhere, and takes batches of
// every size: what comes out is what went in.
func TestRandomStreams(t *testing.T) {
	inBothRoles(t, func(o *ConnOptions) { o.MaxMessageSize = 0 }, func(h *host, c *Conn, p *peer) {
		var stream []byte
		var want [][]byte
		pings := 0
		for range 120 {
			n := []int{rand.IntN(10), rand.IntN(300), rand.IntN(20000), 60000 + rand.IntN(80000)}[rand.IntN(4)]
			m := random(n)
			want = append(want, m)
			op := wire.OpBinary
			for left := m; ; op = wire.OpContinuation {
				k := len(left)
				if rand.IntN(3) == 0 {
					k = rand.IntN(len(left) + 1)
				}
				last := k == len(left) && rand.IntN(4) > 0
				stream = append(stream, p.frame(op, last, left[:k])...)
				left = left[k:]
				if last {
					break
				}
				if rand.IntN(2) == 0 {
					stream = append(stream, p.frame(wire.OpPing, true, nil)...)
					pings++
				}
			}
		}
		go func() {
			for len(stream) > 0 {
				k := min(len(stream), 1+rand.IntN(50000))
				if _, err := p.stream.Write(stream[:k]); err != nil {
					return
				}
				stream = stream[k:]
			}
		}()
		got := 0
		h.while("messages", func() bool {
			h.cap = 1 + rand.IntN(20)
			for _, e := range h.take(EventMessage) {
				if got == len(want) || !bytes.Equal(e.data, want[got]) {
					p.t.Fatalf("message %d is wrong: %d bytes", got, len(e.data))
				}
				got++
			}
			return got == len(want) && len(h.seen) == pings
		})
		if st := c.Stats(); st.MessagesReceived != uint64(len(want)) {
			p.t.Errorf("stats count %d messages", st.MessagesReceived)
		}
		h.drain()
		if c.reader.rest != nil || c.reader.block != nil || c.reader.chunk != nil || c.reader.message != nil {
			p.t.Error("an idle connection holds memory")
		}
		h.poll(0)
		h.loop.Trim()
		if st := h.loop.Stats(); st.Blocks > 1 { // the current chunk
			p.t.Errorf("%d blocks of %d bytes held when idle", st.Blocks, st.BlockBytes)
		}
	})
}

// TestOneEventAtATime: a batch of one loses nothing and keeps the order, from the
// place where it was read and from a block.
func TestOneEventAtATime(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		h.cap = 1
		var stream []byte
		const count = 300
		for i := range count {
			stream = append(stream, p.frame(1, true, fmt.Appendf(nil, "%0200d", i))...)
		}
		p.write(stream)
		inPlace, moved := false, false
		h.while("messages", func() bool {
			inPlace = inPlace || c.reader.chunk != nil
			moved = moved || c.reader.block != nil
			return len(h.seen) == count
		})
		for i, e := range h.seen {
			if string(e.data) != fmt.Sprintf("%0200d", i) {
				p.t.Fatalf("message %d is %q", i, e.data)
			}
		}
		if !inPlace && c.tls == nil || !moved {
			p.t.Errorf("the rest stood in its chunk: %v, in a block: %v", inPlace, moved)
		}
	})
}

// TestFloodStarvesNobody: with several connections that flood, each small batch full,
// the quiet ones have their turn, in whatever slot they are.
func TestFloodStarvesNobody(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		for _, capacity := range []int{1, 16, 128} {
			for _, quietOne := range []int{0, 3} {
				t.Run(fmt.Sprint("cap", capacity, "slot", quietOne), func(t *testing.T) {
					h := newHost(t)
					done := make(chan struct{})
					defer close(done)
					var quietPeer *peer
					var floods []*peer
					for i := range 4 {
						c, p := h.client(secure, nil, nil)
						c.SetHandle(uint64(10 + i))
						if i == quietOne {
							quietPeer = p
						} else {
							floods = append(floods, p)
						}
					}
					for _, p := range floods {
						block := bytes.Repeat(p.frame(2, true, []byte("flood")), 5000)
						go func() {
							for {
								if _, err := p.stream.Write(block); err != nil {
									return
								}
								select {
								case <-done:
									return
								default:
								}
							}
						}()
					}
					defer func() {
						for _, p := range floods {
							p.socket.Close()
						}
					}()
					h.cap = capacity
					h.while("the flood", func() bool { n := len(h.seen); h.seen = h.seen[:0]; return n > 0 })
					for round := range 20 {
						quietPeer.send(1, fmt.Sprint(round))
						polls, heard := 0, false
						for ; !heard; polls++ {
							if polls > 2000 {
								t.Fatalf("round %d: not heard within %d polls", round, polls)
							}
							h.poll(hang)
							for _, e := range h.seen {
								heard = heard || e.Conn == uint64(10+quietOne) && string(e.data) == fmt.Sprint(round)
							}
							h.seen = h.seen[:0]
						}
					}
				})
			}
		}
	})
}

// TestBudget: one connection fills at most its part of a batch while another is there,
// all of it when it is alone.
func TestBudget(t *testing.T) {
	for _, others := range []int{0, 1} {
		h := newHost(t)
		defer h.loop.Close()
		c, p := h.client(nil, nil, nil)
		c.SetHandle(5)
		for range others {
			h.client(nil, nil, nil)
		}
		p.write(bytes.Repeat(p.frame(1, true, []byte("x")), 1000))
		if !eventually(func() bool { return h.readable(0) }) {
			t.Fatal("nothing came")
		}
		h.seen = nil
		if n, want := h.poll(hang), map[int]int{0: 128, 1: 64}[others]; n != want {
			t.Errorf("with %d others a batch of %d events, expected %d", others, n, want)
		}
	}
}

// TestReadsAreBounded: what one Poll reads from one connection is bounded while
// others share the loop, also straight into a large block.
func TestReadsAreBounded(t *testing.T) {
	h := newHost(t)
	c, p := h.client(nil, func(o *ConnOptions) { o.MaxMessageSize = 0 }, nil)
	h.client(nil, nil, nil)
	go func() { _, _ = p.stream.Write(p.frame(2, true, make([]byte, 24<<20))) }()
	most, last := uint64(0), uint64(0)
	h.while("the message", func() bool {
		n := c.bytesReceived.Load()
		most, last = max(most, n-last), n
		return len(h.take(EventMessage)) > 0
	})
	if most > 2*chunkSize {
		t.Errorf("one Poll read %d bytes", most)
	}
}

// TestTake: a payload is the taker's after the next polls, moved from a block of its
// own, copied otherwise, and given once.
func TestTake(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		small, large := random(100), random(300<<10)
		var events [8]Event
		go func() {
			_, _ = p.stream.Write(append(append(p.frame(2, true, small), p.frame(2, true, large)...), p.frame(2, true, nil)...))
		}()
		var taken [][]byte
		for len(taken) < 3 {
			if !h.readable(hang) {
				p.t.Fatal("nothing came")
			}
			n, _, err := h.loop.Poll(events[:], false)
			if err != nil {
				p.t.Fatal(err)
			}
			for i := range events[:n] {
				e := &events[i]
				length, address := e.Len, e.Data
				own := e.Flags&FlagBlock != 0
				blocks := h.loop.Stats().Blocks
				b, err := h.loop.Take(e)
				if err != nil {
					p.t.Fatal(err)
				}
				if uint64(len(b)) < length {
					p.t.Fatalf("took %d bytes of %d", len(b), length)
				}
				if length > 0 {
					if moved := addressOf(b) == address; moved != own {
						p.t.Errorf("payload of %d bytes: moved %v, block of its own %v", length, moved, own)
					}
					if now := h.loop.Stats().Blocks; own && now != blocks-1 || !own && now != blocks {
						p.t.Errorf("%d blocks counted before, %d after", blocks, now)
					}
					if _, err := h.loop.Take(e); err != CodeState {
						p.t.Errorf("second Take: %v", err)
					}
				} else if b != nil {
					p.t.Error("an empty payload is not nil")
				}
				if b != nil {
					taken = append(taken, b[:length:len(b)])
				} else {
					taken = append(taken, nil)
				}
			}
		}
		p.send(1, "later")
		h.until(EventMessage, 1)
		for i, want := range [][]byte{small, large, nil} {
			if !bytes.Equal(taken[i], want) {
				p.t.Errorf("payload %d changed", i)
			}
			if taken[i] != nil {
				h.heap.Free(taken[i][:cap(taken[i])])
			}
		}
	})
}

func TestTakeAfterTheEnd(t *testing.T) {
	h := newHost(t)
	_, p := h.client(nil, nil, nil)
	p.send(1, "x")
	e := h.until(EventMessage, 1).Event
	h.loop.Close()
	if _, err := h.loop.Take(&e); err != CodeHandle {
		t.Errorf("Take: %v", err)
	}
}

// TestAloneOrNot: the shortcut of a single connection gives what the long way gives.
func TestAloneOrNot(t *testing.T) {
	results := map[bool]string{}
	for _, alone := range []bool{true, false} {
		h := newHost(t)
		defer h.loop.Close()
		c, p := h.client(nil, nil, nil)
		if !alone {
			other, _ := h.client(nil, nil, nil)
			other.SetHandle(9)
		}
		if got := h.loop.lone == c; got != alone {
			t.Fatalf("alone: %v, expected %v", got, alone)
		}
		p.send(1, "one")
		p.send(9, "ping")
		h.until(EventPing, 1)
		p.expect(wire.OpPong, "ping")
		_ = c.Pause()
		p.send(1, "two")
		h.settled()
		_ = c.Resume()
		h.while("two", func() bool { return len(h.seen) >= 2 })
		p.write(p.frame(2, true, make([]byte, 500<<10)))
		h.while("three", func() bool { return len(h.seen) >= 3 })
		p.send(8, closePayload(1000, "bye"))
		h.until(EventClosing, 1)
		p.expectClose(1000)
		p.socket.Close()
		e := h.until(EventClosed, 1)
		for _, e := range h.seen {
			results[alone] += fmt.Sprintf("%d:%d:%d ", e.Type, e.Kind, len(e.data))
		}
		results[alone] += fmt.Sprintf("%d %d %d %q", e.Code, e.CloseSent, e.Flags, e.data)
	}
	if results[true] != results[false] {
		t.Errorf("alone:     %s\nnot alone: %s", results[true], results[false])
	}
}

// TestLoneOneWithRest: the shortcut must not read past what waits in user space, in
// the moment between the two steps of Resume.
func TestLoneOneWithRest(t *testing.T) {
	h := newHost(t)
	c, p := h.client(nil, nil, nil)
	h.cap = 1
	p.write(append(p.frame(1, true, []byte("1")), append(p.frame(1, true, []byte("2")), p.frame(1, true, []byte("3"))...)...))
	h.until(EventMessage, 1)
	_ = c.Pause()
	h.settled()
	if len(c.reader.rest) == 0 {
		t.Fatal("nothing waits in user space")
	}
	p.send(1, "4")
	c.paused.Store(false)
	h.poll(0)
	h.poll(0)
	_ = c.Resume()
	h.while("messages", func() bool { return len(h.seen) == 3 })
	for i, e := range h.seen {
		if string(e.data) != fmt.Sprint(i+2) {
			t.Errorf("message %q, expected %d", e.data, i+2)
		}
	}
}
