package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// row is one rule of docs/conformance.md.
type row struct {
	section  string
	names    []string // errors, as in "wire.ErrCloseCode", and code, as in "libws/frames.go frameDone: !r.fin"
	together []string // of these, the errors whose checks are not tried alone
	tests    []test   // those in Go
}

// test is a Go test, by its package folder and its name with the subtests behind slashes.
type test struct{ folder, name string }

// replays says which Go tests replay a file of golden vectors. Each case is a subtest.
var replays = map[string][]test{
	"frames.txt":      {{"libws/wire", "TestFrameVectorsParse"}, {"libws", "TestGoldenFrames/whole"}, {"libws", "TestGoldenFrames/octets"}},
	"deflate.txt":     {{"libws", "TestGoldenDeflate/whole"}, {"libws", "TestGoldenDeflate/octets"}},
	"request.txt":     {{"libws/handshake", "TestGoldenRequests"}},
	"response.txt":    {{"libws/handshake", "TestGoldenResponses"}},
	"build.txt":       {{"libws/handshake", "TestGoldenBuilds"}},
	"negotiation.txt": {{"libws/deflate", "TestGoldenNegotiations"}},
}

var (
	together = regexp.MustCompile("`([^`]+)` \\(together\\)")
	quoted   = regexp.MustCompile("`([^`]+)`")
	named    = regexp.MustCompile(`^[a-z]+\.Err\w+$|^libws/[\w/]+\.go( \w+)?: `)
)

// readRows reads the rows of the tables: five cells, of which the last two hold the
// names and the tests in backquotes.
func readRows(root string) ([]row, error) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "conformance.md"))
	if err != nil {
		return nil, err
	}
	var rows []row
	for line := range strings.Lines(string(text)) {
		line = strings.ReplaceAll(strings.TrimSpace(line), `\|`, "\x00")
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if !strings.HasPrefix(line, "|") || len(cells) != 5 || !strings.Contains(cells[4], "`") {
			continue
		}
		r := row{section: strings.TrimSpace(cells[0])}
		for _, q := range quoted.FindAllStringSubmatch(cells[3], -1) {
			if name := strings.ReplaceAll(q[1], "\x00", "|"); named.MatchString(name) {
				r.names = append(r.names, name)
			}
		}
		for _, t := range together.FindAllStringSubmatch(cells[3], -1) {
			r.together = append(r.together, t[1])
		}
		for _, q := range quoted.FindAllStringSubmatch(cells[4], -1) {
			r.tests = append(r.tests, goTests(strings.ReplaceAll(q[1], "\x00", "|"))...)
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("docs/conformance.md has no rows")
	}
	return rows, nil
}

// goTests returns the Go tests behind a reference such as "frames.txt::opcode-3" or
// "libws/close_test.go::TestPeerCloses"; none for tests in other languages.
func goTests(reference string) (tests []test) {
	file, name, _ := strings.Cut(reference, "::")
	for _, t := range replays[file] {
		tests = append(tests, test{t.folder, t.name + "/" + strings.ReplaceAll(name, " ", "_")})
	}
	if strings.HasSuffix(file, "_test.go") {
		tests = append(tests, test{filepath.ToSlash(filepath.Dir(file)), strings.ReplaceAll(name, " ", "_")})
	}
	return tests
}

// pattern matches exactly t, for -test.run.
func (t test) pattern() string {
	var parts []string
	for part := range strings.SplitSeq(t.name, "/") {
		parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
	}
	return strings.Join(parts, "/")
}
