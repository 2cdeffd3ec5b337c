package wire

import (
	"math"
	"testing"
)

// Every combination of what CheckHeader looks at, against the rules of
// RFC 6455 sections 5.1, 5.2 and 5.4 in the order in which they are reported.
func TestCheckHeader(t *testing.T) {
	for _, op := range []Opcode{OpContinuation, OpText, OpBinary, OpClose, OpPing, OpPong} {
		for i := range 1 << 9 {
			rsv, allowed := uint8(i&7), uint8(i>>3&7)
			masked, inMessage, role := i>>6&1 == 1, i>>7&1 == 1, Role(i>>8&1)
			usable := allowed
			if op == OpContinuation || op.IsControl() {
				usable = 0
			}
			var want *Error
			switch {
			case rsv|usable != usable:
				want = ErrReservedBits
			case role == Client && masked:
				want = ErrMaskForbidden
			case role == Server && !masked:
				want = ErrMaskRequired
			case inMessage && (op == OpText || op == OpBinary):
				want = ErrExpectedContinuation
			case !inMessage && op == OpContinuation:
				want = ErrUnexpectedContinuation
			}
			h := Header{Fin: true, Rsv: rsv, Opcode: op, Masked: masked}
			if got := CheckHeader(&h, role, inMessage, allowed); got != want {
				t.Errorf("%+v to %s, in message %t, rsv allowed %d: got %v, want %v", h, role, inMessage, allowed, got, want)
			}
		}
	}
}

func TestCheckMessageLength(t *testing.T) {
	for _, c := range []struct {
		have, next, limit int64
		want              *Error
	}{
		{0, 0, 1, nil},
		{0, 1, 1, nil},
		{1, 0, 1, nil},
		{0, 2, 1, ErrMessageTooBig},
		{1, 1, 1, ErrMessageTooBig},
		{2, 0, 1, ErrMessageTooBig},
		{5, 5, 10, nil},
		{5, 6, 10, ErrMessageTooBig},
		{5, math.MaxInt64, 10, ErrMessageTooBig},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64, ErrMessageTooBig},
		{1, math.MaxInt64 - 1, math.MaxInt64, nil},
		{0, math.MaxInt64, 0, nil},
		{1, math.MaxInt64 - 1, 0, nil},
		{1, math.MaxInt64, 0, ErrMessageTooBig},
		{math.MaxInt64, math.MaxInt64, 0, ErrMessageTooBig},
	} {
		if got := CheckMessageLength(c.have, c.next, c.limit); got != c.want {
			t.Errorf("%d and %d of %d: got %v, want %v", c.have, c.next, c.limit, got, c.want)
		}
	}
}
