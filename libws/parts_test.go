package libws

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"aiows/libws/deflate"
	"aiows/libws/wire"
)

// part is one MESSAGE event of a message in parts.
type part struct {
	kind uint16
	fin  bool
	data string
}

// parts returns the MESSAGE events seen since the last call.
func (h *host) parts() (list []part) {
	for _, e := range h.take(EventMessage) {
		list = append(list, part{e.Kind, e.Flags&FlagFin != 0, string(e.data)})
	}
	return list
}

// expectParts polls until as many parts came as are expected, and compares.
func (h *host) expectParts(want ...part) {
	h.t.Helper()
	var list []part
	h.while("parts", func() bool {
		list = append(list, h.parts()...)
		return len(list) >= len(want)
	})
	if !slices.Equal(list, want) {
		h.t.Fatalf("got %.300v, expected %.300v", list, want)
	}
}

func streaming(o *ConnOptions) { o.Stream = true }

// TestStream: an event for each frame, empty ones too, also those that end inside a
// character; control frames and whole messages keep their place.
func TestStream(t *testing.T) {
	inBothRoles(t, streaming, func(h *host, c *Conn, p *peer) {
		p.write(slices.Concat(
			p.frame(wire.OpText, false, []byte("gr\xc3")), p.frame(wire.OpPing, true, []byte("1")),
			p.frame(wire.OpContinuation, false, nil), p.frame(wire.OpContinuation, true, []byte("\xbc\xc3\xbc")),
			p.frame(wire.OpBinary, true, []byte("whole")), p.frame(wire.OpBinary, false, nil),
			p.frame(wire.OpContinuation, true, nil)))
		h.expectParts(part{Text, false, "gr\xc3"}, part{Text, false, ""}, part{Text, true, "\xbc\xc3\xbc"},
			part{Binary, true, "whole"}, part{Binary, false, ""}, part{Binary, true, ""})
		p.expect(wire.OpPong, "1")
		if n := c.Stats().MessagesReceived; n != 3 {
			h.t.Errorf("%d messages, expected 3", n)
		}
		_ = c.Stream(false)
		p.write(slices.Concat(p.frame(wire.OpText, false, []byte("a")), p.frame(wire.OpContinuation, true, []byte("b"))))
		h.expectParts(part{Text, true, "ab"})
	})
}

// TestStreamHalfReceived: what has come is told at once, with the rest following; off
// takes effect behind the message that is being told.
func TestStreamHalfReceived(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		long := p.frame(wire.OpContinuation, true, filled(5000, 'x'))
		p.write(slices.Concat(p.frame(wire.OpText, false, []byte("one ")), p.frame(wire.OpContinuation, false, []byte("two ")), long[:3000]))
		h.while("frames", func() bool { return c.Stats().FramesReceived == 3 })
		h.settled()
		if list := h.parts(); list != nil {
			h.t.Fatalf("told %v before it was asked for", list)
		}
		_ = c.Pause()
		_ = c.Stream(true)
		h.settled()
		if list := h.parts(); list != nil {
			h.t.Fatalf("told %v while paused", list)
		}
		_ = c.Resume()
		var told string
		h.while("the part", func() bool {
			for _, e := range h.parts() {
				told += e.data
				if e.fin {
					h.t.Fatal("fin")
				}
			}
			return told != ""
		})
		_ = c.Stream(false)
		p.write(long[3000:])
		h.expectParts(part{Text, true, string(filled(5000-len(told)+8, 'x'))})
		if told[:8] != "one two " {
			h.t.Errorf("the part begins with %.20q", told)
		}
		p.write(slices.Concat(p.frame(wire.OpText, false, []byte("a")), p.frame(wire.OpContinuation, true, []byte("b"))))
		h.expectParts(part{Text, true, "ab"})
	})
}

// TestStreamEndsInside: a message that is cut off by the end was told as far as it came.
func TestStreamEndsInside(t *testing.T) {
	inBothRoles(t, nil, func(h *host, c *Conn, p *peer) {
		p.write(slices.Concat(p.frame(wire.OpBinary, false, []byte("begun")), p.frame(wire.OpContinuation, true, []byte("rest"))[:2]))
		h.while("frames", func() bool { return c.Stats().FramesReceived > 0 })
		_ = c.Stream(true)
		p.reset()
		h.until(EventClosed, 1)
		if list := h.parts(); !slices.Equal(list, []part{{Binary, false, "begun"}}) {
			h.t.Errorf("got %v", list)
		}
		if err := c.Stream(true); err != CodeClosed {
			h.t.Errorf("after the end: %v", err)
		}
	})
}

// TestStreamLongFrame: a frame of 24 MiB is told in parts, in memory of a few.
func TestStreamLongFrame(t *testing.T) {
	const size = 24 << 20
	inBothRoles(t, func(o *ConnOptions) { o.Stream, o.MaxMessageSize = true, 0 }, func(h *host, c *Conn, p *peer) {
		h.async("writing", func() { p.write(p.frame(wire.OpBinary, true, filled(size, 'x'))) })
		total, most := 0, 0
		for fin := false; !fin; {
			h.poll(1000)
			_, held := h.heap.sizes()
			most = max(most, held)
			for _, e := range h.parts() {
				if len(e.data) > maxPart {
					h.t.Fatalf("a part of %d bytes", len(e.data))
				}
				total += len(e.data)
				fin = e.fin
			}
		}
		if total != size || most > 8<<20 {
			h.t.Errorf("%d bytes came, expected %d; %d were held", total, size, most)
		}
	})
}

// TestFragmentLimit: a frame above it ends the connection with 1009, whether messages are
// told in parts or not, and the limit of a message counts over its parts.
func TestFragmentLimit(t *testing.T) {
	for _, c := range []struct {
		name     string
		message  uint64
		fragment uint64
		stream   bool
		packed   bool
		frames   []string
		told     int
		failure  string
	}{
		{"alone", 0, 10, false, false, []string{"0123456789", "0123456789a"}, 1, "fragment size"},
		{"a longer one", 0, 10, true, false, []string{"0123456789", "-0123456789", "0123456789a"}, 2, "fragment size"},
		{"together", 20, 10, true, false, []string{"-0123456789", "-0123456789", "a"}, 2, "message exceeds"},
		{"compressed", 0, 100, true, true, []string{"-" + string(filled(100, 'x')), "-" + string(filled(101, 'x'))}, 1, "fragment size"},
		{"compressed, whole", 1000, 100, false, true, []string{string(filled(100, 'x')), string(filled(101, 'x'))}, 1, "fragment size"},
		{"compressed, together", 150, 100, true, true, []string{"-" + string(filled(100, 'x')), "-" + string(filled(51, 'x'))}, 1, "inflated message"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBothRolesCompressed(t, func(o *ConnOptions) {
				o.MaxMessageSize, o.MaxFragmentSize, o.Stream = c.message, c.fragment, c.stream
			}, func(h *host, ws *Conn, k *packer) {
				first := true
				for _, f := range c.frames {
					data, found := []byte(f), f[0] == '-'
					if found {
						data = data[1:]
					}
					payload := data
					if c.packed {
						if payload = k.pack(data); found {
							payload = append(payload, 0, 0, 0xff, 0xff)
						}
					}
					op := wire.OpContinuation
					if first {
						op = wire.OpBinary
					}
					frame := k.frame(op, !found, payload)
					if first && c.packed {
						frame[0] |= 0x40
					}
					k.write(frame)
					first = !found
				}
				h.async("reading", func() { k.expectClose(1009) })
				k.reset()
				h.until(EventClosed, 1)
				if n := len(h.parts()); n != c.told {
					t.Errorf("%d parts told, expected %d", n, c.told)
				}
				if err := ws.Err(); err == nil || err.Code != CodeTooBig || !bytes.Contains([]byte(err.Text), []byte(c.failure)) {
					t.Errorf("error %v, expected %q", err, c.failure)
				}
			})
		})
	}
}

// TestStreamCompressed: messages in frames of any size, a byte at a time, make the text
// that they make as a whole, whatever the window, and whenever parts are asked for.
func TestStreamCompressed(t *testing.T) {
	for _, forgets := range []bool{false, true} {
		t.Run(fmt.Sprintf("forgets %v", forgets), func(t *testing.T) { streamCompressed(t, forgets) })
	}
}

func streamCompressed(t *testing.T, forgets bool) {
	extension := "permessage-deflate"
	if forgets {
		extension += "; server_no_context_takeover; client_no_context_takeover"
	}
	h := newHost(t)
	c, p := h.agreed(false, func(o *ConnOptions) {
		o.Compression, o.Stream = true, true
		o.MaxFragmentSize = math.MaxUint64
		o.Deflate = []deflate.Config{{ServerNoContextTakeover: forgets, ClientNoContextTakeover: forgets}}
	}, extension)
	k := newPacker(p)
	for i := range 60 {
		m := text(rand.IntN(3000))
		if i%5 == 0 {
			m = append(m, random(rand.IntN(300))...)
		}
		if forgets {
			k.w.Reset(&k.out)
		}
		stream, frames := k.inFrames(m)
		step := 1
		if i%2 == 0 {
			step = 1 + rand.IntN(len(stream))
		}
		mixed := i%7 == 3
		if mixed {
			_ = c.Stream(false)
		}
		var got []byte
		told, fin := 0, false
		for at := 0; !fin; at += step {
			if at < len(stream) {
				k.write(stream[at:min(len(stream), at+step)])
			}
			h.poll(0)
			if c.Ended() {
				t.Fatalf("message %d: %v", i, c.Err())
			}
			if mixed && at > len(stream)/2 {
				_ = c.Stream(true)
			}
			for _, e := range h.parts() {
				got = append(got, e.data...)
				fin = e.fin
				told++
			}
		}
		_ = c.Stream(true)
		if !bytes.Equal(got, m) || !mixed && told != frames {
			t.Fatalf("message %d: %d bytes in %d parts, expected %d in %d", i, len(got), told, len(m), frames)
		}
	}
}

// inFrames returns a compressed message in frames of random lengths, and their number.
func (k *packer) inFrames(m []byte) (stream []byte, frames int) {
	payload, op := k.pack(m), wire.OpBinary
	for fin := false; !fin; op = wire.OpContinuation {
		n := min(len(payload), rand.IntN(1+rand.IntN(200)))
		fin = n == len(payload)
		f := k.frame(op, fin, payload[:n])
		if op == wire.OpBinary {
			f[0] |= 0x40
		}
		stream = append(stream, f...)
		payload = payload[n:]
		frames++
	}
	return stream, frames
}

// TestStreamFailures: what is wrong with a part ends the connection there, and the part is
// not told.
func TestStreamFailures(t *testing.T) {
	tail := []byte("\x00\x00\xff\xff") // of a compressed frame that is not the last
	for name, frames := range map[string]func(k *packer) (good, bad []byte){
		"no text": func(k *packer) (good, bad []byte) {
			return k.frame(wire.OpText, false, []byte("good")), k.frame(wire.OpContinuation, false, []byte("\xff"))
		},
		"ends in a character": func(k *packer) (good, bad []byte) {
			return k.frame(wire.OpText, false, []byte("good")), k.frame(wire.OpContinuation, true, []byte("\xc3"))
		},
		"compressed, no text": func(k *packer) (good, bad []byte) {
			good = k.first(wire.OpText, false, append(k.pack([]byte("good")), tail...))
			return good, k.frame(wire.OpContinuation, false, append(k.pack([]byte("\xff")), tail...))
		},
		"block type 3": func(k *packer) (good, bad []byte) {
			good = k.first(wire.OpText, false, append(k.pack([]byte("good")), tail...))
			return good, k.frame(wire.OpContinuation, false, []byte{6})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBothRolesCompressed(t, streaming, func(h *host, c *Conn, k *packer) {
				good, bad := frames(k)
				k.write(append(good, bad...))
				h.async("reading", func() { k.expectClose(1007) })
				k.reset()
				h.until(EventClosed, 1)
				if list := h.parts(); !slices.Equal(list, []part{{Text, false, "good"}}) {
					h.t.Errorf("got %v", list)
				}
			})
		})
	}
}

// TestStreamCompressedFailsInside: a host that turns to parts inside a frame is told what is
// wrong with the start of it.
func TestStreamCompressedFailsInside(t *testing.T) {
	inBothRolesCompressed(t, nil, func(h *host, c *Conn, k *packer) {
		f := k.first(wire.OpText, false, append(k.pack([]byte("no text \xff")), filled(100, 0)...))
		k.write(f[:len(f)-100])
		h.while("the frame", func() bool { return c.Stats().FramesReceived == 1 })
		h.settled()
		if c.State() != StateOpen {
			h.t.Fatalf("state %d before parts were asked for: %v", c.State(), c.Err())
		}
		_ = c.Stream(true)
		h.async("reading", func() { k.expectClose(1007) })
		k.reset()
		h.until(EventClosed, 1)
	})
}

// TestStreamBudget: parts count against what one poll tells of a connection.
func TestStreamBudget(t *testing.T) {
	h := newHost(t)
	c, p := h.client(nil, streaming, nil)
	h.cap = 4
	var stream []byte
	for i := range 100 {
		op := wire.OpContinuation
		if i == 0 {
			op = wire.OpBinary
		}
		stream = append(stream, p.frame(op, i == 99, []byte{byte(i)})...)
	}
	p.write(stream)
	n := 0
	h.while("parts", func() bool {
		list := h.parts()
		if len(list) > 4 {
			t.Fatalf("%d parts in a batch of 4", len(list))
		}
		for _, e := range list {
			if e.data != string([]byte{byte(n)}) || e.fin != (n == 99) {
				t.Fatalf("part %d: %v", n, e)
			}
			n++
		}
		return n == 100
	})
	if c.State() != StateOpen {
		t.Error("closed")
	}
}

// TestStreamLogged: frames of a message in parts are noted as they are told.
func TestStreamLogged(t *testing.T) {
	inBothRoles(t, func(o *ConnOptions) { o.Stream, o.LogFrames = true, true }, func(h *host, c *Conn, p *peer) {
		h.drain()
		h.take(EventLog)
		h.cap = 3
		p.write(slices.Concat(p.frame(wire.OpText, false, []byte("a")), p.frame(wire.OpContinuation, false, nil), p.frame(wire.OpContinuation, true, []byte("b"))))
		h.expectParts(part{Text, false, "a"}, part{Text, false, ""}, part{Text, true, "b"})
		h.settled()
		var lines []string
		for _, e := range h.take(EventLog) {
			lines = append(lines, string(e.data))
		}
		want := []string{"< TEXT 'a' [1 byte, continued]", "< CONT '' [0 bytes, continued]", "< CONT 'b' [1 byte]"}
		if !slices.Equal(lines, want) {
			h.t.Errorf("got %q, expected %q", lines, want)
		}
	})
}

// TestStreamFromAnyThread: whoever asks for parts, and whenever, every message comes whole
// or in parts, in order.
func TestStreamFromAnyThread(t *testing.T) {
	h := newHost(t)
	c, s := h.pair(nil, compressed)
	stop := make(chan struct{})
	go func() {
		defer h.loop.Wake()
		for on := false; ; on = !on {
			select {
			case <-stop:
				return
			default:
				_ = s.Stream(on)
			}
		}
	}()
	go func() {
		for i := range 300 {
			for j, piece := range []string{"number ", "", fmt.Sprint(i)} {
				_, _ = c.SendFragment(Text, SendForce, j == 2, []byte(piece))
			}
		}
	}()
	var message string
	n := 0
	h.while("messages", func() bool {
		for _, e := range h.parts() {
			message += e.data
			if !e.fin {
				continue
			}
			if want := fmt.Sprintf("number %d", n); message != want {
				t.Fatalf("got %q, expected %q", message, want)
			}
			message = ""
			n++
		}
		return n == 300
	})
	close(stop)
}
