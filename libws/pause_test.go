package libws

import (
	"fmt"
	"testing"
	"time"

	"aiows/libws/wire"
)

// pausedWakeups is more than a pause may cost: leaving epoll takes one or two.
const pausedWakeups = 10

// TestPausedConnectionSleeps: whatever a peer does to a paused connection, the
// descriptor does not keep turning readable.
func TestPausedConnectionSleeps(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(h *host, c *Conn, p *peer)
	}{
		{"flood", func(h *host, c *Conn, p *peer) {
			go func() {
				for {
					if _, err := p.stream.Write(p.frame(2, true, make([]byte, 10000))); err != nil {
						return
					}
				}
			}()
		}},
		{"reset", func(h *host, c *Conn, p *peer) { p.reset() }},
		{"end", func(h *host, c *Conn, p *peer) { p.socket.Close() }},
		{"reset with a backlog", func(h *host, c *Conn, p *peer) { h.clog(c); p.reset() }},
		{"end with a backlog", func(h *host, c *Conn, p *peer) { h.clog(c); _ = p.socket.CloseWrite() }},
		{"data with a backlog", func(h *host, c *Conn, p *peer) { h.clog(c); p.send(1, "x") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
				if err := c.Pause(); err != nil {
					p.t.Fatal(err)
				}
				test.do(h, c, p)
				if n := h.wakeups(60 * time.Millisecond); n > pausedWakeups {
					p.t.Errorf("%d wake-ups while paused", n)
				}
				if n := len(h.take(EventMessage)) + len(h.take(EventClosed)); n > 0 {
					p.t.Errorf("%d events while paused", n)
				}
				if err := c.Resume(); err != nil {
					p.t.Fatal(err)
				}
				switch test.name {
				case "flood", "data with a backlog":
					h.until(EventMessage, 1)
				default:
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

// TestPausedPeerIsHeldBack: the bytes stay in the sockets.
func TestPausedPeerIsHeldBack(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		_ = c.Pause()
		before := h.loop.Stats()
		go func() {
			for {
				if _, err := p.stream.Write(p.frame(2, true, make([]byte, 100000))); err != nil {
					return
				}
			}
		}()
		h.settled()
		after := h.loop.Stats()
		if n := after.BytesReceived - before.BytesReceived; n > 0 {
			p.t.Errorf("%d bytes read while paused", n)
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
