package handshake

import (
	"crypto/sha1"
	"encoding/base64"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The oracles of FuzzRequest and FuzzResponse: the grammar as regular expressions over
// a whole head, and the rules of RFC 6455 sections 4.1 and 4.2.1 as a set of those that
// are broken, in no order. Nothing is shared with what is under test.

const (
	naiveToken  = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	naiveTarget = `[!"$-~]+` // printable ASCII without #
)

var (
	naiveRequestLine = regexp.MustCompile(`^(` + naiveToken + `) (` + naiveTarget + `) (HTTP/[0-9]\.[0-9])$`)
	naiveStatusLine  = regexp.MustCompile(`^(HTTP/[0-9]\.[0-9]) ([1-9][0-9][0-9])(?: ((?s:.*)))?$`)
	naiveFieldLine   = regexp.MustCompile(`^(` + naiveToken + `):[ \t]*((?s:.*?))[ \t]*$`)
	naiveBad         = regexp.MustCompile(`[\x00-\x08\n-\x1f\x7f]`) // CR included
	naiveHostValue   = regexp.MustCompile(`^[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]+$`)
	naiveResource    = regexp.MustCompile(`^(?:/|(?i:https?|wss?)://[^/?])`)
	naiveKeyValue    = regexp.MustCompile(`^[A-Za-z0-9+/]{22}==$`)
	naiveVersion     = regexp.MustCompile(`^HTTP/1\.[1-9]$`)
	naiveName        = regexp.MustCompile(`^` + naiveToken + `$`)
	naiveExtensions  = extensionGrammar
)

// naiveHead is what the grammar makes of octets: a complete head, none yet, or
// something that can never become one.
type naiveHead struct {
	state  string   // "head", "more" or the rule that is broken
	start  []string // the parts of the start line
	fields [][2]string
	rest   string
}

// readNaive reads the head at the front of data, for a response the first final one. It
// knows the limit of fields and not the others.
func readNaive(data string, request bool) (h naiveHead) {
	grammar := naiveStatusLine
	if request {
		grammar = naiveRequestLine
	}
	broken := func(rule string) naiveHead { return naiveHead{state: rule} }
	for {
		bad := naiveBad.FindStringIndex(data)
		end := len(data)
		if bad != nil {
			end = bad[0]
		}
		if h.start != nil && len(h.fields) == 128 && end > 0 {
			return broken("too-many-fields")
		}
		switch {
		case bad == nil || data[end:] == "\r":
			return naiveHead{state: "more"}
		case data[end] == '\n':
			return broken("bare-lf")
		case data[end] != '\r':
			return broken("control")
		case data[end+1] != '\n':
			return broken("bare-cr")
		}
		var line string
		line, data = data[:end], data[end+2:]
		switch {
		case h.start == nil:
			if h.start = grammar.FindStringSubmatch(line); h.start == nil {
				return broken(map[bool]string{true: "request-line", false: "status-line"}[request])
			}
		case line == "":
			if !request && h.start[2][0] == '1' && h.start[2] != "101" { // RFC 9110 section 15.2
				h = naiveHead{}
				continue
			}
			h.state, h.rest = "head", data
			return h
		case line[0] == ' ' || line[0] == '\t':
			return broken("fold")
		default:
			field := naiveFieldLine.FindStringSubmatch(line)
			if field == nil {
				return broken("field-name")
			}
			h.fields = append(h.fields, [2]string{field[1], field[2]})
		}
	}
}

// values returns those of the fields of a name.
func (h naiveHead) values(name string) (values []string) {
	for _, f := range h.fields {
		if strings.EqualFold(f[0], name) && len(f[0]) == len(name) { // a token is ASCII
			values = append(values, f[1])
		}
	}
	return values
}

// list returns the elements of the comma-separated lists of a field.
func (h naiveHead) list(name string) (elements []string) {
	for _, element := range strings.Split(strings.Join(h.values(name), ","), ",") {
		if element = strings.Trim(element, " \t"); element != "" {
			elements = append(elements, element)
		}
	}
	return elements
}

func (h naiveHead) has(name, token string) bool {
	return slices.ContainsFunc(h.list(name), func(s string) bool { return asciiLower(s) == token })
}

func asciiLower(s string) string {
	return regexp.MustCompile("[A-Z]").ReplaceAllStringFunc(s, strings.ToLower)
}

// shared are the rules that bind both sides' heads.
func (h naiveHead) shared(broken map[string]bool, single ...string) {
	for _, name := range single {
		if len(h.values(name)) > 1 {
			broken["repeated"] = true
		}
	}
	if !h.has("Connection", "upgrade") {
		broken["connection"] = true
	}
	for _, value := range h.values("Sec-WebSocket-Extensions") {
		if !naiveExtensions.MatchString(value) {
			broken["extension"] = true
		}
	}
}

// brokenRequest names the rules of section 4.2.1 that a request breaks.
func (h naiveHead) brokenRequest() []string {
	broken := map[string]bool{}
	h.shared(broken, "Origin", "Sec-WebSocket-Version", "Sec-WebSocket-Key")
	hosts, versions, keys := h.values("Host"), h.values("Sec-WebSocket-Version"), h.values("Sec-WebSocket-Key")
	for rule, kept := range map[string]bool{
		"method":       h.start[1] == "GET",
		"target":       naiveResource.MatchString(h.start[2]),
		"http-version": naiveVersion.MatchString(h.start[3]),
		"host":         len(hosts) == 1 && naiveHostValue.MatchString(hosts[0]),
		"upgrade":      h.has("Upgrade", "websocket"),
		"version":      len(versions) > 0 && versions[0] == "13",
		"key":          len(keys) > 0 && naiveKeyValue.MatchString(keys[0]),
		"body": len(h.values("Transfer-Encoding")) == 0 && !slices.ContainsFunc(h.values("Content-Length"),
			func(s string) bool { return s != "0" }),
		"subprotocol": !slices.ContainsFunc(h.list("Sec-WebSocket-Protocol"),
			func(s string) bool { return !naiveName.MatchString(s) }),
	} {
		if !kept {
			broken[rule] = true
		}
	}
	return slices.Sorted(maps.Keys(broken))
}

// brokenResponse names the rules of section 4.1 that an answer breaks; "status" is
// another one than 101.
func (h naiveHead) brokenResponse(key string, subprotocols []string, offered string) []string {
	if h.start[2] != "101" {
		return []string{"status"}
	}
	broken := map[string]bool{}
	h.shared(broken, "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions")
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	upgrade, accept := h.list("Upgrade"), h.values("Sec-WebSocket-Accept")
	for rule, kept := range map[string]bool{
		"http-version": naiveVersion.MatchString(h.start[1]),
		"upgrade":      len(upgrade) == 1 && asciiLower(upgrade[0]) == "websocket",
		"accept":       len(accept) > 0 && accept[0] == base64.StdEncoding.EncodeToString(sum[:]),
		"subprotocol-answer": !slices.ContainsFunc(h.values("Sec-WebSocket-Protocol"),
			func(s string) bool { return !slices.Contains(subprotocols, s) }),
		"extension-answer": naiveSubset(h.list("Sec-WebSocket-Extensions"), strings.Split(offered, ",")),
	} {
		if !kept {
			broken[rule] = true
		}
	}
	return slices.Sorted(maps.Keys(broken))
}

// naiveSubset reports whether the names of all extensions chosen are among those offered.
func naiveSubset(chosen, offered []string) bool {
	name := func(s string) string { return strings.Trim(strings.Split(s, ";")[0], " \t") }
	for _, c := range chosen {
		if !slices.ContainsFunc(offered, func(o string) bool { return name(o) == name(c) }) {
			return false
		}
	}
	return true
}
