//go:build unix

package dial

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rawSocket does what a reactor does after the flip: raw non-blocking reads,
// here of limit octets at most and with an ErrAgain before each of them.
type rawSocket struct {
	t     *testing.T
	fd    int
	limit int
	ready bool // the next read goes to the socket
	empty bool // the last one found nothing there
}

func (r *rawSocket) read(b []byte) (int, error) {
	if r.ready = !r.ready; !r.ready {
		return 0, ErrAgain
	}
	n, err := unix.Read(r.fd, b[:min(len(b), r.limit)])
	switch {
	case err == unix.EAGAIN:
		r.empty = true
		return 0, ErrAgain
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (r *rawSocket) write(b []byte) (int, error) {
	for n := 0; n < len(b); {
		m, err := unix.Write(r.fd, b[n:])
		if err == unix.EAGAIN {
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLOUT}}, -1)
			continue
		}
		if err != nil {
			return n, err
		}
		n += m
	}
	return len(b), nil
}

// drain reads from the connection until want octets came, an error, or, with
// want 0, until the socket is empty.
func (r *rawSocket) drain(c *tls.Conn, want int) ([]byte, error) {
	var got []byte
	b := make([]byte, 16<<10)
	for {
		n, err := c.Read(b)
		got = append(got, b[:n]...)
		if want > 0 && len(got) >= want {
			return got, nil
		}
		if err == nil {
			continue
		}
		if err != ErrAgain {
			return got, err
		}
		if !r.empty {
			continue
		}
		r.empty = false
		if want == 0 {
			return got, nil
		}
		waitReadable(r.t, r.fd)
	}
}

// flip detaches s and goes on over a raw socket that gives limit octets a read.
func flip(t *testing.T, s *Socket, limit int) *rawSocket {
	t.Helper()
	local, remote := s.Conn.LocalAddr().String(), s.Conn.RemoteAddr().String()
	fd, err := Detach(s.Conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	r := &rawSocket{t: t, fd: fd, limit: limit}
	s.Adapter.Flip(r.read, r.write)
	if l, r := s.TLS.LocalAddr().String(), s.TLS.RemoteAddr().String(); l != local || r != remote {
		t.Errorf("addresses %s and %s after the flip, expected %s and %s", l, r, local, remote)
	}
	return r
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// roundTrips sends payloads of many sizes and expects each back intact.
func roundTrips(t *testing.T, s *Socket, r *rawSocket) {
	t.Helper()
	for _, n := range []int{1, 2, 100, 1000, 16384, 16385, 40000, 3} {
		want := randomBytes(n)
		if m, err := s.TLS.Write(want); m != n || err != nil {
			t.Fatalf("write of %d: %d, error %v", n, m, err)
		}
		got, err := r.drain(s.TLS, n)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d octets back of %d, error %v, intact %v", len(got), n, err, bytes.Equal(got, want))
		}
	}
}

func TestTrickle(t *testing.T) {
	ca := newAuthority(t, "root")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, limit := range []int{1, 7, 1 << 20} {
			t.Run(fmt.Sprintf("%s/%d", tls.VersionName(version), limit), func(t *testing.T) {
				addr := listen(t, "tcp", "127.0.0.1:0", echoTLS(ca.serverTLS(t, TLSOptions{MaxVersion: version})))
				ctx := mustTLS(t, TLSOptions{CAPEM: ca.PEM})
				for i := range 2 {
					s, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: ctx})
					if err != nil {
						t.Fatal(err)
					}
					if got := s.TLS.ConnectionState().DidResume; got != (i == 1) {
						t.Errorf("connection %d resumed: %v; the ticket of TLS 1.3 came after the flip", i, got)
					}
					r := flip(t, s, limit)
					if got, err := r.drain(s.TLS, 0); err != nil || len(got) != 0 {
						t.Fatalf("%d octets before any were sent, error %v", len(got), err)
					}
					roundTrips(t, s, r)
					// The server echoes until it reads our alert, and closes.
					if err := s.TLS.CloseWrite(); err != nil {
						t.Fatal(err)
					}
					if got, err := r.drain(s.TLS, 1); err != io.EOF {
						t.Errorf("%q, error %v, expected io.EOF", got, err)
					}
				}
			})
		}
	}
}

// The server's side flips too: a listener's connections live in the reactor.
func TestTrickleOnTheServer(t *testing.T) {
	ca := newAuthority(t, "root")
	serverContext := ca.serverTLS(t, TLSOptions{})
	sockets := make(chan *Socket)
	ended := make(chan struct{})
	addr := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		s, err := ServerTLS(context.Background(), c, serverContext)
		if err != nil {
			t.Error(err)
		}
		sockets <- s
		<-ended
	})
	c, err := tls.Dial("tcp", addr.String(), mustTLS(t, TLSOptions{CAPEM: ca.PEM}).Client("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	s := <-sockets
	r := flip(t, s, 1)
	close(ended)
	finished := make(chan struct{})
	go func() { defer close(finished); echo(c) }()
	roundTrips(t, s, r)
	if err := s.TLS.CloseWrite(); err != nil {
		t.Error(err)
	}
	<-finished
	c.Close()
	if _, err := r.drain(s.TLS, 1); err != io.EOF {
		t.Errorf("error %v, expected io.EOF", err)
	}
}

// Data that tls.Conn holds at the flip comes out after it, with the socket empty.
func TestFlipKeepsBufferedData(t *testing.T) {
	ca := newAuthority(t, "root")
	ctx := ca.serverTLS(t, TLSOptions{})
	addr := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		s, err := ServerTLS(context.Background(), c, ctx)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(s.TLS, "101 and frames in one record")
		_, _ = io.Copy(io.Discard, s.TLS)
	})
	s, err := Dial(t.Context(), &Options{URI: mustURI(t, "wss://"+addr.String()), TLS: mustTLS(t, TLSOptions{CAPEM: ca.PEM})})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s.TLS, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	r := flip(t, s, 1)
	if got, err := r.drain(s.TLS, 25); err != nil || string(got) != " and frames in one record" {
		t.Errorf("%q, error %v", got, err)
	}
}

// script is a socket whose reads are written down; it records what is sent.
type script struct {
	reads []any // []byte or error
	sent  bytes.Buffer
	wrote int
}

func (s *script) read(b []byte) (int, error) {
	if len(s.reads) == 0 {
		return 0, ErrAgain
	}
	next := s.reads[0]
	s.reads = s.reads[1:]
	switch v := next.(type) {
	case error:
		return 0, v
	case []byte:
		n := copy(b, v)
		if n < len(v) {
			s.reads = slices.Insert(s.reads, 0, any(v[n:]))
		}
		return n, nil
	}
	panic("neither octets nor an error")
}

func (s *script) write(b []byte) (int, error) {
	s.wrote++
	return s.sent.Write(b)
}

// recorder keeps what the server sends once record is set.
type recorder struct {
	net.Conn
	record bool
	sent   []byte
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.record {
		r.sent = append(r.sent, b...)
		return len(b), nil
	}
	return r.Conn.Write(b)
}

// scripted returns a client flipped to a script and a server whose records can
// be put into it.
func scripted(t *testing.T, version uint16) (client *Socket, s *script, server *tls.Conn, rec *recorder) {
	t.Helper()
	ca := newAuthority(t, "root")
	a, b := net.Pipe()
	rec = &recorder{Conn: b}
	server = tls.Server(rec, ca.serverTLS(t, TLSOptions{MaxVersion: version}).Server())
	done := make(chan error, 1)
	go func() {
		_, err := io.WriteString(server, "x") // after the handshake, and its tickets
		done <- err
	}()
	adapter := NewAdapter(a)
	client = &Socket{Conn: a, Adapter: adapter, TLS: tls.Client(adapter, mustTLS(t, TLSOptions{CAPEM: ca.PEM}).Client("server.test"))}
	if _, err := io.ReadFull(client.TLS, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	rec.record = true
	s = &script{}
	adapter.Flip(s.read, s.write)
	t.Cleanup(func() { a.Close(); b.Close() })
	return client, s, server, rec
}

// TLS 1.2 shows an alert behind the data, so crypto/tls tries to read it too.
func TestDataTogetherWithAgain(t *testing.T) {
	client, s, server, rec := scripted(t, tls.VersionTLS12)
	_, _ = io.WriteString(server, "data")
	data := len(rec.sent)
	_ = server.CloseWrite()
	s.reads = []any{rec.sent[:data+2], ErrAgain, rec.sent[data+2:], io.EOF}
	b := make([]byte, 16)
	n, err := client.TLS.Read(b)
	if string(b[:n]) != "data" || err != ErrAgain {
		t.Errorf("%q, error %v, expected data together with ErrAgain", b[:n], err)
	}
	if n, err := client.TLS.Read(b); n != 0 || err != io.EOF {
		t.Errorf("%d, error %v, expected io.EOF of the alert", n, err)
	}
}

// Many records in one read of the socket come out one by one, without more reads.
func TestRecordsRemainAfterTheSocketIsEmpty(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, s, server, rec := scripted(t, version)
		for i := range 5 {
			_, _ = io.WriteString(server, fmt.Sprint(i))
		}
		s.reads = []any{slices.Clone(rec.sent)}
		var got []byte
		b := make([]byte, 16)
		for {
			n, err := client.TLS.Read(b)
			got = append(got, b[:n]...)
			if err != nil {
				if err != ErrAgain {
					t.Error(err)
				}
				break
			}
		}
		if string(got) != "01234" {
			t.Errorf("%q, expected 01234", got)
		}
	}
}

func TestEndOfFile(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, cut := range []int{0, 1, 5, 6} {
			client, s, server, rec := scripted(t, version)
			_, _ = io.WriteString(server, "data")
			whole := len(rec.sent)
			_, _ = io.WriteString(server, "more")
			s.reads = []any{rec.sent[:whole+cut], ErrAgain, io.EOF}
			b := make([]byte, 16)
			if n, err := client.TLS.Read(b); string(b[:n]) != "data" || err != nil {
				t.Fatalf("%q, error %v", b[:n], err)
			}
			want := io.EOF
			if cut > 0 {
				want = io.ErrUnexpectedEOF
			}
			_, err := client.TLS.Read(b)
			if err == ErrAgain {
				_, err = client.TLS.Read(b)
			}
			if err != want {
				t.Errorf("%s, cut %d: error %v, expected %v", tls.VersionName(version), cut, err, want)
			}
		}
	}
}

func TestReadErrorIsFinal(t *testing.T) {
	client, s, _, _ := scripted(t, tls.VersionTLS13)
	s.reads = []any{ErrAgain, unix.ECONNRESET}
	b := make([]byte, 1)
	if _, err := client.TLS.Read(b); err != ErrAgain {
		t.Fatalf("error %v", err)
	}
	for range 2 {
		if _, err := client.TLS.Read(b); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("error %v, expected ECONNRESET", err)
		}
	}
}

// An alert is written by Read, so the output has to be flushed after it.
func TestReadWritesAlert(t *testing.T) {
	client, s, server, rec := scripted(t, tls.VersionTLS13)
	_, _ = io.WriteString(server, "data")
	rec.sent[len(rec.sent)-1] ^= 1
	s.reads = []any{rec.sent}
	_, err := client.TLS.Read(make([]byte, 16))
	if err == nil || errors.Is(err, ErrAgain) || s.sent.Len() == 0 {
		t.Errorf("error %v and %d octets written, expected a bad record and an alert", err, s.sent.Len())
	}
}

func TestCloseAfterFlip(t *testing.T) {
	client, s, _, _ := scripted(t, tls.VersionTLS13)
	if err := client.TLS.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
	if _, err := client.TLS.Read(make([]byte, 1)); err != ErrAgain {
		t.Errorf("error %v, expected the deadline to be without effect", err)
	}
	if err := client.TLS.Close(); err != nil || s.wrote != 1 {
		t.Errorf("error %v and %d writes, expected the alert", err, s.wrote)
	}
	if err := client.Conn.SetDeadline(time.Time{}); err != nil {
		t.Errorf("error %v, expected the socket to be left alone", err)
	}
}

func TestShortWriteIsAnError(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	adapter := NewAdapter(a)
	adapter.Flip(nil, func(b []byte) (int, error) { return len(b) - 1, nil })
	if _, err := adapter.Write([]byte("ab")); err != io.ErrShortWrite {
		t.Errorf("error %v, expected io.ErrShortWrite", err)
	}
}

func TestAgainIsTemporary(t *testing.T) {
	var ne interface {
		net.Error
		Temporary() bool
	}
	if !errors.As(error(ErrAgain), &ne) || !ne.Temporary() || !ne.Timeout() || ne.Error() == "" {
		t.Error("crypto/tls would give up at ErrAgain")
	}
}

func TestAdapterPassesThrough(t *testing.T) {
	addr := listen(t, "tcp", "127.0.0.1:0", echo)
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	a := NewAdapter(c)
	exchange(t, a)
	if a.LocalAddr() != c.LocalAddr() || a.RemoteAddr() != c.RemoteAddr() {
		t.Error("addresses differ")
	}
	for _, set := range []func(time.Time) error{a.SetDeadline, a.SetReadDeadline} {
		if err := set(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		var ne net.Error
		if _, err := a.Read(make([]byte, 1)); !errors.As(err, &ne) || !ne.Timeout() || ne.Error() == "" {
			t.Errorf("error %v, expected the deadline to pass through", err)
		}
		_ = a.SetDeadline(time.Time{})
	}
	if err := a.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write([]byte("x")); err == nil {
		t.Error("expected the write deadline to pass through")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v, expected the close to pass through", err)
	}
}
