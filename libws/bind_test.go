package libws

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aiows/libws/wire"

	"golang.org/x/sys/unix"
)

// boundSocket is a socket of the host's, bound to sa and not listening.
func boundSocket(t *testing.T, family, kind int, sa unix.Sockaddr) int {
	t.Helper()
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if sa != nil {
		if err := unix.Bind(fd, sa); err != nil {
			t.Fatal(err)
		}
	}
	return fd
}

// echoOver has a client connect to ln by way of socket, and ends it.
func (h *host) echoOver(socket net.Conn) (local, remote string) {
	h.t.Helper()
	p := &peer{t: h.t, stream: socket, masks: true}
	p.in = bufio.NewReader(socket)
	p.write([]byte(sampleRequest))
	c := h.accept(1, quiet(nil))
	h.until(EventOpen, 1)
	p.head()
	p.send(wire.OpText, "hello")
	h.until(EventMessage, 1)
	if _, err := c.Send(Text, 0, []byte("answer")); err != nil {
		h.t.Fatal(err)
	}
	p.expect(wire.OpText, "answer")
	i := c.Info()
	c.Free()
	return i.LocalAddress, i.RemoteAddress
}

// TestInheritedSocket: the library's is a duplicate, and the host's own stays as it was.
func TestInheritedSocket(t *testing.T) {
	h := newHost(t)
	own := boundSocket(t, unix.AF_INET, unix.SOCK_STREAM, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	use := func(o *ListenOptions) { o.Host, o.HasSocket, o.Socket = "", true, own }
	ln := h.listenWith(nil, use)
	bound, err := unix.Getsockname(own)
	if err != nil || ln.Port() != int(addrPort(bound).Port()) || ln.Port() == 0 {
		t.Fatalf("port %d of %v (%v)", ln.Port(), bound, err)
	}
	if flags, err := unix.FcntlInt(uintptr(ln.fd), unix.F_GETFD, 0); err != nil || ln.fd == own || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor %d with flags %d beside %d (%v)", ln.fd, flags, own, err)
	}
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", addrPort(bound).Port()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	first := dial()
	local, remote := h.echoOver(first)
	if local != first.RemoteAddr().String() || remote != first.LocalAddr().String() {
		t.Errorf("addresses %s and %s of %v", local, remote, first.LocalAddr())
	}
	ln.Close()
	h.settled()
	waiting := dial() // into the backlog, for whoever listens next
	ln = h.listenWith(nil, use)
	h.echoOver(waiting)
	ln.Close()
}

// TestUnixSocket: with a path, and in the abstract namespace; also over TLS.
func TestUnixSocket(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		folder, err := os.MkdirTemp("", "aiows") // t.TempDir may be longer than an address
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(folder) })
		for _, name := range []string{filepath.Join(folder, "a"), "@aiows-test-" + filepath.Base(folder)} {
			t.Run(name[:1], func(t *testing.T) {
				h := newHost(t)
				own := boundSocket(t, unix.AF_UNIX, unix.SOCK_STREAM, &unix.SockaddrUnix{Name: name})
				ln := h.listenWith(secure, func(o *ListenOptions) { o.Host, o.HasSocket, o.Socket = "", true, own })
				if ln.Port() != 0 {
					t.Errorf("port %d", ln.Port())
				}
				socket, err := net.Dial("unix", name)
				if err != nil {
					t.Fatal(err)
				}
				defer socket.Close()
				stream := socket
				if secure != nil {
					stream = h.tlsClient(socket, secure)
				}
				if local, remote := h.echoOver(stream); local != name || remote != "" {
					t.Errorf("addresses %q and %q, expected %q and none", local, remote, name)
				}
				ln.Close()
				h.settled()
			})
		}
	})
}

func TestInheritedSocketRefused(t *testing.T) {
	h := newHost(t)
	loopback := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	peers, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range peers {
		defer unix.Close(fd)
	}
	stream := boundSocket(t, unix.AF_INET, unix.SOCK_STREAM, loopback)
	for name, test := range map[string]struct {
		options ListenOptions
		code    Code
		errno   unix.Errno
		text    string
	}{
		"no descriptor": {ListenOptions{Socket: 1 << 20}, CodeSystem, unix.EBADF, "listen on descriptor 1048576: bad file descriptor"},
		"a file":        {ListenOptions{Socket: int(file.Fd())}, CodeSystem, unix.ENOTSOCK, "socket operation on non-socket"},
		"datagrams":     {ListenOptions{Socket: boundSocket(t, unix.AF_INET, unix.SOCK_DGRAM, loopback)}, CodeArgument, 0, "not a stream socket"},
		"netlink":       {ListenOptions{Socket: boundSocket(t, unix.AF_NETLINK, unix.SOCK_RAW, nil)}, CodeArgument, 0, "not a stream socket"},
		"connected":     {ListenOptions{Socket: peers[0]}, CodeArgument, 0, "it is connected"},
		"unix, unbound": {ListenOptions{Socket: boundSocket(t, unix.AF_UNIX, unix.SOCK_STREAM, nil)}, CodeSystem, unix.EINVAL, "listen: invalid argument"},
		"and a host":    {ListenOptions{Socket: stream, Host: "127.0.0.1"}, CodeArgument, 0, "together with a host"},
		"and a port":    {ListenOptions{Socket: stream, Port: 80}, CodeArgument, 0, "together with a host"},
		"and reuse":     {ListenOptions{Socket: stream, ReusePort: true}, CodeArgument, 0, "together with a host"},
	} {
		test.options.HasSocket = true
		var e *Error
		ln, err := h.loop.Listen(&test.options, 0)
		if !errors.As(err, &e) || ln != nil || e.Code != test.code || e.Errno != test.errno || !strings.Contains(e.Text, test.text) {
			t.Errorf("%s: %+v, expected code %d, errno %d and %q", name, err, test.code, test.errno, test.text)
		}
	}
	h.settled()
}
