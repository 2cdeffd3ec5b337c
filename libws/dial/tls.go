package dial

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
)

// TLSOptions configures [NewTLS]. The zero value is a client that verifies
// against the system's certificates.
type TLSOptions struct {
	// CAFile, CADir and CAPEM hold certificates in PEM. When any is given only
	// these are trusted, whether they are roots or not, else the system's. Of a
	// directory every file counts that holds a certificate. With Server they are
	// the authorities of client certificates, which are then required.
	CAFile, CADir string
	CAPEM         []byte

	// The own certificate chain and its key in PEM, from files or memory. The
	// key may stand beside the chain; KeyFile and KeyPEM are then left empty.
	CertFile, KeyFile string
	CertPEM, KeyPEM   []byte
	// KeyPassword decrypts the key: PKCS #8 with PBES2, or the older encryption of
	// PEM. It is not looked at when the key is not encrypted.
	KeyPassword []byte

	// ServerName is sent (SNI) and verified instead of the URI's host.
	ServerName string
	// Insecure accepts any certificate for any name, but for what Pins say.
	Insecure bool
	// AnyName verifies the chain of the server's certificate and not its name.
	AnyName bool
	// Strict refuses chains with certificates that break RFC 5280 in a way that
	// crypto/x509 lets pass, such as authorities without a key usage.
	Strict bool
	// Pins lists what the server's own certificate must be, any one of them: its
	// SHA-256 in hexadecimal, with colons or without, or that of its public key as
	// "sha256//" and base64. It is verified besides, unless Insecure is set.
	Pins []string

	// ALPN lists protocol names by preference. None by default.
	ALPN []string
	// MinVersion and MaxVersion are tls.VersionTLS12 or tls.VersionTLS13; zero
	// is TLS 1.2 and the newest.
	MinVersion, MaxVersion uint16
	// CipherSuites lists the suites of TLS 1.2 that may be used, by their IANA
	// names, in any order. Those of TLS 1.3 cannot be chosen.
	CipherSuites []string

	// Server makes a context for listeners: it must have a certificate.
	Server bool
	// ClientCertOptional lets clients without a certificate in, though there are
	// authorities for it.
	ClientCertOptional bool
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
// the reason. It keeps nothing of o.
func NewTLS(o TLSOptions) (*TLS, error) {
	c := &tls.Config{
		ServerName: o.ServerName,
		NextProtos: append([]string(nil), o.ALPN...),
		MinVersion: tls.VersionTLS12,
		MaxVersion: o.MaxVersion,
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
	if o.ClientCertOptional && roots == nil {
		return nil, errors.New("optional client certificates without authorities to verify them")
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
	if err := verifyAs(c, &o); err != nil {
		return nil, err
	}
	verifyClients(t.server, &o)
	if roots != nil {
		t.server.ClientCAs = roots
		t.server.ClientAuth = tls.RequireAndVerifyClientCert
		if o.ClientCertOptional {
			t.server.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	c.ClientSessionCache = tls.NewLRUClientSessionCache(maxSessions)
	c.GetClientCertificate = clientCertificate(cert)
	return t, nil
}

func checkOptions(o *TLSOptions, c *tls.Config) (err error) {
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
	if o.Server {
		if name := clientOption(o); name != "" {
			return fmt.Errorf("%s is an option of clients, not of a server context", name)
		}
	} else if o.ClientCertOptional {
		return errors.New("optional client certificates are an option of a server context")
	}
	if o.Insecure && (o.AnyName || o.Strict) {
		return errors.New("any name or strict together with insecure, which verifies nothing")
	}
	if o.ServerName != "" {
		host, reason := serverName(o.ServerName)
		if reason != "" {
			return fmt.Errorf("server name %q: %s", shorten(o.ServerName, 80), reason)
		}
		c.ServerName = host
	}
	c.CipherSuites, err = cipherSuites(o.CipherSuites, c.MinVersion)
	return err
}

// clientOption names an option that a server context cannot have.
func clientOption(o *TLSOptions) string {
	switch {
	case o.Insecure:
		return "insecure"
	case o.AnyName:
		return "any name"
	case o.ServerName != "":
		return fmt.Sprintf("server name %q", shorten(o.ServerName, 80))
	case len(o.Pins) != 0:
		return fmt.Sprintf("pin %q", shorten(o.Pins[0], 100))
	}
	return ""
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
