package libws

import (
	"fmt"
	"testing"
	"time"

	"aiows/libws/wire"
)

// pausedWakeups is more than a pause may cost: leaving epoll takes one or two.
const pausedWakeups = 10

// withAndWithout runs f with the usual reading ahead and with none.
func withAndWithout(t *testing.T, f func(t *testing.T, ahead uint64)) {
	for _, ahead := range []uint64{DefaultConnOptions().ReadAhead, 0} {
		t.Run(fmt.Sprintf("ahead %d", ahead), func(t *testing.T) { f(t, ahead) })
	}
}

// TestPausedConnectionSleeps: whatever a peer does to a paused connection, the
// descriptor does not keep turning readable. What reads ahead is told of an end that
// nothing precedes.
func TestPausedConnectionSleeps(t *testing.T) {
	withAndWithout(t, pausedConnectionSleeps)
}

func pausedConnectionSleeps(t *testing.T, ahead uint64) {
	for _, test := range []struct {
		name string
		ends bool
		do   func(h *host, c *Conn, p *peer)
	}{
		{"flood", false, func(h *host, c *Conn, p *peer) {
			go func() {
				for {
					if _, err := p.stream.Write(p.frame(2, true, make([]byte, 10000))); err != nil {
						return
					}
				}
			}()
		}},
		{"reset", true, func(h *host, c *Conn, p *peer) { p.reset() }},
		{"end", true, func(h *host, c *Conn, p *peer) { p.socket.Close() }},
		{"reset with a backlog", true, func(h *host, c *Conn, p *peer) { h.clog(c); p.reset() }},
		{"end with a backlog", true, func(h *host, c *Conn, p *peer) { h.clog(c); _ = p.socket.CloseWrite() }},
		{"data with a backlog", false, func(h *host, c *Conn, p *peer) { h.clog(c); p.send(1, "x") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBothRoles(t, readingAhead(ahead), func(h *host, c *Conn, p *peer) {
				if err := c.Pause(); err != nil {
					p.t.Fatal(err)
				}
				test.do(h, c, p)
				if ahead > 0 && test.ends {
					h.until(EventClosed, 1)
				} else if ahead > 0 && test.name == "flood" {
					h.while("the reading ahead to be full", func() bool {
						c.out.mu.Lock()
						defer c.out.mu.Unlock()
						return !c.out.reading
					})
				} else if ahead > 0 {
					h.settled()
				}
				if n := h.wakeups(60 * time.Millisecond); n > pausedWakeups {
					p.t.Errorf("%d wake-ups while paused", n)
				}
				if n := len(h.take(EventMessage)) + len(h.take(EventClosed)); n > 0 {
					p.t.Errorf("%d events while paused", n)
				}
				if err := c.Resume(); err != nil {
					p.t.Fatal(err)
				}
				if !test.ends {
					h.until(EventMessage, 1)
				} else if ahead == 0 {
					h.until(EventClosed, 1)
				}
				p.socket.Close()
			})
		})
	}
}

// TestPauseAndResume keeps the order, with and without a rest in user space.
func TestPauseAndResume(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		const count = 400
		go func() {
			for i := range count {
				if _, err := p.stream.Write(p.frame(1, true, fmt.Appendf(nil, "%d", i))); err != nil {
					return
				}
			}
		}()
		seen := 0
		for round := 0; seen < count; round++ {
			h.cap = 1 + round%7
			_ = c.Resume()
			h.poll(10 * time.Millisecond)
			_ = c.Pause()
			_ = c.Pause()
			before := len(h.seen)
			if round%3 == 0 {
				h.poll(0)
				h.poll(0)
				if len(h.seen) != before {
					p.t.Fatal("a message while paused")
				}
			}
			for _, e := range h.take(EventMessage) {
				if string(e.data) != fmt.Sprint(seen) {
					p.t.Fatalf("message %q, expected %d", e.data, seen)
				}
				seen++
			}
		}
	})
}

// TestPausedPeerIsHeldBack: what exceeds the read-ahead stays in the sockets.
func TestPausedPeerIsHeldBack(t *testing.T) {
	withAndWithout(t, pausedPeerIsHeldBack)
}

func pausedPeerIsHeldBack(t *testing.T, ahead uint64) {
	inBothRoles(t, readingAhead(ahead), func(h *host, c *Conn, p *peer) {
		_ = c.Pause()
		before := h.loop.Stats()
		go func() {
			for {
				if _, err := p.stream.Write(p.frame(2, true, make([]byte, 100000))); err != nil {
					return
				}
			}
		}()
		if ahead > 0 {
			h.while("the queue being full", c.stopped)
		}
		h.settled()
		after := h.loop.Stats()
		most := ahead
		if ahead > 0 {
			most += chunkSize // ciphertext that is not decrypted yet
		}
		if n := after.BytesReceived - before.BytesReceived; n > most || ahead > 0 && n < ahead/2 {
			p.t.Errorf("%d bytes read while paused, expected up to %d", n, ahead)
		}
		if n := c.Stats().ReadAhead; n > ahead {
			p.t.Errorf("%d bytes queued, expected up to %d", n, ahead)
		}
		p.socket.Close()
	})
}

// TestSendWhilePaused: pausing holds back what arrives, not what is sent.
func TestSendWhilePaused(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		_ = c.Pause()
		p.send(1, "held")
		h.settled()
		h.clog(c)
		if _, err := c.Send(Text, 0, nil); err != CodeAgain {
			p.t.Fatal(err)
		}
		if _, err := c.Send(Text, SendForce, []byte("end")); err != nil {
			p.t.Fatal(err)
		}
		h.async("the backlog", func() {
			if m := p.skipTo(wire.OpText); m != "end" {
				p.t.Errorf("message %q", m)
			}
		})
		h.until(EventWritable, 1)
		if n := len(h.take(EventMessage)); n > 0 {
			p.t.Error("a message while paused")
		}
		_ = c.Resume()
		h.until(EventMessage, 1)
	})
}

// TestAbortWhilePaused ends at once and tells nothing that was held.
func TestAbortWhilePaused(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		h.cap = 1
		p.write(append(p.frame(1, true, []byte("told")), p.frame(1, true, []byte("held"))...))
		h.until(EventMessage, 1)
		_ = c.Pause()
		h.settled()
		if err := c.Abort(); err != nil {
			p.t.Fatal(err)
		}
		h.closed(1006, 0, 0, "")
		if n := len(h.take(EventMessage)); n > 0 {
			p.t.Error("a message after Abort")
		}
		if err := c.Err(); err == nil || err.Code != CodeAborted {
			p.t.Errorf("error %v", err)
		}
	})
}

// TestIdleLoopSleeps: nothing wakes the host while nothing happens.
func TestIdleLoopSleeps(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		other, _ := h.client(nil, nil, nil)
		other.SetHandle(2)
		p.send(1, "x")
		h.until(EventMessage, 1)
		if _, err := c.Send(Text, 0, []byte("y")); err != nil {
			p.t.Fatal(err)
		}
		h.settled()
		if n := h.wakeups(50 * time.Millisecond); n > 0 {
			p.t.Errorf("%d wake-ups of an idle loop", n)
		}
		h.clog(c)
		if n := h.wakeups(50 * time.Millisecond); n > 0 {
			p.t.Errorf("%d wake-ups for a backlog that cannot move", n)
		}
	})
}

// stopped reports that reading ahead came to its limit.
func (c *Conn) stopped() bool {
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	return c.reader.stopped
}

func readingAhead(n uint64) func(*ConnOptions) {
	return func(o *ConnOptions) { o.ReadAhead = n }
}

// TestPauseOvertakesResume: a Pause that follows a Resume before the next Poll holds
// back what the first one did, and the next Resume brings it.
func TestPauseOvertakesResume(t *testing.T) {
	withAndWithout(t, func(t *testing.T, ahead uint64) {
		inBothRoles(t, readingAhead(ahead), func(h *host, c *Conn, p *peer) {
			_ = c.Pause()
			p.send(1, "x")
			h.settled()
			_ = c.Resume()
			_ = c.Pause()
			h.settled()
			if n := len(h.take(EventMessage)); n > 0 {
				p.t.Errorf("%d messages while paused", n)
			}
			_ = c.Resume()
			if !h.readable(hang) { // what polls without being asked to would not notice
				p.t.Fatal("Resume does not wake the host")
			}
			if e := h.until(EventMessage, 1); string(e.data) != "x" {
				p.t.Errorf("got %q", e.data)
			}
		})
	})
}
