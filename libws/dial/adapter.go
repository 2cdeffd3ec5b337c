package dial

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// ErrAgain is what a read function given to [Adapter.Flip] returns when the
// socket has no data. crypto/tls keeps the records it has begun only because
// the error is a temporary net.Error; every other error ends the connection.
var ErrAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "no data at the moment" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// Adapter is the net.Conn on which crypto/tls runs.
//
// It passes through to the socket, blocking, until [Adapter.Flip]; from then on
// it calls the two functions given there and never touches the socket again.
// Handshake errors are sticky in crypto/tls, so the flip comes after the
// handshake. After the flip tls.Conn has to be used like this:
//
//   - Read until it returns ErrAgain: decrypted data and whole records stay
//     inside tls.Conn while the socket is empty.
//   - Use n before looking at the error: TLS 1.2 can return n > 0 and ErrAgain.
//   - Flush the output after each Read: alerts and the answers to KeyUpdate are
//     written by it.
//   - io.EOF does not prove a clean end, only a Close frame does: a connection
//     cut at the border of a record reads the same.
type Adapter struct {
	conn    net.Conn
	flipped atomic.Pointer[flipped]
}

type flipped struct {
	read, write   func([]byte) (int, error)
	local, remote net.Addr
}

// NewAdapter returns an adapter that passes through to c.
func NewAdapter(c net.Conn) *Adapter { return &Adapter{conn: c} }

// Flip replaces the socket by two functions, while no other call is under way.
//
// read returns 0 and [ErrAgain] when there is no data, 0 and io.EOF at the end.
// write must take everything it is given, buffering what the socket does not:
// an error or a short count is sticky in crypto/tls. Both are called with the
// locks of tls.Conn held. The socket is not closed: [Detach] does that.
func (a *Adapter) Flip(read, write func([]byte) (int, error)) {
	a.flipped.Store(&flipped{read: read, write: write, local: a.LocalAddr(), remote: a.RemoteAddr()})
	a.conn = nil // closed by then, and not to be kept alive for as long as the connection
}

// Read reads from the socket, or calls the read function after [Adapter.Flip].
func (a *Adapter) Read(b []byte) (int, error) {
	if f := a.flipped.Load(); f != nil {
		return f.read(b)
	}
	return a.conn.Read(b)
}

// Write writes to the socket, or calls the write function after [Adapter.Flip].
func (a *Adapter) Write(b []byte) (int, error) {
	f := a.flipped.Load()
	if f == nil {
		return a.conn.Write(b)
	}
	n, err := f.write(b)
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

// Close closes the socket; after [Adapter.Flip] it does nothing.
func (a *Adapter) Close() error {
	if a.flipped.Load() != nil {
		return nil
	}
	return a.conn.Close()
}

// LocalAddr returns the socket's own address, also after [Adapter.Flip].
func (a *Adapter) LocalAddr() net.Addr {
	if f := a.flipped.Load(); f != nil {
		return f.local
	}
	return a.conn.LocalAddr()
}

// RemoteAddr returns the peer's address, also after [Adapter.Flip].
func (a *Adapter) RemoteAddr() net.Addr {
	if f := a.flipped.Load(); f != nil {
		return f.remote
	}
	return a.conn.RemoteAddr()
}

// SetDeadline passes through; after [Adapter.Flip] it does nothing.
func (a *Adapter) SetDeadline(t time.Time) error {
	if a.flipped.Load() != nil {
		return nil
	}
	return a.conn.SetDeadline(t)
}

// SetReadDeadline passes through; after [Adapter.Flip] it does nothing.
func (a *Adapter) SetReadDeadline(t time.Time) error {
	if a.flipped.Load() != nil {
		return nil
	}
	return a.conn.SetReadDeadline(t)
}

// SetWriteDeadline passes through; after [Adapter.Flip] it does nothing.
func (a *Adapter) SetWriteDeadline(t time.Time) error {
	if a.flipped.Load() != nil {
		return nil
	}
	return a.conn.SetWriteDeadline(t)
}
