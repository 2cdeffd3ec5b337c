package libws

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hostTLS carries the bytes of an attached connection over stream, until it ends.
type hostTLS struct {
	c      *Conn
	socket net.Conn
	stream net.Conn
	over   chan struct{}
	wg     sync.WaitGroup
}

// takeSocket waits for the socket of connection 1, and carries nothing yet.
func (h *host) takeSocket(c *Conn) *hostTLS {
	h.t.Helper()
	h.until(EventSocket, 1)
	fd, err := c.TakeSocket()
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := c.TakeSocket(); err != CodeState {
		h.t.Errorf("a second time: %v", err)
	}
	file := os.NewFile(uintptr(fd), "")
	socket, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		h.t.Fatal(err)
	}
	carrier := &hostTLS{c: c, socket: socket, stream: socket, over: make(chan struct{})}
	h.t.Cleanup(carrier.stop)
	return carrier
}

// secure begins TLS in the stream.
func (h *host) secure(carrier *hostTLS, with *testTLS) {
	h.t.Helper()
	stream := tls.Client(carrier.stream, with.client.Client("127.0.0.1"))
	var err error
	h.async("TLS of the host", func() { err = stream.Handshake() })
	if err != nil {
		h.t.Fatal(err)
	}
	carrier.stream = stream
}

// out moves what there is to the peer.
func (carrier *hostTLS) out() {
	buf := make([]byte, 40_000)
	for {
		n, err := carrier.c.Drain(buf)
		if n == 0 {
			if s, ok := carrier.stream.(*tls.Conn); ok && err == CodeClosed {
				_ = s.CloseWrite()
			}
			return
		}
		_, _ = carrier.stream.Write(buf[:n])
	}
}

// in feeds what one read gives.
func (carrier *hostTLS) in() bool {
	buf := make([]byte, 40_000)
	n, err := carrier.stream.Read(buf)
	if n > 0 {
		_, _ = carrier.c.Feed(buf[:n])
	}
	if err != nil {
		_ = carrier.c.FeedEnd(0, "")
	}
	return err == nil
}

// carry moves bytes both ways from now on.
func (carrier *hostTLS) carry() {
	carrier.wg.Go(func() {
		for carrier.in() {
		}
	})
	carrier.wg.Go(func() {
		for {
			carrier.out()
			select {
			case <-carrier.over:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
}

func (carrier *hostTLS) stop() {
	close(carrier.over)
	_ = carrier.socket.Close()
	carrier.wg.Wait()
}

// TestHostSocket: the core connects, by whatever proxy, and the host does TLS.
func TestHostSocket(t *testing.T) {
	for _, way := range []string{"direct", "http", "https"} {
		overBoth(t, func(t *testing.T, secure *testTLS) {
			t.Run(way, func(t *testing.T) {
				var proxyTLS *testTLS
				if way == "https" {
					proxyTLS = newTestTLS(t)
				}
				h := newHost(t)
				ln := h.listen(secure)
				o := &ConnectOptions{OpenTimeout: hang, Conn: quiet(nil), Dial: true, TLSShutdownTimeout: hang}
				o.URI = fmt.Sprintf("%s://127.0.0.1:%d/", map[bool]string{false: "ws", true: "wss"}[secure != nil], ln.Port())
				address := fmt.Sprintf("127.0.0.1:%d", ln.Port())
				if way != "direct" {
					o.Proxy, _ = startProxy(t, proxyTLS)
					_, address, _ = strings.Cut(o.Proxy, "//")
				}
				c, err := h.loop.Attach(o, 10)
				if err != nil {
					t.Fatal(err)
				}
				c.SetHandle(1)
				c.Start()
				carrier := h.takeSocket(c)
				if proxyTLS != nil {
					h.secure(carrier, proxyTLS)
					h.until(EventOutput, 1)
					carrier.out()
					carrier.in()
					h.until(EventTunnel, 1)
					if b := h.drainAll(c); len(b) > 0 { // for whom?
						t.Fatalf("drained %q before the poll behind TUNNEL", b)
					}
				}
				if secure != nil {
					h.secure(carrier, secure)
				}
				carrier.carry()
				s := h.accept(2, quiet(nil))
				h.until(EventOpen, 1)
				h.until(EventOpen, 2)
				if i := c.Info(); i.Proxy != o.Proxy || i.RemoteAddress != address || i.LocalAddress == "" || i.ResponseStatus != 101 {
					t.Errorf("info %+v", i)
				}
				for _, way := range []struct {
					from *Conn
					to   uint64
				}{{c, 2}, {s, 1}} {
					if _, err := way.from.Send(Text, 0, []byte("hello")); err != nil {
						t.Fatal(err)
					}
					if e := h.until(EventMessage, way.to); string(e.data) != "hello" {
						t.Errorf("message %q", e.data)
					}
				}
				_ = c.Close(1000, "")
				if e := h.until(EventClosed, 1); e.Flags&FlagClean == 0 {
					t.Errorf("closed with %+v", e)
				}
			})
		})
	}
}

// TestHostSocketProxyRefuses: what an https proxy answers that is no tunnel, cut anywhere.
func TestHostSocketProxyRefuses(t *testing.T) {
	for answer, want := range map[string]struct {
		code Code
		text string
	}{
		"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nfour": {CodeProxy, "answered 407 No: credentials are wanted"},
		"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nfour":                              {CodeProxy, "answered 403 No"},
		"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 S":                                         {CodeProxy, "is not valid: it sent more than the answer"},
		"SSH-2.0-x\r\n":                                                                 {CodeProxy, "is not valid: "},
		"HTTP/1.1 2":                                                                    {CodeProxy, "closed the connection before it answered CONNECT h.test:443"},
		"":                                                                              {CodeTimeout, "timed out: proxy https://127.0.0.1:"},
	} {
		t.Run(answer, func(t *testing.T) {
			h := newHost(t)
			ln := listenTCP(t)
			o := &ConnectOptions{URI: "wss://h.test/", OpenTimeout: hang, Conn: quiet(nil), Dial: true, Proxy: "https://" + ln.Addr().String()}
			if answer == "" {
				o.OpenTimeout = 500 * time.Millisecond
			}
			c, err := h.loop.Attach(o, 10)
			if err != nil {
				t.Fatal(err)
			}
			c.SetHandle(1)
			c.Start()
			h.takeSocket(c)
			h.until(EventOutput, 1)
			if asked := string(h.drainAll(c)); asked != "CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n" {
				t.Fatalf("asked %q", asked)
			}
			for i := range answer {
				h.feedAll(c, []byte(answer[i:i+1]))
				if i%7 == 0 || strings.HasPrefix(answer, "HTTP/1.1 200") && i < 19 {
					continue // of a tunnel the answer and what is behind it come at once
				}
				h.pollDry()
				if c.Ended() {
					break
				}
			}
			if answer != "" {
				_ = c.FeedEnd(0, "")
			}
			failed := h.notOpen(c, want.code)
			if !strings.Contains(failed.Text, want.text) {
				t.Errorf("error %q", failed.Text)
			}
			if i := c.Info(); strings.Contains(answer, "four") && (string(i.ResponseBody) != "four" || failed.HTTPStatus != i.ResponseStatus) {
				t.Errorf("info %+v, error %+v", i, failed)
			}
		})
	}
}

// TestHostSocketNotTaken: it stays the core's, which closes it (newHost counts).
func TestHostSocketNotTaken(t *testing.T) {
	for _, how := range []string{"abort", "free", "loop", "at once", "timeout", "refused"} {
		t.Run(how, func(t *testing.T) {
			h := newHost(t)
			ln := listenTCP(t)
			o := &ConnectOptions{URI: fmt.Sprintf("wss://%s/", ln.Addr()), OpenTimeout: hang, Conn: quiet(nil), Dial: true}
			switch how {
			case "timeout":
				o.OpenTimeout = 500 * time.Millisecond
			case "refused":
				ln.Close()
			}
			c, err := h.loop.Attach(o, 10)
			if err != nil {
				t.Fatal(err)
			}
			c.SetHandle(1)
			c.Start()
			switch how {
			case "refused":
				if e := h.failing(c, CodeConnect); e.Errno != syscall.ECONNREFUSED {
					t.Errorf("error %+v", e)
				}
				return
			case "at once":
				_ = c.Abort()
				h.failing(c, CodeAborted)
				return
			}
			h.until(EventSocket, 1)
			switch how {
			case "abort":
				_ = c.Abort()
				h.notOpen(c, CodeAborted)
			case "timeout":
				h.notOpen(c, CodeTimeout)
			case "free":
				c.Free()
				h.drain()
			case "loop":
				h.loop.Close()
			}
			if _, err := c.TakeSocket(); err != CodeState {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestHostSocketArguments: TLS is the host's, all else is said to the core.
func TestHostSocketArguments(t *testing.T) {
	h := newHost(t)
	secure := newTestTLS(t)
	for name, change := range map[string]func(*ConnectOptions){
		"tls":        func(o *ConnectOptions) { o.TLS = secure.client },
		"name":       func(o *ConnectOptions) { o.ServerName = "x" },
		"proxy tls":  func(o *ConnectOptions) { o.Proxy, o.ProxyTLS = "https://x", secure.client },
		"proxy name": func(o *ConnectOptions) { o.Proxy, o.ProxyServerName = "https://x", "x" },
		"two places": func(o *ConnectOptions) { o.Host, o.UnixPath = "x", "/x" },
	} {
		o := &ConnectOptions{URI: "wss://x/", Dial: true}
		change(o)
		var e *Error
		if _, err := h.loop.Attach(o, 0); !errors.As(err, &e) || e.Code != CodeArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := h.attachOpen(nil)
	if _, err := c.TakeSocket(); err != CodeState {
		t.Errorf("of a connection without one: %v", err)
	}
}
