package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestErrorCodesAreFresh(t *testing.T) {
	want, err := errorCodes(read(t, "../../include/aiows.h"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, read(t, "../../libws/code.go")) {
		t.Error("libws/code.go differs from include/aiows.h: run go generate ./capi")
	}
}

func TestCloseCodesAreFresh(t *testing.T) {
	if !bytes.Equal(closeCodes(), read(t, "../close_codes.h")) {
		t.Error("capi/close_codes.h differs from libws/wire: run go generate ./capi")
	}
}

func TestErrorMapRefusesWhatItCannotRead(t *testing.T) {
	for _, header := range []string{
		"",
		"#define AIOWS_ERROR_MAP(X)",
		"#define AIOWS_ERROR_MAP(X) \\\n\tX(LOST, \"text\")\n",
		"#define AIOWS_ERROR_MAP(X) \\\n\tX(LOST, -1, \"say \\\"no\\\"\")\n",
	} {
		if got, err := errorMap([]byte(header)); err == nil {
			t.Errorf("errorMap(%q) = %v, expected an error", header, got)
		}
	}
}

func TestErrorNumbersAreUnique(t *testing.T) {
	entries, err := errorMap(read(t, "../../include/aiows.h"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]string{}
	for _, e := range entries {
		if e.number >= 0 || seen[e.number] != "" {
			t.Errorf("%s has number %d, as %q, expected a negative one of its own", e.name, e.number, seen[e.number])
		}
		seen[e.number] = e.name
		if e.text != strings.TrimSpace(e.text) || strings.HasSuffix(e.text, ".") {
			t.Errorf("text of %s is %q, expected no final stop and no outer space", e.name, e.text)
		}
	}
}

func TestRunRefusesOtherArguments(t *testing.T) {
	for _, args := range [][]string{nil, {"errors"}, {"close-codes", "a", "b"}, {"errors", "/nonexistent", "x"}} {
		if err := run(args); err == nil {
			t.Errorf("run(%q) succeeded, expected an error", args)
		}
	}
}
