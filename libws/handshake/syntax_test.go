package handshake

import (
	"strings"
	"testing"
)

func TestHostAndTargetOctets(t *testing.T) {
	const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for c := 0; c < 256; c++ {
		octet := string([]byte{byte(c)})
		inHost := strings.Contains(alphanumeric+"-._~%!$&'()*+,;=:[]", octet)
		inTarget := c > ' ' && c < 0x7f && c != '#'
		for _, s := range []string{octet, octet + "a", "a" + octet} {
			if isHost(s) != inHost {
				t.Errorf("host %q: expected %v", s, inHost)
			}
			if isTarget(s) != inTarget {
				t.Errorf("target %q: expected %v", s, inTarget)
			}
		}
	}
	if isHost("") || isTarget("") || isToken("") {
		t.Error("empty")
	}
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		"":                        `""`,
		"a\"\r\n\x00é":            `"a\"\r\n\x00\u00e9"`,
		strings.Repeat("a", 64):   `"` + strings.Repeat("a", 64) + `"`,
		strings.Repeat("a", 65):   `"` + strings.Repeat("a", 64) + `"...`,
		strings.Repeat("\xff", 9): `"` + strings.Repeat(`\xff`, 9) + `"`,
	} {
		if got := quote(s); got != want {
			t.Errorf("got %s, expected %s", got, want)
		}
	}
}
