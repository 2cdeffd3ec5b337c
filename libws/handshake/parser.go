package handshake

import (
	"strconv"
	"strings"
)

// Parser reads the head of one request or response from bytes that arrive in
// pieces of any size. It keeps no reference to what it is fed.
//
// A response parser passes over interim responses, 1xx other than 101
// (RFC 9110 section 15.2).
type Parser struct {
	request bool
	done    bool
	cr      bool   // the last octet was a CR
	started bool   // the start line is complete
	line    []byte // the incomplete line
	total   int
	err     *Error

	method, target, proto, reason string
	status                        int
	header                        Header
}

// NewResponseParser returns a parser for what a server answers.
func NewResponseParser() *Parser { return &Parser{} }

// NewRequestParser returns a parser for what a client asks.
func NewRequestParser() *Parser { return &Parser{request: true} }

// Feed takes the next bytes. done reports that the blank line came; rest is what
// follows it, a part of b. After an error, an [*Error], every further call returns it again;
// after the end, every further call returns its argument as rest.
func (p *Parser) Feed(b []byte) (done bool, rest []byte, err error) {
	if p.err != nil {
		return false, nil, p.err
	}
	for i, c := range b {
		if p.done {
			return true, b[i:], nil
		}
		if p.err = p.octet(c); p.err != nil {
			p.line = nil
			return false, nil, p.err
		}
	}
	return p.done, b[len(b):], nil
}

// Response returns what a response parser read, nil before Feed reported the end.
func (p *Parser) Response() *Response {
	if !p.done || p.request {
		return nil
	}
	return &Response{Status: p.status, Reason: p.reason, Proto: p.proto, Header: p.header}
}

// Request returns what a request parser read, nil before Feed reported the end.
func (p *Parser) Request() *ServerRequest {
	if !p.done || !p.request {
		return nil
	}
	return &ServerRequest{Method: p.method, Target: p.target, Proto: p.proto, Header: p.header}
}

// octet judges octets one by one, so that the size of the pieces cannot change the outcome.
func (p *Parser) octet(c byte) *Error {
	if p.total++; p.total > MaxHeadLen {
		return fail(ErrHeadTooLong, "")
	}
	switch {
	case p.cr:
		if c != '\n' {
			return fail(ErrBareCR, p.where())
		}
		p.cr = false
		err := p.endLine(string(p.line))
		p.line = p.line[:0]
		return err
	case c == '\r':
		p.cr = true
		return nil
	case c == '\n':
		return fail(ErrBareLF, p.where())
	case isForbidden(c):
		return fail(ErrControl, "octet "+hex(c)+" in "+p.where())
	case !p.started && len(p.line) == MaxLine:
		return fail(ErrLineTooLong, "")
	case p.started && len(p.line) == 0 && len(p.header) == MaxFields:
		return fail(ErrTooManyFields, "")
	case p.started && len(p.line) == MaxFieldLen:
		return fail(ErrFieldTooLong, p.where())
	}
	p.line = append(p.line, c)
	return nil
}

// where names the line that is being read, without its value, which may be a secret.
func (p *Parser) where() string {
	if !p.started {
		return "the start line"
	}
	name, _, _ := strings.Cut(string(p.line), ":")
	return "field line " + strconv.Itoa(len(p.header)+1) + ", " + quote(name)
}

func (p *Parser) endLine(line string) *Error {
	switch {
	case !p.started && p.request:
		p.started = true
		return p.requestLine(line)
	case !p.started:
		p.started = true
		return p.statusLine(line)
	case line != "":
		return p.fieldLine(line)
	case !p.request && p.status < 200 && p.status != 101:
		p.started, p.header = false, nil
		return nil
	}
	p.done, p.line = true, nil
	return nil
}

func (p *Parser) requestLine(line string) *Error {
	method, rest, _ := strings.Cut(line, " ")
	target, proto, _ := strings.Cut(rest, " ")
	if !isToken(method) || !isTarget(target) || !isProto(proto) {
		return fail(ErrRequestLine, quote(line))
	}
	p.method, p.target, p.proto = method, target, proto
	return nil
}

// statusLine also takes a line that ends after the status: servers without
// reasons leave out the space, and nothing else can be meant.
func (p *Parser) statusLine(line string) *Error {
	proto, rest, _ := strings.Cut(line, " ")
	status, reason, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(status, 10, 16)
	if !isProto(proto) || len(status) != 3 || err != nil || n < 100 {
		return fail(ErrStatusLine, quote(line))
	}
	p.proto, p.status, p.reason = proto, int(n), reason
	return nil
}

func isProto(s string) bool {
	return len(s) == 8 && s[:5] == "HTTP/" && isDigit(s[5]) && s[6] == '.' && isDigit(s[7])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (p *Parser) fieldLine(line string) *Error {
	if isSpace(line[0]) {
		return fail(ErrFold, "field line "+strconv.Itoa(len(p.header)+1))
	}
	name, value, found := strings.Cut(line, ":")
	if !found || !isToken(name) {
		return fail(ErrFieldName, quote(name))
	}
	p.header = append(p.header, Field{name, trimSpace(value)})
	return nil
}

// isHTTP11 reports whether proto has the Upgrade mechanism: HTTP/1.1 or a later HTTP/1.
func isHTTP11(proto string) bool { return isProto(proto) && proto[5] == '1' && proto[7] != '0' }
