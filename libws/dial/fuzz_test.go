package dial

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// naiveURI is RFC 6455 section 3 over RFC 3986 as regular expressions: what no client may
// take, and what every client has to take as it stands there. Between the two lies what
// needs decoding, repair or IDNA.
type naiveURI struct {
	refuse string
	plain  bool

	secure         bool
	host, target   string
	port           int
	user, password string
}

var (
	naiveScheme    = regexp.MustCompile(`^(?i:(ws)|(wss))://`)
	naiveAuthority = regexp.MustCompile(`^(?:.*@)?(\[[^\]]*\]|[^:]*)(?::(.*))?$`)
	naiveIPv4      = regexp.MustCompile(`^\d+\.\d+\.\d+\.\d+$`)
	naivePlain     = regexp.MustCompile(`^[^:]+://(?:([\w.~!$&'()*+,;=-]+)(?::([\w.~!$&'()*+,;=-]*))?@)?` + // userinfo
		`((?:\w(?:[\w-]{0,61}\w)?\.)*[A-Za-z_](?:[\w-]{0,61}\w)?|\d+\.\d+\.\d+\.\d+|\[[\da-f:.]+\])` + // host
		`(?::(\d*))?(/[\w.~!$&'()*+,;=:@/-]*)?(\?[\w.~!$&'()*+,;=:@/?-]*)?$`)
)

func readNaive(s string) (n naiveURI) {
	scheme := naiveScheme.FindStringSubmatch(s)
	if scheme == nil {
		n.refuse = "the scheme is neither ws nor wss"
		return n
	}
	n.secure, n.port = scheme[2] != "", map[bool]int{true: 443, false: 80}[scheme[2] != ""]
	switch {
	case strings.Contains(s, "#"):
		n.refuse = "a fragment"
	case regexp.MustCompile("[\x00- \x7f]").MatchString(s):
		n.refuse = "a space or control character"
	case !utf8.ValidString(s):
		n.refuse = "not UTF-8"
	}
	rest := s[len(scheme[0]):]
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[:i]
	}
	authority := naiveAuthority.FindStringSubmatch(rest)
	switch {
	case n.refuse != "":
		return n
	case authority == nil || authority[1] == "":
		n.refuse = "no host, or something behind it"
		return n
	}
	if text := authority[2]; text != "" {
		port, err := strconv.ParseUint(text, 10, 64)
		if err != nil || port < 1 || port > 65535 || strings.Trim(text, "0123456789") != "" {
			n.refuse = "a port that is none"
			return n
		}
		n.port = int(port)
	}
	parts := naivePlain.FindStringSubmatch(s)
	if parts == nil {
		return n
	}
	n.user, n.password, n.host = parts[1], parts[2], strings.ToLower(parts[3])
	n.target = "/" + strings.TrimPrefix(parts[5], "/")
	if parts[6] != "?" { // section 3: only if the query is not empty
		n.target += parts[6]
	}
	n.plain = len(n.host) <= 253 && !strings.Contains("."+n.host, ".xn--") && !regexp.MustCompile(`(^|\.)0x[\da-f]*$`).MatchString(n.host)
	if six := n.host[0] == '['; six || naiveIPv4.MatchString(n.host) {
		ip, err := netip.ParseAddr(strings.Trim(n.host, "[]"))
		if n.plain = err == nil && ip.Is6() == six; !n.plain {
			n.refuse = "no address"
		}
		n.host = ip.String()
	}
	return n
}

func FuzzParseURI(f *testing.F) {
	for _, s := range []string{
		"ws://example.com", "wss://u:p%40@[2001:db8::1]:8080/a%2f%?x=\u00e9#", "ws://[fe80::1%25eth0]/", "ws://b\u00fccher.example:1/?",
		"WSS://EXAMPLE.COM./%zz", "ws://127.0.0.1.:9", "ws://a_b--c:80/<>", "ws://%41:/@", "ws://u:@h/", "ws://xn--bcher-kva/", "ws://h/%E4%B8",
		"http://h/", "ws:/h", "ws://", "ws://:80/", "ws://h:0/", "ws://h:65536/", "ws://h:+1/", "ws://h#", "ws://h/ a", "ws://h\n/", "ws://\xff/",
		"ws://[::1/", "ws://[::1]x/", "ws://[1.2.3.4]/", "ws://[::ffff:1.2.3.4%25a]/", "ws://[fe80::1%a]/", "ws://h:1:2/", "ws://u%/@h/", "ws://u%3a@h/",
		"ws://a:%00@h/", "ws://1.2.3/", "ws://0x7f/", "ws://a..b/", "ws://%zz/", "ws://%ff/", "ws://xn--a/", "ws://a^b/", "ws://user:pass@h.example:8080/a/b?c=d/?",
		"wss://" + strings.Repeat("a", 64), "wss://" + strings.Repeat("a.", 130), "ws://192.0.2.1/", "ws://h/%41%4g",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURI(s)
		naive := readNaive(s)
		if naive.refuse != "" && err == nil {
			t.Fatalf("%q: got %+v, expected a refusal: %s", s, u, naive.refuse)
		}
		if naive.plain {
			if err != nil {
				t.Fatalf("%q: %v, expected no error", s, err)
			}
			if u.Secure != naive.secure || u.Host != naive.host || u.Port != naive.port || u.Target != naive.target || u.User != naive.user || u.Password != naive.password {
				t.Fatalf("%q: got %+v, expected %+v", s, u, naive)
			}
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "uri ") || strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Errorf("error %q", err)
			}
			return
		}
		checkInvariants(t, u)

		// What comes out means the same to net/url, and to us.
		scheme := "ws"
		if u.Secure {
			scheme = "wss"
		}
		canon := url.URL{Scheme: scheme, Host: u.HostHeader}
		if u.HasUser {
			canon.User = url.UserPassword(u.User, u.Password)
		}
		text := canon.String() + u.Target
		std, err := url.Parse(text)
		if err != nil {
			t.Fatalf("net/url refuses %q, made from %q: %v", text, s, err)
		}
		host, _, _ := strings.Cut(u.Host, "%")
		if std.Hostname() != host || std.RequestURI() != u.Target {
			t.Errorf("%q: host %q and target %q, net/url reads %q and %q", s, u.Host, u.Target, std.Hostname(), std.RequestURI())
		}
		if p := std.Port(); p != "" && p != strconv.Itoa(u.Port) || p == "" && u.Port != map[bool]int{false: 80, true: 443}[u.Secure] {
			t.Errorf("%q: port %d, net/url reads %q", s, u.Port, p)
		}
		again, err := ParseURI(text)
		if err != nil {
			t.Fatalf("%q, made from %q: %v", text, s, err)
		}
		want := *u
		want.Host = host
		want.Raw = again.Raw
		if *again != want {
			t.Errorf("%q again:\n got %+v\nwant %+v", s, *again, want)
		}

		// Where net/url takes the original, both read it alike.
		if std, err = url.Parse(s); err != nil {
			return
		}
		if std.Scheme != scheme {
			t.Errorf("%q: scheme %q, net/url reads %q", s, scheme, std.Scheme)
		}
		if h := strings.ToLower(std.Hostname()); !strings.ContainsAny(h, ":%") && isASCII(h) && h != u.Host && h != u.Host+"." {
			t.Errorf("%q: host %q, net/url reads %q", s, u.Host, h)
		}
		if password, _ := std.User.Password(); u.HasUser && (std.User.Username() != u.User || password != u.Password) {
			t.Errorf("%q: user %q %q, net/url reads %q %q", s, u.User, u.Password, std.User.Username(), password)
		}
		path, _, _ := strings.Cut(u.Target, "?")
		if got, err := url.PathUnescape(path); err != nil || got != std.Path && (got != "/" || std.Path != "") {
			t.Errorf("%q: path %q, net/url reads %q", s, got, std.Path)
		}
	})
}

// naiveReference has a path and a query, of what stands there unencoded.
var naiveReference = regexp.MustCompile(`^[\w.~!$&'()*+,;=@/-]*(\?[\w.~!$&'()*+,;=:@/?-]*)?$`)

// naiveDots is RFC 3986 section 5.2.4, step by step. net/url loses a slash of "/a/..//b".
func naiveDots(in string) (out string) {
	for in != "" {
		switch {
		case strings.HasPrefix(in, "../"):
			in = in[3:]
		case strings.HasPrefix(in, "./"), strings.HasPrefix(in, "/./"):
			in = in[2:]
		case in == "/.":
			in = "/"
		case strings.HasPrefix(in, "/../"), in == "/..":
			in = "/" + strings.TrimPrefix(in[3:], "/")
			out = out[:max(strings.LastIndexByte(out, '/'), 0)]
		case in == ".", in == "..":
			in = ""
		default:
			i := strings.IndexByte(in[1:], '/') + 1
			if i == 0 {
				i = len(in)
			}
			out, in = out+in[:i], in[i:]
		}
	}
	return out
}

func FuzzResolve(f *testing.F) {
	for _, s := range []string{
		"", "/", "g", "./g", "g/", "/g/../x", "//h:1/x", "?y", "?", "g?y/./x", "../g", "../../../g", "/./g", "..", "x//../y", "HTTP://h/",
		"https://u:p@h", "wss://[::1]/..", "ftp://h", "http:g", "a:b", "/a b", "#x", "g#", "/\u00e9", "/%zz", "\x01", "//", "1:2",
	} {
		f.Add(s)
	}
	base, err := ParseURI("ws://user:secret@a:81/b/c/d;p?q")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		u, err := base.Resolve(ref)
		plain := naiveReference.MatchString(ref) && !strings.HasPrefix(ref, "//")
		if err != nil {
			if plain || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", ref, err)
			}
			return
		}
		checkInvariants(t, u)
		if again, err := ParseURI(u.Raw); err != nil || again.Target != u.Target || !again.SameOrigin(u) {
			t.Errorf("%q: %q is read as %+v, %v", ref, u.Raw, again, err)
		}
		if path, _, _ := strings.Cut(u.Target+"/", "?"); strings.Contains(path, "/./") || strings.Contains(path, "/../") {
			t.Errorf("%q: dots are left in %q", ref, u.Target)
		}
		if !plain {
			return
		}
		path, query, has := strings.Cut(ref, "?")
		want := "/b/c/d;p"
		if path != "" {
			want = naiveDots(map[bool]string{true: path, false: "/b/c/" + path}[path[0] == '/'])
		}
		switch {
		case query != "":
			want += "?" + query
		case path == "" && !has:
			want += "?q"
		}
		if !u.SameOrigin(base) || u.Target != want {
			t.Errorf("%q: got %q, expected %q", ref, u.Raw, want)
		}
	})
}

func checkInvariants(t *testing.T, u *URI) {
	if u.Target[0] != '/' || u.Port < 1 || u.Port > 65535 || u.Host == "" {
		t.Errorf("impossible %+v", u)
	}
	for _, v := range []string{u.Host, u.Target, u.HostHeader} {
		for i := 0; i < len(v); i++ {
			if v[i] <= ' ' || v[i] > '~' {
				t.Errorf("octet %#x in %q", v[i], v)
			}
		}
	}
	if strings.Contains(u.Target, "#") || strings.ContainsAny(u.HostHeader, "%@/?#\\") {
		t.Errorf("delimiter in %q or %q", u.Target, u.HostHeader)
	}
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
