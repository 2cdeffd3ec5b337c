package handshake

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
)

// vector is one block of a file in testdata; README.md there has the format.
type vector struct {
	name       string
	keys       map[string][]string
	sent, back string // the > and < octets
}

func (v *vector) get(key string) string {
	if values := v.keys[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func (v *vector) header(t *testing.T, key string) Header {
	var h Header
	for _, text := range v.keys[key] {
		name, value, found := strings.Cut(text, ":")
		if !found {
			t.Fatalf("%s: %q is no field", key, text)
		}
		h = h.Add(name, strings.TrimPrefix(value, " "))
	}
	return h
}

func unescape(t testing.TB, s string) string {
	t.Helper()
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return out
}

// eachVector runs test for every block of a file; known are the keys it may use.
func eachVector(t *testing.T, file, known string, test func(*testing.T, *vector)) {
	for _, v := range vectorsIn(t, file) {
		for key := range v.keys {
			if !strings.Contains(" "+known+" ", " "+key+" ") {
				t.Fatalf("%s, %s: unknown key %q", file, v.name, key)
			}
		}
		t.Run(v.name, func(t *testing.T) { test(t, v) })
	}
}

// octets reads what follows > or <: octets behind a space, or "*COUNT" before it.
func octets(t testing.TB, s string) string {
	t.Helper()
	times, text, found := strings.Cut(s, " ")
	count, err := 1, error(nil)
	if times != "" {
		count, err = strconv.Atoi(strings.TrimPrefix(times, "*"))
	}
	if !found || err != nil {
		t.Fatalf("octets %.100q", s)
	}
	return strings.Repeat(unescape(t, text), count)
}

func vectorsIn(t testing.TB, file string) []*vector {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []*vector
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if name, found := strings.CutPrefix(line, "== "); found {
			vectors = append(vectors, &vector{name: name, keys: map[string][]string{}})
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		v := vectors[len(vectors)-1]
		if line[0] == '>' {
			v.sent += octets(t, line[1:])
		} else if line[0] == '<' {
			v.back += octets(t, line[1:])
		} else {
			key, value, found := strings.Cut(line, ":")
			if !found {
				t.Fatalf("%s, %s: unknown line %q", file, v.name, line)
			}
			v.keys[key] = append(v.keys[key], unescape(t, strings.TrimPrefix(value, " ")))
		}
	}
	if len(vectors) < 5 {
		t.Fatalf("%s holds %d vectors", file, len(vectors))
	}
	return vectors
}

// pieces feeds text in pieces of n octets and returns what follows the head.
func pieces(p *Parser, text string, n int) (rest string, done bool, err error) {
	for len(text) > 0 {
		piece := []byte(text[:min(n, len(text))])
		text = text[len(piece):]
		var tail []byte
		done, tail, err = p.Feed(piece)
		rest += string(tail)
		for i := range piece {
			piece[i] = '?' // what was kept must be a copy; tail was copied above
		}
		if err != nil {
			return "", false, err
		}
	}
	return rest, done, nil
}

var pieceSizes = []int{1, 2, 3, 7, 64, 1 << 20}

func ruleName(err error) string {
	var rule *Rule
	if errors.As(err, &rule) {
		return rule.Name
	}
	return "none"
}

func TestGoldenRequests(t *testing.T) {
	eachVector(t, "request.txt", "resource subprotocols extensions choose choose-extensions extra rest error", func(t *testing.T, v *vector) {
		for _, size := range pieceSizes {
			p := NewRequestParser()
			answer, outcome := "", ""
			rest, done, err := pieces(p, v.sent, size)
			if err != nil {
				rejected := Reject(err)
				outcome = ruleName(rejected) + " " + strconv.Itoa(rejected.Status)
			} else if !done {
				t.Fatalf("pieces of %d: head is not complete", size)
			} else if rejected := p.Request().CheckUpgrade(); rejected != nil {
				outcome = ruleName(rejected) + " " + strconv.Itoa(rejected.Status)
			} else {
				r := p.Request()
				if r.Key != "" {
					t.Errorf("Request shares its value with an earlier call")
				}
				if rejected := r.CheckUpgrade(); rejected != nil {
					t.Fatal(rejected)
				}
				if r.Resource() != v.get("resource") || join(r.Subprotocols) != v.get("subprotocols") || join(r.Extensions) != v.get("extensions") {
					t.Errorf("read %q, %q, %q", r.Resource(), r.Subprotocols, r.Extensions)
				}
				out, err := r.AppendAccept([]byte("before"), v.get("choose"), v.get("choose-extensions"), v.header(t, "extra"))
				if err != nil {
					outcome = ruleName(err) + " 0"
				}
				answer = strings.TrimPrefix(string(out), "before")
			}
			if outcome != v.get("error") {
				t.Errorf("pieces of %d: got error %q, expected %q", size, outcome, v.get("error"))
			}
			if answer != v.back {
				t.Errorf("pieces of %d: answered\n%q, expected\n%q", size, answer, v.back)
			}
			if rest != v.get("rest") {
				t.Errorf("pieces of %d: rest is %q, expected %q", size, rest, v.get("rest"))
			}
		}
	})
}

func TestGoldenResponses(t *testing.T) {
	eachVector(t, "response.txt", "key offer offer-extensions subprotocol extensions status rest error", func(t *testing.T, v *vector) {
		built := &Built{Key: v.get("key"), Subprotocols: v.keys["offer"], Extensions: v.get("offer-extensions")}
		for _, size := range pieceSizes {
			p := NewResponseParser()
			subprotocol, extensions := "", ""
			rest, done, err := pieces(p, v.back, size)
			if err == nil {
				if !done {
					t.Fatalf("pieces of %d: head is not complete", size)
				}
				subprotocol, extensions, err = CheckResponse(p.Response(), built)
			}
			outcome, status := "", ""
			var refused *StatusError
			if errors.As(err, &refused) {
				status = refused.Error()
			} else if err != nil {
				outcome = ruleName(err)
			}
			if outcome != v.get("error") || status != v.get("status") {
				t.Errorf("pieces of %d: got %v, expected %q%q", size, err, v.get("error"), v.get("status"))
			}
			if subprotocol != v.get("subprotocol") || extensions != v.get("extensions") || rest != v.get("rest") {
				t.Errorf("pieces of %d: got %q, %q, rest %q", size, subprotocol, extensions, rest)
			}
		}
	})
}

func TestGoldenBuilds(t *testing.T) {
	eachVector(t, "build.txt", "target host origin agent subprotocol extensions basic header raw offered offered-extensions added-host", func(t *testing.T, v *vector) {
		user, password, hasBasic := strings.Cut(v.get("basic"), " ")
		built, err := (&Request{
			Target: v.get("target"), Host: v.get("host"), Origin: v.get("origin"), UserAgent: v.get("agent"),
			Subprotocols: v.keys["subprotocol"], Extensions: v.get("extensions"),
			BasicUser: user, BasicPassword: password, HasBasic: hasBasic,
			Headers: v.header(t, "header"), Raw: v.keys["raw"],
		}).Build()
		if err != nil {
			t.Fatal(err)
		}
		if string(built.Bytes) != v.sent {
			t.Errorf("got\n%s, expected\n%s", built.Bytes, v.sent)
		}
		offered, extensions := v.get("offered"), v.get("offered-extensions")
		if offered == "" {
			offered, extensions = join(v.keys["subprotocol"]), v.get("extensions")
		}
		if join(built.Subprotocols) != offered || built.Extensions != extensions {
			t.Errorf("offered %q, %q", built.Subprotocols, built.Extensions)
		}
		if built.AddedHost != (v.get("added-host") == "yes") {
			t.Errorf("AddedHost is %v", built.AddedHost)
		}
		for _, size := range pieceSizes {
			p := NewRequestParser()
			if _, done, err := pieces(p, v.sent, size); err != nil || !done {
				t.Fatal(done, err)
			}
			if !sameHeader(p.Request().Header, trimmed(built.Header)) {
				t.Errorf("pieces of %d: read %q, expected %q", size, p.Request().Header, built.Header)
			}
			if built.Key != p.Request().Header.Get("sec-websocket-key") {
				t.Errorf("key is %q", built.Key)
			}
		}
	})
}

func sameHeader(a, b Header) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func trimmed(h Header) Header {
	var out Header
	for _, f := range h {
		out = out.Add(f.Name, trimSpace(f.Value))
	}
	return out
}
