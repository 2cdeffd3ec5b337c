package handshake

import (
	"errors"
	"slices"
	"strings"
)

// ServerRequest is the head of a client's request.
type ServerRequest struct {
	Method, Target, Proto string
	Header                Header

	// Set by CheckUpgrade.
	Subprotocols []string // what the client offers, in its order, each once
	Extensions   []string // offers as they were written, in order
	Key          string
}

// RejectError is why a request is no handshake, and what to answer.
type RejectError struct {
	Status int
	Text   string // for a log and for the body
	Header Header // to send with Status
	Err    error  // the [*Error]
}

func (e *RejectError) Error() string { return e.Text }

// Unwrap returns Err.
func (e *RejectError) Unwrap() error { return e.Err }

// Reject turns an error of a request parser into an answer: 414, 431 or 400.
func Reject(err error) *RejectError {
	e := &RejectError{Status: 400, Text: err.Error(), Err: err}
	var rule *Rule
	if errors.As(err, &rule) && rule.Status != 0 {
		e.Status = rule.Status
	}
	e.Header = Header{{"Content-Type", "text/plain; charset=utf-8"}}
	switch e.Status {
	case 405:
		e.Header = e.Header.Add("Allow", "GET")
	case 426:
		e.Header = e.Header.Add("Upgrade", "websocket").Add("Sec-WebSocket-Version", "13")
	}
	return e
}

// CheckUpgrade verifies the request by RFC 6455 section 4.2.1 and sets
// Subprotocols, Extensions and Key. It returns nil when the request may be
// accepted. Origin is not judged: that is the application's.
func (r *ServerRequest) CheckUpgrade() *RejectError {
	r.Key = ""
	if err := r.check(); err != nil {
		return Reject(err)
	}
	return nil
}

func (r *ServerRequest) check() *Error {
	h := r.Header
	switch hosts := h.Values("Host"); {
	case !isHTTP11(r.Proto):
		return fail(ErrHTTPVersion, quote(r.Proto))
	case len(hosts) != 1 || !isHost(hosts[0]):
		return fail(ErrHost, quote(join(hosts)))
	case r.Method != "GET":
		return fail(ErrMethod, quote(r.Method))
	case r.Resource() == "":
		return fail(ErrTarget, quote(r.Target))
	case !h.HasToken("Upgrade", "websocket"):
		return fail(ErrUpgrade, quote(join(h.list("Upgrade"))))
	case !h.HasToken("Connection", "upgrade"):
		return fail(ErrConnection, quote(join(h.list("Connection"))))
	}
	if err := h.body(); err != nil {
		return err
	}
	if _, _, err := h.single("Origin"); err != nil {
		return err
	}
	version, _, err := h.single("Sec-WebSocket-Version")
	if err != nil {
		return err
	}
	if version != "13" {
		return fail(ErrVersion, quote(version))
	}
	key, _, err := h.single("Sec-WebSocket-Key")
	if err != nil {
		return err
	}
	if !isKey(key) {
		return fail(ErrKey, quote(key))
	}
	subprotocols, err := h.subprotocols()
	if err != nil {
		return err
	}
	extensions, err := h.extensions()
	if err != nil {
		return err
	}
	r.Subprotocols = nil
	for _, name := range subprotocols {
		if !slices.Contains(r.Subprotocols, name) {
			r.Subprotocols = append(r.Subprotocols, name)
		}
	}
	r.Extensions, r.Key = extensions, key
	return nil
}

// Resource returns the path and query that Target names (the resource name of RFC
// 6455 section 3), also when Target is an absolute URI, which every server must
// take (RFC 9112 section 3.2.2). It is "" when Target is neither.
func (r *ServerRequest) Resource() string {
	if strings.HasPrefix(r.Target, "/") {
		return r.Target
	}
	scheme, rest, found := strings.Cut(r.Target, "://")
	if !found {
		return ""
	}
	known := false
	for _, s := range [...]string{"http", "https", "ws", "wss"} {
		known = known || equalFold(scheme, s)
	}
	end := strings.IndexAny(rest, "/?")
	switch {
	case !known || rest == "" || end == 0:
		return ""
	case end < 0:
		return "/"
	case rest[end] == '?':
		return "/" + rest[end:]
	}
	return rest[end:]
}

// AppendAccept appends the 101 answer to b. subprotocol is "" or one that the
// client offered, extensions "" or a value whose extensions it offered, extra
// follows in order and may not name a field of the handshake. On an error, an
// [*Error], b comes back as it was. CheckUpgrade must have returned nil.
func (r *ServerRequest) AppendAccept(b []byte, subprotocol, extensions string, extra Header) ([]byte, error) {
	if r.Key == "" {
		return b, fail(ErrNotUpgraded, "")
	}
	own := Header{
		{"Upgrade", "websocket"},
		{"Connection", "Upgrade"},
		{"Sec-WebSocket-Accept", Accept(r.Key)},
	}
	if subprotocol != "" {
		if !slices.Contains(r.Subprotocols, subprotocol) {
			return b, fail(ErrNotOffered, "subprotocol "+quote(subprotocol)+", offered "+quote(join(r.Subprotocols)))
		}
		own = own.Add("Sec-WebSocket-Protocol", subprotocol)
	}
	if extensions != "" {
		chosen, ok := splitExtensions(extensions)
		if !ok || len(chosen) == 0 {
			return b, fail(ErrExtension, quote(extensions))
		}
		if name, found := firstNotOffered(chosen, r.Extensions); found {
			return b, fail(ErrNotOffered, "extension "+quote(name)+", offered "+quote(join(r.Extensions)))
		}
		own = own.Add("Sec-WebSocket-Extensions", extensions)
	}
	for _, f := range extra {
		if err := CheckField(f.Name, f.Value); err != nil {
			return b, err
		}
		if isOwnField(f.Name) {
			return b, fail(ErrOwnField, f.Name)
		}
	}
	return appendFields(append(b, "HTTP/1.1 101 Switching Protocols\r\n"...), own, extra), nil
}

// isOwnField reports whether name is the handshake's own, or would give a 101 a
// body (RFC 9110 sections 8.6 and 15.2).
func isOwnField(name string) bool {
	for _, own := range [...]string{
		"Upgrade", "Connection", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions",
		"Sec-WebSocket-Key", "Sec-WebSocket-Version", "Content-Length", "Transfer-Encoding",
	} {
		if equalFold(name, own) {
			return true
		}
	}
	return false
}

// appendFields appends the fields and the blank line.
func appendFields(b []byte, headers ...Header) []byte {
	for _, h := range headers {
		for _, f := range h {
			b = append(b, f.Name...)
			b = append(b, ": "...)
			b = append(b, f.Value...)
			b = append(b, "\r\n"...)
		}
	}
	return append(b, "\r\n"...)
}
