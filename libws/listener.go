package libws

import (
	"time"

	"aiows/libws/handshake"
	"aiows/libws/netpoll"
	"aiows/libws/wire"

	"golang.org/x/sys/unix"
)

const (
	defaultBacklog       = 1024
	defaultMaxHandshakes = 1024
	// acceptBatch bounds the connections taken in one Poll.
	acceptBatch = 64
	// acceptRetry is how long a listener rests when no descriptor is left.
	acceptRetry = 100 * time.Millisecond
)

// Listener accepts connections for a loop. Its methods may be called by any thread.
type Listener struct {
	loop     *Loop
	opts     ListenOptions
	handle   uint64
	userData uint64

	// Guarded by the loop lock.
	fd      int
	port    int
	unix    bool // addresses are paths
	tag     uint64
	watched bool
	opening int // connections whose handshake is not over
	alarm   timer
}

// Listen opens a listening socket; Start begins to accept.
func (l *Loop) Listen(o *ListenOptions, userData uint64) (*Listener, error) {
	if o.Port < 0 || o.Port > 65535 {
		return nil, argument("port %d, expected 0 to 65535", o.Port)
	}
	if o.HasSocket && (o.Host != "" || o.Port != 0 || o.ReusePort) {
		return nil, argument("socket %d together with a host, a port or reuse_port, expected one of them", o.Socket)
	}
	ln := &Listener{loop: l, opts: *o, userData: userData, fd: -1}
	if ln.opts.Backlog <= 0 {
		ln.opts.Backlog = defaultBacklog
	}
	if ln.opts.MaxHandshakes <= 0 {
		ln.opts.MaxHandshakes = defaultMaxHandshakes
	}
	if err := ln.open(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		untrack(ln.fd)
		_ = unix.Close(ln.fd)
		return nil, CodeHandle
	}
	l.lns++
	ln.tag = l.addSlot(nil, ln)
	l.findLone()
	return ln, nil
}

// SetHandle sets what Event.Conn of an EventRequest carries. Call it before Start.
func (ln *Listener) SetHandle(h uint64) { ln.handle = h }

// Port returns the port that is listened on, 0 for a Unix socket.
func (ln *Listener) Port() int { return ln.port }

// Start begins to accept.
func (ln *Listener) Start() error {
	ln.loop.mu.Lock()
	defer ln.loop.mu.Unlock()
	return ln.watch()
}

// Close stops accepting and answers 503 to clients whose request is unanswered.
func (ln *Listener) Close() {
	l := ln.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || ln.fd < 0 {
		return
	}
	ln.closeLocked()
	for i := range l.slots {
		c := l.slots[i].conn
		if c == nil || c.opened.listener != ln {
			continue
		}
		switch c.phase {
		case phaseOpening, phaseHello, phaseHead:
			c.destroy()
		case phaseAsked:
			if !c.opened.asked.answered {
				c.refuse(503, nil, nil)
			}
		}
	}
}

func (ln *Listener) closeLocked() {
	if ln.fd < 0 {
		return
	}
	l := ln.loop
	ln.unwatch()
	untrack(ln.fd)
	_ = unix.Close(ln.fd)
	ln.fd = -1
	l.timers.set(ln, 0)
	l.lns--
	l.dropSlot(ln.tag)
	l.findLone()
}

func (ln *Listener) watch() error {
	if ln.watched || ln.fd < 0 {
		return nil
	}
	if err := ln.loop.poller.Add(ln.fd, netpoll.In, ln.tag); err != nil {
		return systemError("epoll", err)
	}
	ln.watched = true
	return nil
}

func (ln *Listener) unwatch() {
	if ln.watched {
		_ = ln.loop.poller.Del(ln.fd)
		ln.watched = false
	}
}

// timer and expire make Listener a timed: it rests while no descriptor is left.
func (ln *Listener) timer() *timer { return &ln.alarm }
func (ln *Listener) expire(int64)  { _ = ln.watch() }

// acceptable takes the connections that wait.
func (ln *Listener) acceptable(now int64) {
	for range acceptBatch {
		if ln.opening >= ln.opts.MaxHandshakes {
			ln.unwatch() // handshakeOver watches again
			return
		}
		fd, peer, err := unix.Accept4(ln.fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		switch err {
		case nil:
			ln.welcome(fd, peer, now)
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			ln.unwatch()
			ln.loop.timers.set(ln, now+int64(acceptRetry))
			ln.loop.log(LogError, "accept: "+err.Error())
			return
		case unix.ECONNABORTED, unix.EINTR:
		default:
			return
		}
	}
}

// handshakeOver makes room for the next client.
func (ln *Listener) handshakeOver() {
	ln.opening--
	if !ln.watched && ln.alarm.at == 0 {
		_ = ln.watch()
	}
}

// welcome starts the handshake of an accepted connection: in the reactor, but for that
// of TLS.
func (ln *Listener) welcome(fd int, peer unix.Sockaddr, now int64) {
	l := ln.loop
	if !ln.unix {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	track(fd)
	c := newConn(l, wire.Server, ConnOptions{})
	c.opened.listener, c.opened.silent = ln, true
	c.info.remote = addressText(peer)
	if local, err := unix.Getsockname(fd); err == nil {
		c.info.local = addressText(local)
	}
	ln.opening++
	l.conns++
	c.place()
	if ln.opts.OpenTimeout > 0 {
		c.opened.deadline = now + int64(ln.opts.OpenTimeout)
		c.retime()
	}
	if ln.opts.TLS != nil {
		c.awaitHello(fd)
		return
	}
	c.adopt(&handover{fd: fd, local: c.info.local, remote: c.info.remote}, now)
}

// beginHead starts to read the request.
func (c *Conn) beginHead(int64) {
	c.phase = phaseHead
	c.opened.parser = handshake.NewRequestParser()
	c.loop.queue(c)
}
