package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// testdata/README.md is the format of the files read here.

type frameCase struct {
	name  string
	role  Role
	rsv   uint8
	limit int64
	in    []byte
	want  []string // the lines that come of it, data expanded, without "at"
	at    int      // of the fail line, else 0
}

// vectorLines returns the lines of a file without comments.
func vectorLines(t testing.TB, file string) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for i, line := range lines {
		if len(line) > 1000 {
			t.Fatalf("%s:%d: %d characters, expected at most 1000", file, i+1, len(line))
		}
	}
	return slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "#") })
}

func unhex(t testing.TB, fields ...string) []byte {
	t.Helper()
	var b []byte
	for _, f := range fields {
		if f == "-" {
			continue
		}
		count := 1
		if n, rest, found := strings.Cut(f, "*"); found {
			count, f = number(t, n), rest
		}
		part, err := hex.DecodeString(f)
		if err != nil {
			t.Fatalf("%q: %v", f, err)
		}
		b = append(b, bytes.Repeat(part, count)...)
	}
	return b
}

func number(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wireKey is the value of Header.Key for four octets in wire order.
func wireKey(t testing.TB, s string) uint32 {
	t.Helper()
	b := unhex(t, s)
	if len(b) != 4 {
		t.Fatalf("masking key %q has %d octets, expected 4", s, len(b))
	}
	return binary.LittleEndian.Uint32(b)
}

func frameCases(t testing.TB) []frameCase {
	t.Helper()
	var cases []frameCase
	var c *frameCase
	for _, line := range vectorLines(t, "frames.txt") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		switch f[0] {
		case "case":
			cases = append(cases, frameCase{name: f[1]})
			c = &cases[len(cases)-1]
		case "cite":
		case "to":
			c.role = map[string]Role{"client": Client, "server": Server}[f[1]]
			if c.role.String() != f[1] {
				t.Fatalf("%s: role %q", c.name, f[1])
			}
		case "rsv":
			c.rsv = uint8(number(t, f[1]))
		case "limit":
			c.limit = int64(number(t, f[1]))
		case "in":
			c.in = append(c.in, unhex(t, f[1:]...)...)
		case "frame", "open":
			c.want = append(c.want, line)
		case "payload", "ping", "pong":
			c.want = append(c.want, fmt.Sprintf("%s %x", f[0], unhex(t, f[1:]...)))
		case "message", "close":
			c.want = append(c.want, fmt.Sprintf("%s %s %x", f[0], f[1], unhex(t, f[2:]...)))
		case "fail":
			c.at = number(t, f[4])
			c.want = append(c.want, strings.Join(f[:4], " "))
		default:
			t.Fatalf("%s: unknown line %q", c.name, line)
		}
	}
	return cases
}

// receiver is the least that turns octets into the lines of frames.txt.
type receiver struct {
	role  Role
	rsv   uint8
	limit int64

	buf  []byte // octets of an incomplete header
	head Header
	body bool // inside the payload of head
	left int64
	pos  int

	payload []byte
	message []byte
	opcode  Opcode // of the open message
	inside  bool
	text    UTF8

	events []string
	ended  bool
}

func (r *receiver) emit(format string, args ...any) {
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

func (r *receiver) fail(err *Error) {
	r.emit("fail %s %d %s", ruleName(err), err.Code, err.Section)
	r.ended = true
}

func (r *receiver) feed(b []byte) {
	for !r.ended {
		if !r.body {
			r.buf = append(r.buf, b...)
			h, n, err := ParseHeader(r.buf)
			if err == nil && n > 0 {
				err = CheckHeader(&h, r.role, r.inside, r.rsv)
			}
			if err != nil {
				r.fail(err)
				return
			}
			if n == 0 {
				return
			}
			b, r.buf = r.buf[n:], nil
			if !r.header(h) {
				return
			}
			continue
		}
		n := min(int64(len(b)), r.left)
		part := slices.Clone(b[:n])
		b = b[n:]
		r.left -= n
		if r.head.Masked {
			r.pos = Mask(part, r.head.Key, r.pos)
		}
		r.payload = append(r.payload, part...)
		if !r.head.Opcode.IsControl() && r.opcode == OpText && r.rsv == 0 && !r.text.Write(part) {
			r.fail(ErrInvalidUTF8)
			return
		}
		if r.left > 0 {
			return
		}
		r.end()
	}
}

func (r *receiver) header(h Header) bool {
	key := "-"
	if h.Masked {
		key = hex.EncodeToString(binary.LittleEndian.AppendUint32(nil, h.Key))
	}
	fin := 0
	if h.Fin {
		fin = 1
	}
	r.emit("frame %d %d %d %s %d", fin, h.Rsv, h.Opcode, key, h.Length)
	r.head, r.body, r.left, r.pos, r.payload = h, true, h.Length, 0, nil
	if h.Opcode.IsControl() {
		return true
	}
	if err := CheckMessageLength(int64(len(r.message)), h.Length, r.limit); err != nil {
		r.fail(err)
		return false
	}
	if !r.inside {
		r.opcode, r.inside, r.text = h.Opcode, true, UTF8{}
	}
	return true
}

func (r *receiver) end() {
	r.body = false
	if len(r.payload) > 0 {
		r.emit("payload %x", r.payload)
	}
	switch op := r.head.Opcode; op {
	case OpPing, OpPong:
		r.emit("%s %x", op, r.payload)
	case OpClose:
		code, reason, err := ParseClose(r.payload)
		if err != nil {
			r.fail(err)
			return
		}
		r.emit("close %d %x", code, reason)
		r.ended = true
	default:
		r.message = append(r.message, r.payload...)
		if !r.head.Fin {
			return
		}
		if r.opcode == OpText && r.rsv == 0 && !r.text.Complete() {
			r.fail(ErrInvalidUTF8)
			return
		}
		r.emit("message %s %x", r.opcode, r.message)
		r.message, r.inside = nil, false
	}
}

// result returns the lines, with the "open" that an early end of input adds.
func (r *receiver) result() []string {
	if !r.ended && (r.body || r.inside || len(r.buf) > 0) {
		return append(r.events, "open")
	}
	return r.events
}

var ruleNames = map[*Error]string{
	ErrReservedOpcode:         "ErrReservedOpcode",
	ErrFragmentedControl:      "ErrFragmentedControl",
	ErrControlTooLong:         "ErrControlTooLong",
	ErrNonMinimalLength:       "ErrNonMinimalLength",
	ErrLengthHighBit:          "ErrLengthHighBit",
	ErrReservedBits:           "ErrReservedBits",
	ErrMaskRequired:           "ErrMaskRequired",
	ErrMaskForbidden:          "ErrMaskForbidden",
	ErrUnexpectedContinuation: "ErrUnexpectedContinuation",
	ErrExpectedContinuation:   "ErrExpectedContinuation",
	ErrMessageTooBig:          "ErrMessageTooBig",
	ErrCloseBodyLength:        "ErrCloseBodyLength",
	ErrCloseCode:              "ErrCloseCode",
	ErrCloseReasonUTF8:        "ErrCloseReasonUTF8",
	ErrInvalidUTF8:            "ErrInvalidUTF8",
}

// ruleName turns ErrCloseReasonUTF8 into close-reason-utf8.
func ruleName(e *Error) string {
	var s strings.Builder
	previous := 'A'
	for _, c := range strings.TrimPrefix(ruleNames[e], "Err") {
		if unicode.IsUpper(c) && !unicode.IsUpper(previous) {
			s.WriteByte('-')
		}
		s.WriteRune(unicode.ToLower(c))
		previous = c
	}
	return s.String()
}

func TestFrameVectorsParse(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range frameCases(t) {
		if seen[c.name] {
			t.Fatalf("case %s is there twice", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			check := func(how string, pieces ...[]byte) *receiver {
				t.Helper()
				r := &receiver{role: c.role, rsv: c.rsv, limit: c.limit}
				for _, p := range pieces {
					r.feed(p)
				}
				if got := r.result(); !slices.Equal(got, c.want) {
					t.Fatalf("%s:\n got %.300q\nwant %.300q", how, got, c.want)
				}
				return r
			}
			check("whole", c.in)
			for cut := range min(len(c.in), 300) {
				check(fmt.Sprintf("cut at %d", cut), c.in[:cut], c.in[cut:])
			}
			if c.at == 0 {
				check("octet by octet", slices.Collect(slices.Chunk(c.in, 1))...)
				return
			}
			r := check("octet by octet up to the failure", slices.Collect(slices.Chunk(c.in[:c.at], 1))...)
			if !r.ended {
				t.Fatalf("no failure after %d octets", c.at)
			}
			r = &receiver{role: c.role, rsv: c.rsv, limit: c.limit}
			for i := range c.at - 1 {
				r.feed(c.in[i : i+1])
			}
			if r.ended {
				t.Fatalf("failed before octet %d: %q", c.at, r.events)
			}
		})
	}
}

func TestFrameVectorsWrite(t *testing.T) {
	for _, c := range frameCases(t) {
		t.Run(c.name, func(t *testing.T) {
			in := c.in
			for i, line := range c.want {
				f := strings.Fields(line)
				if f[0] != "frame" {
					continue
				}
				length, err := strconv.ParseInt(f[5], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				h := Header{
					Fin:    f[1] == "1",
					Rsv:    uint8(number(t, f[2])),
					Opcode: Opcode(number(t, f[3])),
					Length: length,
				}
				if f[4] != "-" {
					h.Masked, h.Key = true, wireKey(t, f[4])
				}
				raw := AppendHeader([]byte("before"), h)[len("before"):]
				if !bytes.HasPrefix(in, raw) {
					t.Fatalf("%s: wrote header %x, expected the front of %.28x", line, raw, in)
				}
				in = in[len(raw):]
				if i+1 == len(c.want) || !strings.HasPrefix(c.want[i+1], "payload ") {
					if h.Length > 0 {
						return // the input ends inside this payload
					}
					continue
				}
				payload := unhex(t, strings.Fields(c.want[i+1])[1])
				masked := make([]byte, len(payload))
				MaskCopy(masked, payload, h.Key, 0)
				if !bytes.HasPrefix(in, masked) {
					t.Fatalf("%s: wrote payload %.64x, expected the front of %.64x", line, masked, in)
				}
				in = in[len(masked):]
			}
		})
	}
}

// Each rule has at least one vector with the code and section of its value.
func TestFrameVectorsCoverRules(t *testing.T) {
	failed := map[string]bool{}
	for _, c := range frameCases(t) {
		if c.at > 0 {
			failed[c.want[len(c.want)-1]] = true
		}
	}
	for _, rule := range Rules {
		line := fmt.Sprintf("fail %s %d %s", ruleName(rule), rule.Code, rule.Section)
		if !failed[line] {
			t.Errorf("no vector with %q", line)
		}
		delete(failed, line)
	}
	for line := range failed {
		t.Errorf("%q is not a rule", line)
	}
}
