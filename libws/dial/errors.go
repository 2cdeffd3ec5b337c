package dial

import (
	"context"
	"crypto/tls"
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
	OpProxy   = "proxy"   // the proxy refused, or did not answer as one
)

// Error is a failed [Dial] or [ServerTLS].
type Error struct {
	Op      string // OpResolve, OpConnect, OpTLS or OpProxy
	Host    string // what was connected to, which may differ from the URI's host
	Port    int
	Err     error         // the cause, for errors.Is and errors.As
	Timeout bool          // the context's deadline or the system's own limit passed
	Errno   syscall.Errno // 0 when the system was not the cause

	Proxy    string        // the URL of the proxy in use, without userinfo; "": none
	Path     string        // the Unix socket that was connected to
	Attempts []Attempt     // OpConnect: each address that was tried
	Limit    time.Duration // OpTLS: the HandshakeTimeout that passed

	target string // what the proxy leads to, when the error is about the proxy itself
}

func newError(op, host string, port int, err error) *Error {
	e := &Error{Op: op, Host: host, Port: port, Err: err}
	errors.As(err, &e.Errno)
	var ne net.Error
	e.Timeout = errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &ne) && ne.Timeout()
	return e
}

// mostText is what aiows_error has room for: the names in a certificate are cut so
// that what is wrong with it is never.
const mostText = 255

// Error names host, port and cause, and the proxy with its answer; for a refused
// certificate its subject, its issuer and the reason.
func (e *Error) Error() string {
	switch {
	case e.Op == OpProxy:
		return "proxy " + e.Proxy + ": " + e.explainProxy()
	case e.Proxy != "" && e.target != "":
		prefix := "proxy " + e.Proxy + ": "
		return prefix + e.explain("", mostText-len(prefix))
	case e.Proxy != "":
		return e.explain(" by proxy "+e.Proxy, mostText)
	}
	return e.explain("", mostText)
}

func (e *Error) explain(by string, room int) string {
	at := "the peer" // of a unix socket, which has no address
	if e.Host != "" {
		at = net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
	}
	if e.Path != "" {
		at = "unix socket " + strconv.Quote(shorten(e.Path, 120))
	}
	switch e.Op {
	case OpResolve:
		return "resolve " + strconv.Quote(e.Host) + by + ": " + explainResolve(e.Err)
	case OpTLS:
		prefix := "tls handshake with " + at + by + ": "
		text := prefix + explainTLS(e.Err, room-len(prefix))
		if e.Limit != 0 {
			text += " after " + e.Limit.String()
		}
		return text
	}
	if len(e.Attempts) > 1 {
		return e.Op + " to " + at + by + ": " + explainAttempts(e.Attempts)
	}
	return e.Op + " to " + at + by + ": " + explainConnect(e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Certificate reports whether the peer's certificate was refused.
func (e *Error) Certificate() bool {
	var verify *tls.CertificateVerificationError
	var pinned *pinError
	return errors.As(e.Err, &verify) || errors.As(e.Err, &pinned)
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
	if se != nil && se.Syscall == "bind" && oe.Source != nil {
		host, _, _ := net.SplitHostPort(oe.Source.String())
		return "bind to " + host + ": " + cause.Error()
	}
	if oe.Addr != nil {
		return cause.Error() + " (" + oe.Addr.String() + ")"
	}
	return cause.Error()
}

func explainAttempts(attempts []Attempt) string {
	const most = 4
	var texts []string
	for _, a := range attempts {
		texts = append(texts, a.Error())
	}
	if n := len(texts); n > most {
		texts = append(texts[:most], strconv.Itoa(n-most)+" more")
	}
	return strings.Join(texts, ", ")
}

// Error says why the address did not answer.
func (a *Attempt) Error() string {
	text := explainConnect(a.Err)
	if !strings.Contains(text, a.Address) {
		text += " (" + a.Address + ")"
	}
	return text
}

// Errno returns the system's error number, 0 when it was not the cause.
func (a *Attempt) Errno() (n syscall.Errno) {
	errors.As(a.Err, &n)
	return n
}

// explainTLS aims at no more than most octets.
func explainTLS(err error, most int) string {
	if s := explainContext(err); s != "" {
		return s
	}
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		return explainCertificate(verify, most)
	}
	var pinned *pinError
	if errors.As(err, &pinned) {
		return aboutPinned(pinned, most)
	}
	var alert *peerAlert
	if errors.As(err, &alert) {
		return alert.Error()
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		if string(record.RecordHeader[:]) == "HTTP/" {
			return "the peer answered in plain HTTP, expected TLS"
		}
		return fmt.Sprintf("the peer sent %q, expected a TLS record", record.RecordHeader[:])
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		text := "the peer closed the connection"
		if errors.Is(err, errUnanswered) {
			text += "; " + errUnanswered.Error()
		}
		return text
	}
	var oe *net.OpError
	if errors.As(err, &oe) {
		return explainConnect(err)
	}
	return strings.TrimPrefix(err.Error(), "tls: ")
}
