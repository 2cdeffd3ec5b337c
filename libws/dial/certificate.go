package dial

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// explainCertificate says which certificate was refused and why, in no more than
// most octets if that is possible.
func explainCertificate(verify *tls.CertificateVerificationError, most int) string {
	certs := verify.UnverifiedCertificates
	var cert *x509.Certificate
	if len(certs) > 0 {
		cert = certs[0]
	}
	reason := strings.TrimPrefix(verify.Err.Error(), "x509: ")

	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var roots x509.SystemRootsError
	var strict *strictError
	switch {
	case errors.As(verify.Err, &unknown):
		if unknown.Cert != nil {
			cert = unknown.Cert
		}
		reason = explainUnknown(cert, certs)
		// Such as a root of the right name but with another key.
		if _, hint, ok := strings.Cut(unknown.Error(), " (possibly because of "); ok && strings.HasPrefix(reason, untrusted) {
			reason = untrusted + " (possibly because of " + strings.ReplaceAll(hint, "x509: ", "")
		}
	case errors.As(verify.Err, &invalid):
		cert = invalid.Cert
		switch invalid.Reason {
		case x509.Expired:
			now := time.Now().UTC()
			if now.Before(cert.NotBefore) {
				reason = "not valid before " + cert.NotBefore.UTC().Format(time.RFC3339)
			} else {
				reason = "expired at " + cert.NotAfter.UTC().Format(time.RFC3339)
			}
			reason += ", the clock says " + now.Format(time.RFC3339)
		case x509.IncompatibleUsage:
			reason = "not meant for this use, " + certificateUsages(certs)
		case x509.NotAuthorizedToSign:
			reason = "not an authority, though it signed another certificate"
		}
	case errors.As(verify.Err, &name):
		cert = name.Certificate
		reason = "not valid for " + strconv.Quote(shorten(name.Host, 100)) + ", " + certificateNames(cert)
	case errors.As(verify.Err, &strict):
		cert, reason = strict.cert, "not as RFC 5280 wants it: "+strict.reason
	case errors.As(verify.Err, &roots):
		reason = "no trusted certificates on this system, expected the package ca-certificates or a CA file"
	}
	return aboutCertificate(cert, reason, most)
}

const untrusted = "signed by an authority that is not trusted"

// explainUnknown tells the ways to be signed by nobody who is trusted apart. cert is
// the last of the chain that was found.
func explainUnknown(cert *x509.Certificate, certs []*x509.Certificate) string {
	selfSigned := cert != nil && len(certs) > 0 && bytes.Equal(cert.RawIssuer, cert.RawSubject)
	switch {
	case selfSigned && cert == certs[0]:
		return "self-signed and not trusted"
	case selfSigned:
		return "a self-signed authority that is not trusted"
	case len(certs) == 1:
		return untrusted + "; the peer sent no intermediate certificate"
	}
	return untrusted
}

// leastName is kept of a name, whatever the reason takes.
const leastName = 16

// aboutCertificate cuts subject and issuer rather than the reason.
func aboutCertificate(cert *x509.Certificate, reason string, most int) string {
	if cert == nil {
		return "certificate: " + reason
	}
	const around = len(`certificate with subject "...", issuer "...": `)
	room := most - around - len(reason)
	subject, issuer := cert.Subject.String(), cert.Issuer.String()
	// The half that one does not need is the other's.
	forSubject := max(leastName, room/2, room-len(issuer))
	forIssuer := max(leastName, room-min(forSubject, len(subject)))
	return fmt.Sprintf("certificate with subject %q, issuer %q: %s",
		shorten(subject, forSubject), shorten(issuer, forIssuer), reason)
}

// aboutPinned leaves the issuer out, which says nothing about a pin.
func aboutPinned(e *pinError, most int) string {
	const around = len(`certificate with subject "...": `)
	reason := e.Error()
	room := max(leastName, most-around-len(reason))
	return fmt.Sprintf("certificate with subject %q: %s", shorten(e.cert.Subject.String(), room), reason)
}

// certificateNames lists as many names as fit into a sentence, one at least.
func certificateNames(cert *x509.Certificate) string {
	const most = 100
	var names []string
	for _, n := range cert.DNSNames {
		names = append(names, strconv.Quote(shorten(n, most)))
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, strconv.Quote(ip.String()))
	}
	if len(names) == 0 {
		return "it holds no subject alternative names"
	}
	text, n := "only for "+names[0], 1
	for n < len(names) && len(text)+len(names[n]) < most {
		text += ", " + names[n]
		n++
	}
	if n < len(names) {
		text += fmt.Sprintf(", %d more", len(names)-n)
	}
	return text
}

var usageNames = map[x509.ExtKeyUsage]string{
	x509.ExtKeyUsageServerAuth:      "servers",
	x509.ExtKeyUsageClientAuth:      "clients",
	x509.ExtKeyUsageCodeSigning:     "code signing",
	x509.ExtKeyUsageEmailProtection: "email",
	x509.ExtKeyUsageTimeStamping:    "time stamping",
	x509.ExtKeyUsageOCSPSigning:     "ocsp signing",
}

// certificateUsages is about the first of the chain that says what it is for.
func certificateUsages(certs []*x509.Certificate) string {
	for _, cert := range certs {
		var uses []string
		for _, u := range cert.ExtKeyUsage {
			if name := usageNames[u]; name != "" {
				uses = append(uses, name)
			}
		}
		if len(uses) > 0 {
			return "only for " + strings.Join(uses, ", ")
		}
	}
	return "its extended key usage is another"
}
