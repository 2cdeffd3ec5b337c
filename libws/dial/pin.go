package dial

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// pinPrefix begins the pin of a public key, as in RFC 7469 and curl.
const pinPrefix = "sha256//"

// pin is a SHA-256 of a certificate or of its public key.
type pin struct {
	key bool // of the public key (SubjectPublicKeyInfo)
	sum [sha256.Size]byte
}

func parsePin(s string) (p pin, err error) {
	var sum []byte
	rest, key := strings.CutPrefix(s, pinPrefix)
	if key {
		sum, err = base64.StdEncoding.Strict().DecodeString(rest)
	} else {
		sum, err = hex.DecodeString(withoutColons(s))
	}
	if err != nil || len(sum) != len(p.sum) {
		return p, fmt.Errorf("pin %q, expected the SHA-256 of a certificate as 64 hexadecimal digits, or %sBASE64 of a public key",
			shorten(s, 100), pinPrefix)
	}
	p.key = key
	copy(p.sum[:], sum)
	return p, nil
}

// withoutColons removes those between octets and leaves others for an error.
func withoutColons(s string) string {
	parts := strings.Split(s, ":")
	for _, part := range parts {
		if len(part) != 2 {
			return s
		}
	}
	return strings.Join(parts, "")
}

func (p pin) String() string {
	if p.key {
		return pinPrefix + base64.StdEncoding.EncodeToString(p.sum[:])
	}
	return hex.EncodeToString(p.sum[:])
}

// pinError is a certificate that no pin is of.
type pinError struct {
	cert  *x509.Certificate
	found []pin // of the kinds that are pinned
	pins  []pin
}

func (e *pinError) Error() string {
	found := make([]string, len(e.found))
	for i, p := range e.found {
		found[i] = p.String()
	}
	text := "its pin is " + strings.Join(found, " or ") + ", expected " + e.pins[0].String()
	if n := len(e.pins) - 1; n > 0 {
		text += fmt.Sprintf(" or one of %d more", n)
	}
	return text
}

func checkPins(leaf *x509.Certificate, pins []pin) error {
	var found []pin
	for _, p := range []pin{
		{key: false, sum: sha256.Sum256(leaf.Raw)},
		{key: true, sum: sha256.Sum256(leaf.RawSubjectPublicKeyInfo)},
	} {
		if slices.Contains(pins, p) {
			return nil
		}
		if slices.ContainsFunc(pins, func(q pin) bool { return q.key == p.key }) {
			found = append(found, p)
		}
	}
	return &pinError{leaf, found, pins}
}
