package wire

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
	"unicode"
)

// Rules, the declarations in errors.go and the names in the tests agree.
func TestRulesAreComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Err") {
			declared[v.Names[0].Name] = true
		}
		return true
	})
	listed := map[*Error]bool{}
	for _, rule := range Rules {
		if listed[rule] {
			t.Errorf("%q is listed twice", rule)
		}
		listed[rule] = true
		if !declared[ruleNames[rule]] {
			t.Errorf("%q has no name of errors.go", rule)
		}
	}
	if len(listed) != len(declared) || len(listed) != len(ruleNames) {
		t.Errorf("%d rules listed, %d declared, %d named in the tests", len(listed), len(declared), len(ruleNames))
	}
}

func TestRuleTexts(t *testing.T) {
	texts := map[string]bool{}
	for _, rule := range Rules {
		if texts[rule.Text] {
			t.Errorf("%q is the text of two rules", rule.Text)
		}
		texts[rule.Text] = true
		if strings.HasSuffix(rule.Text, ".") || rule.Text == "" {
			t.Errorf("%q: empty or ends with a stop", rule.Text)
		}
		if second := rune(rule.Text[1]); unicode.IsUpper(rune(rule.Text[0])) && !unicode.IsUpper(second) {
			t.Errorf("%q starts with a capital", rule.Text)
		}
	}
	const want = "frame to a server is not masked (RFC 6455 section 5.1)"
	if got := ErrMaskRequired.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
