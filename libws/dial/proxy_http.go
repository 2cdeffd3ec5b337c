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

// connectHTTP asks for a tunnel (RFC 9110 section 9.3.6).
//
// The head is read octet by octet: what comes behind it belongs to the tunnel and
// stays in the socket.
func (t *tunnel) connectHTTP(stream net.Conn) error {
	target := t.target()
	request := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	if t.o.UserAgent != "" {
		if err := handshake.CheckField("User-Agent", t.o.UserAgent); err != nil {
			return t.fail(OpProxy, err)
		}
		request += "User-Agent: " + t.o.UserAgent + "\r\n"
	}
	if t.HasUser {
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(t.User+":"+t.Password)) + "\r\n"
	}
	if _, err := io.WriteString(stream, request+"\r\n"); err != nil {
		return t.fail(OpProxy, err)
	}
	seen := t.o.Exchange
	if seen == nil {
		seen = new(Exchange)
	}
	seen.Request = request
	parser := handshake.NewResponseParser()
	var octet [1]byte
	for done := false; !done; {
		if _, err := io.ReadFull(stream, octet[:]); err != nil {
			return t.fail(OpProxy, err)
		}
		var err error
		if done, _, err = parser.Feed(octet[:]); err != nil {
			return t.fail(OpProxy, err)
		}
	}
	response := parser.Response()
	seen.Response = response
	if response.Status >= 200 && response.Status < 300 {
		return nil
	}
	body := ReadBody(stream, nil, response)
	return t.fail(OpProxy, &ProxyStatusError{Response: response, Body: body, sent: t.HasUser})
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
	case errors.Is(e.Err, io.EOF), errors.Is(e.Err, io.ErrUnexpectedEOF):
		return "closed the connection before it answered " + asked
	case e.Timeout:
		return "did not answer " + asked
	}
	return asked + ": " + explainConnect(e.Err)
}
