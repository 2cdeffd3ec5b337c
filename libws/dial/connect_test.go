package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func addresses(texts ...string) (list []netip.Addr) {
	for _, s := range texts {
		list = append(list, netip.MustParseAddr(s))
	}
	return list
}

// TestInterleave: RFC 8305 section 4.
func TestInterleave(t *testing.T) {
	six, four := []string{"::1", "::2", "::3"}, []string{"1.0.0.1", "1.0.0.2"}
	for n, want := range [][]string{
		{"::1", "::2", "::3", "1.0.0.1", "1.0.0.2"},
		{"::1", "1.0.0.1", "::2", "1.0.0.2", "::3"},
		{"::1", "::2", "1.0.0.1", "::3", "1.0.0.2"},
		{"::1", "::2", "::3", "1.0.0.1", "1.0.0.2"},
		{"::1", "::2", "::3", "1.0.0.1", "1.0.0.2"},
	} {
		if got := interleave(addresses(append(six, four...)...), n); !slices.Equal(got, addresses(want...)) {
			t.Errorf("%d of the first family: got %v, expected %v", n, got, want)
		}
	}
	if got := interleave(addresses(four...), 1); !slices.Equal(got, addresses(four...)) {
		t.Errorf("one family: got %v", got)
	}
}

// deafListener listens at address with a full backlog, so that nobody gets an answer.
func deafListener(t *testing.T, address [4]byte, port int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	// Somebody's outgoing connection may have the number.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: address, Port: port}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(c) })
		if err := unix.Connect(c, name); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
	}
}

// TestRace has an address that never answers, one that refuses and one that accepts.
func TestRace(t *testing.T) {
	deaf, refusing, good := "127.8.0.1", "127.8.0.4", "127.8.0.2" // where nobody else listens
	at := listen(t, "tcp", good+":0", func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) })
	deafListener(t, [4]byte{127, 8, 0, 1}, at.Port)
	for _, test := range []struct {
		name   string
		order  []string
		delay  time.Duration
		opens  bool
		failed []string
	}{
		{"overtaken", []string{deaf, refusing, good}, time.Millisecond, true, nil},
		{"refused, without a delay", []string{refusing, good}, 0, true, nil},
		{"waits for the slow one", []string{deaf, good}, 0, false, []string{deaf}},
		{"nobody", []string{refusing, deaf}, time.Millisecond, false, []string{refusing, deaf}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var sockets atomic.Int32
			SocketHook = func(int) { // the time is over a while after the last that is expected
				if int(sockets.Add(1)) == len(test.failed) {
					time.AfterFunc(100*time.Millisecond, cancel)
				}
			}
			t.Cleanup(func() { SocketHook = nil })
			o := &Options{Delay: test.delay}
			c, failed := o.race(ctx, addresses(test.order...), at.Port, nil)
			if (c != nil) != test.opens {
				t.Fatalf("connection %v, failed %v", c, failed)
			}
			if c != nil {
				if got := c.RemoteAddr().String(); got != at.String() {
					t.Errorf("connected to %s", got)
				}
				c.Close()
			} else {
				var got []string
				for _, a := range failed {
					got = append(got, strings.Split(a.Address, ":")[0])
					if a.Err == nil {
						t.Errorf("%s failed without an error", a.Address)
					}
				}
				if !slices.Equal(got, test.failed) {
					t.Errorf("failed %v, expected %v", got, test.failed)
				}
			}
		})
	}
}

// TestAttempts tells of each address, in the error's text too.
func TestAttempts(t *testing.T) {
	o := &Options{}
	_, failed := o.race(context.Background(), addresses("127.0.0.1", "::1"), 1, nil)
	if len(failed) != 2 || failed[0].Errno() != syscall.ECONNREFUSED || failed[0].Address != "127.0.0.1:1" || failed[1].Address != "[::1]:1" {
		t.Fatalf("attempts %+v", failed)
	}
	e := newError(OpConnect, "name.test", 1, failed[0].Err)
	e.Attempts = failed
	if text := e.Error(); !strings.HasPrefix(text, "connect to name.test:1: connection refused (127.0.0.1:1), ") || !strings.Contains(text, "([::1]:1)") {
		t.Errorf("text %q", text)
	}
	e.Attempts = slices.Repeat(failed, 4)
	if text := e.Error(); !strings.HasSuffix(text, ", 4 more") {
		t.Errorf("text %q", text)
	}
}

func TestDialFamily(t *testing.T) {
	at := listen(t, "tcp", "127.0.0.1:0", func(net.Conn) {})
	for family, want := range map[int]bool{0: true, 4: true, 6: false} {
		s, err := Dial(context.Background(), &Options{URI: mustURI(t, "ws://"+at.String()), Family: family})
		if (err == nil) != want {
			t.Errorf("family %d: %v", family, err)
		}
		if s != nil {
			s.Close()
		}
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Op != OpResolve || !strings.Contains(e.Error(), "no address of IPv6")) {
			t.Errorf("family %d: %v", family, err)
		}
	}
}

func TestDialLocalAddress(t *testing.T) {
	seen := make(chan string, 1)
	at := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) { seen <- c.RemoteAddr().String() })
	l, err := net.Listen("tcp4", "0.0.0.0:0") // free at every address
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().(*net.TCPAddr)
	l.Close()
	for _, o := range []Options{
		{LocalHost: "127.0.0.5"},
		{LocalPort: free.Port},
		{LocalHost: "127.0.0.6", LocalPort: free.Port},
	} {
		o.URI = mustURI(t, "ws://"+at.String())
		s, err := Dial(context.Background(), &o)
		if err != nil {
			t.Errorf("from %q %d: %v", o.LocalHost, o.LocalPort, err)
			continue
		}
		s.Close()
		host, port, _ := net.SplitHostPort(<-seen)
		if o.LocalHost != "" && host != o.LocalHost || o.LocalPort != 0 && port != strconv.Itoa(o.LocalPort) {
			t.Errorf("from %q %d: the server saw %s:%s", o.LocalHost, o.LocalPort, host, port)
		}
	}
	for host, want := range map[string]string{"::1": "no local address of the family of 127.0.0.1", "192.0.2.9": "cannot assign"} {
		_, err := Dial(context.Background(), &Options{URI: mustURI(t, "ws://"+at.String()), LocalHost: host})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("from %s: %v, expected %q", host, err, want)
		}
	}
}

func TestDialPath(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "s"), "@" + t.Name()} {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Dial(context.Background(), &Options{URI: mustURI(t, "ws://name.test"), Path: path})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		l.Close()
		_, err = Dial(context.Background(), &Options{URI: mustURI(t, "ws://name.test"), Path: path})
		var e *Error
		if !errors.As(err, &e) || e.Errno == 0 || !strings.HasPrefix(e.Error(), "connect to unix socket "+strconv.Quote(path)+": ") {
			t.Errorf("%q: %v", path, err)
		}
	}
	_, err := Dial(context.Background(), &Options{URI: mustURI(t, "ws://h"), Path: strings.Repeat("x", 108)})
	if err == nil || !strings.Contains(err.Error(), "path of 108 octets, expected at most 107") {
		t.Error(err)
	}
}

// TestDialOwnsTheSocket: also when something is wrong before it is looked at.
func TestDialOwnsTheSocket(t *testing.T) {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, test := range []struct {
		ctx context.Context
		o   Options
	}{
		{canceled, Options{URI: mustURI(t, "ws://h")}},
		{context.Background(), Options{URI: mustURI(t, "ws://h"), Port: 70000}},
		{context.Background(), Options{URI: mustURI(t, "wss://h"), ServerName: "not a name"}},
		{context.Background(), Options{}},
	} {
		ours, theirs := net.Pipe()
		test.o.Socket = ours
		if _, err := Dial(test.ctx, &test.o); err == nil {
			t.Error("no error")
		}
		if _, err := ours.Write([]byte("x")); err == nil {
			t.Error("the socket is still open")
		}
		theirs.Close()
	}
}

func TestHandshakeTimeout(t *testing.T) {
	at := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<16)); _, _ = c.Read(make([]byte, 1)) })
	_, err := Dial(context.Background(), &Options{URI: mustURI(t, "wss://"+at.String()), HandshakeTimeout: 20 * time.Millisecond})
	var e *Error
	if !errors.As(err, &e) || !e.Timeout || e.Op != OpTLS || e.Errno != syscall.ECONNABORTED || !strings.HasSuffix(e.Error(), "timed out after 20ms") {
		t.Errorf("%v", err)
	}
}
