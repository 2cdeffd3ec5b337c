package dial

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// cipherSuites returns the numbers of suites of TLS 1.2; nil means crypto/tls's
// own choice.
func cipherSuites(names []string, minVersion uint16) ([]uint16, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if minVersion > tls.VersionTLS12 {
		return nil, fmt.Errorf("cipher suite %q with a minimum of %s, but only those of TLS 1.2 can be chosen",
			shorten(names[0], 80), tls.VersionName(minVersion))
	}
	var list []uint16
	for _, name := range names {
		suite := suiteNamed(name)
		switch {
		case suite == nil:
			return nil, fmt.Errorf("cipher suite %q is unknown, expected the IANA name of one of TLS 1.2", shorten(name, 80))
		case !slices.Contains(suite.SupportedVersions, tls.VersionTLS12):
			return nil, fmt.Errorf("cipher suite %q of TLS 1.3 cannot be chosen: all of that version are always on", name)
		case forbidden(name):
			return nil, fmt.Errorf("cipher suite %q is broken and not supported (RFC 9325 section 4.1)", name)
		}
		list = append(list, suite.ID)
	}
	return list, nil
}

func suiteNamed(name string) *tls.CipherSuite {
	for _, known := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range known {
			if s.Name == name {
				return s
			}
		}
	}
	return nil
}

func forbidden(name string) bool {
	return strings.Contains(name, "_RC4_") || strings.Contains(name, "_3DES_")
}
