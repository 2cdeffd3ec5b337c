package libws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"aiows/libws/handshake"
	"aiows/libws/wire"

	"golang.org/x/sys/unix"
)

// listenWith is listen with options changed.
func (h *host) listenWith(secure *testTLS, change func(*ListenOptions)) *Listener {
	h.t.Helper()
	h.number()
	o := &ListenOptions{Host: "127.0.0.1", OpenTimeout: hang}
	if secure != nil {
		o.TLS = secure.server
	}
	change(o)
	ln, err := h.loop.Listen(o, 77)
	if err != nil {
		h.t.Fatal(err)
	}
	ln.SetHandle(100)
	if err := ln.Start(); err != nil {
		h.t.Fatal(err)
	}
	return ln
}

// answer reads all that a server says, polling; a reset fails the test.
func (h *host) answer(p *peer) (all string) {
	h.t.Helper()
	h.async("the answer", func() {
		b, err := io.ReadAll(p.in)
		if err != nil {
			h.t.Errorf("answer %q: %v", b, err)
		}
		all = string(b)
	})
	return all
}

func (h *host) gone(what string) {
	h.t.Helper()
	h.while(what, func() bool { return h.loop.Stats().Connections == 0 })
}

// TestBadRequests: each gets its status, whole, also when more follows the request.
func TestBadRequests(t *testing.T) {
	replace := func(old, new string) string { return strings.Replace(sampleRequest, old, new, 1) }
	for _, test := range []struct{ name, request, status, contains string }{
		{"method", replace("GET", "POST"), "405", "Allow: GET"},
		{"version", replace("Version: 13", "Version: 8"), "426", "Sec-WebSocket-Version: 13"},
		{"no upgrade", replace("Upgrade: websocket\r\n", ""), "426", "Upgrade: websocket"},
		{"key", replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), "400", ""},
		{"host", replace("Host: example.com\r\n", ""), "400", ""},
		{"garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400", ""},
		{"http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", ""},
		{"long line", "GET /" + strings.Repeat("x", 9000), "414", ""},
		{"many fields", "GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 129), "431", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, secure *testTLS) {
				for _, extra := range []int{0, 100, 300 << 10} {
					h := newHost(t)
					defer h.loop.Close()
					ln := h.listen(secure)
					p := h.ask(ln, secure, nil)
					go func() { _, _ = p.stream.Write(append([]byte(test.request), make([]byte, extra)...)) }()
					var head, body string
					h.async("the answer", func() {
						head = p.head()
						b, err := io.ReadAll(p.in)
						if err != nil && !strings.Contains(err.Error(), "closed") {
							t.Errorf("after %q: %v", head, err)
						}
						body = string(b)
						p.socket.Close()
					})
					if !strings.HasPrefix(head, "HTTP/1.1 "+test.status+" ") || !strings.Contains(head, test.contains) || body == "" {
						t.Errorf("%d more bytes: answer %q %q", extra, head, body)
					}
					h.gone("the refused")
					if len(h.seen) > 0 {
						t.Errorf("events %+v", h.seen)
					}
				}
			})
		})
	}
}

// TestRequest: what a host learns and may answer.
func TestRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		h := newHost(t)
		ln := h.listenWith(secure, func(o *ListenOptions) { o.ServerName = "test/1" })
		next := func() *Request {
			e := h.until(EventRequest, 100)
			return h.requests[e.Request-1]
		}
		p := h.ask(ln, secure, []byte(sampleRequest))
		r := next()
		method, target, local, remote, header, subprotocols := r.Info()
		if method != "GET" || target != "/chat?x=1" || header.Get("Host") != "example.com" || fmt.Sprint(subprotocols) != "[a b]" ||
			local != p.socket.RemoteAddr().String() || remote != p.socket.LocalAddr().String() {
			t.Errorf("request %s %s %s %s %v %v", method, target, local, remote, header, subprotocols)
		}
		var e *Error
		if _, err := r.NewConn(&AcceptOptions{Subprotocol: "c"}, 0); !errors.As(err, &e) || e.Code != CodeArgument {
			t.Errorf("a subprotocol that was not offered: %v", err)
		}
		if _, err := r.NewConn(&AcceptOptions{Headers: handshake.Header{{Name: "X", Value: "a\r\nb"}}}, 0); !errors.As(err, &e) || e.Code != CodeHeader {
			t.Errorf("a field with a line end: %v", err)
		}
		c, err := r.NewConn(&AcceptOptions{Subprotocol: "b", Headers: handshake.Header{{Name: "X-A", Value: "1"}}, Conn: quiet(nil)}, 10)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.NewConn(&AcceptOptions{}, 0); err != CodeState {
			t.Errorf("second answer: %v", err)
		}
		if err := r.Reject(400, nil, nil); err != CodeState {
			t.Errorf("second answer: %v", err)
		}
		c.SetHandle(1)
		c.Start()
		h.until(EventOpen, 1)
		if head := p.head(); !strings.Contains(head, "Sec-WebSocket-Protocol: b\r\n") || !strings.Contains(head, "X-A: 1\r\n") || !strings.Contains(head, "Server: test/1\r\n") {
			t.Errorf("answer %q", head)
		}
		if i := c.Info(); !i.Server || i.Subprotocol != "b" || i.ResponseStatus != 101 || i.ResponseHeaders.Get("X-A") != "1" || i.RequestTarget != "/chat?x=1" {
			t.Errorf("info %+v", i)
		}
		r.Free() // changes nothing
		p.send(1, "hello")
		h.until(EventMessage, 1)
		c.Free()

		p = h.ask(ln, secure, []byte(sampleRequest))
		r = next()
		for _, status := range []int{101, 199, 600} {
			if err := r.Reject(status, nil, nil); !errors.As(err, &e) || e.Code != CodeArgument {
				t.Errorf("reject with %d: %v", status, err)
			}
		}
		if err := r.Reject(403, handshake.Header{{Name: "X", Value: "a\nb"}}, nil); !errors.As(err, &e) || e.Code != CodeHeader {
			t.Errorf("reject with a bad field: %v", err)
		}
		if err := r.Reject(403, handshake.Header{{Name: "X-Why", Value: "no"}}, []byte("go away")); err != nil {
			t.Fatal(err)
		}
		if a := h.answer(p); !strings.HasPrefix(a, "HTTP/1.1 403 Forbidden\r\n") || !strings.Contains(a, "X-Why: no\r\n") || !strings.HasSuffix(a, "\r\n\r\ngo away") {
			t.Errorf("answer %q", a)
		}
		if _, err := r.NewConn(&AcceptOptions{}, 0); err == nil {
			t.Error("accepted after Reject")
		}
		p.socket.Close()

		p = h.ask(ln, secure, []byte(sampleRequest))
		next().Free()
		if a := h.answer(p); !strings.HasPrefix(a, "HTTP/1.1 503 ") {
			t.Errorf("answer %q", a)
		}
		p.socket.Close()
		h.gone("connections")
	})
}

// TestLargeRejection: a body that the socket does not take at once.
func TestLargeRejection(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		h := newHost(t)
		ln := h.listen(secure)
		p := h.ask(ln, secure, []byte(sampleRequest))
		e := h.until(EventRequest, 100)
		body := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
		if err := h.requests[e.Request-1].Reject(500, nil, body); err != nil {
			t.Fatal(err)
		}
		if a := h.answer(p); !strings.HasSuffix(a, string(body)) || !strings.HasPrefix(a, "HTTP/1.1 500 ") {
			t.Errorf("answer of %d bytes", len(a))
		}
		p.socket.Close()
		h.gone("the refused")
	})
}

// endOpening makes it look as if the time for every opening handshake has passed.
func (h *host) endOpening() {
	h.loop.mu.Lock()
	defer h.loop.mu.Unlock()
	for i := range h.loop.slots {
		if c := h.loop.slots[i].conn; c != nil && c.opened.deadline != 0 {
			c.opened.deadline = 1
			c.retime()
		}
	}
	h.loop.nudge()
}

// TestUnansweredRequest: time runs out, the loop does not spin meanwhile although bytes
// wait, and the host learns it when it answers.
func TestUnansweredRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		for _, tail := range []int{0, 200 << 10} {
			h := newHost(t)
			defer h.loop.Close()
			ln := h.listenWith(secure, func(o *ListenOptions) { o.OpenTimeout = hang })
			p := h.ask(ln, secure, nil)
			go func() { _, _ = p.stream.Write(append([]byte(sampleRequest), make([]byte, tail)...)) }()
			e := h.until(EventRequest, 100)
			r := h.requests[e.Request-1]
			if n := h.wakeups(50 * time.Millisecond); n > pausedWakeups {
				t.Errorf("%d wake-ups while the request waits for an answer", n)
			}
			h.endOpening()
			if e := h.until(EventGone, 100); h.requests[e.Request-1] != r || e.UserData != 77 {
				t.Errorf("gone is %+v", e.Event)
			}
			h.gone("the request")
			if _, err := r.NewConn(&AcceptOptions{}, 0); err != CodeClosed {
				t.Errorf("accept: %v", err)
			}
			if err := r.Reject(400, nil, nil); err != CodeClosed {
				t.Errorf("reject: %v", err)
			}
			r.Free()
			h.settled()
			if len(h.seen) > 0 {
				t.Errorf("events %+v", h.seen)
			}
		}
	})
}

// TestRefusedFlood: a refused client that keeps sending is drained without spinning on
// what TLS holds, until its time is over.
func TestRefusedFlood(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		h := newHost(t)
		ln := h.listenWith(secure, func(o *ListenOptions) { o.OpenTimeout = hang })
		p := h.ask(ln, secure, nil)
		p.write(append([]byte("POST / HTTP/1.1\r\nHost: x\r\n\r\n"), make([]byte, 60<<10)...))
		if head := func() (s string) { h.async("head", func() { s = p.head() }); return s }(); !strings.HasPrefix(head, "HTTP/1.1 405 ") {
			t.Errorf("answer %q", head)
		}
		if n := h.wakeups(100 * time.Millisecond); n > 100 { // it is read in steps of 4 KiB
			t.Errorf("%d wake-ups for a refused client that waits", n)
		}
		h.endOpening()
		h.gone("the refused")
	})
}

// TestSlowloris: heads, and TLS handshakes, that never end are bounded by the open
// timeout.
func TestSlowloris(t *testing.T) {
	secure := newTestTLS(t)
	for name, context := range map[string]*testTLS{"ws": nil, "wss": secure} {
		t.Run(name, func(t *testing.T) {
			h := unwatched(t) // or it may be over before it was seen
			ln := h.listenWith(context, func(o *ListenOptions) { o.OpenTimeout = 60 * time.Millisecond })
			p := h.ask(ln, nil, nil)
			text := []byte(sampleRequest)
			if context != nil { // a ClientHello
				text = append([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), make([]byte, 0x1f0)...)
			}
			came := false
			h.while("the end", func() bool {
				open := h.loop.Stats().Connections > 0
				came = came || open
				if open && len(text) > 1 {
					_, _ = p.socket.Write(text[:1])
					text = text[1:]
				}
				return came && !open
			})
			if b, err := io.ReadAll(p.socket); err != nil && !isReset(err) {
				t.Errorf("%q, %v", b, err)
			}
			if len(h.seen) > 0 {
				t.Errorf("events %+v", h.seen)
			}
		})
	}
}

// TestMaxHandshakes: more clients wait in the kernel, without waking the host, until one
// is done.
func TestMaxHandshakes(t *testing.T) {
	h := newHost(t)
	ln := h.listenWith(nil, func(o *ListenOptions) { o.MaxHandshakes = 2 })
	a, b := h.ask(ln, nil, []byte("GET")), h.ask(ln, nil, []byte("GET"))
	h.while("two", func() bool { return h.loop.Stats().Connections == 2 })
	c := h.ask(ln, nil, []byte(sampleRequest))
	h.settled()
	if n := h.loop.Stats().Connections; n != 2 {
		t.Errorf("%d handshakes at a time", n)
	}
	if n := h.wakeups(30 * time.Millisecond); n > pausedWakeups {
		t.Errorf("%d wake-ups while full", n)
	}
	a.socket.Close()
	s := h.accept(1, quiet(nil))
	h.until(EventOpen, 1) // an open one does not count
	d := h.ask(ln, nil, []byte(sampleRequest))
	h.accept(2, quiet(nil))
	h.until(EventOpen, 2)
	b.socket.Close()
	c.socket.Close()
	d.socket.Close()
	_ = s.Abort()
	h.gone("all")
}

// TestNoDescriptors: accept fails, the listener rests, and goes on later.
func TestNoDescriptors(t *testing.T) {
	h := newHost(t)
	ln := h.listen(nil)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	p := h.ask(ln, nil, []byte(sampleRequest)) // the kernel takes it
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	n := h.wakeups(250 * time.Millisecond)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if n == 0 || n > 20 {
		t.Errorf("%d wake-ups without descriptors", n)
	}
	if len(h.seen) > 0 {
		t.Fatalf("events %+v", h.seen)
	}
	h.accept(1, quiet(nil))
	h.until(EventOpen, 1)
	p.head()
	p.send(1, "x")
	h.until(EventMessage, 1)
}

// TestListenerClose: requests that wait get 503, handshakes end, connections stay.
func TestListenerClose(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		h := newHost(t)
		ln := h.listen(secure)
		open := h.ask(ln, secure, []byte(sampleRequest))
		h.accept(1, quiet(nil))
		h.until(EventOpen, 1)
		open.head()
		half := h.ask(ln, secure, []byte(sampleRequest[:50]))
		asked := h.ask(ln, secure, []byte(sampleRequest))
		e := h.until(EventRequest, 100)
		r := h.requests[e.Request-1]
		hello := h.ask(ln, nil, nil) // with TLS: its handshake is under way
		h.while("all", func() bool { return h.loop.Stats().Connections == 4 })
		ln.Close()
		ln.Close()
		if a := h.answer(asked); !strings.HasPrefix(a, "HTTP/1.1 503 ") {
			t.Errorf("answer %q", a)
		}
		asked.socket.Close()
		for _, p := range []*peer{half, hello} {
			h.async("the end", func() {
				if b, err := io.ReadAll(p.socket); err != nil && !isReset(err) {
					t.Errorf("%q %v", b, err)
				}
			})
		}
		if _, err := r.NewConn(&AcceptOptions{}, 0); err != CodeClosed {
			t.Errorf("accept after Close: %v", err)
		}
		open.send(1, "alive")
		h.until(EventMessage, 1)
		if st := h.loop.Stats(); st.Listeners != 0 {
			t.Errorf("%d listeners", st.Listeners)
		}
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ln.Port())); err == nil {
			c.Close()
			t.Error("still listening")
		}
		h.while("the rest", func() bool { return h.loop.Stats().Connections == 1 })
	})
}

// TestLoopCloseWithListener in every stage of a server's handshake; the checks are
// those at the end of newHost.
func TestLoopCloseWithListener(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		for _, stage := range []string{"idle", "hello", "head", "asked", "answered", "refused"} {
			t.Run(stage, func(t *testing.T) {
				h := newHost(t)
				ln := h.listen(secure)
				var r *Request
				switch stage {
				case "idle":
				case "hello":
					h.ask(ln, nil, nil)
					h.while("accept", func() bool { return h.loop.Stats().Connections == 1 })
				case "head":
					h.ask(ln, secure, []byte("GET"))
				default:
					h.ask(ln, secure, []byte(sampleRequest))
					r = h.requests[h.until(EventRequest, 100).Request-1]
				}
				var c *Conn
				switch stage {
				case "answered":
					var err error
					if c, err = r.NewConn(&AcceptOptions{Conn: quiet(nil)}, 0); err != nil {
						t.Fatal(err)
					}
				case "refused":
					_ = r.Reject(404, nil, nil)
				}
				h.loop.Close()
				ln.Close()
				if c != nil {
					c.Start()
					c.Free()
				}
				if r != nil {
					if err := r.Reject(400, nil, nil); err != CodeClosed && err != CodeState {
						t.Errorf("reject: %v", err)
					}
					r.Free()
				}
			})
		}
	})
}

func TestListenArguments(t *testing.T) {
	h := newHost(t)
	var e *Error
	for _, test := range []struct {
		host string
		port int
		code Code
	}{{"127.0.0.1", -1, CodeArgument}, {"127.0.0.1", 65536, CodeArgument}, {"192.0.2.1", 0, CodeSystem}, {"no.such.host.invalid", 0, CodeResolve}} {
		if _, err := h.loop.Listen(&ListenOptions{Host: test.host, Port: test.port}, 0); !errors.As(err, &e) || e.Code != test.code {
			t.Errorf("%s %d: %v", test.host, test.port, err)
		}
	}
	ln, err := h.loop.Listen(&ListenOptions{}, 0) // both families
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Start(); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(ln.Port())))
		if err != nil {
			t.Error(err)
			continue
		}
		c.Close()
	}
	if _, err := h.loop.Listen(&ListenOptions{Host: "127.0.0.1", Port: ln.Port()}, 0); !errors.As(err, &e) || e.Errno != unix.EADDRINUSE {
		t.Errorf("a port in use: %v", err)
	}
	h.settled()
}

// TestManyConnections: an echo over many at once, over every slot and in any order.
func TestManyConnections(t *testing.T) {
	h := newHost(t)
	ln := h.listen(nil)
	const count = 120
	peers := make([]*peer, count)
	for i := range peers {
		peers[i] = h.ask(ln, nil, []byte(sampleRequest))
	}
	conns := make([]*Conn, count)
	for i := range conns {
		conns[i] = h.accept(uint64(1000+i), quiet(nil))
	}
	for _, p := range peers {
		h.async("101", func() { p.head() })
	}
	for i, p := range peers {
		p.send(1, fmt.Sprint("from ", i))
	}
	echoed := 0
	h.while("messages", func() bool {
		for _, e := range h.take(EventMessage) {
			if _, err := conns[e.Conn-1000].Send(Text, 0, e.data); err != nil {
				t.Fatal(err)
			}
			echoed++
		}
		return echoed == count
	})
	for i, p := range peers {
		p.expect(wire.OpText, fmt.Sprint("from ", i))
	}
	for i, c := range conns {
		if i%2 == 0 {
			c.Free()
		} else {
			peers[i].reset()
		}
	}
	h.gone("all")
}
