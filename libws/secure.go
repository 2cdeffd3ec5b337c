package libws

import (
	"context"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"aiows/libws/dial"
	"aiows/libws/netpoll"
)

// handshakers bounds the goroutines that do TLS handshakes of servers, over all
// listeners of the process; who comes later waits in a queue.
const handshakers = 128

// handshakes are the TLS handshakes of every listener.
//
// A storm of them must not hold up the host's thread: one processor of the machine is
// left to it. A goroutine that waits for its client leaves its turn to others meanwhile,
// and none waits for a client's first byte: the reactor does.
var handshakes = struct {
	turns chan struct{}

	mu      sync.Mutex
	waiting []*tlsHandshake
	running int // goroutines
}{turns: make(chan struct{}, max(1, runtime.NumCPU()-1))}

// tlsHandshake is one handshake of a server. It owns fd until it is handed over.
type tlsHandshake struct {
	conn  *Conn
	tls   *dial.TLS
	fd    int
	out   *handover
	taken atomic.Bool // by the goroutine that does it, or by cancel
	ctx   context.Context
	stop  context.CancelFunc
}

// awaitHello waits for the first byte of a TLS client, which costs no goroutine.
func (c *Conn) awaitHello(fd int) {
	c.phase = phaseHello
	if err := c.out.attach(fd, true); err != nil {
		c.err = systemError("epoll", err)
		c.finish()
	}
}

// helloReady starts the handshake, unless the client left.
func (c *Conn) helloReady(now int64) {
	var first [1]byte
	n, e := netpoll.Peek(c.out.fd, first[:])
	switch {
	case netpoll.Again(e):
		return
	case n == 0:
		c.finish()
		return
	}
	c.phase = phaseOpening
	h := &tlsHandshake{
		conn: c, tls: c.opened.listener.opts.TLS, fd: c.out.release(), ctx: context.Background(),
		out: &handover{fd: -1, local: c.info.local, remote: c.info.remote},
	}
	if at := c.opened.deadline; at != 0 {
		h.ctx, h.stop = context.WithTimeout(h.ctx, time.Duration(max(at-now, 1)))
	} else {
		h.ctx, h.stop = context.WithCancel(h.ctx)
	}
	c.cancel = h.cancel
	p := &handshakes
	p.mu.Lock()
	p.waiting = append(p.waiting, h)
	more := p.running < handshakers
	if more {
		p.running++
	}
	p.mu.Unlock()
	if more {
		spawn(doHandshakes)
	}
}

// cancel ends the handshake, and the socket with it. Any thread; also when it is over.
func (h *tlsHandshake) cancel() {
	h.stop()
	if h.taken.CompareAndSwap(false, true) {
		untrack(h.fd)
		netpoll.Close(h.fd)
	}
}

// doHandshakes does one handshake after the other until none waits.
func doHandshakes() {
	p := &handshakes
	for {
		p.mu.Lock()
		if len(p.waiting) == 0 {
			p.waiting = nil
			p.running--
			p.mu.Unlock()
			return
		}
		h := p.waiting[0]
		p.waiting[0] = nil
		p.waiting = p.waiting[1:]
		p.mu.Unlock()
		if h.taken.CompareAndSwap(false, true) {
			h.do()
		}
	}
}

// do blocks until the handshake is over, and hands over what came of it.
func (h *tlsHandshake) do() {
	if err := h.secure(); err != nil {
		h.out.err = &Error{Code: CodeTLS, Text: err.Error()}
	}
	h.conn.loop.handOver(h.conn, h.out)
}

// secure runs the handshake over the descriptor, which it consumes.
func (h *tlsHandshake) secure() error {
	file := os.NewFile(uintptr(h.fd), "")
	conn, err := net.FileConn(file)
	if err == nil {
		dial.Announce(conn)
	}
	untrack(h.fd)
	_ = file.Close()
	if err != nil {
		return err
	}
	handshakes.turns <- struct{}{}
	sock, err := dial.ServerTLS(h.ctx, turnTaker{conn}, h.tls)
	<-handshakes.turns
	if err != nil {
		_ = conn.Close()
		return err
	}
	sock.Conn = conn
	if err := h.out.detach(sock); err != nil {
		_ = sock.Close()
		return err
	}
	return nil
}

// turnTaker is the socket of a handshake, which gives up its turn while it waits.
type turnTaker struct{ net.Conn }

func (t turnTaker) Read(b []byte) (int, error) {
	<-handshakes.turns
	defer func() { handshakes.turns <- struct{}{} }()
	return t.Conn.Read(b)
}
