package libws

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"aiows/libws/deflate"
	"aiows/libws/dial"
	"aiows/libws/handshake"
)

// drainTime bounds what is read behind a redirect that will be followed.
const drainTime = time.Second

// buildRequest makes the handshake's request to uri.
func (o *ConnectOptions) buildRequest(uri *dial.URI, offers []deflate.Config) (*handshake.Built, *Error) {
	request := handshake.Request{
		Target: uri.Target, Host: uri.HostHeader, Origin: o.Origin, UserAgent: o.UserAgent,
		Subprotocols: o.Subprotocols, Extensions: deflate.Offer(offers), Headers: o.Headers, Raw: o.RawLines,
		HasBasic: uri.HasUser, BasicUser: uri.User, BasicPassword: uri.Password,
	}
	built, err := request.Build()
	if err != nil {
		return nil, &Error{Code: CodeHeader, Text: err.Error()}
	}
	return built, nil
}

// follows reports whether r is a redirect that o wants followed (RFC 9110 section
// 15.4). Raw lines are sent as they are and to nobody else, so they never are.
func (o *ConnectOptions) follows(r *handshake.Response) bool {
	if r == nil || o.MaxRedirects == 0 || o.RawLines != nil || len(r.Header.Values("Location")) != 1 {
		return false
	}
	switch r.Status {
	case 300, 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// open opens the connection, over as many redirects as the options allow. It blocks,
// ctx bounds all of it.
func open(ctx context.Context, o *opening) *handover {
	var before []*handover
	for followed := 0; ; followed++ {
		o.exchange = new(dial.Exchange)
		h := openOne(ctx, o)
		h.before, h.exchange = before, o.exchange
		h.uri, h.target, h.request = o.uri.Raw, o.uri.Target, o.request
		if o.proxy != nil {
			h.proxy = o.proxy.Raw
		}
		// A proxy has no say in where to go.
		if h.err != nil && h.err.Code == CodeProxy || !o.options.follows(h.response) {
			return h
		}
		location := h.response.Header.Get("Location")
		if ctx.Err() != nil {
			h.err = contextError(ctx, &Error{Text: "redirect to " + shownURI(location)})
			return h
		}
		if followed == o.options.MaxRedirects {
			h.err = tooManyRedirects(followed, h.response)
			return h
		}
		next, err := o.redirected(location)
		if err != nil {
			err.HTTPStatus = h.response.Status
			h.err = err
			if err.Code == CodeURI {
				h.uri = dial.Redact(location)
			}
			return h
		}
		if o.options.Conn.LogFrames {
			before = append(before, h)
		}
		o = next
	}
}

func tooManyRedirects(followed int, r *handshake.Response) *Error {
	text := fmt.Sprintf("more than %d redirects, the last one to %s", followed, shownURI(r.Header.Get("Location")))
	return &Error{Code: CodeHandshake, HTTPStatus: r.Status, Text: text}
}

// redirected is the opening that location asks for in place of o.
func (o *opening) redirected(location string) (*opening, *Error) {
	uri, err := o.uri.Resolve(location)
	if err != nil {
		return nil, &Error{Code: CodeURI, Text: "redirect: " + err.Error()}
	}
	options := *o.options
	shown := shownURI(uri.Raw)
	switch same := o.uri.SameOrigin(uri); {
	case options.HasSocket:
		return nil, argument("redirect to %s, which cannot be followed over a given socket", shown)
	case o.uri.Secure && !uri.Secure:
		return nil, &Error{Code: CodeHandshake, Text: "redirect from wss to " + shown + ", which is not secure"}
	case same:
		if !uri.HasUser {
			uri.HasUser, uri.User, uri.Password = o.uri.HasUser, o.uri.User, o.uri.Password
		}
	case options.UnixPath != "":
		return nil, argument("redirect to %s, another origin, which cannot be followed over a Unix socket", shown)
	case options.Host != "" || options.Port != 0:
		return nil, argument("redirect to %s, another origin, which cannot be followed with a host or port given", shown)
	default:
		options.Headers = forAnotherOrigin(options.Headers)
	}
	proxy, failed := options.proxyFor(uri)
	if failed != nil {
		return nil, failed
	}
	request, failed := options.buildRequest(uri, o.offers)
	if failed != nil {
		return nil, failed
	}
	return &opening{options: &options, uri: uri, proxy: proxy, request: request, offers: o.offers}, nil
}

// forAnotherOrigin leaves out what was meant for one origin alone.
func forAnotherOrigin(h handshake.Header) (kept handshake.Header) {
	for _, f := range h {
		switch strings.ToLower(f.Name) {
		case "authorization", "cookie", "proxy-authorization", "host":
		default:
			kept = append(kept, f)
		}
	}
	return kept
}

// drain reads the rest of a redirect, whose server may wait for that, as far as the
// answer says where it ends.
func drain(ctx context.Context, sock *dial.Socket, read func() []byte, r *handshake.Response) []byte {
	if !r.Header.Has("Content-Length") && !r.Header.HasToken("Transfer-Encoding", "chunked") {
		return nil
	}
	_ = sock.Conn.SetDeadline(time.Now().Add(drainTime))
	if ctx.Err() != nil { // the deadline that canceling sets may have been overwritten
		return nil
	}
	return read()
}

func shownURI(s string) string {
	const most = 120
	if s = withoutParameters(dial.Redact(s)); len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
