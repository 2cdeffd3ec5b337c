package libws

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"aiows/libws/wire"
)

// exercise uses a connection in every way that allocates; whatever fails, it ends.
func exercise(h *host, secure *testTLS, role string) {
	var c *Conn
	var p *peer
	if role == "client" {
		ln := listenTCP(h.t)
		c = h.dialTo(ln, secure, quiet(nil))
		var key string
		p, key = h.acceptRaw(ln, secure)
		_, _ = p.stream.Write(append(accepted(key), p.frame(1, true, []byte("early"))...))
	} else {
		ln := h.listen(secure)
		p = h.ask(ln, secure, append([]byte(sampleRequest), wireFrame()...))
		h.while("the request, or its end", func() bool {
			for _, e := range h.take(EventRequest) {
				s, err := h.requests[e.Request-1].NewConn(&AcceptOptions{Conn: quiet(nil)}, 10)
				if err != nil {
					h.t.Fatal(err)
				}
				s.SetHandle(1)
				s.Start()
				c = s
			}
			return c != nil || h.heap.refused() > 0 && h.loop.Stats().Connections == 0
		})
		if c == nil {
			return // not even a request could be read
		}
	}
	h.while("the opening, or its end", func() bool { return c.State() != StateConnecting })
	go func() {
		var b []byte
		b = append(b, p.frame(2, true, make([]byte, 100))...)
		b = append(b, bytes.Repeat(p.frame(1, true, filled(200, 'x')), 150)...)
		b = append(b, p.frame(2, false, make([]byte, 30000))...)
		b = append(b, p.frame(9, true, []byte("ping"))...)
		b = append(b, p.frame(0, true, make([]byte, 100000))...)
		_, _ = p.stream.Write(b)
	}()
	h.cap = 20
	for i := range 20 {
		if i == 3 {
			_, _ = c.Send(Binary, SendForce, make([]byte, 6<<20))
			_, _, _ = c.SendMany(Text, SendForce, [][]byte{make([]byte, 5000), nil})
			_, _ = c.Send(Text, 0, nil)
		}
		if n := h.poll(time.Millisecond); n > 0 && i%2 == 0 {
			if b, err := h.loop.Take(&h.buf[0]); err == nil && b != nil {
				h.heap.Free(b)
			} else if err != nil && err != CodeMemory && err != CodeState {
				h.t.Errorf("Take: %v", err)
			}
		}
	}
	_, _ = p.stream.Write(p.frame(8, true, []byte(closePayload(1000, "reason"))))
	for range 10 {
		h.poll(time.Millisecond)
	}
	_ = c.Abort()
	h.while("the end", c.Ended)
	h.settled()
	last := 0
	for _, e := range h.seen {
		if e.Conn == 1 && (e.Type == EventClosed || e.Type == EventFailed) {
			last++
		}
	}
	if last != 1 {
		h.t.Errorf("%d last events: %v, error %v", last, h.order(), c.Err())
	}
}

// wireFrame is a masked frame that follows a request.
func wireFrame() []byte { return (&peer{masks: true}).frame(wire.OpText, true, []byte("early")) }

// TestOutOfMemory lets each allocation fail in turn, alone and with all that follow:
// nothing panics, nothing leaks, and each connection ends once.
func TestOutOfMemory(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		for _, role := range []string{"client", "server"} {
			for _, sticky := range []bool{false, true} {
				for _, nth := range []int{1, 2, 3, 4, 6, 8, 11} {
					name := fmt.Sprint(role, " ", nth, " ", sticky)
					done := t.Run(name, func(t *testing.T) {
						h := newHost(t)
						h.heap.fail = func(call, n int) bool { return call == nth || sticky && call > nth && call < nth+40 }
						exercise(h, secure, role)
						if h.heap.refused() == 0 && nth < 4 {
							t.Error("nothing failed")
						}
					})
					if !done {
						return
					}
				}
			}
		}
	})
}

// TestOutOfMemoryWhileReading: what TLS cannot be read into is no loss of the peer's.
func TestOutOfMemoryWhileReading(t *testing.T) {
	h := newHost(t)
	c, p := h.client(newTestTLS(t), nil, nil)
	h.loop.Trim()
	h.heap.fail = func(call, n int) bool { return c.loop.cipher == nil && c.loop.arena.cur != nil }
	p.send(1, "x")
	h.until(EventClosed, 1)
	if err := c.Err(); err == nil || err.Code != CodeMemory {
		t.Errorf("error %v", err)
	}
}

// TestOutOfMemoryWhileSending: a message that could be kept in part only ends the
// connection, since a frame after half of one would be read as its payload.
func TestOutOfMemoryWhileSending(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		h.heap.fail = func(_, n int) bool { return true }
		var err error
		for err == nil {
			_, err = c.Send(Binary, SendForce, make([]byte, 3<<20))
		}
		if err != CodeMemory {
			p.t.Fatalf("send: %v", err)
		}
		if _, err := c.Send(Binary, SendForce, []byte("more")); err != CodeClosed {
			p.t.Errorf("send after it: %v", err)
		}
		h.heap.fail = nil
		h.closed(1006, 0, 0, "")
		if err := c.Err(); err == nil || err.Code != CodeMemory {
			p.t.Errorf("error %v", err)
		}
	})
}
