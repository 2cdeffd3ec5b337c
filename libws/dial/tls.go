package dial

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// TLSOptions configures [NewTLS]. The zero value is a client that verifies
// against the system's certificates.
type TLSOptions struct {
	// CAFile and CAPEM hold certificates in PEM. When either is given only these
	// are trusted, else the system's. With Server they are the authorities of
	// client certificates, which are then required.
	CAFile string
	CAPEM  []byte

	// The own certificate chain and its key in PEM, from files or memory. The
	// key may stand beside the chain; KeyFile and KeyPEM are then left empty.
	CertFile, KeyFile string
	CertPEM, KeyPEM   []byte

	// ServerName is sent (SNI) and verified instead of the URI's host.
	ServerName string
	// Insecure accepts any certificate for any name.
	Insecure bool
	// ALPN lists protocol names by preference. None by default.
	ALPN []string
	// MinVersion and MaxVersion are tls.VersionTLS12 or tls.VersionTLS13; zero
	// is TLS 1.2 and the newest.
	MinVersion, MaxVersion uint16
	// Server makes a context for listeners: it must have a certificate.
	Server bool
}

// TLS is a context shared by any number of connections and goroutines:
// certificates are parsed once, and clients resume sessions through it.
type TLS struct {
	server *tls.Config
	base   *tls.Config

	mu      sync.Mutex
	clients map[string]*tls.Config // by server name
}

const (
	maxSessions = 256 // by server name, least recently used dropped
	maxConfigs  = 64  // kept by name, so that idle connections share one
)

// NewTLS reads files and checks options; an error names the file or option and
// the reason.
func NewTLS(o TLSOptions) (*TLS, error) {
	c := &tls.Config{
		ServerName:         o.ServerName,
		InsecureSkipVerify: o.Insecure,
		NextProtos:         append([]string(nil), o.ALPN...),
		MinVersion:         tls.VersionTLS12,
		MaxVersion:         o.MaxVersion,
		// crypto/tls would send the first 128 KiB in records the size of a packet.
		DynamicRecordSizingDisabled: true,
	}
	if o.MinVersion != 0 {
		c.MinVersion = o.MinVersion
	}
	if err := checkOptions(&o, c); err != nil {
		return nil, err
	}
	roots, err := loadRoots(&o)
	if err != nil {
		return nil, err
	}
	cert, err := loadCertificate(&o)
	if err != nil {
		return nil, err
	}
	if cert != nil {
		c.Certificates = []tls.Certificate{*cert}
	}

	t := &TLS{server: c.Clone(), base: c, clients: map[string]*tls.Config{}}
	c.RootCAs = roots
	c.ClientSessionCache = tls.NewLRUClientSessionCache(maxSessions)
	if roots != nil {
		t.server.ClientCAs = roots
		t.server.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return t, nil
}

func checkOptions(o *TLSOptions, c *tls.Config) error {
	for _, v := range []uint16{c.MinVersion, c.MaxVersion} {
		if v != 0 && v != tls.VersionTLS12 && v != tls.VersionTLS13 {
			return fmt.Errorf("tls version %s, expected TLS 1.2 or TLS 1.3", tls.VersionName(v))
		}
	}
	if c.MaxVersion != 0 && c.MinVersion > c.MaxVersion {
		return fmt.Errorf("minimum tls version %s is above the maximum %s", tls.VersionName(c.MinVersion), tls.VersionName(c.MaxVersion))
	}
	for _, p := range o.ALPN {
		if len(p) == 0 || len(p) > 255 {
			return fmt.Errorf("alpn protocol %q of %d octets, expected 1 to 255", shorten(p, 40), len(p))
		}
	}
	if o.Server && o.Insecure {
		return errors.New("insecure is an option of clients, not of a server context")
	}
	if o.Server && o.ServerName != "" {
		return fmt.Errorf("server name %q is an option of clients, not of a server context", shorten(o.ServerName, 80))
	}
	if o.ServerName != "" {
		host, reason := serverName(o.ServerName)
		if reason != "" {
			return fmt.Errorf("server name %q: %s", shorten(o.ServerName, 80), reason)
		}
		c.ServerName = host
	}
	return nil
}

// Client returns the configuration for a connection to serverName, which the
// context's own ServerName overrides. It is shared: do not modify it.
func (t *TLS) Client(serverName string) *tls.Config {
	if t.base.ServerName != "" {
		return t.base
	}
	return t.named(serverName)
}

func (t *TLS) named(serverName string) *tls.Config {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[serverName]; c != nil {
		return c
	}
	c := t.base.Clone()
	c.ServerName = serverName
	if len(t.clients) >= maxConfigs {
		clear(t.clients)
	}
	t.clients[serverName] = c
	return c
}

// Server returns the configuration for listeners. It is shared, because it
// holds the keys of session tickets: do not modify it.
func (t *TLS) Server() *tls.Config { return t.server }

// defaultTLS is made at the first wss connection without a context.
var defaultTLS = sync.OnceValues(func() (*TLS, error) { return NewTLS(TLSOptions{}) })

func loadRoots(o *TLSOptions) (*x509.CertPool, error) {
	if o.CAFile == "" && len(o.CAPEM) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if o.CAFile != "" {
		data, err := readFile("ca file", o.CAFile)
		if err != nil {
			return nil, err
		}
		if err := addRoots(pool, data); err != nil {
			return nil, fmt.Errorf("ca file %q: %w", o.CAFile, err)
		}
	}
	if len(o.CAPEM) != 0 {
		if err := addRoots(pool, o.CAPEM); err != nil {
			return nil, fmt.Errorf("ca pem: %w", err)
		}
	}
	return pool, nil
}

// addRoots skips certificates that cannot be parsed as long as there is another:
// bundles in use hold some that Go refuses (negative serial numbers).
func addRoots(pool *x509.CertPool, data []byte) error {
	if pool.AppendCertsFromPEM(data) {
		return nil
	}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return errors.New("no certificate found, expected PEM")
		}
		if block.Type == "CERTIFICATE" {
			_, err := x509.ParseCertificate(block.Bytes)
			return err
		}
	}
}

func loadCertificate(o *TLSOptions) (*tls.Certificate, error) {
	fromFile, fromPEM := o.CertFile != "", len(o.CertPEM) != 0
	switch {
	case fromFile && fromPEM:
		return nil, fmt.Errorf("certificate file %q and certificate pem both given, expected one", o.CertFile)
	case o.KeyFile != "" && len(o.KeyPEM) != 0:
		return nil, fmt.Errorf("key file %q and key pem both given, expected one", o.KeyFile)
	case !fromFile && !fromPEM && (o.KeyFile != "" || len(o.KeyPEM) != 0):
		return nil, errors.New("a key without a certificate")
	case !fromFile && !fromPEM && o.Server:
		return nil, errors.New("a server context without a certificate")
	case !fromFile && !fromPEM:
		return nil, nil
	}

	var err error
	certName, chain := "certificate pem", o.CertPEM
	if fromFile {
		certName = fmt.Sprintf("certificate file %q", o.CertFile)
		if chain, err = readFile("certificate file", o.CertFile); err != nil {
			return nil, err
		}
	}
	keyName, key := certName, chain
	switch {
	case o.KeyFile != "":
		keyName = fmt.Sprintf("key file %q", o.KeyFile)
		if key, err = readFile("key file", o.KeyFile); err != nil {
			return nil, err
		}
	case len(o.KeyPEM) != 0:
		keyName, key = "key pem", o.KeyPEM
	}
	if reason := checkKey(key); reason != "" {
		return nil, fmt.Errorf("%s: %s", keyName, reason)
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		name := certName
		if keyName != certName {
			name += " with " + keyName
		}
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "tls: "))
	}
	return &cert, nil
}

// checkKey gives clearer reasons than crypto/tls for the two common mistakes.
func checkKey(data []byte) (reason string) {
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		switch {
		case block == nil:
			return "no private key found, expected PEM"
		case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return "the private key is encrypted, expected one without a passphrase"
		case block.Type == "PRIVATE KEY" || strings.HasSuffix(block.Type, " PRIVATE KEY"):
			return ""
		}
	}
}

func readFile(what, name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("%s %q: %w", what, name, err)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, fmt.Errorf("%s %q: empty, expected PEM", what, name)
	}
	return data, nil
}
