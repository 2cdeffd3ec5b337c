package wire

import "encoding/binary"

// Header is the header of one frame (RFC 6455 section 5.2).
type Header struct {
	Fin    bool   // last frame of its message
	Rsv    uint8  // RSV1 = 4, RSV2 = 2, RSV3 = 1
	Opcode Opcode // what the payload is
	Masked bool   // Key is present
	Key    uint32 // masking key: its first octet on the wire is the lowest byte
	Length int64  // octets of payload
}

// MaxHeaderLen is the longest a header can be, in octets.
const MaxHeaderLen = 14

const (
	finBit  = 0x80
	maskBit = 0x80
	len16   = 126 // a 16-bit length follows
	len64   = 127 // a 64-bit length follows

	MaxControlPayload = 125 // RFC 6455 section 5.5
)

// ParseHeader reads the header at the front of b and returns its length n in
// octets. When b ends inside the header, n is 0 and h is empty: call again
// with the same octets and more.
//
// A rule that the octets at hand already break is reported at once, so that a
// bad first octet fails alone; feeding octets one at a time and all together
// gives the same answer. Rules that depend on the connection are
// [CheckHeader]'s. It does not allocate.
func ParseHeader(b []byte) (h Header, n int, err *Error) {
	if len(b) == 0 {
		return Header{}, 0, nil
	}
	b0 := b[0]
	op := Opcode(b0 & 0x0F)
	if knownOpcodes>>op&1 == 0 {
		return Header{}, 0, ErrReservedOpcode
	}
	if op.IsControl() && b0&finBit == 0 {
		return Header{}, 0, ErrFragmentedControl
	}
	if len(b) == 1 {
		return Header{}, 0, nil
	}
	b1 := b[1]
	length := int64(b1 & 0x7F)
	n = 2
	if length > MaxControlPayload {
		if op.IsControl() {
			return Header{}, 0, ErrControlTooLong
		}
		if length, n, err = parseLength(b); n == 0 {
			return Header{}, 0, err
		}
	}
	h = Header{
		Fin:    b0&finBit != 0,
		Rsv:    b0 >> 4 & 0x7,
		Opcode: op,
		Length: length,
	}
	if b1&maskBit != 0 {
		if len(b) < n+4 {
			return Header{}, 0, nil
		}
		h.Masked = true
		h.Key = binary.LittleEndian.Uint32(b[n:])
		n += 4
	}
	return h, n, nil
}

// parseLength reads the extended length of a header of which at least two
// octets are there. n counts from the front of b and is 0 without a length.
func parseLength(b []byte) (length int64, n int, err *Error) {
	if b[1]&0x7F == len16 {
		if len(b) < 4 {
			return 0, 0, nil
		}
		length = int64(binary.BigEndian.Uint16(b[2:]))
		if length < len16 {
			return 0, 0, ErrNonMinimalLength
		}
		return length, 4, nil
	}
	if len(b) > 2 && b[2]&0x80 != 0 {
		return 0, 0, ErrLengthHighBit
	}
	// Six zero octets leave at most 65,535, whatever the last two say.
	if len(b) >= 8 && binary.BigEndian.Uint64(b[:8])<<16 == 0 {
		return 0, 0, ErrNonMinimalLength
	}
	if len(b) < 10 {
		return 0, 0, nil
	}
	return int64(binary.BigEndian.Uint64(b[2:])), 10, nil
}

// AppendHeader appends h to b with the length in its shortest form, and the
// key if h.Masked.
//
// h is not judged: Length must not be negative, Rsv at most 7, and the rules
// for what may be sent are the caller's to keep.
func AppendHeader(b []byte, h Header) []byte {
	b0 := h.Rsv<<4 | uint8(h.Opcode)
	if h.Fin {
		b0 |= finBit
	}
	var b1 uint8
	if h.Masked {
		b1 = maskBit
	}
	switch {
	case h.Length < len16:
		b = append(b, b0, b1|uint8(h.Length))
	case h.Length <= 0xFFFF:
		b = append(b, b0, b1|len16, uint8(h.Length>>8), uint8(h.Length))
	default:
		b = append(b, b0, b1|len64)
		b = binary.BigEndian.AppendUint64(b, uint64(h.Length))
	}
	if h.Masked {
		b = binary.LittleEndian.AppendUint32(b, h.Key)
	}
	return b
}
