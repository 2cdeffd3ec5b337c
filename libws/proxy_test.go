package libws

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"syscall"
	"testing"

	"aiows/libws/dial"
)

// startProxy is an http proxy, over TLS if secure is given, that gives the answer for
// the n-th CONNECT, "" for a tunnel. It returns its URL, and what it was asked for.
func startProxy(t *testing.T, secure *testTLS, answers ...string) (url string, asked func() []string) {
	ln := listenTCP(t)
	scheme := "http"
	if secure != nil {
		scheme = "https"
	}
	lines, done := make(chan string, 16), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			c, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			answer := ""
			if n < len(answers) {
				answer = answers[n]
			}
			serveProxy(c, secure, answer, lines)
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return fmt.Sprintf("%s://%s", scheme, ln.Addr()), func() (all []string) {
		for {
			select {
			case line := <-lines:
				all = append(all, line)
			default:
				return all
			}
		}
	}
}

func serveProxy(socket *net.TCPConn, secure *testTLS, answer string, lines chan<- string) {
	defer socket.Close()
	stream := net.Conn(socket)
	if secure != nil {
		s, err := dial.ServerTLS(context.Background(), socket, secure.server)
		if err != nil {
			return
		}
		stream = s.TLS
	}
	in := bufio.NewReader(stream)
	head := textproto.NewReader(in)
	line, err := head.ReadLine()
	if err == nil {
		_, err = head.ReadMIMEHeader()
	}
	if err != nil {
		return
	}
	lines <- line
	if answer != "" {
		_, _ = io.WriteString(stream, answer)
		return
	}
	far, err := net.Dial("tcp", strings.Fields(line)[1])
	if err != nil {
		return
	}
	_, _ = io.WriteString(stream, "HTTP/1.1 200 OK\r\n\r\n")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(struct{ io.Writer }{far}, in)
		_ = far.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(struct{ io.Writer }{stream}, far)
	_ = socket.Close()
	<-ended
	far.Close()
}

// TestProxies: ws and wss through http and https, which makes one TLS inside another, with
// messages both ways that fill many records, and the end of it.
func TestProxies(t *testing.T) {
	for _, outer := range []bool{false, true} {
		overBoth(t, func(t *testing.T, secure *testTLS) {
			t.Run(fmt.Sprint("https ", outer), func(t *testing.T) {
				var proxyTLS *testTLS
				change := func(o *ConnectOptions) { o.Conn.MaxMessageSize = 0 }
				if outer {
					proxyTLS = newTestTLS(t)
					before := change
					change = func(o *ConnectOptions) { before(o); o.ProxyTLS = proxyTLS.client }
				}
				url, asked := startProxy(t, proxyTLS)
				h := newHost(t)
				ln := h.listen(secure)
				scheme := map[bool]string{false: "ws", true: "wss"}[secure != nil]
				c := h.newClient(fmt.Sprintf("%s://127.0.0.1:%d/", scheme, ln.Port()), secure, func(o *ConnectOptions) {
					change(o)
					o.Proxy = strings.Replace(url, "//", "//u:p@", 1)
				})
				c.Start()
				so := quiet(nil)
				so.MaxMessageSize = 0
				s := h.accept(2, so)
				h.until(EventOpen, 1)
				i := c.Info()
				if want := fmt.Sprintf("CONNECT 127.0.0.1:%d HTTP/1.1", ln.Port()); asked()[0] != want {
					t.Errorf("asked otherwise than %s", want)
				}
				if i.Proxy != url || !strings.HasSuffix(url, "//"+i.RemoteAddress) || (i.TLSVersion != "") != (secure != nil) {
					t.Errorf("info %+v", i)
				}
				big := filled(300<<10, 'x')
				for range 3 {
					for _, from := range []struct {
						by *Conn
						at uint64
					}{{c, 2}, {s, 1}} {
						for _, data := range [][]byte{[]byte("a"), big, []byte("b")} {
							if _, err := from.by.Send(Binary, SendForce, data); err != nil {
								t.Fatal(err)
							}
						}
						for _, want := range []int{1, len(big), 1} {
							if e := h.until(EventMessage, from.at); len(e.data) != want {
								t.Fatalf("message of %d bytes, expected %d", len(e.data), want)
							}
						}
					}
				}
				if err := c.Close(1000, "bye"); err != nil {
					t.Fatal(err)
				}
				if e := h.until(EventClosed, 1); e.Code != 1000 || e.Flags&FlagClean == 0 {
					t.Errorf("closed with %+v", e)
				}
				h.until(EventClosed, 2)
			})
		})
	}
}

func TestProxyErrors(t *testing.T) {
	start := func(t *testing.T, proxy string, change func(*ConnectOptions)) (*host, *Conn) {
		h := newHost(t)
		c := h.newClient("ws://h.test/", nil, func(o *ConnectOptions) {
			o.Proxy = proxy
			if change != nil {
				change(o)
			}
		})
		c.Start()
		return h, c
	}
	t.Run("status", func(t *testing.T) {
		// Not a redirect that is followed, though it looks like one.
		url, asked := startProxy(t, nil, "HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 4\r\n\r\nfour")
		h, c := start(t, url, func(o *ConnectOptions) { o.MaxRedirects = 10 })
		err := h.failing(c, CodeProxy)
		i := c.Info()
		if err.HTTPStatus != 302 || i.ResponseStatus != 302 || i.ResponseReason != "Found" || string(i.ResponseBody) != "four" || i.ResponseHeaders.Get("location") == "" || len(asked()) != 1 {
			t.Errorf("error %+v, info %+v", err, i)
		}
	})
	t.Run("answer", func(t *testing.T) {
		url, _ := startProxy(t, nil, "no")
		h, c := start(t, url, nil)
		if err := h.failing(c, CodeProxy); err.HTTPStatus != 0 || !strings.Contains(err.Text, "proxy "+url+": closed the connection before it answered") {
			t.Errorf("error %+v", err)
		}
	})
	t.Run("unreachable", func(t *testing.T) {
		h, c := start(t, "http://127.0.0.1:1", nil)
		if err := h.failing(c, CodeConnect); err.Errno != syscall.ECONNREFUSED || !strings.Contains(err.Text, "proxy http://127.0.0.1:1: ") {
			t.Errorf("error %+v", err)
		}
	})
	t.Run("silent", func(t *testing.T) {
		ln := listenTCP(t)
		h, c := start(t, fmt.Sprintf("socks5h://u:secret@%s", ln.Addr()), fair)
		if err := h.failing(c, CodeTimeout); !strings.Contains(err.Text, fmt.Sprintf("proxy socks5h://%s: did not answer CONNECT h.test:80", ln.Addr())) {
			t.Errorf("error %+v", err)
		}
	})
	t.Run("aborted", func(t *testing.T) {
		ln := listenTCP(t)
		h, c := start(t, fmt.Sprintf("socks4a://%s", ln.Addr()), nil)
		socket, err := ln.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		if err := c.Abort(); err != nil {
			t.Fatal(err)
		}
		h.failing(c, CodeAborted)
	})
	t.Run("certificate", func(t *testing.T) {
		url, _ := startProxy(t, newTestTLS(t))
		h, c := start(t, url, nil)
		if err := h.failing(c, CodeCertificate); !strings.Contains(err.Text, "proxy "+url+": tls handshake with ") {
			t.Errorf("error %+v", err)
		}
	})
	t.Run("server", func(t *testing.T) {
		url, _ := startProxy(t, nil, "HTTP/1.1 200 OK\r\n\r\n") // and closes
		h, c := start(t, url, nil)
		if err := h.failing(c, CodeHandshake); !strings.Contains(err.Text, "ws://h.test/ by proxy "+url) {
			t.Errorf("error %+v", err)
		}
	})
}

// TestProxyOfEachRedirect: the environment is asked anew, a given proxy stays.
func TestProxyOfEachRedirect(t *testing.T) {
	redirect := "HTTP/1.1 302 Found\r\nLocation: ws://other.test/\r\nContent-Length: 0\r\n\r\n"
	const tunnel = "HTTP/1.1 200 OK\r\n\r\n"
	for _, c := range []struct {
		environment string // %s is the proxy
		want        []string
	}{
		{"", []string{"CONNECT h.test:80 HTTP/1.1", "CONNECT other.test:80 HTTP/1.1"}},
		{"http_proxy=%s", []string{"CONNECT h.test:80 HTTP/1.1", "CONNECT other.test:80 HTTP/1.1"}},
		{"http_proxy=%s no_proxy=other.test", []string{"CONNECT h.test:80 HTTP/1.1"}},
	} {
		t.Run(c.environment, func(t *testing.T) {
			url, asked := startProxy(t, nil, tunnel+redirect, "HTTP/1.1 403 No\r\n\r\n")
			h := newHost(t)
			client := h.newClient("ws://h.test/", nil, func(o *ConnectOptions) {
				o.Proxy, o.MaxRedirects = url, 3
				if c.environment != "" {
					o.Proxy, o.ProxyEnvironment = "env", strings.Fields(strings.ReplaceAll(c.environment, "%s", url))
				}
			})
			client.Start()
			h.until(EventFailed, 1)
			i := client.Info()
			if got := asked(); fmt.Sprint(got) != fmt.Sprint(c.want) || (i.Proxy == "") != (len(c.want) == 1) || i.URI != "ws://other.test/" {
				t.Errorf("%s: asked for %v, info %+v, error %v", c.environment, got, i, client.Err())
			}
		})
	}
}

func TestProxyOptionsAreChecked(t *testing.T) {
	h := newHost(t)
	secure := newTestTLS(t)
	for _, c := range []struct {
		change func(*ConnectOptions)
		want   string
	}{
		{func(o *ConnectOptions) { o.Proxy = "ftp://u:secret@p" }, `proxy "ftp://p": scheme "ftp"`},
		{func(o *ConnectOptions) { o.Proxy, o.ProxyTLS = "http://u:secret@p", secure.client }, "TLS options for proxy http://p, expected an https proxy"},
		{func(o *ConnectOptions) { o.ProxyServerName = "x" }, "without one"},
		{func(o *ConnectOptions) { o.Proxy, o.ProxyEnvironment = "http://p", []string{"a=b"} }, "not env"},
		{func(o *ConnectOptions) { o.Proxy, o.ProxyEnvironment = "env", []string{"http_proxy=p:80"} }, `proxy "p:80": no scheme`},
		{func(o *ConnectOptions) { o.Proxy, o.UnixPath = "http://p", "/tmp/x" }, "a socket or a Unix path"},
	} {
		o := &ConnectOptions{URI: "ws://h.test/", Conn: quiet(nil)}
		c.change(o)
		_, err := h.loop.NewClient(o, 0)
		if e, ok := err.(*Error); !ok || e.Code != CodeArgument || !strings.Contains(e.Text, c.want) || strings.Contains(e.Text, "secret") {
			t.Errorf("error %v, expected %q", err, c.want)
		}
	}
	t.Setenv("http_proxy", "http://of.the.process:1")
	c := h.newClient("ws://h.test/", nil, func(o *ConnectOptions) { o.Proxy = "env" })
	if i := c.Info(); i.Proxy != "http://of.the.process:1" {
		t.Errorf("proxy %q", i.Proxy)
	}
	c.Free()
	c = h.newClient("ws://h.test/", nil, func(o *ConnectOptions) { o.Proxy, o.UnixPath = "env", "/tmp/x" })
	if i := c.Info(); i.Proxy != "" {
		t.Errorf("proxy %q", i.Proxy)
	}
	c.Free()
}
