package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// planted is a small library with rules whose tests notice too little.
var planted = map[string]string{
	"go.mod": "module planted\n\ngo 1.26\n",
	"libws/wire/rules.go": `package wire

type Error struct{ text string }

var (
	ErrGuarded  = &Error{"guarded"}
	ErrCase     = &Error{"case"}
	ErrTagged   = &Error{"tagged"}
	ErrResult   = &Error{"result"}
	ErrWeak     = &Error{"weak"}
	ErrHalf     = &Error{"half"}
	ErrTwice    = &Error{"twice"}
	ErrUnlisted = &Error{"unlisted"}
)

func Check(n int) *Error {
	if n == 1 || n == 2 {
		return ErrGuarded
	}
	switch {
	case n == 3:
		return ErrCase
	}
	switch n {
	case 4:
		return ErrTagged
	case 5:
		return ErrWeak
	case 6:
		return ErrHalf
	case 7:
		return ErrHalf
	}
	if n == 9 {
		if n > 8 {
			return ErrTwice
		}
		return ErrTwice
	}
	return result(n)
}

func result(n int) *Error {
	if n == 0 {
		return nil
	}
	return ErrResult
}

func Double(n int) int {
	if n > 100 && n < 200 {
		n = 100
	}
	n += n
	return n
}
`,
	"libws/wire/rules_test.go": `package wire

import "testing"

func TestCheck(t *testing.T) {
	for n, want := range map[int]*Error{0: nil, 1: ErrGuarded, 3: ErrCase, 4: ErrTagged, 6: ErrHalf, 8: ErrResult, 9: ErrTwice} {
		if got := Check(n); got != want {
			t.Errorf("%d: %v", n, got)
		}
	}
}

func TestNothing(t *testing.T) { Check(5) }

func TestDouble(t *testing.T) {
	t.Run("a big one", func(t *testing.T) {
		if Double(120) != 200 {
			t.Error("not bounded")
		}
	})
}
`,
}

const plantedRows = `
| rule | what | binds | kept by | tests |
|---|---|---|---|---|
| 1 | r | both | ` + "`wire.ErrGuarded`, `wire.ErrCase`, `wire.ErrTagged`, `wire.ErrResult`, `wire.ErrHalf`, `wire.ErrTwice` (together) | `libws/wire/rules_test.go::TestCheck`" + ` |
| 2 | r | both | ` + "`wire.ErrWeak` | `libws/wire/rules_test.go::TestNothing`" + ` |
| 3 | r | both | ` + "`wire.ErrCase` | `libws/wire/rules_test.go::TestNothing`" + ` |
| 4 | r | both | ` + "`libws/wire/rules.go: n > 100 && n < 200`, `libws/wire/rules.go Double: n += n` | `libws/wire/rules_test.go::TestDouble/a big one`" + ` |
`

func plant(t *testing.T, rows string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range planted {
		write(t, filepath.Join(root, name), text)
	}
	write(t, filepath.Join(root, "docs", "conformance.md"), rows)
	return root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestSurvivorsAreReported: a row whose test does not notice, a place among several that
// no test reaches, and an error without a row are found; nothing else is.
func TestSurvivorsAreReported(t *testing.T) {
	got, err := mutate(plant(t, plantedRows), "", 2)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got.survivors)
	want := []string{
		"wire.ErrCase, row 3",
		"wire.ErrHalf at libws/wire/rules.go:31",
		"wire.ErrWeak, row 2",
	}
	if !slices.Equal(got.survivors, want) {
		t.Errorf("survivors %q, expected %q", got.survivors, want)
	}
	if !slices.Equal(got.unlisted, []string{"wire.ErrUnlisted"}) {
		t.Errorf("without a row: %q", got.unlisted)
	}
	if got.rows != 4 || got.targets != 9 {
		t.Errorf("%d rows, %d targets", got.rows, got.targets)
	}
}

// TestWrongRowsFail: what a row names has to be there.
func TestWrongRowsFail(t *testing.T) {
	for name, c := range map[string]struct{ old, new, says string }{
		"error":  {"wire.ErrWeak", "wire.ErrGone", "wire.ErrGone is nowhere in the code"},
		"code":   {"n += n", "n += 2", "rules.go Double: n += 2 is nowhere in the code"},
		"place":  {"Double: n += n", "Check: n += n", "rules.go Check: n += n is nowhere in the code"},
		"test":   {"::TestNothing", "::TestGone", "no test TestGone"},
		"no Go":  {"libws/wire/rules_test.go::TestDouble/a big one", "tests/python/test_x.py::test_y", "is in Go"},
		"a fail": {"| 4 |", "| 4 |", ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := plant(t, strings.Replace(plantedRows, c.old, c.new, -1))
			if c.says == "" {
				c.says = "fails without a mutant"
				path := filepath.Join(root, "libws", "wire", "rules_test.go")
				write(t, path, strings.Replace(planted["libws/wire/rules_test.go"], "!= 200", "!= 201", 1))
			}
			if _, err := mutate(root, "", 2); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, expected %q", err, c.says)
			}
		})
	}
}
