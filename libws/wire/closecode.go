package wire

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// CloseCode is the status code of a Close frame (RFC 6455 section 7.4).
type CloseCode uint16

// The codes of the IANA "WebSocket Close Code Number Registry".
const (
	CloseNormal             CloseCode = 1000
	CloseGoingAway          CloseCode = 1001
	CloseProtocolError      CloseCode = 1002
	CloseUnsupportedData    CloseCode = 1003
	CloseReserved           CloseCode = 1004
	CloseNoStatus           CloseCode = 1005 // local only: the Close frame was empty
	CloseAbnormal           CloseCode = 1006 // local only: no Close frame came
	CloseInvalidPayload     CloseCode = 1007
	ClosePolicyViolation    CloseCode = 1008
	CloseMessageTooBig      CloseCode = 1009
	CloseMandatoryExtension CloseCode = 1010
	CloseInternalError      CloseCode = 1011
	CloseServiceRestart     CloseCode = 1012
	CloseTryAgainLater      CloseCode = 1013
	CloseBadGateway         CloseCode = 1014
	CloseTLSHandshake       CloseCode = 1015 // local only: TLS failed
	CloseUnauthorized       CloseCode = 3000
	CloseForbidden          CloseCode = 3003
	CloseTimeout            CloseCode = 3008
)

// MaxCloseReason is the longest reason of a Close frame, in octets: a control
// frame holds 125 (RFC 6455 section 5.5) and the code takes two.
const MaxCloseReason = MaxControlPayload - 2

// Name returns the registered name of c in lower case, abbreviations written
// out, or what its range is for (RFC 6455 section 7.4.2).
func (c CloseCode) Name() string {
	switch c {
	case CloseNormal:
		return "normal closure"
	case CloseGoingAway:
		return "going away"
	case CloseProtocolError:
		return "protocol error"
	case CloseUnsupportedData:
		return "unsupported data"
	case CloseReserved:
		return "reserved"
	case CloseNoStatus:
		return "no status received"
	case CloseAbnormal:
		return "abnormal closure"
	case CloseInvalidPayload:
		return "invalid frame payload data"
	case ClosePolicyViolation:
		return "policy violation"
	case CloseMessageTooBig:
		return "message too big"
	case CloseMandatoryExtension:
		return "mandatory extension"
	case CloseInternalError:
		return "internal error"
	case CloseServiceRestart:
		return "service restart"
	case CloseTryAgainLater:
		return "try again later"
	case CloseBadGateway:
		return "bad gateway"
	case CloseTLSHandshake:
		return "TLS handshake"
	case CloseUnauthorized:
		return "unauthorized"
	case CloseForbidden:
		return "forbidden"
	case CloseTimeout:
		return "timeout"
	}
	switch {
	case c < 1000:
		return "unused"
	case c < 3000:
		return "unassigned"
	case c < 4000:
		return "registered"
	case c < 5000:
		return "private use"
	}
	return "invalid"
}

// OnWire reports whether c may travel in a Close frame.
//
// 1005, 1006 and 1015 only label local outcomes; a peer that sends one has
// broken RFC 6455 section 7.4.1 and is answered with 1002. 1004 is reserved.
func (c CloseCode) OnWire() bool {
	switch {
	case c >= 3000 && c <= 4999: // registered and private ranges
		return true
	case c >= 1000 && c <= 1014:
		return c != CloseReserved && c != CloseNoStatus && c != CloseAbnormal
	}
	return false
}

// ParseClose reads the payload of a Close frame (RFC 6455 section 5.5.1). An
// empty one means [CloseNoStatus]. reason is a part of payload, not a copy.
func ParseClose(payload []byte) (code CloseCode, reason []byte, err *Error) {
	switch len(payload) {
	case 0:
		return CloseNoStatus, nil, nil
	case 1:
		return 0, nil, ErrCloseBodyLength
	}
	code = CloseCode(binary.BigEndian.Uint16(payload))
	if !code.OnWire() {
		return 0, nil, ErrCloseCode
	}
	reason = payload[2:]
	if !ValidUTF8(reason) {
		return 0, nil, ErrCloseReasonUTF8
	}
	return code, reason, nil
}

// AppendClose appends the payload of a Close frame to b, or nothing for
// [CloseNoStatus]. A reason above [MaxCloseReason] is cut between characters.
//
// What an application gives goes through [CheckCloseArgs] first.
func AppendClose(b []byte, code CloseCode, reason string) []byte {
	if code == CloseNoStatus {
		return b
	}
	if len(reason) > MaxCloseReason {
		cut := MaxCloseReason
		for cut > 0 && !utf8.RuneStart(reason[cut]) {
			cut--
		}
		reason = reason[:cut]
	}
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	return append(b, reason...)
}

// CheckCloseArgs reports why an application may not close with code and
// reason: a code that must not be sent, a reason above [MaxCloseReason] octets
// or one that is not UTF-8. nil means that they are fine.
func CheckCloseArgs(code CloseCode, reason string) error {
	if !code.OnWire() {
		return fmt.Errorf("close code %d (%s) may not be sent, expected 1000 to 1003, 1007 to 1014 or 3000 to 4999", code, code.Name())
	}
	if len(reason) > MaxCloseReason {
		return fmt.Errorf("close reason is %d octets long, expected at most %d", len(reason), MaxCloseReason)
	}
	if !utf8.ValidString(reason) {
		return fmt.Errorf("close reason %q is not UTF-8", reason)
	}
	return nil
}
