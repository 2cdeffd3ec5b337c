//go:build unix

package dial

import (
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDetach(t *testing.T) {
	addr := listen(t, "tcp", "127.0.0.1:0", echo)
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	fd, err := Detach(c)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("the connection is still open in Go's poller")
	}
	if v, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || v&unix.O_NONBLOCK == 0 {
		t.Errorf("flags %#x, error %v, expected O_NONBLOCK", v, err)
	}
	if v, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || v&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, error %v, expected FD_CLOEXEC", v, err)
	}
	var b [8]byte
	if n, err := unix.Read(fd, b[:]); err != unix.EAGAIN {
		t.Errorf("read %d, error %v, expected EAGAIN", n, err)
	}
	if _, err := unix.Write(fd, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	waitReadable(t, fd)
	if n, err := unix.Read(fd, b[:]); err != nil || string(b[:n]) != "hello" {
		t.Errorf("read %q, error %v, expected hello", b[:n], err)
	}
}

func TestDialSetsNoDelay(t *testing.T) {
	addr := listen(t, "tcp", "127.0.0.1:0", echo)
	for _, nagle := range []bool{false, true} {
		s, err := Dial(t.Context(), &Options{URI: mustURI(t, "ws://"+addr.String()), Nagle: nagle})
		if err != nil {
			t.Fatal(err)
		}
		fd, err := Detach(s.Conn)
		if err != nil {
			t.Fatal(err)
		}
		v, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY)
		if err != nil || (v == 0) != nagle {
			t.Errorf("nagle %v: TCP_NODELAY is %d, error %v", nagle, v, err)
		}
		unix.Close(fd)
	}
}

func TestDetachUnixSocket(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fd, err := Detach(c)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
}

func TestDetachErrors(t *testing.T) {
	a, b := net.Pipe()
	if fd, err := Detach(a); fd != -1 || err == nil || !strings.Contains(err.Error(), "*net.pipe") {
		t.Errorf("descriptor %d, error %v", fd, err)
	}
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("error %v, expected the other end to see the close", err)
	}
	b.Close()

	addr := listen(t, "tcp", "127.0.0.1:0", echo)
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if fd, err := Detach(c); fd != -1 || err == nil {
		t.Errorf("descriptor %d, error %v of a closed connection", fd, err)
	}
}

func waitReadable(t *testing.T, fd int) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20_000)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			t.Fatalf("no data: poll gives %d, error %v", n, err)
		}
		return
	}
}
