package dial

import (
	"errors"
	"strings"
	"testing"
)

// TestResolve follows the examples of RFC 3986 section 5.4, whose base has another scheme.
func TestResolve(t *testing.T) {
	base := mustURI(t, "ws://user:secret@a:81/b/c/d;p?q")
	for ref, want := range map[string]string{
		"g":             "ws://a:81/b/c/g",
		"./g":           "ws://a:81/b/c/g",
		"g/":            "ws://a:81/b/c/g/",
		"/g":            "ws://a:81/g",
		"//g":           "ws://g",
		"?y":            "ws://a:81/b/c/d;p?y",
		"g?y":           "ws://a:81/b/c/g?y",
		";x":            "ws://a:81/b/c/;x",
		"":              "ws://a:81/b/c/d;p?q",
		".":             "ws://a:81/b/c/",
		"./":            "ws://a:81/b/c/",
		"..":            "ws://a:81/b/",
		"../g":          "ws://a:81/b/g",
		"../..":         "ws://a:81/",
		"../../g":       "ws://a:81/g",
		"../../../g":    "ws://a:81/g",
		"/./g":          "ws://a:81/g",
		"/../g":         "ws://a:81/g",
		"g.":            "ws://a:81/b/c/g.",
		"..g":           "ws://a:81/b/c/..g",
		"./../g":        "ws://a:81/b/g",
		"./g/.":         "ws://a:81/b/c/g/",
		"g/./h":         "ws://a:81/b/c/g/h",
		"g/../h":        "ws://a:81/b/c/h",
		"g;x=1/../y":    "ws://a:81/b/c/y",
		"g?y/./x":       "ws://a:81/b/c/g?y/./x",
		"g?y/../x":      "ws://a:81/b/c/g?y/../x",
		"1:2":           "", // no scheme begins with a digit, and a first segment has no colon
		"wss://h/../x":  "wss://h/x",
		"HTTP://h:80/x": "ws://h:80/x",
		"https://h":     "wss://h",
		" /a b ":        "ws://a:81/a%20b",
		"ftp://h/":      "",
		"http:g":        "",
		"http:///g":     "",
		"/g#s":          "",
		"//":            "",
		"ws://[::1":     "",
		"mailto:x@y":    "",
		"/\x01":         "",
		"//u:p@h/":      "ws://h/",
	} {
		got, err := base.Resolve(ref)
		var refused *URIError
		switch {
		case want == "" && ref != "1:2":
			if !errors.As(err, &refused) {
				t.Errorf("%q: got %v, %v, expected a URIError", ref, got, err)
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", ref, err)
			}
		case want == "":
			if err != nil || got.Raw != "ws://a:81/b/c/1:2" {
				t.Errorf("%q: got %v, %v", ref, got, err)
			}
		case err != nil:
			t.Errorf("%q: %v", ref, err)
		case got.Raw != want:
			t.Errorf("%q: got %q, expected %q", ref, got.Raw, want)
		}
	}
	if u, _ := mustURI(t, "wss://[fe80::1%25lo]:8/x").Resolve("y"); u == nil || u.Host != "fe80::1%lo" || u.Port != 8 {
		t.Errorf("an address with a zone became %+v", u)
	}
	if u, _ := mustURI(t, "ws://a?q=/x").Resolve("y"); u == nil || u.Raw != "ws://a/y" {
		t.Errorf("beside a query without a path: %+v", u)
	}
}

func TestSameOrigin(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"ws://a/", "ws://A:80/x?y"}:    true,
		{"wss://a/", "wss://a:443"}:     true,
		{"ws://u:p@a/", "ws://a/"}:      true,
		{"ws://a/", "wss://a/"}:         false,
		{"ws://a/", "ws://a:81/"}:       false,
		{"ws://a/", "ws://b/"}:          false,
		{"ws://[::1]/", "ws://[0::1]/"}: true,
	} {
		if got := mustURI(t, pair[0]).SameOrigin(mustURI(t, pair[1])); got != want {
			t.Errorf("%v: got %v", pair, got)
		}
	}
}
