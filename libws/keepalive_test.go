package libws

import (
	"fmt"
	"testing"
	"time"

	"aiows/libws/wire"
)

func pinging(interval, timeout time.Duration) func(*ConnOptions) {
	return func(o *ConnOptions) { o.PingInterval, o.PingTimeout = interval, timeout }
}

// TestKeepalivePings: answers keep it alive, measure the latency and are not told.
func TestKeepalivePings(t *testing.T) {
	inBothRoles(t, pinging(5*time.Millisecond, hang), func(h *host, c *Conn, p *peer) {
		var last string
		for i := range 4 {
			h.async("a ping", func() {
				head, b, err := p.next()
				if err != nil || head.Opcode != wire.OpPing || len(b) == 0 || string(b) == last {
					p.t.Errorf("ping %d: %s %q %v", i, head.Opcode, b, err)
				}
				previous := last
				last = string(b)
				p.send(10, last)
				if previous != "" {
					p.send(10, previous) // late ones are no news either
				}
			})
		}
		p.send(10, "unasked")
		h.until(EventPong, 1)
		if n := len(h.take(EventPong)); n > 0 {
			p.t.Errorf("%d pongs to our own pings are told", n)
		}
		if l := c.Stats().Latency; l <= 0 || l > hang {
			p.t.Errorf("latency %v", l)
		}
	})
}

// TestDeadPeer is given up with 1011.
func TestDeadPeer(t *testing.T) {
	inBothRoles(t, pinging(10*time.Millisecond, 20*time.Millisecond), func(h *host, c *Conn, p *peer) {
		h.closed(1006, 1011, 0, "")
		if err := c.Err(); err == nil || err.Code != CodeKeepalive || err.CloseCode != 1011 {
			p.t.Errorf("error %+v", err)
		}
		if head, _, err := p.next(); err != nil || head.Opcode != wire.OpPing {
			p.t.Errorf("%s, %v", head.Opcode, err)
		}
		p.expectClose(1011)
	})
}

// TestDeadPeerWithBacklog: also while it takes nothing.
func TestDeadPeerWithBacklog(t *testing.T) {
	inBothRoles(t, pinging(hang, 20*time.Millisecond), func(h *host, c *Conn, p *peer) {
		h.clog(c)
		h.loop.mu.Lock()
		c.alive.next = clock()
		c.retime()
		h.loop.mu.Unlock()
		h.loop.Wake()
		h.until(EventClosed, 1)
		if err := c.Err(); err == nil || err.Code != CodeKeepalive {
			p.t.Errorf("error %+v", err)
		}
	})
}

// pinged makes it look as if a ping was sent just now.
func (c *Conn) pinged() (heard uint64) {
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	c.alive.sentAt, c.alive.heard = 1, c.bytesReceived.Load()
	return c.alive.heard
}

// overdue makes it look as if the time for the answer has passed.
func (c *Conn) overdue() {
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	if c.phase == phaseOpen {
		c.alive.deadline = 1
		c.retime()
	}
}

// reschedule changes what is to be done when, and has the loop look.
func (c *Conn) reschedule(change func(k *keepalive)) {
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	change(&c.alive)
	c.retime()
	c.loop.nudge()
}

// timeLeft is how long the answer to a ping may still take.
func (c *Conn) timeLeft() time.Duration {
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	return time.Duration(c.alive.deadline - clock())
}

// awaited reports that an answer to a ping has a deadline.
func (c *Conn) awaited() bool {
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	return c.phase == phaseOpen && c.alive.deadline != 0
}

// TestAnythingIsLife: a peer that never answers a ping but sends is alive, also when it
// sends a message that takes long.
func TestAnythingIsLife(t *testing.T) {
	inBothRoles(t, pinging(hang, hang), func(h *host, c *Conn, p *peer) {
		frame := p.frame(2, true, make([]byte, 20))
		for i := range frame {
			heard := c.pinged()
			p.write(frame[i : i+1])
			h.while("an octet", func() bool { return c.bytesReceived.Load() > heard })
			c.overdue()
			h.while("the deadline", func() bool { return !c.awaited() })
			if c.State() != StateOpen {
				p.t.Fatalf("state %d: %v", c.State(), c.Err())
			}
		}
		h.until(EventMessage, 1)
		c.pinged()
		c.overdue()
		h.until(EventClosed, 1)
	})
}

// TestPartOfARecordIsLife: of TLS, whose records are told when they are whole.
func TestPartOfARecordIsLife(t *testing.T) {
	h := newHost(t)
	c, p := h.client(newTestTLS(t), pinging(hang, hang), nil)
	record := make([]byte, 100)
	copy(record, "\x17\x03\x03\x00\x5f")
	for i := range 50 {
		heard := c.pinged()
		if _, err := p.socket.Write(record[i : i+1]); err != nil {
			t.Fatal(err)
		}
		h.while("an octet", func() bool { return c.bytesReceived.Load() > heard })
		c.overdue()
		h.while("the deadline", func() bool { return !c.awaited() })
		if c.State() != StateOpen {
			t.Fatalf("state %d: %v", c.State(), c.Err())
		}
	}
}

// unwatched is a host whose watchdog does not read what the test leaves to it.
func unwatched(t *testing.T) *host {
	h := newHost(t)
	h.loop.opts.NoWatchdog = true
	return h
}

// TestBusyHost: the host does not poll for longer than the ping timeout, while the
// answer waits in the socket, of one connection or of many with much to read.
func TestBusyHost(t *testing.T) {
	inBothRolesOf(t, unwatched, pinging(hang, hang), func(h *host, c *Conn, p *peer) {
		for range 3 {
			p.send(1, "alive")
			h.readable(hang)
			c.pinged()
			c.overdue()
			h.until(EventMessage, 1)
			if c.State() != StateOpen {
				p.t.Fatalf("state %d: %v", c.State(), c.Err())
			}
		}
	})
	t.Run("many", func(t *testing.T) {
		h := unwatched(t)
		const count = 12
		conns, peers := make([]*Conn, count), make([]*peer, count)
		for i := range conns {
			conns[i], peers[i] = h.client(nil, pinging(hang, hang), nil)
			conns[i].SetHandle(uint64(10 + i))
		}
		for _, p := range peers {
			p.write(p.frame(2, true, make([]byte, 200<<10)))
		}
		got := 0
		for h.cap = 3; got < count; { // every deadline has passed before each Poll
			for _, c := range conns {
				if got == 0 {
					c.pinged()
					c.overdue()
				}
			}
			h.poll(hang)
			got += len(h.take(EventMessage))
			if closed := h.take(EventClosed); len(closed) > 0 {
				t.Fatalf("%d connections ended with answers in their sockets", len(closed))
			}
		}
	})
}

// TestPausedDeadPeer: a pause saves nobody whose answer would have been read.
func TestPausedDeadPeer(t *testing.T) {
	inBothRoles(t, pinging(10*time.Millisecond, 20*time.Millisecond), func(h *host, c *Conn, p *peer) {
		_ = c.Pause()
		h.until(EventClosed, 1)
		if err := c.Err(); err == nil || err.Code != CodeKeepalive {
			p.t.Errorf("error %+v", err)
		}
	})
}

// TestPausedKeepalive: while nothing is read no deadline ends anything, be it that
// nothing is to be read ahead or that enough was; it counts again afterwards.
func TestPausedKeepalive(t *testing.T) {
	for _, ahead := range []uint64{0, 1000} {
		t.Run(fmt.Sprintf("ahead %d", ahead), func(t *testing.T) { pausedKeepalive(t, ahead) })
	}
}

func pausedKeepalive(t *testing.T, ahead uint64) {
	inBothRoles(t, readingAhead(ahead), func(h *host, c *Conn, p *peer) {
		_ = c.Pause()
		p.write(p.frame(2, true, make([]byte, 10000)))
		h.while("the end of reading", func() bool {
			c.out.mu.Lock()
			defer c.out.mu.Unlock()
			return !c.out.reading
		})
		h.loop.mu.Lock()
		pinging(10*time.Millisecond, 20*time.Millisecond)(&c.opts)
		c.alive.start(c, clock())
		c.retime()
		h.loop.nudge()
		h.loop.mu.Unlock()
		for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
			h.poll(5 * time.Millisecond)
		}
		if c.State() != StateOpen {
			p.t.Fatalf("state %d: %v", c.State(), c.Err())
		}
		_ = c.Resume()
		h.until(EventClosed, 1)
		if err := c.Err(); err == nil || err.Code != CodeKeepalive {
			p.t.Errorf("error %+v", err)
		}
	})
}

// TestNoKeepaliveWhileClosing: our pings end with our Close, whatever the close timeout.
func TestNoKeepaliveWhileClosing(t *testing.T) {
	quick := func(o *ConnOptions) {
		pinging(5*time.Millisecond, 10*time.Millisecond)(o)
		o.CloseTimeout = 0
	}
	inBothRolesOf(t, unwatched, quick, func(h *host, c *Conn, p *peer) {
		_ = c.Close(1000, "")
		for end := time.Now().Add(60 * time.Millisecond); time.Now().Before(end); {
			h.poll(5 * time.Millisecond)
		}
		if c.State() != StateClosing {
			p.t.Fatalf("state %d: %v", c.State(), c.Err())
		}
		p.send(8, closePayload(1000, ""))
		h.until(EventClosing, 1)
		p.socket.Close()
		h.until(EventClosed, 1)
	})
}

// TestPingsWithoutTimeout go on although none is answered.
func TestPingsWithoutTimeout(t *testing.T) {
	inBothRoles(t, pinging(3*time.Millisecond, 0), func(h *host, c *Conn, p *peer) {
		h.async("pings", func() {
			for range 3 {
				p.skipTo(wire.OpPing)
			}
		})
	})
}
