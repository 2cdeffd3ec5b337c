package wire

import (
	"bytes"
	"testing"
)

// RFC 6455 section 5.2: the shortest form of each length, and the octets it takes.
func TestHeaderLengths(t *testing.T) {
	for _, c := range []struct {
		length int64
		octets int
	}{
		{0, 2}, {1, 2}, {125, 2},
		{126, 4}, {127, 4}, {255, 4}, {256, 4}, {65535, 4},
		{65536, 10}, {1 << 24, 10}, {1<<32 - 1, 10}, {1 << 32, 10}, {1<<63 - 1, 10},
	} {
		for _, masked := range []bool{false, true} {
			h := Header{Fin: true, Opcode: OpBinary, Masked: masked, Length: c.length}
			octets := c.octets
			if masked {
				h.Key = 0x89ABCDEF
				octets += 4
			}
			raw := AppendHeader(nil, h)
			if len(raw) != octets || len(raw) > MaxHeaderLen {
				t.Errorf("%+v: wrote %d octets, want %d", h, len(raw), octets)
			}
			for n := range raw {
				if got, used, err := ParseHeader(raw[:n]); used != 0 || err != nil || got != (Header{}) {
					t.Errorf("%+v: %d of %d octets gave %+v, %d, %v", h, n, len(raw), got, used, err)
				}
			}
			got, used, err := ParseHeader(append(raw, 0xFF, 0xFF))
			if err != nil || used != len(raw) || got != h {
				t.Errorf("%+v: read back as %+v, %d, %v", h, got, used, err)
			}
		}
	}
}

// All first and second octets against the rules written out (sections 5.2, 5.5).
func TestHeaderFirstOctets(t *testing.T) {
	known := map[byte]bool{0: true, 1: true, 2: true, 8: true, 9: true, 10: true}
	for b0 := range 256 {
		op, fin := byte(b0&15), b0 >= 128
		var want *Error
		switch {
		case !known[op]:
			want = ErrReservedOpcode
		case op >= 8 && !fin:
			want = ErrFragmentedControl
		}
		if h, n, err := ParseHeader([]byte{byte(b0)}); err != want || n != 0 || h != (Header{}) {
			t.Errorf("%02x: got %+v, %d, %v, want %v", b0, h, n, err, want)
		}
		if want != nil {
			continue
		}
		for b1 := range 256 {
			raw := []byte{byte(b0), byte(b1), 0x10, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x11, 0x22, 0x33, 0x44}
			h, n, err := ParseHeader(raw)
			if op >= 8 && b1&127 > 125 {
				if err != ErrControlTooLong || n != 0 {
					t.Errorf("%02x %02x: got %d, %v, want %v", b0, b1, n, err, ErrControlTooLong)
				}
				continue
			}
			want := Header{Fin: fin, Rsv: byte(b0) >> 4 & 7, Opcode: Opcode(op), Length: int64(b1 & 127), Masked: b1 >= 128}
			at := 2
			switch b1 & 127 {
			case 126:
				want.Length, at = 0x1001, 4
			case 127:
				want.Length, at = 0x1001020304050607, 10
			}
			if want.Masked {
				want.Key = uint32(raw[at]) | uint32(raw[at+1])<<8 | uint32(raw[at+2])<<16 | uint32(raw[at+3])<<24
				at += 4
			}
			if err != nil || h != want || n != at {
				t.Errorf("%02x %02x: got %+v, %d, %v, want %+v, %d", b0, b1, h, n, err, want, at)
			}
			if again := AppendHeader(nil, h); !bytes.Equal(again, raw[:at]) {
				t.Errorf("%02x %02x: wrote %x, want %x", b0, b1, again, raw[:at])
			}
		}
	}
}

func TestHeaderAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, MaxHeaderLen)
	bad := []byte{0x83}
	n := testing.AllocsPerRun(100, func() {
		raw := AppendHeader(buf, Header{Fin: true, Opcode: OpText, Masked: true, Key: 1, Length: 1 << 20})
		h, _, _ := ParseHeader(raw)
		if CheckHeader(&h, Server, false, 0) != nil {
			t.Error("valid header refused")
		}
		if _, _, err := ParseHeader(bad); err == nil {
			t.Error("reserved opcode accepted")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestOpcodeNames(t *testing.T) {
	for op, want := range map[Opcode]string{
		OpContinuation: "continuation", OpText: "text", OpBinary: "binary",
		OpClose: "close", OpPing: "ping", OpPong: "pong",
		3: "reserved opcode 3", 15: "reserved opcode 15",
	} {
		if got := op.String(); got != want {
			t.Errorf("opcode %d: got %q, want %q", op, got, want)
		}
	}
	for op := range Opcode(16) {
		if got := op.IsControl(); got != (op >= 8) {
			t.Errorf("opcode %d: control is %t", op, got)
		}
	}
}
