package libws

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"aiows/libws/handshake"
)

// shownLine is how much of a line of a head is logged.
const shownLine = 512

// logHeads notes a client's handshakes as far as they went: with a proxy, with servers that
// redirect, and with the last one.
func (c *Conn) logHeads(h *handover) {
	if c.lines == nil {
		return
	}
	for _, r := range h.before {
		c.logHeads(r)
	}
	if x := h.exchange; x != nil && x.Request != "" {
		c.logHead("> ", x.Request)
		c.logAnswer(x.Response)
	}
	if !h.requested {
		return
	}
	request := h.request
	if request == nil {
		request = c.info.request
	}
	c.logHead("> ", string(request.Bytes))
	c.logAnswer(h.response)
	if len(h.body) > 0 {
		c.logLine("< ", fmt.Sprintf("[body, %d bytes]", len(h.body)))
	}
}

func (c *Conn) logAnswer(r *handshake.Response) {
	if r != nil {
		c.logLine("< ", fmt.Sprintf("HTTP/1.1 %d %s", r.Status, r.Reason))
		c.logFields("< ", r.Header)
	}
}

// logHead notes the lines of a head that was sent.
func (c *Conn) logHead(arrow, head string) {
	start, rest, _ := strings.Cut(head, "\r\n")
	c.logLine(arrow, withoutSecrets(start))
	for rest != "" && rest != "\r\n" {
		var line string
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		c.logFields(arrow, handshake.Header{{Name: name, Value: strings.TrimSpace(value)}})
	}
}

func (c *Conn) logFields(arrow string, fields handshake.Header) {
	for _, f := range fields {
		c.logLine(arrow, f.Name+": "+fieldShown(f.Name, f.Value))
	}
}

func (c *Conn) logLine(arrow, line string) {
	if len(line) > shownLine {
		line = line[:shownLine] + "..."
	}
	c.lines.add(arrow+quoteText([]byte(line)), clock())
}

// quoteText escapes what is not printable, quotes and backslashes.
func quoteText(text []byte) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, text[0])
		} else {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[n:]
	}
	return b.String()
}
