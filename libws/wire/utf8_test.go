package wire

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// acceptedNaive returns how many octets of b could begin valid text, by trying
// to complete each prefix: complete says that all of b is valid.
func acceptedNaive(b []byte) (accepted int, complete bool) {
	start := 0 // of the character being looked at
	for n := 1; n <= len(b); n++ {
		tail := b[start:n]
		if utf8.Valid(tail) {
			start = n
			continue
		}
		if !completable(tail, 3) {
			return n - 1, false
		}
	}
	return len(b), start == len(b)
}

// completable reports whether at most more octets make b valid. The octets
// tried are the borders of what RFC 3629 section 4 allows.
func completable(b []byte, more int) bool {
	if utf8.Valid(b) {
		return true
	}
	if more == 0 {
		return false
	}
	for _, c := range []byte{0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF} {
		if completable(append(slices.Clone(b), c), more-1) {
			return true
		}
	}
	return false
}

// checkUTF8 expects that the first accepted octets of b pass, in pieces of
// size, and that the next one does not.
func checkUTF8(t *testing.T, b []byte, size, accepted int, complete bool) {
	t.Helper()
	var u UTF8
	given := 0
	for piece := range slices.Chunk(b, size) {
		given += len(piece)
		ok := u.Write(piece)
		if ok != (given <= accepted) {
			t.Fatalf("%x in pieces of %d: %d octets gave %t, want %d accepted", b, size, given, ok, accepted)
		}
		if !ok && u.Complete() {
			t.Fatalf("%x in pieces of %d: refused and complete", b, size)
		}
		if !ok && u.Write([]byte("a")) {
			t.Fatalf("%x in pieces of %d: accepts more after a failure", b, size)
		}
	}
	if u.Complete() != complete {
		t.Fatalf("%x in pieces of %d: complete is %t", b, size, !complete)
	}
	if ValidUTF8(b) != complete {
		t.Fatalf("%x: valid is %t", b, !complete)
	}
}

// The vectors at the front, after each alignment of ASCII and of other
// characters, and with text behind.
func TestUTF8Vectors(t *testing.T) {
	behind := []byte(" some text behind, é 漢 😀, longer than any step")
	states := map[string]int{}
	for _, line := range vectorLines(t, "utf8.txt") {
		f := strings.Fields(line)
		state, accepted, text := f[0], number(t, f[1]), unhex(t, f[2])
		states[state]++
		if n, ok := acceptedNaive(text); n != accepted || ok != (state == "valid") {
			t.Fatalf("%s: the oracle accepts %d, complete %t", line, n, ok)
		}
		for _, front := range []string{"", "é", "漢", "😀", strings.Repeat("漢", 11), strings.Repeat("é", 17) + "a"} {
			for ascii := range 90 {
				b := slices.Concat([]byte(front), bytes.Repeat([]byte("x"), ascii), text)
				before := len(front) + ascii
				for _, size := range []int{1, 3, 8, len(b) + 1} {
					checkUTF8(t, b, size, before+accepted, state == "valid")
				}
				if ascii%13 != 0 {
					continue
				}
				switch state {
				case "valid":
					all := slices.Concat(b, behind)
					checkUTF8(t, all, len(all), len(all), true)
				case "invalid":
					all := slices.Concat(b, behind)
					checkUTF8(t, all, 1, before+accepted, false)
					checkUTF8(t, all, len(all), before+accepted, false)
				}
			}
		}
	}
	for _, state := range []string{"valid", "partial", "invalid"} {
		if states[state] == 0 {
			t.Errorf("no %s vectors", state)
		}
	}
}

// All sequences of four octets from the borders of every range, inside text.
func TestUTF8Borders(t *testing.T) {
	borders := []byte{
		0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
		0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFF,
	}
	long := []byte("é, forty ASCII octets before the border ....... and as many behind it, for the fast paths")
	at := 40
	for _, a := range borders {
		for _, b := range borders {
			for _, c := range borders {
				for _, d := range borders {
					four := []byte{a, b, c, d}
					want := utf8.Valid(four)
					var u UTF8
					if got := u.Write(four) && u.Complete(); got != want {
						t.Fatalf("%x alone: got %t", four, got)
					}
					copy(long[at:], four)
					if got := ValidUTF8(long); got != want {
						t.Fatalf("%x in text: got %t", four, got)
					}
				}
			}
		}
	}
}

func TestUTF8Reset(t *testing.T) {
	var u UTF8
	if u.Write([]byte("\xff")) {
		t.Fatal("accepted ff")
	}
	u = UTF8{}
	if !u.Complete() || !u.Write(nil) || !u.Write([]byte("ok")) || !u.Complete() {
		t.Error("the zero value does not start a new message")
	}
}
