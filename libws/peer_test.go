package libws

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/textproto"
	"strings"
	"syscall"
	"testing"
	"time"

	"aiows/libws/handshake"
	"aiows/libws/wire"
)

// peer is the other end of a connection under test, by hand: it can send any bytes.
type peer struct {
	t      testing.TB
	stream net.Conn // what frames go over
	socket *net.TCPConn
	masks  bool // it plays the client
	in     *bufio.Reader
}

const sampleRequest = "GET /chat?x=1 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"

// listenTCP listens for connections of ours.
func listenTCP(t testing.TB) *net.TCPListener {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// dialTo starts a client connection to ln, with handle 1.
func (h *host) dialTo(ln *net.TCPListener, secure *testTLS, o ConnOptions) *Conn {
	h.t.Helper()
	co := &ConnectOptions{URI: fmt.Sprintf("ws://%s/chat", ln.Addr()), OpenTimeout: hang, Conn: o}
	if secure != nil {
		co.URI = fmt.Sprintf("wss://%s/chat", ln.Addr())
		co.TLS = secure.client
	}
	c, err := h.loop.NewClient(co, 10)
	if err != nil {
		h.t.Fatal(err)
	}
	c.SetHandle(1)
	c.Start()
	return c
}

func (h *host) newPeer(socket net.Conn, masks bool) *peer {
	p := &peer{t: h.t, stream: socket, socket: socket.(*net.TCPConn), masks: masks}
	p.in = bufio.NewReader(p.stream)
	h.t.Cleanup(func() { p.socket.Close() })
	_ = socket.SetDeadline(time.Now().Add(hang))
	return p
}

func (p *peer) secure(c *tls.Conn) {
	p.stream, p.in = c, bufio.NewReader(c)
}

// acceptRaw takes a connection of ours and reads its request.
func (h *host) acceptRaw(ln *net.TCPListener, secure *testTLS) (p *peer, key string) {
	h.t.Helper()
	_ = ln.SetDeadline(time.Now().Add(hang))
	socket, err := ln.Accept()
	if err != nil {
		h.t.Fatal(err)
	}
	p = h.newPeer(socket, false)
	if secure != nil {
		p.secure(tls.Server(socket, secure.server.Server()))
	}
	head := textproto.NewReader(p.in)
	if _, err := head.ReadLine(); err != nil {
		h.t.Fatal(err)
	}
	fields, err := head.ReadMIMEHeader()
	if err != nil {
		h.t.Fatal(err)
	}
	return p, fields.Get("Sec-WebSocket-Key")
}

func accepted(key string) []byte {
	return []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		handshake.Accept(key) + "\r\n\r\n")
}

// client opens a client connection of ours, handle 1, to a peer; tail follows the
// 101 in the same write.
func (h *host) client(secure *testTLS, change func(*ConnOptions), tail []byte) (*Conn, *peer) {
	h.t.Helper()
	o := quiet(change)
	ln := listenTCP(h.t)
	c := h.dialTo(ln, secure, o)
	p, key := h.acceptRaw(ln, secure)
	ln.Close()
	p.write(append(accepted(key), tail...))
	h.until(EventOpen, 1)
	return c, p
}

// quiet is the usual options without keepalive.
func quiet(change func(*ConnOptions)) ConnOptions {
	o := DefaultConnOptions()
	o.PingInterval = 0
	if change != nil {
		change(&o)
	}
	return o
}

// ask connects a peer to ln and sends bytes.
func (h *host) ask(ln *Listener, secure *testTLS, request []byte) *peer {
	h.t.Helper()
	socket, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ln.Port()))
	if err != nil {
		h.t.Fatal(err)
	}
	p := h.newPeer(socket, true)
	if secure != nil {
		p.secure(h.tlsClient(socket, secure))
	}
	p.write(request)
	return p
}

func secureClient(socket net.Conn, secure *testTLS) *tls.Conn {
	return tls.Client(socket, secure.client.Client("127.0.0.1"))
}

// tlsClient does the client's half of a TLS handshake with a listener, polling.
func (h *host) tlsClient(socket net.Conn, secure *testTLS) *tls.Conn {
	h.t.Helper()
	c := secureClient(socket, secure)
	done := make(chan error, 1)
	go func() { done <- c.Handshake() }()
	for {
		select {
		case err := <-done:
			if err != nil {
				h.t.Fatal(err)
			}
			return c
		default:
			h.poll(5 * time.Millisecond)
		}
	}
}

// server opens a server connection of ours, handle 1, to a peer; tail follows the
// request in the same write.
func (h *host) server(secure *testTLS, change func(*ConnOptions), tail []byte) (*Conn, *peer) {
	h.t.Helper()
	ln := h.listen(secure)
	p := h.ask(ln, secure, append([]byte(sampleRequest), tail...))
	s := h.accept(1, quiet(change))
	h.until(EventOpen, 1)
	if head := p.head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		h.t.Fatalf("answer %q", head)
	}
	ln.Close()
	return s, p
}

// inBothRoles runs f with a connection of ours in either role, over ws and wss.
func inBothRoles(t *testing.T, change func(*ConnOptions), f func(h *host, c *Conn, p *peer)) {
	inBothRolesOf(t, func(t *testing.T) *host { return newHost(t) }, change, f)
}

// inBothRolesOf is inBothRoles with hosts of a kind.
func inBothRolesOf(t *testing.T, made func(t *testing.T) *host, change func(*ConnOptions), f func(h *host, c *Conn, p *peer)) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		t.Run("client", func(t *testing.T) {
			h := made(t)
			c, p := h.client(secure, change, nil)
			p.t = t
			f(h, c, p)
		})
		t.Run("server", func(t *testing.T) {
			h := made(t)
			c, p := h.server(secure, change, nil)
			p.t = t
			f(h, c, p)
		})
	})
}

// head reads an HTTP head.
func (p *peer) head() string {
	p.t.Helper()
	var b strings.Builder
	for !strings.HasSuffix(b.String(), "\r\n\r\n") {
		c, err := p.in.ReadByte()
		if err != nil {
			p.t.Fatalf("head %q: %v", b.String(), err)
		}
		b.WriteByte(c)
	}
	return b.String()
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.stream.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// frame is a frame as the peer sends it.
func (p *peer) frame(op wire.Opcode, fin bool, payload []byte) []byte {
	h := wire.Header{Fin: fin, Opcode: op, Length: int64(len(payload))}
	if p.masks {
		h.Masked, h.Key = true, rand.Uint32()
	}
	b := wire.AppendHeader(nil, h)
	n := len(b)
	b = append(b, payload...)
	if p.masks {
		wire.Mask(b[n:], h.Key, 0)
	}
	return b
}

func (p *peer) send(op wire.Opcode, payload string) {
	p.t.Helper()
	p.write(p.frame(op, true, []byte(payload)))
}

// next reads a frame; an error means that none came.
func (p *peer) next() (h wire.Header, payload []byte, err error) {
	var b []byte
	for {
		c, err := p.in.ReadByte()
		if err != nil {
			return h, nil, err
		}
		b = append(b, c)
		var n int
		var broken *wire.Error
		if h, n, broken = wire.ParseHeader(b); broken != nil {
			return h, nil, broken
		}
		if n > 0 {
			break
		}
	}
	role := wire.Client
	if !p.masks {
		role = wire.Server
	}
	if h.Masked != (role == wire.Server) {
		return h, nil, errors.New("masked the wrong way")
	}
	payload = make([]byte, h.Length)
	if _, err := io.ReadFull(p.in, payload); err != nil {
		return h, nil, err
	}
	if h.Masked {
		wire.Mask(payload, h.Key, 0)
	}
	return h, payload, nil
}

// expect reads a frame and compares it.
func (p *peer) expect(op wire.Opcode, payload string) {
	p.t.Helper()
	h, got, err := p.next()
	if err != nil {
		p.t.Fatalf("expected a %s frame: %v", op, err)
	}
	if h.Opcode != op || !h.Fin || string(got) != payload {
		p.t.Fatalf("got a %s frame, fin %v, %q; expected %s %q", h.Opcode, h.Fin, got, op, payload)
	}
}

func closePayload(code int, reason string) string {
	return string(wire.AppendClose(nil, wire.CloseCode(code), reason))
}

// expectClose reads a Close frame with code, 1005 for an empty one.
func (p *peer) expectClose(code int) {
	p.t.Helper()
	h, got, err := p.next()
	if err != nil || h.Opcode != wire.OpClose {
		p.t.Fatalf("got a %s frame and %v, expected Close %d", h.Opcode, err, code)
	}
	if c, _, broken := wire.ParseClose(got); broken != nil || int(c) != code {
		p.t.Fatalf("got Close %d (%v), expected %d", c, broken, code)
	}
}

// expectCloseWith reads a Close frame with code and reason.
func (p *peer) expectCloseWith(code int, reason string) {
	p.t.Helper()
	h, got, err := p.next()
	if err != nil || h.Opcode != wire.OpClose || string(got) != closePayload(code, reason) {
		p.t.Fatalf("got a %s frame %q and %v, expected Close %d %q", h.Opcode, got, err, code, reason)
	}
}

// expectEnd reads up to the end of the stream; a reset fails the test.
func (p *peer) expectEnd() {
	p.t.Helper()
	if b, err := io.ReadAll(p.in); err != nil || len(b) > 0 {
		p.t.Fatalf("expected the end of the stream, got %q and %v", b, err)
	}
}

// reset ends the socket with RST.
func (p *peer) reset() {
	_ = p.socket.SetLinger(0)
	_ = p.socket.Close()
}

// drain polls until nothing is ready.
func (h *host) drain() {
	h.t.Helper()
	for range 1000 {
		if !h.readable(0) {
			return
		}
		h.poll(0)
	}
	h.t.Fatal("the loop spins")
}

// settled polls for as long as something comes within a moment.
func (h *host) settled() {
	h.t.Helper()
	for h.readable(15 * time.Millisecond) {
		h.poll(0)
	}
}

// wakeups counts how often the descriptor turns readable within d.
func (h *host) wakeups(d time.Duration) (n int) {
	h.t.Helper()
	for end := time.Now().Add(d); ; n++ {
		left := time.Until(end)
		if n > 0 && left <= 0 || !h.readable(max(left, 0)) {
			return n
		}
		h.poll(0)
	}
}

// while polls until f reports true.
func (h *host) while(what string, f func() bool) {
	h.t.Helper()
	deadline := time.Now().Add(hang)
	for !f() {
		if time.Now().After(deadline) {
			h.t.Fatalf("no end of waiting: %s; seen %d events", what, len(h.seen))
		}
		h.poll(10 * time.Millisecond)
	}
}

// take removes the events of a type and returns them.
func (h *host) take(want EventType) (taken []got) {
	rest := h.seen[:0]
	for _, e := range h.seen {
		if e.Type == want {
			taken = append(taken, e)
		} else {
			rest = append(rest, e)
		}
	}
	h.seen = rest
	return taken
}

// async runs f on a goroutine while the loop is polled.
func (h *host) async(what string, f func()) {
	h.t.Helper()
	done := make(chan struct{})
	go func() {
		defer h.loop.Wake()
		defer close(done)
		f()
	}()
	h.while(what, func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func filled(n int, c byte) []byte { return bytes.Repeat([]byte{c}, n) }
