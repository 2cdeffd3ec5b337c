package wire

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCloseCodeVectors(t *testing.T) {
	for _, line := range vectorLines(t, "closecodes.txt") {
		f := strings.SplitN(line, " ", 3)
		code, sendable := CloseCode(number(t, f[0])), f[1] == "yes"
		if code.OnWire() != sendable {
			t.Errorf("%d: on wire is %t, want %t", code, !sendable, sendable)
		}
		if code.Name() != f[2] {
			t.Errorf("%d: name is %q, want %q", code, code.Name(), f[2])
		}
		if err := CheckCloseArgs(code, ""); (err == nil) != sendable {
			t.Errorf("%d: as an argument: %v", code, err)
		}
	}
}

// RFC 6455 section 7.4.1 and the IANA registry, code by code.
func TestCloseCodeOnWire(t *testing.T) {
	count := 0
	for c := range 1 << 16 {
		if CloseCode(c).OnWire() {
			count++
		}
	}
	if want := 4 + 8 + 2000; count != want {
		t.Errorf("%d codes may be sent, want %d", count, want)
	}
}

func TestAppendClose(t *testing.T) {
	long := strings.Repeat("é", 61) // 122 octets
	for _, c := range []struct {
		code   CloseCode
		reason string
		want   string
	}{
		{CloseNoStatus, "", ""},
		{CloseNormal, "", "\x03\xe8"},
		{CloseGoingAway, "bye", "\x03\xe9bye"},
		{4999, "é", "\x13\x87é"},
		{CloseNormal, strings.Repeat("r", 123), "\x03\xe8" + strings.Repeat("r", 123)},
		{CloseNormal, strings.Repeat("r", 124), "\x03\xe8" + strings.Repeat("r", 123)},
		{CloseNormal, long + "x", "\x03\xe8" + long + "x"},
		{CloseNormal, long + "éé", "\x03\xe8" + long},
		{CloseNormal, long[:120] + "😀😀", "\x03\xe8" + long[:120]},
		{CloseNormal, long + "漢", "\x03\xe8" + long},
	} {
		got := AppendClose([]byte("before"), c.code, c.reason)
		if string(got) != "before"+c.want {
			t.Errorf("%d %q: wrote %q, want %q", c.code, c.reason, got, c.want)
			continue
		}
		code, reason, err := ParseClose(got[len("before"):])
		if err != nil || code != c.code || !strings.HasPrefix(c.reason, string(reason)) {
			t.Errorf("%d %q: read back as %d, %q, %v", c.code, c.reason, code, reason, err)
		}
	}
	// No border in sight: nothing is better than an endless search.
	if got := AppendClose(nil, CloseNormal, strings.Repeat("\x80", 200)); !bytes.Equal(got, []byte("\x03\xe8")) {
		t.Errorf("wrote %q", got)
	}
}

func TestCheckCloseArgs(t *testing.T) {
	for _, c := range []struct {
		code   CloseCode
		reason string
		want   string // part of the error, empty for none
	}{
		{CloseNormal, "", ""},
		{CloseNormal, strings.Repeat("r", 123), ""},
		{3000, "é", ""},
		{CloseNoStatus, "", "close code 1005 (no status received) may not be sent"},
		{CloseAbnormal, "", "close code 1006 (abnormal closure) may not be sent"},
		{999, "", "close code 999 (unused) may not be sent"},
		{5000, "", "expected 1000 to 1003, 1007 to 1014 or 3000 to 4999"},
		{CloseNormal, strings.Repeat("r", 124), "close reason is 124 octets long, expected at most 123"},
		{CloseNormal, strings.Repeat("é", 62), "close reason is 124 octets long"},
		{CloseNormal, "a\xff", `close reason "a\xff" is not UTF-8`},
	} {
		err := CheckCloseArgs(c.code, c.reason)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%d %.20q: got %v, want %q", c.code, c.reason, err, c.want)
		}
	}
}

// reason is a part of the payload, so that parsing copies nothing.
func TestParseCloseAliases(t *testing.T) {
	payload := []byte("\x03\xe8reason")
	_, reason, err := ParseClose(payload)
	if err != nil || !utf8.Valid(reason) {
		t.Fatalf("got %q, %v", reason, err)
	}
	payload[2] = 'R'
	if string(reason) != "Reason" {
		t.Errorf("reason is %q, want it to share the payload's memory", reason)
	}
}
