package libws

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"aiows/libws/dial"
)

// testTLS is a pair of contexts that trust each other, made on the spot.
type testTLS struct{ client, server *dial.TLS }

func newTestTLS(t testing.TB) *testTLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})
	server, err := dial.NewTLS(dial.TLSOptions{Server: true, CertPEM: cert, KeyPEM: private})
	if err != nil {
		t.Fatal(err)
	}
	client, err := dial.NewTLS(dial.TLSOptions{CAPEM: cert})
	if err != nil {
		t.Fatal(err)
	}
	return &testTLS{client, server}
}

// TestLateAlert has a server refuse the client's certificate, which in TLS 1.3 it does
// after the client has begun to send.
func TestLateAlert(t *testing.T) {
	const want = `the peer refused with alert "certificate required": it wants a client certificate`
	secure := newTestTLS(t)
	config := secure.server.Server().Clone()
	config.ClientAuth = tls.RequireAnyClientCert
	refuse := func(ln *net.TCPListener) {
		conn, err := ln.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		if err := tls.Server(conn, config).Handshake(); err == nil {
			t.Error("a handshake without a certificate")
		}
		_ = conn.Close()
	}
	h := newHost(t)
	ln := listenTCP(t)
	c := h.dialTo(ln, secure, quiet(nil))
	h.async("refusal", func() { refuse(ln) })
	if err := h.failing(c, CodeTLS); !strings.HasSuffix(err.Text, want) {
		t.Errorf("error %q, expected %q at its end", err.Text, want)
	}

	// The socket cannot be written to any more, and the alert is still there.
	uri, err := dial.ParseURI("wss://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { refuse(ln); close(done) }()
	sock, err := dial.Dial(t.Context(), &dial.Options{URI: uri, TLS: secure.client})
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	<-done
	if err := sock.Explain(causeOf(sock.TLS, unix.EPIPE)); !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %q, expected %q at its end", err, want)
	}
	if err := causeOf(sock.Conn, unix.EPIPE); err != unix.EPIPE {
		t.Errorf("error %v", err)
	}
}

// TestUnansweredRequestForACertificate has the server leave without a word.
func TestUnansweredRequestForACertificate(t *testing.T) {
	secure := newTestTLS(t)
	config := secure.server.Server().Clone()
	config.ClientAuth = tls.RequestClientCert
	h := newHost(t)
	ln := listenTCP(t)
	c := h.dialTo(ln, secure, quiet(nil))
	h.async("handshake", func() {
		conn, err := ln.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		server := tls.Server(conn, config)
		if _, err := server.Read(make([]byte, 4096)); err != nil {
			t.Error(err)
		}
		_ = server.Close()
	})
	const want = "the server closed the connection before it answered; it asked for a client certificate and got none"
	if err := h.failing(c, CodeHandshake); !strings.HasSuffix(err.Text, want) {
		t.Errorf("error %q, expected %q at its end", err.Text, want)
	}
}
