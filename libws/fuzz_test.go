package libws

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"aiows/libws/deflate"
	"aiows/libws/wire"

	"golang.org/x/sys/unix"
)

// farEnd is where the peer of a connection under test stands. write takes as much of b as
// there is room for, EAGAIN for none.
type farEnd interface {
	write(b []byte) (int, error)
	read(b []byte) int
	end()
	close()
}

// socketEnd is the other end of a socket pair.
type socketEnd int

func (fd socketEnd) write(b []byte) (int, error) {
	return unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_NOSIGNAL)
}

func (fd socketEnd) read(b []byte) int {
	n, _ := unix.Read(int(fd), b)
	return n
}

func (fd socketEnd) end()   { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) }
func (fd socketEnd) close() { _ = unix.Close(int(fd)) }

// hostEnd carries the bytes of an attached connection.
type hostEnd struct{ conn *Conn }

func (e hostEnd) write(b []byte) (int, error) {
	switch _, err := e.conn.Feed(b); err {
	case nil:
		return len(b), nil
	case CodeAgain:
		return 0, unix.EAGAIN
	default:
		return 0, err
	}
}

func (e hostEnd) read(b []byte) int {
	n, _ := e.conn.Drain(b)
	return n
}

func (e hostEnd) end()   { _ = e.conn.FeedEnd(0, "") }
func (e hostEnd) close() {}

// fuzzPair opens a connection of ours, handle 1, without a handshake, and returns its far
// end: of a socket pair, or of an attached connection.
func (h *host) fuzzPair(role wire.Role, o ConnOptions, agreed *deflate.Agreement, attached bool) (c *Conn, peer farEnd) {
	h.t.Helper()
	if attached {
		l := h.loop
		l.mu.Lock()
		defer l.mu.Unlock()
		c = newConn(l, role, o)
		c.SetHandle(1)
		c.attach()
		l.conns++
		c.place()
		c.compress(agreed)
		c.becomeOpen(clock(), nil)
		return c, hostEnd{c}
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	l := h.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	c = newConn(l, role, o)
	c.SetHandle(1)
	l.conns++
	c.place()
	track(fds[0])
	if err := c.out.attach(fds[0], true); err != nil {
		h.t.Fatal(err)
	}
	c.compress(agreed)
	c.becomeOpen(clock(), nil)
	return c, socketEnd(fds[1])
}

// pollDry polls for as long as the loop has something to tell.
func (h *host) pollDry() {
	h.t.Helper()
	for range 100000 {
		if !h.readable(0) {
			return
		}
		h.poll(0)
	}
	h.t.Fatal("the loop spins")
}

// plan is how a stream is delivered. Each octet is one piece: its size, and what the
// host does before and after it.
type plan []byte

const (
	planSize   = 0x3F // one less than the size; planSize itself: all that is left
	planToggle = 0x40 // pause, or resume, before the piece is sent
	planHold   = 0x80 // do not poll after it
)

// How messages are told.
const (
	modeWhole = iota
	modeParts
	modeMixed // the host changes its mind
)

func (p plan) pauses() bool {
	return slices.ContainsFunc(p, func(b byte) bool { return b&planToggle != 0 })
}

// agreement is one of the sixteen ways to compress that packed stands for; 0 is none.
func agreement(packed byte) *deflate.Agreement {
	if packed == 0 {
		return nil
	}
	bits, forgets := 8+int(packed)%8, packed&8 != 0
	return &deflate.Agreement{ServerMaxWindowBits: bits, ClientMaxWindowBits: bits,
		ServerNoContextTakeover: forgets, ClientNoContextTakeover: forgets, Level: 1, History: 100}
}

// goBuffer grows on Go's heap.
type goBuffer struct{}

func (goBuffer) Grow(full []byte) []byte { return append(full, make([]byte, len(full)+100)...) }

// inflateBy returns what naiveReader inflates with.
func inflateBy(a *deflate.Agreement, server bool, limit int) func([]byte) ([]byte, *deflate.Error) {
	if a == nil {
		return nil
	}
	r := deflate.NewReceiver(a, server, goHeap{})
	return func(payload []byte) ([]byte, *deflate.Error) {
		return r.Inflate(payload, nil, goBuffer{}, uint64(limit))
	}
}

// inflateStartBy returns what naiveReader inflates the start of a message with: Go's own
// decompressor, after ours said whether it is right. whole is called before it for each
// message that ended.
func inflateStartBy(a *deflate.Agreement, server bool, limit int) (start, whole func([]byte) ([]byte, *deflate.Error)) {
	if a == nil {
		return nil, nil
	}
	var window []byte
	inflate := inflateBy(a, server, limit)
	whole = func(payload []byte) ([]byte, *deflate.Error) {
		text, err := inflate(payload)
		if !a.ServerNoContextTakeover {
			window = append(window, text...)
			window = window[max(0, len(window)-1<<15):]
		}
		return text, err
	}
	start = func(payload []byte) ([]byte, *deflate.Error) {
		// A message that is stored and has the window for its text brings it back.
		past := append(binary.LittleEndian.AppendUint16([]byte{0}, uint16(len(window))), 0, 0)
		binary.LittleEndian.PutUint16(past[3:], ^uint16(len(window)))
		r := deflate.NewReceiver(a, server, goHeap{})
		if _, err := r.Inflate(slices.Concat(past, window, []byte{0}), nil, goBuffer{}, 0); err != nil {
			return nil, err
		}
		if _, err := r.Inflate(payload, nil, goBuffer{}, uint64(limit)); err != nil && err != deflate.ErrTruncated {
			return nil, err
		}
		var text []byte
		for { // a block that says it is the last is followed by another stream
			in := bytes.NewReader(payload)
			some, err := io.ReadAll(flate.NewReaderDict(in, slices.Concat(window, text)))
			text = append(text, some...)
			if err != nil || in.Len() == 0 {
				return text, nil
			}
			payload = payload[len(payload)-in.Len():]
		}
	}
	return start, whole
}

// FuzzStream: what a connection makes of a stream, in either role, however it is cut
// and whenever the host pauses, is what naiveReader reads in RFC 6455, whether it has a
// socket or is attached (128 in events).
func FuzzStream(f *testing.F) {
	for _, v := range vectors(f, "wire/testdata/frames.txt") {
		if len(v.in) <= 4096 {
			f.Add(v.in, []byte{0}, v.toServer, uint16(v.limit), byte(0), byte(0), uint16(1000), byte(0))
			f.Add(v.in, []byte{2, 3 | planToggle, 1 | planHold}, v.toServer, uint16(v.limit), byte(3), byte(1), uint16(100), byte(15))
			f.Add(v.in, []byte{planSize}, v.toServer, uint16(v.limit), byte(2), byte(0), uint16(0), byte(0))
			f.Add(v.in, []byte{0}, v.toServer, uint16(v.limit), byte(0), byte(8), uint16(1000), byte(15))
			f.Add(v.in, []byte{1 | planToggle, 2}, v.toServer, uint16(v.limit), byte(0), byte(16), uint16(100), byte(7))
			f.Add(v.in, []byte{0, planHold | 1}, v.toServer, uint16(v.limit), byte(0), byte(128), uint16(1000), byte(0))
			f.Add(v.in, []byte{2, 3 | planToggle, 1 | planHold}, v.toServer, uint16(v.limit), byte(3), byte(129), uint16(10), byte(7))
		}
	}
	for _, stream := range []string{ // RFC 7692 section 7.2.3, and what may go wrong
		"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\x89\x01p\xc1\x05\xf2\x00\x11\x00\x00\x88\x00",
		"\x41\x03\xf2\x48\xcd\x89\x00\x80\x04\xc9\xc9\x07\x00\xc2\x07\xf2\x48\xcd\xc9\xc9\x07\x00",
		"\xc2\x0b\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00\xc1\x01\x00\x81\x01a",
		"\x41\x03\xf2\x48\xcd\xc0\x00", "\xc9\x00", "\xc1\x01\x06", "\xc1\x08\x00\x02\x00\xfd\xff\xc3\x28\x00", "\xd1\x00",
	} {
		for _, packed := range []byte{7, 8, 15} {
			f.Add([]byte(stream), []byte{4, planSize}, false, uint16(0), byte(0), byte(0), uint16(1000), packed)
			f.Add([]byte(stream), []byte{2 | planToggle, planHold | 1}, false, uint16(4), byte(2), byte(1), uint16(1000), packed)
			f.Add([]byte(stream), []byte{0}, false, uint16(0), byte(0), byte(8), uint16(1000), packed)
			f.Add([]byte(stream), []byte{0, planHold | 1}, false, uint16(4), byte(0), byte(17), uint16(1000), packed)
		}
	}
	for _, packed := range []byte{7, 8} {
		f.Add([]byte("\xc1\x87\x01\x02\x03\x04\xf3\x4a\xce\xcd\xc8\x05\x03\xc1\x85\x00\x00\x00\x00\xf2\x00\x11\x00\x00"), []byte{5}, true, uint16(9), byte(0), byte(0), uint16(1000), packed)
	}
	f.Fuzz(func(t *testing.T, stream, cuts []byte, server bool, limit uint16, maxFragments, events byte, readAhead uint16, packed byte) {
		if len(stream) > 1<<15 {
			return
		}
		mode := int(events&127) / 8 % 3
		o := quiet(func(o *ConnOptions) {
			o.MaxMessageSize, o.MaxFragments, o.ReadAhead = uint64(limit), uint32(maxFragments), uint64(readAhead)
			o.CloseTimeout = 0
			o.Stream = mode == modeParts
			o.LogFrames = len(cuts)%2 == 0 // which must change nothing else
		})
		role := wire.Client
		if server {
			role = wire.Server
		}
		h := newHost(t)
		h.loop.opts.Log, h.loop.opts.NoWatchdog = nil, true
		h.cap = 1 + int(events)%8*16
		agreed := agreement(packed)
		c, far := h.fuzzPair(role, o, agreed, events&128 != 0)
		defer far.close()
		written := h.feed(c, far, stream, cuts, mode)

		saw := streamOutcome{lines: h.outcome(), open: c.State() == StateOpen}
		saw.written = naiveReader{server: !server}.read(written)
		far.end()
		h.pollDry()
		saw.closed, saw.err = h.take(EventClosed), c.Err()

		reader := naiveReader{server: server, limit: int(limit), maxFragments: int(maxFragments)}
		var differs error
		for want := range allowed(reader, stream, mode, agreed) {
			err := saw.compare(want, plan(cuts).pauses(), events&128 != 0)
			if err == nil {
				return
			}
			if differs == nil {
				differs = err
			}
		}
		t.Fatalf("%x: %v", stream, differs)
	})
}

// allowed yields what may come of stream: one outcome, unless the host turned to parts at
// some octet. What is wrong with the start of a compressed message shows there, or with a
// frame behind it.
func allowed(reader naiveReader, stream []byte, mode int, agreed *deflate.Agreement) iter.Seq[naiveOutcome] {
	return func(yield func(naiveOutcome) bool) {
		if mode != modeParts {
			reader.inflate = inflateBy(agreed, reader.server, reader.limit)
			if !yield(reader.read(stream)) {
				return
			}
		}
		if mode == modeWhole {
			return
		}
		reader.parts = true
		for ; reader.from <= len(stream); reader.from++ {
			reader.inflateStart, reader.inflate = inflateStartBy(agreed, reader.server, reader.limit)
			want := reader.read(stream)
			if !yield(want) || mode == modeParts || agreed == nil {
				return
			}
			reader.from = max(reader.from, want.begun) // no message before it makes a difference
		}
	}
}

// streamOutcome is what a connection made of a stream.
type streamOutcome struct {
	lines   []string
	written naiveOutcome // as its peer reads it
	open    bool         // until the peer hung up
	closed  []got
	err     *Error
}

// compare says what differs from want.
func (s streamOutcome) compare(want naiveOutcome, paused, attached bool) error {
	if !slices.Equal(s.lines, want.lines) {
		return fmt.Errorf("\n got %.300q\nwant %.300q", s.lines, want.lines)
	}
	if err := compareWritten(s.written, want, paused, attached); err != nil {
		return err
	}
	if s.open != (want.code == 0) {
		return fmt.Errorf("open %t, expected to close with %d", s.open, want.code)
	}
	if len(s.closed) != 1 {
		return fmt.Errorf("%d CLOSED events", len(s.closed))
	}
	closed, err := s.closed[0], s.err
	switch {
	case want.fail != nil && (err == nil || err.Text != want.fail.Error()):
		return fmt.Errorf("error %v, expected %v", err, want.fail)
	case want.fail == nil && want.code != 0 && (err != nil || closed.Flags&FlagClean == 0 || int(closed.Code) != want.code):
		return fmt.Errorf("CLOSED %d, flags %d, error %v, expected a clean %d", closed.Code, closed.Flags, err, want.code)
	case want.code == 0 && (err == nil || err.Code != CodeLost):
		return fmt.Errorf("error %v, expected a lost connection", err)
	}
	return nil
}

// feed sends stream as cuts says, and returns what the connection wrote.
func (h *host) feed(c *Conn, far farEnd, stream []byte, cuts plan, mode int) (written []byte) {
	h.t.Helper()
	buf := make([]byte, 1<<16)
	drain := func() {
		h.pollDry()
		for {
			n := far.read(buf)
			if n <= 0 {
				return
			}
			written = append(written, buf[:n]...)
		}
	}
	if len(cuts) == 0 {
		cuts = plan{planSize}
	}
	for i := 0; len(stream) > 0; i++ {
		step := cuts[i%len(cuts)]
		n := len(stream)
		if size := int(step & planSize); size != planSize {
			n = min(n, size+1)
		}
		if step&planToggle != 0 {
			if c.paused.Load() {
				_ = c.Resume()
			} else {
				_ = c.Pause()
			}
		}
		if mode == modeMixed {
			_ = c.Stream(i%3 == 1)
		}
		n, err := far.write(stream[:n])
		switch {
		case err == nil:
			stream = stream[n:]
		case err == unix.EAGAIN: // what was held, or a pause, filled the socket
			_ = c.Resume()
			drain()
		default: // the connection ended
			stream = nil
		}
		if step&planHold == 0 {
			drain()
		}
	}
	_ = c.Resume()
	drain()
	return written
}

// compareWritten compares what a connection answered. Of several pings only the newest has
// to be answered while the host pauses, or has not drained the Pong before (RFC 6455 section
// 5.5.3). What is wrong is found after the pause, when the peer's Close may have been
// answered.
func compareWritten(got, want naiveOutcome, paused, attached bool) error {
	if got.fail != nil {
		return fmt.Errorf("wrote a frame that breaks a rule: %v", got.fail)
	}
	if paused && want.fail != nil {
		return nil
	}
	var pongs []string
	for _, line := range got.lines {
		if payload, found := strings.CutPrefix(line, "pong "); found {
			pongs = append(pongs, payload)
		}
	}
	if paused || attached {
		want.pings = answerable(want.pings, pongs)
	}
	if !slices.Equal(pongs, want.pings) {
		return fmt.Errorf("answered pings with %q, expected %q", pongs, want.pings)
	}
	if got.code != want.code {
		return fmt.Errorf("sent Close %d, expected %d", got.code, want.code)
	}
	end := fmt.Sprintf("close %d ", want.code)
	if want.code != 0 && (len(got.lines) == 0 || !strings.HasPrefix(got.lines[len(got.lines)-1], end)) {
		return fmt.Errorf("wrote %q, expected %q at the end", got.lines, end)
	}
	return nil
}

// answerable leaves out the pings, but for the newest, that pongs skip.
func answerable(pings, pongs []string) (left []string) {
	for i, ping := range pings {
		if newest := i == len(pings)-1; newest || len(left) < len(pongs)-1 && pongs[len(left)] == ping {
			left = append(left, ping)
		}
	}
	return left
}
