package dial

import (
	"crypto/x509"
	"encoding/asn1"
)

// strictError is a certificate that crypto/x509 takes though RFC 5280 does not.
type strictError struct {
	cert   *x509.Certificate
	reason string
}

func (e *strictError) Error() string { return e.reason }

var (
	oidAlternativeNames = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
)

// checkStrict makes the checks that OpenSSL has behind X509_V_FLAG_X509_STRICT. One
// chain that passes is enough.
func checkStrict(chains [][]*x509.Certificate) (err error) {
	for _, chain := range chains {
		if err = checkStrictChain(chain); err == nil {
			return nil
		}
	}
	return err
}

func checkStrictChain(chain []*x509.Certificate) error {
	if len(chain) == 1 {
		return nil // trusted by itself
	}
	for i, cert := range chain {
		if reason := strictReason(cert, i == len(chain)-1); reason != "" {
			return &strictError{cert, reason}
		}
	}
	return nil
}

// strictReason is "" for what RFC 5280 section 4.2 allows. Key identifiers that are
// critical have not even been parsed.
func strictReason(c *x509.Certificate, last bool) string {
	signs := c.KeyUsage&x509.KeyUsageCertSign != 0
	constraints, constrains := critical(c, oidBasicConstraints)
	names, hasNames := critical(c, oidAlternativeNames)
	nameless := len(c.Subject.Names) == 0
	switch {
	case hasPathLen(c) && !c.IsCA:
		return "a path length, but it is no authority"
	case hasPathLen(c) && !signs:
		return "a path length without the key usage to sign certificates"
	case c.IsCA && constrains && !constraints:
		return "the basic constraints of an authority are not critical"
	case c.IsCA && c.KeyUsage == 0:
		return "an authority without a key usage"
	case !c.IsCA && signs:
		return "the key usage to sign certificates, but it is no authority"
	case len(c.Issuer.Names) == 0:
		return "the issuer's name is empty"
	case nameless && (c.IsCA || !hasNames):
		return "the subject's name is empty"
	case nameless && !names:
		return "the subject's name is empty and its alternative names are not critical"
	case c.Version < 3:
		if len(c.Extensions) > 0 {
			return "extensions, but its version is below 3"
		}
	case !last && len(c.AuthorityKeyId) == 0:
		return "no authority key identifier"
	case c.IsCA && len(c.SubjectKeyId) == 0:
		return "an authority without a subject key identifier"
	}
	return ""
}

func hasPathLen(c *x509.Certificate) bool { return c.MaxPathLen > 0 || c.MaxPathLenZero }

func critical(c *x509.Certificate, oid asn1.ObjectIdentifier) (critical, present bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(oid) {
			return e.Critical, true
		}
	}
	return false, false
}
