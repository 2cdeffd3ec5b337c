package dial

import (
	"crypto/tls"
	"crypto/x509"
)

// verifyAs sets up what a client checks beside or instead of crypto/tls: that
// looks at chain and name together or at neither, and knows no pins. It is also
// done for sessions that resume.
func verifyAs(c *tls.Config, o *TLSOptions) error {
	var pins []pin
	for _, s := range o.Pins {
		p, err := parsePin(s)
		if err != nil {
			return err
		}
		pins = append(pins, p)
	}
	c.InsecureSkipVerify = o.Insecure || o.AnyName
	if !o.AnyName && !o.Strict && pins == nil {
		return nil
	}
	roots, anyName, strict := c.RootCAs, o.AnyName, o.Strict
	c.VerifyConnection = func(s tls.ConnectionState) (err error) {
		chains := s.VerifiedChains
		if anyName {
			if chains, err = verifyChain(s.PeerCertificates, roots); err != nil {
				return refusal(s.PeerCertificates, err)
			}
		}
		if strict {
			if err := checkStrict(chains); err != nil {
				return refusal(s.PeerCertificates, err)
			}
		}
		if pins == nil {
			return nil
		}
		return checkPins(s.PeerCertificates[0], pins)
	}
	return nil
}

// verifyClients is the same for a server, whose clients may show no certificate.
func verifyClients(c *tls.Config, o *TLSOptions) {
	if !o.Strict {
		return
	}
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if err := checkStrict(s.VerifiedChains); err != nil {
			return refusal(s.PeerCertificates, err)
		}
		return nil
	}
}

func verifyChain(certs []*x509.Certificate, roots *x509.CertPool) ([][]*x509.Certificate, error) {
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, cert := range certs[1:] {
		o.Intermediates.AddCert(cert)
	}
	return certs[0].Verify(o)
}

func refusal(certs []*x509.Certificate, err error) error {
	return &tls.CertificateVerificationError{UnverifiedCertificates: certs, Err: err}
}
