package libws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"aiows/libws/wire"

	"golang.org/x/sys/unix"
)

// clog sends until neither the socket nor the peer's takes more.
func (h *host) clog(c *Conn) {
	h.t.Helper()
	h.while("a peer that takes no more", func() bool {
		if c.Buffered() < 1<<20 {
			if _, err := c.Send(Binary, SendForce, make([]byte, 2<<20)); err != nil {
				h.t.Fatal(err)
			}
			h.settled()
			return false
		}
		// With all acknowledged and bytes left its window is shut.
		info, err := unix.GetsockoptTCPInfo(c.out.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			h.t.Fatal(err)
		}
		return info.Unacked == 0 && info.Notsent_bytes > 0
	})
	h.drain() // of what the last acknowledgment woke the loop for
}

// skipTo reads frames until one has opcode op and returns its payload.
func (p *peer) skipTo(op wire.Opcode) string {
	p.t.Helper()
	for {
		h, b, err := p.next()
		if err != nil {
			p.t.Fatalf("no %s frame: %v", op, err)
		}
		if h.Opcode == op {
			return string(b)
		}
	}
}

// TestBacklog: sends are refused above the high mark only, one WRITABLE answers all
// refusals, and every byte arrives in order.
func TestBacklog(t *testing.T) {
	inBothRolesOf(t, unwatched, nil, func(h *host, c *Conn, p *peer) {
		for round := range 3 {
			var sent [][]byte
			refused := 0
			for refused < 3 {
				m := random([]int{0, rand.IntN(200), rand.IntN(100 << 10), rand.IntN(1 << 20)}[rand.IntN(4)])
				before := c.Buffered()
				_, err := c.Send(Binary, 0, m)
				if over := before > 64<<10; over != (err == CodeAgain) || !over && err != nil {
					p.t.Fatalf("send above %d pending bytes: %v", before, err)
				}
				if err == nil {
					sent = append(sent, m)
				} else {
					refused++
				}
			}
			h.settled()
			writable := len(h.take(EventWritable))
			if n := c.Buffered(); writable > 0 && n > 16<<10 {
				p.t.Fatalf("WRITABLE while %d bytes are pending", n)
			}
			h.async("messages", func() {
				for i, m := range sent {
					head, got, err := p.next()
					if err != nil || head.Opcode != wire.OpBinary || !head.Fin || !bytes.Equal(got, m) {
						p.t.Errorf("round %d, message %d of %d bytes: got %d bytes, %v", round, i, len(m), len(got), err)
						return
					}
				}
			})
			h.settled()
			if writable += len(h.take(EventWritable)); writable != 1 {
				p.t.Errorf("%d WRITABLE", writable)
			}
			if c.Buffered() != 0 || c.out.segs != nil {
				p.t.Errorf("%d bytes pending, %d segments", c.Buffered(), len(c.out.segs))
			}
		}
		if st := c.Stats(); st.MessagesSent == 0 || st.BytesSent == 0 || st.FramesSent < st.MessagesSent {
			p.t.Errorf("stats %+v", st)
		}
	})
}

// TestSizeAloneRefusesNothing, however large.
func TestSizeAloneRefusesNothing(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		if pending, err := c.Send(Binary, 0, make([]byte, 16<<20)); err != nil || pending {
			p.t.Fatalf("pending %v, %v", pending, err)
		}
		if c.Buffered() == 0 {
			p.t.Fatal("the socket took 16 MiB")
		}
		if pending, err := c.Send(Binary, SendForce, nil); err != nil || !pending {
			p.t.Errorf("SendForce: pending %v, %v", pending, err)
		}
		h.async("the message", func() {
			if b := p.skipTo(wire.OpBinary); len(b) != 16<<20 {
				p.t.Errorf("%d bytes", len(b))
			}
		})
		h.until(EventWritable, 1)
		if pending, err := c.Send(Binary, SendForce, nil); err != nil || pending {
			p.t.Errorf("SendForce below the mark: pending %v, %v", pending, err)
		}
	})
}

// TestLowMarkAboveHigh must not make WRITABLE follow AGAIN at once, for ever.
func TestLowMarkAboveHigh(t *testing.T) {
	inBothRoles(t, func(o *ConnOptions) { o.WriteHigh, o.WriteLow = 1000, 1<<40 }, func(h *host, c *Conn, p *peer) {
		h.clog(c)
		if _, err := c.Send(Text, 0, nil); err != CodeAgain {
			p.t.Fatal(err)
		}
		h.settled()
		if n := len(h.take(EventWritable)); n > 0 {
			p.t.Errorf("WRITABLE with %d bytes pending, the high mark is 1000", c.Buffered())
		}
	})
}

// TestWriterDrainsTheBacklog: what the reactor does when a backlog is gone happens also
// when a sender's own call wrote it out.
func TestWriterDrainsTheBacklog(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		for round := range 2 {
			h.clog(c)
			if _, err := c.Send(Text, 0, nil); err != CodeAgain {
				p.t.Fatal(err)
			}
			for i := range 3 { // the first Pong is in the backlog, the last one waits
				p.send(9, fmt.Sprint(round, i))
				h.until(EventPing, 1)
			}
			pong := make(chan string, 1)
			var reader sync.WaitGroup
			reader.Go(func() {
				last := ""
				for {
					head, b, err := p.next()
					switch {
					case err != nil:
						p.t.Errorf("after Pong %q: %v", last, err)
						close(pong)
						return
					case head.Opcode == wire.OpText:
						return
					case head.Opcode == wire.OpPong:
						if last = string(b); last == fmt.Sprint(round, 2) {
							pong <- last
						}
					}
				}
			})
			large := make([]byte, frameBuffer+1)
			gone := func() bool {
				if round == 0 {
					_, _, _ = c.SendMany(Binary, SendForce, [][]byte{{1}})
				} else { // over TLS this writes several records at once
					time.Sleep(10 * time.Millisecond)
					_, _ = c.Send(Binary, SendForce, large)
				}
				return c.Buffered() == 0
			}
			if round == 1 && c.tls == nil {
				h.while("the backlog", func() bool { return c.Buffered() == 0 })
			} else if !eventually(gone) { // without a Poll
				p.t.Fatal("the backlog stays")
			}
			h.until(EventWritable, 1)
			h.while("the last Pong", func() bool { return len(pong) > 0 || c.Ended() })
			if _, err := c.Send(Text, SendForce, []byte("end")); err != nil {
				p.t.Fatal(err)
			}
			h.async("the reader", reader.Wait)
			h.settled()
			h.seen = nil
		}
	})
}

// TestLostBacklog: a connection that ends with a refused send says CLOSED.
func TestLostBacklog(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		h.clog(c)
		if _, err := c.Send(Text, 0, nil); err != CodeAgain {
			p.t.Fatal(err)
		}
		p.reset()
		if e := h.until(EventClosed, 1); e.Code != 1006 {
			p.t.Errorf("CLOSED %d", e.Code)
		}
		if n := len(h.take(EventWritable)); n > 1 {
			p.t.Errorf("%d WRITABLE", n)
		}
		if _, err := c.Send(Text, 0, nil); err != CodeClosed {
			p.t.Errorf("send: %v", err)
		}
		if err := c.Err(); err == nil || err.Code != CodeLost {
			p.t.Errorf("error %v", err)
		}
		if c.Buffered() != 0 {
			p.t.Errorf("%d bytes pending", c.Buffered())
		}
	})
}

func TestSendMany(t *testing.T) {
	low := func(o *ConnOptions) { o.WriteHigh, o.WriteLow = 8<<10, 2<<10 }
	inBothRoles(t, low, func(h *host, c *Conn, p *peer) {
		var batch [][]byte
		for i := range 300 {
			batch = append(batch, fmt.Appendf(nil, "%01000d", i))
		}
		// 50 KB are above the high mark, but any socket takes them.
		n, pending, err := c.SendMany(Text, 0, batch[:50])
		if n != 50 || pending || err != nil {
			p.t.Fatalf("queued %d, pending %v, %v", n, pending, err)
		}
		h.async("the batch", func() {
			for i := range batch[:50] {
				p.expect(wire.OpText, string(batch[i]))
			}
		})
		if n, _, err := c.SendMany(Text, 0, [][]byte{[]byte("good"), []byte("b\xffd"), nil}); n != 1 || err != CodeUTF8 {
			p.t.Errorf("invalid text: %d, %v", n, err)
		}
		p.expectPolling(h, wire.OpText, "good")
		if n, pending, err := c.SendMany(Text, 0, nil); n != 0 || pending || err != nil {
			p.t.Errorf("nothing: %d, %v, %v", n, pending, err)
		}
		h.clog(c)
		if n, _, err := c.SendMany(Text, 0, batch); n != 0 || err != CodeAgain {
			p.t.Errorf("clogged: %d, %v", n, err)
		}
		if n, pending, err := c.SendMany(Text, SendForce, batch); n != 300 || !pending || err != nil {
			p.t.Errorf("forced: %d, %v, %v", n, pending, err)
		}
		h.async("the batch", func() {
			for i := range batch {
				if m := p.skipTo(wire.OpText); m != string(batch[i]) {
					p.t.Errorf("message %d is %.20q", i, m)
					return
				}
			}
		})
		h.until(EventWritable, 1)
	})
}

func TestSendFragment(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		part := func(kind int, fin bool, data string) error {
			_, err := c.SendFragment(kind, 0, fin, []byte(data))
			return err
		}
		check := func(what string, got, want error) {
			p.t.Helper()
			if got != want {
				p.t.Fatalf("%s: %v, expected %v", what, got, want)
			}
		}
		frame := func(op wire.Opcode, fin bool, payload string) {
			p.t.Helper()
			head, b, err := p.next()
			if err != nil || head.Opcode != op || head.Fin != fin || string(b) != payload {
				p.t.Fatalf("frame %+v %q %v, expected %s, fin %v, %q", head, b, err, op, fin, payload)
			}
		}
		check("half a character", part(Text, false, "a\xe2\x82"), nil)
		frame(wire.OpText, false, "a\xe2\x82")
		_, err := c.Send(Text, 0, nil)
		check("another message", err, CodeState)
		_, _, err = c.SendMany(Binary, 0, [][]byte{nil})
		check("other messages", err, CodeState)
		var wrong *Error
		if err := part(Binary, false, ""); !errors.As(err, &wrong) || wrong.Code != CodeArgument {
			p.t.Fatalf("another kind: %v", err)
		}
		check("a ping", c.Ping([]byte("x")), nil)
		frame(wire.OpPing, true, "x")
		check("text that cannot go on", part(Text, false, "b"), CodeUTF8)
		check("the end inside a character", part(Text, true, ""), CodeUTF8)
		check("the rest of the character", part(Text, false, "\xac"), nil)
		frame(wire.OpContinuation, false, "\xac")
		check("the end", part(Text, true, ""), nil)
		frame(wire.OpContinuation, true, "")
		check("the text after it", part(Text, true, "whole"), nil)
		frame(wire.OpText, true, "whole")
		check("a binary one", part(Binary, false, "\xff"), nil)
		frame(wire.OpBinary, false, "\xff")
		if st := c.Stats(); st.MessagesSent != 2 || st.FramesSent != 6 {
			p.t.Errorf("stats %+v", st)
		}
		check("a Close inside a message", c.Close(1000, ""), nil)
		frame(wire.OpClose, true, closePayload(1000, ""))
		check("a part after Close", part(Binary, true, ""), CodeClosed)
	})
}

func TestSendArguments(t *testing.T) {
	h := newHost(t)
	c, p := h.client(nil, nil, nil)
	for _, err := range []error{
		func() error { _, err := c.Send(0, 0, nil); return err }(),
		func() error { _, err := c.Send(3, 0, nil); return err }(),
		func() error { _, err := c.Send(Text, 1<<20, nil); return err }(),
		func() error { _, err := c.SendFragment(9, 0, true, nil); return err }(),
		func() error { _, _, err := c.SendMany(-1, 0, nil); return err }(),
		c.Ping(make([]byte, 126)), c.Pong(make([]byte, 126)),
		c.Close(999, ""), c.Close(1005, ""), c.Close(1006, ""), c.Close(1015, ""), c.Close(5000, ""), c.Close(-1, ""), c.Close(1<<16|1000, ""),
		c.Close(0, "why"), c.Close(1000, strings.Repeat("x", 124)), c.Close(1000, "\xff"),
	} {
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeArgument || e.Text == "" {
			t.Errorf("error %v, expected an argument error with a text", err)
		}
	}
	if _, err := c.Send(Text, SendCompress, nil); err != CodeUnsupported {
		t.Errorf("compression: %v", err)
	}
	if _, err := c.Send(Text, 0, []byte("\xc0\x80")); err != CodeUTF8 {
		t.Errorf("text: %v", err)
	}
	if _, err := c.Send(Text, SendNoCompress|SendTry, []byte("fine")); err != nil {
		t.Error(err)
	}
	p.expect(wire.OpText, "fine") // and nothing before it

	c.wmu.Lock()
	_, err := c.Send(Text, SendTry, nil)
	c.unlockWrite()
	if err != CodeBusy {
		t.Errorf("SendTry beside a writer: %v", err)
	}

	early := h.newClient("ws://127.0.0.1:1/", nil, nil)
	if _, err := early.Send(Text, 0, nil); err != CodeState {
		t.Errorf("send before OPEN: %v", err)
	}
	if err := early.Ping(nil); err != CodeState {
		t.Errorf("ping before OPEN: %v", err)
	}
	early.Free()
	_ = c.Close(1000, "")
	if _, err := c.Send(Text, SendForce, nil); err != CodeClosed {
		t.Errorf("send after Close: %v", err)
	}
	if err := errors.Join(c.Ping(nil), c.Pong(nil)); !errors.Is(err, CodeClosed) {
		t.Errorf("ping after Close: %v", err)
	}
}

// TestManySenders: goroutines send, ping, pause and close while the loop is polled by
// two threads; the order of each holds and nothing is lost before the Close.
func TestManySenders(t *testing.T) {
	inBothRoles(t, func(o *ConnOptions) { o.MaxMessageSize = 0 }, func(h *host, c *Conn, p *peer) {
		const senders, count = 4, 150
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for i := range count {
					m := append(fmt.Appendf(nil, "%d %d ", s, i), make([]byte, rand.IntN(3000)*rand.IntN(2))...)
					for {
						var err error
						switch i % 3 {
						case 0:
							_, err = c.Send(Binary, 0, m)
						case 1:
							_, _, err = c.SendMany(Binary, SendForce, [][]byte{m})
						default:
							_, err = c.Send(Binary, SendTry|SendForce, m)
						}
						if err == nil {
							break
						}
						if err != CodeAgain && err != CodeBusy {
							p.t.Errorf("send: %v", err)
							return
						}
					}
					switch rand.IntN(20) {
					case 0:
						_ = c.Ping(m[:4])
					case 1:
						_ = c.Pause()
						_ = c.Resume()
					case 2:
						_ = c.Info()
						_ = c.Stats()
						_ = h.loop.Stats()
						h.loop.Wake()
					}
				}
			})
		}
		stop := make(chan struct{})
		var poller sync.WaitGroup
		poller.Go(func() { // a second one
			var events [4]Event
			for {
				select {
				case <-stop:
					return
				default:
					_, _, _ = h.loop.Poll(events[:], true)
				}
			}
		})
		received := make(chan struct{})
		go func() {
			defer close(received)
			next := [senders]int{}
			for range senders * count {
				var s, i int
				m := p.skipTo(wire.OpBinary)
				if _, err := fmt.Sscanf(m, "%d %d", &s, &i); err != nil || s >= senders || next[s] != i {
					p.t.Errorf("message %.20q, expected %v", m, next)
					return
				}
				next[s]++
				if i%10 == 0 {
					_, _ = p.stream.Write(p.frame(wire.OpPing, true, []byte("x")))
				}
			}
		}()
		var events [4]Event // not looked at: the other thread's polls end their life
		for waiting := true; waiting; {
			select {
			case <-received:
				waiting = false
			default:
				h.readable(time.Millisecond)
				_, _, _ = h.loop.Poll(events[:], false)
			}
		}
		wg.Wait()
		close(stop)
		poller.Wait()
	})
}

// TestRandomEnds closes, aborts, frees and resets connections under senders.
func TestRandomEnds(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		for round := range 12 {
			h := newHost(t)
			defer h.loop.Close()
			c, s := h.pair(secure, func(c, s *ConnOptions) { c.MaxMessageSize, s.MaxMessageSize = 0, 0 })
			var wg sync.WaitGroup
			for _, conn := range []*Conn{c, s, c, s} {
				wg.Go(func() {
					for i := range 1000 {
						_, err := conn.Send(Binary, SendForce, make([]byte, i*13%5000))
						if err == CodeClosed {
							return
						}
						if err != nil {
							t.Errorf("send: %v", err)
							return
						}
						if i == 20+round*3 {
							switch (round + i) % 5 {
							case 0:
								_ = conn.Close(1000, "")
							case 1:
								_ = conn.Abort()
							case 2:
								conn.Free()
							case 3:
								_ = conn.Pause()
								_ = conn.Close(1001, "paused")
							case 4:
								go conn.Free()
								_ = conn.Close(1001, "freed")
							}
						}
					}
					_ = conn.Abort()
				})
			}
			h.async("senders", wg.Wait)
			h.while("the ends", func() bool {
				h.seen = h.seen[:0]
				return c.Ended() && s.Ended()
			})
			h.while("no connections", func() bool { return h.loop.Stats().Connections == 0 })
		}
	})
}

func TestReadAllIsQuiet(t *testing.T) {
	h := newHost(t)
	c, p := h.client(nil, nil, nil)
	c.Free()
	if b, err := io.ReadAll(p.in); len(b) > 0 || err != nil && !isReset(err) {
		t.Errorf("the peer got %q, %v", b, err)
	}
}

// TestMaskingKeys: a client masks every frame, data and control, with a key of its own
// (RFC 6455 5.1 and 5.3); no frame of ours has a reserved bit.
func TestMaskingKeys(t *testing.T) {
	h := newHost(t)
	c, p := h.client(nil, nil, nil)
	seen := map[uint32]bool{}
	for i := range 300 {
		var err error
		switch i % 3 {
		case 0:
			_, err = c.Send(Text, 0, []byte("same"))
		case 1:
			err = c.Ping([]byte("same"))
		case 2:
			_, err = c.SendFragment(Binary, 0, true, []byte("same"))
		}
		if err != nil {
			t.Fatal(err)
		}
		head, payload, err := p.next()
		if err != nil || string(payload) != "same" || !head.Masked || head.Rsv != 0 {
			t.Fatalf("frame %+v %q: %v", head, payload, err)
		}
		if seen[head.Key] {
			t.Fatalf("key %08x of frame %d was there before", head.Key, i)
		}
		seen[head.Key] = true
	}
}
