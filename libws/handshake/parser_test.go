package handshake

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// fields returns n field lines of the given length each, CRLF not counted.
func fields(n, length int) string {
	var b strings.Builder
	for i := range n {
		name := fmt.Sprintf("x%d:", i)
		b.WriteString(name + strings.Repeat("v", length-len(name)) + "\r\n")
	}
	return b.String()
}

func TestLimits(t *testing.T) {
	line := func(length int) string { return "GET /" + strings.Repeat("a", length-14) + " HTTP/1.1\r\n" }
	status := func(length int) string { return "HTTP/1.1 101 " + strings.Repeat("a", length-13) + "\r\n" }
	// A head of exactly n octets: 7 lines of 8192 and one that fills up.
	head := func(n int) string {
		text := "GET / HTTP/1.1\r\n" + fields(7, MaxFieldLen)
		return text + "last:" + strings.Repeat("v", n-len(text)-len("last:\r\n\r\n")) + "\r\n\r\n"
	}
	for _, c := range []struct {
		name   string
		text   string
		parser func() *Parser
		want   *Rule
		status int
		number string
	}{
		{"request line", line(8192) + "\r\n", NewRequestParser, nil, 0, ""},
		{"request line", line(8193), NewRequestParser, ErrLineTooLong, 414, "8192"},
		{"status line", status(8192) + "\r\n", NewResponseParser, nil, 0, ""},
		{"status line", status(8193), NewResponseParser, ErrLineTooLong, 414, "8192"},
		{"fields", line(20) + fields(128, 10) + "\r\n", NewRequestParser, nil, 0, ""},
		{"fields", line(20) + fields(128, 10) + "x", NewRequestParser, ErrTooManyFields, 431, "128"},
		{"field line", line(20) + fields(1, 8192) + "\r\n", NewRequestParser, nil, 0, ""},
		{"field line", line(20) + fields(1, 8193), NewRequestParser, ErrFieldTooLong, 431, "8192"},
		{"head", head(65536), NewRequestParser, nil, 0, ""},
		{"head", head(65537), NewRequestParser, ErrHeadTooLong, 431, "65536"},
		{"interim responses", strings.Repeat("HTTP/1.1 100 \r\n\r\n", 65536/17) + "HTTP/1.1 101 \r\n\r\n", NewResponseParser, ErrHeadTooLong, 431, "65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{1, 100, 1 << 20} {
				p := c.parser()
				_, done, err := pieces(p, c.text, size)
				if c.want == nil {
					if err != nil || !done {
						t.Errorf("done %v, %v", done, err)
					}
					continue
				}
				if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.number) || Reject(err).Status != c.status {
					t.Errorf("pieces of %d: got %v, expected %v with status %d", size, err, c.want, c.status)
				}
			}
		})
	}
}

// A line that never ends must fail as soon as it is too long, not at its end.
func TestLimitsAreJudgedOnArrival(t *testing.T) {
	p := NewRequestParser()
	if done, _, err := p.Feed([]byte(strings.Repeat("a", MaxLine))); done || err != nil {
		t.Fatal(done, err)
	}
	if _, _, err := p.Feed([]byte("a")); !errors.Is(err, ErrLineTooLong) {
		t.Errorf("got %v", err)
	}
}

func TestInterimResponsesResetTheFields(t *testing.T) {
	p := NewResponseParser()
	text := strings.Repeat("HTTP/1.1 199 Interim\r\n"+fields(100, 10)+"\r\n", 3) + "HTTP/1.1 200 OK\r\na: b\r\n\r\n"
	if done, _, err := p.Feed([]byte(text)); !done || err != nil {
		t.Fatal(done, err)
	}
	r := p.Response()
	if r.Status != 200 || r.Reason != "OK" || r.Proto != "HTTP/1.1" || !sameHeader(r.Header, Header{{"a", "b"}}) {
		t.Errorf("got %+v", r)
	}
}

func TestParserStates(t *testing.T) {
	p := NewRequestParser()
	if done, rest, err := p.Feed(nil); done || len(rest) != 0 || err != nil {
		t.Error("an empty piece", done, rest, err)
	}
	if _, _, err := p.Feed([]byte("GET / HTTP/1.1\r\nA: \t b c \t\r\n\r")); err != nil {
		t.Fatal(err)
	}
	if p.Request() != nil || p.Response() != nil {
		t.Error("a result before the end")
	}
	if done, rest, err := p.Feed([]byte("\nrest")); !done || string(rest) != "rest" || err != nil {
		t.Error("the end", done, rest, err)
	}
	if done, rest, err := p.Feed([]byte("more")); !done || string(rest) != "more" || err != nil {
		t.Error("after the end", done, rest, err)
	}
	if done, rest, err := p.Feed(nil); !done || len(rest) != 0 || err != nil {
		t.Error("after the end, empty", done, rest, err)
	}
	r := p.Request()
	if p.Response() != nil || r == nil || r.Method != "GET" || r.Target != "/" || r.Proto != "HTTP/1.1" || !sameHeader(r.Header, Header{{"A", "b c"}}) {
		t.Errorf("got %+v", r)
	}

	p = NewResponseParser()
	if _, _, err := p.Feed([]byte("HTTP/1.1 404 Not Found\r\n\r\n")); err != nil || p.Request() != nil || p.Response() == nil {
		t.Error("a response", err)
	}

	p = NewRequestParser()
	early, _, first := p.Feed([]byte("\n"))
	done, rest, again := p.Feed([]byte("GET / HTTP/1.1\r\n\r\n"))
	if early || first == nil || again != first || done || rest != nil || p.Request() != nil {
		t.Error("after an error", first, done, rest, again)
	}
}

// Errors of the parser may be logged by a server: they name the field, never its value.
func TestParserErrorsHideValues(t *testing.T) {
	for _, text := range []string{
		"Authorization: secret\n",
		"Authorization: secret\rx",
		"Authorization: secret\x00",
		"Authorization : secret\r\n",
		"Authorization: secret" + strings.Repeat("x", MaxFieldLen),
	} {
		_, _, err := NewRequestParser().Feed([]byte("GET / HTTP/1.1\r\n" + text))
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "Authorization") {
			t.Errorf("got %v", err)
		}
	}
	_, _, err := NewRequestParser().Feed([]byte("GET / HTTP/1.1\r\nA: b\r\nC\x01"))
	if want := `control character in a head: octet 0x01 in field line 2, "C" (RFC 9110 section 5.5)`; err == nil || err.Error() != want {
		t.Errorf("got %v, expected %s", err, want)
	}
	_, _, err = NewRequestParser().Feed([]byte("GET / HTTP/1.1\r\nA: b\r\n c\r\n"))
	if want := `field line starts with white space: field line 2 (RFC 9112 section 5.2)`; err == nil || err.Error() != want {
		t.Errorf("got %v, expected %s", err, want)
	}
	_, _, err = NewRequestParser().Feed([]byte("GET\n"))
	if want := `LF without CR before it: the start line (RFC 9112 section 2.2)`; err == nil || err.Error() != want {
		t.Errorf("got %v, expected %s", err, want)
	}
}
