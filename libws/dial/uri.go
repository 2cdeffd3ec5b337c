// Package dial turns a ws or wss URI into a connected socket: names, Happy
// Eyeballs, TLS. Everything here may block and runs on goroutines of its own;
// afterwards [Detach] and [Adapter.Flip] hand the socket to a reactor that does
// non-blocking I/O on its own thread.
package dial

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// URI is a parsed WebSocket URI (RFC 6455 section 3).
type URI struct {
	Secure     bool   // wss
	Host       string // ASCII name (IDNA applied, lower case) or address; no brackets; an IPv6 address may carry a zone
	Port       int    // 80 or 443 unless given
	Target     string // origin-form: path and query, always begins with a slash, percent-encoding kept or repaired
	User       string // percent-decoded
	Password   string // percent-decoded
	HasUser    bool   // userinfo was there and not empty
	HostHeader string // value of the Host field: brackets for IPv6, no zone, the default port left out
	Raw        string // as given, without userinfo: safe to print
}

// URIError says why a URI was refused. It never holds userinfo.
type URIError struct {
	URI    string // as given, without anything that may be userinfo
	Reason string
}

func (e *URIError) Error() string {
	return "uri " + strconv.Quote(shorten(e.URI, 200)) + ": " + e.Reason
}

// ParseURI parses a ws or wss URI; every error is a *[URIError].
//
// The scheme and the host are case-insensitive, internationalized names go
// through IDNA as in browsers (UTS 46, non-transitional), userinfo is
// percent-decoded. In path and query, octets that RFC 3986 does not allow and
// stray percent signs are percent-encoded; valid encoding and dot segments are
// left alone. A zone is written %25 (RFC 6874); a bare % will do. Refused: other schemes, a
// fragment (RFC 6455 section 3), spaces, control characters, an empty host, a
// port outside 1 to 65535.
func ParseURI(s string) (*URI, error) {
	u, reason := parseURI(s)
	if reason != "" {
		return nil, &URIError{URI: redact(s), Reason: reason}
	}
	return u, nil
}

func parseURI(s string) (*URI, string) {
	if !utf8.ValidString(s) {
		return nil, "not UTF-8"
	}
	for i, r := range s {
		if r == ' ' || unicode.IsControl(r) {
			return nil, "character " + strconv.QuoteRune(r) + " at offset " + strconv.Itoa(i) + ", expected it percent-encoded"
		}
	}
	u := &URI{Port: 80}
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case ok && strings.EqualFold(scheme, "ws"):
	case ok && strings.EqualFold(scheme, "wss"):
		u.Secure, u.Port = true, 443
	case ok && isScheme(scheme):
		return nil, "scheme " + strconv.Quote(shorten(scheme, 40)) + ", expected ws or wss"
	default:
		return nil, "no scheme, expected ws:// or wss://"
	}
	if strings.IndexByte(rest, '#') >= 0 {
		return nil, "a fragment (#) is not allowed (RFC 6455 section 3), expected %23 for a literal number sign"
	}

	authority, target := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, target = rest[:i], rest[i:]
	}
	hostport := authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		hostport = authority[i+1:]
		if reason := u.setUserinfo(authority[:i]); reason != "" {
			return nil, reason
		}
	}
	// With a later @, what looks like host and port may be half of a password
	// that holds a slash: such a value is not quoted.
	quote := func(v string) string {
		if strings.IndexByte(target, '@') >= 0 {
			return ""
		}
		return " " + strconv.Quote(shorten(v, 80))
	}

	host, port, reason := splitHostPort(hostport)
	if reason != "" {
		return nil, reason
	}
	if host == "" {
		return nil, "empty host"
	}
	if port != "" {
		n, ok := parsePort(port)
		if !ok {
			return nil, "port" + quote(port) + ", expected a number from 1 to 65535"
		}
		u.Port = n
	}
	if u.Host, reason = parseHost(host); reason != "" {
		return nil, "host" + quote(host) + ": " + reason
	}
	u.HostHeader, _, _ = strings.Cut(u.Host, "%")
	if strings.IndexByte(u.Host, ':') >= 0 {
		u.HostHeader = "[" + u.HostHeader + "]"
	}
	if u.Port != 80 && !u.Secure || u.Port != 443 && u.Secure {
		u.HostHeader += ":" + strconv.Itoa(u.Port)
	}
	u.Target = repairTarget(target)
	u.Raw = s[:len(s)-len(rest)] + hostport + target
	return u, ""
}

func (u *URI) setUserinfo(info string) string {
	if info == "" {
		return ""
	}
	user, password, _ := strings.Cut(info, ":")
	var ok1, ok2 bool
	u.User, ok1 = percentDecode(user)
	u.Password, ok2 = percentDecode(password)
	u.HasUser = true
	switch {
	case !ok1 || !ok2:
		return "percent sign without two hexadecimal digits in the user name or password, expected %25"
	case strings.IndexByte(u.User, ':') >= 0:
		return "colon in the user name, which Basic authentication cannot carry (RFC 7617 section 2)"
	case strings.ContainsFunc(u.User, unicode.IsControl) || strings.ContainsFunc(u.Password, unicode.IsControl):
		return "control character in the user name or password (RFC 7617 section 2)"
	}
	return ""
}

// splitHostPort keeps the brackets on host, so that parseHost sees them.
func splitHostPort(s string) (host, port, reason string) {
	if !strings.HasPrefix(s, "[") {
		host, port, _ = strings.Cut(s, ":")
		if strings.IndexByte(port, ':') >= 0 {
			return "", "", "more than one colon after the host, expected an IPv6 address in brackets"
		}
		return host, port, ""
	}
	i := strings.IndexByte(s, ']')
	if i < 0 {
		return "", "", "no ] after the IPv6 address"
	}
	host, rest := s[:i+1], s[i+1:]
	if rest == "" {
		return host, "", ""
	}
	if rest[0] != ':' {
		return "", "", "text between ] and the port or path"
	}
	return host, rest[1:], ""
}

func parsePort(s string) (int, bool) {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n = n*10 + int(s[i]-'0'); n > 65535 {
			return 0, false
		}
	}
	return n, n > 0
}

// lookup is what browsers do (the URL standard's "domain to ASCII"): mapped,
// non-transitional, underscores and hyphens anywhere; lengths are checked here.
var lookup = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.StrictDomainName(false),
	idna.CheckHyphens(false),
	idna.CheckJoiners(true),
	idna.BidiRule(),
)

func parseHost(s string) (host, reason string) {
	if s[0] == '[' {
		return parseIPv6(s[1 : len(s)-1])
	}
	name, ok := percentDecode(s)
	if !ok {
		return "", "percent sign without two hexadecimal digits"
	}
	return asciiName(name)
}

func parseIPv6(s string) (host, reason string) {
	addr, zone, hasZone := strings.Cut(s, "%")
	if hasZone {
		// RFC 6874: the percent sign of a zone is itself encoded; many leave it bare.
		ok := true
		if enc, encoded := strings.CutPrefix(zone, "25"); encoded {
			zone, ok = percentDecode(enc)
		}
		if !ok || zone == "" || !isZone(zone) {
			return "", "bad zone, expected %25 and an interface name (RFC 6874)"
		}
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil || !ip.Is6() {
		return "", "expected an IPv6 address between the brackets"
	}
	if hasZone {
		if ip.Is4In6() {
			return "", "zone on an IPv4-mapped address"
		}
		ip = ip.WithZone(zone)
	}
	return ip.String(), ""
}

// asciiName applies IDNA and the limits of DNS to a name, and lets through an
// IPv4 address written as four decimal numbers.
func asciiName(name string) (host, reason string) {
	if !utf8.ValidString(name) {
		return "", "not UTF-8"
	}
	host, err := lookup.ToASCII(name)
	if err != nil {
		return "", "not a valid internationalized name: " + strings.TrimPrefix(err.Error(), "idna: ")
	}
	host = strings.ToLower(host)
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return "", "character " + strconv.QuoteRune(rune(c)) + " in a host name"
		}
	}
	full := strings.TrimSuffix(host, ".")
	if len(full) > 253 {
		return "", "name of " + strconv.Itoa(len(full)) + " octets, expected at most 253"
	}
	last := ""
	for label := range strings.SplitSeq(full, ".") {
		if label == "" {
			return "", "empty label"
		}
		if len(label) > 63 {
			return "", "label of " + strconv.Itoa(len(label)) + " octets, expected at most 63"
		}
		last = label
	}
	if isNumber(last) {
		// Resolvers disagree on 127.1, 0x7f.1 and 017700000001, so a filter and
		// the connection could see different addresses.
		ip, err := netip.ParseAddr(full)
		if err != nil || !ip.Is4() {
			return "", "expected an IPv4 address of four decimal numbers"
		}
		return ip.String(), ""
	}
	return host, ""
}

// repairTarget gives the origin-form of RFC 9112 section 3.2.1. An empty query has no
// question mark there (RFC 6455 section 3).
func repairTarget(s string) string {
	if strings.IndexByte(s, '?') == len(s)-1 {
		s = strings.TrimSuffix(s, "?")
	}
	if s == "" {
		return "/"
	}
	var b strings.Builder
	b.Grow(len(s) + 1)
	if s[0] == '?' {
		b.WriteByte('/')
	}
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c := s[i]
		if isTargetByte(c) || c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// isTargetByte reports whether c may stand unencoded in path and query: pchar,
// slash and question mark (RFC 3986 sections 3.3 and 3.4).
func isTargetByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("-._~!$&'()*+,;=:@/?", c) >= 0
}

// percentDecode reports false for a percent sign without two hex digits.
func percentDecode(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return "", false
			}
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
		}
		b = append(b, c)
	}
	return string(b), true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// isScheme follows RFC 3986 section 3.1.
func isScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || !(s[i] >= '0' && s[i] <= '9' || strings.IndexByte("+-.", s[i]) >= 0)) {
			return false
		}
	}
	return s != ""
}

// isZone takes the unreserved characters of RFC 3986, as RFC 6874 does.
func isZone(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isTargetByte(c) || strings.IndexByte("!$&'()*+,;=:@/?", c) >= 0 {
			return false
		}
	}
	return true
}

// isNumber reports whether a resolver may read the label as part of an IPv4
// address (the URL standard's "ends in a number").
func isNumber(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		for i := 0; i < len(hex); i++ {
			if !isHex(hex[i]) {
				return false
			}
		}
		return true
	}
	for i := 0; i < len(label); i++ {
		if label[i] < '0' || label[i] > '9' {
			return false
		}
	}
	return true
}

// redact drops whatever may be userinfo from a URI that could not be parsed:
// all from the scheme to the last @.
func redact(s string) string {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return s
	}
	scheme, _, ok := strings.Cut(s[:i], "://")
	if !ok || !isScheme(scheme) {
		return s[i+1:]
	}
	return scheme + "://" + s[i+1:]
}

// shorten cuts s to about n octets between characters, for messages.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
