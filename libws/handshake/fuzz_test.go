package handshake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// splitFeed feeds data in pieces whose sizes follow from sizes, and compares
// the outcome with that of one piece.
func splitFeed(t *testing.T, whole, split *Parser, data, sizes []byte) (rest []byte, done bool, err error) {
	done, rest, err = whole.Feed(data)
	left, tail, splitDone, splitErr := data, []byte(nil), false, error(nil)
	for i := 0; len(left) > 0 && splitErr == nil; i++ {
		n := 1
		if len(sizes) > 0 {
			n += int(sizes[i%len(sizes)])
		}
		n = min(n, len(left))
		var piece []byte
		splitDone, piece, splitErr = split.Feed(left[:n])
		tail, left = append(tail, piece...), left[n:]
	}
	if done != splitDone || (err == nil) != (splitErr == nil) || err != nil && err.Error() != splitErr.Error() {
		t.Fatalf("whole: %v, %v; in pieces: %v, %v", done, err, splitDone, splitErr)
	}
	if err == nil && !bytes.Equal(rest, tail) {
		t.Fatalf("rest is %q, in pieces %q", rest, tail)
	}
	return rest, done, err
}

// checkHead compares with the naive reader, who knows no limit of octets.
func checkHead(t *testing.T, data []byte, request, done bool, err error, header func() Header, rest []byte) (want naiveHead, complete bool) {
	t.Helper()
	if len(data) > MaxLine {
		return want, false
	}
	want = readNaive(string(data), request)
	state := "more"
	if err != nil {
		state = ruleName(err)
	} else if done {
		state = "head"
	}
	if state != want.state {
		t.Fatalf("%q: %s, %v, expected %s", data, state, err, want.state)
	}
	if state != "head" {
		return want, false
	}
	var fields Header
	for _, f := range want.fields {
		fields = fields.Add(f[0], f[1])
	}
	if !sameHeader(header(), fields) || string(rest) != want.rest {
		t.Fatalf("%q: got %q, rest %q, expected %q, %q", data, header(), rest, fields, want.rest)
	}
	return want, true
}

// checkRules compares what was refused with the rules that are broken.
func checkRules(t *testing.T, what []byte, got string, broken []string) {
	t.Helper()
	if (got == "none") != (len(broken) == 0) || got != "none" && !slices.Contains(broken, got) {
		t.Fatalf("%q: got %s, expected one of %q", what, got, broken)
	}
}

// sameFields compares with what net/textproto reads from the field lines and the blank line.
func sameFields(t *testing.T, h Header, block []byte) {
	want, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(block))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("net/textproto refuses %q: %v", block, err)
	}
	got := textproto.MIMEHeader{}
	for _, f := range h {
		got.Add(f.Name, f.Value)
	}
	if len(got) != len(want) {
		t.Fatalf("got %q, net/textproto %q", got, want)
	}
	for name, values := range want {
		if !slices.Equal(got[name], values) {
			t.Fatalf("%s: got %q, net/textproto %q", name, got[name], values)
		}
	}
}

// isPlain reports that net/http reads the head without looking into the fields
// that it interprets itself.
func isPlain(h Header) bool {
	for _, name := range []string{"Transfer-Encoding", "Content-Length", "Trailer"} {
		if h.Has(name) {
			return false
		}
	}
	return true
}

func FuzzRequest(f *testing.F) {
	for _, v := range vectorsIn(f, "request.txt") {
		f.Add([]byte(v.sent), []byte{3})
	}
	f.Add([]byte("GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "+sampleKey+"\r\nSec-WebSocket-Version: 13\r\n\r\n\x81\x00"), []byte{3})
	f.Add([]byte("GET http://h/a HTTP/1.1\r\nHost:h\r\nA:\t\r\nA: b\r\n\r\n"), []byte{0, 7})
	f.Add([]byte("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"), []byte{1})
	f.Add([]byte("GET / HTTP/1.1\nA: b\n\n"), []byte{})
	for _, long := range []string{
		"GET /" + strings.Repeat("a", MaxLine), "GET / HTTP/1.1\r\n" + strings.Repeat("a", MaxFieldLen+1),
		"GET / HTTP/1.1\r\n" + strings.Repeat("a:\r\n", MaxFields+1), "GET / HTTP/1.1\r\n" + strings.Repeat("a:"+strings.Repeat("b", 1000)+"\r\n", 70),
	} {
		f.Add([]byte(long), []byte{255})
	}
	f.Fuzz(func(t *testing.T, data, sizes []byte) {
		p, q := NewRequestParser(), NewRequestParser()
		rest, done, err := splitFeed(t, p, q, data, sizes)
		naive, complete := checkHead(t, data, true, done, err, func() Header { return p.Request().Header }, rest)
		if err != nil || !done {
			if p.Request() != nil || p.Response() != nil {
				t.Fatalf("%q: a request without a head", data)
			}
			if _, _, again := p.Feed([]byte("x")); err != nil && again != err {
				t.Fatalf("%q: got %v, then %v", data, err, again)
			}
			return
		}
		r := p.Request()
		head := data[:len(data)-len(rest)]
		if !sameHeader(r.Header, q.Request().Header) {
			t.Fatalf("got %q, in pieces %q", r.Header, q.Request().Header)
		}
		sameFields(t, r.Header, head[bytes.Index(head, []byte("\r\n"))+2:])
		if complete {
			rejected := r.CheckUpgrade()
			outcome := "none"
			if rejected != nil {
				outcome = ruleName(rejected)
			}
			checkRules(t, data, outcome, naive.brokenRequest())
			if rejected == nil {
				checkAnswer(t, r)
			}
		}
		_, err = url.ParseRequestURI(r.Target)
		if err != nil || len(r.Header.Values("Host")) > 1 || !isPlain(r.Header) || r.Method == "CONNECT" || r.Method == "PRI" {
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", head, err)
		}
		if want.Method != r.Method || want.RequestURI != r.Target || want.Proto != r.Proto {
			t.Fatalf("got %+v, net/http %+v", r, want)
		}
		if r.Target[0] == '/' && want.Host != r.Header.Get("Host") {
			t.Fatalf("host %q, net/http %q", r.Header.Get("Host"), want.Host)
		}
	})
}

// checkAnswer answers a request that may be accepted, and reads the answer as its client.
func checkAnswer(t *testing.T, r *ServerRequest) {
	t.Helper()
	subprotocol := ""
	if len(r.Subprotocols) > 0 {
		subprotocol = r.Subprotocols[0]
	}
	answer, err := r.AppendAccept(nil, subprotocol, join(r.Extensions), nil)
	if err != nil {
		t.Fatal(err)
	}
	naive := readNaive(string(answer), false)
	if naive.state != "head" || naive.rest != "" {
		t.Fatalf("answered %q", answer)
	}
	if broken := naive.brokenResponse(r.Key, r.Subprotocols, join(r.Extensions)); len(broken) > 0 {
		t.Fatalf("answered %q, which breaks %q", answer, broken)
	}
}

func FuzzResponse(f *testing.F) {
	for _, v := range vectorsIn(f, "response.txt") {
		f.Add([]byte(v.back), []byte{3}, v.get("key"), join(v.keys["offer"]), v.get("offer-extensions"))
	}
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+Accept(sampleKey)+"\r\n\r\n\x81\x00"), []byte{3}, sampleKey, "", "")
	f.Add([]byte("HTTP/1.1 100 \r\nA: b\r\n\r\nHTTP/1.0 404\r\nC:d\r\n\r\nbody"), []byte{0, 7}, "", "", "")
	f.Add([]byte("HTTP/1.1 100 \r\n"+strings.Repeat("a:\r\n", MaxFields)+"\r\nHTTP/1.1 404\r\n"+strings.Repeat("a:\r\n", MaxFields+1)), []byte{9}, "", "", "")
	f.Fuzz(func(t *testing.T, data, sizes []byte, key, offered, extensions string) {
		p, q := NewResponseParser(), NewResponseParser()
		rest, done, err := splitFeed(t, p, q, data, sizes)
		naive, complete := checkHead(t, data, false, done, err, func() Header { return p.Response().Header }, rest)
		if err != nil || !done {
			if p.Request() != nil || p.Response() != nil {
				t.Fatalf("%q: a response without a head", data)
			}
			return
		}
		r := p.Response()
		head := data[:len(data)-len(rest)]
		if complete && (extensions == "" || naiveExtensions.MatchString(extensions)) {
			built := &Built{Key: key, Extensions: extensions}
			if offered != "" {
				built.Subprotocols = strings.Split(offered, ", ")
			}
			subprotocol, chosen, err := CheckResponse(r, built)
			outcome := ruleName(err)
			var refused *StatusError
			if errors.As(err, &refused) {
				outcome = "status"
				if text := refused.Error(); !strings.HasPrefix(text, "server answered "+naive.start[2]) || len(text) > 400 {
					t.Fatalf("%q: %s", data, text)
				}
			}
			checkRules(t, data, outcome, naive.brokenResponse(key, built.Subprotocols, extensions))
			if err == nil && (strings.Join(naive.values("Sec-WebSocket-Protocol"), "") != subprotocol || join(naive.list("Sec-WebSocket-Extensions")) != chosen) {
				t.Fatalf("%q: got %q, %q", data, subprotocol, chosen)
			}
		}
		for { // interim responses
			end := bytes.Index(head, []byte("\r\n\r\n")) + 4
			if end == len(head) {
				break
			}
			if head[9] != '1' || string(head[9:12]) == "101" {
				t.Fatalf("passed over %q", head[:end])
			}
			head = head[end:]
		}
		sameFields(t, r.Header, head[bytes.Index(head, []byte("\r\n"))+2:])
		if !isPlain(r.Header) {
			return
		}
		want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", head, err)
		}
		if want.StatusCode != r.Status || want.Proto != r.Proto || strings.TrimLeft(want.Status[3:], " ") != strings.TrimLeft(r.Reason, " ") {
			t.Fatalf("got %+v, net/http %+v", r, want)
		}
	})
}

// FuzzBuild: whatever the parts are, what is built is one request and nothing
// else, any server reads in it what Built says, and the two sides of this package agree.
func FuzzBuild(f *testing.F) {
	f.Add("/a?b", "h:80", "http://h", "aiows", "chat, superchat", "x-a; b=c", "u", "p", "X-A", "b", "", "")
	f.Add("/\r\nX: y", "h\r\n", "\n", "\x00", "a,b", "x\r\n", "u:v", "\n", "Sec-WebSocket-Key", sampleKey, "Host", "a")
	f.Add("/", "h", "", "", "", "", "", "", "Sec-WebSocket-Protocol", "a", "upgrade", "websocket, x")
	// Each has one thing that cannot be sent.
	f.Add("a", "h", "", "", "", "", "", "", "", "", "", "")
	f.Add("/", "h/", "", "", "", "", "", "", "", "", "", "")
	f.Add("/", "h", "\n", "", "", "", "", "", "", "", "", "")
	f.Add("/", "h", "", "", "a b", "", "", "", "", "", "", "")
	f.Add("/", "h", "", "", "a, a", "", "", "", "", "", "", "")
	f.Add("/", "h", "", "", "", "x;", "", "", "", "", "", "")
	f.Add("/", "h", "", "", "", "", "u:", "p", "", "", "", "")
	f.Add("/", "h", "", "", "", "", "u", "\x00", "", "", "", "")
	for _, field := range []Field{
		{"a b", "c"}, {"Cookie", "\n"}, {"Upgrade", "h2c"}, {"Connection", "close"}, {"Sec-WebSocket-Version", "12"},
		{"Sec-WebSocket-Key", "k"}, {"Content-Length", "1"}, {"Transfer-Encoding", "chunked"}, {"Sec-WebSocket-Protocol", "a b"},
		{"X", strings.Repeat("\n", 70)},
	} {
		f.Add("/", "h", "", "", "", "", "", "", field.Name, field.Value, "", "")
	}
	f.Add("/", "h", "", "", "", "", "", "", "Origin", "a", "origin", "b")
	f.Fuzz(func(t *testing.T, target, host, origin, agent, subprotocols, extensions, user, password, name1, value1, name2, value2 string) {
		r := &Request{Target: target, Host: host, Origin: origin, UserAgent: agent, Extensions: extensions,
			HasBasic: user != "", BasicUser: user, BasicPassword: password}
		if subprotocols != "" {
			r.Subprotocols = strings.Split(subprotocols, ", ")
		}
		for _, field := range []Field{{name1, value1}, {name2, value2}} {
			if field.Name != "" {
				r.Headers = append(r.Headers, field)
			}
		}
		built, err := r.Build()
		if err != nil {
			return
		}
		checkBuilt(t, built, r, true)
	})
}

// FuzzRaw does the same for raw lines, split where the fuzzer put a line feed, so that none holds one.
func FuzzRaw(f *testing.F) {
	f.Add("GET / HTTP/1.1\nConnection: Upgrade\nSec-WebSocket-Key: "+sampleKey+"\nSec-WebSocket-Version: 13\nUpgrade: websocket", "h", "X", "y")
	f.Add("GET / HTTP/1.1\nHost: h\nConnection: Upgrade\nSec-WebSocket-Key: k\nSec-WebSocket-Version:13\nUpgrade: websocket\n\r\n", "", "", "")
	for _, text := range []string{
		"", "\n", "POST / HTTP/1.1", "GET  HTTP/1.1", "GET / HTTP/1.0", "GET / HTTP/1.1\na b: c", "GET / HTTP/1.1\n\na: b",
		"GET / HTTP/1.1\na: \x00", "GET / HTTP/1.1\ncookie: \x00", "GET / HTTP/1.1\na: b",
	} {
		f.Add(text, "h", "", "")
	}
	for _, v := range vectorsIn(f, "build.txt") {
		if len(v.keys["raw"]) > 0 {
			f.Add(strings.Join(v.keys["raw"], "\n"), v.get("host"), "", "")
		}
	}
	f.Fuzz(func(t *testing.T, text, host, name, value string) {
		r := &Request{Host: host, Raw: strings.Split(text, "\n")}
		if name != "" {
			r.Headers = Header{{name, value}}
		}
		built, err := r.Build()
		if err != nil {
			return
		}
		if len(r.Headers) == 0 && !built.AddedHost {
			want := strings.Join(r.Raw, "\r\n")
			for strings.HasSuffix(want, "\r\n") {
				want = strings.TrimSuffix(want, "\r\n")
			}
			if string(built.Bytes) != want+"\r\n\r\n" {
				t.Fatalf("got %q, expected %q", built.Bytes, want)
			}
		}
		checkBuilt(t, built, r, false)
	})
}

func checkBuilt(t *testing.T, built *Built, r *Request, strictKey bool) {
	if len(built.Bytes) > MaxFieldLen { // the parser's limits bind what is read, not what is sent
		return
	}
	p := NewRequestParser()
	done, rest, err := p.Feed(built.Bytes)
	if err != nil || !done || len(rest) != 0 {
		t.Fatalf("%v, %q, %v: %q", done, rest, err, built.Bytes)
	}
	request := p.Request()
	if !sameHeader(request.Header, trimmed(built.Header)) {
		t.Fatalf("sent %q, read %q", built.Header, request.Header)
	}
	for _, f := range r.Headers {
		if !slices.Contains(request.Header, Field{f.Name, trimSpace(f.Value)}) {
			t.Fatalf("field %q is not in %q", f, request.Header)
		}
	}
	rejected := request.CheckUpgrade()
	if rejected != nil {
		if !strictKey && (ruleName(rejected) == "key" || ruleName(rejected) == "target") { // raw lines are the caller's
			return
		}
		t.Fatalf("%v: %q", rejected, built.Bytes)
	}
	if request.Key != built.Key || !slices.Equal(request.Subprotocols, built.Subprotocols) || join(request.Extensions) != built.Extensions {
		t.Fatalf("built %+v, read %+v", built, request)
	}
	chosen := ""
	if len(request.Subprotocols) > 0 {
		chosen = request.Subprotocols[len(request.Subprotocols)-1]
	}
	answer, err := request.AppendAccept(nil, chosen, built.Extensions, nil)
	if err != nil {
		t.Fatal(err)
	}
	response := NewResponseParser()
	if done, rest, err := response.Feed(answer); err != nil || !done || len(rest) != 0 {
		t.Fatal(done, rest, err)
	}
	subprotocol, extensions, err := CheckResponse(response.Response(), built)
	if err != nil || subprotocol != chosen || extensions != built.Extensions {
		t.Fatalf("got %q, %q, %v", subprotocol, extensions, err)
	}
}

// FuzzAnswer: whatever a server's application gives, its answer is one head with exactly its fields.
func FuzzAnswer(f *testing.F) {
	f.Add(403, "a", "x-a", "X", "y", []byte("body"))
	f.Add(200, "a\r\n", "x-a\r\n", "X\r\n", "y\r\n\r\n", []byte{})
	f.Add(204, "c", "x-c", "Connection", "close", []byte{})
	f.Add(204, "", ",", "Connection", "keep-alive", []byte("x"))
	f.Add(404, "", "x-a", "Content-Length", "2", []byte("x"))
	f.Add(599, "", "x-a;", "Upgrade", "websocket", []byte("x"))
	f.Add(426, "", "", "Transfer-Encoding", "chunked", []byte("x"))
	f.Add(404, "", "x-c", "Content-Length", "1", []byte("x"))
	f.Add(404, "", "x-c", "X", "y", []byte("x"))
	f.Fuzz(func(t *testing.T, status int, subprotocol, extensions, name, value string, body []byte) {
		r := good()
		if rejected := r.CheckUpgrade(); rejected != nil {
			t.Fatal(rejected)
		}
		extra := Header{{name, value}}
		if extra.Has("Trailer") { // net/http interprets it
			return
		}
		if answer, err := r.AppendAccept(nil, subprotocol, extensions, extra); err == nil && len(answer) < MaxFieldLen {
			want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
			if err != nil {
				t.Fatalf("net/http refuses %q: %v", answer, err)
			}
			if want.StatusCode != 101 || want.Header.Get("Sec-WebSocket-Protocol") != subprotocol ||
				want.Header.Get("Sec-WebSocket-Extensions") != trimSpace(extensions) || bytes.Count(answer, []byte("\r\n\r\n")) != 1 {
				t.Fatalf("wrote %q", answer)
			}
		}
		if answer, err := AppendReject(nil, status, extra, body); err == nil && len(answer)-len(body) < MaxFieldLen {
			p := NewResponseParser()
			done, rest, err := p.Feed(answer)
			if !done || err != nil || !bytes.Equal(rest, body) || p.Response().Status != status {
				t.Fatalf("%v, %q, %v: %q", done, rest, err, answer)
			}
			want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
			if err != nil {
				t.Fatalf("net/http refuses %q: %v", answer, err)
			}
			if got, err := io.ReadAll(want.Body); err != nil || !bytes.Equal(got, body) {
				t.Fatalf("net/http reads body %q, %v", got, err)
			}
		}
	})
}

// extensionGrammar is RFC 6455 section 9.1 as a regular expression, with the implied white space.
var extensionGrammar = func() *regexp.Regexp {
	const (
		ows       = "[ \t]*"
		token     = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
		octet     = "[!#$%&'*+.^_`|~0-9A-Za-z-]"
		quoted    = `"(?:\\?` + octet + `)+"`
		parameter = token + "(?:" + ows + "=" + ows + "(?:" + token + "|" + quoted + "))?"
		extension = token + "(?:" + ows + ";" + ows + parameter + ")*"
		element   = ows + "(?:" + extension + ")?" + ows
	)
	return regexp.MustCompile("^" + element + "(?:," + element + ")*$")
}()

// naiveExtension takes an element of the grammar apart.
func naiveExtension(element string) (e Extension) {
	parameter := regexp.MustCompile("[ \t]*;[ \t]*([^ \t=;]+)([ \t]*=[ \t]*(\"?)([^ \t;]*))?")
	for i, found := range parameter.FindAllStringSubmatch(";"+element, -1) {
		if i == 0 {
			e.Name = found[1]
			continue
		}
		value := strings.TrimSuffix(found[4], found[3])
		e.Parameters = append(e.Parameters, Parameter{found[1], regexp.MustCompile(`\\(.)`).ReplaceAllString(value, "$1"), found[2] != ""})
	}
	return e
}

func FuzzExtensions(f *testing.F) {
	for _, s := range []string{"", ",", "a", "a,", "a;b", "a ; b = c , d", `a; b="c"`, `a; b="c\d"`, `a;b=""`, `a;b="c,d"`, `a;b="\`, `a;b="c`, "a;", "a;;b", ";a", ";a=b", "=a", "a b", "a;b=", "a;=b", `a;b="c"d`, "\ta\t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		elements, ok := splitExtensions(s)
		if want := extensionGrammar.MatchString(s) && !strings.Contains(s, "\n"); ok != want {
			t.Fatalf("%q: got %v, expected %v", s, ok, want)
		}
		if !ok {
			return
		}
		var want []string // no element holds a comma: what is quoted is a token
		for element := range strings.SplitSeq(s, ",") {
			if element = trimSpace(element); element != "" {
				want = append(want, element)
			}
		}
		if !slices.Equal(elements, want) {
			t.Fatalf("%q: got %q, expected %q", s, elements, want)
		}
		list, ok := ParseExtensions(s)
		if !ok || len(list) != len(elements) {
			t.Fatalf("%q: parsed %q, expected %d", s, list, len(elements))
		}
		for i, element := range elements {
			if extensionName(element) != list[i].Name {
				t.Fatalf("%q: names %q and %q", element, extensionName(element), list[i].Name)
			}
			if got, want := fmt.Sprintf("%#v", list[i]), fmt.Sprintf("%#v", naiveExtension(element)); got != want {
				t.Fatalf("%q: parsed %s, expected %s", element, got, want)
			}
		}
	})
}
