package dial

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"
)

// TestMain fails the run when a goroutine or a descriptor is left behind.
func TestMain(m *testing.M) {
	warm, err := net.Listen("tcp", "127.0.0.1:0") // starts the poller, whose descriptors stay
	if err != nil {
		panic(err)
	}
	warm.Close()
	goroutines, files := runtime.NumGoroutine(), openFiles()
	code := m.Run()
	if code == 0 && !fuzzing() { // the fuzzing engine leaves its own
		code = leaks(goroutines, files)
	}
	os.Exit(code)
}

func fuzzing() bool {
	f := flag.Lookup("test.fuzz")
	w := flag.Lookup("test.fuzzworker")
	return f.Value.String() != "" || w.Value.String() == "true"
}

func leaks(goroutines, files int) int {
	for range 3000 { // goroutines that were told to end may need a moment
		if runtime.NumGoroutine() <= goroutines && openFiles() <= files {
			return 0
		}
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Printf("left behind: %d goroutines and %d descriptors, at the start %d and %d\n",
		runtime.NumGoroutine(), openFiles(), goroutines, files)
	_ = pprof.Lookup("goroutine").WriteTo(os.Stdout, 1)
	return 1
}

func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// missing skips the test, or fails it where CI promises that all is there.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing and CI=true", what)
	}
	t.Skipf("%s is missing", what)
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	PEM  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: key, PEM: pemBlock("CERTIFICATE", der)}
}

// issue makes a certificate for names and addresses; change may edit it before
// it is signed.
func (a *authority) issue(t *testing.T, change func(*x509.Certificate), names ...string) (certPEM, keyPEM []byte) {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "leaf"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	if change != nil {
		change(tmpl)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemBlock("CERTIFICATE", der), pemBlock("PRIVATE KEY", pkcs8)
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func mustTLS(t *testing.T, o TLSOptions) *TLS {
	t.Helper()
	c, err := NewTLS(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serverTLS is a context with a certificate of a for the names tests use.
func (a *authority) serverTLS(t *testing.T, o TLSOptions) *TLS {
	t.Helper()
	o.CertPEM, o.KeyPEM = a.issue(t, nil, "127.0.0.1", "::1", "localhost", "server.test")
	o.Server = true
	return mustTLS(t, o)
}

// listen calls serve for every connection that arrives, and waits for all of
// them at the end of the test.
func listen(t *testing.T, network, address string, serve func(net.Conn)) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		missing(t, "a loopback address "+address)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []chan struct{}
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			end := make(chan struct{})
			conns = append(conns, end)
			go func() {
				defer close(end)
				defer c.Close()
				serve(c)
			}()
		}
		for _, end := range conns {
			<-end
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().(*net.TCPAddr)
}

func mustURI(t *testing.T, s string) *URI {
	t.Helper()
	u, err := ParseURI(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
