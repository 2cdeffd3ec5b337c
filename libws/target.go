package libws

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"aiows/libws/dial"
)

// checkTarget refuses options that name more than one place to connect to.
func (o *ConnectOptions) checkTarget() *Error {
	var named []string
	for _, place := range []struct {
		name  string
		given bool
	}{
		{"a socket", o.HasSocket},
		{"a Unix socket's path", o.UnixPath != ""},
		{"host or port", o.Host != "" || o.Port != 0},
	} {
		if place.given {
			named = append(named, place.name)
		}
	}
	if len(named) > 1 {
		return argument("%s together with %s, expected one of them", named[0], named[1])
	}
	bound := o.LocalAddress != "" || o.LocalPort != 0 || o.Family != 0
	switch {
	case bound && (o.HasSocket || o.UnixPath != ""):
		return argument("local address, local port or family together with %s, expected neither", named[0])
	case o.Port < 0 || o.Port > 65535:
		return argument("port %d, expected 0 to 65535", o.Port)
	case o.LocalPort < 0 || o.LocalPort > 65535:
		return argument("local port %d, expected 0 to 65535", o.LocalPort)
	case o.Family != 0 && o.Family != 4 && o.Family != 6:
		return argument("family %d, expected 0, 4 or 6", o.Family)
	case o.Interleave < 0 || o.MaxRedirects < 0:
		return argument("interleave %d and redirects %d, expected neither below 0", o.Interleave, o.MaxRedirects)
	}
	return nil
}

// adoptSocket returns a duplicate of a connected socket of the host, in Go's poller.
func adoptSocket(fd int) (net.Conn, error) {
	what := fmt.Sprintf("connect over descriptor %d", fd)
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return nil, systemError(what, os.NewSyscallError("getsockopt", err))
	}
	if kind != unix.SOCK_STREAM {
		return nil, argument("%s: not a stream socket", what)
	}
	if _, err := unix.Getpeername(fd); err != nil {
		return nil, argument("%s: %v, expected a socket that is connected", what, err)
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, systemError(what, os.NewSyscallError("fcntl", err))
	}
	file := os.NewFile(uintptr(own), "")
	conn, err := net.FileConn(file)
	_ = file.Close()
	if err != nil { // of a family that the net package does not know
		return nil, argument("%s: %v, expected a socket of IPv4, IPv6 or Unix", what, err)
	}
	dial.Announce(conn)
	return conn, nil
}

// Abandon frees a connection that was never started.
func (c *Conn) Abandon() {
	c.loop.mu.Lock()
	socket := c.opened.socket
	c.opened.socket = nil
	c.loop.mu.Unlock()
	if socket != nil {
		_ = socket.Close()
	}
	c.Free()
}

// addressName is the text of an address; "" for a Unix socket without a name.
func addressName(a net.Addr) string {
	if a == nil || a.String() == "@" {
		return ""
	}
	return a.String()
}
