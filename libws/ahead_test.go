package libws

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"aiows/libws/wire"
)

// frames is a random run of valid frames, and what a host has to be told of them.
func (p *peer) frames(r *rand.Rand, end bool) (b []byte, want []string) {
	var open wire.Opcode
	var message []byte
	for range 1 + r.IntN(40) {
		payload := make([]byte, []int{0, 1, 100, 125, 126, 500, 70000}[r.IntN(7)])
		for i := range payload {
			payload[i] = 'a' + byte(r.IntN(26))
		}
		switch r.IntN(4) {
		case 0:
			op := wire.OpPing + wire.Opcode(r.IntN(2))
			payload = payload[:min(len(payload), 125)]
			b = append(b, p.frame(op, true, payload)...)
			want = append(want, fmt.Sprintf("%s %s", op, payload))
		default:
			op, fin := wire.OpContinuation, r.IntN(2) == 0
			if open == 0 {
				open = wire.OpText + wire.Opcode(r.IntN(2))
				op = open
			}
			b = append(b, p.frame(op, fin, payload)...)
			message = append(message, payload...)
			if fin {
				want = append(want, fmt.Sprintf("%s %s", open, message))
				open, message = 0, nil
			}
		}
	}
	if open != 0 {
		b = append(b, p.frame(wire.OpContinuation, true, nil)...)
		want = append(want, fmt.Sprintf("%s %s", open, message))
	}
	if end {
		b = append(b, p.frame(wire.OpClose, true, []byte(closePayload(3001, "bye")))...)
		b = append(b, "what follows is nobody's business"...)
		want = append(want, "close bye")
	}
	return b, want
}

// names are the events of that kind as frames writes them.
func (h *host) names() (names []string) {
	for _, e := range h.seen {
		switch e.Type {
		case EventMessage:
			names = append(names, fmt.Sprintf("%s %s", wire.Opcode(e.Kind), e.data))
		case EventPing:
			names = append(names, fmt.Sprintf("%s %s", wire.OpPing, e.data))
		case EventPong:
			names = append(names, fmt.Sprintf("%s %s", wire.OpPong, e.data))
		case EventClosing:
			names = append(names, "close "+string(e.data))
		}
	}
	return names
}

// TestReadAheadTellsTheSame: a stream cut anywhere, partly parsed by Poll and partly
// read ahead, is told as it would have been.
func TestReadAheadTellsTheSame(t *testing.T) {
	inBothRoles(t, readingAhead(64<<20), func(h *host, c *Conn, p *peer) {
		seed := rand.Uint64()
		p.t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		const rounds = 12
		for round := range rounds {
			b, want := p.frames(r, round == rounds-1)
			h.seen = nil
			for len(b) > 0 {
				n := min(len(b), []int{1, 2, 7, 140, 5000, 100000}[r.IntN(6)])
				h.cap = 1 + r.IntN(5)
				h.loop.mu.Lock()
				c.enqueue(b[:n], clock())
				if !c.held() || !c.park() {
					h.loop.queue(c)
				}
				h.loop.settle()
				h.loop.mu.Unlock()
				b = b[n:]
				switch r.IntN(4) {
				case 0:
					_ = c.Pause()
				case 1:
					_ = c.Resume()
				}
				if r.IntN(2) == 0 {
					h.poll(0)
				}
			}
			_ = c.Resume()
			h.while("the end of the round", func() bool { return len(h.names()) >= len(want) })
			got := h.names()
			for i := range want {
				if got[i] != want[i] {
					p.t.Fatalf("round %d: event %d is %.40q, expected %.40q", round, i, got[i], want[i])
				}
			}
			if len(got) != len(want) {
				p.t.Fatalf("round %d: %d events, expected %d", round, len(got), len(want))
			}
			h.loop.mu.Lock()
			if round < rounds-1 && c.reader.ahead != nil {
				p.t.Errorf("round %d: a queue is left", round)
			}
			h.loop.mu.Unlock()
		}
		p.socket.Close()
		h.until(EventClosed, 1)
	})
}

// TestReadAheadWithoutMemory: the connection ends, nothing else does.
func TestReadAheadWithoutMemory(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		_ = c.Pause()
		p.send(1, "x")
		h.settled()
		h.heap.mu.Lock()
		h.heap.fail = func(_, n int) bool { return n < 1000 }
		h.heap.mu.Unlock()
		p.send(1, "y")
		h.while("the failure", func() bool { return c.State() != StateOpen })
		p.socket.Close()
		h.until(EventClosed, 1)
		h.heap.mu.Lock()
		h.heap.fail = nil
		h.heap.mu.Unlock()
		if err := c.Err(); err == nil || err.Code != CodeMemory {
			p.t.Errorf("error %+v", err)
		}
	})
}

// TestEndWhilePaused: messages that wait precede the end, however long the pause.
func TestEndWhilePaused(t *testing.T) {
	inBothRoles(t, func(o *ConnOptions) { o.CloseTimeout = 1 }, func(h *host, c *Conn, p *peer) {
		_ = c.Pause()
		p.send(2, "first")
		p.write(p.frame(2, true, make([]byte, 100_000)))
		p.send(8, closePayload(1001, ""))
		h.async("Close", func() { p.expectClose(1001) })
		h.settled()
		if n := len(h.seen); n > 0 {
			p.t.Errorf("%d events while paused", n)
		}
		_ = c.Resume()
		if m := h.until(EventMessage, 1); string(m.data) != "first" {
			p.t.Errorf("message %q", m.data)
		}
		if m := h.until(EventMessage, 1); !bytes.Equal(m.data, make([]byte, 100_000)) {
			p.t.Errorf("message of %d bytes", len(m.data))
		}
		h.until(EventClosing, 1)
		p.socket.Close()
		h.closed(1001, 1001, FlagClean|FlagPeer, "")
	})
}
