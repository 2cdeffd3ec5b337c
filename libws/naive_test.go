package libws

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"aiows/libws/deflate"
	"aiows/libws/wire"
)

// naiveReader says what an endpoint makes of a stream, by the text of RFC 6455
// sections 5 and 7: the whole stream at once, one frame after the other, with
// nothing shared with the parser under test. It is the oracle of FuzzStream.
type naiveReader struct {
	server       bool // who receives
	limit        int  // octets of a message, 0: none
	maxFragments int  // frames of a message, 0: any number
	// inflate decodes compressed messages, nil: nothing was agreed on. What it makes of
	// octets is the affair of FuzzInflate.
	inflate func(payload []byte) ([]byte, *deflate.Error)
	// parts: messages are told in parts, of the message that is open at octet from of the
	// stream as much as came, and then each frame, so that what is wrong with a compressed
	// one is found there. inflateStart tells what can be told of the start of one.
	parts        bool
	from         int
	inflateStart func(payload []byte) ([]byte, *deflate.Error)
}

// naiveOutcome is what came of a stream.
type naiveOutcome struct {
	lines []string // as host.outcome writes them
	pings []string // payloads, in hexadecimal
	// Of the Close frame that has to be sent, 0: none.
	code  int
	fail  error // the rule that the peer broke
	begun int   // at which octet of the stream the newest message did
}

func (n naiveReader) read(b []byte) (o naiveOutcome) {
	var kind byte // of the open message, 0: none
	var message []byte
	frames, packed, total := 0, false, len(b)
	broken := func(e error, code int) naiveOutcome {
		o.fail, o.code = e, code
		return o
	}
	for {
		if packed && n.parts && n.from <= total-len(b) {
			if code, e := n.start(kind, message); e != nil {
				return broken(e, code)
			}
		}
		if len(b) == 0 {
			return o
		}
		fin, rsv, opcode := b[0] >= 0x80, b[0]/16%8, b[0]%16
		control := opcode >= 8
		switch { // section 5.2: what the first octet can tell alone
		case !slices.Contains([]byte{0, 1, 2, 8, 9, 10}, opcode):
			return broken(wire.ErrReservedOpcode, 1002)
		case control && !fin:
			return broken(wire.ErrFragmentedControl, 1002)
		case len(b) == 1:
			return o
		}
		masked, length, at := b[1] >= 0x80, int(b[1]%128), 2
		if control && length > 125 {
			return broken(wire.ErrControlTooLong, 1002)
		}
		if length > 125 {
			more, least := 2, 126
			if length == 127 {
				more, least = 8, 65536
			}
			octets := b[2:min(2+more, len(b))]
			if more == 8 && len(octets) > 0 && octets[0] >= 0x80 {
				return broken(wire.ErrLengthHighBit, 1002)
			}
			length = 0
			for i := range more { // what is missing may still be as large as it can
				next := 255
				if i < len(octets) {
					next = int(octets[i])
				}
				if i == 0 && more == 8 && len(octets) == 0 {
					next = 127
				}
				length = length*256 + next
			}
			if length < least {
				return broken(wire.ErrNonMinimalLength, 1002)
			}
			if len(octets) < more {
				return o
			}
			at += more
		}
		key := make([]byte, 4)
		if masked {
			if copy(key, b[at:]) < 4 {
				return o
			}
			at += 4
		}
		switch {
		case rsv != 0 && (rsv != 4 || n.inflate == nil || opcode != 1 && opcode != 2):
			return broken(wire.ErrReservedBits, 1002)
		case n.server && !masked:
			return broken(wire.ErrMaskRequired, 1002)
		case !n.server && masked:
			return broken(wire.ErrMaskForbidden, 1002)
		case (opcode == 1 || opcode == 2) && kind != 0:
			return broken(wire.ErrExpectedContinuation, 1002)
		case opcode == 0 && kind == 0:
			return broken(wire.ErrUnexpectedContinuation, 1002)
		}
		b = b[at:]
		payload := slices.Clone(b[:min(length, len(b))])
		for i := range payload {
			payload[i] ^= key[i%4]
		}
		b = b[len(payload):]
		whole := len(payload) == length
		if control {
			if !whole {
				return o
			}
			switch opcode {
			case 9:
				o.lines = append(o.lines, fmt.Sprintf("ping %x", payload))
				o.pings = append(o.pings, fmt.Sprintf("%x", payload))
			case 10:
				o.lines = append(o.lines, fmt.Sprintf("pong %x", payload))
			default:
				return n.close(o, payload)
			}
			continue
		}
		limit := n.limit
		if kind == 0 {
			kind, packed = opcode, rsv != 0
			o.begun = total - len(b) - len(payload) - at
		}
		if packed && limit > 0 { // what cannot be compressed gets longer
			limit += limit/16 + 64
		}
		if limit == 0 { // what a message announces must be a number
			limit = math.MaxInt
		}
		if length > limit-len(message) {
			return broken(wire.ErrMessageTooBig, 1009)
		}
		if frames++; n.maxFragments > 0 && frames > n.maxFragments {
			return broken(wire.ErrMessageTooBig, 1009)
		}
		message = append(message, payload...)
		came := len(message) - (total - len(b) - n.from) // of it, when the host turned to parts
		if packed && n.parts && len(message)-len(payload) < came && came < len(message) {
			if code, e := n.start(kind, message[:came]); e != nil {
				return broken(e, code)
			}
		}
		if packed && fin && whole {
			text, err := n.inflate(message)
			if err != nil {
				return broken(err, int(err.Code))
			}
			message, packed = text, false
		}
		if kind == 1 && !packed && !naiveText(message, fin && whole) {
			return broken(wire.ErrInvalidUTF8, 1007)
		}
		if !whole {
			if packed && n.parts && n.from == total {
				o.code, o.fail = n.start(kind, message)
			}
			return o
		}
		if fin {
			o.lines = append(o.lines, fmt.Sprintf("message %s %x", []string{"", "text", "binary"}[kind], message))
			kind, message, frames = 0, nil, 0
		}
	}
}

// start says what is wrong with the start of a compressed message that a host is told
// in parts.
func (n naiveReader) start(kind byte, payload []byte) (code int, fail error) {
	text, err := n.inflateStart(payload)
	switch {
	case err != nil:
		return int(err.Code), err
	case kind == 1 && !naiveText(text, false):
		return 1007, wire.ErrInvalidUTF8
	}
	return 0, nil
}

// close follows sections 5.5.1 and 7.4.
func (n naiveReader) close(o naiveOutcome, payload []byte) naiveOutcome {
	if len(payload) == 0 {
		o.lines, o.code = append(o.lines, "close 1005 "), 1005
		return o
	}
	if len(payload) == 1 {
		o.fail, o.code = wire.ErrCloseBodyLength, 1002
		return o
	}
	code := int(payload[0])*256 + int(payload[1])
	reserved := []int{1004, 1005, 1006}
	if code < 1000 || code > 4999 || code > 1014 && code < 3000 || slices.Contains(reserved, code) {
		o.fail, o.code = wire.ErrCloseCode, 1002
		return o
	}
	if !utf8.Valid(payload[2:]) {
		o.fail, o.code = wire.ErrCloseReasonUTF8, 1007
		return o
	}
	o.lines, o.code = append(o.lines, fmt.Sprintf("close %d %x", code, payload[2:])), code
	return o
}

// naiveText reports whether b is UTF-8, or when it is not complete, can become it.
func naiveText(b []byte, complete bool) bool {
	for len(b) > 0 {
		if !complete && !utf8.FullRune(b) {
			return true
		}
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			return false
		}
		b = b[size:]
	}
	return true
}
