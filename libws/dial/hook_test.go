package dial

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSocketHook: a socket is announced while it is open and before it is connected.
func TestSocketHook(t *testing.T) {
	var mu sync.Mutex
	seen := map[int]int{} // times that a socket was announced
	SocketHook = func(fd int) {
		mu.Lock()
		defer mu.Unlock()
		if _, err := unix.Getpeername(fd); err != unix.ENOTCONN {
			t.Errorf("descriptor %d is connected or no socket: %v", fd, err)
		}
		seen[fd]++
	}
	t.Cleanup(func() { SocketHook = nil })
	addr := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	s, err := Dial(context.Background(), &Options{URI: mustURI(t, "ws://"+addr.String()+"/")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Dial(context.Background(), &Options{URI: mustURI(t, "ws://127.0.0.1:1/")}); err == nil {
		t.Fatal("connected to port 1")
	}
	if fd := descriptor(t, s.Conn); seen[fd] == 0 || len(seen) != 2 {
		t.Fatalf("announced %v, expected %d and one more", seen, fd)
	}
	SocketHook = func(fd int) { seen[fd] += 10 }
	Announce(s.Conn)
	if fd := descriptor(t, s.Conn); seen[fd] != 11 {
		t.Fatalf("announced %v, expected %d again", seen, fd)
	}
}

func descriptor(t *testing.T, c net.Conn) int {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	number := -1
	if err := raw.Control(func(fd uintptr) { number = int(fd) }); err != nil {
		t.Fatal(err)
	}
	return number
}
