package wire

import "math"

// Role says which end of the connection receives a frame.
type Role uint8

// The two ends. A client's peer must not mask, a server's must
// (RFC 6455 section 5.1).
const (
	Client Role = iota
	Server
)

// String returns "client" or "server".
func (r Role) String() string {
	if r == Client {
		return "client"
	}
	return "server"
}

// CheckHeader applies the rules that need to know about the connection to a
// header from [ParseHeader].
//
// role is the receiver's. inMessage tells that a fragmented message is open.
// rsvAllowed holds the bits, as in [Header], that a negotiated per-message
// extension owns; it owns them on the first frame of a message only, so they
// are refused on control frames (RFC 7692 section 6.1) and continuations.
func CheckHeader(h *Header, role Role, inMessage bool, rsvAllowed uint8) *Error {
	first := h.Opcode == OpText || h.Opcode == OpBinary
	if h.Rsv != 0 && (!first || h.Rsv&^rsvAllowed != 0) {
		return ErrReservedBits
	}
	if h.Masked != (role == Server) {
		if h.Masked {
			return ErrMaskForbidden
		}
		return ErrMaskRequired
	}
	if first && inMessage {
		return ErrExpectedContinuation
	}
	if h.Opcode == OpContinuation && !inMessage {
		return ErrUnexpectedContinuation
	}
	return nil
}

// CheckMessageLength reports whether a message of which have octets came may
// grow by the next ones, as announced by a header. limit is in octets; 0 means
// none but that have and next together do not overflow. None may be negative.
func CheckMessageLength(have, next, limit int64) *Error {
	if limit == 0 {
		limit = math.MaxInt64
	}
	if next > limit-have {
		return ErrMessageTooBig
	}
	return nil
}
