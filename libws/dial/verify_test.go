package dial

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func parse(t *testing.T, certPEM []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(certPEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func pinsOf(cert *x509.Certificate) (certificate, key string) {
	c, k := sha256.Sum256(cert.Raw), sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(c[:]), "sha256//" + base64.StdEncoding.EncodeToString(k[:])
}

// sub makes an authority below a.
func (a *authority) sub(t *testing.T, name string) *authority {
	t.Helper()
	s := newAuthority(t, name)
	der, err := x509.CreateCertificate(nil, s.cert, a.cert, &s.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	s.PEM = pemBlock("CERTIFICATE", der)
	s.cert = parse(t, s.PEM)
	return s
}

func TestPins(t *testing.T) {
	ca := newAuthority(t, "root")
	cert, key := ca.issue(t, nil, "server.test")
	addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(mustTLS(t, TLSOptions{CertPEM: cert, KeyPEM: key, Server: true})))
	byCert, byKey := pinsOf(parse(t, cert))
	otherCert, otherKey := pinsOf(ca.cert)
	colons := strings.ToUpper(byCert[:2])
	for i := 2; i < len(byCert); i += 2 {
		colons += ":" + strings.ToUpper(byCert[i:i+2])
	}
	for _, c := range []struct {
		name string
		o    TLSOptions
		want []string // nil: it opens
	}{
		{"certificate", TLSOptions{CAPEM: ca.PEM, Pins: []string{byCert}}, nil},
		{"colons", TLSOptions{CAPEM: ca.PEM, Pins: []string{colons}}, nil},
		{"public key", TLSOptions{CAPEM: ca.PEM, Pins: []string{byKey}}, nil},
		{"one of several", TLSOptions{CAPEM: ca.PEM, Pins: []string{otherCert, otherKey, byKey}}, nil},
		{"insecure: only the pin decides", TLSOptions{Insecure: true, Pins: []string{byCert}}, nil},
		{"any name", TLSOptions{CAPEM: ca.PEM, AnyName: true, Pins: []string{byCert}}, nil},
		{"wrong", TLSOptions{CAPEM: ca.PEM, Pins: []string{otherCert}}, []string{"its pin is " + byCert + ", expected " + otherCert, `subject "CN=leaf"`}},
		{"wrong key", TLSOptions{CAPEM: ca.PEM, Pins: []string{otherKey}}, []string{"its pin is " + byKey + ", expected " + otherKey}},
		{"wrong, several", TLSOptions{CAPEM: ca.PEM, Pins: []string{otherKey, otherCert}}, []string{"its pin is " + byCert + " or " + byKey + ", expected " + otherKey + " or one of 1 more"}},
		{"wrong, insecure", TLSOptions{Insecure: true, Pins: []string{otherKey}}, []string{"its pin is "}},
		{"right, but not verified", TLSOptions{CAPEM: newAuthority(t, "other").PEM, Pins: []string{byCert}}, []string{"not trusted"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &Options{URI: mustURI(t, "wss://server.test/"), Host: "127.0.0.1", Port: addr.Port, TLS: mustTLS(t, c.o)}
			if c.want != nil {
				_, err := Dial(t.Context(), o)
				e := wantError(t, err, OpTLS, c.want...)
				if !e.Certificate() {
					t.Error("it is not classified as a refused certificate")
				}
				if len(err.Error()) > mostText && c.name != "wrong, several" {
					t.Errorf("%q has %d octets, expected at most %d", err, len(err.Error()), mostText)
				}
				return
			}
			for i := range 2 { // the second time from a ticket
				s, err := Dial(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				exchange(t, s.TLS)
				if resumed := s.TLS.ConnectionState().DidResume; resumed != (i > 0) {
					t.Errorf("connection %d: resumed %v", i, resumed)
				}
				s.Close()
			}
		})
	}
}

func TestAnyName(t *testing.T) {
	ca := newAuthority(t, "root")
	below := ca.sub(t, "intermediate")
	cert, key := below.issue(t, nil, "server.test")
	chain := append(slices.Clone(cert), below.PEM...)
	addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(mustTLS(t, TLSOptions{CertPEM: chain, KeyPEM: key, Server: true})))
	o := &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, TLSOptions{CAPEM: ca.PEM, AnyName: true})}
	s, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, s.TLS)
	s.Close()
	o.TLS = mustTLS(t, TLSOptions{CAPEM: ca.PEM})
	_, err = Dial(t.Context(), o)
	wantError(t, err, OpTLS, `not valid for "127.0.0.1", only for "server.test"`)
	o.TLS = mustTLS(t, TLSOptions{CAPEM: newAuthority(t, "other").PEM, AnyName: true})
	_, err = Dial(t.Context(), o)
	if e := wantError(t, err, OpTLS, `certificate with subject "CN=intermediate", issuer "CN=root": signed by an authority that is not trusted`); !e.Certificate() {
		t.Error("it is not classified as a refused certificate")
	}
}

// What is trusted need not be a root.
func TestTrustOfOthersThanRoots(t *testing.T) {
	ca := newAuthority(t, "root")
	below := ca.sub(t, "intermediate")
	cert, key := below.issue(t, nil, "127.0.0.1")
	chain := append(slices.Clone(cert), below.PEM...)
	addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(mustTLS(t, TLSOptions{CertPEM: chain, KeyPEM: key, Server: true})))
	for name, trusted := range map[string][]byte{"root": ca.PEM, "intermediate": below.PEM, "leaf": cert} {
		s, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, TLSOptions{CAPEM: trusted})})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s.Close()
	}
}

func TestCipherSuites(t *testing.T) {
	ca := newAuthority(t, "root")
	addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(ca.serverTLS(t, TLSOptions{MaxVersion: tls.VersionTLS12})))
	dial := func(suites ...string) (*Socket, error) {
		return Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, TLSOptions{CAPEM: ca.PEM, CipherSuites: suites})})
	}
	for _, suite := range []string{"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"} {
		s, err := dial(suite)
		if err != nil {
			t.Fatal(err)
		}
		if got := tls.CipherSuiteName(s.TLS.ConnectionState().CipherSuite); got != suite {
			t.Errorf("suite %s, expected %s", got, suite)
		}
		s.Close()
	}
	_, err := dial("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256") // the server's key is no RSA
	wantError(t, err, OpTLS, `alert "handshake failure": the two have no cipher suite`)
}

// Errors keep to what C has room for, however long the names are.
func TestCertificateErrorsAreShort(t *testing.T) {
	long := strings.Repeat("long", 100)
	ca := newAuthority(t, long)
	cert, key := ca.issue(t, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: long, Organization: []string{long}}
		c.NotAfter = time.Now().Add(-time.Minute)
	}, "127.0.0.1")
	addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(mustTLS(t, TLSOptions{CertPEM: cert, KeyPEM: key, Server: true})))
	_, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, TLSOptions{CAPEM: ca.PEM})})
	wantError(t, err, OpTLS, `subject "CN=longlong`, `issuer "CN=longlong`, "expired at ", "the clock says ")
	if len(err.Error()) > mostText {
		t.Errorf("%q has %d octets, expected at most %d", err, len(err.Error()), mostText)
	}
}

// The client has no certificate or one that the server does not take; both sides say so.
func TestRefusedClientCertificates(t *testing.T) {
	ca, other := newAuthority(t, "root"), newAuthority(t, "other")
	cert, key := other.issue(t, nil)
	old, oldKey := ca.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	for _, c := range []struct {
		name string
		o    TLSOptions
		max  uint16
		want []string
	}{
		{"none, 1.2", TLSOptions{}, tls.VersionTLS12, []string{`alert "handshake failure": it wants a client certificate`}},
		{"none, 1.3", TLSOptions{}, tls.VersionTLS13, []string{`alert "certificate required": it wants a client certificate`}},
		{"unknown, 1.2", TLSOptions{CertPEM: cert, KeyPEM: key}, tls.VersionTLS12, []string{`it did not accept the client certificate with subject "CN=leaf", issuer "CN=other"`}},
		{"unknown, 1.3", TLSOptions{CertPEM: cert, KeyPEM: key}, tls.VersionTLS13, []string{`"unknown certificate authority": it did not accept the client certificate with subject "CN=leaf", issuer "CN=other"`}},
		{"expired, 1.3", TLSOptions{CertPEM: old, KeyPEM: oldKey}, tls.VersionTLS13, []string{`"expired certificate": it did not accept`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := ca.serverTLS(t, TLSOptions{CAPEM: ca.PEM, MaxVersion: c.max})
			addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(server))
			c.o.CAPEM = ca.PEM
			s, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, c.o)})
			if c.max == tls.VersionTLS13 {
				if err != nil {
					t.Fatal(err)
				}
				_ = s.TLS.SetReadDeadline(time.Now().Add(20 * time.Second))
				_, err = s.TLS.Read(make([]byte, 1))
				err = s.Explain(err)
				s.Close()
			}
			if e := wantError(t, err, OpTLS, c.want...); e.Certificate() {
				t.Error("it is classified as the server's certificate")
			}
		})
	}
}

func TestExplain(t *testing.T) {
	ca := newAuthority(t, "root")
	gone := make(chan struct{})
	config := ca.serverTLS(t, TLSOptions{CAPEM: ca.PEM, ClientCertOptional: true}).Server()
	addr := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		_ = tls.Server(c, config).Handshake()
		<-gone
	})
	dial := func(o TLSOptions) *Socket {
		o.CAPEM = ca.PEM
		s, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, o)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	cert, key := ca.issue(t, nil)
	without, with := dial(TLSOptions{}), dial(TLSOptions{CertPEM: cert, KeyPEM: key})
	close(gone)
	if got := without.Explain(io.EOF); got.Error() != "EOF; it asked for a client certificate and got none" {
		t.Errorf("error %v", got)
	}
	if got := with.Explain(io.EOF); got != io.EOF {
		t.Errorf("error %v", got)
	}
	if got := (&Socket{}).Explain(io.EOF); got != io.EOF {
		t.Errorf("error %v", got)
	}
	without.Close()
	with.Close()
}

func TestOptionalClientCertificate(t *testing.T) {
	ca := newAuthority(t, "root")
	cert, key := ca.issue(t, nil)
	addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(ca.serverTLS(t, TLSOptions{CAPEM: ca.PEM, ClientCertOptional: true})))
	for _, o := range []TLSOptions{{CAPEM: ca.PEM}, {CAPEM: ca.PEM, CertPEM: cert, KeyPEM: key}} {
		s, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, o)})
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, s.TLS)
		s.Close()
	}
}

func TestMeaningOfAlerts(t *testing.T) {
	client := mustTLS(t, TLSOptions{ALPN: []string{"a", "b"}}).Client("h.test")
	for alert, want := range map[string]string{
		"unrecognized name":              `it does not know the server name "h.test"`,
		"no application protocol":        "it takes none of the alpn protocols a, b",
		"protocol version not supported": "it speaks no TLS 1.2 or later",
		"insufficient security level":    "it wants stronger cipher suites",
		"internal error":                 "the fault is its own",
		"unexpected message":             "",
	} {
		if got := (&offer{config: client, client: true}).meaning(alert); got != want {
			t.Errorf("%s means %q, expected %q", alert, got, want)
		}
	}
	asked := &offer{config: client, client: true, asked: true}
	if got := asked.meaning("handshake failure"); got != "it wants a client certificate" {
		t.Errorf("it means %q", got)
	}
	if got := (&offer{config: mustTLS(t, TLSOptions{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12}).Client("")}).meaning("protocol version not supported"); got != "it does not speak TLS 1.2" {
		t.Errorf("it means %q", got)
	}
}

// Another process, since crypto/x509 looks for the system's authorities once.
func TestSystemWithoutAuthorities(t *testing.T) {
	const marker = "AIOWS_TEST_WITHOUT_AUTHORITIES"
	ca := newAuthority(t, "root")
	if os.Getenv(marker) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), marker+"=1", "SSL_CERT_FILE=/nonexistent", "SSL_CERT_DIR="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(ca.serverTLS(t, TLSOptions{})))
	for _, o := range []TLSOptions{{}, {AnyName: true}} {
		_, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, o)})
		if e := wantError(t, err, OpTLS, "no trusted certificates on this system"); !e.Certificate() {
			t.Error("it is not classified as a refused certificate")
		}
	}
}

func TestStrict(t *testing.T) {
	ca := newAuthority(t, "root")
	good, goodKey := ca.issue(t, nil, "127.0.0.1")
	bad, badKey := ca.issue(t, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }, "127.0.0.1")
	const reason = `certificate with subject "CN=leaf", issuer "CN=root": not as RFC 5280 wants it: the key usage to sign certificates, but it is no authority`
	server := mustTLS(t, TLSOptions{CertPEM: bad, KeyPEM: badKey, Server: true})
	addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(server))
	for _, o := range []TLSOptions{{}, {AnyName: true}, {Strict: true}, {Strict: true, AnyName: true}} {
		o.CAPEM = ca.PEM
		s, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, o)})
		if o.Strict {
			wantError(t, err, OpTLS, reason)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}

	// A server looks at its clients in the same way, and at none that shows nothing.
	strict := ca.serverTLS(t, TLSOptions{CAPEM: ca.PEM, Strict: true, ClientCertOptional: true, MaxVersion: tls.VersionTLS12})
	addr = listen(t, "tcp", "127.0.0.1:0", echoTLS(strict))
	for _, o := range []TLSOptions{{}, {CertPEM: good, KeyPEM: goodKey}, {CertPEM: bad, KeyPEM: badKey}} {
		o.CAPEM = ca.PEM
		s, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, o)})
		if bytes.Equal(o.CertPEM, bad) {
			wantError(t, err, OpTLS, "it did not accept the client certificate")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, s.TLS)
		s.Close()
	}
}

func TestStrictReasons(t *testing.T) {
	named := pkix.Name{CommonName: "a", Names: []pkix.AttributeTypeAndValue{{}}}
	extension := func(oid asn1.ObjectIdentifier, critical bool) []pkix.Extension {
		return []pkix.Extension{{Id: oid, Critical: critical}}
	}
	for want, c := range map[string]x509.Certificate{
		"":                                      {MaxPathLen: -1, Subject: named},
		"a path length, but it is no authority": {MaxPathLenZero: true, Subject: named},
		"a path length without the key usage to sign certificates":               {MaxPathLen: 1, IsCA: true, Subject: named},
		"the subject's name is empty":                                            {},
		"the subject's name is empty and its alternative names are not critical": {Extensions: extension(oidAlternativeNames, false)},
		"extensions, but its version is below 3":                                 {Version: 1, Subject: named, Extensions: extension(oidBasicConstraints, false)},
		"the issuer's name is empty":                                             {Issuer: pkix.Name{CommonName: "none"}, Subject: named},
	} {
		if c.Issuer.CommonName == "" {
			c.Issuer = named
		}
		if c.Version == 0 {
			c.Version, c.AuthorityKeyId = 3, []byte{1}
		}
		if got := strictReason(&c, false); got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
	if err := checkStrict([][]*x509.Certificate{{{}, {}}, {{}}}); err != nil {
		t.Errorf("error %v, though one chain passes", err)
	}
}
