package libws

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"aiows/libws/dial"
)

// redirects answers every request at ln by location, until ln is closed.
func redirects(t *testing.T, ln net.Listener, location func() string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(c)
			for line := "x"; line != "\r\n" && err == nil; {
				line, err = in.ReadString('\n')
			}
			fmt.Fprintf(c, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", location())
			_, _ = in.ReadByte()
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
}

// TestRedirect leads from one server to another, and tells of the second.
func TestRedirect(t *testing.T) {
	h := newHost(t)
	first, second := listenTCP(t), listenTCP(t)
	there := fmt.Sprintf("ws://%s/there?q", second.Addr())
	redirects(t, first, func() string { return strings.Replace(there, "ws:", "http:", 1) })
	c, err := h.loop.NewClient(&ConnectOptions{
		URI: fmt.Sprintf("ws://user:secret@%s/", first.Addr()), OpenTimeout: hang, Conn: quiet(nil), MaxRedirects: 1,
	}, 10)
	if err != nil {
		t.Fatal(err)
	}
	c.SetHandle(1)
	c.Start()
	p, key := h.acceptRaw(second, nil)
	p.write(accepted(key))
	h.until(EventOpen, 1)
	i := c.Info()
	if i.URI != there || i.RequestTarget != "/there?q" || i.ResponseStatus != 101 || i.RemoteAddress != second.Addr().String() {
		t.Errorf("info %+v", i)
	}
	if i.RequestHeaders.Has("Authorization") || i.RequestHeaders.Get("Host") != second.Addr().String() {
		t.Errorf("sent %v", i.RequestHeaders)
	}
}

// TestRedirectsEnd: a circle, and the time that is left for all of it.
func TestRedirectsEnd(t *testing.T) {
	for _, test := range []struct {
		name  string
		most  int
		limit time.Duration
		delay time.Duration
		want  Code
		text  string
	}{
		{"limit", 3, hang, 0, CodeHandshake, "more than 3 redirects, the last one to \"/\""},
		{"timeout", 1 << 30, 100 * time.Millisecond, 10 * time.Millisecond, CodeTimeout, "timed out: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			ln := listenTCP(t)
			redirects(t, ln, func() string { time.Sleep(test.delay); return "/" })
			c, err := h.loop.NewClient(&ConnectOptions{
				URI: "ws://" + ln.Addr().String(), OpenTimeout: test.limit, MaxRedirects: test.most,
			}, 10)
			if err != nil {
				t.Fatal(err)
			}
			c.SetHandle(1)
			c.Start()
			if e := h.failing(c, test.want); !strings.HasPrefix(e.Text, test.text) {
				t.Errorf("error %q", e.Text)
			}
		})
	}
}

// TestAbandon: a connection that was never started gives its socket back.
func TestAbandon(t *testing.T) {
	h := newHost(t)
	ln := listenTCP(t)
	socket, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	raw, err := socket.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var c *Conn
	if err := raw.Control(func(fd uintptr) {
		c, err = h.loop.NewClient(&ConnectOptions{URI: "ws://h", HasSocket: true, Socket: int(fd), Conn: quiet(nil)}, 10)
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	socket.Close()
	c.Abandon()
	_ = peer.SetReadDeadline(time.Now().Add(hang))
	if n, err := peer.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v, expected the end", n, err)
	}
	if n := h.loop.Stats().Connections; n != 0 {
		t.Errorf("%d connections left", n)
	}
}

// TestSocketOfACanceledOpening: the loop may end before Start.
func TestSocketOfACanceledOpening(t *testing.T) {
	uri, err := dial.ParseURI("ws://h")
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h := openOne(ctx, &opening{options: &ConnectOptions{}, socket: ours, uri: uri})
	if h.err == nil || h.err.Code != CodeAborted {
		t.Errorf("error %v", h.err)
	}
	if _, err := theirs.Read(make([]byte, 1)); err == nil {
		t.Error("the socket is still open")
	}
}
