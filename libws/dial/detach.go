//go:build unix

package dial

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Detach takes the descriptor of c out of Go's poller: it duplicates it with
// close-on-exec and closes c, also on failure. The caller owns fd.
//
// O_NONBLOCK stays set, so raw system calls on fd never block; the peer sees
// nothing. net.Conn.File is not used: its Fd method makes the socket blocking.
func Detach(c net.Conn) (fd int, err error) {
	defer c.Close()
	sc, ok := c.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("detach: %T has no descriptor, expected a TCP or unix connection", c)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("detach: %w", err)
	}
	fd = -1
	var dupErr error
	err = rc.Control(func(f uintptr) {
		fd, dupErr = unix.FcntlInt(f, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil {
		err = dupErr
	}
	if err != nil {
		return -1, fmt.Errorf("detach: %w", err)
	}
	return fd, nil
}
