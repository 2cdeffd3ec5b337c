package libws

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"aiows/libws/wire"
)

// hasty makes the watchdog of a test's loop step in soon.
const hasty = 10 * time.Millisecond

// whileStalled runs f as inBothRoles does, with a hasty watchdog.
func whileStalled(t *testing.T, change func(*ConnOptions), f func(h *host, c *Conn, p *peer)) {
	inBothRolesOf(t, func(t *testing.T) *host {
		h := newHost(t)
		h.loop.patience = hasty
		return h
	}, change, f)
}

// stalled runs f, which talks to the peer, while nobody polls, and fails the test when
// the watchdog did not step in.
func (h *host) stalled(what string, f func()) {
	h.t.Helper()
	h.loop.mu.Lock()
	stepping := h.loop.dog != nil && h.loop.dog.stepping // already, since what came before
	h.loop.mu.Unlock()
	before := h.loop.Stats()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(hang):
		h.t.Fatalf("no end of %s while nobody polls", what)
	}
	after := h.loop.Stats()
	if after.Polls != before.Polls {
		h.t.Fatal("somebody polled")
	}
	if after.Stalls == before.Stalls && !stepping {
		h.t.Error("the watchdog did not step in")
	}
}

// TestStalledHostAnswersPings: and counts what comes in between; nothing is lost.
func TestStalledHostAnswersPings(t *testing.T) {
	whileStalled(t, nil, func(h *host, c *Conn, p *peer) {
		h.stalled("pongs", func() {
			for i := range 3 {
				p.send(1, fmt.Sprintf("message %d", i))
				p.send(9, fmt.Sprintf("ping %d", i))
				p.expect(wire.OpPong, fmt.Sprintf("ping %d", i))
			}
		})
		for i := range 3 {
			if m := h.until(EventMessage, 1); string(m.data) != fmt.Sprintf("message %d", i) {
				p.t.Errorf("message %q, expected %d", m.data, i)
			}
			if m := h.until(EventPing, 1); string(m.data) != fmt.Sprintf("ping %d", i) {
				p.t.Errorf("ping %q, expected %d", m.data, i)
			}
		}
		h.settled()
		p.send(9, "polled")
		h.async("a pong", func() { p.expect(wire.OpPong, "polled") }) // no second answer before
	})
}

// TestPausedConnectionAnswersPings: the host polls, and holds messages back.
func TestPausedConnectionAnswersPings(t *testing.T) {
	whileStalled(t, nil, func(h *host, c *Conn, p *peer) {
		_ = c.Pause()
		for i := range 3 {
			p.write(append(p.frame(2, true, filled(100000, byte(i))), p.frame(9, true, []byte{byte(i)})...))
			h.async("a pong", func() { p.expect(wire.OpPong, string([]byte{byte(i)})) })
		}
		if n := len(h.take(EventMessage)) + len(h.take(EventPing)); n > 0 {
			p.t.Errorf("%d events while paused", n)
		}
		_ = c.Resume()
		for i := range 3 {
			if m := h.until(EventMessage, 1); !bytes.Equal(m.data, filled(100000, byte(i))) {
				p.t.Errorf("message of %d bytes is not message %d", len(m.data), i)
			}
			h.until(EventPing, 1)
		}
	})
}

// TestPauseWithPingsInHand: a ping that was read with the last batch is answered too.
func TestPauseWithPingsInHand(t *testing.T) {
	whileStalled(t, nil, func(h *host, c *Conn, p *peer) {
		h.cap = 1
		p.write(append(append(p.frame(1, true, []byte("told")), p.frame(1, true, []byte("held"))...), p.frame(9, true, []byte("x"))...))
		h.until(EventMessage, 1)
		_ = c.Pause()
		h.async("a pong", func() { p.expect(wire.OpPong, "x") })
		_ = c.Resume()
		h.until(EventMessage, 1)
		h.until(EventPing, 1)
	})
}

// TestStalledHostFlushes: what was sent before the stall goes out during it.
func TestStalledHostFlushes(t *testing.T) {
	whileStalled(t, nil, func(h *host, c *Conn, p *peer) {
		h.clog(c)
		if _, err := c.Send(Text, SendForce, []byte("end")); err != nil {
			p.t.Fatal(err)
		}
		h.stalled("the backlog", func() {
			if m := p.skipTo(wire.OpText); m != "end" {
				p.t.Errorf("message %q", m)
			}
		})
		h.until(EventWritable, 1)
	})
}

// TestStalledHostPings: keepalive goes on, and a dead peer is noticed.
func TestStalledHostPings(t *testing.T) {
	whileStalled(t, pinging(20*time.Millisecond, hang), func(h *host, c *Conn, p *peer) {
		h.stalled("pings", func() {
			for range 2 {
				p.send(10, p.skipTo(wire.OpPing))
			}
			h.loop.mu.Lock()
			c.opts.PingTimeout = 20 * time.Millisecond
			if c.alive.deadline != 0 {
				c.alive.deadline = clock() + int64(c.opts.PingTimeout)
				c.retime()
			}
			h.loop.nudge()
			h.loop.mu.Unlock()
			for { // silent from now on
				head, b, err := p.next()
				if err != nil {
					p.t.Errorf("%v, expected Close", err)
					return
				}
				if head.Opcode == wire.OpClose {
					if string(b) != closePayload(1011, "keepalive ping timeout") {
						p.t.Errorf("Close %q", b)
					}
					return
				}
			}
		})
		h.closed(1006, 1011, 0, "")
		if err := c.Err(); err == nil || err.Code != CodeKeepalive {
			p.t.Errorf("error %+v", err)
		}
		if c.Stats().Latency <= 0 {
			p.t.Error("the answers were not seen")
		}
	})
}

// TestStalledHostCloses: the peer's Close is answered at once and told in its turn.
func TestStalledHostCloses(t *testing.T) {
	whileStalled(t, nil, func(h *host, c *Conn, p *peer) {
		h.stalled("the close handshake", func() {
			p.send(1, "last")
			p.send(8, closePayload(3000, "done"))
			p.expectClose(3000)
			if p.masks {
				p.expectEnd()
			}
			p.socket.Close()
		})
		if m := h.until(EventMessage, 1); string(m.data) != "last" {
			p.t.Errorf("message %q", m.data)
		}
		if e := h.until(EventClosing, 1); e.Code != 3000 || string(e.data) != "done" {
			p.t.Errorf("CLOSING %d %q", e.Code, e.data)
		}
		h.closed(3000, 3000, FlagClean|FlagPeer, "done")
		if err := c.Err(); err != nil {
			p.t.Error(err)
		}
	})
}

// TestStalledHostBreaks: what is wrong on the wire is told after what precedes it.
func TestStalledHostBreaks(t *testing.T) {
	whileStalled(t, nil, func(h *host, c *Conn, p *peer) {
		h.stalled("the answer", func() {
			p.send(9, "x")
			p.send(1, "good")
			p.write([]byte{0xff, 0xff})
			p.expect(wire.OpPong, "x")
		})
		p.socket.Close()
		time.Sleep(3 * hasty) // the end of the stream is seen before the fault is
		h.until(EventMessage, 1)
		h.until(EventClosed, 1)
		if err := c.Err(); err == nil || err.Code != CodeProtocol {
			p.t.Errorf("error %+v", err)
		}
	})
}

// TestStalledHostIsBounded: a flood stops at the limit, in memory too, and nothing of
// it is lost.
func TestStalledHostIsBounded(t *testing.T) {
	const limit, count, size = 300 << 10, 400, 40_000
	whileStalled(t, readingAhead(limit), func(h *host, c *Conn, p *peer) {
		h.loop.Trim()
		before := h.loop.Stats().BlockBytes
		go func() {
			for i := range count {
				b := filled(size, byte(i))
				if _, err := p.stream.Write(append(p.frame(9, true, b[:1]), p.frame(2, true, b)...)); err != nil {
					return
				}
			}
		}()
		h.stalled("the first pong", func() {
			if _, _, err := p.next(); err != nil {
				p.t.Error(err)
			}
			if !eventually(c.stopped) {
				p.t.Error("reading went on")
			}
		})
		// Beside the queue: a buffer each for plain text and ciphertext, and what is left in the latter.
		if n := h.loop.Stats().BlockBytes - before; n > limit+3*chunkSize {
			p.t.Errorf("%d bytes held, expected up to %d", n, limit)
		}
		if n := c.Stats().ReadAhead; n > limit || n < limit/2 {
			p.t.Errorf("%d bytes read ahead, expected up to %d", n, limit)
		}
		go func() { // or the pongs fill the sockets
			for {
				if _, _, err := p.next(); err != nil {
					return
				}
			}
		}()
		for i := range count {
			if i%50 == 20 {
				time.Sleep(2 * hasty)
			}
			if m := h.until(EventMessage, 1); !bytes.Equal(m.data, filled(size, byte(i))) {
				p.t.Fatalf("message of %d bytes is not number %d", len(m.data), i)
			}
		}
		p.socket.Close()
	})
}

// TestStallKeepsTheBatch: what the host was handed stays as it is.
func TestStallKeepsTheBatch(t *testing.T) {
	whileStalled(t, nil, func(h *host, c *Conn, p *peer) {
		var want []byte
		for i := range 50 {
			want = append(want, p.frame(2, true, filled(5000, byte(i)))...)
		}
		p.write(want)
		var n int
		for n == 0 {
			h.readable(time.Second)
			var err error
			if n, _, err = h.loop.Poll(h.buf[:20], false); err != nil {
				p.t.Fatal(err)
			}
		}
		h.stalled("pongs", func() {
			for i := range 3 {
				p.write(append(p.frame(2, true, filled(100_000, 0xEE)), p.frame(9, true, []byte{byte(i)})...))
				p.expect(wire.OpPong, string([]byte{byte(i)}))
			}
		})
		for i, e := range h.buf[:n] {
			if !bytes.Equal(bytesAt(e.Data, e.Len), filled(5000, byte(i))) {
				p.t.Fatalf("message %d of the batch in hand changed", i)
			}
		}
		for i := n; i < 50; i++ {
			if m := h.until(EventMessage, 1); !bytes.Equal(m.data, filled(5000, byte(i))) {
				p.t.Fatalf("message of %d bytes is not number %d", len(m.data), i)
			}
		}
		h.until(EventMessage, 1)
	})
}

// TestWatchdogSleeps: it does nothing while there is nothing to poll for, and without it
// nothing happens at all.
func TestWatchdogSleeps(t *testing.T) {
	whileStalled(t, nil, func(h *host, c *Conn, p *peer) {
		p.send(1, "x")
		h.until(EventMessage, 1)
		h.settled()
		before := h.loop.Stats().Stalls
		time.Sleep(10 * hasty)
		if n := h.loop.Stats().Stalls - before; n > 0 {
			p.t.Errorf("%d stalls of an idle loop", n)
		}
		h.stalled("a pong", func() { // it wakes up
			p.send(9, "x")
			p.expect(wire.OpPong, "x")
		})
	})
	t.Run("off", func(t *testing.T) {
		h := newHost(t)
		h.loop.opts.NoWatchdog, h.loop.patience = true, hasty
		_, p := h.client(nil, nil, nil)
		p.send(9, "x")
		time.Sleep(10 * hasty)
		if st := h.loop.Stats(); st.Stalls > 0 {
			t.Errorf("%d stalls", st.Stalls)
		}
		h.until(EventPing, 1)
	})
}
