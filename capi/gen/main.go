// Gen writes the sources that repeat what another file says: libws/code.go from
// the error map of include/aiows.h, and capi/close_codes.h from libws/wire.
//
//	gen errors HEADER OUT
//	gen close-codes OUT
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
	"regexp"
	"strconv"
	"strings"

	"aiows/libws/wire"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "errors":
		header, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		out, err := errorCodes(header)
		if err != nil {
			return err
		}
		return os.WriteFile(args[2], out, 0o644)
	case len(args) == 2 && args[0] == "close-codes":
		return os.WriteFile(args[1], closeCodes(), 0o644)
	}
	return fmt.Errorf("arguments %q, expected errors HEADER OUT or close-codes OUT", args)
}

// mapEntry is one X(NAME, -1, "text") of AIOWS_ERROR_MAP.
type mapEntry struct {
	name   string
	number int
	text   string
}

var entryPattern = regexp.MustCompile(`X\(([A-Z0-9_]+), (-\d+), "([^"\\]*)"\)`)

func errorMap(header []byte) ([]mapEntry, error) {
	_, rest, ok := bytes.Cut(header, []byte("#define AIOWS_ERROR_MAP(X)"))
	if !ok {
		return nil, fmt.Errorf("header has no AIOWS_ERROR_MAP")
	}
	end := regexp.MustCompile(`[^\\]\n`).FindIndex(rest)
	if end == nil {
		return nil, fmt.Errorf("AIOWS_ERROR_MAP does not end")
	}
	body := rest[:end[1]]
	var entries []mapEntry
	for _, m := range entryPattern.FindAllSubmatch(body, -1) {
		number, err := strconv.Atoi(string(m[2]))
		if err != nil {
			return nil, err
		}
		entries = append(entries, mapEntry{string(m[1]), number, string(m[3])})
	}
	if lines := bytes.Count(body, []byte("X(")); lines != len(entries) {
		return nil, fmt.Errorf("AIOWS_ERROR_MAP has %d entries, of which %d have the form X(NAME, -1, \"text\")", lines, len(entries))
	}
	return entries, nil
}

var initialisms = map[string]bool{"UTF8": true, "URI": true, "TLS": true}

func goName(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		if !initialisms[word] {
			word = word[:1] + strings.ToLower(word[1:])
		}
		b.WriteString(word)
	}
	return b.String()
}

func errorCodes(header []byte) ([]byte, error) {
	entries, err := errorMap(header)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(`// Code generated from include/aiows.h by go generate; DO NOT EDIT.

package libws

// Code is the class of an Error, with the number of its AIOWS_ERR_*.
type Code int32

const (
`)
	for _, e := range entries {
		fmt.Fprintf(&b, "Code%s Code = %d\n", goName(e.name), e.number)
	}
	b.WriteString(")\n\nvar codeText = map[Code]string{\n")
	for _, e := range entries {
		fmt.Fprintf(&b, "Code%s: %q,\n", goName(e.name), e.text)
	}
	b.WriteString("}\n")
	return format.Source(b.Bytes())
}

// closeCodes lists runs of close codes that share a name; together they cover
// every value of 16 bits.
func closeCodes() []byte {
	var b bytes.Buffer
	b.WriteString("// Code generated from libws/wire by go generate; DO NOT EDIT.\n")
	b.WriteString("#define CLOSE_CODE_MAP(X)")
	for first := 0; first <= 0xffff; {
		name := wire.CloseCode(first).Name()
		last := first
		for last < 0xffff && wire.CloseCode(last+1).Name() == name {
			last++
		}
		fmt.Fprintf(&b, " \\\n\tX(%d, %d, %q)", first, last, name)
		first = last + 1
	}
	b.WriteString("\n")
	return b.Bytes()
}
