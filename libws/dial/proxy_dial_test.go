package dial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
)

var proxySchemes = []string{"http", "https", "socks4", "socks4a", "socks5", "socks5h"}

func mustProxy(t *testing.T, s string) *Proxy {
	t.Helper()
	p, err := ParseProxy(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestProxies goes through each kind of proxy, to ws and wss, with credentials and
// without, and looks at what the proxy learns.
func TestProxies(t *testing.T) {
	ca := newAuthority(t, "root")
	trust := mustTLS(t, TLSOptions{CAPEM: ca.PEM})
	plain := listen(t, "tcp4", "127.0.0.1:0", echo)
	secure := listen(t, "tcp4", "127.0.0.1:0", echoTLS(ca.serverTLS(t, TLSOptions{})))
	for _, scheme := range proxySchemes {
		for _, user := range []string{"", "id:p%40ss"} {
			t.Run(scheme+user, func(t *testing.T) {
				p := &fakeProxy{scheme: scheme, user: strings.ReplaceAll(user, "%40", "@")}
				if strings.HasPrefix(scheme, "socks4") {
					p.user, _, _ = strings.Cut(p.user, ":")
				}
				url := p.start(t, ca.serverTLS(t, TLSOptions{}))
				if user != "" {
					url = strings.Replace(url, "//", "//"+user+"@", 1)
				}
				for _, uri := range []string{fmt.Sprintf("ws://localhost:%d", plain.Port), fmt.Sprintf("wss://localhost:%d", secure.Port)} {
					o := &Options{URI: mustURI(t, uri), TLS: trust, Proxy: mustProxy(t, url), ProxyTLS: trust, UserAgent: "tester"}
					p.refuse = func(asked string) []byte { // what happens to localhost where ::1 comes first
						if strings.HasPrefix(asked, "[") {
							return []byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0}
						}
						return nil
					}
					s, err := Dial(t.Context(), o)
					if err != nil {
						t.Fatal(err)
					}
					stream := s.Conn
					if s.TLS != nil {
						stream = s.TLS
					}
					if (s.TLS != nil) != (o.URI.Secure || scheme == "https") || s.ProxyTLS != (!o.URI.Secure && scheme == "https") {
						t.Errorf("TLS %v, to the proxy %v", s.TLS != nil, s.ProxyTLS)
					}
					if s.Conn.RemoteAddr().String() != strings.TrimPrefix(o.Proxy.Raw, scheme+"://") {
						t.Errorf("connected to %s", s.Conn.RemoteAddr())
					}
					exchange(t, stream)
					s.Close()
					host := "localhost"
					if scheme == "socks4" || scheme == "socks5" {
						host = "127.0.0.1"
					}
					if got, want := p.asked[len(p.asked)-1], net.JoinHostPort(host, fmt.Sprint(o.URI.Port)); got != want {
						t.Errorf("the proxy was asked for %s, expected %s", got, want)
					}
				}
			})
		}
	}
}

// TestProxyAnswersAreReadExactly: what comes in one piece with the answer is the tunnel's.
func TestProxyAnswersAreReadExactly(t *testing.T) {
	ca := newAuthority(t, "root")
	for scheme, answer := range map[string]string{
		"http":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"https":   "HTTP/1.1 299 Fine\r\n\r\n",
		"socks4a": "\x00\x5a123456",
		"socks5h": "\x05\x00\x00\x01123456",
	} {
		t.Run(scheme, func(t *testing.T) {
			p := &fakeProxy{scheme: scheme}
			serve := func(c net.Conn) {
				if scheme == "https" {
					s, err := ServerTLS(context.Background(), c, ca.serverTLS(t, TLSOptions{}))
					if err != nil {
						return
					}
					c = s.TLS
				}
				if scheme == "socks5h" {
					_, _ = c.Read(make([]byte, 100))
					_, _ = io.WriteString(c, "\x05\x00")
				}
				_, _ = c.Read(make([]byte, 1000))
				_, _ = io.WriteString(c, answer+"hello")
				_, _ = io.Copy(io.Discard, c)
			}
			url := p.scheme + "://" + listen(t, "tcp", "127.0.0.1:0", serve).String()
			s, err := Dial(t.Context(), &Options{URI: mustURI(t, "ws://h.test"), Proxy: mustProxy(t, url), ProxyTLS: mustTLS(t, TLSOptions{CAPEM: ca.PEM})})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			stream := s.Conn
			if s.TLS != nil {
				stream = s.TLS
			}
			b := make([]byte, 5)
			if _, err := io.ReadFull(stream, b); err != nil || string(b) != "hello" {
				t.Errorf("read %q, error %v", b, err)
			}
		})
	}
}

// TestProxyRefusals: one answer, what it is called, and that it ends everything.
func TestProxyRefusals(t *testing.T) {
	const basic = "\x05\x02"
	const method = "\x05\x00"
	long := strings.Repeat("a", 9000)
	for _, c := range []struct{ url, answer, want string }{
		{"http://", "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: basic\r\nContent-Length: 0\r\n\r\n", "answered 407 Proxy Authentication Required: credentials are wanted, expected user:password@ in the proxy URL"},
		{"http://u:secret@", "HTTP/1.1 407 No\r\nProxy-Authenticate: Digest x=y, Basic realm=x\r\n\r\n", "answered 407 No: the credentials were refused"},
		{"http://u:secret@", "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\n\r\n", "answered 407 No: it wants Negotiate, expected Basic"},
		{"http://u:secret@", "HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n", "answered 401 Unauthorized: the credentials were refused"},
		{"http://", "HTTP/1.0 401 Unauthorized\r\n\r\n", "answered 401 Unauthorized ("},
		{"http://", "HTTP/1.1 502\r\n\r\n", "answered 502 (CONNECT h.test:81)"},
		{"http://", "HTTP/1.1 403 a\xff\u202eb\r\n\r\n", `answered 403 a\xff\u202eb (`},
		{"http://", "HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n", "answered 302 Found"},
		{"http://", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "answered 101"},
		{"http://", "HTTP/1.1 200 OK\r\nX: y", "closed the connection before it answered CONNECT h.test:81"},
		{"http://", "", "closed the connection before it answered CONNECT h.test:81"},
		{"http://", "SSH-2.0-x\r\n\r\n", `its answer to CONNECT h.test:81 is not valid: `},
		{"http://", "HTTP/1.1 200 OK\nX: y\n\n", "is not valid: "},
		{"http://", "HTTP/1.1 200 " + long, "is not valid: start line is longer"},
		{"http://", "HTTP/1.1 200 OK\r\nX: " + long, "is not valid: field line is longer"},
		{"http://", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 200), "is not valid: head has more than"},
		{"http://", strings.Repeat("HTTP/1.1 100 Go\r\nX: "+long[:8000]+"\r\n\r\n", 20), "is not valid: head is longer"},
		{"socks5h://", "\x04\x00", "answered unexpected protocol version 4, expected 5"},
		{"socks5h://", "HT", "answered unexpected protocol version 72, expected 5"},
		{"socks5h://", "\x05\xff", "answered no acceptable authentication methods: credentials are wanted"},
		{"socks5h://u:secret@", "\x05\xff", "answered no acceptable authentication methods ("},
		{"socks5h://u:secret@", basic + "\x01\x01", "authentication failed: the credentials were refused"},
		{"socks5h://u:secret@", basic + "\x02\x00", "answered invalid username/password version"},
		{"socks5h://u:secret@", basic + "\x01", "closed the connection before it answered"},
		{"socks5h://", "\x05\x02", "closed the connection before it answered"},
		{"socks5h://", "\x05", "closed the connection before it answered"},
		{"socks5h://", method + "\x05\x01\x00\x01", "answered general SOCKS server failure (CONNECT h.test:81)"},
		{"socks5h://", method + "\x05\x02\x00\x01", "answered connection not allowed by ruleset"},
		{"socks5h://", method + "\x05\x03\x00\x01", "answered network unreachable"},
		{"socks5h://", method + "\x05\x04\x00\x01", "answered host unreachable"},
		{"socks5h://", method + "\x05\x05\x00\x01", "answered connection refused"},
		{"socks5h://", method + "\x05\x06\x00\x01", "answered TTL expired"},
		{"socks5h://", method + "\x05\x07\x00\x01", "answered command not supported"},
		{"socks5h://", method + "\x05\x08\x00\x01", "answered address type not supported"},
		{"socks5h://", method + "\x05\x63\x00\x01", "answered unknown code: 99"},
		{"socks5h://", method + "\x04\x00\x00\x01", "answered unexpected protocol version 4"},
		{"socks5h://", method + "\x05\x00\x00\x07", "answered unknown address type 7"},
		{"socks5h://", method + "\x05\x00\x00\x0112345", "closed the connection before it answered"},
		{"socks5h://", method + "\x05\x00\x00\x03\xffhost", "closed the connection before it answered"},
		{"socks4a://", "\x00\x5b123456", "answered request rejected or failed (CONNECT h.test:81)"},
		{"socks4a://", "\x00\x5c123456", "cannot reach identd"},
		{"socks4a://u@", "\x00\x5d123456", "reports another user id"},
		{"socks4a://", "\x00\x00123456", "answered reply 0, expected 90"},
		{"socks4a://", "\x05\x5a123456", "answered version 5, expected 0"},
		{"socks4a://", "\x00\x5a12345", "closed the connection before it answered"},
	} {
		serve := func(conn net.Conn) {
			// The whole answer before the next question is read: the client is what ends first.
			_, _ = conn.Read(make([]byte, 1))
			_, _ = io.WriteString(conn, c.answer)
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
		}
		url := c.url + listen(t, "tcp", "127.0.0.1:0", serve).String()
		p := mustProxy(t, url)
		s, err := Dial(t.Context(), &Options{URI: mustURI(t, "ws://h.test:81/"), Proxy: p})
		if err == nil {
			s.Close()
			t.Errorf("%q opened a tunnel", c.answer)
			continue
		}
		e := wantError(t, err, OpProxy, "proxy "+p.Raw+": ", c.want)
		if e.Timeout || e.Errno != 0 || strings.Contains(err.Error(), "secret") || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("classified as %+v: %q", e, err)
		}
	}
}

func TestProxyStatusBody(t *testing.T) {
	for answer, want := range map[string]int{
		"Content-Length: 5\r\n\r\nhello":                            5,
		"\r\n" + strings.Repeat("x", 1<<20):                         64 << 10,
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n": 5,
	} {
		addr := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1000))
			_, _ = io.WriteString(c, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n"+answer)
		})
		_, err := Dial(t.Context(), &Options{URI: mustURI(t, "ws://h.test"), Proxy: mustProxy(t, "http://"+addr.String())})
		var e *ProxyStatusError
		if !errors.As(err, &e) || e.Response.Status != 503 || e.Response.Header.Get("retry-after") != "7" || len(e.Body) != want {
			t.Errorf("error %v, %+v", err, e)
		}
	}
}

// TestSocksTriesEveryAddress of a name that it resolves, unless the answer is final.
func TestSocksTriesEveryAddress(t *testing.T) {
	for _, scheme := range []string{"socks4", "socks5"} {
		for final, answer := range map[bool][]byte{false: {5, 4, 0, 1}, true: {9, 9, 9, 9}} {
			p := &fakeProxy{scheme: scheme, refuse: func(string) []byte {
				if scheme == "socks4" {
					return []byte{map[bool]byte{false: 0, true: 9}[final], 91, 0, 0, 0, 0, 0, 0}
				}
				return answer
			}}
			_, err := Dial(t.Context(), &Options{URI: mustURI(t, "ws://localhost:9"), Proxy: mustProxy(t, p.start(t, nil))})
			wantError(t, err, OpProxy, "CONNECT localhost:9")
			network := map[string]string{"socks4": "ip4", "socks5": "ip"}[scheme]
			ips, err := net.DefaultResolver.LookupNetIP(t.Context(), network, "localhost")
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{false: len(ips), true: 1}[final]; len(p.asked) != want {
				t.Errorf("%s was asked for %v, expected %d addresses", scheme, p.asked, want)
			}
		}
	}
}

func TestProxyAddresses(t *testing.T) {
	for _, c := range []struct{ scheme, uri, want string }{
		{"http", "ws://[fe80::1%25lo]", "[fe80::1]:80"},
		{"socks5", "ws://[::ffff:1.2.3.4]:5", "1.2.3.4:5"},
		{"socks5h", "ws://[2001:db8::1]:5", "[2001:db8::1]:5"},
		{"socks4a", "ws://1.2.3.4:5", "1.2.3.4:5"},
		{"socks4a", "ws://h.test:5", "h.test:5"},
	} {
		p := &fakeProxy{scheme: c.scheme, refuse: func(string) []byte { return []byte("no") }}
		_, err := Dial(t.Context(), &Options{URI: mustURI(t, c.uri), Proxy: mustProxy(t, p.start(t, nil)), UserAgent: "tester"})
		if err == nil || len(p.asked) != 1 || p.asked[0] != c.want {
			t.Errorf("%s was asked for %v, error %v, expected %s", c.scheme, p.asked, err, c.want)
		}
	}
	_, err := Dial(t.Context(), &Options{URI: mustURI(t, "ws://[::1]:9"), Proxy: mustProxy(t, "socks4a://127.0.0.1:9")})
	wantError(t, err, OpProxy, "CONNECT [::1]:9: SOCKS4 has no IPv6 addresses")
}

// TestProxyUnreachable: the error is that of the way to the proxy, and says so.
func TestProxyUnreachable(t *testing.T) {
	ca := newAuthority(t, "root")
	uri := mustURI(t, "wss://h.test")
	dial := func(url string) error {
		_, err := Dial(t.Context(), &Options{URI: uri, Proxy: mustProxy(t, url)})
		return err
	}
	for _, scheme := range proxySchemes {
		if scheme == "socks4" || scheme == "socks5" {
			continue // would resolve h.test
		}
		e := wantError(t, dial(scheme+"://u:secret@127.0.0.1:1"), OpConnect, "proxy "+scheme+"://127.0.0.1:1: connect to 127.0.0.1:1: connection refused")
		if e.Errno != syscall.ECONNREFUSED {
			t.Errorf("errno %d", e.Errno)
		}
	}
	addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(ca.serverTLS(t, TLSOptions{}))).String()
	if e := wantError(t, dial("https://"+addr), OpTLS, "proxy https://"+addr+": tls handshake with "+addr+": certificate"); !e.Certificate() {
		t.Errorf("classified as %+v", e)
	}
	_, err := Dial(t.Context(), &Options{URI: uri, Proxy: mustProxy(t, "https://"+addr), ProxyTLS: mustTLS(t, TLSOptions{CAPEM: ca.PEM}), ProxyServerName: "other.test"})
	wantError(t, err, OpTLS, `not valid for "other.test"`)
	reset := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		_ = c.(*net.TCPConn).SetLinger(0)
	}).String()
	if e := wantError(t, dial("http://"+reset), OpProxy, "connection reset by peer"); e.Errno != syscall.ECONNRESET {
		t.Errorf("errno %d", e.Errno)
	}

	// Behind the proxy it is the server's again.
	p := &fakeProxy{scheme: "http"}
	url := p.start(t, nil)
	server := listen(t, "tcp", "127.0.0.1:0", echoTLS(ca.serverTLS(t, TLSOptions{})))
	_, err = Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+server.String()), Proxy: mustProxy(t, url), UserAgent: "tester"})
	wantError(t, err, OpTLS, "tls handshake with "+server.String()+" by proxy "+url+": certificate")
}

// TestContextEndsProxies: a proxy falls silent in each phase. The context alone ends
// it, and the socket is closed.
func TestContextEndsProxies(t *testing.T) {
	ca := newAuthority(t, "root")
	trust := mustTLS(t, TLSOptions{CAPEM: ca.PEM})
	secure := ca.serverTLS(t, TLSOptions{})
	for _, c := range []struct{ url, uri, answer string }{
		{"http://", "ws://h.test", ""},
		{"http://", "ws://h.test", "HTTP/1.1 200 OK\r\n"},
		{"http://", "ws://h.test", "HTTP/1.1 407 No\r\n\r\nwho"},
		{"http://", "wss://h.test", "HTTP/1.1 200 OK\r\n\r\n"},
		{"https://", "ws://h.test", "-"}, // no TLS
		{"https://", "ws://h.test", ""},
		{"https://", "wss://h.test", "HTTP/1.1 200 OK\r\n\r\n"},
		{"socks4://", "ws://127.0.0.1", "\x00"},
		{"socks5h://", "ws://h.test", ""},
		{"socks5h://u:p@", "ws://h.test", "\x05\x02"},
		{"socks5://", "ws://127.0.0.1", "\x05\x00\x05\x00"},
		{"socks5h://", "wss://h.test", "\x05\x00\x05\x00\x00\x01123456"},
	} {
		for _, deadline := range []bool{false, true} {
			silent, closed := make(chan struct{}), make(chan struct{})
			addr := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
				defer close(closed)
				if c.answer != "-" && strings.HasPrefix(c.url, "https") {
					s, err := ServerTLS(context.Background(), conn, secure)
					if err != nil {
						t.Error(err)
						close(silent)
						return
					}
					conn = s.TLS
				}
				_, _ = conn.Read(make([]byte, 1))
				_, _ = io.WriteString(conn, strings.TrimPrefix(c.answer, "-"))
				close(silent)
				_, _ = io.Copy(io.Discard, conn)
			})
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-silent; cancel() }()
			if deadline {
				ctx = expiring{ctx}
			}
			s, err := Dial(ctx, &Options{URI: mustURI(t, c.uri), TLS: trust, Proxy: mustProxy(t, c.url+addr.String()), ProxyTLS: trust})
			cancel()
			if err == nil {
				s.Close()
				t.Fatalf("%+v opened", c)
			}
			var e *Error
			var status *ProxyStatusError
			if !errors.As(err, &e) || e.Proxy == "" || !strings.Contains(err.Error(), "proxy "+c.url[:4]) {
				t.Errorf("%+v: error %v", c, err)
			} else if !errors.As(err, &status) && (e.Timeout != deadline || errors.Is(err, context.Canceled) == deadline) {
				t.Errorf("%+v: classified as %+v", c, e)
			}
			<-closed
		}
	}
}

// expiring ends because its time ran out, not because it was canceled.
type expiring struct{ context.Context }

func (e expiring) Err() error {
	if e.Context.Err() != nil {
		return context.DeadlineExceeded
	}
	return nil
}

// TestSocketHookOfProxies: the socket to a proxy is announced as any other.
func TestSocketHookOfProxies(t *testing.T) {
	p := &fakeProxy{scheme: "socks5h", refuse: func(string) []byte { return []byte{5, 1, 0, 1} }}
	url := p.start(t, nil)
	seen := make(chan int, 10)
	SocketHook = func(fd int) { seen <- fd }
	t.Cleanup(func() { SocketHook = nil })
	if _, err := Dial(t.Context(), &Options{URI: mustURI(t, "ws://h.test"), Proxy: mustProxy(t, url)}); err == nil {
		t.Fatal("connected")
	}
	if len(seen) != 1 {
		t.Errorf("%d sockets announced, expected 1", len(seen))
	}
}
