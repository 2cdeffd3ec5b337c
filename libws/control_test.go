package libws

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"aiows/libws/wire"
)

func TestPing(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		for _, n := range []int{0, 1, 125} {
			payload := string(random(n))
			p.send(9, payload)
			if e := h.until(EventPing, 1); string(e.data) != payload {
				p.t.Errorf("PING %q", e.data)
			}
			p.expect(wire.OpPong, payload)
			if err := c.Ping([]byte(payload)); err != nil {
				p.t.Fatal(err)
			}
			p.expect(wire.OpPing, payload)
			p.send(10, payload)
			if e := h.until(EventPong, 1); string(e.data) != payload {
				p.t.Errorf("PONG %q", e.data)
			}
			if err := c.Pong([]byte(payload)); err != nil {
				p.t.Fatal(err)
			}
			p.expect(wire.OpPong, payload)
		}
	})
}

func TestNoAutoPong(t *testing.T) {
	inBothRoles(t, func(o *ConnOptions) { o.AutoPong = false }, func(h *host, c *Conn, p *peer) {
		p.send(9, "one")
		h.until(EventPing, 1)
		h.settled()
		if err := c.Pong([]byte("by hand")); err != nil {
			p.t.Fatal(err)
		}
		p.expect(wire.OpPong, "by hand") // and none before it
	})
}

// TestLatestPongWins: a peer that pings and does not read costs one Pong, and gets the
// latest payload (RFC 6455 5.5.3).
func TestLatestPongWins(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		h.clog(c)
		before := c.Buffered()
		const count = 3000
		h.async("pings", func() {
			for i := range count {
				p.send(9, fmt.Sprintf("%0125d", i))
			}
		})
		told := 0
		h.while("PING", func() bool { told += len(h.take(EventPing)); return told == count })
		if n := c.Buffered() - before; n > 1000 {
			p.t.Errorf("%d pings left %d bytes to send", count, n)
		}
		h.async("pongs", func() {
			last := -1
			for last != count-1 {
				var i int
				if _, err := fmt.Sscanf(p.skipTo(wire.OpPong), "%d", &i); err != nil || i <= last {
					p.t.Errorf("Pong %d after %d: %v", i, last, err)
					return
				}
				last = i
			}
		})
	})
}

// TestPongBeforeClose: the newest Ping is answered although the socket has not taken an
// older Pong when our Close frame is sent, whoever closes (RFC 6455 5.5.2).
func TestPongBeforeClose(t *testing.T) {
	for name, end := range map[string]struct {
		frame []byte // of the peer
		code  int
	}{"broken rule": {[]byte{0xc3}, 1002}, "peer": {[]byte{0x88, 2, 0x03, 0xe8}, 1000}, "host": {nil, 1001}} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			c := h.attachOpen(nil)
			h.feedAll(c, append([]byte("\x89\x01a\x89\x01b\x89\x01c"), end.frame...))
			h.pollDry()
			if end.frame == nil {
				if err := c.Close(end.code, ""); err != nil {
					t.Fatal(err)
				}
			}
			want := []string{"pong 61", "pong 63", fmt.Sprintf("close %d ", end.code)}
			if got := frames(h.drainAll(c)); len(got) != 3 || !slices.Equal(got[:2], want[:2]) || !strings.HasPrefix(got[2], want[2]) {
				t.Errorf("wrote %q, expected %q", got, want)
			}
		})
	}
}

// TestPongsPassASender: an application that keeps a backlog all the time does not keep
// pings unanswered.
func TestPongsPassASender(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		pongs := make(chan string)
		go func() {
			defer close(pongs)
			for range 3 {
				head, b, err := wire.Header{}, []byte(nil), error(nil)
				for head.Opcode != wire.OpPong {
					if head, b, err = p.next(); err != nil {
						return
					}
				}
				pongs <- string(b)
			}
		}()
		for i := range 3 {
			p.send(9, fmt.Sprint(i))
			answered := false
			h.while("a Pong", func() bool {
				for n := 0; n < 10 && c.Buffered() < 200<<10; n++ {
					if _, err := c.Send(Binary, SendForce, make([]byte, 64<<10)); err != nil {
						p.t.Fatal(err)
					}
				}
				select {
				case got := <-pongs:
					if answered = got == fmt.Sprint(i); !answered {
						p.t.Fatalf("Pong %q, expected %d", got, i)
					}
				default:
				}
				return answered
			})
		}
	})
}

// TestWake: it is sticky, told once, and costs one wake-up.
func TestWake(t *testing.T) {
	h := newHost(t)
	for range 3 {
		h.loop.Wake()
		h.loop.Wake()
		if !h.readable(0) {
			t.Fatal("not readable after Wake")
		}
		if n, woke, err := h.loop.Poll(h.buf[:], false); n != 0 || !woke || err != nil {
			t.Errorf("Poll: %d, %v, %v", n, woke, err)
		}
		if h.readable(0) {
			t.Error("still readable")
		}
		if _, woke, _ := h.loop.Poll(h.buf[:], false); woke {
			t.Error("one Wake is told twice")
		}
	}
	done := make(chan struct{})
	go func() { time.Sleep(5 * time.Millisecond); h.loop.Wake(); close(done) }()
	if !h.readable(hang) {
		t.Error("a Wake of another thread is not seen")
	}
	<-done
	if _, _, err := h.loop.Poll(nil, false); err != CodeArgument {
		t.Errorf("Poll without room: %v", err)
	}
	h.loop.mu.Lock()
	_, _, err := h.loop.Poll(h.buf[:], true)
	h.loop.mu.Unlock()
	if err != CodeBusy {
		t.Errorf("try beside a thread in the loop: %v", err)
	}
}

// TestUserData: it can change, and events carry the newest.
func TestUserData(t *testing.T) {
	h := newHost(t)
	c, p := h.client(nil, nil, nil)
	c.SetUserData(77)
	p.send(1, "x")
	if e := h.until(EventMessage, 1); e.UserData != 77 || e.Time <= 0 || e.Time > clock() {
		t.Errorf("user data %d, time %d", e.UserData, e.Time)
	}
}
