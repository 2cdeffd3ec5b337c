package handshake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func good() *ServerRequest {
	return &ServerRequest{Method: "GET", Target: "/", Proto: "HTTP/1.1", Header: Header{
		{"Host", "h"}, {"Upgrade", "websocket"}, {"Connection", "Upgrade"},
		{"Sec-WebSocket-Key", sampleKey}, {"Sec-WebSocket-Version", "13"},
		{"Sec-WebSocket-Protocol", "a, b"}, {"Sec-WebSocket-Extensions", "x-a, x-b; c=1"},
	}}
}

func TestAccept(t *testing.T) {
	for key, want := range map[string]string{
		sampleKey:                  "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
		"x3JJHMbDL1EzLkh9GBhXDw==": "HSmrc0sMlYUkAGmm5OPpG2HaGWk=",
		"RmDgZzaqqvC4hGlWBsEmwQ==": "kHjvtbeqYNLVHulXH5b2cqrvpZo=",
	} {
		if got := Accept(key); got != want {
			t.Errorf("%s: got %s, expected %s", key, got, want)
		}
	}
}

func TestIsKey(t *testing.T) {
	for key, want := range map[string]bool{
		sampleKey:                    true,
		"abcdefghijklmnopqrstuv==":   true, // unused bits set
		"":                           false,
		"dGhlIHNhbXBsZSBub25jZQ":     false,
		"dGhlIHNhbXBsZSBub25jZQ=\n=": false,
		"dGhl\nIHNhbXBsZSBub25jZQ==": false,
		"AAAAAAAAAAAAAAAAAAAAAAA=":   false,
		"AAAAAAAAAAAAAAAAAAAAAAAA":   false,
		"AAAAAAAAAAAAAAAAAAAA":       false,
		"dGhlIHNhbXBsZSBub25jZ_==":   false,
	} {
		if isKey(key) != want {
			t.Errorf("%q: expected %v", key, want)
		}
	}
}

func TestResource(t *testing.T) {
	for target, want := range map[string]string{
		"/":                "/",
		"/a?b":             "/a?b",
		"//a":              "//a",
		"http://h":         "/",
		"http://h/":        "/",
		"https://h/a?b/c":  "/a?b/c",
		"WS://h?a/b":       "/?a/b",
		"wss://h:1/http:/": "/http:/",
		"ftp://h/":         "",
		"http://":          "",
		"http:///a":        "",
		"http://?a":        "",
		"http:/a":          "",
		"*":                "",
		"h:80":             "",
		"":                 "",
	} {
		if got := (&ServerRequest{Target: target}).Resource(); got != want {
			t.Errorf("%q: got %q, expected %q", target, got, want)
		}
	}
}

func TestAppendAcceptRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		subprotocol, extensions string
		extra                   Header
		rule                    *Rule
		says                    string
	}{
		"subprotocol not offered": {"c", "", nil, ErrNotOffered, `"c", offered "a, b"`},
		"two subprotocols":        {"a, b", "", nil, ErrNotOffered, `"a, b"`},
		"subprotocol with CRLF":   {"a\r\nX: y", "", nil, ErrNotOffered, `"a\r\nX: y"`},
		"extension not offered":   {"", "x-a, x-c", nil, ErrNotOffered, `"x-c"`},
		"extension malformed":     {"", "x-a;", nil, ErrExtension, `"x-a;"`},
		"extension with CRLF":     {"", "x-a\r\nX: y", nil, ErrExtension, `"x-a\r\nX: y"`},
		"extension list empty":    {"", ",", nil, ErrExtension, `","`},
		"name":                    {"", "", Header{{"A B", "c"}}, ErrFieldName, `"A B"`},
		"value":                   {"", "", Header{{"A", "b"}, {"C", "d\r\n\r\n"}}, ErrFieldValue, `C`},
		"Upgrade":                 {"", "", Header{{"upgrade", "x"}}, ErrOwnField, `upgrade`},
		"Connection":              {"", "", Header{{"CONNECTION", "x"}}, ErrOwnField, `CONNECTION`},
		"accept":                  {"", "", Header{{"Sec-WebSocket-Accept", "x"}}, ErrOwnField, `Sec-WebSocket-Accept`},
		"protocol":                {"", "", Header{{"Sec-WebSocket-Protocol", "a"}}, ErrOwnField, `Sec-WebSocket-Protocol`},
		"extensions":              {"", "", Header{{"Sec-WebSocket-Extensions", "x-a"}}, ErrOwnField, `Sec-WebSocket-Extensions`},
		"key":                     {"", "", Header{{"Sec-WebSocket-Key", "x"}}, ErrOwnField, `Sec-WebSocket-Key`},
		"version":                 {"", "", Header{{"Sec-WebSocket-Version", "13"}}, ErrOwnField, `Sec-WebSocket-Version`},
		"length":                  {"", "", Header{{"Content-Length", "0"}}, ErrOwnField, `Content-Length`},
		"coding":                  {"", "", Header{{"Transfer-Encoding", "chunked"}}, ErrOwnField, `Transfer-Encoding`},
	} {
		t.Run(name, func(t *testing.T) {
			r := good()
			if rejected := r.CheckUpgrade(); rejected != nil {
				t.Fatal(rejected)
			}
			out, err := r.AppendAccept([]byte("before"), c.subprotocol, c.extensions, c.extra)
			if string(out) != "before" || !errors.Is(err, c.rule) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %q, %v, expected %v with %s", out, err, c.rule, c.says)
			}
		})
	}
	if out, err := good().AppendAccept(nil, "", "", nil); len(out) != 0 || !errors.Is(err, ErrNotUpgraded) {
		t.Errorf("without CheckUpgrade: got %q, %v", out, err)
	}
	r := good()
	r.CheckUpgrade()
	r.Method = "POST"
	if r.CheckUpgrade() == nil {
		t.Fatal("POST passed")
	}
	if _, err := r.AppendAccept(nil, "", "", nil); !errors.Is(err, ErrNotUpgraded) {
		t.Errorf("after a failed CheckUpgrade: %v", err)
	}
}

func TestCheckUpgradeTwice(t *testing.T) {
	r := good()
	for range 2 {
		if rejected := r.CheckUpgrade(); rejected != nil || join(r.Subprotocols) != "a, b" || join(r.Extensions) != "x-a, x-b; c=1" || r.Key != sampleKey {
			t.Errorf("got %v, %+v", rejected, r)
		}
	}
}

func TestCheckUpgradeForgetsAnEarlierOffer(t *testing.T) {
	r := good()
	r.CheckUpgrade()
	r.Header = r.Header.Set("Sec-WebSocket-Protocol", "c").Set("Sec-WebSocket-Extensions", "x-d")
	if rejected := r.CheckUpgrade(); rejected != nil || join(r.Subprotocols) != "c" || join(r.Extensions) != "x-d" {
		t.Errorf("got %v, %+v", rejected, r)
	}
}

// readAnswer reads what AppendReject wrote with another parser.
func readAnswer(t *testing.T, answer []byte) (*http.Response, string) {
	t.Helper()
	reader := bufio.NewReader(bytes.NewReader(answer))
	response, err := http.ReadResponse(reader, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatalf("%v in %q", err, answer)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if left := reader.Buffered(); left != 0 {
		t.Fatalf("%d octets after the body of %q", left, answer)
	}
	return response, string(body)
}

// What a rejection carries, as the RFCs ask for each status.
func TestRejections(t *testing.T) {
	for _, c := range []struct {
		change func(*ServerRequest)
		status int
		fields map[string]string
	}{
		{func(r *ServerRequest) { r.Method = "POST" }, 405, map[string]string{"Allow": "GET", "Connection": "close"}},
		{func(r *ServerRequest) { r.Header = r.Header.Set("Sec-WebSocket-Version", "8") }, 426,
			map[string]string{"Sec-WebSocket-Version": "13", "Upgrade": "websocket", "Connection": "close, Upgrade"}},
		{func(r *ServerRequest) { r.Header = r.Header.Set("Upgrade", "x") }, 426, map[string]string{"Upgrade": "websocket", "Connection": "close, Upgrade"}},
		{func(r *ServerRequest) { r.Proto = "HTTP/1.0" }, 505, map[string]string{"Allow": "", "Upgrade": "", "Sec-WebSocket-Version": ""}},
		{func(r *ServerRequest) { r.Header = r.Header.Set("Host", "") }, 400, map[string]string{"Content-Type": "text/plain; charset=utf-8"}},
	} {
		r := good()
		c.change(r)
		rejected := r.CheckUpgrade()
		if rejected == nil || rejected.Status != c.status || rejected.Text == "" || rejected.Error() != rejected.Text {
			t.Fatalf("got %+v, expected %d", rejected, c.status)
		}
		answer, err := AppendReject(nil, rejected.Status, rejected.Header, []byte(rejected.Text))
		if err != nil {
			t.Fatal(err)
		}
		response, body := readAnswer(t, answer)
		if response.StatusCode != c.status || body != rejected.Text {
			t.Errorf("read %d, %q", response.StatusCode, body)
		}
		for name, value := range c.fields {
			if name == "Connection" { // net/http takes it out
				if !strings.Contains(string(answer), "\r\nConnection: "+value+"\r\n") {
					t.Errorf("%d: Connection is not %q in %q", c.status, value, answer)
				}
				continue
			}
			if response.Header.Get(name) != value {
				t.Errorf("%d: %s is %q, expected %q", c.status, name, response.Header.Get(name), value)
			}
		}
	}
	if rejected := Reject(fmt.Errorf("wrapped: %w", ErrTooManyFields)); rejected.Status != 431 || !errors.Is(rejected, ErrTooManyFields) {
		t.Errorf("got %+v", rejected)
	}
	if rejected := Reject(io.EOF); rejected.Status != 400 || !errors.Is(rejected, io.EOF) {
		t.Errorf("an error of another kind: %+v", rejected)
	}
	if rejected := Reject(ErrAccept); rejected.Status != 400 {
		t.Errorf("a rule without status: %+v", rejected)
	}
}

func TestAppendReject(t *testing.T) {
	for _, c := range []struct {
		status int
		extra  Header
		body   string
		want   string
	}{
		{403, nil, "", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		{401, Header{{"WWW-Authenticate", "Basic"}, {"x", "1"}}, "no\r\n", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\nConnection: close\r\nWWW-Authenticate: Basic\r\nx: 1\r\n\r\nno\r\n"},
		{200, Header{{"content-length", "2"}, {"connection", "Close"}}, "ok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"},
		{204, nil, "", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"},
		{205, nil, "", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		{304, nil, "", "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"},
		{426, Header{{"upgrade", "websocket"}}, "", "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close, Upgrade\r\nupgrade: websocket\r\n\r\n"},
		{599, nil, "x", "HTTP/1.1 599 \r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"},
	} {
		got, err := AppendReject([]byte("before"), c.status, c.extra, []byte(c.body))
		if err != nil || string(got) != "before"+c.want {
			t.Errorf("%d: got %q, %v, expected %q", c.status, got, err, c.want)
		}
		readAnswer(t, got[len("before"):])
		p := NewResponseParser()
		done, rest, err := p.Feed(got[len("before"):])
		if !done || string(rest) != c.body || err != nil || p.Response().Status != c.status || p.Response().Reason != reasons[c.status] {
			t.Errorf("%d: read back %v, %q, %v", c.status, done, rest, err)
		}
	}
	for _, c := range []struct {
		status int
		extra  Header
		body   string
		rule   *Rule
		says   string
	}{
		{101, nil, "", ErrStatus, "101"},
		{199, nil, "", ErrStatus, "199"},
		{600, nil, "", ErrStatus, "600"},
		{204, nil, "x", ErrStatus, "204 with 1 octets"},
		{205, nil, "x", ErrStatus, "205"},
		{304, nil, "x", ErrStatus, "304"},
		{400, Header{{"A\n", "b"}}, "", ErrFieldName, `"A\n"`},
		{400, Header{{"A", "b\r\nC: d"}}, "", ErrFieldValue, "0x0d"},
		{400, Header{{"Content-Length", "1"}}, "", ErrOwnField, `"1", expected "0"`},
		{400, Header{{"Connection", "keep-alive"}}, "", ErrOwnField, "keep-alive"},
		{400, Header{{"transfer-encoding", "chunked"}}, "", ErrOwnField, "transfer-encoding"},
	} {
		got, err := AppendReject([]byte("before"), c.status, c.extra, []byte(c.body))
		if string(got) != "before" || !errors.Is(err, c.rule) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%d: got %q, %v, expected %v with %s", c.status, got, err, c.rule, c.says)
		}
	}
}

func TestReasonsAreTheRegistrys(t *testing.T) {
	for status := 200; status < 600; status++ {
		want := http.StatusText(status)
		switch status { // renamed by RFC 9110; net/http keeps the old names
		case 413:
			want = "Content Too Large"
		case 414:
			want = "URI Too Long"
		case 416:
			want = "Range Not Satisfiable"
		case 422:
			want = "Unprocessable Content"
		case 418: // reserved as unused
			want = ""
		}
		if reasons[status] != want {
			t.Errorf("%d: %q, expected %q", status, reasons[status], want)
		}
	}
}
