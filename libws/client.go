package libws

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"aiows/libws/deflate"
	"aiows/libws/dial"
	"aiows/libws/handshake"
	"aiows/libws/netpoll"
	"aiows/libws/wire"
)

// headRead is the step in which a handshake is read.
const headRead = 4 << 10

// opening is what a connection needs until it is open; the loop lock guards it.
type opening struct {
	options  *ConnectOptions // client
	socket   net.Conn        // client: the host's, until Start
	uri      *dial.URI
	proxy    *dial.Proxy // client: nil for the direct way
	request  *handshake.Built
	offers   []deflate.Config // client: what request offers
	exchange *dial.Exchange   // client: with a proxy
	deadline int64            // server: by when the handshake has to be done

	listener *Listener // server: counts its handshakes; nil afterwards
	parser   *handshake.Parser
	asked    *Request
	answer   []byte // what Start sends
	silent   bool   // the host knows nothing of the connection yet: no event

	// A client whose bytes the host carries does its handshake in the reactor.
	answered *handover // an answer other than 101, whose body arrives
	body     *dial.Body
	followed int      // redirects on the way here
	next     *opening // where the answer leads
}

// leave takes a server connection out of its listener's count.
func (o *opening) leave() {
	if o.listener != nil {
		ln := o.listener
		o.listener = nil
		ln.handshakeOver()
	}
}

// handover is what a goroutine gives to the reactor: an open socket, or an error.
type handover struct {
	fd            int // -1: err
	tls           *tls.Conn
	adapter       *dial.Adapter
	proxyTLS      bool   // tls ends at the proxy
	rest          []byte // read behind the handshake
	uri, target   string // client: after redirects
	proxy         string
	request       *handshake.Built
	local, remote string
	response      *handshake.Response
	body          []byte
	subprotocol   string
	extensions    string
	deflate       *deflate.Agreement
	requested     bool           // the request went out
	exchange      *dial.Exchange // with a proxy
	before        []*handover    // redirects that were followed, if they are to be logged
	err           *Error
}

// discard closes what nobody wants any more.
func (h *handover) discard() {
	if h.fd >= 0 {
		untrack(h.fd)
		netpoll.Close(h.fd)
	}
}

// NewClient checks o and prepares a connection; Start opens it.
func (l *Loop) NewClient(o *ConnectOptions, userData uint64) (*Conn, error) {
	return l.newClient(o, userData, false)
}

func (l *Loop) newClient(o *ConnectOptions, userData uint64, attached bool) (*Conn, error) {
	uri, err := dial.ParseURI(o.URI)
	if err != nil {
		return nil, &Error{Code: CodeURI, Text: err.Error()}
	}
	if !uri.Secure && o.TLS != nil && o.MaxRedirects == 0 {
		return nil, argument("TLS context for %s, whose scheme is ws, and no redirect is followed", withoutSecrets(uri.Raw))
	}
	if err := o.checkTarget(); err != nil {
		return nil, err
	}
	if len(o.RawLines) > 0 && (o.Origin != "" || len(o.Subprotocols) > 0) {
		return nil, argument("raw request lines together with origin or subprotocols, expected one of them")
	}
	if len(o.RawLines) > 0 && uri.HasUser {
		return nil, argument("raw request lines together with credentials in the URI, expected an Authorization line")
	}
	proxy, failed := o.proxyFor(uri)
	if failed != nil {
		return nil, failed
	}
	offers, err := o.Conn.offers()
	if err != nil {
		return nil, err
	}
	built, failed := o.buildRequest(uri, offers)
	if failed != nil {
		return nil, failed
	}
	var socket net.Conn
	if o.HasSocket {
		if socket, err = adoptSocket(o.Socket); err != nil {
			return nil, err
		}
	}
	options := *o
	return l.client(&opening{
		options: &options, socket: socket, uri: uri, proxy: proxy, request: built, offers: o.Conn.offered(offers, built),
	}, userData, attached)
}

// client makes the connection of what was checked.
func (l *Loop) client(op *opening, userData uint64, attached bool) (*Conn, error) {
	o, socket, uri, proxy, built := op.options, op.socket, op.uri, op.proxy, op.request
	c := newConn(l, wire.Client, o.Conn)
	c.userData.Store(userData)
	c.opened = *op
	c.ending.tlsTimeout = o.TLSShutdownTimeout
	c.info.request, c.info.uri, c.info.target = built, uri.Raw, uri.Target
	if proxy != nil {
		c.info.proxy = proxy.Raw
	}

	if attached {
		c.attach()
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		if socket != nil {
			_ = socket.Close()
		}
		return nil, CodeHandle
	}
	l.conns++
	c.place()
	return c, nil
}

// Start begins to open a client connection, or answers 101 for a server's. OPEN or
// FAILED follows. Call it once, after SetHandle.
func (c *Conn) Start() {
	if c.role == wire.Server {
		c.startAccepted()
		return
	}
	connect := open
	if c.attached != nil {
		if !c.opened.options.Dial {
			c.startAttached()
			return
		}
		connect = reach
	}
	ctx := context.Background()
	c.loop.mu.Lock()
	if t := c.opened.options.OpenTimeout; t > 0 {
		if c.attached != nil {
			c.opened.deadline = clock() + int64(t)
		}
		ctx, c.cancel = context.WithTimeout(ctx, t)
	} else {
		ctx, c.cancel = context.WithCancel(ctx)
	}
	if c.phase == phaseEnded { // the loop was closed in between
		c.cancel()
	}
	o := c.opened
	c.opened.socket = nil
	c.loop.mu.Unlock()
	spawn(func() { c.loop.handOver(c, connect(ctx, &o)) })
}

// dialOptions says how to connect; bare leaves TLS to the host.
func (o *opening) dialOptions(bare bool) *dial.Options {
	p := o.options
	return &dial.Options{
		Bare: bare, URI: o.uri, TLS: p.TLS, ServerName: p.ServerName,
		Host: p.Host, Port: p.Port, Socket: o.socket, Path: p.UnixPath,
		LocalHost: p.LocalAddress, LocalPort: p.LocalPort, Family: p.Family,
		Interleave: p.Interleave, Delay: p.HappyEyeballsDelay, HandshakeTimeout: p.TLSHandshakeTimeout,
		Proxy: o.proxy, ProxyTLS: p.ProxyTLS, ProxyServerName: p.ProxyServerName,
		ProxyHandshakeTimeout: p.ProxyTLSHandshakeTimeout, UserAgent: p.UserAgent, Exchange: o.exchange,
	}
}

// dial connects, or says in the handover why not. It blocks, ctx bounds it.
func (o *opening) dial(ctx context.Context, bare bool) (*dial.Socket, *handover) {
	sock, err := dial.Dial(ctx, o.dialOptions(bare))
	if err != nil {
		return nil, proxyAnswer(&handover{fd: -1, err: dialError(ctx, err)}, err)
	}
	return sock, nil
}

// proxyAnswer notes in h what a proxy answered, if that was err.
func proxyAnswer(h *handover, err error) *handover {
	var status *dial.ProxyStatusError
	if errors.As(err, &status) {
		h.response, h.body = status.Response, status.Body
	}
	return h
}

// openOne dials and does the handshake with one server. It blocks, ctx bounds it.
func openOne(ctx context.Context, o *opening) *handover {
	sock, failed := o.dial(ctx, false)
	if failed != nil {
		return failed
	}
	// Cancelling closes the socket, which ends whatever the goroutine waits for.
	stop := context.AfterFunc(ctx, func() { _ = sock.Conn.SetDeadline(time.Unix(1, 0)) })
	h, err := upgrade(ctx, sock, o)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = sock.Close()
		h.err = handshakeError(ctx, o, err)
		return h
	}
	h.local, h.remote = addressName(sock.Conn.LocalAddr()), addressName(sock.Conn.RemoteAddr())
	if err := h.detach(sock); err != nil {
		_ = sock.Close()
		h.err = systemError(withoutSecrets(o.uri.Raw), err)
	}
	return h
}

// detach takes the descriptor out of Go's poller.
func (h *handover) detach(sock *dial.Socket) error {
	_ = sock.Conn.SetDeadline(time.Time{})
	fd, err := dial.Detach(sock.Conn)
	if err != nil {
		return err
	}
	track(fd)
	h.fd, h.tls, h.adapter, h.proxyTLS = fd, sock.TLS, sock.Adapter, sock.ProxyTLS
	return nil
}

// noAnswer is an end of file where the answer should be.
type noAnswer struct{}

func (noAnswer) Error() string { return "the server closed the connection before it answered" }
func (noAnswer) Unwrap() error { return io.EOF }

// upgrade sends the request and reads the answer.
func upgrade(ctx context.Context, sock *dial.Socket, o *opening) (*handover, error) {
	var stream net.Conn = sock.Conn
	if sock.TLS != nil {
		stream = sock.TLS
	}
	h := &handover{fd: -1}
	if _, err := stream.Write(o.request.Bytes); err != nil {
		return h, sock.Explain(causeOf(stream, err))
	}
	h.requested = true
	parser := handshake.NewResponseParser()
	buf := make([]byte, headRead)
	for done := false; !done; {
		n, err := stream.Read(buf)
		var bad error
		if done, h.rest, bad = parser.Feed(buf[:n]); bad != nil {
			return h, bad
		}
		if err != nil && !done {
			return h, sock.Explain(earlyEnd(err))
		}
	}
	err := h.judge(parser.Response(), o)
	var status *handshake.StatusError
	if errors.As(err, &status) {
		read := func() []byte { return dial.ReadBody(stream, h.rest, h.response) }
		if o.options.follows(h.response) {
			h.body = drain(ctx, sock, read, h.response)
		} else {
			h.body = read()
		}
		h.rest = nil
	}
	return h, err
}

// judge checks what the server answered.
func (h *handover) judge(r *handshake.Response, o *opening) (err error) {
	h.response = r
	h.subprotocol, h.extensions, err = handshake.CheckResponse(r, o.request)
	if err == nil {
		h.deflate, err = deflate.Accept(h.extensions, o.offers)
	}
	return err
}

// earlyEnd says what an end of the stream means before the answer is whole.
func earlyEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return noAnswer{}
	}
	return err
}

// causeOf prefers what the peer said before it closed a socket that can no longer be
// written to: in TLS 1.3 it may refuse the client's certificate that late.
func causeOf(stream net.Conn, err error) error {
	secure, ok := stream.(*tls.Conn)
	if !ok || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	var refused *net.OpError
	if _, e := secure.Read(make([]byte, 1)); errors.As(e, &refused) && refused.Op == "remote error" {
		return e
	}
	return err
}

func dialError(ctx context.Context, err error) *Error {
	e := &Error{Code: CodeConnect, Text: err.Error()}
	var d *dial.Error
	if errors.As(err, &d) {
		e.Errno, e.Attempts = d.Errno, d.Attempts
		var status *dial.ProxyStatusError
		switch {
		case errors.As(err, &status):
			e.Code, e.HTTPStatus = CodeProxy, status.Response.Status
			if ctx.Err() == context.DeadlineExceeded { // its body took the rest of the time
				return e
			}
		case d.Timeout:
			e.Code = CodeTimeout
		case d.Op == dial.OpProxy:
			e.Code = CodeProxy
		case d.Op == dial.OpResolve:
			e.Code = CodeResolve
		case d.Op == dial.OpTLS && d.Certificate():
			e.Code = CodeCertificate
		case d.Op == dial.OpTLS:
			e.Code = CodeTLS
		}
	}
	return contextError(ctx, e)
}

func handshakeError(ctx context.Context, o *opening, err error) *Error {
	e := &Error{Code: CodeHandshake, Text: err.Error()}
	var status *handshake.StatusError
	var rule *handshake.Error
	var refused *dial.Error
	switch {
	case errors.As(err, &refused):
		return dialError(ctx, err)
	case errors.As(err, &status):
		e.Code, e.HTTPStatus = CodeStatus, status.Response.Status
		return e
	case errors.As(err, &rule):
		return e
	}
	errors.As(err, &e.Errno)
	way := withoutSecrets(o.uri.Raw)
	if o.proxy != nil {
		way += " by proxy " + o.proxy.Raw
	}
	e.Text = way + ": " + e.Text
	return contextError(ctx, e)
}

// contextError prefers the reason why ctx ended over what it did to the socket.
func contextError(ctx context.Context, e *Error) *Error {
	switch ctx.Err() {
	case context.DeadlineExceeded:
		e.Code = CodeTimeout
		e.Text = "timed out: " + e.Text
	case context.Canceled:
		return &Error{Code: CodeAborted}
	}
	return e
}

// adopt takes over what a goroutine made; the loop lock is held.
func (c *Conn) adopt(h *handover, now int64) {
	if c.attached != nil {
		if c.phase == phaseOpening && h.err == nil {
			c.adoptSocket(h, now)
			return
		}
		h.local, h.remote = c.info.local, c.info.remote
	}
	c.info.adopt(h)
	c.logHeads(h)
	if h.err != nil {
		c.err = h.err
		c.finish()
		return
	}
	if c.cancel != nil {
		c.cancel() // the open timeout ended with the handshake
	}
	if h.tls != nil {
		c.tls = h.tls
		h.adapter.Flip(c.adapterRead, c.adapterWrite)
		c.reader.more = true
	}
	if c.attached == nil {
		if err := c.out.attach(h.fd, true); err != nil {
			c.err = systemError("epoll", err)
			c.finish()
			return
		}
	}
	if c.role == wire.Server {
		c.beginHead(now)
		return
	}
	switch {
	case c.attached != nil:
		c.ending.tlsTimeout = c.opened.hostShutdown()
	case h.tls == nil:
		c.ending.tlsTimeout = 0
	case h.proxyTLS:
		c.ending.tlsTimeout = c.opened.options.ProxyTLSShutdownTimeout
	}
	c.opened = opening{}
	c.compress(h.deflate)
	c.becomeOpen(now, h.rest)
}

// becomeOpen starts the frames; rest is what was read behind the handshake.
func (c *Conn) becomeOpen(now int64, rest []byte) {
	c.phase = phaseOpen
	c.state.Store(int32(StateOpen))
	c.due.open = true
	c.readAt = now
	c.alive.start(c, now)
	c.loop.watch()
	c.retime()
	if len(rest) > 0 {
		block := c.loop.mem.alloc(len(rest))
		if block == nil {
			c.failMemory()
			return
		}
		copy(block, rest)
		c.reader.rest, c.reader.block = block, block
	}
	if c.loop.logs(LogInfo) {
		c.loop.log(LogInfo, "open: "+c.describe())
	}
	c.loop.queue(c)
}
