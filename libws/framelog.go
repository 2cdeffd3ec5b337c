package libws

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"aiows/libws/wire"
)

// logLines is how many lines wait for the host at most; of more, the newest are dropped
// and counted.
const logLines = 1024

// frameLog holds the lines of ConnOptions.LogFrames until a Poll tells them. Frames are
// written on any thread; its mutex is a leaf lock.
type frameLog struct {
	waiting atomic.Bool // lines is not empty

	mu      sync.Mutex
	lines   []logLine
	dropped int32 // since the last line that was kept
}

type logLine struct {
	text    string
	at      int64
	dropped int32 // lines before it
}

// logFrames starts to log, if the host wants that.
func (c *Conn) logFrames() {
	if c.opts.LogFrames {
		c.lines = new(frameLog)
	}
}

func (f *frameLog) add(text string, at int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lines) == logLines {
		f.dropped++
		return
	}
	f.lines = append(f.lines, logLine{text, at, f.dropped})
	f.dropped = 0
	f.waiting.Store(true)
}

// take returns up to n lines.
func (f *frameLog) take(n int) []logLine {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = min(n, len(f.lines))
	taken := f.lines[:n]
	if f.lines = f.lines[n:]; len(f.lines) == 0 {
		f.lines = nil
		f.waiting.Store(false)
	}
	return taken
}

// tellLog tells lines that wait, but for the last spare places of the batch; false:
// some are left.
func (c *Conn) tellLog(b *batch, spare int) bool {
	if c.lines == nil || !c.lines.waiting.Load() {
		return true
	}
	for _, line := range c.lines.take(max(len(b.events)-b.n-spare, 0)) {
		e := b.next(c, EventLog)
		e.Time, e.Code = line.at, line.dropped
		e.setData(c.loop.arena.keep([]byte(line.text)))
	}
	return !c.lines.waiting.Load()
}

// logReady, where frames are logged, reports that the batch has room for a line, what the
// line is about, and one thing more; it tells the lines before. In a batch that is too
// small for that, lines come late.
func (c *Conn) logReady(b *batch) bool {
	return c.tellLog(b, 3) && (b.n == 0 || len(b.events)-b.n >= 3)
}

// logReceived notes a frame, or a message that was inflated from packed bytes, that is
// about to be told.
func (c *Conn) logReceived(op wire.Opcode, fin bool, payload []byte, packed int, b *batch) {
	if c.lines != nil { // this much is inlined
		c.lineReceived(op, fin, payload, packed, b)
	}
}

func (c *Conn) lineReceived(op wire.Opcode, fin bool, payload []byte, packed int, b *batch) {
	c.lines.add("< "+frameLine(op, c.reader.kind, fin, payload, packed), c.readAt)
	c.tellLog(b, 1)
}

// logFrame notes a frame whose payload came in pieces. A compressed message is noted
// once it is inflated.
func (c *Conn) logFrame(b *batch) {
	r := &c.reader
	if c.lines == nil || r.packed && r.fin {
		return
	}
	op := wire.OpContinuation
	if r.fragments == 1 {
		op = r.kind
	}
	if r.packed {
		c.lines.add(fmt.Sprintf("< %s [%d compressed, continued]", opcodeName(op), r.have-r.begun), c.readAt)
		return
	}
	c.logReceived(op, r.fin, r.message[r.begun:r.have], unpacked, b)
}

// logSent notes a frame that is about to be sent. The write lock is held.
func (c *Conn) logSent(op wire.Opcode, fin bool, payload []byte, packed int) {
	if c.lines != nil { // as for logReceived
		c.lineSent(op, fin, payload, packed)
	}
}

func (c *Conn) lineSent(op wire.Opcode, fin bool, payload []byte, packed int) {
	if !c.out.lost() {
		c.lines.add("> "+frameLine(op, c.writer.fragment, fin, payload, packed), clock())
		c.loop.post(c)
	}
}

// unpacked as the packed size of what is not compressed.
const unpacked = -1

// frameLine describes a frame: opcode, payload and sizes. kind is that of the message
// which a continuation belongs to.
func frameLine(op, kind wire.Opcode, fin bool, payload []byte, packed int) string {
	var notes []string
	var shown string
	switch {
	case op == wire.OpClose:
		shown = closeText(payload)
	case op == wire.OpText, op == wire.OpContinuation && kind == wire.OpText:
		shown = textShown(payload)
	default:
		shown = binaryShown(payload)
		notes = append(notes, "binary")
	}
	if len(payload) == 1 {
		notes = append(notes, "1 byte")
	} else {
		notes = append(notes, fmt.Sprintf("%d bytes", len(payload)))
	}
	if packed != unpacked {
		notes = append(notes, fmt.Sprintf("%d compressed", packed))
	}
	if !fin {
		notes = append(notes, "continued")
	}
	line := opcodeName(op)
	if shown != "" {
		line += " " + shown
	}
	return line + " [" + strings.Join(notes, ", ") + "]"
}

func opcodeName(op wire.Opcode) string {
	switch op {
	case wire.OpContinuation:
		return "CONT"
	case wire.OpText:
		return "TEXT"
	case wire.OpBinary:
		return "BINARY"
	case wire.OpClose:
		return "CLOSE"
	case wire.OpPing:
		return "PING"
	}
	return "PONG"
}

const (
	shownText   = 75 // characters of a text that is shown whole
	shownHead   = 48 // of a longer one, from its beginning
	shownTail   = 24 // and from its end
	shownBytes  = 25 // bytes that are shown whole
	shownBefore = 16
	shownAfter  = 8
)

// textShown quotes text, shortened; what is no printable character is escaped, so that
// a line stays a line.
func textShown(text []byte) string {
	const most = utf8.UTFMax * shownText
	if quoted := quoteText(text[:min(len(text), most)]); len(text) <= most && utf8.RuneCountInString(quoted) <= shownText {
		return "'" + quoted + "'"
	} else {
		tail := text[len(text)-min(len(text), utf8.UTFMax*shownTail):]
		for len(tail) > 0 && len(tail) < len(text) && !utf8.RuneStart(tail[0]) {
			tail = tail[1:]
		}
		end := []rune(quoteText(tail))
		return "'" + string([]rune(quoted)[:shownHead]) + "..." + string(end[max(len(end)-shownTail, 0):]) + "'"
	}
}

func binaryShown(b []byte) string {
	if len(b) > shownBytes {
		return fmt.Sprintf("% x ... % x", b[:shownBefore], b[len(b)-shownAfter:])
	}
	return fmt.Sprintf("% x", b)
}

func closeText(payload []byte) string {
	code, reason, broken := wire.ParseClose(payload)
	switch {
	case broken != nil:
		return binaryShown(payload)
	case len(payload) == 0:
		return ""
	case len(reason) == 0:
		return fmt.Sprintf("%d (%s)", code, code.Name())
	}
	return fmt.Sprintf("%d (%s) %s", code, code.Name(), textShown([]byte(reason)))
}
