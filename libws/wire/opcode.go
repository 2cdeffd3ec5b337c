package wire

import "strconv"

// Opcode is the four-bit frame type of RFC 6455 section 5.2.
type Opcode uint8

// The opcodes of RFC 6455 section 11.8. All others are reserved.
const (
	OpContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	OpClose        Opcode = 0x8
	OpPing         Opcode = 0x9
	OpPong         Opcode = 0xA
)

// knownOpcodes has bit n set when opcode n is defined.
const knownOpcodes = 1<<OpContinuation | 1<<OpText | 1<<OpBinary |
	1<<OpClose | 1<<OpPing | 1<<OpPong

// IsControl reports whether o is a control opcode, reserved ones included
// (RFC 6455 section 5.5: the most significant bit is set).
func (o Opcode) IsControl() bool { return o&0x8 != 0 }

// String returns the RFC's word for o, or "reserved opcode 3" and the like.
func (o Opcode) String() string {
	switch o {
	case OpContinuation:
		return "continuation"
	case OpText:
		return "text"
	case OpBinary:
		return "binary"
	case OpClose:
		return "close"
	case OpPing:
		return "ping"
	case OpPong:
		return "pong"
	}
	return "reserved opcode " + strconv.Itoa(int(o))
}
