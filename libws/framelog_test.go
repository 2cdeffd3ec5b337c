package libws

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"aiows/libws/handshake"
	"aiows/libws/wire"
)

func TestFrameLines(t *testing.T) {
	long := strings.Repeat("0123456789", 10)
	euros := strings.Repeat("€", 1000)
	for _, c := range []struct {
		op, kind wire.Opcode
		fin      bool
		payload  string
		packed   int
		want     string
	}{
		{wire.OpText, 0, true, "hello", unpacked, "TEXT 'hello' [5 bytes]"},
		{wire.OpText, 0, true, "", unpacked, "TEXT '' [0 bytes]"},
		{wire.OpText, 0, true, "x", unpacked, "TEXT 'x' [1 byte]"},
		{wire.OpText, 0, true, "hello", 7, "TEXT 'hello' [5 bytes, 7 compressed]"},
		{wire.OpText, 0, false, "a\xe2", unpacked, `TEXT 'a\xe2' [2 bytes, continued]`},
		{wire.OpContinuation, wire.OpText, true, "\x82\xac", unpacked, `CONT '\x82\xac' [2 bytes]`},
		{wire.OpContinuation, wire.OpBinary, true, "ab", unpacked, "CONT 61 62 [binary, 2 bytes]"},
		{wire.OpText, 0, true, "a\r\nb'\\\x00\u202e", unpacked, `TEXT 'a\r\nb\'\\\x00\u202e' [10 bytes]`},
		{wire.OpText, 0, true, long[:75], unpacked, "TEXT '" + long[:75] + "' [75 bytes]"},
		{wire.OpText, 0, true, long, unpacked, "TEXT '" + long[:48] + "..." + long[76:] + "' [100 bytes]"},
		{wire.OpText, 0, true, euros, unpacked, "TEXT '" + euros[:48*3] + "..." + euros[:24*3] + "' [3000 bytes]"},
		{wire.OpBinary, 0, true, "\x00\xff", unpacked, "BINARY 00 ff [binary, 2 bytes]"},
		{wire.OpBinary, 0, true, long[:26], unpacked, "BINARY 30 31 32 33 34 35 36 37 38 39 30 31 32 33 34 35 ... 38 39 30 31 32 33 34 35 [binary, 26 bytes]"},
		{wire.OpPing, 0, true, "ab", unpacked, "PING 61 62 [binary, 2 bytes]"},
		{wire.OpPong, 0, true, "", unpacked, "PONG [binary, 0 bytes]"},
		{wire.OpClose, 0, true, "", unpacked, "CLOSE [0 bytes]"},
		{wire.OpClose, 0, true, "\x03\xe8", unpacked, "CLOSE 1000 (normal closure) [2 bytes]"},
		{wire.OpClose, 0, true, "\x0f\xa0bye\n", unpacked, `CLOSE 4000 (private use) 'bye\n' [6 bytes]`},
		{wire.OpClose, 0, true, "\x03", unpacked, "CLOSE 03 [1 byte]"},
	} {
		if got := frameLine(c.op, c.kind, c.fin, []byte(c.payload), c.packed); got != c.want {
			t.Errorf("%q\n  is %s\nwant %s", c.payload, got, c.want)
		}
	}
}

func TestSecretsAreHidden(t *testing.T) {
	for _, c := range [][3]string{
		{"Authorization", "Basic bWU6c2VjcmV0", "***"},
		{"proxy-authorization", "Bearer x", "***"},
		{"COOKIE", "a=b", "***"},
		{"Set-Cookie", "a=b; Secure", "***"},
		{"X-Api-Key", "x", "***"},
		{"x-amz-security-token", "x", "***"},
		{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="},
		{"Location", "/a?b=c&access_token=x=y&d=e#f", "/a?b=c&access_token=***&d=e#f"},
		{"Location", "wss://h/?Token=x", "wss://h/?Token=***"},
		{"X-Query", "key? no, a=b", "key? no, a=b"},
		{"Host", "example.com", "example.com"},
		{"Location", "wss://me:secret@example.com/a?b=c@d", "wss://***@example.com/a?b=c@d"},
		{"Referer", "http://a/ http://me@b", "http://a/ http://***@b"},
		{"X", "://", "://"},
	} {
		if got := fieldShown(c[0], c[1]); got != c[2] {
			t.Errorf("%s: %s is shown as %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

// told returns the messages and the lines about frames, in order.
func (h *host) told() (told []string) {
	for _, e := range h.seen {
		text := string(e.data)
		switch {
		case e.Type == EventMessage:
			told = append(told, fmt.Sprintf("message % x", e.data))
		case e.Type == EventLog && !strings.Contains(text, "HTTP/1.1") && !strings.Contains(text, ": "):
			told = append(told, text)
		}
	}
	return told
}

// TestFramesAreLogged: both ways, before what they are about, and with the payload as
// it was before masking. In batches without room for a line and a message it is late.
func TestFramesAreLogged(t *testing.T) {
	for _, batch := range []int{128, 3, 1} {
		inBothRoles(t, func(o *ConnOptions) { o.LogFrames, o.PingInterval = true, 0 }, func(h *host, c *Conn, p *peer) {
			h.drain()
			h.seen, h.cap = nil, batch
			p.send(wire.OpText, "hi")
			p.write(p.frame(wire.OpBinary, false, []byte{1, 2}))
			p.send(wire.OpPing, "!")
			p.write(p.frame(wire.OpContinuation, true, []byte{3}))
			count := func(t EventType) (n int) {
				for _, e := range h.seen {
					if e.Type == t {
						n++
					}
				}
				return n
			}
			h.while("the messages", func() bool { return count(EventMessage) == 2 })
			if _, err := c.Send(Text, 0, []byte("answer")); err != nil {
				p.t.Fatal(err)
			}
			if err := c.Close(1000, "bye"); err != nil {
				p.t.Fatal(err)
			}
			h.async("the peer", func() {
				p.expect(wire.OpPong, "!")
				p.expect(wire.OpText, "answer")
				p.expectCloseWith(1000, "bye")
				p.send(wire.OpClose, "\x03\xe8")
				p.socket.Close()
			})
			h.while("the end", func() bool { return count(EventClosed) == 1 })
			if last := h.seen[len(h.seen)-1].Type; last != EventClosed {
				p.t.Errorf("event %d is the last, want CLOSED", last)
			}
			got := h.told()
			want := []string{
				"< TEXT 'hi' [2 bytes]",
				"message 68 69",
				"< BINARY 01 02 [binary, 2 bytes, continued]",
				"< PING 21 [binary, 1 byte]",
				"> PONG 21 [binary, 1 byte]",
				"< CONT 03 [binary, 1 byte]",
				"message 01 02 03",
				"> TEXT 'answer' [6 bytes]",
				"> CLOSE 1000 (normal closure) 'bye' [5 bytes]",
				"< CLOSE 1000 (normal closure) [2 bytes]",
			}
			if batch == 1 {
				slices.Sort(got)
				slices.Sort(want)
			}
			if !slices.Equal(got, want) {
				p.t.Errorf("batches of %d: told\n%s\nwant\n%s", batch, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// TestPartsAreLogged: messages that are told in parts are logged as such.
func TestPartsAreLogged(t *testing.T) {
	h := newHost(t)
	c, p := h.client(nil, func(o *ConnOptions) { o.LogFrames, o.Stream = true, true }, nil)
	h.drain()
	h.seen = nil
	for i, part := range []string{"ab", "cd", "e"} {
		op := wire.OpContinuation
		if i == 0 {
			op = wire.OpText
		}
		p.write(p.frame(op, i == 2, []byte(part)))
	}
	h.while("the parts", func() bool { return c.Stats().FramesReceived == 3 })
	h.drain()
	want := []string{
		"< TEXT 'ab' [2 bytes, continued]", "message 61 62",
		"< CONT 'cd' [2 bytes, continued]", "message 63 64",
		"< CONT 'e' [1 byte]", "message 65",
	}
	if got := h.told(); !slices.Equal(got, want) {
		t.Errorf("told\n%s", strings.Join(got, "\n"))
	}
}

// TestCompressedFramesAreLogged shows what was compressed, and to how much.
func TestCompressedFramesAreLogged(t *testing.T) {
	h := newHost(t)
	c, s := h.pair(nil, func(c, s *ConnOptions) {
		c.LogFrames, c.Compression, s.Compression = true, true, true
	})
	h.drain()
	text := strings.Repeat("abc", 300)
	if _, err := s.Send(Text, 0, []byte(text)); err != nil {
		t.Fatal(err)
	}
	for i, part := range []string{text, text, "x"} {
		if _, err := s.SendFragment(Text, 0, i == 2, []byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Send(Text, 0, []byte(text)); err != nil {
		t.Fatal(err)
	}
	h.until(EventMessage, 2)
	for range 2 {
		h.until(EventMessage, 1)
	}
	pattern := regexp.MustCompile(`^(> TEXT '(abc){16}\.\.\.(abc){8}' \[900 bytes, \d+ compressed\]\n|` +
		`< TEXT '(abc){16}\.\.\.(abc){8}' \[900 bytes, \d+ compressed\]\n|` +
		`< (TEXT|CONT) \[\d+ compressed, continued\]\n|` +
		`< TEXT '(abc){16}\.\.\.bc(abc){7}x' \[1801 bytes, \d+ compressed\]\n){5}$`)
	if told := strings.Join(h.told(), "\n") + "\n"; !pattern.MatchString(told) {
		t.Errorf("told\n%s", told)
	}
}

// TestHeadsAreLogged: of both ends, without what is secret, also of a handshake that
// fails.
func TestHeadsAreLogged(t *testing.T) {
	overBoth(t, func(t *testing.T, secure *testTLS) {
		h := newHost(t)
		o := quiet(func(o *ConnOptions) { o.LogFrames = true })
		ln := h.listen(secure)
		h.dial(ln, secure, 1, o)
		h.accept(2, o)
		h.while("both to open", func() bool {
			n := 0
			for _, e := range h.seen {
				if e.Type == EventOpen {
					n++
				}
			}
			return n == 2
		})
		ln.Close()
		for _, conn := range []uint64{1, 2} {
			var heads []string
			opened := false
			for _, e := range h.seen {
				if e.Conn != conn {
					continue
				}
				if e.Type == EventLog {
					heads = append(heads, string(e.data))
					if opened {
						t.Errorf("conn %d: %s came after OPEN", conn, e.data)
					}
				}
				opened = opened || e.Type == EventOpen
			}
			arrows := [2]string{"> ", "< "}
			if conn == 2 {
				arrows = [2]string{"< ", "> "}
			}
			all := strings.Join(heads, "\n")
			for _, want := range []string{arrows[0] + "GET /", arrows[0] + "Sec-WebSocket-Key: ", arrows[1] + "HTTP/1.1 101 ", arrows[1] + "Sec-WebSocket-Accept: "} {
				if !strings.Contains(all, want) {
					t.Errorf("conn %d: no %q in\n%s", conn, want, all)
				}
			}
		}
	})
}

func TestHeadsOfARefusalAreLogged(t *testing.T) {
	h := newHost(t)
	ln := listenTCP(t)
	c, err := h.loop.NewClient(&ConnectOptions{
		URI:          fmt.Sprintf("ws://me:secret@%s/chat?a=b", ln.Addr()),
		MaxRedirects: 1,
		Headers:      handshake.Header{{Name: "Cookie", Value: "id=secret"}, {Name: "Referer", Value: "http://me:secret@b/"}},
		Conn:         quiet(func(o *ConnOptions) { o.LogFrames = true }),
	}, 10)
	if err != nil {
		t.Fatal(err)
	}
	c.SetHandle(1)
	c.Start()
	p, _ := h.acceptRaw(ln, nil)
	p.write([]byte("HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n"))
	p, _ = h.acceptRaw(ln, nil)
	p.write([]byte("HTTP/1.1 404 Not Found\r\nSet-Cookie: id=secret\r\nContent-Length: 6\r\n\r\nsecret"))
	h.until(EventFailed, 1)
	var lines []string
	for _, e := range h.take(EventLog) {
		lines = append(lines, string(e.data))
	}
	all := strings.Join(lines, "\n")
	for _, want := range []string{
		"> GET /chat?a=b HTTP/1.1", "< HTTP/1.1 302 Found", "< Location: /next", "> GET /next HTTP/1.1",
		"> Authorization: ***", "> Cookie: ***", "> Referer: http://***@b/",
		"< HTTP/1.1 404 Not Found", "< Set-Cookie: ***", "< Content-Length: 6", "< [body, 6 bytes]",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in\n%s", want, all)
		}
	}
	if strings.Contains(all, "secret") || strings.Contains(all, "Basic") {
		t.Errorf("secrets in\n%s", all)
	}
}

// TestTheLogIsBounded: what a host that does not poll would have to keep is counted.
func TestTheLogIsBounded(t *testing.T) {
	f := new(frameLog)
	for range logLines + 5 {
		f.add("line", 1)
	}
	if n := len(f.take(1 << 20)); n != logLines || f.waiting.Load() {
		t.Errorf("%d lines were kept, want %d", n, logLines)
	}
	f.add("next", 1)
	if next := f.take(1); next[0].dropped != 5 {
		t.Errorf("%d dropped lines are counted, want 5", next[0].dropped)
	}
}
