package handshake

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
)

const sampleKey = "dGhlIHNhbXBsZSBub25jZQ=="

func TestBuildRefuses(t *testing.T) {
	raw := []string{"GET / HTTP/1.1", "Host: h", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: " + sampleKey, "Sec-WebSocket-Version: 13"}
	without := func(name string) []string {
		return slices.DeleteFunc(slices.Clone(raw), func(s string) bool { return strings.HasPrefix(s, name+":") })
	}
	with := func(lines ...string) []string { return append(slices.Clone(raw), lines...) }
	first := func(line string) []string { return append([]string{line}, raw[1:]...) }
	on := func(fields ...Field) Request { return Request{Target: "/", Host: "h", Headers: fields} }
	for name, c := range map[string]struct {
		request Request
		rule    *Rule
		says    string
	}{
		"target empty":             {Request{Host: "h"}, ErrTarget, `""`},
		"target without slash":     {Request{Host: "h", Target: "chat"}, ErrTarget, `"chat"`},
		"target with space":        {Request{Host: "h", Target: "/a b"}, ErrTarget, `"/a b"`},
		"target with CRLF":         {Request{Host: "h", Target: "/\r\nX: y"}, ErrTarget, `"/\r\nX: y"`},
		"target with fragment":     {Request{Host: "h", Target: "/#a"}, ErrTarget, `"/#a"`},
		"target not ASCII":         {Request{Host: "h", Target: "/ü"}, ErrTarget, ``},
		"host empty":               {Request{Target: "/"}, ErrHost, `""`},
		"host with LF":             {Request{Target: "/", Host: "h\nX: y"}, ErrFieldValue, `Host`},
		"host with slash":          {Request{Target: "/", Host: "h/x"}, ErrHost, `"h/x"`},
		"host with space":          {Request{Target: "/", Host: "h x"}, ErrHost, `"h x"`},
		"host with userinfo":       {Request{Target: "/", Host: "u@h"}, ErrHost, `"u@h"`},
		"origin with CR":           {Request{Target: "/", Host: "h", Origin: "http://a\r"}, ErrFieldValue, `Origin`},
		"user agent with NUL":      {Request{Target: "/", Host: "h", UserAgent: "a\x00"}, ErrFieldValue, `User-Agent`},
		"extensions with LF":       {Request{Target: "/", Host: "h", Extensions: "a\n"}, ErrFieldValue, `Sec-WebSocket-Extensions`},
		"extensions malformed":     {Request{Target: "/", Host: "h", Extensions: "a b"}, ErrExtension, `"a b"`},
		"subprotocol with comma":   {Request{Target: "/", Host: "h", Subprotocols: []string{"a,b"}}, ErrSubprotocol, `"a,b"`},
		"subprotocol empty":        {Request{Target: "/", Host: "h", Subprotocols: []string{"a", ""}}, ErrSubprotocol, `""`},
		"subprotocol twice":        {Request{Target: "/", Host: "h", Subprotocols: []string{"a", "b", "a"}}, ErrSubprotocol, `"a" is offered twice`},
		"user with colon":          {Request{Target: "/", Host: "h", HasBasic: true, BasicUser: "a:b", BasicPassword: "secret"}, ErrCredentials, `"a:b"`},
		"user starts with colon":   {Request{Target: "/", Host: "h", HasBasic: true, BasicUser: ":", BasicPassword: "secret"}, ErrCredentials, `":"`},
		"user starts with NUL":     {Request{Target: "/", Host: "h", HasBasic: true, BasicUser: "\x00"}, ErrCredentials, `user name holds octet 0x00`},
		"user with LF":             {Request{Target: "/", Host: "h", HasBasic: true, BasicUser: "a\n", BasicPassword: "secret"}, ErrCredentials, `user name holds octet 0x0a`},
		"password with NUL":        {Request{Target: "/", Host: "h", HasBasic: true, BasicUser: "a", BasicPassword: "secret\x00"}, ErrCredentials, `password holds octet 0x00`},
		"name with colon":          {on(Field{"A:", "b"}), ErrFieldName, `"A:"`},
		"name with CRLF":           {on(Field{"A\r\nB", "b"}), ErrFieldName, `"A\r\nB"`},
		"name empty":               {on(Field{"", "b"}), ErrFieldName, `""`},
		"value with CR":            {on(Field{"A", "b\rc"}), ErrFieldValue, `"b\rc"`},
		"value with LF":            {on(Field{"A", "b\nc"}), ErrFieldValue, `"b\nc"`},
		"value with NUL":           {on(Field{"A", "b\x00"}), ErrFieldValue, `0x00`},
		"own host twice":           {on(Field{"Host", "a"}, Field{"host", "a"}), ErrRepeated, `Host appears 2 times`},
		"own host invalid":         {on(Field{"Host", "a b"}), ErrHost, `"a b"`},
		"own key twice":            {on(Field{"Sec-WebSocket-Key", sampleKey}, Field{"Sec-WebSocket-Key", sampleKey}), ErrRepeated, `Sec-WebSocket-Key`},
		"own key short":            {on(Field{"Sec-WebSocket-Key", "YWJj"}), ErrKey, `"YWJj"`},
		"own key empty":            {on(Field{"Sec-WebSocket-Key", ""}), ErrKey, `""`},
		"own version 8":            {on(Field{"Sec-WebSocket-Version", "8"}), ErrVersion, `"8"`},
		"own version twice":        {on(Field{"Sec-WebSocket-Version", "13"}, Field{"Sec-WebSocket-Version", "13"}), ErrRepeated, `Sec-WebSocket-Version`},
		"own origin twice":         {on(Field{"Origin", "a"}, Field{"Origin", "b"}), ErrRepeated, `Origin`},
		"own user agent twice":     {on(Field{"User-Agent", "a"}, Field{"User-Agent", "b"}), ErrRepeated, `User-Agent`},
		"own authorization twice":  {on(Field{"Authorization", "secret"}, Field{"Authorization", "secret"}), ErrRepeated, `Authorization`},
		"own upgrade":              {on(Field{"Upgrade", "h2c"}), ErrUpgrade, `"h2c"`},
		"own connection":           {on(Field{"Connection", "close"}), ErrConnection, `"close"`},
		"own extensions malformed": {on(Field{"Sec-WebSocket-Extensions", ";"}), ErrExtension, `";"`},
		"own subprotocol no token": {on(Field{"Sec-WebSocket-Protocol", "a, b c"}), ErrSubprotocol, `"b c"`},
		"own subprotocol twice":    {on(Field{"Sec-WebSocket-Protocol", "a"}, Field{"Sec-WebSocket-Protocol", "a"}), ErrSubprotocol, `"a"`},
		"content length":           {on(Field{"Content-Length", "5"}), ErrBody, `"5"`},
		"transfer encoding":        {on(Field{"transfer-encoding", "chunked"}), ErrBody, `"chunked"`},

		"raw empty":                     {Request{Raw: []string{}}, ErrRawLine, `list is empty`},
		"raw of line ends":              {Request{Raw: []string{"", "\r\n"}}, ErrRawLine, `list is empty`},
		"raw without Upgrade":           {Request{Raw: without("Upgrade")}, ErrMissingField, `: Upgrade (`},
		"raw without Connection":        {Request{Raw: without("Connection")}, ErrMissingField, `: Connection (`},
		"raw without key":               {Request{Raw: without("Sec-WebSocket-Key")}, ErrMissingField, `: Sec-WebSocket-Key (`},
		"raw without version":           {Request{Raw: without("Sec-WebSocket-Version")}, ErrMissingField, `: Sec-WebSocket-Version (`},
		"raw with empty key":            {Request{Raw: append(without("Sec-WebSocket-Key"), "Sec-WebSocket-Key:")}, ErrKey, `""`},
		"raw without Host, none at all": {Request{Raw: without("Host")}, ErrHost, `""`},
		"raw without Host, bad one":     {Request{Raw: without("Host"), Host: "a\r\nB: c"}, ErrHost, `"a\r\nB: c"`},
		"raw with another version":      {Request{Raw: append(without("Sec-WebSocket-Version"), "Sec-WebSocket-Version: 12")}, ErrVersion, `"12"`},
		"raw with two hosts":            {Request{Raw: with("host: h")}, ErrRepeated, `Host`},
		"raw with LF":                   {Request{Raw: with("A: b\nC: d")}, ErrRawLine, `line 7 holds octet 0x0a at index 4, "A", " b\nC: d"`},
		"raw starts with LF":            {Request{Raw: with("\nA: b")}, ErrRawLine, `index 0`},
		"raw with CR":                   {Request{Raw: with("A: b\r")}, ErrRawLine, `0x0d`},
		"raw with CRLF at the end":      {Request{Raw: with("A: b\r\n")}, ErrRawLine, `0x0d`},
		"raw with NUL":                  {Request{Raw: with("A: b\x00")}, ErrRawLine, `0x00`},
		"raw with LF in the first line": {Request{Raw: first("GET / HTTP/1.1\n")}, ErrRawLine, `line 1`},
		"raw with LF in a secret":       {Request{Raw: with("Authorization: secret\n")}, ErrRawLine, `at index 21, "Authorization"`},
		"raw with an empty line":        {Request{Raw: with("", "A: b")}, ErrRawLine, `line 7 is empty`},
		"raw with a line end inside":    {Request{Raw: with("\r\n", "A: b")}, ErrRawLine, `line 7 holds octet 0x0d`},
		"raw without colon":             {Request{Raw: with("A b")}, ErrFieldName, `line 7, "A b"`},
		"raw with space before colon":   {Request{Raw: with("A : b")}, ErrFieldName, `"A "`},
		"raw with a folded line":        {Request{Raw: with(" A: b")}, ErrFieldName, `" A"`},
		"raw method":                    {Request{Raw: first("POST / HTTP/1.1")}, ErrMethod, `POST`},
		"raw without request line":      {Request{Raw: raw[1:]}, ErrMethod, `"Host: h"`},
		"raw without target":            {Request{Raw: first("GET  HTTP/1.1")}, ErrRequestLine, `GET  HTTP`},
		"raw HTTP/1.0":                  {Request{Raw: first("GET / HTTP/1.0")}, ErrHTTPVersion, `HTTP/1.0`},
		"raw with more in the line":     {Request{Raw: first("GET / HTTP/1.1 x")}, ErrHTTPVersion, `HTTP/1.1 x`},
	} {
		t.Run(name, func(t *testing.T) {
			built, err := c.request.Build()
			if built != nil || !errors.Is(err, c.rule) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, %v, expected %v with %s", built, err, c.rule, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%v shows a secret", err)
			}
		})
	}
}

// The list of an application, as its end may be written; both forms stand in programs of today.
func TestRawEnd(t *testing.T) {
	lines := []string{"GET / HTTP/1.1", "Host: h", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: " + sampleKey, "Sec-WebSocket-Version: 13"}
	want := strings.Join(lines, "\r\n") + "\r\n\r\n"
	for _, end := range [][]string{nil, {""}, {"\r\n"}, {"", ""}, {"\r\n", ""}} {
		raw := append(slices.Clone(lines), end...)
		built, err := (&Request{Raw: raw}).Build()
		if err != nil || string(built.Bytes) != want || built.AddedHost {
			t.Errorf("%q: got %v, %v", end, built, err)
		}
	}
}

func TestAddedHostStandsFirst(t *testing.T) {
	raw := []string{"GET / HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: " + sampleKey, "Sec-WebSocket-Version: 13"}
	built, err := (&Request{Raw: raw, Host: "h:1"}).Build()
	if err != nil || !built.AddedHost || built.Header[0] != (Field{"Host", "h:1"}) || !strings.HasPrefix(string(built.Bytes), "GET / HTTP/1.1\r\nHost: h:1\r\nUpgrade:") {
		t.Errorf("got %+v, %v", built, err)
	}
	built, err = (&Request{Raw: raw, Host: "h:1", Headers: Header{{"host", "other"}}}).Build()
	if err != nil || built.AddedHost || len(built.Header.Values("Host")) != 1 || built.Header.Get("Host") != "other" {
		t.Errorf("with a Host of the user's: got %+v, %v", built, err)
	}
}

func TestBuildLeavesItsInputAlone(t *testing.T) {
	r := Request{Target: "/", Host: "h", Headers: Header{{"Origin", "o"}, {"Upgrade", "websocket"}}, Subprotocols: []string{"b", "a"}}
	headers, subprotocols := slices.Clone(r.Headers), slices.Clone(r.Subprotocols)
	if _, err := r.Build(); err != nil {
		t.Fatal(err)
	}
	if !sameHeader(r.Headers, headers) || !slices.Equal(r.Subprotocols, subprotocols) {
		t.Errorf("changed to %+v", r)
	}
}

func TestKeysAreFresh(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		built, err := (&Request{Target: "/", Host: "h"}).Build()
		if err != nil {
			t.Fatal(err)
		}
		nonce, err := base64.StdEncoding.Strict().DecodeString(built.Key)
		if err != nil || len(nonce) != 16 || seen[built.Key] || built.Header.Get("Sec-WebSocket-Key") != built.Key {
			t.Fatalf("key %q: %v", built.Key, err)
		}
		seen[built.Key] = true
	}
}

func TestDefaultsLeaveOptionalFieldsOut(t *testing.T) {
	built, err := (&Request{Target: "/", Host: "[::1]:80"}).Build()
	if err != nil {
		t.Fatal(err)
	}
	want := "GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: " + built.Key + "\r\nSec-WebSocket-Version: 13\r\n\r\n"
	if string(built.Bytes) != want || built.Subprotocols != nil || built.Extensions != "" {
		t.Errorf("got %+v, expected %q", built, want)
	}
	built, err = (&Request{Target: "/", Host: "h", HasBasic: true}).Build()
	if err != nil || built.Header.Get("Authorization") != "Basic Og==" {
		t.Errorf("empty user and password: %v, %v", built, err)
	}
}
