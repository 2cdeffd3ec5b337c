package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// offer is what this side said in a TLS handshake, which gives the peer's alerts
// their meaning.
type offer struct {
	config *tls.Config
	client bool
	asked  bool // the server asked for a certificate
}

type offerKey struct{}

func withOffer(ctx context.Context, o *offer) context.Context {
	return context.WithValue(ctx, offerKey{}, o)
}

// clientCertificate sends cert, which may be nil, to every server that asks,
// whatever authorities it names, as OpenSSL does: the server then says what is wrong
// with it, not that there is none.
func clientCertificate(cert *tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if cert == nil {
		cert = new(tls.Certificate)
	}
	return func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if o, ok := r.Context().Value(offerKey{}).(*offer); ok {
			o.asked = true
		}
		return cert, nil
	}
}

// unanswered reports whether the server asked for a certificate and got none.
func (o *offer) unanswered() bool { return o.asked && len(o.config.Certificates) == 0 }

// peerAlert is an alert by which the peer ended the handshake.
type peerAlert struct {
	name    string // as crypto/tls has it
	meaning string // or ""
	err     error
}

func (e *peerAlert) Error() string {
	text := "the peer refused with alert " + strconv.Quote(e.name)
	if e.meaning != "" {
		text += ": " + e.meaning
	}
	return text
}

func (e *peerAlert) Unwrap() error { return e.err }

// errUnanswered is a guess at why a server left, as some do without an alert.
var errUnanswered = errors.New("it asked for a client certificate and got none")

// explain makes a *peerAlert of the peer's alerts, adds the guess where there is no
// alert, and returns other errors as they are.
func (o *offer) explain(err error) error {
	var oe *net.OpError
	if !errors.As(err, &oe) || oe.Op != "remote error" {
		if o.unanswered() && (oe != nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
			return fmt.Errorf("%w; %w", err, errUnanswered)
		}
		return err
	}
	name := strings.TrimPrefix(oe.Err.Error(), "tls: ")
	return &peerAlert{name, o.meaning(name), err}
}

// meaning says what an alert is about (RFC 8446 section 6.2).
func (o *offer) meaning(alert string) string {
	switch alert {
	case "certificate required":
		return "it wants a client certificate"
	case "bad certificate", "unsupported certificate", "unknown certificate", "unknown certificate authority",
		"revoked certificate", "expired certificate", "access denied":
		return o.aboutOwn()
	case "handshake failure":
		if o.unanswered() {
			return "it wants a client certificate"
		}
		return "the two have no cipher suite, curve or signature algorithm in common"
	case "insufficient security level":
		return "it wants stronger cipher suites"
	case "protocol version not supported":
		if v := o.config.MaxVersion; v == o.config.MinVersion {
			return "it does not speak " + tls.VersionName(v)
		}
		return "it speaks no " + tls.VersionName(o.config.MinVersion) + " or later"
	case "unrecognized name":
		return "it does not know the server name " + strconv.Quote(shorten(o.config.ServerName, 80))
	case "no application protocol":
		return "it takes none of the alpn protocols " + shorten(strings.Join(o.config.NextProtos, ", "), 80)
	case "internal error":
		return "the fault is its own"
	}
	return ""
}

// aboutOwn is the meaning of alerts about the certificate of this side.
func (o *offer) aboutOwn() string {
	switch {
	case len(o.config.Certificates) != 0:
		role := "server"
		if o.client {
			role = "client"
		}
		text := "it did not accept the " + role + " certificate"
		if leaf := o.config.Certificates[0].Leaf; leaf != nil {
			text += " with subject " + strconv.Quote(shorten(leaf.Subject.String(), 60)) +
				", issuer " + strconv.Quote(shorten(leaf.Issuer.String(), 60))
		}
		return text
	case o.client:
		return "it wants a client certificate"
	}
	return ""
}
