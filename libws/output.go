package libws

import (
	"sync"
	"sync/atomic"

	"aiows/libws/netpoll"

	"golang.org/x/sys/unix"
)

// output owns a connection's descriptor: it writes, keeps what the socket did not
// take, and tells epoll what to watch for. Without a descriptor, where the host
// carries the bytes, it keeps them until they are drained.
//
// Its mutex is a leaf: nothing else is locked while it is held. tls.Conn.Read may
// write, so the path from there down takes this lock alone.
type output struct {
	mu     sync.Mutex
	mem    *memory
	poller *netpoll.Poller
	tag    uint64

	fd      int // -1: none
	watched uint32
	reading bool // the reactor wants to hear of arriving data
	leaving bool // or, not reading, of the peer's end alone
	corked  bool // keep bytes back until uncork: records of one message travel together
	err     netpoll.Errno
	errored atomic.Bool  // err is set or the descriptor is gone
	nomem   *atomic.Bool // set when bytes could not be kept

	host  bool // no descriptor: the host drains
	ended bool // nothing follows what is kept
	told  bool // the host is told, or will be, that there is something to drain
	news  atomic.Bool
	tail  []byte // of an output that was closed before the host had drained it

	segs    segments
	pending atomic.Int64 // bytes in segs
	sent    atomic.Uint64
	queued  uint64 // sent plus pending: the stream position of the next byte
}

// attach starts to use fd. watch says whether to read from now on.
func (o *output) attach(fd int, watch bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fd, o.reading = fd, watch
	return o.watch()
}

// watch brings epoll in line with what is wanted. After a write error only reading
// can tell more; with nothing to wait for the descriptor leaves the set, since even
// an empty mask would report a reset and spin the host's poller.
func (o *output) watch() error {
	if o.fd < 0 {
		return nil
	}
	var want uint32
	if o.reading {
		want |= netpoll.In
	} else if o.leaving {
		want |= netpoll.Fin
	}
	if o.pending.Load() > 0 && o.err == 0 {
		want |= netpoll.Out
	}
	had := o.watched
	if want == had {
		return nil
	}
	o.watched = want
	switch {
	case had == 0:
		return o.poller.Add(o.fd, want, o.tag)
	case want == 0:
		return o.poller.Del(o.fd)
	}
	return o.poller.Mod(o.fd, want, o.tag)
}

// release gives the descriptor up, unwatched.
func (o *output) release() (fd int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reading = false
	_ = o.watch()
	fd, o.fd = o.fd, -1
	return fd
}

// setReading changes whether arriving data is watched for.
func (o *output) setReading(on bool) {
	o.mu.Lock()
	if o.reading != on || o.leaving {
		o.reading, o.leaving = on, false
		_ = o.watch()
	}
	o.mu.Unlock()
}

// awaitLeaving watches for nothing but the peer's end.
func (o *output) awaitLeaving() {
	o.mu.Lock()
	o.reading, o.leaving = false, true
	_ = o.watch()
	o.mu.Unlock()
}

// write takes all of head and body, whatever the socket takes of them now. It
// fails only for want of memory; an error of the socket is recorded, because only
// the read side can tell whether the peer's Close waits there.
func (o *output) write(head, body []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	total := len(head) + len(body)
	if o.err != 0 || o.ended || o.fd < 0 && !o.host {
		return nil
	}
	o.queued += uint64(total)
	if len(o.segs) == 0 && !o.corked && !o.host {
		var n int
		var e netpoll.Errno
		if len(body) == 0 {
			n, e = netpoll.Send(o.fd, head)
		} else {
			n, e = netpoll.Sendv(o.fd, head, body)
		}
		if e != 0 && !netpoll.Again(e) {
			o.fail(e)
			return nil
		}
		o.sent.Add(uint64(n))
		if n == total {
			return nil
		}
		if n < len(head) {
			head = head[n:]
		} else {
			head, body = nil, body[n-len(head):]
		}
	}
	if !o.keep(head) || !o.keep(body) {
		o.fail(unix.ENOMEM) // the stream has a hole: nothing may follow
		o.nomem.Store(true)
		return CodeMemory
	}
	o.raise()
	if o.corked {
		return nil
	}
	return o.watch()
}

// keep appends b to the backlog.
func (o *output) keep(b []byte) bool {
	if !o.segs.keep(o.mem, b) {
		return false
	}
	o.pending.Add(int64(len(b)))
	return true
}

// flush writes what waits and returns whether all of it went out.
func (o *output) flush() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.flushLocked()
}

func (o *output) flushLocked() bool {
	if o.fd < 0 || o.err != 0 || o.corked {
		return len(o.segs) == 0
	}
	done := 0
	for done < len(o.segs) {
		s := &o.segs[done]
		var n int
		var e netpoll.Errno
		if done+1 < len(o.segs) {
			next := &o.segs[done+1]
			n, e = netpoll.Sendv(o.fd, s.buf[s.r:s.w], next.buf[next.r:next.w])
		} else {
			n, e = netpoll.Send(o.fd, s.buf[s.r:s.w])
		}
		if e != 0 {
			if !netpoll.Again(e) {
				o.drop(done)
				o.fail(e)
				return true
			}
			break
		}
		o.sent.Add(uint64(n))
		o.pending.Add(-int64(n))
		for n > 0 && done < len(o.segs) {
			s := &o.segs[done]
			k := min(n, s.w-s.r)
			s.r += k
			n -= k
			if s.r == s.w {
				done++
			}
		}
		if done < len(o.segs) && o.segs[done].r > 0 {
			break // a short write: the socket is full
		}
	}
	o.drop(done)
	_ = o.watch()
	return len(o.segs) == 0
}

// drop frees the first n segments.
func (o *output) drop(n int) { o.segs.drop(o.mem, n) }

// fail records a write error and drops what can no longer be sent.
func (o *output) fail(e netpoll.Errno) {
	o.err = e
	o.errored.Store(true)
	o.drop(len(o.segs))
	o.pending.Store(0)
	_ = o.watch()
}

// abandon makes every write from now on go nowhere. Any thread.
func (o *output) abandon() {
	o.mu.Lock()
	if o.err == 0 {
		o.fail(unix.ECANCELED)
	}
	o.mu.Unlock()
}

// cork holds bytes back until uncork, for a writer of several pieces.
func (o *output) cork() {
	o.mu.Lock()
	o.corked = true
	o.mu.Unlock()
}

func (o *output) uncork() {
	o.mu.Lock()
	o.corked = false
	o.flushLocked()
	o.mu.Unlock()
}

// position returns the stream position of the next byte to be queued.
func (o *output) position() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queued
}

// lost reports that nothing more can be sent. Any thread.
func (o *output) lost() bool { return o.errored.Load() }

// broken reports a recorded write error.
func (o *output) broken() netpoll.Errno {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// shutdownWrite sends FIN.
func (o *output) shutdownWrite() {
	o.mu.Lock()
	switch {
	case o.fd >= 0:
		netpoll.ShutdownWrite(o.fd)
	case o.host && !o.ended:
		o.ended, o.told = true, true
		o.news.Store(true)
	}
	o.mu.Unlock()
}

// close ends the descriptor. The caller holds the loop lock and the write lock;
// the order (leave epoll, shut down, close, forget) is what makes the number safe
// to reuse by anybody.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.host {
		o.closeHost()
		return
	}
	if o.fd < 0 {
		return
	}
	if o.watched != 0 {
		_ = o.poller.Del(o.fd)
		o.watched = 0
	}
	untrack(o.fd)
	netpoll.Close(o.fd)
	o.fd = -1
	o.errored.Store(true)
	o.drop(len(o.segs))
	o.pending.Store(0)
}
