package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// echoTLS serves one TLS connection after the other with t's certificate.
func echoTLS(ctx *TLS) func(net.Conn) {
	return func(c net.Conn) {
		s, err := ServerTLS(context.Background(), c, ctx)
		if err == nil {
			_, _ = io.Copy(s.TLS, s.TLS)
		}
	}
}

// exchange sends one line and reads it back.
func exchange(t *testing.T, c net.Conn) {
	t.Helper()
	b := make([]byte, 5)
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
		t.Fatalf("read %q, error %v, expected hello", b, err)
	}
}

func TestDialPlain(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			addr := listen(t, "tcp", address, echo)
			s, err := Dial(t.Context(), &Options{URI: mustURI(t, "ws://"+addr.String()+"/x")})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.TLS != nil || s.Adapter != nil {
				t.Error("TLS on a ws connection")
			}
			exchange(t, s.Conn)
		})
	}
}

func TestDialName(t *testing.T) {
	addr := listen(t, "tcp4", "127.0.0.1:0", echo)
	// localhost may be ::1 first, where nobody listens: the other family is tried.
	s, err := Dial(t.Context(), &Options{URI: mustURI(t, fmt.Sprintf("ws://LocalHost:%d", addr.Port))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	exchange(t, s.Conn)
}

func TestDialElsewhere(t *testing.T) {
	ca := newAuthority(t, "root")
	addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(ca.serverTLS(t, TLSOptions{})))
	for _, host := range []string{"127.0.0.1", "localhost"} {
		s, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://server.test/"), TLS: mustTLS(t, TLSOptions{CAPEM: ca.PEM}), Host: host, Port: addr.Port})
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, s.TLS)
		s.Close()
	}
}

func TestDialTLSVersions(t *testing.T) {
	ca := newAuthority(t, "root")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(ca.serverTLS(t, TLSOptions{MaxVersion: version})))
			s, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, TLSOptions{CAPEM: ca.PEM})})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			exchange(t, s.TLS)
			if got := s.TLS.ConnectionState().Version; got != version {
				t.Errorf("version %s", tls.VersionName(got))
			}
		})
	}
}

func TestDialRefusesOldTLS(t *testing.T) {
	ca := newAuthority(t, "root")
	config := ca.serverTLS(t, TLSOptions{}).Server().Clone()
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	addr := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) { _ = tls.Server(c, config).Handshake() })
	_, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, TLSOptions{Insecure: true})})
	wantError(t, err, OpTLS, "tls handshake with "+addr.String(), "version")
}

func TestResumption(t *testing.T) {
	ca := newAuthority(t, "root")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(ca.serverTLS(t, TLSOptions{MaxVersion: version})))
			connect := func(ctx *TLS) bool {
				s, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: ctx})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				exchange(t, s.TLS) // TLS 1.3 tickets come with the first data
				return s.TLS.ConnectionState().DidResume
			}
			shared, other := mustTLS(t, TLSOptions{CAPEM: ca.PEM}), mustTLS(t, TLSOptions{CAPEM: ca.PEM})
			if connect(shared) || !connect(shared) || !connect(shared) {
				t.Error("expected the second and third connection of a context to resume")
			}
			if connect(other) {
				t.Error("resumed in a context of its own")
			}
		})
	}
}

func TestTLSContextIsSafeForManyConnections(t *testing.T) {
	ca := newAuthority(t, "root")
	addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(ca.serverTLS(t, TLSOptions{})))
	ctx := mustTLS(t, TLSOptions{CAPEM: ca.PEM})
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			name := []string{"", "server.test", "localhost"}[i%3]
			s, err := Dial(context.Background(), &Options{URI: &URI{Secure: true, Host: "127.0.0.1", Port: addr.Port}, TLS: ctx, ServerName: name})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := io.WriteString(s.TLS, "x"); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(s.TLS, make([]byte, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func wantError(t *testing.T, err error, op string, texts ...string) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, expected an *Error", err)
	}
	if e.Op != op {
		t.Errorf("op %q of %q, expected %q", e.Op, err, op)
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q, expected %q in it", err, s)
		}
	}
	return e
}

func TestCertificateErrors(t *testing.T) {
	ca, other := newAuthority(t, "test root"), newAuthority(t, "other root")
	past := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	future := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }
	client := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	evil := func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "a\r\nb"} }
	const who = `certificate with subject "CN=leaf", issuer "CN=test root": `
	for _, c := range []struct {
		name   string
		change func(*x509.Certificate)
		names  []string
		roots  []byte
		want   []string
	}{
		{"wrong authority", nil, []string{"127.0.0.1"}, other.PEM, []string{who + "signed by an authority that is not trusted; the peer sent no intermediate"}},
		{"system authorities", nil, []string{"127.0.0.1"}, nil, []string{"certificate", "not trusted"}},
		{"authority of the same name", nil, []string{"127.0.0.1"}, newAuthority(t, "test root").PEM, []string{who + "signed by an authority that is not trusted (possibly because of "}},
		{"expired", past, []string{"127.0.0.1"}, ca.PEM, []string{who + "expired at ", ", the clock says "}},
		{"not yet valid", future, []string{"127.0.0.1"}, ca.PEM, []string{who + "not valid before "}},
		{"wrong name", nil, []string{"a.test", "10.0.0.1"}, ca.PEM, []string{who + `not valid for "127.0.0.1", only for "a.test", "10.0.0.1"`}},
		{"no names", nil, nil, ca.PEM, []string{who + `not valid for "127.0.0.1", it holds no subject`}},
		{"wrong use", client, []string{"127.0.0.1"}, ca.PEM, []string{who + "not meant for this use, only for clients"}},
		{"control characters", evil, []string{"127.0.0.1"}, other.PEM, []string{`subject "CN=a\r\nb"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cert, key := ca.issue(t, c.change, c.names...)
			addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(mustTLS(t, TLSOptions{CertPEM: cert, KeyPEM: key, Server: true})))
			o := &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, TLSOptions{CAPEM: c.roots})}
			if c.roots == nil {
				o.TLS = nil
			}
			_, err := Dial(t.Context(), o)
			e := wantError(t, err, OpTLS, append(c.want, addr.String())...)
			if !e.Certificate() || e.Timeout || e.Errno != 0 {
				t.Errorf("classified as %+v", e)
			}
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("control characters in %q", err)
			}
			o.TLS = mustTLS(t, TLSOptions{Insecure: true})
			s, err := Dial(t.Context(), o)
			if err != nil {
				t.Fatalf("insecure: %v", err)
			}
			exchange(t, s.TLS)
			s.Close()
		})
	}
}

func TestSelfSigned(t *testing.T) {
	ca := newAuthority(t, "alone")
	der := ca.cert.Raw
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: ca.key}}}
	addr := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) { _ = tls.Server(c, config).Handshake() })
	_, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String())})
	wantError(t, err, OpTLS, `subject "CN=alone", issuer "CN=alone": self-signed and not trusted`)
}

func TestServerName(t *testing.T) {
	ca := newAuthority(t, "root")
	cert, key := ca.issue(t, nil, "server.test")
	addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(mustTLS(t, TLSOptions{CertPEM: cert, KeyPEM: key, Server: true})))
	uri := mustURI(t, "wss://"+addr.String())
	for _, c := range []struct {
		context, option string
		ok              bool
	}{
		{"", "", false},
		{"server.test", "", true},
		{"", "SERVER.test", true},
		{"other.test", "server.test", true},
		{"server.test", "other.test", false},
	} {
		s, err := Dial(t.Context(), &Options{URI: uri, TLS: mustTLS(t, TLSOptions{CAPEM: ca.PEM, ServerName: c.context}), ServerName: c.option})
		if (err == nil) != c.ok {
			t.Errorf("context %q, option %q: error %v", c.context, c.option, err)
		}
		if err == nil {
			s.Close()
		}
	}
	_, err := Dial(t.Context(), &Options{URI: uri, ServerName: "a b"})
	wantError(t, err, OpTLS, `server name "a b"`)
}

func TestClientCertificate(t *testing.T) {
	ca := newAuthority(t, "root")
	cert, key := ca.issue(t, nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(ca.serverTLS(t, TLSOptions{CAPEM: ca.PEM, MaxVersion: version})))
		o := &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, TLSOptions{CAPEM: ca.PEM, CertPEM: cert, KeyPEM: key})}
		s, err := Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, s.TLS)
		s.Close()

		o.TLS = mustTLS(t, TLSOptions{CAPEM: ca.PEM})
		s, err = Dial(t.Context(), o)
		if version == tls.VersionTLS12 {
			wantError(t, err, OpTLS, "the peer refused with alert")
			continue
		}
		if err != nil { // in TLS 1.3 the client's side is done before the server looks
			t.Fatal(err)
		}
		_ = s.TLS.SetReadDeadline(time.Now().Add(20 * time.Second)) // a server that asks for nothing fails the test
		if _, err := s.TLS.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("read error %v, expected the alert", err)
		}
		s.Close()
	}
}

func TestALPN(t *testing.T) {
	ca := newAuthority(t, "root")
	addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(ca.serverTLS(t, TLSOptions{ALPN: []string{"http/1.1", "h2"}})))
	o := &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, TLSOptions{CAPEM: ca.PEM, ALPN: []string{"h2", "http/1.1"}})}
	s, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if p := s.TLS.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("protocol %q", p)
	}
	s.Close()
	o.TLS = mustTLS(t, TLSOptions{CAPEM: ca.PEM, ALPN: []string{"h2"}})
	_, err = Dial(t.Context(), o)
	wantError(t, err, OpTLS, "agreed on h2")
	o.TLS = mustTLS(t, TLSOptions{CAPEM: ca.PEM, ALPN: []string{"other"}})
	_, err = Dial(t.Context(), o)
	wantError(t, err, OpTLS, "no application protocol")
}

func TestHandshakeErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		want  string
	}{
		{"http", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}, "the peer answered in plain HTTP, expected TLS"},
		{"other", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, "220 mail\r\n")
		}, `the peer sent "220 m", expected a TLS record`},
		{"closed", func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }, "the peer closed the connection"},
		{"reset", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_ = c.(*net.TCPConn).SetLinger(0)
		}, "connection reset by peer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := listen(t, "tcp", "127.0.0.1:0", c.serve)
			_, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String())})
			e := wantError(t, err, OpTLS, "tls handshake with "+addr.String(), c.want)
			if (c.name == "reset") != (e.Errno == syscall.ECONNRESET) {
				t.Errorf("errno %d", e.Errno)
			}
		})
	}
}

func TestConnectRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, err = Dial(t.Context(), &Options{URI: mustURI(t, "ws://"+addr)})
	e := wantError(t, err, OpConnect, "connect to "+addr+": connection refused")
	if e.Errno != syscall.ECONNREFUSED || e.Timeout || e.Certificate() || e.Host != "127.0.0.1" || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("classified as %+v", e)
	}
}

func TestResolveFails(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // where no name server answers
	defer cancel()
	_, err := Dial(ctx, &Options{URI: mustURI(t, "ws://no-such-host.invalid:81/")})
	e := wantError(t, err, OpResolve, `resolve "no-such-host.invalid": `)
	if e.Host != "no-such-host.invalid" || e.Port != 81 || e.Certificate() {
		t.Errorf("classified as %+v", e)
	}
}

func TestErrorText(t *testing.T) {
	for _, c := range []struct {
		e       *Error
		want    string
		timeout bool
	}{
		{newError(OpResolve, "h", 1, &net.DNSError{Err: "no such host", Name: "h", IsNotFound: true}), `resolve "h": no such host`, false},
		{newError(OpResolve, "h", 1, &net.DNSError{Err: "i/o timeout", Name: "h", IsTimeout: true}), `resolve "h": timed out`, true},
		{newError(OpResolve, "h", 1, &net.DNSError{Err: "server misbehaving", Name: "h"}), `resolve "h": server misbehaving`, false},
		{newError(OpConnect, "::1", 2, context.DeadlineExceeded), `connect to [::1]:2: timed out`, true},
		{newError(OpConnect, "h", 2, &net.OpError{Op: "dial", Err: syscall.ETIMEDOUT}), `connect to h:2: connection timed out`, true},
		{newError(OpTLS, "", 0, io.EOF), `tls handshake with the peer: the peer closed the connection`, false},
		{newError(OpTLS, "h", 2, context.Canceled), `tls handshake with h:2: canceled`, false},
		{newError(OpTLS, "h", 2, io.ErrUnexpectedEOF), `tls handshake with h:2: the peer closed the connection`, false},
	} {
		if c.e.Error() != c.want || c.e.Timeout != c.timeout {
			t.Errorf("error %q, timeout %v, expected %q, %v", c.e, c.e.Timeout, c.want, c.timeout)
		}
	}
}

func TestCanceledBeforeConnect(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Dial(ctx, &Options{URI: mustURI(t, "ws://127.0.0.1:9")})
	e := wantError(t, err, OpConnect, "canceled")
	if e.Timeout || !errors.Is(err, context.Canceled) {
		t.Errorf("classified as %+v", e)
	}
}

// The server never answers: the context alone ends the handshake, and the socket
// is closed.
func TestContextEndsHandshake(t *testing.T) {
	for _, deadline := range []bool{false, true} {
		hello, closed := make(chan struct{}), make(chan struct{})
		addr := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			close(hello)
			_, _ = io.Copy(io.Discard, c)
			close(closed)
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-hello; cancel() }()
		if deadline {
			ctx = expiring{ctx}
		}
		_, err := Dial(ctx, &Options{URI: mustURI(t, "wss://"+addr.String())})
		cancel()
		e := wantError(t, err, OpTLS, map[bool]string{false: ": canceled", true: ": timed out"}[deadline])
		if e.Timeout != deadline {
			t.Errorf("classified as %+v", e)
		}
		<-closed
	}
}

func TestDialOptionsAreChecked(t *testing.T) {
	uri := mustURI(t, "ws://127.0.0.1")
	if _, err := Dial(t.Context(), &Options{}); err == nil || err.Error() != "dial: no uri" {
		t.Errorf("error %v", err)
	}
	_, err := Dial(t.Context(), &Options{URI: uri, Host: "a b"})
	wantError(t, err, OpResolve, `"a b"`)
	_, err = Dial(t.Context(), &Options{URI: uri, Host: "[127.0.0.1]"})
	wantError(t, err, OpResolve, "'['")
	for _, port := range []int{-1, 65536} {
		_, err = Dial(t.Context(), &Options{URI: uri, Port: port})
		wantError(t, err, OpConnect, "port outside 1 to 65535")
	}
}

func TestServerTLSErrors(t *testing.T) {
	ca := newAuthority(t, "root")
	ctx := ca.serverTLS(t, TLSOptions{})
	for _, c := range []struct {
		name string
		tls  *TLS
		send string
		want string
	}{
		{"plain client", ctx, "GET / HTTP/1.1\r\n\r\n", `the peer sent "GET /", expected a TLS record`},
		{"no certificate", mustTLS(t, TLSOptions{}), "", "the context has no certificate"},
	} {
		errs := make(chan error, 1)
		addr := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
			_, err := ServerTLS(context.Background(), conn, c.tls)
			errs <- err
		})
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, c.send)
		wantError(t, <-errs, OpTLS, c.want, conn.LocalAddr().String())
		conn.Close()
	}
}
