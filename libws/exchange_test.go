package libws

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// overBoth runs a test over ws and over wss.
func overBoth(t *testing.T, f func(t *testing.T, tls *testTLS)) {
	t.Run("ws", func(t *testing.T) { f(t, nil) })
	t.Run("wss", func(t *testing.T) { f(t, newTestTLS(t)) })
}

func random(n int) []byte {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

func unlimited(c, s *ConnOptions) { c.MaxMessageSize, s.MaxMessageSize = 0, 0 }

func TestMessagesOfEverySize(t *testing.T) {
	overBoth(t, func(t *testing.T, tls *testTLS) {
		h := newHost(t)
		c, s := h.pair(tls, unlimited)
		for _, n := range []int{0, 1, 125, 126, 127, 4095, 65535, 65536, 65537, 1 << 20, 16<<20 + 7} {
			sent := random(n)
			for i, dir := range []struct {
				from *Conn
				to   uint64
			}{{c, 2}, {s, 1}} {
				if _, err := dir.from.Send(Binary, SendForce, sent); err != nil {
					t.Fatalf("send %d bytes, direction %d: %v", n, i, err)
				}
				e := h.until(EventMessage, dir.to)
				if !bytes.Equal(e.data, sent) || e.Kind != Binary || e.Flags&FlagFin == 0 || e.UserData != dir.to*10 {
					t.Fatalf("%d bytes, direction %d: got %d bytes, kind %d, flags %d", n, i, len(e.data), e.Kind, e.Flags)
				}
			}
		}
	})
}

func TestBurstKeepsOrder(t *testing.T) {
	overBoth(t, func(t *testing.T, tls *testTLS) {
		h := newHost(t)
		c, s := h.pair(tls, nil)
		const count = 10000
		next := [3]int{}
		check := func() {
			for _, e := range h.seen {
				if e.Type != EventMessage {
					continue
				}
				if want := fmt.Sprintf("message %d", next[e.Conn]); string(e.data) != want {
					t.Fatalf("conn %d got %q, want %q", e.Conn, e.data, want)
				}
				next[e.Conn]++
			}
			h.seen = h.seen[:0]
		}
		for i := range count {
			m := fmt.Appendf(nil, "message %d", i)
			for _, from := range []*Conn{c, s} {
				if _, err := from.Send(Text, SendForce, m); err != nil {
					t.Fatal(err)
				}
			}
			if i%1000 == 0 {
				h.poll(0)
				check()
			}
		}
		for next[1] < count || next[2] < count {
			if !h.readable(hang) {
				t.Fatalf("stuck at %v", next)
			}
			h.poll(0)
			check()
		}
	})
}

func TestCloseHandshake(t *testing.T) {
	overBoth(t, func(t *testing.T, tls *testTLS) {
		for _, side := range []uint64{1, 2} {
			t.Run(fmt.Sprint("side", side), func(t *testing.T) {
				h := newHost(t)
				c, s := h.pair(tls, nil)
				closer, other := c, uint64(2)
				if side == 2 {
					closer, other = s, 1
				}
				if err := closer.Close(4001, "bye"); err != nil {
					t.Fatal(err)
				}
				e := h.until(EventClosing, other)
				if e.Code != 4001 || string(e.data) != "bye" {
					t.Errorf("CLOSING %d %q", e.Code, e.data)
				}
				for _, id := range []uint64{1, 2} {
					e := h.until(EventClosed, id)
					if e.Code != 4001 || e.CloseSent != 4001 || e.Flags&FlagClean == 0 {
						t.Errorf("conn %d: CLOSED code %d sent %d flags %d", id, e.Code, e.CloseSent, e.Flags)
					}
					if peer := e.Flags&FlagPeer != 0; peer != (id == other) {
						t.Errorf("conn %d: closed by peer = %v", id, peer)
					}
				}
				if c.Err() != nil || s.Err() != nil {
					t.Errorf("errors after a clean end: %v, %v", c.Err(), s.Err())
				}
				if st := h.loop.Stats(); st.Connections != 0 {
					t.Errorf("%d connections after CLOSED", st.Connections)
				}
			})
		}
	})
}
