package handshake

import "strings"

// extensions returns the elements of the Sec-WebSocket-Extensions fields of h
// as they were written, in order. Both sides must fail on what does not follow
// the grammar (RFC 6455 section 9.1).
func (h Header) extensions() ([]string, *Error) {
	var all []string
	for _, value := range h.Values("Sec-WebSocket-Extensions") {
		elements, ok := splitExtensions(value)
		if !ok {
			return nil, fail(ErrExtension, quote(value))
		}
		all = append(all, elements...)
	}
	return all, nil
}

func splitExtensions(s string) (elements []string, ok bool) {
	i := skipSpace(s, 0)
	for {
		for i < len(s) && s[i] == ',' {
			i = skipSpace(s, i+1)
		}
		if i == len(s) {
			return elements, true
		}
		end := extensionEnd(s, i)
		if end < 0 {
			return nil, false
		}
		elements = append(elements, s[i:end])
		if i = skipSpace(s, end); i < len(s) && s[i] != ',' {
			return nil, false
		}
	}
}

// extensionEnd returns the index after the extension that starts at s[i], -1
// when none does. White space is allowed around ; and = (implied *LWS).
func extensionEnd(s string, i int) int {
	end := tokenEnd(s, i)
	if end == i {
		return -1
	}
	for {
		next := skipSpace(s, end)
		if next == len(s) || s[next] != ';' {
			return end
		}
		next = skipSpace(s, next+1)
		if end = tokenEnd(s, next); end == next {
			return -1
		}
		next = skipSpace(s, end)
		if next == len(s) || s[next] != '=' {
			continue
		}
		if end = parameterEnd(s, skipSpace(s, next+1)); end < 0 {
			return -1
		}
	}
}

// parameterEnd returns the index after the token or quoted string at s[i], -1
// when there is none. What is quoted must be a token too.
func parameterEnd(s string, i int) int {
	if i == len(s) || s[i] != '"' {
		if end := tokenEnd(s, i); end > i {
			return end
		}
		return -1
	}
	first := i + 1
	for i = first; i < len(s); i++ {
		if s[i] == '"' {
			if i == first {
				return -1
			}
			return i + 1
		}
		if s[i] == '\\' {
			i++
		}
		if i == len(s) || !tokenOctets[s[i]] {
			return -1
		}
	}
	return -1
}

// Extension is one element of a Sec-WebSocket-Extensions field.
type Extension struct {
	Name       string
	Parameters []Parameter // in order
}

// Parameter is one of an [Extension].
type Parameter struct {
	Name, Value string // without quotes
	HasValue    bool
}

// String shows the parameter as it may be written.
func (p Parameter) String() string {
	if p.HasValue {
		return p.Name + "=" + shorten(p.Value)
	}
	return shorten(p.Name)
}

// ParseExtensions parses a value of Sec-WebSocket-Extensions; ok is false when it does
// not follow the grammar.
func ParseExtensions(value string) (list []Extension, ok bool) {
	elements, ok := splitExtensions(value)
	for _, element := range elements {
		// No token holds a semicolon or an equals sign, and what is quoted is a token.
		parts := strings.Split(element, ";")
		e := Extension{Name: trimSpace(parts[0])}
		for _, part := range parts[1:] {
			name, v, has := strings.Cut(part, "=")
			e.Parameters = append(e.Parameters, Parameter{trimSpace(name), unquote(trimSpace(v)), has})
		}
		list = append(list, e)
	}
	return list, ok
}

// unquote returns the text of a token or a quoted string.
func unquote(s string) string {
	if s == "" || s[0] != '"' {
		return s
	}
	return strings.ReplaceAll(s[1:len(s)-1], `\`, "")
}

// extensionName returns the token that element starts with.
func extensionName(element string) string { return element[:tokenEnd(element, 0)] }

// firstNotOffered returns the first of chosen whose extension is not among offered.
func firstNotOffered(chosen, offered []string) (string, bool) {
	for _, c := range chosen {
		found := false
		for _, o := range offered {
			found = found || extensionName(o) == extensionName(c)
		}
		if !found {
			return c, true
		}
	}
	return "", false
}

// subprotocols returns the elements of the Sec-WebSocket-Protocol fields of h.
func (h Header) subprotocols() ([]string, *Error) {
	list := h.list("Sec-WebSocket-Protocol")
	for _, name := range list {
		if !isToken(name) {
			return nil, fail(ErrSubprotocol, quote(name))
		}
	}
	return list, nil
}

// repeatedIn returns the first element of list that stands in it twice.
func repeatedIn(list []string) (string, bool) {
	seen := make(map[string]bool, len(list))
	for _, element := range list {
		if seen[element] {
			return element, true
		}
		seen[element] = true
	}
	return "", false
}

func join(list []string) string { return strings.Join(list, ", ") }
