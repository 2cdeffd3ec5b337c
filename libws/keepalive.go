package libws

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// keepalive pings the peer and notices its absence; the loop lock guards it.
//
// Any arriving byte is life. No deadline ends a connection before its socket was
// read dry after the deadline, and none runs while the host holds reading back: a
// busy host must not lose a healthy peer.
type keepalive struct {
	next     int64  // when to ping; 0: never
	sentAt   int64  // of the ping in flight; 0: none
	deadline int64  // of its answer; 0: none
	heard    uint64 // bytes that had come when it was sent
	polls    uint64 // of the loop when it was sent
	absent   bool   // the connection is attached, and its host did not poll then
	tag      uint32 // in every ping of ours, with count: tells them from the host's
	count    uint32
}

func (k *keepalive) start(c *Conn, now int64) {
	if c.opts.PingInterval > 0 {
		k.next = now + int64(c.opts.PingInterval)
	}
}

// answered reports that payload belongs to a ping of ours, also to one that was
// given up meanwhile.
func (k *keepalive) answered(c *Conn, payload []byte, at int64) bool {
	if k.count == 0 || len(payload) != 8 || binary.BigEndian.Uint32(payload) != k.tag {
		return false
	}
	if k.sentAt != 0 && binary.BigEndian.Uint32(payload[4:]) == k.count {
		c.roundTrip(max(at-k.sentAt, 1))
		k.sentAt, k.deadline = 0, 0
	}
	return true
}

// timer makes Conn a timed.
func (c *Conn) timer() *timer { return &c.alarm }

// retime sets the connection's timer to its earliest deadline.
func (c *Conn) retime() {
	at := c.opened.deadline
	for _, t := range [...]int64{c.ending.deadline, c.alive.next, c.alive.deadline} {
		if t != 0 && (at == 0 || t < at) {
			at = t
		}
	}
	c.loop.timers.set(c, at)
}

// expire serves whatever deadline has passed.
func (c *Conn) expire(now int64) {
	due := func(t int64) bool { return t != 0 && t <= now }
	switch {
	case c.phase >= phaseDone:
		return
	case c.freed.Load():
		c.destroy()
		return
	case c.phase < phaseOpen:
		if due(c.opened.deadline) {
			c.openExpired(now)
			return
		}
	case due(c.ending.deadline):
		c.ending.deadline = 0
		c.closeExpired()
		return
	case c.State() != StateOpen: // closing: no more pings
		c.alive.next, c.alive.deadline = 0, 0
	default:
		if due(c.alive.deadline) && !c.pongMissing(now) {
			return
		}
		if due(c.alive.next) {
			c.sendKeepalive(now)
		}
	}
	c.retime()
}

// pongMissing decides what a passed deadline means; false: the connection ended.
func (c *Conn) pongMissing(now int64) bool {
	k := &c.alive
	if c.bytesReceived.Load() == k.heard {
		if c.readAhead(now); c.unread() {
			k.deadline = now + int64(c.opts.PingTimeout)
			return true
		}
	}
	if c.bytesReceived.Load() != k.heard {
		k.sentAt, k.deadline = 0, 0
		c.loop.queue(c)
		return true
	}
	if k.absent { // the ping goes out when the host comes by
		k.absent = c.loop.polls-k.polls < 2
		k.deadline = now + int64(c.opts.PingTimeout)
		return true
	}
	if c.awaitsHost() {
		k.deadline = now + int64(hostGrace)
		return true
	}
	if c.phase == phaseOpen && !c.reader.eof {
		text := "no answer to a ping within " + c.opts.PingTimeout.Round(time.Millisecond).String()
		c.err = &Error{Code: CodeKeepalive, Text: text, CloseCode: 1011}
		c.control.setClose(1011, "keepalive ping timeout")
		c.flushControl()
	}
	c.finish()
	return false
}

func (c *Conn) sendKeepalive(now int64) {
	k := &c.alive
	k.next = now + int64(c.opts.PingInterval)
	if k.deadline != 0 {
		return // one at a time
	}
	if k.count == 0 {
		k.tag = rand.Uint32()
	}
	k.count++
	k.sentAt, k.heard = now, c.bytesReceived.Load()
	k.polls = c.loop.polls
	k.absent = c.attached != nil && c.loop.dog != nil && c.loop.dog.stepping
	if c.opts.PingTimeout > 0 {
		k.deadline = now + int64(c.opts.PingTimeout)
	}
	var payload [8]byte
	binary.BigEndian.PutUint32(payload[:], k.tag)
	binary.BigEndian.PutUint32(payload[4:], k.count)
	c.control.setPing(payload)
	c.flushControl()
}
