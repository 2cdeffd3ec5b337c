package dial

import (
	"context"
	"net"
	"syscall"
)

// SocketHook, when set before the first Dial, hears of every socket that this
// package has in Go's poller, before it connects. It does not hear of the close:
// the net package closes those that lost a race by itself, and by then the number may
// belong to somebody else. It is called from any goroutine and must not call this
// package.
var SocketHook func(fd int)

// Announce tells [SocketHook] of the socket of c.
func Announce(c net.Conn) {
	if sc, ok := c.(syscall.Conn); ok && SocketHook != nil {
		if raw, err := sc.SyscallConn(); err == nil {
			_ = control("", "", raw)
		}
	}
}

func control(_, _ string, raw syscall.RawConn) error {
	if SocketHook == nil {
		return nil
	}
	return raw.Control(func(fd uintptr) { SocketHook(int(fd)) })
}

// resolver is the default one, whose sockets are announced too, and closed as soon as
// nobody wants the answer: the net package would wait for it until its own timeout.
var resolver = &net.Resolver{
	Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{Control: control}
		c, err := d.DialContext(ctx, network, address)
		if err == nil {
			context.AfterFunc(ctx, func() { c.Close() })
		}
		return c, err
	},
}
