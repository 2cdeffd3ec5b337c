package libws

import (
	"slices"
	"testing"
	"time"

	"aiows/libws/wire"
)

// closed takes CLOSED and compares it.
func (h *host) closed(code, sent int, flags uint16, reason string) {
	h.t.Helper()
	e := h.until(EventClosed, 1)
	if e.Code != int32(code) || int(e.CloseSent) != sent || e.Flags != flags || string(e.data) != reason {
		h.t.Errorf("CLOSED code %d, sent %d, flags %d, reason %q; expected %d, %d, %d, %q",
			e.Code, e.CloseSent, e.Flags, e.data, code, sent, flags, reason)
	}
	h.settled()
	if i := slices.IndexFunc(h.seen, func(e got) bool { return e.Conn == 1 && e.Type == EventClosed }); i >= 0 {
		h.t.Error("a second CLOSED")
	}
	if st := h.loop.Stats(); st.Connections != 0 {
		h.t.Errorf("%d connections after CLOSED", st.Connections)
	}
}

// TestPeerCloses: its code and reason come back, the server's end of TCP first.
func TestPeerCloses(t *testing.T) {
	patient := func(o *ConnOptions) { o.CloseTimeout = 2 * hang } // it is not what ends TCP
	inBothRoles(t, patient, func(h *host, c *Conn, p *peer) {
		p.write(append(p.frame(1, true, []byte("last")), append(p.frame(8, true, []byte(closePayload(3999, "done"))), p.frame(1, true, []byte("too late"))...)...))
		e := h.until(EventClosing, 1)
		if e.Code != 3999 || string(e.data) != "done" {
			p.t.Errorf("CLOSING %d %q", e.Code, e.data)
		}
		if _, err := c.Send(Text, 0, nil); err != CodeClosed {
			p.t.Errorf("send after the peer's Close: %v", err)
		}
		p.expectCloseWith(3999, "done")
		if c.role == wire.Server {
			h.async("FIN", p.expectEnd)
		} else {
			h.settled()
			if c.State() != StateClosing {
				p.t.Errorf("state %d before the server's FIN", c.State())
			}
		}
		p.socket.Close()
		h.closed(3999, 3999, FlagClean|FlagPeer, "done")
		if m := h.take(EventMessage); len(m) != 1 || string(m[0].data) != "last" {
			p.t.Errorf("messages %v", m)
		}
		i := c.Info()
		if i.CloseReceived != 3999 || i.CloseSent != 3999 || i.CloseReasonReceived != "done" || i.CloseReasonSent != "done" || c.Err() != nil {
			p.t.Errorf("info %+v, error %v", i, c.Err())
		}
	})
}

// TestCloseWithoutCode, from either side.
func TestCloseWithoutCode(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		if err := c.Close(0, ""); err != nil {
			p.t.Fatal(err)
		}
		p.expect(wire.OpClose, "")
		p.send(8, "")
		h.until(EventClosing, 1)
		p.socket.Close()
		h.closed(1005, 1005, FlagClean, "")
	})
}

// TestWeClose: messages before the peer's answer are still told.
func TestWeClose(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		if err := c.Close(4000, "fini \u00e9"); err != nil {
			p.t.Fatal(err)
		}
		if err := c.Close(1000, "again"); err != nil {
			p.t.Errorf("second Close: %v", err)
		}
		p.expect(wire.OpClose, closePayload(4000, "fini \u00e9"))
		p.send(1, "crossing")
		p.send(9, "x") // must stay unanswered: nothing follows a Close
		p.send(8, closePayload(1001, "own code"))
		h.until(EventClosing, 1)
		if m := h.take(EventMessage); len(m) != 1 || string(m[0].data) != "crossing" {
			p.t.Errorf("messages %v", m)
		}
		if c.role == wire.Server {
			h.async("FIN", p.expectEnd)
		}
		p.socket.Close()
		h.closed(1001, 4000, FlagClean, "own code")
	})
}

// TestSimultaneousClose: both Close frames cross.
func TestSimultaneousClose(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		p.send(8, closePayload(1000, "mine"))
		if !eventually(func() bool { return h.readable(0) }) {
			p.t.Fatal("nothing came")
		}
		if err := c.Close(1001, "ours"); err != nil {
			p.t.Fatal(err)
		}
		h.until(EventClosing, 1)
		p.expect(wire.OpClose, closePayload(1001, "ours"))
		if c.role == wire.Server {
			h.async("FIN", p.expectEnd)
		}
		p.socket.Close()
		h.closed(1000, 1001, FlagClean, "mine")
	})
}

// TestNoAutoClose: the host answers, or the close timeout ends it.
func TestNoAutoClose(t *testing.T) {
	inBothRoles(t, func(o *ConnOptions) { o.AutoClose = false }, func(h *host, c *Conn, p *peer) {
		p.send(8, closePayload(1001, ""))
		h.until(EventClosing, 1)
		h.settled()
		if c.writer.closeSent.Load() {
			p.t.Fatal("Close was answered")
		}
		if err := c.Close(4001, "my answer"); err != nil {
			p.t.Fatal(err)
		}
		p.expect(wire.OpClose, closePayload(4001, "my answer"))
		p.socket.Close()
		h.closed(1001, 4001, FlagClean|FlagPeer, "")
	})
	t.Run("timeout", func(t *testing.T) {
		h := newHost(t)
		_, p := h.client(nil, func(o *ConnOptions) { o.AutoClose, o.CloseTimeout = false, 20*time.Millisecond }, nil)
		p.send(8, closePayload(1001, ""))
		h.closed(1001, 0, FlagPeer, "")
	})
}

// TestEndInsteadOfClose: FIN or RST where a Close frame is due.
func TestEndInsteadOfClose(t *testing.T) {
	for _, ours := range []bool{false, true} {
		for _, reset := range []bool{false, true} {
			inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
				p.send(1, "before")
				p.write(p.frame(2, false, []byte("half"))[:3])
				h.until(EventMessage, 1)
				sent := 0
				if ours {
					sent = 1000
					_ = c.Close(1000, "")
					p.expectClose(1000)
				}
				if reset {
					p.reset()
				} else {
					p.socket.Close()
				}
				h.closed(1006, sent, 0, "")
				if err := c.Err(); err == nil || err.Code != CodeLost {
					p.t.Errorf("error %v", err)
				}
			})
		}
	}
}

// TestCloseInFrontOfReset: a Close that was received counts, whatever ends the socket
// and whatever failed to be sent.
func TestCloseInFrontOfReset(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		p.send(1, "unread")
		p.send(8, closePayload(1012, "restart"))
		p.socket.Close() // with unread bytes of ours this is a reset
		time.Sleep(5 * time.Millisecond)
		_, _ = c.Send(Binary, SendForce, make([]byte, 1<<20))
		time.Sleep(5 * time.Millisecond)
		_, _ = c.Send(Binary, SendForce, make([]byte, 1<<20))
		h.until(EventClosing, 1)
		e := h.until(EventClosed, 1)
		if e.Code != 1012 || string(e.data) != "restart" || e.Flags&FlagPeer == 0 {
			p.t.Errorf("CLOSED %d %q, flags %d", e.Code, e.data, e.Flags)
		}
		if m := h.take(EventMessage); len(m) != 1 {
			p.t.Errorf("%d messages", len(m))
		}
	})
}

// TestCloseTimeout: peers that do not play their part are left.
func TestCloseTimeout(t *testing.T) {
	quick := func(o *ConnOptions) { o.CloseTimeout = 30 * time.Millisecond }
	t.Run("silent", func(t *testing.T) {
		inBothRoles(t, quick, func(h *host, c *Conn, p *peer) {
			_ = c.Close(1000, "")
			h.closed(1006, 1000, 0, "")
			if err := c.Err(); err == nil || err.Code != CodeTimeout {
				p.t.Errorf("error %v", err)
			}
		})
	})
	t.Run("never reads", func(t *testing.T) {
		inBothRoles(t, quick, func(h *host, c *Conn, p *peer) {
			h.clog(c)
			_ = c.Close(1000, "")
			h.closed(1006, 1000, 0, "")
		})
	})
	t.Run("floods", func(t *testing.T) {
		inBothRoles(t, quick, func(h *host, c *Conn, p *peer) {
			flood := p.frame(2, true, make([]byte, 10000))
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					if _, err := p.stream.Write(flood); err != nil {
						return
					}
				}
			}()
			h.until(EventMessage, 1)
			_ = c.Close(1000, "")
			h.while("the end", func() bool { h.take(EventMessage); return c.Ended() })
			h.closed(1006, 1000, 0, "")
			p.socket.Close()
			<-done
		})
	})
	t.Run("stays", func(t *testing.T) { // the handshake is done, TCP is not
		inBothRoles(t, quick, func(h *host, c *Conn, p *peer) {
			p.send(8, closePayload(1000, ""))
			h.closed(1000, 1000, FlagClean|FlagPeer, "")
			if c.Err() != nil {
				p.t.Errorf("error %v", c.Err())
			}
		})
	})
	t.Run("after a failure", func(t *testing.T) {
		inBothRoles(t, quick, func(h *host, c *Conn, p *peer) {
			p.write([]byte{0xff, 0xff})
			p.expectPolling(h, wire.OpClose, closePayload(1002, wire.ErrReservedOpcode.Error()))
			h.closed(1006, 1002, 0, "")
			if err := c.Err(); err == nil || err.Code != CodeProtocol || err.CloseCode != 1002 {
				p.t.Errorf("error %+v", err)
			}
		})
	})
}

// TestCloseBesideAWriter: a sender holds the write lock while the reactor wants to
// close; the handshake goes on when it lets go.
func TestCloseBesideAWriter(t *testing.T) {
	for _, breach := range []bool{false, true} {
		inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
			c.wmu.Lock()
			if breach {
				p.write([]byte{0xff, 0xff})
			} else {
				p.send(8, closePayload(1000, ""))
			}
			h.while("the state", func() bool { return c.State() == StateClosing })
			c.unlockWrite()
			code := 1000
			if breach {
				code = 1002
			}
			h.async("Close", func() {
				p.expectClose(code)
				if c.role == wire.Server || breach {
					p.expectEnd()
				}
			})
			if c.ending.deadline == 0 {
				h.settled()
				if c.ending.deadline == 0 {
					p.t.Error("closing without a deadline")
				}
			}
		})
	}
}

// TestCloseCompleteBesideAWriter: the same when only the end of TCP is left to do.
func TestCloseCompleteBesideAWriter(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		h := newHost(t)
		c, p := h.server(secure, func(o *ConnOptions) { o.AutoClose, o.CloseTimeout = false, 0 }, nil)
		_ = c.Close(1000, "")
		p.expectClose(1000)
		c.wmu.Lock()
		p.send(8, closePayload(1000, ""))
		h.until(EventClosing, 1)
		for range 10 {
			h.poll(0)
		}
		c.unlockWrite()
		h.async("FIN", p.expectEnd)
	})
}

// TestCloseWhilePaused: the messages that are held back are dropped, the peer's Close
// is reached, also behind more than a batch takes.
func TestCloseWhilePaused(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		_ = c.Pause()
		for range 10 {
			p.send(1, "held")
			p.send(9, "x")
		}
		h.settled()
		h.cap = 1
		_ = c.Close(1000, "")
		p.send(8, closePayload(1000, ""))
		h.while("Close", func() bool { return len(h.take(EventClosing)) == 1 })
		if m := h.take(EventMessage); len(m) > 0 {
			p.t.Errorf("%d messages although paused", len(m))
		}
		p.socket.Close()
		h.closed(1000, 1000, FlagClean, "")
	})
}

// TestCloseWhileHeldInUserSpace: the same when the batch was full before the pause.
func TestCloseWhileHeldInUserSpace(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		h.cap = 1
		var b []byte
		for range 10 {
			b = append(b, p.frame(1, true, []byte("held"))...)
			b = append(b, p.frame(9, true, []byte("x"))...)
		}
		p.write(append(b, p.frame(8, true, []byte(closePayload(1000, "")))...))
		h.until(EventMessage, 1)
		_ = c.Pause()
		h.settled()
		_ = c.Close(1000, "")
		h.while("Close", func() bool { return len(h.take(EventClosing)) == 1 })
		p.socket.Close()
		h.closed(1000, 1000, FlagClean|FlagPeer, "") // it was answered as it came
	})
}

// TestResumeWhileClosing: what follows a message that was dropped is dropped, too, so
// that the host never sees a gap, nor the end of a message without its beginning.
func TestResumeWhileClosing(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		_ = c.Stream(true)
		p.write(p.frame(wire.OpText, false, []byte("a")))
		h.until(EventMessage, 1)
		_ = c.Pause()
		_ = c.Close(1000, "")
		p.write(p.frame(wire.OpContinuation, false, []byte("dropped")))
		h.while("frame", func() bool { return c.Stats().FramesReceived == 2 })
		_ = c.Resume()
		p.write(p.frame(wire.OpContinuation, true, []byte("b")))
		p.send(1, "later")
		p.send(8, closePayload(1000, ""))
		h.while("Close", func() bool { return len(h.take(EventClosing)) == 1 })
		if m := h.take(EventMessage); len(m) > 0 {
			p.t.Errorf("%d messages after one was dropped", len(m))
		}
		p.socket.Close()
		h.closed(1000, 1000, FlagClean, "")
	})
}

// TestAbortIsTheEnd: nothing is written after it, though no Poll has come yet.
func TestAbortIsTheEnd(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		if _, err := c.Send(Text, 0, []byte("before")); err != nil {
			p.t.Fatal(err)
		}
		if err := c.Abort(); err != nil {
			p.t.Fatal(err)
		}
		if _, err := c.Send(Text, SendForce, []byte("after")); err != CodeClosed {
			p.t.Errorf("Send: %v", err)
		}
		for name, f := range map[string]func([]byte) error{"Ping": c.Ping, "Pong": c.Pong} {
			if err := f(nil); err != CodeClosed {
				p.t.Errorf("%s: %v", name, err)
			}
		}
		if err := c.Close(1000, "after"); err != nil {
			p.t.Errorf("Close: %v", err)
		}
		p.send(9, "x") // nobody answers
		h.closed(1006, 0, 0, "")
		p.expect(wire.OpText, "before")
		if _, b, err := p.next(); err == nil {
			p.t.Errorf("%q was written after Abort", b)
		}
		if err := c.Err(); err == nil || err.Code != CodeAborted {
			p.t.Errorf("error %v", err)
		}
	})
}

// TestAbortDropsTheBacklog: what the socket did not take before, it never gets.
func TestAbortDropsTheBacklog(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		h.clog(c)
		if err := c.Abort(); err != nil {
			p.t.Fatal(err)
		}
		if n := c.Buffered(); n > 0 {
			p.t.Errorf("%d bytes wait", n)
		}
		h.closed(1006, 0, 0, "")
	})
}
