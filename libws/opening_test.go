package libws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// order is the types of what connection 1 was told.
func (h *host) order() (types []EventType) {
	for _, e := range h.seen {
		if e.Conn == 1 {
			types = append(types, e.Type)
		}
	}
	return types
}

// TestFramesBehindTheHandshake sends the 101 and three frames in one segment, and in
// one TLS record: OPEN comes first, also with one event to a batch.
func TestFramesBehindTheHandshake(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		for _, capacity := range []int{1, 128} {
			for _, role := range []string{"client", "server"} {
				t.Run(fmt.Sprint(role, capacity), func(t *testing.T) {
					h := newHost(t)
					ln := listenTCP(t)
					p := &peer{masks: role == "server"}
					var tail []byte
					for i := range 3 {
						tail = append(tail, p.frame(1, true, fmt.Appendf(nil, "m%d", i))...)
					}
					if role == "client" {
						h.dialTo(ln, secure, quiet(nil))
						var key string
						p, key = h.acceptRaw(ln, secure)
						h.cap = capacity
						p.write(append(accepted(key), tail...))
					} else {
						own := h.listen(secure)
						h.ask(own, secure, append([]byte(sampleRequest), tail...))
						h.cap = capacity
						h.accept(1, quiet(nil))
					}
					h.while("messages", func() bool { return len(h.order()) >= 4 })
					if got := h.order(); !slices.Equal(got, []EventType{EventOpen, EventMessage, EventMessage, EventMessage}) {
						t.Fatalf("events %v", got)
					}
					for i, e := range h.take(EventMessage) {
						if string(e.data) != fmt.Sprintf("m%d", i) {
							t.Errorf("message %d is %q", i, e.data)
						}
					}
				})
			}
		}
	})
}

// TestCloseBehindTheHandshake: the shortest life a connection can have.
func TestCloseBehindTheHandshake(t *testing.T) {
	for _, ending := range []string{"close", "fin", "reset"} {
		t.Run(ending, func(t *testing.T) {
			h := newHost(t)
			ln := listenTCP(t)
			c := h.dialTo(ln, nil, quiet(nil))
			p, key := h.acceptRaw(ln, nil)
			answer := accepted(key)
			if ending == "close" {
				answer = append(answer, p.frame(8, true, []byte(closePayload(1001, "away")))...)
			}
			p.write(answer)
			if ending == "reset" {
				h.until(EventOpen, 1) // else the 101 may be lost with it
				p.reset()
			} else {
				_ = p.socket.CloseWrite()
			}
			e := h.until(EventClosed, 1)
			want := []EventType{EventOpen, EventClosing}
			if ending != "close" {
				want = want[:1]
				if err := c.Err(); e.Code != 1006 || err == nil || err.Code != CodeLost {
					t.Errorf("CLOSED %d, error %v", e.Code, err)
				}
			}
			if ending == "reset" {
				want = nil
			}
			if got := h.order(); !slices.Equal(got, want) {
				t.Errorf("events before CLOSED: %v", got)
			}
		})
	}
}

// failing returns the error of a client connection that must not open.
func (h *host) failing(c *Conn, want Code) *Error {
	h.t.Helper()
	e := h.until(EventFailed, 1)
	if e.Code != int32(want) {
		h.t.Errorf("FAILED with code %d, expected %d", e.Code, want)
	}
	err := c.Err()
	if err == nil || err.Code != want {
		h.t.Fatalf("error %v, expected code %d", err, want)
	}
	h.settled()
	if len(h.order()) > 0 {
		h.t.Errorf("events beside FAILED: %v", h.order())
	}
	if n := h.loop.Stats().Connections; n != 0 {
		h.t.Errorf("%d connections left", n)
	}
	return err
}

func short(o *ConnectOptions) { o.OpenTimeout = 30 * time.Millisecond }

// fair leaves the peer enough time for its part.
func fair(o *ConnectOptions) { o.OpenTimeout = 2 * time.Second }

func (h *host) newClient(uri string, secure *testTLS, change func(*ConnectOptions)) *Conn {
	h.t.Helper()
	o := &ConnectOptions{URI: uri, OpenTimeout: hang, Conn: quiet(nil)}
	if secure != nil {
		o.TLS = secure.client
	}
	if change != nil {
		change(o)
	}
	c, err := h.loop.NewClient(o, 10)
	if err != nil {
		h.t.Fatal(err)
	}
	c.SetHandle(1)
	return c
}

// TestOpenTimeout lets the time run out in every stage that a peer can hold up.
func TestOpenTimeout(t *testing.T) {
	t.Run("tcp", func(t *testing.T) { // a listen queue that is full takes no SYN
		h := newHost(t)
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
			t.Fatal(err)
		}
		sa, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		port := sa.(*unix.SockaddrInet4).Port
		full := false
		for range 16 {
			filler, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 50*time.Millisecond)
			if err != nil {
				full = true
				break
			}
			defer filler.Close()
		}
		if !full {
			t.Fatal("the listen queue takes everything")
		}
		c := h.newClient(fmt.Sprintf("ws://127.0.0.1:%d/", port), nil, short)
		c.Start()
		h.failing(c, CodeTimeout)
	})
	for _, stage := range []string{"tls", "101", "half"} {
		t.Run(stage, func(t *testing.T) {
			h := newHost(t)
			ln := listenTCP(t)
			scheme, secure := "ws", (*testTLS)(nil)
			if stage == "tls" {
				scheme, secure = "wss", newTestTLS(t)
			}
			change := short
			if stage == "half" {
				change = fair
			}
			c := h.newClient(fmt.Sprintf("%s://%s/", scheme, ln.Addr()), secure, change)
			c.Start()
			if stage == "half" {
				p, _ := h.acceptRaw(ln, nil)
				p.write([]byte("HTTP/1.1 101 Switch"))
			}
			h.failing(c, CodeTimeout)
		})
	}
}

// TestFailedOpen gives a client answers that are none.
func TestFailedOpen(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		code         Code
		status       int
		body         string
	}{
		{"status", "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nX-Why: 1\r\n\r\nnope", CodeStatus, 403, "nope"},
		{"no length", "HTTP/1.0 404 Not Found\r\n\r\ngone", CodeStatus, 404, "gone"},
		{"no body", "HTTP/1.1 204 No Content\r\n\r\n", CodeStatus, 204, ""},
		{"chunked", "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbus\r\n1;x=y\r\ny\r\n0\r\n\r\n", CodeStatus, 503, "busy"},
		{"chunk with a bad size", "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbus\r\nzz\r\ny\r\n0\r\n\r\n", CodeStatus, 503, "bus"},
		{"wrong accept", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", CodeHandshake, 0, ""},
		{"no http", "220 mail.example.com ESMTP\r\n\r\n", CodeHandshake, 0, ""},
		{"silence", "", CodeHandshake, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			ln := listenTCP(t)
			c := h.dialTo(ln, nil, quiet(nil))
			p, _ := h.acceptRaw(ln, nil)
			p.write([]byte(test.answer))
			if test.name == "no length" || test.name == "silence" {
				p.socket.Close()
			} // a server that keeps the connection must not delay FAILED
			err := h.failing(c, test.code)
			if err.HTTPStatus != test.status {
				t.Errorf("status %d, expected %d", err.HTTPStatus, test.status)
			}
			if body := string(c.Info().ResponseBody); body != test.body {
				t.Errorf("body %q, expected %q", body, test.body)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		h := newHost(t)
		ln := listenTCP(t)
		ln.Close()
		c := h.dialTo(ln, nil, quiet(nil))
		if err := h.failing(c, CodeConnect); err.Errno != unix.ECONNREFUSED {
			t.Errorf("errno %v", err.Errno)
		}
	})
	t.Run("certificate", func(t *testing.T) {
		h := newHost(t)
		ln := h.listen(newTestTLS(t))
		c := h.newClient(fmt.Sprintf("wss://127.0.0.1:%d/", ln.Port()), newTestTLS(t), nil)
		c.Start()
		h.failing(c, CodeCertificate)
	})
}

// phases are the stages of a client connection; each returns one that is in it.
var phases = []struct {
	name string
	make func(h *host, secure *testTLS) *Conn
}{
	{"new", func(h *host, secure *testTLS) *Conn {
		return h.newClient("ws://127.0.0.1:1/", nil, nil)
	}},
	{"dialing", func(h *host, secure *testTLS) *Conn { return h.dialTo(listenTCP(h.t), secure, quiet(nil)) }},
	{"handshake", func(h *host, secure *testTLS) *Conn {
		ln := listenTCP(h.t)
		c := h.dialTo(ln, secure, quiet(nil))
		h.async("request", func() { h.acceptRaw(ln, secure) })
		return c
	}},
	{"handed over", func(h *host, secure *testTLS) *Conn {
		ln := listenTCP(h.t)
		c := h.dialTo(ln, secure, quiet(nil))
		p, key := h.acceptRaw(ln, secure)
		p.write(append(accepted(key), p.frame(1, true, []byte("early"))...))
		if !eventually(func() bool { return c.handover.Load() != nil }) {
			h.t.Fatal("no hand-over")
		}
		return c
	}},
	{"open", func(h *host, secure *testTLS) *Conn {
		c, p := h.client(secure, nil, nil)
		p.send(1, "unread")
		return c
	}},
	{"rest", func(h *host, secure *testTLS) *Conn {
		h.cap = 1
		c, p := h.client(secure, nil, nil)
		p.write(append(p.frame(1, true, []byte("one")), p.frame(1, true, []byte("two"))...))
		h.until(EventMessage, 1)
		return c
	}},
	{"large rest", func(h *host, secure *testTLS) *Conn {
		h.cap = 1
		c, p := h.client(secure, nil, nil)
		for i := range 20 {
			p.write(p.frame(2, true, filled(4000, byte(i))))
		}
		h.until(EventMessage, 1)
		return c
	}},
	{"half a message", func(h *host, secure *testTLS) *Conn {
		c, p := h.client(secure, nil, nil)
		p.write(p.frame(2, true, filled(200000, 'x'))[:100000])
		h.while("half", func() bool { return c.reader.have > 0 })
		return c
	}},
	{"backlog", func(h *host, secure *testTLS) *Conn {
		c, _ := h.client(secure, nil, nil)
		for c.Buffered() == 0 {
			if _, err := c.Send(Binary, SendForce, make([]byte, 1<<20)); err != nil {
				h.t.Fatal(err)
			}
		}
		return c
	}},
	{"paused", func(h *host, secure *testTLS) *Conn {
		c, p := h.client(secure, nil, nil)
		_ = c.Pause()
		p.send(1, "held")
		h.settled()
		return c
	}},
	{"closing", func(h *host, secure *testTLS) *Conn {
		c, p := h.client(secure, nil, nil)
		_ = c.Close(1000, "")
		p.expectClose(1000)
		return c
	}},
	{"closed by the peer", func(h *host, secure *testTLS) *Conn {
		c, p := h.client(secure, nil, nil)
		p.send(8, closePayload(1000, "x"))
		h.until(EventClosing, 1)
		return c
	}},
	{"ended", func(h *host, secure *testTLS) *Conn {
		c, p := h.client(secure, nil, nil)
		p.reset()
		h.until(EventClosed, 1)
		return c
	}},
}

// TestFreeInEveryPhase: no later poll names the connection and nothing is left.
func TestFreeInEveryPhase(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		for _, phase := range phases {
			t.Run(phase.name, func(t *testing.T) {
				h := newHost(t)
				c := phase.make(h, secure)
				c.Free()
				c.Free()
				h.seen = nil
				h.settled()
				if len(h.seen) > 0 {
					t.Errorf("events after Free: %+v", h.seen)
				}
				if n := h.loop.Stats().Connections; n != 0 {
					t.Errorf("%d connections", n)
				}
				if err := c.Abort(); err != CodeClosed {
					t.Errorf("Abort after Free: %v", err)
				}
				if _, err := c.Send(Text, 0, nil); err != CodeClosed {
					t.Errorf("Send after Free: %v", err)
				}
			})
		}
	})
}

// TestAbortInEveryPhase: one FAILED or CLOSED, as the last event.
func TestAbortInEveryPhase(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		for _, phase := range phases[1:] {
			t.Run(phase.name, func(t *testing.T) {
				h := newHost(t)
				c := phase.make(h, secure)
				h.seen = nil
				ended := c.Ended()
				if err := c.Abort(); ended != (err == CodeClosed) || !ended && err != nil {
					t.Fatalf("Abort: %v", err)
				}
				h.while("the end", func() bool { return c.Ended() })
				h.settled()
				n := 0
				for i, e := range h.seen {
					if e.Type == EventFailed || e.Type == EventClosed {
						n++
						if i != len(h.seen)-1 {
							t.Errorf("events behind the last: %v", h.order())
						}
						if e.Type == EventFailed && e.Code != int32(CodeAborted) {
							t.Errorf("FAILED with %d", e.Code)
						}
					}
				}
				if want := map[bool]int{false: 1, true: 0}[ended]; n != want {
					t.Errorf("%d last events, expected %d: %v", n, want, h.order())
				}
				if err := c.Err(); !ended && (err == nil || err.Code != CodeAborted) {
					t.Errorf("error %v", err)
				}
			})
		}
	})
}

// TestLoopCloseInEveryPhase: the checks are those at the end of newHost.
func TestLoopCloseInEveryPhase(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		for _, phase := range phases {
			t.Run(phase.name, func(t *testing.T) {
				h := newHost(t)
				c := phase.make(h, secure)
				h.loop.Close()
				h.loop.Close()
				if c.State() != StateClosed {
					t.Errorf("state %d", c.State())
				}
				for name, err := range map[string]error{
					"Abort": c.Abort(), "Close": c.Close(1000, ""), "Pause": c.Pause(),
				} {
					if err != CodeClosed {
						t.Errorf("%s after the loop's end: %v", name, err)
					}
				}
				if _, err := c.Send(Text, 0, nil); err != CodeClosed {
					t.Errorf("Send: %v", err)
				}
				if _, _, err := h.loop.Poll(h.buf[:], false); err != CodeHandle {
					t.Errorf("Poll: %v", err)
				}
				if _, err := h.loop.NewClient(&ConnectOptions{URI: "ws://127.0.0.1/"}, 0); err != CodeHandle {
					t.Errorf("NewClient: %v", err)
				}
				if _, err := h.loop.Listen(&ListenOptions{Host: "127.0.0.1"}, 0); err != CodeHandle {
					t.Errorf("Listen: %v", err)
				}
				_ = c.Resume()
				h.loop.Wake()
				h.loop.Trim()
				c.Free()
			})
		}
	})
}

// TestWakeAfterClose: the number of the eventfd belongs to somebody else by then.
func TestWakeAfterClose(t *testing.T) {
	h := newHost(t)
	fd := h.loop.poller.FDs()[1]
	c, p := h.client(nil, nil, nil)
	_ = c.Pause()
	p.send(1, "x")
	h.settled()
	h.loop.Close()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	if fd != pipe[1] {
		if err := unix.Dup3(pipe[1], fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
	}
	h.loop.Wake()
	_ = c.Resume()
	c.Free()
	h.loop.nudge()
	if n, err := unix.Read(pipe[0], make([]byte, 8)); err != unix.EAGAIN {
		t.Errorf("%d bytes went to a descriptor of somebody else (%v)", n, err)
	}
}

// TestLateHandover: a dialer that finishes after the end of its connection, or of the
// loop, must not bring it back, and its socket is closed.
func TestLateHandover(t *testing.T) {
	made := func(t *testing.T) (*handover, *net.TCPConn) {
		t.Helper()
		ln := listenTCP(t)
		out, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		in, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close() })
		file, err := out.(*net.TCPConn).File()
		out.Close()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		track(fd)
		return &handover{fd: fd}, in.(*net.TCPConn)
	}
	for _, test := range []struct {
		name string
		end  func(h *host, c *Conn)
	}{
		{"failed", func(h *host, c *Conn) { _ = c.Abort(); h.until(EventFailed, 1) }},
		{"freed", func(h *host, c *Conn) { c.Free() }},
		{"loop closed", func(h *host, c *Conn) { h.loop.Close() }},
		{"failed, then loop closed", func(h *host, c *Conn) { _ = c.Abort(); h.until(EventFailed, 1) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			c := h.newClient("ws://127.0.0.1:1/", nil, nil)
			test.end(h, c)
			late, socket := made(t)
			h.loop.handOver(c, late)
			switch test.name {
			case "failed", "freed":
				h.settled()
				if len(h.seen) > 0 || h.loop.Stats().Connections != 0 {
					t.Errorf("back from the dead: %+v", h.seen)
				}
			default:
				h.loop.Close()
			}
			_ = socket.SetReadDeadline(time.Now().Add(hang))
			if _, err := socket.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
				t.Errorf("the late socket is still open: %v", err)
			}
		})
	}
}

// TestCancelledDialLeavesNothing frees connections at any moment of their dial.
func TestCancelledDialLeavesNothing(t *testing.T) {
	h := newHost(t)
	ln := listenTCP(t)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { // a server that answers at once
		defer close(served)
		for ctx.Err() == nil {
			_ = ln.SetDeadline(time.Now().Add(10 * time.Millisecond))
			socket, err := ln.Accept()
			if err != nil {
				continue
			}
			go func() {
				defer socket.Close()
				_ = socket.SetDeadline(time.Now().Add(hang))
				buf := make([]byte, 4096)
				n, _ := socket.Read(buf)
				_, key, found := strings.Cut(string(buf[:n]), "Sec-WebSocket-Key: ")
				if found {
					key, _, _ = strings.Cut(key, "\r\n")
					_, _ = socket.Write(accepted(key))
					_, _ = socket.Read(buf)
				}
			}()
		}
	}()
	for i := range 200 {
		c := h.dialTo(ln, nil, quiet(nil))
		time.Sleep(time.Duration(i*7%1500) * time.Microsecond)
		if i%3 == 0 {
			h.poll(0)
		}
		if i%2 == 0 {
			c.Free()
		} else {
			_ = c.Abort()
			h.while("the end", c.Ended)
		}
	}
	h.settled()
	if n := h.loop.Stats().Connections; n != 0 {
		t.Errorf("%d connections", n)
	}
	cancel()
	<-served
}

// TestGenerationReuse: an entry of epoll's that was fetched for a connection that is
// gone must not reach the one that has its slot now.
func TestGenerationReuse(t *testing.T) {
	h := newHost(t)
	c, p := h.client(nil, nil, nil)
	stale := c.tag
	p.reset()
	h.until(EventClosed, 1)
	c2, _ := h.client(nil, nil, nil)
	if uint32(c2.tag) != uint32(stale) {
		t.Fatalf("slot %d was not reused for %d", uint32(stale), uint32(c2.tag))
	}
	if h.loop.at(stale) != nil {
		t.Error("the stale tag still finds a connection")
	}
	if s := h.loop.at(c2.tag); s == nil || s.conn != c2 {
		t.Error("the new tag finds nothing")
	}
}

// TestFreeWithEventsInHand frees connections whose events the host still holds.
func TestFreeWithEventsInHand(t *testing.T) {
	h := newHost(t)
	c, p := h.client(nil, nil, nil)
	other, q := h.client(nil, nil, nil)
	for range 3 {
		p.send(1, "first")
		q.send(1, "second")
	}
	var events [16]Event
	n := 0
	h.while("messages", func() bool {
		if !h.readable(hang) {
			return false
		}
		n, _, _ = h.loop.Poll(events[:], false)
		return n > 0
	})
	c.Free()
	other.Free()
	for _, e := range events[:n] { // payloads stay until the next Poll
		if text := string(bytesAt(e.Data, e.Len)); e.Type == EventMessage && text != "first" && text != "second" {
			t.Errorf("payload is %q after Free", text)
		}
	}
	h.seen = nil
	h.settled()
	if len(h.seen) > 0 {
		t.Errorf("events after Free: %+v", h.seen)
	}
}
