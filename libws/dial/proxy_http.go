package dial

import (
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"

	"aiows/libws/handshake"
)

// ProxyStatusError is an answer to CONNECT that opens no tunnel.
type ProxyStatusError struct {
	Response *handshake.Response
	Body     []byte // at most 64 KiB
	sent     bool   // credentials
}

// Error gives status and reason, and for 407 what became of the credentials. There are
// proxies that answer 401 to wrong ones.
func (e *ProxyStatusError) Error() string {
	r := e.Response
	text := strconv.Itoa(r.Status)
	if r.Reason != "" {
		text += " " + quoteless(r.Reason)
	}
	if r.Status != 407 && !(r.Status == 401 && e.sent) {
		return text
	}
	schemes := r.Header.Values("Proxy-Authenticate")
	switch basic := offersBasic(schemes); {
	case len(schemes) > 0 && !basic:
		return text + ": it wants " + quoteless(strings.Join(schemes, ", ")) + ", expected Basic"
	case e.sent:
		return text + ": the credentials were refused"
	}
	return text + ": credentials are wanted, expected user:password@ in the proxy URL"
}

func offersBasic(schemes []string) bool {
	for _, s := range schemes {
		for element := range strings.SplitSeq(s, ",") {
			scheme, _, _ := strings.Cut(strings.TrimSpace(element), " ")
			if strings.EqualFold(scheme, "Basic") {
				return true
			}
		}
	}
	return false
}

// quoteless makes what the proxy sent safe to print.
func quoteless(s string) string {
	q := strconv.QuoteToGraphic(shorten(s, 80))
	return q[1 : len(q)-1]
}

// Exchange is the request to a proxy, with credentials, and its answer.
type Exchange struct {
	Request  string              // "" if none was made
	Response *handshake.Response // nil if none came
}

// Asking is a request for a tunnel (RFC 9110 section 9.3.6), whoever carries its bytes.
type Asking struct {
	t      *tunnel
	seen   *Exchange
	parser *handshake.Parser
	body   *Body // of an answer that opens no tunnel
}

// Ask prepares to ask o.Proxy, an http or https one, over a stream that leads to it. Errors
// are *[Error].
func (o *Options) Ask() (*Asking, error) {
	host, port, err := o.target()
	if err != nil {
		return nil, err
	}
	return o.tunnel(host, port).asking()
}

func (t *tunnel) asking() (*Asking, error) {
	target := t.target()
	request := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	if t.o.UserAgent != "" {
		if err := handshake.CheckField("User-Agent", t.o.UserAgent); err != nil {
			return nil, t.fail(OpProxy, err)
		}
		request += "User-Agent: " + t.o.UserAgent + "\r\n"
	}
	if t.HasUser {
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(t.User+":"+t.Password)) + "\r\n"
	}
	a := &Asking{t: t, seen: t.o.Exchange, parser: handshake.NewResponseParser()}
	if a.seen == nil {
		a.seen = new(Exchange)
	}
	a.seen.Request = request + "\r\n"
	return a, nil
}

// Request is what to send.
func (a *Asking) Request() string { return a.seen.Request }

// Feed takes the next bytes of the answer, and how the stream ended behind them, nil for not
// yet. open reports that the stream leads to the target, from behind these bytes on. Errors
// are *[Error], of [ProxyStatusError] for an answer that opens no tunnel.
func (a *Asking) Feed(b []byte, ended error) (open bool, err error) {
	if a.body == nil {
		done, rest, bad := a.parser.Feed(b)
		switch {
		case bad != nil:
			return false, a.t.fail(OpProxy, bad)
		case !done && ended != nil:
			return false, a.t.fail(OpProxy, ended)
		case !done:
			return false, nil
		}
		r := a.parser.Response()
		a.seen.Response = r
		if r.Status >= 200 && r.Status < 300 {
			if len(rest) > 0 { // the server does not speak first
				return false, a.t.fail(OpProxy, errBehind)
			}
			return true, nil
		}
		a.body, b = NewBody(r), rest
	}
	if !a.body.Feed(b) && ended == nil {
		return false, nil
	}
	return false, a.t.fail(OpProxy, &ProxyStatusError{Response: a.seen.Response, Body: a.body.Bytes(), sent: a.t.HasUser})
}

var errBehind = errors.New("it sent more than the answer")

// connectHTTP asks for a tunnel over stream.
//
// The head is read octet by octet: what comes behind it belongs to the tunnel and
// stays in the socket.
func (t *tunnel) connectHTTP(stream net.Conn) error {
	a, err := t.asking()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(stream, a.Request()); err != nil {
		return t.fail(OpProxy, err)
	}
	buf := make([]byte, 4<<10)
	for {
		room := buf[:1]
		if a.body != nil {
			room = buf
		}
		n, err := stream.Read(room)
		if open, failed := a.Feed(room[:n], err); open || failed != nil {
			return failed
		}
	}
}

// explainProxy says what the proxy answered.
func (e *Error) explainProxy() string {
	var status *ProxyStatusError
	var reply *SocksError
	var rule *handshake.Error
	asked := "CONNECT " + e.target
	switch {
	case errors.As(e.Err, &status):
		return "answered " + status.Error() + " (" + asked + ")"
	case errors.As(e.Err, &reply):
		return "answered " + reply.Error() + " (" + asked + ")"
	case errors.As(e.Err, &rule):
		return "its answer to " + asked + " is not valid: " + rule.Error()
	case e.Err == errBehind:
		return "its answer to " + asked + " is not valid: " + errBehind.Error()
	case errors.Is(e.Err, io.EOF), errors.Is(e.Err, io.ErrUnexpectedEOF):
		return "closed the connection before it answered " + asked
	case e.Timeout:
		return "did not answer " + asked
	}
	return asked + ": " + explainConnect(e.Err)
}
