package handshake

import (
	"strconv"
	"strings"
)

// Field is one header field. Name keeps its casing; Value has no surrounding space when it was parsed.
type Field struct{ Name, Value string }

// Header is a list of fields in the order in which they are sent. Names match
// without regard to ASCII case.
type Header []Field

// Get returns the value of the first field called name, "" when there is none.
func (h Header) Get(name string) string {
	for i := range h {
		if equalFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Values returns the values of all fields called name, in order.
func (h Header) Values(name string) []string {
	var values []string
	for i := range h {
		if equalFold(h[i].Name, name) {
			values = append(values, h[i].Value)
		}
	}
	return values
}

// Has reports whether a field is called name.
func (h Header) Has(name string) bool {
	for i := range h {
		if equalFold(h[i].Name, name) {
			return true
		}
	}
	return false
}

// Set returns a header in which {name, value} stands where the first field
// called name stood, further ones are gone, and which ends with it when there
// was none. h keeps its contents.
func (h Header) Set(name, value string) Header {
	out := make(Header, 0, len(h)+1)
	placed := false
	for _, f := range h {
		switch {
		case !equalFold(f.Name, name):
			out = append(out, f)
		case !placed:
			out, placed = append(out, Field{name, value}), true
		}
	}
	if !placed {
		out = append(out, Field{name, value})
	}
	return out
}

// Add returns h with {name, value} at its end; like append it may share memory with h.
func (h Header) Add(name, value string) Header { return append(h, Field{name, value}) }

// HasToken reports whether token stands in the comma-separated lists of the
// fields called name, without regard to ASCII case.
func (h Header) HasToken(name, token string) bool {
	for _, element := range h.list(name) {
		if equalFold(element, token) {
			return true
		}
	}
	return false
}

// list returns the elements of the comma-separated lists of the fields called
// name, without the empty ones (RFC 9110 section 5.6.1.2).
func (h Header) list(name string) []string {
	var elements []string
	for i := range h {
		if !equalFold(h[i].Name, name) {
			continue
		}
		for element := range strings.SplitSeq(h[i].Value, ",") {
			if element = trimSpace(element); element != "" {
				elements = append(elements, element)
			}
		}
	}
	return elements
}

// single returns the value of the only field called name.
func (h Header) single(name string) (value string, found bool, err *Error) {
	values := h.Values(name)
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	}
	return "", true, fail(ErrRepeated, name+" appears "+strconv.Itoa(len(values))+" times")
}

// CheckField reports why {name, value} may not be sent: name is not a token, or
// value holds a control character other than HTAB. Errors are [ErrFieldName] and [ErrFieldValue].
func CheckField(name, value string) error {
	if !isToken(name) {
		return fail(ErrFieldName, quote(name))
	}
	if i := forbiddenAt(value); i >= 0 {
		return fail(ErrFieldValue, "octet "+hex(value[i])+" at index "+strconv.Itoa(i)+" of "+name+shown(name, value))
	}
	return nil
}

// shown is ": value" for an error, nothing for a field that holds a secret: a
// token read from a file with its line feed is a common mistake, and errors are logged.
func shown(name, value string) string {
	for _, secret := range [...]string{"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"} {
		if equalFold(name, secret) {
			return ""
		}
	}
	return ", " + quote(value)
}

func hex(c byte) string {
	const digits = "0123456789abcdef"
	return "0x" + string([]byte{digits[c>>4], digits[c&15]})
}
