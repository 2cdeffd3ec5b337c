package libws

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"aiows/libws/deflate"
	"aiows/libws/wire"
)

// vector is a case of wire/testdata/frames.txt or testdata/deflate.txt, as the README.md
// beside each describes it.
type vector struct {
	name      string
	toServer  bool
	extension string // what is agreed on
	limit     uint64
	in        []byte
	want      []string // message, ping, pong, close and fail lines
}

func octets(t testing.TB, fields []string) []byte {
	t.Helper()
	var b []byte
	for _, f := range fields {
		count := 1
		if n, part, found := strings.Cut(f, "*"); found {
			var err error
			if count, err = strconv.Atoi(n); err != nil {
				t.Fatal(err)
			}
			f = part
		}
		part, err := hex.DecodeString(strings.TrimPrefix(f, "-"))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, bytes.Repeat(part, count)...)
	}
	return b
}

func vectors(t testing.TB, file string) []vector {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	extension := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0][0] == '#' {
			continue
		}
		if f[0] == "case" {
			all = append(all, vector{name: f[1]})
			continue
		}
		v := &all[len(all)-1]
		switch f[0] {
		case "extension":
			v.extension = strings.Join(f[1:], " ")
		case "more":
			v.want[len(v.want)-1] += f[1]
		case "to":
			v.toServer = f[1] == "server"
		case "rsv":
			extension[v.name] = true
		case "limit":
			if v.limit, err = strconv.ParseUint(f[1], 10, 64); err != nil {
				t.Fatal(err)
			}
		case "in":
			v.in = append(v.in, octets(t, f[1:])...)
		case "ping", "pong":
			v.want = append(v.want, fmt.Sprintf("%s %x", f[0], octets(t, f[1:])))
		case "message", "close":
			v.want = append(v.want, fmt.Sprintf("%s %s %x", f[0], f[1], octets(t, f[2:])))
		case "fail":
			v.want = append(v.want, "fail "+f[1]+" "+f[2])
		}
	}
	return slices.DeleteFunc(all, func(v vector) bool { return extension[v.name] })
}

// ruleOf is the name that frames.txt has for the rule an error tells of.
var ruleOf = map[string]string{}

func init() {
	for name, rule := range map[string]*wire.Error{
		"reserved-opcode": wire.ErrReservedOpcode, "fragmented-control": wire.ErrFragmentedControl,
		"control-too-long": wire.ErrControlTooLong, "non-minimal-length": wire.ErrNonMinimalLength,
		"length-high-bit": wire.ErrLengthHighBit, "reserved-bits": wire.ErrReservedBits,
		"mask-required": wire.ErrMaskRequired, "mask-forbidden": wire.ErrMaskForbidden,
		"unexpected-continuation": wire.ErrUnexpectedContinuation,
		"expected-continuation":   wire.ErrExpectedContinuation, "message-too-big": wire.ErrMessageTooBig,
		"close-body-length": wire.ErrCloseBodyLength, "close-code": wire.ErrCloseCode,
		"close-reason-u-t-f8": wire.ErrCloseReasonUTF8, "close-reason-utf8": wire.ErrCloseReasonUTF8,
		"invalid-u-t-f8": wire.ErrInvalidUTF8, "invalid-utf8": wire.ErrInvalidUTF8,
	} {
		ruleOf[rule.Error()+" "+name] = name
	}
	for name, rule := range map[string]*deflate.Error{
		"deflate-block-type": deflate.ErrBlockType, "deflate-stored-length": deflate.ErrStoredLength,
		"deflate-code": deflate.ErrCode, "deflate-distance": deflate.ErrDistance,
		"deflate-truncated": deflate.ErrTruncated, "deflate-too-big": deflate.ErrTooBig,
	} {
		ruleOf[rule.Error()+" "+name] = name
	}
}

// outcome writes the events of handle 1 as the lines of frames.txt.
func (h *host) outcome() (lines []string) {
	var parts []byte
	for _, e := range h.seen {
		if e.Conn != 1 {
			continue
		}
		switch e.Type {
		case EventMessage:
			if parts = append(parts, e.data...); e.Flags&FlagFin == 0 {
				continue
			}
			lines = append(lines, fmt.Sprintf("message %s %x", map[uint16]string{Text: "text", Binary: "binary"}[e.Kind], parts))
			parts = nil
		case EventPing:
			lines = append(lines, fmt.Sprintf("ping %x", e.data))
		case EventPong:
			lines = append(lines, fmt.Sprintf("pong %x", e.data))
		case EventClosing:
			lines = append(lines, fmt.Sprintf("close %d %x", e.Code, e.data))
		}
	}
	return lines
}

// TestGoldenFrames replays the vectors of the wire layer through connections: whole,
// cut anywhere, an octet at a time, and with one event to a batch.
func TestGoldenFrames(t *testing.T) {
	for _, mode := range []string{"whole", "octets", "pieces", "single"} {
		t.Run(mode, func(t *testing.T) {
			for _, v := range vectors(t, "wire/testdata/frames.txt") {
				t.Run(v.name, func(t *testing.T) { replay(t, v, mode) })
			}
		})
	}
}

// TestGoldenDeflate does the same with compressed messages.
func TestGoldenDeflate(t *testing.T) {
	for _, mode := range []string{"whole", "octets", "pieces", "single"} {
		t.Run(mode, func(t *testing.T) {
			for _, v := range vectors(t, "testdata/deflate.txt") {
				t.Run(v.name, func(t *testing.T) { replay(t, v, mode) })
			}
		})
	}
}

func replay(t *testing.T, v vector, mode string) {
	h := newHost(t)
	change := func(o *ConnOptions) { o.MaxMessageSize, o.Compression = v.limit, v.extension != "" }
	var c *Conn
	var p *peer
	switch {
	case v.extension != "":
		c, p = h.agreed(v.toServer, change, v.extension)
	case v.toServer:
		c, p = h.server(nil, change, nil)
	default:
		c, p = h.client(nil, change, nil)
	}
	if mode == "single" {
		h.cap = 1
	}
	for rest := v.in; len(rest) > 0; {
		n := len(rest)
		switch mode {
		case "octets":
			if len(v.in)-len(rest) < 300 { // "pieces" cuts up the rest of a long one
				n = 1
			}
		case "pieces":
			n = 1 + rand.IntN(len(rest))
		}
		if _, err := p.stream.Write(rest[:n]); err != nil {
			break // it failed already
		}
		rest = rest[n:]
		if mode != "whole" && mode != "single" {
			h.poll(hang)
		}
	}
	want := v.want
	fails := len(want) > 0 && strings.HasPrefix(want[len(want)-1], "fail ")
	if fails {
		want = want[:len(want)-1]
	}
	h.while("events", func() bool {
		return len(h.outcome()) >= len(want) && c.bytesReceived.Load() >= uint64(len(v.in)) || c.State() != StateOpen
	})
	h.drain()
	if got := h.outcome(); !slices.Equal(got, want) {
		t.Fatalf("got %q\nexpected %q", got, want)
	}
	for _, line := range want {
		if payload, found := strings.CutPrefix(line, "ping "); found {
			p.expect(wire.OpPong, string(octets(t, []string{payload})))
		}
	}
	ended := fails || len(want) > 0 && strings.HasPrefix(want[len(want)-1], "close ")
	if !ended {
		if c.State() != StateOpen {
			t.Fatalf("state %d, error %v", c.State(), c.Err())
		}
		return
	}
	code := 0
	if fails {
		code, _ = strconv.Atoi(strings.Fields(v.want[len(v.want)-1])[2])
	} else {
		code, _ = strconv.Atoi(strings.Fields(want[len(want)-1])[1])
	}
	p.expectClose(code)
	p.socket.Close()
	e := h.until(EventClosed, 1)
	if int(e.CloseSent) != code {
		t.Errorf("CLOSED says that %d was sent, expected %d", e.CloseSent, code)
	}
	if clean := e.Flags&FlagClean != 0; clean == fails {
		t.Errorf("CLOSED is clean: %v", clean)
	}
	if !fails {
		return
	}
	rule := strings.Fields(v.want[len(v.want)-1])[1]
	if err := c.Err(); err == nil || ruleOf[err.Text+" "+rule] == "" || int(err.CloseCode) != code {
		t.Errorf("error %+v, expected rule %s", err, rule)
	}
}
