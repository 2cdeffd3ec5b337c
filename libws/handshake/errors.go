package handshake

import "strconv"

// Limits of a head. A line is counted without its CRLF, the head with all of it.
const (
	MaxLine     = 8 << 10  // octets of a request or status line
	MaxFields   = 128      // fields of a head
	MaxFieldLen = 8 << 10  // octets of a field line
	MaxHeadLen  = 64 << 10 // octets of a head, interim responses included
)

// Rule is one rule of the handshake; each is a package-level value, to be
// matched with [errors.Is].
type Rule struct {
	Name    string // short and stable, as in "bare-lf"
	Section string // where it is written, "" for a limit of this package
	Status  int    // what a server answers a request that breaks it with; 0: servers never meet it
	Text    string // what is wrong
}

func (r *Rule) Error() string { return r.with("") }

func (r *Rule) with(detail string) string {
	text := r.Text
	if detail != "" {
		text += ": " + detail
	}
	if r.Section != "" {
		text += " (" + r.Section + ")"
	}
	return text
}

// Error is a broken [Rule] together with what broke it.
type Error struct {
	Rule   *Rule
	Detail string // the offending value, quoted and shortened; secrets are left out
}

func (e *Error) Error() string { return e.Rule.with(e.Detail) }

// Unwrap returns the rule.
func (e *Error) Unwrap() error { return e.Rule }

func fail(rule *Rule, detail string) *Error { return &Error{rule, detail} }

// Limits.
var (
	ErrLineTooLong   = &Rule{"line-too-long", "", 414, "start line is longer than " + strconv.Itoa(MaxLine) + " octets"}
	ErrTooManyFields = &Rule{"too-many-fields", "", 431, "head has more than " + strconv.Itoa(MaxFields) + " fields"}
	ErrFieldTooLong  = &Rule{"field-too-long", "", 431, "field line is longer than " + strconv.Itoa(MaxFieldLen) + " octets"}
	ErrHeadTooLong   = &Rule{"head-too-long", "", 431, "head is longer than " + strconv.Itoa(MaxHeadLen) + " octets"}
)

// Grammar.
var (
	ErrBareLF      = &Rule{"bare-lf", "RFC 9112 section 2.2", 400, "LF without CR before it"}
	ErrBareCR      = &Rule{"bare-cr", "RFC 9112 section 2.2", 400, "CR without LF after it"}
	ErrControl     = &Rule{"control", "RFC 9110 section 5.5", 400, "control character in a head"}
	ErrFold        = &Rule{"fold", "RFC 9112 section 5.2", 400, "field line starts with white space"}
	ErrRequestLine = &Rule{"request-line", "RFC 9112 section 3", 400, "request line is not method, target and HTTP version"}
	ErrStatusLine  = &Rule{"status-line", "RFC 9112 section 4", 0, "status line is not HTTP version, three digits and reason"}
	ErrFieldName   = &Rule{"field-name", "RFC 9112 section 5.1", 400, "field name is not a token directly before a colon"}
	ErrFieldValue  = &Rule{"field-value", "RFC 9110 section 5.5", 0, "field value holds a control character"}
)

// Handshake.
var (
	ErrMethod      = &Rule{"method", "RFC 6455 sections 4.1 and 4.2.1", 405, "method is not GET"}
	ErrHTTPVersion = &Rule{"http-version", "RFC 6455 sections 4.1 and 4.2.1", 505, "HTTP version is not 1.1"}
	ErrTarget      = &Rule{"target", "RFC 6455 sections 4.1 and 4.2.1", 400, "request target is neither a path nor an absolute URI"}
	ErrHost        = &Rule{"host", "RFC 9112 section 3.2", 400, "request does not have one valid Host field"}
	ErrBody        = &Rule{"body", "RFC 6455 sections 4.1 and 4.2.1", 400, "request announces a body"}
	ErrUpgrade     = &Rule{"upgrade", "RFC 6455 sections 4.1 and 4.2.1", 426, "Upgrade field is not websocket"}
	ErrConnection  = &Rule{"connection", "RFC 6455 sections 4.1 and 4.2.1", 400, "Connection field has no token upgrade"}
	ErrKey         = &Rule{"key", "RFC 6455 sections 4.1 and 4.2.1", 400, "Sec-WebSocket-Key is not 16 bytes in base64"}
	ErrVersion     = &Rule{"version", "RFC 6455 sections 4.1 and 4.4", 426, "Sec-WebSocket-Version is not 13"}
	ErrRepeated    = &Rule{"repeated", "RFC 6455 section 11.3", 400, "field may appear only once"}
	ErrSubprotocol = &Rule{"subprotocol", "RFC 6455 section 4.1", 400, "subprotocols are not distinct tokens"}
	ErrExtension   = &Rule{"extension", "RFC 6455 section 9.1", 400, "Sec-WebSocket-Extensions is malformed"}
)

// Client only.
var (
	ErrAccept            = &Rule{"accept", "RFC 6455 section 4.1", 0, "Sec-WebSocket-Accept does not fit the key"}
	ErrSubprotocolAnswer = &Rule{"subprotocol-answer", "RFC 6455 section 4.1", 0, "server chose a subprotocol that was not offered"}
	ErrExtensionAnswer   = &Rule{"extension-answer", "RFC 6455 section 4.1", 0, "server chose an extension that was not offered"}
	ErrMissingField      = &Rule{"missing-field", "RFC 6455 section 4.1", 0, "request lacks a required field"}
	ErrCredentials       = &Rule{"credentials", "RFC 7617 section 2", 0, "basic credentials cannot be sent"}
	ErrRawLine           = &Rule{"raw-line", "", 0, "raw request line cannot be sent"}
)

// Server only: mistakes of the application that answers.
var (
	ErrNotOffered  = &Rule{"not-offered", "RFC 6455 section 4.2.2", 0, "answer names what the client did not offer"}
	ErrOwnField    = &Rule{"own-field", "", 0, "field belongs to the handshake"}
	ErrStatus      = &Rule{"status", "", 0, "status cannot be sent with this body"}
	ErrNotUpgraded = &Rule{"not-upgraded", "", 0, "request did not pass CheckUpgrade"}
)

// Rules lists every rule, so that tables built from them can be checked for gaps.
var Rules = []*Rule{
	ErrLineTooLong, ErrTooManyFields, ErrFieldTooLong, ErrHeadTooLong,
	ErrBareLF, ErrBareCR, ErrControl, ErrFold, ErrRequestLine, ErrStatusLine, ErrFieldName, ErrFieldValue,
	ErrMethod, ErrHTTPVersion, ErrTarget, ErrHost, ErrBody, ErrUpgrade, ErrConnection, ErrKey, ErrVersion, ErrRepeated,
	ErrSubprotocol, ErrExtension,
	ErrAccept, ErrSubprotocolAnswer, ErrExtensionAnswer, ErrMissingField, ErrCredentials, ErrRawLine,
	ErrNotOffered, ErrOwnField, ErrStatus, ErrNotUpgraded,
}
