package dial

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNewTLSDefaults(t *testing.T) {
	c := mustTLS(t, TLSOptions{}).Client("example.com")
	if c.InsecureSkipVerify || c.RootCAs != nil || c.ServerName != "example.com" || c.MinVersion != tls.VersionTLS12 ||
		c.MaxVersion != 0 || len(c.NextProtos) != 0 || !c.DynamicRecordSizingDisabled || c.ClientSessionCache == nil {
		t.Errorf("defaults are %+v", c)
	}
}

func TestTLSSharesConfigurations(t *testing.T) {
	c := mustTLS(t, TLSOptions{})
	if a, again := c.Client("a"), c.Client("a"); a != again || a == c.Client("b") {
		t.Error("expected one configuration a name")
	}
	if c.Client("a").ClientSessionCache != c.Client("b").ClientSessionCache {
		t.Error("expected one session cache")
	}
	for i := range 3 * maxConfigs {
		c.Client(strings.Repeat("x", i+1))
	}
	if len(c.clients) > maxConfigs {
		t.Errorf("%d configurations kept, expected at most %d", len(c.clients), maxConfigs)
	}
	if got := mustTLS(t, TLSOptions{ServerName: "B\u00fccher.example"}).Client("a").ServerName; got != "xn--bcher-kva.example" {
		t.Errorf("server name %q, expected the context's own", got)
	}
	if s, again := c.Server(), c.Server(); s != again {
		t.Error("expected one server configuration, which holds the ticket keys")
	}
}

func TestNewTLSSources(t *testing.T) {
	ca := newAuthority(t, "root")
	cert, key := ca.issue(t, nil, "server.test")
	both := append(append([]byte(nil), cert...), key...)
	badCA := append(pemBlock("CERTIFICATE", []byte("junk")), ca.PEM...)
	for name, o := range map[string]TLSOptions{
		"ca file":            {CAFile: writeFile(t, "ca.pem", ca.PEM)},
		"ca pem":             {CAPEM: ca.PEM},
		"ca file and pem":    {CAFile: writeFile(t, "ca.pem", ca.PEM), CAPEM: ca.PEM},
		"one bad ca of two":  {CAPEM: badCA},
		"ca directory":       {CADir: filepath.Dir(writeFile(t, "anything", ca.PEM))},
		"suites":             {CipherSuites: []string{"TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}},
		"pins":               {Pins: []string{strings.Repeat("Ab", 32), strings.Repeat("00:", 31) + "00", "sha256//" + strings.Repeat("A", 43) + "="}},
		"files":              {CertFile: writeFile(t, "c.pem", cert), KeyFile: writeFile(t, "k.pem", key)},
		"pem":                {CertPEM: cert, KeyPEM: key},
		"file and pem":       {CertFile: writeFile(t, "c.pem", cert), KeyPEM: key},
		"key beside, file":   {CertFile: writeFile(t, "both.pem", both)},
		"key beside, memory": {CertPEM: both, Server: true},
		"versions":           {MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS13},
		"address":            {ServerName: "[::1]"},
	} {
		if _, err := NewTLS(o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewTLSRefuses(t *testing.T) {
	ca := newAuthority(t, "root")
	cert, key := ca.issue(t, nil, "server.test")
	_, otherKey := ca.issue(t, nil, "server.test")
	file := func(data []byte) string { return writeFile(t, "file.pem", data) }
	legacy := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte{1}})
	for i, c := range []struct {
		o    TLSOptions
		want []string
	}{
		{TLSOptions{CAFile: "/nowhere/ca.pem"}, []string{`ca file "/nowhere/ca.pem"`, "no such file"}},
		{TLSOptions{CAFile: t.TempDir()}, []string{"ca file", "is a directory"}},
		{TLSOptions{CAFile: file([]byte(" \n"))}, []string{"file.pem", "empty, expected PEM"}},
		{TLSOptions{CAFile: file([]byte("hello"))}, []string{"file.pem", "no certificate found"}},
		{TLSOptions{CAFile: file(key)}, []string{"no certificate found"}},
		{TLSOptions{CAPEM: pemBlock("CERTIFICATE", []byte("junk"))}, []string{"ca pem", "malformed"}},
		{TLSOptions{CertFile: "/nowhere/c.pem"}, []string{`certificate file "/nowhere/c.pem"`, "no such file"}},
		{TLSOptions{CertPEM: cert, KeyFile: "/nowhere/k.pem"}, []string{`key file "/nowhere/k.pem"`, "no such file"}},
		{TLSOptions{CertPEM: cert}, []string{"certificate pem", "no private key found"}},
		{TLSOptions{CertPEM: cert, KeyPEM: otherKey}, []string{"certificate pem with key pem", "private key does not match public key"}},
		{TLSOptions{CertPEM: cert, KeyPEM: pemBlock("ENCRYPTED PRIVATE KEY", []byte("x"))}, []string{"key pem", "encrypted, expected a password"}},
		{TLSOptions{CertPEM: cert, KeyFile: file(legacy)}, []string{"file.pem", "encrypted, expected a password"}},
		{TLSOptions{CertPEM: cert, KeyFile: file(legacy), KeyPassword: []byte("x")}, []string{"file.pem", "incorrect IV size"}},
		{TLSOptions{CertPEM: cert, KeyPEM: pemBlock("ENCRYPTED PRIVATE KEY", []byte("x")), KeyPassword: []byte("x")}, []string{"key pem", "malformed"}},
		{TLSOptions{KeyPassword: []byte("x")}, []string{"a key password without a key"}},
		{TLSOptions{CADir: "/nowhere"}, []string{`ca directory "/nowhere": no such file`}},
		{TLSOptions{CADir: filepath.Dir(file(key))}, []string{"none of its 1 files holds a certificate"}},
		{TLSOptions{Server: true, AnyName: true}, []string{"any name is an option of clients"}},
		{TLSOptions{Server: true, Pins: []string{"x"}}, []string{`pin "x" is an option of clients`}},
		{TLSOptions{Server: true, CertPEM: cert, KeyPEM: key, ClientCertOptional: true}, []string{"without authorities"}},
		{TLSOptions{ClientCertOptional: true, CAPEM: ca.PEM}, []string{"option of a server context"}},
		{TLSOptions{Insecure: true, AnyName: true}, []string{"any name or strict together with insecure"}},
		{TLSOptions{Insecure: true, Strict: true}, []string{"any name or strict together with insecure"}},
		{TLSOptions{Pins: []string{"ab"}}, []string{`pin "ab", expected the SHA-256 of a certificate as 64 hex`}},
		{TLSOptions{Pins: []string{"sha256//" + strings.Repeat("A", 43)}}, []string{"expected", "sha256//BASE64"}},
		{TLSOptions{Pins: []string{strings.Repeat("a:b:", 32)}}, []string{"pin", "expected"}},
		{TLSOptions{CipherSuites: []string{"TLS_AES_128_GCM_SHA256"}}, []string{`"TLS_AES_128_GCM_SHA256" of TLS 1.3 cannot be chosen`}},
		{TLSOptions{CipherSuites: []string{"AES128-SHA"}}, []string{`"AES128-SHA" is unknown, expected the IANA name`}},
		{TLSOptions{CipherSuites: []string{"TLS_RSA_WITH_RC4_128_SHA"}}, []string{"RC4", "broken"}},
		{TLSOptions{CipherSuites: []string{"TLS_RSA_WITH_AES_128_CBC_SHA"}, MinVersion: tls.VersionTLS13}, []string{"minimum of TLS 1.3"}},
		{TLSOptions{CertPEM: cert, CertFile: "c"}, []string{"both given"}},
		{TLSOptions{CertPEM: cert, KeyPEM: key, KeyFile: "k"}, []string{"both given"}},
		{TLSOptions{KeyPEM: key}, []string{"key without a certificate"}},
		{TLSOptions{Server: true}, []string{"without a certificate"}},
		{TLSOptions{Server: true, Insecure: true}, []string{"insecure"}},
		{TLSOptions{Server: true, ServerName: "a"}, []string{`server name "a"`}},
		{TLSOptions{ServerName: "a b"}, []string{`server name "a b"`}},
		{TLSOptions{ServerName: "fe80::1%eth0"}, []string{"zone"}},
		{TLSOptions{MinVersion: tls.VersionTLS11}, []string{"TLS 1.1, expected TLS 1.2 or TLS 1.3"}},
		{TLSOptions{MaxVersion: tls.VersionTLS10}, []string{"TLS 1.0, expected"}},
		{TLSOptions{MinVersion: 9}, []string{"0x0009"}},
		{TLSOptions{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12}, []string{"TLS 1.3 is above the maximum TLS 1.2"}},
		{TLSOptions{ALPN: []string{""}}, []string{"alpn", "1 to 255"}},
		{TLSOptions{ALPN: []string{strings.Repeat("x", 256)}}, []string{"256 octets"}},
	} {
		_, err := NewTLS(c.o)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("case %d: error %v, expected %q in it", i, err, want)
			}
		}
	}
	_, err := NewTLS(TLSOptions{CAFile: "/nowhere"})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, expected fs.ErrNotExist in its chain", err)
	}
}

func TestServerContextWithAuthoritiesWantsClientCertificates(t *testing.T) {
	ca := newAuthority(t, "root")
	if c := ca.serverTLS(t, TLSOptions{CAPEM: ca.PEM}).Server(); c.ClientAuth != tls.RequireAndVerifyClientCert || c.ClientCAs == nil {
		t.Errorf("client authentication is %v", c.ClientAuth)
	}
	if c := ca.serverTLS(t, TLSOptions{CAPEM: ca.PEM, ClientCertOptional: true}).Server(); c.ClientAuth != tls.VerifyClientCertIfGiven {
		t.Errorf("client authentication is %v", c.ClientAuth)
	}
	if c := ca.serverTLS(t, TLSOptions{}).Server(); c.ClientAuth != tls.NoClientCert {
		t.Errorf("client authentication is %v", c.ClientAuth)
	}
}

func TestCertificateNamesAreBounded(t *testing.T) {
	cert := &x509.Certificate{DNSNames: []string{strings.Repeat("a", 300)}}
	for range 999 {
		cert.DNSNames = append(cert.DNSNames, "b.test")
	}
	if s := certificateNames(cert); !strings.HasSuffix(s, "999 more") || len(s) > 200 {
		t.Errorf("names are %q", s)
	}
}
