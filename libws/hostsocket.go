package libws

import (
	"context"
	"time"

	"aiows/libws/dial"
)

// Client connections that the core connects and whose bytes the host carries, since it does
// the TLS: the host gets the socket, and from then on it is an attached connection.

// hostSocket is a socket for the host; the loop lock guards it.
type hostSocket struct {
	fd     int          // what TakeSocket gives; -1: none
	asking *dial.Asking // an https proxy has not answered yet
	told   bool         // EventTunnel was, and the server has not been asked
}

// reach is open for a connection whose host does TLS: it ends where that begins.
func reach(ctx context.Context, o *opening) *handover {
	o.exchange = new(dial.Exchange)
	sock, h := o.dial(ctx, true)
	if h == nil {
		h = &handover{fd: -1, local: addressName(sock.Conn.LocalAddr()), remote: addressName(sock.Conn.RemoteAddr())}
		if err := ctx.Err(); err != nil {
			_ = sock.Close()
			h.err = handshakeError(ctx, o, err)
		} else if err := h.detach(sock); err != nil {
			h.err = systemError(withoutSecrets(o.uri.Raw), err)
		}
	}
	h.exchange = o.exchange
	return h
}

// adoptSocket has a socket that leads to the server, or to an https proxy.
func (c *Conn) adoptSocket(h *handover, now int64) {
	o := &c.opened
	c.cancel() // the deadline of the opening is the reactor's from here on
	c.attached.socket.fd = h.fd
	c.info.local, c.info.remote = h.local, h.remote
	c.logHeads(h)
	c.due.socket = true
	if o.throughTLS() {
		asking, err := o.dialOptions(true).Ask()
		if err != nil {
			c.notOpened(&handover{fd: -1}, err, now)
			return
		}
		c.attached.socket.asking = asking
		c.beginAnswer([]byte(asking.Request()))
		return
	}
	c.beginAnswer(o.request.Bytes)
}

// throughTLS reports that the host does TLS with a proxy.
func (o *opening) throughTLS() bool { return o.proxy != nil && o.proxy.Scheme == "https" }

// readProxy takes in an https proxy's answer. err is how the stream ended.
func (c *Conn) readProxy(data []byte, err error, now int64) {
	s := &c.attached.socket
	if err != nil {
		err = earlyEnd(err)
	}
	open, failed := s.asking.Feed(data, err)
	switch {
	case failed != nil:
		c.notOpened(proxyAnswer(&handover{fd: -1, exchange: c.opened.exchange}, failed), failed, now)
	case open:
		s.asking = nil
		c.logHeads(&handover{exchange: c.opened.exchange})
		c.due.tunnel = true
		c.loop.queue(c)
	}
}

// proxyExpired fails an opening whose proxy took too long.
func (c *Conn) proxyExpired(now int64) {
	_, failed := c.attached.socket.asking.Feed(nil, context.DeadlineExceeded)
	h := proxyAnswer(&handover{fd: -1, exchange: c.opened.exchange}, failed)
	h.err = dialError(context.Background(), failed)
	if h.err.Code == CodeTimeout {
		h.err.Text = "timed out: " + h.err.Text
	}
	c.adopt(h, now)
}

// tellSocket emits EventSocket and EventTunnel when they are due.
func (c *Conn) tellSocket(b *batch) {
	if c.due.socket && !b.full() {
		c.due.socket = false
		b.next(c, EventSocket)
	}
	if c.due.tunnel && !c.due.socket && !b.full() {
		c.due.tunnel = false
		b.next(c, EventTunnel)
		// In the next Poll: a host that drains must know to whom it goes.
		c.attached.socket.told = true
		c.loop.post(c)
	}
}

// askServer sends the request once the host knows that it goes through the tunnel.
func (c *Conn) askServer() {
	if a := c.attached; a != nil && a.socket.told && c.phase == phaseHead {
		a.socket.told = false
		c.sendRequest(c.opened.request.Bytes)
	}
}

// hostShutdown is how long the end of the host's TLS may take.
func (o *opening) hostShutdown() time.Duration {
	switch {
	case !o.options.Dial:
	case o.uri.Secure:
		return o.options.TLSShutdownTimeout
	case o.throughTLS():
		return o.options.ProxyTLSShutdownTimeout
	}
	return 0
}

// TakeSocket gives the host the socket that EventSocket told of, once; the host closes it.
// It is connected, non-blocking and close-on-exec.
func (c *Conn) TakeSocket() (fd int, err error) {
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	a := c.attached
	if a == nil || a.socket.fd < 0 || c.due.socket || c.phase >= phaseDone {
		return -1, CodeState
	}
	fd, a.socket.fd = a.socket.fd, -1
	untrack(fd)
	return fd, nil
}

// drop closes a socket that nobody took.
func (s *hostSocket) drop() {
	if s.fd >= 0 {
		(&handover{fd: s.fd}).discard()
		s.fd = -1
	}
}
