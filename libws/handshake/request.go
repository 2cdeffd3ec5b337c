package handshake

import (
	"encoding/base64"
	"strings"
)

// Request describes the handshake that a client sends.
type Request struct {
	Target       string   // path and query, as in "/chat?room=1"
	Host         string   // value of the Host field
	Origin       string   // "" leaves the field out
	UserAgent    string   // "" leaves the field out
	Subprotocols []string // in order of preference
	Extensions   string   // value of Sec-WebSocket-Extensions, "" leaves the field out

	BasicUser, BasicPassword string // sent as Authorization when HasBasic is true
	HasBasic                 bool

	// Headers win over every default of the same name. Their order is kept: the
	// first of them that has a default takes its place, later ones do unless that
	// would be before an earlier one, and what has none stays behind its
	// neighbour, at the end after the last. Over Raw they win too, each in the
	// place of its line; the others follow.
	Headers Header

	// Raw, when not nil, is the request line by line, the request line first,
	// without line ends. It is sent as it is; of the other members only Host
	// (when no line has one) and Headers are used. "" and "\r\n" are taken as
	// the end of the list.
	Raw []string
}

// Built is a request ready to be sent.
type Built struct {
	Bytes        []byte
	Key          string   // value of Sec-WebSocket-Key
	Subprotocols []string // what is offered, also when it came from Headers or Raw
	Extensions   string   // what is offered, "" for none
	AddedHost    bool     // Raw had no Host field, Request.Host was added
	Header       Header   // the fields as sent
}

// line is a field and the octets that are sent for it.
type line struct {
	Field
	text string
}

func newLine(f Field) line { return line{f, f.Name + ": " + f.Value} }

// Build checks the request and puts it into bytes, with a fresh key from
// crypto/rand unless the caller gave one. Errors are [*Error] values and never show a password.
func (r *Request) Build() (*Built, error) {
	for _, f := range r.Headers {
		if err := CheckField(f.Name, f.Value); err != nil {
			return nil, err
		}
	}
	start, lines, err := r.lines()
	if err != nil {
		return nil, err
	}
	if r.Raw != nil {
		lines = overlay(lines, r.Headers)
	} else {
		lines = weave(lines, r.Headers)
	}

	b := new(Built)
	if r.Raw != nil && !hasLine(lines, "Host") {
		lines = append([]line{newLine(Field{"Host", r.Host})}, lines...)
		b.AddedHost = true
	}
	b.Bytes = append(b.Bytes, start+"\r\n"...)
	for _, l := range lines {
		b.Header = append(b.Header, l.Field)
		b.Bytes = append(b.Bytes, l.text+"\r\n"...)
	}
	b.Bytes = append(b.Bytes, "\r\n"...)
	if err := b.check(r.Raw != nil); err != nil {
		return nil, err
	}
	return b, nil
}

// lines returns what is sent when Headers is empty.
func (r *Request) lines() (start string, lines []line, err error) {
	if r.Raw != nil {
		return parseRaw(r.Raw)
	}
	if !isTarget(r.Target) || r.Target[0] != '/' {
		return "", nil, fail(ErrTarget, quote(r.Target))
	}
	credentials := ""
	if r.HasBasic {
		if credentials, err = basic(r.BasicUser, r.BasicPassword); err != nil {
			return "", nil, err
		}
	}
	for _, name := range r.Subprotocols {
		if !isToken(name) { // a comma would offer two
			return "", nil, fail(ErrSubprotocol, quote(name))
		}
	}
	for _, f := range (Header{
		{"Host", r.Host},
		{"Connection", "Upgrade"},
		{"Upgrade", "websocket"},
		{"User-Agent", r.UserAgent},
		{"Origin", r.Origin},
		{"Sec-WebSocket-Key", newKey()},
		{"Sec-WebSocket-Version", "13"},
		{"Sec-WebSocket-Protocol", join(r.Subprotocols)},
		{"Sec-WebSocket-Extensions", r.Extensions},
		{"Authorization", credentials},
	}) {
		if f.Value == "" {
			continue
		}
		if err := CheckField(f.Name, f.Value); err != nil {
			return "", nil, err
		}
		lines = append(lines, newLine(f))
	}
	return "GET " + r.Target + " HTTP/1.1", lines, nil
}

// weave puts the fields of top between lines, whose own of the same names are dropped:
// in the order of top, and as near to the places of those lines as that allows.
func weave(lines []line, top Header) []line {
	if len(top) == 0 {
		return lines
	}
	// place[k] is the index in lines before which top[k] goes.
	place := make([]int, len(top))
	at, last := -1, -1
	for k, f := range top {
		if i := indexOf(lines, f.Name); i >= 0 {
			at, last = max(at, i), k
		}
		place[k] = at
	}
	for k := range top {
		switch {
		case k > last:
			place[k] = len(lines)
		case place[k] < 0: // before the first that has a default
			next := k
			for place[next] < 0 {
				next++
			}
			place[k] = place[next]
		}
	}
	out := make([]line, 0, len(lines)+len(top))
	k := 0
	for i := 0; i <= len(lines); i++ {
		for ; k < len(top) && place[k] == i; k++ {
			out = append(out, newLine(top[k]))
		}
		if i < len(lines) && !top.Has(lines[i].Name) {
			out = append(out, lines[i])
		}
	}
	return out
}

func indexOf(lines []line, name string) int {
	for i := range lines {
		if equalFold(lines[i].Name, name) {
			return i
		}
	}
	return -1
}

// overlay puts every field of top where the first line of its name stands,
// drops the other lines of that name, and appends what has no line.
func overlay(lines []line, top Header) []line {
	if len(top) == 0 {
		return lines
	}
	out := make([]line, 0, len(lines)+len(top))
	for _, l := range lines {
		if !top.Has(l.Name) {
			out = append(out, l)
			continue
		}
		if hasLine(out, l.Name) { // the first of this name was replaced
			continue
		}
		for _, f := range top {
			if equalFold(f.Name, l.Name) {
				out = append(out, newLine(f))
			}
		}
	}
	for _, f := range top {
		if !hasLine(lines, f.Name) {
			out = append(out, newLine(f))
		}
	}
	return out
}

func hasLine(lines []line, name string) bool { return indexOf(lines, name) >= 0 }

func basic(user, password string) (string, error) {
	if strings.IndexByte(user, ':') >= 0 {
		return "", fail(ErrCredentials, "user name "+quote(user)+" holds a colon")
	}
	for _, part := range []struct{ name, text string }{{"user name", user}, {"password", password}} {
		if i := forbiddenAt(part.text); i >= 0 {
			return "", fail(ErrCredentials, part.name+" holds octet "+hex(part.text[i]))
		}
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)), nil
}

// check verifies the fields as they will be sent, whoever gave them, and takes
// the offer from them. The core must be able to do what is asked for; a raw key need not
// be 16 bytes, because any key has an accept value and raw lines are the caller's.
func (b *Built) check(raw bool) error {
	h := b.Header
	for _, name := range [...]string{"Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"} {
		if !h.Has(name) {
			return fail(ErrMissingField, name)
		}
	}
	for _, name := range [...]string{"Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Origin", "User-Agent", "Authorization"} {
		if _, _, err := h.single(name); err != nil {
			return err
		}
	}
	b.Key = h.Get("Sec-WebSocket-Key")
	switch host, version := h.Get("Host"), h.Get("Sec-WebSocket-Version"); {
	case !isHost(host):
		return fail(ErrHost, quote(host))
	case !h.HasToken("Upgrade", "websocket"):
		return fail(ErrUpgrade, quote(h.Get("Upgrade")))
	case !h.HasToken("Connection", "upgrade"):
		return fail(ErrConnection, quote(h.Get("Connection")))
	case version != "13":
		return fail(ErrVersion, quote(version))
	case b.Key == "" || !raw && !isKey(b.Key):
		return fail(ErrKey, quote(b.Key))
	}
	if err := h.body(); err != nil {
		return err
	}
	subprotocols, err := h.subprotocols()
	if err != nil {
		return err
	}
	if name, found := repeatedIn(subprotocols); found {
		return fail(ErrSubprotocol, quote(name)+" is offered twice")
	}
	extensions, err := h.extensions()
	if err != nil {
		return err
	}
	b.Subprotocols, b.Extensions = subprotocols, join(extensions)
	return nil
}

// body reports that h announces a body: the octets that follow would be read as one.
func (h Header) body() *Error {
	if h.Has("Transfer-Encoding") {
		return fail(ErrBody, "Transfer-Encoding: "+quote(h.Get("Transfer-Encoding")))
	}
	for _, length := range h.Values("Content-Length") {
		if length != "0" {
			return fail(ErrBody, "Content-Length: "+quote(length))
		}
	}
	return nil
}
