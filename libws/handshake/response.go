package handshake

import "strconv"

// Response is the head of what a server answered.
type Response struct {
	Status int
	Reason string // "" when the server sent none
	Proto  string // as in "HTTP/1.1"
	Header Header
}

// StatusError is a complete answer whose status is not 101: a redirect, a
// refusal, or a server that knows no WebSocket.
type StatusError struct{ Response *Response }

func (e *StatusError) Error() string {
	text := "server answered " + strconv.Itoa(e.Response.Status)
	if reason := e.Response.Reason; reason != "" {
		text += " " + shorten(reason)
	}
	return text + ", expected 101"
}

// shorten is quote without the quotes.
func shorten(s string) string {
	q := quote(s)
	if q[len(q)-1] == '"' {
		return q[1 : len(q)-1]
	}
	return q[1:len(q)-4] + "..."
}

// CheckResponse verifies that r answers b with 101 and everything that RFC 6455
// section 4.1 asks for, and returns what the server chose: one of the offered
// subprotocols or "", and the value of Sec-WebSocket-Extensions or "", each
// extension in it among the offered ones (its parameters are for the extension
// to judge). Errors are [*StatusError] and [*Error].
func CheckResponse(r *Response, b *Built) (subprotocol string, extensions string, err error) {
	if r.Status != 101 {
		return "", "", &StatusError{r}
	}
	if !isHTTP11(r.Proto) {
		return "", "", fail(ErrHTTPVersion, quote(r.Proto))
	}
	if upgrade := r.Header.list("Upgrade"); len(upgrade) != 1 || !equalFold(upgrade[0], "websocket") {
		return "", "", fail(ErrUpgrade, quote(join(upgrade)))
	}
	if !r.Header.HasToken("Connection", "upgrade") {
		return "", "", fail(ErrConnection, quote(r.Header.Get("Connection")))
	}
	if err := checkAccept(r, b.Key); err != nil {
		return "", "", err
	}
	subprotocol, broken := chosenSubprotocol(r, b.Subprotocols)
	if broken != nil {
		return "", "", broken
	}
	extensions, broken = chosenExtensions(r, b.Extensions)
	if broken != nil {
		return "", "", broken
	}
	return subprotocol, extensions, nil
}

func checkAccept(r *Response, key string) *Error {
	got, found, err := r.Header.single("Sec-WebSocket-Accept")
	if err != nil {
		return err
	}
	if want := Accept(key); got != want {
		if !found {
			return fail(ErrAccept, "got none, expected "+quote(want))
		}
		return fail(ErrAccept, "got "+quote(got)+", expected "+quote(want))
	}
	return nil
}

func chosenSubprotocol(r *Response, offered []string) (string, *Error) {
	name, found, err := r.Header.single("Sec-WebSocket-Protocol")
	if err != nil || !found {
		return "", err
	}
	for _, o := range offered {
		if o == name {
			return name, nil
		}
	}
	return "", fail(ErrSubprotocolAnswer, quote(name)+", offered "+quote(join(offered)))
}

func chosenExtensions(r *Response, offered string) (string, *Error) {
	if _, _, err := r.Header.single("Sec-WebSocket-Extensions"); err != nil {
		return "", err
	}
	chosen, err := r.Header.extensions()
	if err != nil {
		return "", err
	}
	offers, _ := splitExtensions(offered)
	if name, found := firstNotOffered(chosen, offers); found {
		return "", fail(ErrExtensionAnswer, quote(name)+", offered "+quote(offered))
	}
	return join(chosen), nil
}
