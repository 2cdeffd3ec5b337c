package dial

import (
	"errors"
	"strings"
	"testing"
)

func TestParseURI(t *testing.T) {
	long63 := strings.Repeat("a", 63)
	for _, c := range []struct {
		in   string
		want URI // Raw empty: as given
	}{
		// schemes and default ports
		{"ws://example.com", URI{Host: "example.com", Port: 80, Target: "/", HostHeader: "example.com"}},
		{"wss://example.com", URI{Secure: true, Host: "example.com", Port: 443, Target: "/", HostHeader: "example.com"}},
		{"WS://EXAMPLE.com/A", URI{Host: "example.com", Port: 80, Target: "/A", HostHeader: "example.com"}},
		{"wSs://example.com/", URI{Secure: true, Host: "example.com", Port: 443, Target: "/", HostHeader: "example.com"}},
		{"ws://example.com:80/", URI{Host: "example.com", Port: 80, Target: "/", HostHeader: "example.com"}},
		{"wss://example.com:443/", URI{Secure: true, Host: "example.com", Port: 443, Target: "/", HostHeader: "example.com"}},
		{"ws://example.com:443/", URI{Host: "example.com", Port: 443, Target: "/", HostHeader: "example.com:443"}},
		{"wss://example.com:80/", URI{Secure: true, Host: "example.com", Port: 80, Target: "/", HostHeader: "example.com:80"}},
		{"ws://example.com:/", URI{Host: "example.com", Port: 80, Target: "/", HostHeader: "example.com"}},
		{"ws://example.com:08080", URI{Host: "example.com", Port: 8080, Target: "/", HostHeader: "example.com:8080"}},
		{"ws://h:1", URI{Host: "h", Port: 1, Target: "/", HostHeader: "h:1"}},
		{"ws://h:65535", URI{Host: "h", Port: 65535, Target: "/", HostHeader: "h:65535"}},

		// addresses
		{"ws://127.0.0.1:9001/x", URI{Host: "127.0.0.1", Port: 9001, Target: "/x", HostHeader: "127.0.0.1:9001"}},
		{"ws://[::1]/", URI{Host: "::1", Port: 80, Target: "/", HostHeader: "[::1]"}},
		{"wss://[::1]", URI{Secure: true, Host: "::1", Port: 443, Target: "/", HostHeader: "[::1]"}},
		{"ws://[2001:DB8:0:0::0001]:8080/x", URI{Host: "2001:db8::1", Port: 8080, Target: "/x", HostHeader: "[2001:db8::1]:8080"}},
		{"ws://[::ffff:1.2.3.4]:5", URI{Host: "::ffff:1.2.3.4", Port: 5, Target: "/", HostHeader: "[::ffff:1.2.3.4]:5"}},
		{"ws://[fe80::1%25eth0]:81/", URI{Host: "fe80::1%eth0", Port: 81, Target: "/", HostHeader: "[fe80::1]:81"}},
		{"ws://[fe80::1%25en%30]/", URI{Host: "fe80::1%en0", Port: 80, Target: "/", HostHeader: "[fe80::1]"}},

		// names
		{"ws://B\u00fccher.example/", URI{Host: "xn--bcher-kva.example", Port: 80, Target: "/", HostHeader: "xn--bcher-kva.example"}},
		{"ws://b%C3%BCcher.example/", URI{Host: "xn--bcher-kva.example", Port: 80, Target: "/", HostHeader: "xn--bcher-kva.example"}},
		{"ws://fa\u00df.de/", URI{Host: "xn--fa-hia.de", Port: 80, Target: "/", HostHeader: "xn--fa-hia.de"}},
		{"ws://\u65e5\u672c\u8a9e\u3002\uff2a\uff30:82/", URI{Host: "xn--wgv71a119e.jp", Port: 82, Target: "/", HostHeader: "xn--wgv71a119e.jp:82"}},
		{"ws://\uff11\uff12\uff17.0.0.1/", URI{Host: "127.0.0.1", Port: 80, Target: "/", HostHeader: "127.0.0.1"}},
		{"ws://127.0.0.1./", URI{Host: "127.0.0.1", Port: 80, Target: "/", HostHeader: "127.0.0.1"}},
		{"ws://a.0xfg/", URI{Host: "a.0xfg", Port: 80, Target: "/", HostHeader: "a.0xfg"}},
		{"ws://my_service-1:7/", URI{Host: "my_service-1", Port: 7, Target: "/", HostHeader: "my_service-1:7"}},
		{"ws://r3---sn.example/", URI{Host: "r3---sn.example", Port: 80, Target: "/", HostHeader: "r3---sn.example"}},
		{"ws://example.com./", URI{Host: "example.com.", Port: 80, Target: "/", HostHeader: "example.com."}},
		{"ws://" + long63 + ".example/", URI{Host: long63 + ".example", Port: 80, Target: "/", HostHeader: long63 + ".example"}},

		// userinfo
		{"ws://u:p@h/", URI{Host: "h", Port: 80, Target: "/", HostHeader: "h", HasUser: true, User: "u", Password: "p", Raw: "ws://h/"}},
		{"ws://u@h", URI{Host: "h", Port: 80, Target: "/", HostHeader: "h", HasUser: true, User: "u", Raw: "ws://h"}},
		{"ws://:p@h", URI{Host: "h", Port: 80, Target: "/", HostHeader: "h", HasUser: true, Password: "p", Raw: "ws://h"}},
		{"ws://@h/", URI{Host: "h", Port: 80, Target: "/", HostHeader: "h", Raw: "ws://h/"}},
		{"ws://al%69ce%40x:p%3Aa%25%2Fs%C3%A9@h:9/", URI{Host: "h", Port: 9, Target: "/", HostHeader: "h:9", HasUser: true, User: "alice@x", Password: "p:a%/s\u00e9", Raw: "ws://h:9/"}},
		{"ws://u:a:b@h/", URI{Host: "h", Port: 80, Target: "/", HostHeader: "h", HasUser: true, User: "u", Password: "a:b", Raw: "ws://h/"}},
		{"ws://u:a@b@h/", URI{Host: "h", Port: 80, Target: "/", HostHeader: "h", HasUser: true, User: "u", Password: "a@b", Raw: "ws://h/"}},
		{"ws://u:p@[::1]:9/", URI{Host: "::1", Port: 9, Target: "/", HostHeader: "[::1]:9", HasUser: true, User: "u", Password: "p", Raw: "ws://[::1]:9/"}},

		// path and query
		{"ws://h?x=1", URI{Host: "h", Port: 80, Target: "/?x=1", HostHeader: "h"}},
		{"ws://h/?", URI{Host: "h", Port: 80, Target: "/", HostHeader: "h"}},
		{"ws://h?", URI{Host: "h", Port: 80, Target: "/", HostHeader: "h"}},
		{"ws://h/??", URI{Host: "h", Port: 80, Target: "/??", HostHeader: "h"}},
		{"ws://[fe80::1%lo]/", URI{Host: "fe80::1%lo", Port: 80, Target: "/", HostHeader: "[fe80::1]"}},
		{"ws://h/a/../b//c/.", URI{Host: "h", Port: 80, Target: "/a/../b//c/.", HostHeader: "h"}},
		{"ws://h/a%2Fb%2f?c=%26", URI{Host: "h", Port: 80, Target: "/a%2Fb%2f?c=%26", HostHeader: "h"}},
		{"ws://h/100%?q=%zz%4&r=%", URI{Host: "h", Port: 80, Target: "/100%25?q=%25zz%254&r=%25", HostHeader: "h"}},
		{"ws://h/\u00e9\u4e2d?q=\U0001f600", URI{Host: "h", Port: 80, Target: "/%C3%A9%E4%B8%AD?q=%F0%9F%98%80", HostHeader: "h"}},
		{"ws://h/<a>\"{}|\\^`[]", URI{Host: "h", Port: 80, Target: "/%3Ca%3E%22%7B%7D%7C%5C%5E%60%5B%5D", HostHeader: "h"}},
		{"ws://h/-._~!$&'()*+,;=:@/?-._~!$&'()*+,;=:@/?", URI{Host: "h", Port: 80, Target: "/-._~!$&'()*+,;=:@/?-._~!$&'()*+,;=:@/?", HostHeader: "h"}},
		{"ws://h/@user", URI{Host: "h", Port: 80, Target: "/@user", HostHeader: "h"}},
		{"ws://h/http://x:y@z/", URI{Host: "h", Port: 80, Target: "/http://x:y@z/", HostHeader: "h"}},
	} {
		if c.want.Raw == "" {
			c.want.Raw = c.in
		}
		got, err := ParseURI(c.in)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
		} else if *got != c.want {
			t.Errorf("%q:\n got %+v\nwant %+v", c.in, *got, c.want)
		}
	}
}

func TestParseURIRefuses(t *testing.T) {
	for _, c := range []struct{ in, reason string }{
		{"", "no scheme, expected ws:// or wss://"},
		{"example.com", "no scheme"},
		{"example.com:80/x", "no scheme"},
		{"//example.com/", "no scheme"},
		{"ws:example.com", "no scheme"},
		{"ws:/example.com", "no scheme"},
		{"://example.com", "no scheme"},
		{"http://example.com", `scheme "http", expected ws or wss`},
		{"wsss://example.com", `scheme "wsss"`},
		{"1ws://example.com", "no scheme"},

		{"ws://", "empty host"},
		{"ws:///path", "empty host"},
		{"ws://?q", "empty host"},
		{"ws://:80", "empty host"},
		{"ws://u:p@", "empty host"},
		{"ws://u:p@:80/", "empty host"},

		{"ws://h/#", "fragment"},
		{"ws://h/p#frag", "RFC 6455 section 3"},
		{"ws://h#frag", "fragment"},

		{"ws://h:0", `port "0", expected a number from 1 to 65535`},
		{"ws://h:65536", `port "65536"`},
		{"ws://h:99999999999999999999", "port"},
		{"ws://h:-1", `port "-1"`},
		{"ws://h:+80", `port "+80"`},
		{"ws://h:80a", `port "80a"`},
		{"ws://h:\uff18", "port"},
		{"ws://[::1]:x", `port "x"`},

		{" ws://h", "character ' ' at offset 0"},
		{"ws://h/a b", "character ' ' at offset 8, expected it percent-encoded"},
		{"ws://h/\r\nX: y", `character '\r' at offset 7`},
		{"ws://h/\n", `'\n'`},
		{"ws://h\t/", `'\t'`},
		{"ws://h/\x00", `'\x00'`},
		{"ws://h/\x7f", `'\x7f'`},
		{"ws://h/\u0085", `'\u0085'`},
		{"ws://h/\xff", "not UTF-8"},
		{"ws://h%ff/", "not UTF-8"},

		{"ws://[::1", "no ]"},
		{"ws://[::1]x/", "text between ]"},
		{"ws://[]/", "IPv6"},
		{"ws://[127.0.0.1]/", "IPv6"},
		{"ws://[v1.x]/", "IPv6"},
		{"ws://[::1::2]/", "IPv6"},
		{"ws://::1/", "IPv6 address in brackets"},
		{"ws://[fe80::1%25]/", "zone"},
		{"ws://[fe80::1%25a/b]/", "no ]"},
		{"ws://[fe80::1%25a%00b]/", "zone"},
		{"ws://[::ffff:1.2.3.4%25x]/", "zone on an IPv4-mapped address"},
		{"ws://[fe80::1%25%2]/", "zone"},

		{"ws://127.1/", "IPv4"},
		{"ws://0x7f.1/", "IPv4"},
		{"ws://0x7f000001/", "IPv4"},
		{"ws://2130706433/", "IPv4"},
		{"ws://1.2.3.256/", "IPv4"},
		{"ws://1.2.3.04/", "IPv4"},
		{"ws://example.com.1/", "IPv4"},
		{"ws://a..b/", "empty label"},
		{"ws://.a/", "empty label"},
		{"ws://./", "empty label"},
		{"ws://a../", "empty label"},
		{"ws://" + strings.Repeat("a", 64) + "/", "label of 64 octets, expected at most 63"},
		{"ws://" + strings.Repeat("a.", 127) + "/", ""}, // 253 and the root's dot: the limit
		{"ws://" + strings.Repeat("a.", 127) + "b/", "name of 255 octets, expected at most 253"},
		{"ws://a%2/", "percent sign without"},
		{"ws://a%20b/", "' '"},
		{"ws://a%2Fb/", "'/'"},
		{"ws://a%40b/", "'@'"},
		{"ws://a%00b/", `'\x00'`},
		{"ws://a\\b/", `'\\'`},
		{"ws://a*b/", "'*'"},
		{"ws://xn--a/", "internationalized name"},
		{"ws://a\u200db.c/", "internationalized name"},

		{"ws://u%:p@h/", "percent sign"},
		{"ws://u:%zz@h/", "percent sign"},
		{"ws://a%3Ab:p@h/", "RFC 7617"},
		{"ws://u:p%0D%0A@h/", "control character"},
		{"ws://u%00:p@h/", "control character"},
	} {
		_, err := ParseURI(c.in)
		if c.reason == "" {
			if err != nil {
				t.Errorf("%q: %v, expected no error", c.in, err)
			}
			continue
		}
		var ue *URIError
		if !errors.As(err, &ue) {
			t.Errorf("%q: error %v, expected a *URIError", c.in, err)
		} else if !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%q: error %q, expected %q in it", c.in, err, c.reason)
		}
	}
}

func TestURIErrorsHoldNoPassword(t *testing.T) {
	for _, in := range []string{
		"ws://user:hunter2@",
		"ws://user:hunter2@h:bad/",
		"ws://user:hunter2@h/#f",
		"ws://user:hunter2#x@h/",
		"ws://user:hunter2/x@h/",
		"ws://user:x/hunter2@h/",
		"ws://user:x?hunter2@h/",
		"ws://user:x%hunter2@h/",
		"ws://user:hunter2@x@ /",
		"ws://user:hunter2\n@h/",
		"ws://user:\xffhunter2@h/",
		"ws://hunter2:80x/y@h/",
		"ws://hunter2\\/y@h/",
		"http://user:hunter2@h/",
		"user:hunter2@h",
		"ws:user:hunter2@h://x",
		"ws//user:hunter2@h",
		"user:hunter2@ws://h/",
		"://user:hunter2@h/",
	} {
		_, err := ParseURI(in)
		if err == nil {
			t.Errorf("%q: no error", in)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: error %q shows the password", in, err)
		}
	}
	u, err := ParseURI("ws://user:hunter2@h/x@y")
	if err != nil || u.Raw != "ws://h/x@y" {
		t.Errorf("raw %q, error %v, expected ws://h/x@y", u.Raw, err)
	}
}

func TestURIErrorIsShort(t *testing.T) {
	_, err := ParseURI("http://" + strings.Repeat("\u00e9", 5000))
	if err == nil || len(err.Error()) > 400 {
		t.Errorf("error of %d octets, expected a short one", len(err.Error()))
	}
}
