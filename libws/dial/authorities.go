package dial

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

func loadRoots(o *TLSOptions) (*x509.CertPool, error) {
	if o.CAFile == "" && o.CADir == "" && len(o.CAPEM) == 0 {
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
	if o.CADir != "" {
		if err := addDirectory(pool, o.CADir); err != nil {
			return nil, fmt.Errorf("ca directory %q: %w", o.CADir, withoutPath(err))
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

// addDirectory takes every regular file that holds certificates, whatever its
// name, so that a directory which OpenSSL has hashed does as well as another.
// Keys and notes beside them, and what may not be read, are passed over.
func addDirectory(pool *x509.CertPool, name string) error {
	entries, err := os.ReadDir(name)
	if err != nil {
		return err
	}
	found := false
	for _, entry := range entries {
		path := filepath.Join(name, entry.Name())
		if s, err := os.Stat(path); err != nil || !s.Mode().IsRegular() {
			continue
		}
		if data, err := os.ReadFile(path); err == nil && pool.AppendCertsFromPEM(data) {
			found = true
		}
	}
	if !found {
		return fmt.Errorf("none of its %d files holds a certificate in PEM", len(entries))
	}
	return nil
}

// withoutSystemRoots replaces "unknown authority" by what is really wrong on a
// system that has no authorities at all.
func withoutSystemRoots(err error) error {
	var verify *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &verify) || !errors.As(verify.Err, &unknown) {
		return err
	}
	system, systemErr := x509.SystemCertPool()
	if systemErr == nil && !system.Equal(x509.NewCertPool()) {
		return err
	}
	return &tls.CertificateVerificationError{
		UnverifiedCertificates: verify.UnverifiedCertificates,
		Err:                    x509.SystemRootsError{Err: systemErr},
	}
}

func readFile(what, name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", what, name, withoutPath(err))
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, fmt.Errorf("%s %q: empty, expected PEM", what, name)
	}
	return data, nil
}

// withoutPath is the cause alone, where the text names the path already.
func withoutPath(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
