package wire

import (
	"bytes"
	"encoding/binary"
	"math/big"
	"slices"
	"strings"
	"testing"
)

func FuzzMask(f *testing.F) {
	f.Add([]byte("Hello"), uint32(0x3D21FA37), uint8(0))
	f.Add(bytes.Repeat([]byte("0123456789"), 20), uint32(0x80000001), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, key uint32, p uint8) {
		pos := int(p & 3)
		want := maskNaive(b, key, pos)
		checkMask(t, b, want, key, pos)
		cut := 0
		if len(b) > 0 {
			cut = int(p) % len(b)
		}
		pieces := slices.Clone(b)
		Mask(pieces[cut:], key, Mask(pieces[:cut], key, pos))
		if !bytes.Equal(pieces, want) {
			t.Fatalf("cut at %d: %x, want %x", cut, pieces, want)
		}
	})
}

func FuzzUTF8(f *testing.F) {
	for _, line := range vectorLines(f, "utf8.txt") {
		text := unhex(f, strings.Fields(line)[2])
		f.Add(text, uint8(1))
		f.Add(append(bytes.Repeat([]byte("x"), 33), text...), uint8(7))
	}
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		accepted, complete := acceptedNaive(b)
		checkUTF8(t, b, 1, accepted, complete)
		checkUTF8(t, b, int(size)+1, accepted, complete)
		checkUTF8(t, b, len(b)+1, accepted, complete)
	})
}

// parseNaive reads a header by the text of RFC 6455 section 5.2, one octet
// after the other, with the length as a number of any size. n is what the
// header takes, at what a failure needs; both 0 mean that octets are missing.
func parseNaive(b []byte) (h Header, n, at int, err *Error) {
	bit := func(octet, bit int) bool { return b[octet]>>(7-bit)&1 == 1 }
	if len(b) < 1 {
		return
	}
	h.Fin = bit(0, 0)
	for i, value := range []uint8{4, 2, 1} {
		if bit(0, i+1) {
			h.Rsv += value
		}
	}
	h.Opcode = Opcode(b[0] % 16)
	if !slices.Contains([]Opcode{OpContinuation, OpText, OpBinary, OpClose, OpPing, OpPong}, h.Opcode) {
		return h, 0, 1, ErrReservedOpcode
	}
	control := h.Opcode >= 8
	if control && !h.Fin {
		return h, 0, 1, ErrFragmentedControl
	}
	if len(b) < 2 {
		return
	}
	h.Masked = bit(1, 0)
	h.Length = int64(b[1] % 128)
	if control && h.Length > 125 {
		return h, 0, 2, ErrControlTooLong
	}
	size := map[int64]int{126: 2, 127: 8}[h.Length]
	if size > 0 {
		smallest := map[int]int64{2: 126, 8: 65536}[size]
		length := new(big.Int)
		for i := range size {
			if len(b) < 3+i {
				return
			}
			if size == 8 && i == 0 && bit(2, 0) {
				return h, 0, 3, ErrLengthHighBit
			}
			length.Add(length.Lsh(length, 8), big.NewInt(int64(b[2+i])))
			// The largest length that the octets so far can begin.
			missing := uint(8 * (size - 1 - i))
			most := new(big.Int).Lsh(length, missing)
			most.Add(most, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), missing), big.NewInt(1)))
			if most.Cmp(big.NewInt(smallest)) < 0 {
				return h, 0, 3 + i, ErrNonMinimalLength
			}
		}
		h.Length = length.Int64()
	}
	n = 2 + size
	if h.Masked {
		if len(b) < n+4 {
			return h, 0, 0, nil
		}
		for i := range 4 {
			h.Key += uint32(b[n+i]) << (8 * i)
		}
		n += 4
	}
	return h, n, 0, nil
}

func FuzzHeader(f *testing.F) {
	for _, c := range frameCases(f) {
		f.Add(c.in[:min(len(c.in), 20)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want, wantN, at, wantErr := parseNaive(b)
		h, n, err := ParseHeader(b)
		if n != wantN || err != wantErr || n > 0 && h != want {
			t.Fatalf("%x: got %+v, %d, %v, want %+v, %d, %v", b, h, n, err, want, wantN, wantErr)
		}
		end := n
		if err != nil {
			end = at
			if _, _, early := ParseHeader(b[:at]); early != err {
				t.Fatalf("%x: %d octets gave %v, want %v", b, at, early, err)
			}
		}
		for i := range min(max(end, 0), len(b)) {
			if h, n, err := ParseHeader(b[:i]); n != 0 || err != nil || h != (Header{}) {
				t.Fatalf("%x: the first %d octets gave %+v, %d, %v", b, i, h, n, err)
			}
		}
		if n > 0 {
			if again := AppendHeader(nil, h); !bytes.Equal(again, b[:n]) {
				t.Fatalf("%x: wrote %x", b[:n], again)
			}
		}
	})
}

// What a receiver makes of a stream does not depend on where it is cut.
func FuzzFrames(f *testing.F) {
	for _, c := range frameCases(f) {
		if len(c.in) <= 512 {
			f.Add(c.in, c.role == Server, uint16(3), uint16(c.limit))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, server bool, size, limit uint16) {
		role := Client
		if server {
			role = Server
		}
		whole := &receiver{role: role, limit: int64(limit)}
		whole.feed(b)
		for _, n := range []int{1, int(size) + 1} {
			r := &receiver{role: role, limit: int64(limit)}
			for piece := range slices.Chunk(b, n) {
				r.feed(piece)
			}
			if !slices.Equal(r.result(), whole.result()) {
				t.Fatalf("%x in pieces of %d:\n got %.300q\nwant %.300q", b, n, r.result(), whole.result())
			}
		}
	})
}

func FuzzClose(f *testing.F) {
	names := map[uint16]string{}
	for _, line := range vectorLines(f, "closecodes.txt") {
		fields := strings.SplitN(line, " ", 3)
		code := uint16(number(f, fields[0]))
		names[code] = fields[2]
		f.Add(binary.BigEndian.AppendUint16(nil, code))
	}
	f.Add([]byte{})
	f.Add([]byte("\x03"))
	f.Add([]byte("\x03\xe8bye"))
	f.Add([]byte("\x0f\xa0\xff"))
	f.Add([]byte("\x0f\xa0" + strings.Repeat("r", 122) + "\u00e9"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		code, reason, err := ParseClose(payload)
		rest := payload[min(2, len(payload)):]
		_, text := acceptedNaive(rest)
		var number uint16
		if len(payload) >= 2 {
			number = binary.BigEndian.Uint16(payload)
		}
		// RFC 6455 section 7.4 and the IANA registry.
		sendable := slices.Contains([]uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014}, number) ||
			number >= 3000 && number < 5000
		var want *Error
		switch {
		case len(payload) == 1:
			want = ErrCloseBodyLength
		case len(payload) > 1 && !sendable:
			want = ErrCloseCode
		case !text:
			want = ErrCloseReasonUTF8
		}
		if err != want {
			t.Fatalf("%x: got %v, want %v", payload, err, want)
		}
		if err == nil && (len(payload) > 1 && uint16(code) != number || len(payload) == 0 && code != CloseNoStatus || !bytes.Equal(reason, rest)) {
			t.Fatalf("%x: got %d, %q", payload, code, reason)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "close ") {
			t.Fatalf("%x: error %q", payload, err)
		}

		refused := CheckCloseArgs(CloseCode(number), string(rest))
		if fine := sendable && len(rest) <= 123 && text; (refused == nil) != fine {
			t.Fatalf("%x: CheckCloseArgs says %v", payload, refused)
		}
		if name := names[number]; name != "" && CloseCode(number).Name() != name {
			t.Fatalf("%d is %q, expected %q", number, CloseCode(number).Name(), name)
		}
		again := AppendClose(nil, CloseCode(number), string(rest))
		switch {
		case CloseCode(number) == CloseNoStatus:
			if len(again) > 0 {
				t.Fatalf("wrote %x", again)
			}
		case len(rest) <= 123:
			if len(payload) > 1 && !bytes.Equal(again, payload) {
				t.Fatalf("%x: wrote %x", payload, again)
			}
		case text: // cut between characters, and not before it has to be
			_, whole := acceptedNaive(again[2:])
			if !bytes.HasPrefix(payload, again) || !whole || len(again) > 125 || len(again) < 122 {
				t.Fatalf("%x: wrote %x", payload, again)
			}
		}
	})
}
