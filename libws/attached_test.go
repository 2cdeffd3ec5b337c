package libws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// attach starts an attached connection, handle 1.
func (h *host) attach(change func(*ConnectOptions)) *Conn {
	h.t.Helper()
	o := &ConnectOptions{URI: "wss://example.com/chat", OpenTimeout: hang, Conn: quiet(nil)}
	if change != nil {
		change(o)
	}
	c, err := h.loop.Attach(o, 10)
	if err != nil {
		h.t.Fatal(err)
	}
	c.SetHandle(1)
	c.Start()
	return c
}

func (h *host) drainAll(c *Conn) (all []byte) {
	h.t.Helper()
	buf := make([]byte, 1000)
	for {
		n, err := c.Drain(buf)
		if n == 0 {
			if err != nil && err != CodeClosed {
				h.t.Fatal(err)
			}
			return all
		}
		all = append(all, buf[:n]...)
	}
}

// keyOf returns the key in a request.
func keyOf(t testing.TB, request []byte) string {
	t.Helper()
	_, rest, found := strings.Cut(string(request), "Sec-WebSocket-Key: ")
	key, _, _ := strings.Cut(rest, "\r\n")
	if !found || !bytes.HasSuffix(request, []byte("\r\n\r\n")) {
		t.Fatalf("request %q", request)
	}
	return key
}

// attachOpen opens an attached connection without a peer.
func (h *host) attachOpen(change func(*ConnOptions)) *Conn {
	h.t.Helper()
	c := h.attach(func(o *ConnectOptions) { o.Conn = quiet(change) })
	h.feedAll(c, accepted(keyOf(h.t, h.drainAll(c))))
	h.until(EventOpen, 1)
	h.settled()
	h.seen = nil
	return c
}

func (h *host) feedAll(c *Conn, b []byte) {
	h.t.Helper()
	if _, err := c.Feed(b); err != nil {
		h.t.Fatal(err)
	}
}

// notOpen is failing, of an attached connection.
func (h *host) notOpen(c *Conn, want Code) *Error {
	h.t.Helper()
	h.while("FAILED", c.Ended)
	h.settled()
	h.take(EventOutput)
	return h.failing(c, want)
}

// frames is what the peer reads in b.
func frames(b []byte) []string { return naiveReader{server: true}.read(b).lines }

// TestAttachedOpens: the request comes out by Drain, the answer goes in by Feed, an octet
// at a time or with what follows it.
func TestAttachedOpens(t *testing.T) {
	for _, mode := range []string{"octets", "whole", "single"} {
		t.Run(mode, func(t *testing.T) {
			h := newHost(t)
			if mode == "single" {
				h.cap = 1
			}
			c := h.attach(func(o *ConnectOptions) { o.Subprotocols = []string{"a", "b"} })
			h.until(EventOutput, 1)
			request := h.drainAll(c)
			if !bytes.HasPrefix(request, []byte("GET /chat HTTP/1.1\r\nHost: example.com\r\n")) {
				t.Fatalf("request %q", request)
			}
			if _, err := c.Send(Text, 0, []byte("early")); err != CodeState {
				t.Fatalf("send while connecting: %v", err)
			}
			p := &peer{}
			answer := append(accepted(keyOf(t, request)), p.frame(1, true, []byte("one"))...)
			answer = append(answer, p.frame(9, true, []byte("ping"))...)
			if mode != "octets" {
				h.feedAll(c, answer)
			} else {
				for i := range answer {
					h.feedAll(c, answer[i:i+1])
					h.pollDry()
				}
			}
			h.until(EventPing, 1)
			h.until(EventOutput, 1)
			if got := h.order(); !slices.Equal(got, []EventType{EventOpen, EventMessage}) {
				t.Fatalf("events %v", got)
			}
			if got := frames(h.drainAll(c)); !slices.Equal(got, []string{"pong 70696e67"}) {
				t.Fatalf("wrote %q", got)
			}
			if i := c.Info(); i.ResponseStatus != 101 || i.LocalAddress != "" || i.RemoteAddress != "" || i.URI != "wss://example.com/chat" {
				t.Fatalf("info %+v", i)
			}
			h.settled()
			if n := h.wakeups(20 * time.Millisecond); n != 0 {
				t.Errorf("%d wake-ups of an idle loop", n)
			}
			if s := c.Stats(); s.BytesReceived != uint64(len(answer)) || s.BytesSent != uint64(len(request)+10) {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// TestAttachedRefuses: an answer that is no 101 fails as it does over a socket, however it
// is cut, with the same error and body.
func TestAttachedRefuses(t *testing.T) {
	long := strings.Repeat("x", 64<<10+10)
	for name, answer := range map[string]string{
		"length":    "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello, and more",
		"no body":   "HTTP/1.1 204 No Content\r\n\r\n",
		"empty":     "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
		"end":       "HTTP/1.1 503 Busy\r\nRetry-After: 3\r\n\r\nas much as there is",
		"chunks":    "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n3\r\n, a\r\n0\r\n\r\n",
		"cut chunk": "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"bad chunk": "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
		"long":      "HTTP/1.1 403 No\r\nContent-Length: 100000\r\n\r\n" + long,
		"chunky":    fmt.Sprintf("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(long), long),
		"garbage":   "SSH-2.0-OpenSSH_9.2\r\n",
		"key":       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
		"nothing":   "",
		"half":      "HTTP/1.1 101 Switching",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			ln := listenTCP(t)
			c := h.dialTo(ln, nil, quiet(nil))
			p, _ := h.acceptRaw(ln, nil)
			p.write([]byte(answer))
			_ = p.socket.CloseWrite()
			h.until(EventFailed, 1)
			want, body := c.Err(), c.Info().ResponseBody
			for _, size := range []int{1, 7, 1 << 20} {
				if size == 1 && len(answer) > 1000 {
					continue
				}
				c := h.attach(func(o *ConnectOptions) { o.URI = fmt.Sprintf("ws://%s/chat", ln.Addr()) })
				for piece := range slices.Chunk([]byte(answer), size) {
					if _, err := c.Feed(piece); err != nil && !c.Ended() {
						t.Fatal(err)
					}
					h.pollDry()
				}
				_ = c.FeedEnd(0, "")
				h.until(EventFailed, 1)
				// The key that the error names differs.
				text := func(e *Error) string { s, _, _ := strings.Cut(e.Text, ", expected \""); return s }
				if got := c.Err(); got.Code != want.Code || text(got) != text(want) || got.HTTPStatus != want.HTTPStatus {
					t.Errorf("error %+v, over a socket %+v", got, want)
				}
				if got := c.Info().ResponseBody; !bytes.Equal(got, body) {
					t.Errorf("body of %d bytes, over a socket %d", len(got), len(body))
				}
			}
		})
	}
}

// TestAttachedOpenTimeout: the deadline ends the opening, but not before what the host fed
// was read.
func TestAttachedOpenTimeout(t *testing.T) {
	h := newHost(t)
	c := h.attach(func(o *ConnectOptions) { o.OpenTimeout = 10 * time.Millisecond })
	h.feedAll(c, []byte("HTTP/1.1 101 Swit"))
	h.notOpen(c, CodeTimeout)

	c = h.attach(func(o *ConnectOptions) { o.OpenTimeout = 10 * time.Millisecond })
	h.feedAll(c, []byte("HTTP/1.1 403 No\r\n\r\npart"))
	h.notOpen(c, CodeStatus)
	if got := c.Info().ResponseBody; string(got) != "part" {
		t.Errorf("body %q", got)
	}

	c = h.attach(func(o *ConnectOptions) { o.OpenTimeout = 5 * time.Millisecond })
	h.feedAll(c, accepted(keyOf(t, h.drainAll(c))))
	time.Sleep(20 * time.Millisecond) // the host does not poll
	h.until(EventOpen, 1)
}

// TestAttachedEchoes talks to a server of ours through a pump made by hand, in pieces of
// random sizes.
func TestAttachedEchoes(t *testing.T) {
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprint("compressed ", packed), func(t *testing.T) {
			h := newHost(t)
			ln := h.listen(nil)
			socket, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ln.Port()))
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			set := func(o *ConnOptions) { o.Compression, o.MaxMessageSize, o.ReadAhead = packed, 0, 100000 }
			c := h.attach(func(o *ConnectOptions) { o.URI, o.Conn = "ws://x/", quiet(set) })
			p := newPump(h, c, socket)
			p.until(func() bool { return len(h.requests) > 0 || p.requested() })
			s := h.accept(2, quiet(set))
			p.until(func() bool { return c.State() == StateOpen })
			ln.Close()
			for _, n := range []int{0, 1, 125, 65536, 3 << 20} {
				sent := random(n)
				if packed {
					sent = bytes.Repeat([]byte("market data "), n/12)
				}
				if _, err := c.Send(Binary, SendForce, sent); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Send(Binary, SendForce, sent); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					var got []byte
					p.until(func() bool {
						for i, e := range h.seen {
							if e.Type == EventMessage {
								got = e.data
								h.seen = slices.Delete(h.seen, i, i+1)
								return true
							}
						}
						return false
					})
					if !bytes.Equal(got, sent) {
						t.Fatalf("sent %d bytes, got %d", len(sent), len(got))
					}
				}
			}
			if err := c.Close(1000, "bye"); err != nil {
				t.Fatal(err)
			}
			p.until(func() bool { return c.Ended() })
			if e := h.until(EventClosed, 1); e.Code != 1000 || e.Flags&FlagClean == 0 {
				t.Errorf("CLOSED %d, flags %d", e.Code, e.Flags)
			}
			socket.Close() // which the server awaits
			h.until(EventClosed, 2)
		})
	}
}

// pump carries the bytes of an attached connection over a socket.
type pump struct {
	h      *host
	conn   *Conn
	socket net.Conn
	held   []byte // what Feed refused
}

func newPump(h *host, c *Conn, socket net.Conn) *pump { return &pump{h: h, conn: c, socket: socket} }

func (p *pump) requested() bool {
	return slices.ContainsFunc(p.h.seen, func(e got) bool { return e.Type == EventRequest })
}

func (p *pump) until(f func() bool) {
	p.h.t.Helper()
	buf := make([]byte, 70000)
	for deadline := time.Now().Add(hang); !f(); {
		if time.Now().After(deadline) {
			p.h.t.Fatalf("no end of pumping; seen %d events", len(p.h.seen))
		}
		if n, err := p.conn.Drain(buf[:1+rand.IntN(len(buf))]); n > 0 {
			_ = p.socket.SetWriteDeadline(time.Now().Add(hang))
			if _, err := p.socket.Write(buf[:n]); err != nil {
				p.h.t.Fatal(err)
			}
		} else if err == CodeClosed {
			_ = p.socket.(*net.TCPConn).CloseWrite()
		}
		if len(p.held) == 0 {
			_ = p.socket.SetReadDeadline(time.Now().Add(time.Millisecond))
			n, err := p.socket.Read(buf[:1+rand.IntN(len(buf))])
			p.held = append(p.held, buf[:n]...)
			if errors.Is(err, io.EOF) {
				_ = p.conn.FeedEnd(0, "")
			}
		}
		if len(p.held) > 0 {
			switch _, err := p.conn.Feed(p.held); err {
			case nil, CodeClosed:
				p.held = nil
			case CodeAgain:
			default:
				p.h.t.Fatal(err)
			}
		}
		p.h.pollDry()
	}
}

// TestAttachedOutputIsTold: once when the output stops being empty, not again before it was
// drained; the write marks count what was not drained.
func TestAttachedOutputIsTold(t *testing.T) {
	h := newHost(t)
	c := h.attachOpen(func(o *ConnOptions) { o.WriteHigh, o.WriteLow = 1000, 100 })
	told := func() int { h.settled(); return len(h.take(EventOutput)) }
	for i := range 10 {
		if _, err := c.Send(Binary, 0, filled(200, 'a')); (err != nil) != (i > 4) {
			t.Fatalf("send %d: %v, %d pending", i, err, c.Buffered())
		}
	}
	if n := told(); n != 1 {
		t.Fatalf("%d OUTPUT events", n)
	}
	buf := make([]byte, 1<<16)
	for c.Buffered() > 101 {
		if n, err := c.Drain(buf[:1]); n != 1 || err != nil {
			t.Fatalf("drained %d: %v", n, err)
		}
	}
	h.settled()
	if n := len(h.take(EventWritable)); n != 0 {
		t.Fatalf("%d WRITABLE events above the low mark", n)
	}
	if n, err := c.Drain(nil); n != 0 || err != nil {
		t.Fatalf("drain of nothing: %d, %v", n, err)
	}
	if n, err := c.Drain(buf); n != 101 || err != nil {
		t.Fatalf("drained %d: %v", n, err)
	}
	h.until(EventWritable, 1)
	if n := told(); n != 0 {
		t.Fatalf("%d OUTPUT events for an empty output", n)
	}
	if n, err := c.Drain(buf); n != 0 || err != nil {
		t.Fatalf("drained %d: %v", n, err)
	}
	// A host that drains by itself is not told.
	_, _ = c.Send(Text, 0, []byte("x"))
	h.drainAll(c)
	if n := told(); n != 0 {
		t.Fatalf("%d OUTPUT events after draining", n)
	}
	_, _ = c.Send(Text, 0, []byte("x"))
	if n := told(); n != 1 {
		t.Fatalf("%d OUTPUT events", n)
	}
}

// TestAttachedHoldsBack: what waits is bounded by ReadAhead and one call, and INPUT follows
// a refusal once, when it was delivered.
func TestAttachedHoldsBack(t *testing.T) {
	for _, ahead := range []uint64{0, 1000, 1 << 20} {
		for _, watchdog := range []bool{false, true} {
			t.Run(fmt.Sprint(ahead, watchdog), func(t *testing.T) {
				h := newHost(t)
				h.loop.patience = time.Millisecond
				h.loop.opts.NoWatchdog = !watchdog
				c := h.attachOpen(func(o *ConnOptions) { o.ReadAhead, o.MaxMessageSize = ahead, 0 })
				p := &peer{}
				fed, taken, input, paused := 0, 0, 0, true
				_ = c.Pause()
				wantInput := false
				for fed < 300 {
					one := p.frame(2, true, filled(50000, byte(fed)))
					pending, err := c.Feed(one)
					if err == nil {
						fed++
					}
					if err == nil && !pending {
						if wantInput {
							t.Fatalf("taken in spite of an owed INPUT, %d", fed)
						}
						continue
					}
					if err != nil && err != CodeAgain {
						t.Fatal(err)
					}
					wantInput = true
					if _, bytes := h.heap.sizes(); uint64(bytes) > ahead+12*chunkSize+4*50000 {
						t.Fatalf("%d bytes held", bytes)
					}
					if paused {
						if watchdog {
							time.Sleep(5 * time.Millisecond)
						}
						h.pollDry()
						if n := len(h.take(EventInput)); n != 0 {
							t.Fatalf("%d INPUT events while paused", n)
						}
						_ = c.Resume()
						paused = false
					}
					h.until(EventInput, 1)
					input++
					wantInput = false
					if n := len(h.take(EventInput)); n != 0 {
						t.Fatalf("%d INPUT events more", n)
					}
					for _, e := range h.take(EventMessage) {
						if !bytes.Equal(e.data, filled(50000, byte(taken))) {
							t.Fatalf("message %d is wrong", taken)
						}
						taken++
					}
				}
				h.pollDry()
				if taken += len(h.take(EventMessage)); taken != fed || input == 0 {
					t.Fatalf("%d messages of %d, %d times INPUT", taken, fed, input)
				}
			})
		}
	}
}

// TestAttachedEnds: each way in which an open connection ends, and what can be drained then.
func TestAttachedEnds(t *testing.T) {
	type ending struct {
		do     func(h *host, c *Conn)
		code   int
		flags  uint16
		err    Code
		sent   []string // frames that can be drained in the end
		ending bool     // the output ends before CLOSED
	}
	p := &peer{}
	closing := func(h *host, c *Conn) { h.feedAll(c, p.frame(8, true, []byte(closePayload(1001, "away")))) }
	end := func(c *Conn) { _ = c.FeedEnd(0, "") }
	for name, e := range map[string]ending{
		"close": {do: func(h *host, c *Conn) {
			_ = c.Close(1000, "")
			h.feedAll(c, p.frame(8, true, []byte(closePayload(1000, ""))))
			end(c)
		}, code: 1000, flags: FlagClean, sent: []string{"close 1000 "}},
		"peer closes": {do: func(h *host, c *Conn) { closing(h, c); h.pollDry(); end(c) },
			code: 1001, flags: FlagClean | FlagPeer, sent: []string{"close 1001 61776179"}},
		"at once": {do: func(h *host, c *Conn) { closing(h, c); end(c) },
			code: 1001, flags: FlagClean | FlagPeer, sent: []string{"close 1001 61776179"}},
		"end":   {do: func(h *host, c *Conn) { end(c) }, code: 1006, err: CodeLost},
		"error": {do: func(h *host, c *Conn) { _ = c.FeedEnd(syscall.ECONNRESET, "") }, code: 1006, err: CodeLost},
		"text":  {do: func(h *host, c *Conn) { _ = c.FeedEnd(0, "bad record mac") }, code: 1006, err: CodeLost},
		"abort": {do: func(h *host, c *Conn) { _, _ = c.Send(Text, 0, []byte("x")); _ = c.Abort() }, code: 1006, err: CodeAborted},
		"broken": {do: func(h *host, c *Conn) { h.feedAll(c, []byte{0xF1, 0}) },
			code: 1006, err: CodeProtocol, ending: true},
		"no answer":   {do: func(h *host, c *Conn) { _ = c.Close(1000, "") }, code: 1006, err: CodeTimeout, sent: []string{"close 1000 "}},
		"out of data": {do: func(h *host, c *Conn) { closing(h, c) }, code: 1001, flags: FlagClean | FlagPeer, sent: []string{"close 1001 61776179"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			c := h.attachOpen(func(o *ConnOptions) { o.CloseTimeout = 20 * time.Millisecond })
			e.do(h, c)
			if e.ending {
				h.pollDry()
				out := h.drainAll(c)
				h.until(EventOutput, 1) // for the frame
				h.until(EventOutput, 1) // for the end
				if _, err := c.Drain(make([]byte, 9)); err != CodeClosed || !strings.HasPrefix(fmt.Sprint(frames(out)), "[close 1002 ") {
					t.Errorf("drain says %v after %q", err, frames(out))
				}
			}
			got := h.until(EventClosed, 1)
			if int(got.Code) != e.code || got.Flags != e.flags {
				t.Errorf("CLOSED %d, flags %d", got.Code, got.Flags)
			}
			if err := c.Err(); (err == nil) != (e.err == 0) || err != nil && err.Code != e.err {
				t.Errorf("error %v", err)
			}
			if got := frames(h.drainAll(c)); !slices.Equal(got, e.sent) {
				t.Errorf("drained %q", got)
			}
			for range 2 {
				if n, err := c.Drain(make([]byte, 9)); n != 0 || err != CodeClosed {
					t.Errorf("drain after the end: %d, %v", n, err)
				}
			}
			if _, err := c.Feed([]byte("x")); err != CodeClosed {
				t.Errorf("feed after the end: %v", err)
			}
			if err := c.FeedEnd(0, ""); err != CodeClosed {
				t.Errorf("end after the end: %v", err)
			}
			h.settled()
			if h.take(EventOutput); len(h.order()) > 0 && h.order()[0] != EventClosing {
				t.Errorf("events after the end: %v", h.order())
			}
		})
	}
}

// TestAttachedEndIsExplained: the text and errno of an end reach the error.
func TestAttachedEndIsExplained(t *testing.T) {
	h := newHost(t)
	c := h.attachOpen(nil)
	_ = c.FeedEnd(syscall.ECONNRESET, "tls: bad record mac")
	if _, err := c.Feed([]byte("x")); err != CodeClosed {
		t.Errorf("feed behind the end: %v", err)
	}
	h.until(EventClosed, 1)
	if err := c.Err(); err.Errno != syscall.ECONNRESET || !strings.HasSuffix(err.Text, ": tls: bad record mac") {
		t.Errorf("error %+v", err)
	}
	c = h.attach(nil)
	_ = c.FeedEnd(syscall.EPIPE, "")
	if err := h.notOpen(c, CodeHandshake); err.Errno != syscall.EPIPE || !strings.Contains(err.Text, "example.com/chat: broken pipe") {
		t.Errorf("error %+v", err)
	}
}

// TestAttachedKeepalive: silence ends it, fed bytes are life, and the Close frame can still
// be drained.
func TestAttachedKeepalive(t *testing.T) {
	h := newHost(t)
	c := h.attachOpen(func(o *ConnOptions) { o.PingInterval, o.PingTimeout = 40*time.Millisecond, 40*time.Millisecond })
	p := &peer{}
	for range 20 {
		if _, err := c.Feed(p.frame(1, true, []byte("life"))); err != nil {
			t.Fatalf("feed: %v, ended: %v", err, c.Err())
		}
		time.Sleep(5 * time.Millisecond)
		h.pollDry()
		h.drainAll(c)
	}
	if c.State() != StateOpen {
		t.Fatalf("ended: %v", c.Err())
	}
	h.until(EventClosed, 1)
	if err := c.Err(); err == nil || err.Code != CodeKeepalive {
		t.Errorf("error %v", err)
	}
	if got := frames(h.drainAll(c)); len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "close 1011 ") {
		t.Errorf("drained %q", got)
	}
}

// TestAttachedAwaitsTheHost: what the peer sent in time waits with a host that is blocked,
// and the watchdog must not end the connection for it.
func TestAttachedAwaitsTheHost(t *testing.T) {
	h := newHost(t)
	h.loop.patience = time.Millisecond
	c := h.attachOpen(func(o *ConnOptions) { o.PingInterval, o.PingTimeout = 40*time.Millisecond, 40*time.Millisecond })
	for range 3 {
		time.Sleep(300 * time.Millisecond) // and the deadline passes
		h.poll(0)
		if _, err := c.Feed((&peer{}).frame(1, true, []byte("in time"))); err != nil {
			t.Fatalf("%v: %v", err, c.Err())
		}
		h.pollDry()
		h.drainAll(c)
	}
	if n := len(h.take(EventMessage)); n != 3 || c.State() != StateOpen {
		t.Errorf("%d messages, state %d", n, c.State())
	}
	if h.loop.Stats().Stalls == 0 {
		t.Error("the watchdog did not step in")
	}
	h.until(EventClosed, 1) // without bytes it ends all the same
}

// TestAttachedPingAwaitsTheHost: a ping that was made while the host was away goes out when it
// is back, and has its whole time from then on.
func TestAttachedPingAwaitsTheHost(t *testing.T) {
	h := newHost(t)
	h.loop.patience = time.Millisecond
	c := h.attachOpen(pinging(hang, hang))
	for range 3 {
		h.pollDry()
		c.reschedule(func(k *keepalive) { k.next = 1 })
		if !eventually(c.awaited) { // nobody polls: it is the watchdog's
			t.Fatal("no ping was made")
		}
		pings := 0
		for range 2 { // while the host is away, and when the ping has just gone out
			c.reschedule(func(k *keepalive) { k.deadline = 1 })
			if !eventually(func() bool { return c.timeLeft() > hang/2 }) {
				t.Fatalf("%v are left for the answer, state %d, %v", c.timeLeft(), c.State(), c.Err())
			}
			for range 3 {
				h.poll(0)
			}
			pings += len(frames(h.drainAll(c)))
			if pings != 1 || c.State() != StateOpen {
				t.Fatalf("drained %d pings, state %d, %v", pings, c.State(), c.Err())
			}
		}
		h.feedAll(c, (&peer{}).frame(10, true, []byte("any")))
		h.pollDry()
		c.overdue()
		h.while("the answer", func() bool { return !c.awaited() })
	}
	if h.loop.Stats().Stalls == 0 {
		t.Error("the watchdog did not step in")
	}
	c.reschedule(func(k *keepalive) { k.next = 1 })
	h.while("a ping", c.awaited)
	h.pollDry()
	h.while("the end", func() bool { // without an answer it ends all the same
		c.overdue()
		return c.Ended()
	})
}

// TestAttachedIsFreed while connecting and open, with bytes in both directions, before and
// after a poll, alone and by the loop; and answers calls in every state.
func TestAttachedIsFreed(t *testing.T) {
	for _, state := range []string{"connecting", "answering", "open", "paused", "closing", "ended"} {
		for _, how := range []string{"free", "loop", "abort"} {
			t.Run(state+" "+how, func(t *testing.T) {
				h := newHost(t)
				p := &peer{}
				var c *Conn
				switch state {
				case "connecting", "answering":
					c = h.attach(nil)
				default:
					c = h.attachOpen(nil)
				}
				switch state {
				case "answering":
					h.feedAll(c, []byte("HTTP/1.1 403 No\r\n\r\nbod"))
					h.pollDry()
				case "paused":
					_ = c.Pause()
					h.feedAll(c, p.frame(1, true, filled(9000, 'a')))
					h.pollDry()
				case "closing":
					_ = c.Close(1000, "")
				case "ended":
					_ = c.Abort()
					h.until(EventClosed, 1)
				}
				_, _ = c.Feed(p.frame(1, true, filled(5000, 'a'))[:3000])
				_, _ = c.Send(Binary, SendForce, filled(100000, 'b'))
				h.seen = nil
				switch how {
				case "free":
					c.Free()
					h.drain()
					if len(h.seen) > 0 {
						t.Errorf("events of a freed connection: %v", h.order())
					}
				case "loop":
					h.loop.Close()
				case "abort":
					_ = c.Abort()
					h.drain()
					if n := len(h.take(EventFailed)) + len(h.take(EventClosed)); n != 1 && state != "ended" {
						t.Errorf("%d last events", n)
					}
				}
				if _, err := c.Feed([]byte("x")); err != CodeClosed {
					t.Errorf("feed: %v", err)
				}
				if n, err := c.Drain(make([]byte, 10)); how == "abort" && (n != 0 || err != CodeClosed) {
					t.Errorf("drain: %d, %v", n, err)
				}
				h.drainAll(c)
			})
		}
	}
}

// TestAttachedArguments: what is not possible is said.
func TestAttachedArguments(t *testing.T) {
	h := newHost(t)
	secure := newTestTLS(t)
	for name, change := range map[string]func(*ConnectOptions){
		"host": func(o *ConnectOptions) { o.Host = "x" },
		"port": func(o *ConnectOptions) { o.Port = 1 },
		"tls":  func(o *ConnectOptions) { o.TLS = secure.client },
		"name": func(o *ConnectOptions) { o.ServerName = "x" },
		"fd":   func(o *ConnectOptions) { o.HasSocket = true },
		"unix": func(o *ConnectOptions) { o.UnixPath = "/x" },
		"bind": func(o *ConnectOptions) { o.LocalAddress = "127.0.0.1" },
		"six":  func(o *ConnectOptions) { o.Family = 6 },
		"way":  func(o *ConnectOptions) { o.Proxy = "http://x" },
	} {
		o := &ConnectOptions{URI: "wss://x/"}
		change(o)
		var e *Error
		if _, err := h.loop.Attach(o, 0); !errors.As(err, &e) || e.Code != CodeArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, _ := h.client(nil, nil, nil)
	if _, err := c.Feed(nil); err != CodeState {
		t.Errorf("feed of a socket: %v", err)
	}
	if err := c.FeedEnd(0, ""); err != CodeState {
		t.Errorf("end of a socket: %v", err)
	}
	if _, err := c.Drain(nil); err != CodeState {
		t.Errorf("drain of a socket: %v", err)
	}
	c.Free()
	c = h.attachOpen(nil)
	if pending, err := c.Feed(nil); pending || err != nil {
		t.Errorf("feed of nothing: %v, %v", pending, err)
	}
	h.settled()
}

// TestAttachedWithoutMemory: a feed that cannot be kept ends the connection.
func TestAttachedWithoutMemory(t *testing.T) {
	h := newHost(t)
	c := h.attachOpen(nil)
	h.heap.fail = func(_, n int) bool { return true }
	if _, err := c.Feed(filled(100, 'a')); err != CodeMemory {
		t.Errorf("feed: %v", err)
	}
	h.heap.fail = nil
	h.until(EventClosed, 1)
	if err := c.Err(); err == nil || err.Code != CodeMemory {
		t.Errorf("error %v", err)
	}
}

// TestAttachedBesideSockets: neither starves the other, nor hides it.
func TestAttachedBesideSockets(t *testing.T) {
	h := newHost(t)
	c := h.attachOpen(func(o *ConnOptions) { o.ReadAhead = 1 << 30 })
	c.SetHandle(7)
	a, b := h.pair(nil, nil)
	h.cap = 16
	p := &peer{}
	flood := bytes.Repeat(p.frame(1, true, []byte("flood")), 5000)
	h.feedAll(c, flood)
	sent := 0
	for range 2000 {
		if _, err := a.Send(Text, SendForce, []byte("x")); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	for range 40 {
		h.poll(0)
	}
	count := map[uint64]int{}
	for _, e := range h.seen {
		count[e.Conn]++
	}
	if count[7] == 0 || count[2] == 0 {
		t.Fatalf("after 40 polls: %v", count)
	}
	h.while("messages", func() bool { return len(h.seen) >= sent+5000 })
	_ = b.Abort()
	_ = a.Abort()
	h.until(EventClosed, 1)
}

// TestAttachedThreads feeds, drains, sends and polls at once.
func TestAttachedThreads(t *testing.T) {
	h := newHost(t)
	c := h.attachOpen(func(o *ConnOptions) { o.ReadAhead = 10000 })
	p := &peer{}
	const count = 2000
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range count {
			for {
				_, err := c.Feed(p.frame(1, true, fmt.Appendf(nil, "in %d", i)))
				if err == nil {
					break
				}
				if err != CodeAgain {
					t.Error(err)
					return
				}
				time.Sleep(time.Millisecond)
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for range count {
				if _, err := c.Send(Text, SendForce, []byte("out")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var out []byte
	wg.Go(func() {
		buf := make([]byte, 100)
		for len(out) < 2*count*9 {
			n, err := c.Drain(buf)
			if err != nil {
				t.Error(err)
				return
			}
			if out = append(out, buf[:n]...); n == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	h.async("the threads", wg.Wait)
	h.pollDry()
	for i, e := range h.take(EventMessage) {
		if want := fmt.Sprintf("in %d", i); string(e.data) != want {
			t.Fatalf("got %q, expected %q", e.data, want)
		}
	}
	if r := (naiveReader{server: true}).read(out); r.fail != nil || len(r.lines) != 2*count {
		t.Fatalf("wrote %d messages, %v", len(r.lines), r.fail)
	}
}

// TestAttachedThreadsAreHeldBack: however feeding and telling meet, what waits is bounded.
func TestAttachedThreadsAreHeldBack(t *testing.T) {
	h := newHost(t)
	const limit = 1000
	c := h.attachOpen(func(o *ConnOptions) { o.ReadAhead = limit })
	frame := (&peer{}).frame(2, true, filled(600, 'x'))
	most := 0
	h.async("the feeder", func() {
		for n := 0; n < 5000; {
			if _, err := c.Feed(frame); err != nil {
				runtime.Gosched() // there may be one processor for this and what polls
				continue
			}
			n++
			c.attached.mu.Lock()
			most = max(most, c.attached.bytes+c.attached.behind)
			c.attached.mu.Unlock()
		}
	})
	if most > limit+len(frame) {
		t.Errorf("%d bytes waited, expected at most %d", most, limit+len(frame))
	}
}

// TestAttachedRedirects: AttachRedirect follows by the rules of connections with a socket.
func TestAttachedRedirects(t *testing.T) {
	h := newHost(t)
	redirect := func(to string) []byte {
		return []byte("HTTP/1.1 302 Found\r\nLocation: " + to + "\r\nContent-Length: 0\r\n\r\n")
	}
	first := h.attach(func(o *ConnectOptions) { o.MaxRedirects, o.URI = 2, "wss://user:pw@example.com/a/b" })
	h.feedAll(first, redirect("c?d"))
	h.notOpen(first, CodeStatus)
	c, err := first.AttachRedirect(20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.AttachRedirect(20); err != CodeState {
		t.Errorf("a second time: %v", err)
	}
	c.SetHandle(1)
	c.Start()
	request := h.drainAll(c)
	if !bytes.HasPrefix(request, []byte("GET /a/c?d HTTP/1.1\r\n")) || !bytes.Contains(request, []byte("\r\nAuthorization: Basic ")) {
		t.Errorf("request %q", request)
	}
	if left := c.opened.options.OpenTimeout; left <= 0 || left > hang {
		t.Errorf("%v are left", left)
	}
	h.feedAll(c, redirect("https://other.example/"))
	h.notOpen(c, CodeStatus)
	last, err := c.AttachRedirect(20)
	if err != nil {
		t.Fatal(err)
	}
	last.SetHandle(1)
	last.Start()
	if request := h.drainAll(last); bytes.Contains(request, []byte("Authorization")) || last.Info().URI != "wss://other.example/" {
		t.Errorf("request %q to %s", request, last.Info().URI)
	}
	h.feedAll(last, redirect("/"))
	if e := h.notOpen(last, CodeHandshake); !strings.HasPrefix(e.Text, "more than 2 redirects") || e.HTTPStatus != 302 {
		t.Errorf("error %+v", e)
	}

	for to, want := range map[string]Code{"ws://example.com/": CodeHandshake, "ftp://x/": CodeURI} {
		c := h.attach(func(o *ConnectOptions) { o.MaxRedirects = 1 })
		h.feedAll(c, redirect(to))
		h.notOpen(c, want)
		if _, err := c.AttachRedirect(0); err != CodeState {
			t.Errorf("after %s: %v", to, err)
		}
	}
	c = h.attach(nil)
	h.feedAll(c, redirect("/"))
	h.notOpen(c, CodeStatus)
	if _, err := c.AttachRedirect(0); err != CodeState {
		t.Errorf("without redirects: %v", err)
	}
}
