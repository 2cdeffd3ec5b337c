package dial

import (
	"errors"
	"strings"
	"testing"
)

func TestParseProxy(t *testing.T) {
	for s, want := range map[string]Proxy{
		"http://proxy":                    {Scheme: "http", Host: "proxy", Port: 80, Raw: "http://proxy"},
		"HTTPS://Proxy.Test./":            {Scheme: "https", Host: "proxy.test.", Port: 443, Raw: "https://Proxy.Test."},
		"socks4://10.0.0.1":               {Scheme: "socks4", Host: "10.0.0.1", Port: 1080, Raw: "socks4://10.0.0.1"},
		"socks5://[::1]:9":                {Scheme: "socks5", Host: "::1", Port: 9, Raw: "socks5://[::1]:9"},
		"http://b\u00fccher.test:1":       {Scheme: "http", Host: "xn--bcher-kva.test", Port: 1, Raw: "http://b\u00fccher.test:1"},
		"http://a:b@c:8080/":              {Scheme: "http", Host: "c", Port: 8080, User: "a", Password: "b", HasUser: true, Raw: "http://c:8080"},
		"https://:@c":                     {Scheme: "https", Host: "c", Port: 443, HasUser: true, Raw: "https://c"},
		"socks5h://a%3A%40:p%2f@x:@c":     {Scheme: "socks5h", Host: "c", Port: 1080, User: "a:@", Password: "p/@x:", HasUser: true, Raw: "socks5h://c"},
		"socks5://\u00fc:%c3%bc@c":        {Scheme: "socks5", Host: "c", Port: 1080, User: "\u00fc", Password: "\u00fc", HasUser: true, Raw: "socks5://c"},
		"socks4a://id@c":                  {Scheme: "socks4a", Host: "c", Port: 1080, User: "id", HasUser: true, Raw: "socks4a://c"},
		"socks4://id:not-sent@c":          {Scheme: "socks4", Host: "c", Port: 1080, User: "id", HasUser: true, Raw: "socks4://c"},
		"http://u:secret@[fe80::1%25e]:1": {Scheme: "http", Host: "fe80::1%e", Port: 1, User: "u", Password: "secret", HasUser: true, Raw: "http://[fe80::1%25e]:1"},
	} {
		if p, err := ParseProxy(s); err != nil || *p != want {
			t.Errorf("%q: got %+v, error %v, expected %+v", s, p, err, want)
		}
	}
}

func TestParseProxyRefuses(t *testing.T) {
	for s, want := range map[string]string{
		"":                      "no scheme",
		"proxy:8080":            "no scheme",
		"://proxy":              "no scheme",
		"ws://proxy":            `scheme "ws", expected http, https, socks4, socks4a, socks5 or socks5h`,
		"socks://proxy":         `scheme "socks"`,
		"http://":               "empty host",
		"http://:80":            "empty host",
		"http://u:secret@":      "empty host",
		"http://proxy/path":     "a path, query or fragment",
		"http://u:sec/ret@c":    "a path, query or fragment",
		"http://proxy//":        "a path, query or fragment",
		"http://proxy?q":        "a path, query or fragment",
		"http://proxy/#f":       "a path, query or fragment",
		"http://proxy:0":        `port "0"`,
		"http://proxy:65536":    `port "65536"`,
		"http://proxy:x":        `port "x"`,
		"http://a:b:c":          "more than one colon",
		"http://[::1":           "no ]",
		"http://a b":            "' ' at offset 8",
		"http://a\r\nX: y":      `'\r' at offset 8`,
		"http://\xff":           "not UTF-8",
		"http://a_@b@":          "password",
		"http://1.2.3":          `host "1.2.3"`,
		"http://u@c":            "a user name without a password",
		"http://@c":             "a user name without a password",
		"socks5://u@c":          "a user name without a password",
		"socks5://:secret@c":    "empty user name",
		"http://u:secret%@c":    "percent sign",
		"http://u:secret%00@c":  "control character",
		"socks4://u%00secret@c": "control character",
		"http://secret%3a:p@c":  "colon in the user name",
		"socks5://u:" + strings.Repeat("secret", 43) + "@c": "longer than 255 octets",
	} {
		_, err := ParseProxy(s)
		var e *ProxyURLError
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), `proxy "`) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, expected %q in it", s, err, want)
		} else if strings.Contains(err.Error(), "secret") || strings.ContainsAny(err.Error(), "\r\n\x00") {
			t.Errorf("%q: error %q", s, err)
		}
	}
}

// The table that tests/python/test_client_proxy_choice.py holds against urllib and
// websockets has the rest.
func TestEnvironmentProxy(t *testing.T) {
	for _, c := range []struct {
		environment, uri, want string
	}{
		{"", "wss://h/", ""},
		{"HTTPS_PROXY=http://a", "wss://h/", "http://a"},
		{"https_proxy=http://b HTTPS_PROXY=http://a", "wss://h/", "http://b"},
		{"HTTPS_PROXY=http://a https_proxy=", "wss://h/", ""},
		{"http_proxy=http://a", "wss://h/", ""},
		{"http_proxy=http://a", "ws://h/", "http://a"},
		{"REQUEST_METHOD=GET HTTP_PROXY=http://a", "ws://h/", ""},
		{"http_proxy=http://a https_proxy=http://b socks_proxy=http://c:1", "ws://h/", "socks5h://c:1"},
		{"socks_proxy=socks4://c wss_proxy=http://d ws_proxy=http://e", "wss://h/", "http://d"},
		{"all_proxy=http://a", "ws://h/", ""},
		{"https_proxy=http://a no_proxy=*", "wss://h/", ""},
		{"https_proxy=http://a NO_PROXY=.Example.com", "wss://x.example.com/", ""},
		{"https_proxy=http://a no_proxy=x.test,example.com", "wss://notexample.com/", "http://a"},
		{"https_proxy=http://a no_proxy=h:444", "wss://h/", "http://a"},
		{"https_proxy=http://a no_proxy=h:443", "wss://h/", ""},
	} {
		if got := EnvironmentProxy(mustURI(t, c.uri), strings.Fields(c.environment)); got != c.want {
			t.Errorf("%s of %s: got %q, expected %q", c.uri, c.environment, got, c.want)
		}
	}
}
