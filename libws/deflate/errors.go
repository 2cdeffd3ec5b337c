package deflate

import "aiows/libws/wire"

// Error is a rule about compressed messages that a peer broke. There is one value per
// rule, compared by identity.
type Error struct {
	Code    wire.CloseCode // what to fail the connection with
	Section string         // where the rule stands
	Text    string
}

// Error returns the rule and where it stands.
func (e *Error) Error() string {
	if e.Section == "" {
		return e.Text
	}
	return e.Text + " (" + e.Section + ")"
}

// What may be wrong with a compressed message. RFC 7692 leaves the close code of bad
// data open; 1007 is what RFC 6455 section 7.4.1 has for data that does not fit its type.
var (
	ErrBlockType    = &Error{wire.CloseInvalidPayload, "RFC 1951 section 3.2.3", "compressed message has a block of the reserved type 3"}
	ErrStoredLength = &Error{wire.CloseInvalidPayload, "RFC 1951 section 3.2.4", "compressed message has a stored block whose length and its complement differ"}
	ErrCode         = &Error{wire.CloseInvalidPayload, "RFC 1951 section 3.2.7", "compressed message has an invalid Huffman code"}
	ErrDistance     = &Error{wire.CloseInvalidPayload, "RFC 7692 section 7.1.2", "compressed message refers to what is before its window"}
	ErrTruncated    = &Error{wire.CloseInvalidPayload, "RFC 7692 section 7.2.2", "compressed message ends inside a block"}
	ErrTooBig       = &Error{wire.CloseMessageTooBig, "RFC 6455 section 10.4", "inflated message exceeds the size limit"}
)

// ErrMemory is no rule: there is no memory for the message or its window.
var ErrMemory = &Error{wire.CloseInternalError, "", "out of memory"}

// StreamRules lists every rule about compressed messages once.
var StreamRules = []*Error{ErrBlockType, ErrStoredLength, ErrCode, ErrDistance, ErrTruncated, ErrTooBig}
