package wire

// Error is a rule of RFC 6455 that a peer broke.
//
// There is one value per rule, compared by identity, so reporting one
// allocates nothing. Functions of this package return *Error, not error: test
// it against nil before it is stored in an error variable.
type Error struct {
	Code    CloseCode // what to fail the connection with (section 7.1.7)
	Section string    // section of RFC 6455, such as "5.5"
	Text    string    // the rule, in the words of the error message
}

// Error returns the rule and its section, such as "frame to a server is not
// masked (RFC 6455 section 5.1)".
func (e *Error) Error() string {
	return e.Text + " (RFC 6455 section " + e.Section + ")"
}

// The rules that [ParseHeader] sees in the octets of one header.
var (
	ErrReservedOpcode    = &Error{CloseProtocolError, "5.2", "opcode is reserved, expected 0, 1, 2, 8, 9 or 10"}
	ErrFragmentedControl = &Error{CloseProtocolError, "5.5", "control frame without FIN, expected it unfragmented"}
	ErrControlTooLong    = &Error{CloseProtocolError, "5.5", "control frame payload exceeds 125 octets"}
	ErrNonMinimalLength  = &Error{CloseProtocolError, "5.2", "payload length is not in its shortest form"}
	ErrLengthHighBit     = &Error{CloseProtocolError, "5.2", "64-bit payload length has its most significant bit set, expected 0"}
)

// The rules that [CheckHeader] and [CheckMessageLength] judge from what is
// known about the connection.
var (
	ErrReservedBits           = &Error{CloseProtocolError, "5.2", "RSV bit set that no negotiated extension defines for this frame, expected 0"}
	ErrMaskRequired           = &Error{CloseProtocolError, "5.1", "frame to a server is not masked"}
	ErrMaskForbidden          = &Error{CloseProtocolError, "5.1", "frame to a client is masked"}
	ErrUnexpectedContinuation = &Error{CloseProtocolError, "5.4", "continuation frame without a message to continue, expected text or binary"}
	ErrExpectedContinuation   = &Error{CloseProtocolError, "5.4", "new message before the last frame of a fragmented one, expected continuation"}
	ErrMessageTooBig          = &Error{CloseMessageTooBig, "10.4", "message exceeds the size limit"}
)

// The rules about payloads: [ParseClose] and [UTF8].
var (
	ErrCloseBodyLength = &Error{CloseProtocolError, "5.5.1", "close frame payload is 1 octet, expected 0 or at least 2"}
	ErrCloseCode       = &Error{CloseProtocolError, "7.4", "close code may not be sent, expected 1000 to 1003, 1007 to 1014 or 3000 to 4999"}
	ErrCloseReasonUTF8 = &Error{CloseInvalidPayload, "5.5.1", "close reason is not UTF-8"}
	ErrInvalidUTF8     = &Error{CloseInvalidPayload, "8.1", "text message is not UTF-8"}
)

// Rules lists every rule of this package once.
var Rules = []*Error{
	ErrReservedOpcode,
	ErrFragmentedControl,
	ErrControlTooLong,
	ErrNonMinimalLength,
	ErrLengthHighBit,
	ErrReservedBits,
	ErrMaskRequired,
	ErrMaskForbidden,
	ErrUnexpectedContinuation,
	ErrExpectedContinuation,
	ErrMessageTooBig,
	ErrCloseBodyLength,
	ErrCloseCode,
	ErrCloseReasonUTF8,
	ErrInvalidUTF8,
}
