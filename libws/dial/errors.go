package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The values of [Error.Op].
const (
	OpResolve = "resolve" // the name was not found
	OpConnect = "connect" // no address answered
	OpTLS     = "tls"     // the TLS handshake failed
)

// Error is a failed [Dial] or [ServerTLS].
type Error struct {
	Op      string // OpResolve, OpConnect or OpTLS
	Host    string // what was connected to, which may differ from the URI's host
	Port    int
	Err     error         // the cause, for errors.Is and errors.As
	Timeout bool          // the context's deadline or the system's own limit passed
	Errno   syscall.Errno // 0 when the system was not the cause
}

func newError(op, host string, port int, err error) *Error {
	e := &Error{Op: op, Host: host, Port: port, Err: err}
	errors.As(err, &e.Errno)
	var ne net.Error
	e.Timeout = errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &ne) && ne.Timeout()
	return e
}

// Error names host, port and cause; for a refused certificate its subject, its
// issuer and the reason.
func (e *Error) Error() string {
	at := "the peer" // of a unix socket, which has no address
	if e.Host != "" {
		at = net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
	}
	switch e.Op {
	case OpResolve:
		return "resolve " + strconv.Quote(e.Host) + ": " + explainResolve(e.Err)
	case OpTLS:
		return "tls handshake with " + at + ": " + explainTLS(e.Err)
	}
	return e.Op + " to " + at + ": " + explainConnect(e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Certificate reports whether the peer's certificate was refused.
func (e *Error) Certificate() bool {
	var verify *tls.CertificateVerificationError
	return errors.As(e.Err, &verify)
}

func explainContext(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timed out"
	}
	return ""
}

func explainResolve(err error) string {
	if s := explainContext(err); s != "" {
		return s
	}
	var de *net.DNSError
	if !errors.As(err, &de) {
		return err.Error()
	}
	switch {
	case de.IsNotFound:
		return "no such host"
	case de.IsTimeout:
		return "timed out"
	}
	return de.Err
}

func explainConnect(err error) string {
	if s := explainContext(err); s != "" {
		return s
	}
	var oe *net.OpError
	if !errors.As(err, &oe) {
		return err.Error()
	}
	var se *os.SyscallError
	cause := oe.Err
	if errors.As(cause, &se) {
		cause = se.Err
	}
	if oe.Addr != nil {
		return cause.Error() + " (" + oe.Addr.String() + ")"
	}
	return cause.Error()
}

func explainTLS(err error) string {
	if s := explainContext(err); s != "" {
		return s
	}
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		return explainCertificate(verify)
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		if string(record.RecordHeader[:]) == "HTTP/" {
			return "the peer answered in plain HTTP, expected TLS"
		}
		return fmt.Sprintf("the peer sent %q, expected a TLS record", record.RecordHeader[:])
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the peer closed the connection"
	}
	var oe *net.OpError
	if errors.As(err, &oe) && oe.Op != "remote error" {
		return explainConnect(err)
	}
	s := strings.TrimPrefix(err.Error(), "tls: ")
	if alert, ok := strings.CutPrefix(s, "remote error: "); ok {
		return "the peer refused with alert \"" + strings.TrimPrefix(alert, "tls: ") + "\""
	}
	return s
}

func explainCertificate(verify *tls.CertificateVerificationError) string {
	var cert *x509.Certificate
	if len(verify.UnverifiedCertificates) > 0 {
		cert = verify.UnverifiedCertificates[0]
	}
	reason := strings.TrimPrefix(verify.Err.Error(), "x509: ")

	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var roots x509.SystemRootsError
	switch {
	case errors.As(verify.Err, &unknown):
		if unknown.Cert != nil {
			cert = unknown.Cert
		}
		reason = "signed by an authority that is not trusted"
		if cert != nil && cert.Subject.String() == cert.Issuer.String() {
			reason = "self-signed and not trusted"
		}
		// Such as a root of the right name but with another key.
		if _, hint, ok := strings.Cut(unknown.Error(), " (possibly because of "); ok {
			reason += " (possibly because of " + hint
		}
	case errors.As(verify.Err, &invalid):
		cert = invalid.Cert
		if invalid.Reason == x509.Expired {
			now := time.Now().UTC()
			if now.Before(cert.NotBefore) {
				reason = "not valid before " + cert.NotBefore.UTC().Format(time.RFC3339)
			} else {
				reason = "expired at " + cert.NotAfter.UTC().Format(time.RFC3339)
			}
			reason += ", the clock says " + now.Format(time.RFC3339)
		}
	case errors.As(verify.Err, &name):
		cert = name.Certificate
		reason = "not valid for " + strconv.Quote(name.Host) + ", " + certificateNames(cert)
	case errors.As(verify.Err, &roots):
		reason = "no trusted certificates on this system, expected the package ca-certificates or a CA file"
	}
	if cert == nil {
		return "certificate: " + reason
	}
	return fmt.Sprintf("certificate with subject %q, issuer %q: %s",
		shorten(cert.Subject.String(), 200), shorten(cert.Issuer.String(), 200), reason)
}

func certificateNames(cert *x509.Certificate) string {
	const most = 8
	var names []string
	for _, n := range cert.DNSNames {
		names = append(names, strconv.Quote(shorten(n, 80)))
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, strconv.Quote(ip.String()))
	}
	if len(names) == 0 {
		return "it holds no subject alternative names"
	}
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("%d more", len(names)-most))
	}
	return "only for " + strings.Join(names, ", ")
}
