package handshake

import "strconv"

// tokenOctets marks the tchar of RFC 9110 section 5.6.2.
var tokenOctets = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

// hostOctets marks what a Host field may hold: reg-name, IP-literal and port of
// RFC 3986 section 3.2.2.
var hostOctets = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "-._~%!$&'()*+,;=:[]" {
		t[c] = true
	}
	return t
}()

func isToken(s string) bool { return s != "" && tokenEnd(s, 0) == len(s) }

// tokenEnd returns the index after the token that starts at s[i], i when none does.
func tokenEnd(s string, i int) int {
	for i < len(s) && tokenOctets[s[i]] {
		i++
	}
	return i
}

func isHost(s string) bool {
	for i := 0; i < len(s); i++ {
		if !hostOctets[s[i]] {
			return false
		}
	}
	return s != ""
}

// isTarget reports whether s may stand in a request line. It is wider than
// RFC 3986: browsers send |, ^, { and a lone % as they are. A fragment is never sent.
func isTarget(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '#' {
			return false
		}
	}
	return s != ""
}

// isForbidden reports whether c may not stand in a line: all controls but HTAB.
func isForbidden(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// forbiddenAt returns the index of the first forbidden octet of s, -1 when there is none.
func forbiddenAt(s string) int {
	for i := 0; i < len(s); i++ {
		if isForbidden(s[i]) {
			return i
		}
	}
	return -1
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// skipSpace returns the index of the first octet from s[i] on that is not OWS.
func skipSpace(s string, i int) int {
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	return i
}

func trimSpace(s string) string {
	s = s[skipSpace(s, 0):]
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// equalFold compares as RFC 6455 asks, ASCII only: strings.EqualFold would take
// the Kelvin sign for a k.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// quote shows s in an error: printable, and never longer than a line.
func quote(s string) string {
	const limit = 64
	if len(s) > limit {
		return strconv.QuoteToASCII(s[:limit]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
