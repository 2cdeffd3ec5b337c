package handshake

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestHeader(t *testing.T) {
	h := Header{{"A", "1"}, {"b", "2"}, {"a", "3"}}
	if h.Get("a") != "1" || h.Get("B") != "2" || h.Get("c") != "" || h.Get("") != "" {
		t.Error("Get")
	}
	if !slices.Equal(h.Values("a"), []string{"1", "3"}) || h.Values("c") != nil {
		t.Error("Values")
	}
	if !h.Has("B") || h.Has("c") {
		t.Error("Has")
	}
	if got := h.Set("a", "x"); !sameHeader(got, Header{{"a", "x"}, {"b", "2"}}) {
		t.Errorf("Set replaced to %q", got)
	}
	if got := h.Set("C", "x"); !sameHeader(got, Header{{"A", "1"}, {"b", "2"}, {"a", "3"}, {"C", "x"}}) {
		t.Errorf("Set appended to %q", got)
	}
	if got := h.Add("A", "x"); !sameHeader(got, Header{{"A", "1"}, {"b", "2"}, {"a", "3"}, {"A", "x"}}) {
		t.Errorf("Add gave %q", got)
	}
	if !sameHeader(h, Header{{"A", "1"}, {"b", "2"}, {"a", "3"}}) {
		t.Errorf("h changed to %q", h)
	}
}

func TestHasToken(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"upgrade"}, true},
		{[]string{"UPGRADE"}, true},
		{[]string{"keep-alive,\tUpgrade ,x"}, true},
		{[]string{"keep-alive", "upgrade"}, true},
		{[]string{",,upgrade,"}, true},
		{[]string{"upgrades"}, false},
		{[]string{"up grade"}, false},
		{[]string{"keep-alive;upgrade"}, false},
		{[]string{"upgrad\u00e9"}, false},
	} {
		var h Header
		for _, value := range c.values {
			h = h.Add("Connection", value)
		}
		if h.HasToken("connection", "Upgrade") != c.want {
			t.Errorf("%q: expected %v", c.values, c.want)
		}
		if h.HasToken("upgrade", "Upgrade") {
			t.Errorf("%q: found in another field", c.values)
		}
	}
	if (Header{{"Connection", ", ,"}}).HasToken("Connection", "") {
		t.Error("an empty element counts as a token")
	}
}

func TestEqualFoldIsASCII(t *testing.T) {
	for a := 0; a < 256; a++ {
		for b := 0; b < 256; b++ {
			x, y := string([]byte{byte(a)}), string([]byte{byte(b)})
			want := a == b || a < 128 && b < 128 && strings.EqualFold(x, y)
			if equalFold(x, y) != want {
				t.Errorf("%q and %q: expected %v", x, y, want)
			}
		}
	}
	if equalFold("K", "\u212a") || equalFold("a", "aa") {
		t.Error("folds beyond ASCII or past the end")
	}
}

func TestCheckField(t *testing.T) {
	const separators = "\"(),/:;<=>?@[\\]{}"
	for c := 0; c < 256; c++ {
		octet := string([]byte{byte(c)})
		token := c > ' ' && c < 0x7f && !strings.Contains(separators, octet)
		if err := CheckField("a"+octet, "v"); (err == nil) != token {
			t.Errorf("name with octet %#x: %v", c, err)
		} else if err != nil && !errors.Is(err, ErrFieldName) {
			t.Errorf("name with octet %#x: %v", c, err)
		}
		text := c >= ' ' && c != 0x7f || c == '\t'
		for _, value := range []string{octet, octet + "w", "v" + octet} {
			err := CheckField("a", value)
			if (err == nil) != text {
				t.Errorf("value %q: %v", value, err)
			} else if err != nil && (!errors.Is(err, ErrFieldValue) || !strings.Contains(err.Error(), fmt.Sprintf("octet 0x%02x ", c))) {
				t.Errorf("value %q: %v", value, err)
			}
		}
	}
	if !errors.Is(CheckField("", "v"), ErrFieldName) || CheckField("a", "") != nil {
		t.Error("empty name or value")
	}
}

func TestFieldErrorsNameTheValueButNoSecret(t *testing.T) {
	err := CheckField("X-A", "one\r\ntwo")
	want := `field value holds a control character: octet 0x0d at index 3 of X-A, "one\r\ntwo" (RFC 9110 section 5.5)`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, expected %s", err, want)
	}
	long := CheckField("X-A", strings.Repeat("a", 1000)+"\n")
	if long == nil || len(long.Error()) > 300 || !strings.Contains(long.Error(), "index 1000") || !strings.Contains(long.Error(), `aaa"...`) {
		t.Errorf("got %v", long)
	}
	for _, name := range []string{"authorization", "Proxy-Authorization", "cookie", "Set-Cookie"} {
		err := CheckField(name, "Bearer secret\n")
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "0x0a") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
