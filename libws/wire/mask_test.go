package wire

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// maskNaive is RFC 6455 section 5.3 word for word: j = i MOD 4.
func maskNaive(b []byte, key uint32, pos int) []byte {
	octets := [4]byte{byte(key), byte(key >> 8), byte(key >> 16), byte(key >> 24)}
	masked := make([]byte, len(b))
	for i, c := range b {
		masked[i] = c ^ octets[(pos+i)%4]
	}
	return masked
}

// checkMask compares in place and copying with want, and that neither writes
// beside its range.
func checkMask(t *testing.T, plain, want []byte, key uint32, pos int) {
	t.Helper()
	next := (pos + len(plain)) % 4
	guard := []byte("guard")

	buf := slices.Concat(guard, plain, guard)
	if got := Mask(buf[5:5+len(plain)], key, pos); got != next {
		t.Fatalf("mask of %d octets at %d: next is %d, want %d", len(plain), pos, got, next)
	}
	if !bytes.Equal(buf, slices.Concat(guard, want, guard)) {
		t.Fatalf("mask of %x at %d with %08x gave %x, want %x in guards", plain, pos, key, buf, want)
	}

	buf = slices.Concat(guard, make([]byte, len(plain)), guard)
	src := slices.Clone(plain)
	if got := MaskCopy(buf[5:], src, key, pos); got != next {
		t.Fatalf("copy of %d octets at %d: next is %d, want %d", len(plain), pos, got, next)
	}
	if !bytes.Equal(buf, slices.Concat(guard, want, guard)) {
		t.Fatalf("copy of %x at %d with %08x gave %x, want %x in guards", plain, pos, key, buf, want)
	}
	if !bytes.Equal(src, plain) {
		t.Fatalf("copy changed its source to %x", src)
	}
}

func TestMaskVectors(t *testing.T) {
	for _, line := range vectorLines(t, "mask.txt") {
		f := strings.Fields(line)
		key, pos, plain, masked := wireKey(t, f[0]), number(t, f[1]), unhex(t, f[2]), unhex(t, f[3])
		checkMask(t, plain, masked, key, pos)
		checkMask(t, masked, plain, key, pos)
		if got := Mask(slices.Clone(plain), key, pos); got != number(t, f[4]) {
			t.Errorf("%s: next is %d", line, got)
		}
		for _, size := range []int{1, 3, 5, 8, 11} {
			var pieces []byte
			at := pos
			for piece := range slices.Chunk(slices.Clone(plain), size) {
				at = Mask(piece, key, at)
				pieces = append(pieces, piece...)
			}
			if !bytes.Equal(pieces, masked) || len(plain) > 0 && at != number(t, f[4]) {
				t.Errorf("%s: in pieces of %d gave %x, next %d", line, size, pieces, at)
			}
		}
	}
}

// Each length up to two rounds of the unrolled loop, at each position and
// alignment.
func TestMaskLengths(t *testing.T) {
	data := make([]byte, 160)
	for i := range data {
		data[i] = byte(i*59 + 7)
	}
	for n := range 140 {
		for pos := range 4 {
			for align := range 8 {
				plain := data[align : align+n]
				checkMask(t, plain, maskNaive(plain, 0xC4B3A291, pos), 0xC4B3A291, pos)
			}
		}
	}
}

func TestMaskPositionWraps(t *testing.T) {
	for _, pos := range []int{4, 5, 6, 7, 1<<20 + 3} {
		got, want := []byte("position"), []byte("position")
		if Mask(got, 0x04030201, pos) != Mask(want, 0x04030201, pos&3) || !bytes.Equal(got, want) {
			t.Errorf("position %d: got %x, want %x", pos, got, want)
		}
	}
}

func TestMaskCopyRefusesShortDestination(t *testing.T) {
	dst := make([]byte, 3, 8) // the capacity is not the destination
	defer func() {
		if recover() == nil {
			t.Error("no panic with a destination of 3 octets for 4")
		}
		if !bytes.Equal(dst[:8], make([]byte, 8)) {
			t.Errorf("wrote %x before the panic", dst[:8])
		}
	}()
	MaskCopy(dst, make([]byte, 4), 0x01010101, 0)
}
