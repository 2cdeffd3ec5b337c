package handshake

import (
	"strconv"
	"strings"
)

// parseRaw checks the lines of a raw request and finds their fields.
func parseRaw(raw []string) (start string, lines []line, err error) {
	for len(raw) > 0 && (raw[len(raw)-1] == "" || raw[len(raw)-1] == "\r\n") {
		raw = raw[:len(raw)-1]
	}
	if len(raw) == 0 {
		return "", nil, fail(ErrRawLine, "the list is empty, expected a request line such as \"GET / HTTP/1.1\"")
	}
	for i, text := range raw {
		if err := checkRaw(i+1, text); err != nil {
			return "", nil, err
		}
	}
	method, rest, _ := strings.Cut(raw[0], " ")
	target, proto, _ := strings.Cut(rest, " ")
	switch {
	case method != "GET":
		return "", nil, fail(ErrMethod, quote(raw[0]))
	case !isTarget(target):
		return "", nil, fail(ErrRequestLine, quote(raw[0]))
	case proto != "HTTP/1.1":
		return "", nil, fail(ErrHTTPVersion, quote(raw[0]))
	}
	for i, text := range raw[1:] {
		name, value, found := strings.Cut(text, ":")
		if !found || !isToken(name) {
			return "", nil, fail(ErrFieldName, "line "+strconv.Itoa(i+2)+", "+quote(name))
		}
		lines = append(lines, line{Field{name, trimSpace(value)}, text})
	}
	return raw[0], lines, nil
}

func checkRaw(number int, text string) *Error {
	prefix := "line " + strconv.Itoa(number)
	if text == "" {
		return fail(ErrRawLine, prefix+" is empty")
	}
	if i := forbiddenAt(text); i >= 0 {
		name, value, _ := strings.Cut(text, ":")
		return fail(ErrRawLine, prefix+" holds octet "+hex(text[i])+" at index "+strconv.Itoa(i)+", "+quote(name)+shown(name, value))
	}
	return nil
}
