package handshake

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// Every rule of errors.go stands in Rules, is named once, cites its section, and is matched by its errors.
func TestRules(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	for _, decl := range file.Decls {
		if vars, ok := decl.(*ast.GenDecl); ok && vars.Tok == token.VAR {
			for _, spec := range vars.Specs {
				if name := spec.(*ast.ValueSpec).Names[0].Name; strings.HasPrefix(name, "Err") {
					declared++
				}
			}
		}
	}
	if declared != len(Rules) || declared == 0 {
		t.Errorf("errors.go declares %d rules, Rules holds %d", declared, len(Rules))
	}
	names := map[string]bool{}
	for _, rule := range Rules {
		if names[rule.Name] || rule.Name == "" {
			t.Errorf("name %q is empty or used twice", rule.Name)
		}
		names[rule.Name] = true
		if rule.Status != 0 && reasons[rule.Status] == "" {
			t.Errorf("%s: status %d", rule.Name, rule.Status)
		}
		section := " (" + rule.Section + ")"
		if rule.Section == "" {
			section = ""
		}
		if got := rule.Error(); got != rule.Text+section {
			t.Errorf("%s: %q", rule.Name, got)
		}
		err := error(fail(rule, `"x"`))
		if want := rule.Text + `: "x"` + section; err.Error() != want || !errors.Is(err, rule) {
			t.Errorf("%s: got %v, expected %s", rule.Name, err, want)
		}
		if strings.HasSuffix(rule.Text, ".") {
			t.Errorf("%s: %q ends with a stop", rule.Name, rule.Text)
		}
	}
}

// Every rule has a golden vector or a row in a table of this package's tests.
func TestEveryRuleIsTested(t *testing.T) {
	var texts string
	for _, name := range []string{
		"testdata/request.txt", "testdata/response.txt",
		"parser_test.go", "request_test.go", "upgrade_test.go", "header_test.go",
	} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts += string(text)
	}
	file, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(file)) {
		variable, literal, found := strings.Cut(strings.TrimSpace(line), "= &Rule{\"")
		if !found {
			continue
		}
		variable = strings.TrimSpace(variable)
		name, _, _ := strings.Cut(literal, `"`)
		if !strings.Contains(texts, "error: "+name+"\n") && !strings.Contains(texts, "error: "+name+" ") && !strings.Contains(texts, variable+",") && !strings.Contains(texts, variable+")") {
			t.Errorf("%s (%s) is tested nowhere", variable, name)
		}
	}
}

func TestAcceptErrorNamesBothValues(t *testing.T) {
	for got, want := range map[string]string{
		"x": `got "x", expected "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="`,
		"":  `got "", expected "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="`,
		"-": `got none, expected "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="`,
	} {
		h := Header{{"Upgrade", "websocket"}, {"Connection", "Upgrade"}}
		if got != "-" {
			h = h.Add("Sec-WebSocket-Accept", got)
		}
		_, _, err := CheckResponse(&Response{Status: 101, Proto: "HTTP/1.1", Header: h}, &Built{Key: sampleKey})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, expected %s", err, want)
		}
	}
}

func TestStatusError(t *testing.T) {
	for want, response := range map[string]*Response{
		"server answered 404 Not Found, expected 101":                          {Status: 404, Reason: "Not Found"},
		"server answered 500, expected 101":                                    {Status: 500},
		"server answered 500 a\\tb\\x80, expected 101":                         {Status: 500, Reason: "a\tb\x80"},
		"server answered 500 " + strings.Repeat("a", 64) + "..., expected 101": {Status: 500, Reason: strings.Repeat("a", 65)},
		"server answered 500 " + strings.Repeat("a", 64) + ", expected 101":    {Status: 500, Reason: strings.Repeat("a", 64)},
	} {
		_, _, err := CheckResponse(response, &Built{})
		var refused *StatusError
		if !errors.As(err, &refused) || refused.Response != response || err.Error() != want {
			t.Errorf("got %v, expected %s", err, want)
		}
	}
}
