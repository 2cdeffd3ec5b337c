package libws

import (
	"time"

	"aiows/libws/netpoll"
)

const (
	// stallAfter is how long a host may leave its readable loop alone. Peers that
	// give up soonest do so a second after their ping.
	stallAfter = 100 * time.Millisecond
	// sliceBytes and the length of watchdog.found bound how long the watchdog keeps
	// the loop from the host.
	sliceBytes = 256 << 10
)

// watchdog serves a loop that its host does not poll: a goroutine that reads ahead,
// answers control frames, writes backlogs and runs timers. It emits no event.
//
// It watches the loop's descriptor only after a silence, and hears of it once; then
// it looks every 100 ms whether the host polls. So an idle loop costs nothing, and a
// busy one ten short wake-ups a second.
type watchdog struct {
	loop    *Loop
	watcher *netpoll.Watcher
	stopped chan struct{}

	// Guarded by the loop lock.
	polls    uint64 // Loop.polls when it last looked
	stepping bool   // the host has not polled since the watchdog stepped in
	found    [64]netpoll.Ready
}

// watch starts the watchdog with the first connection that opens. The loop lock is
// held.
func (l *Loop) watch() {
	if l.dog != nil || l.opts.NoWatchdog || l.closed {
		return
	}
	watcher, err := netpoll.NewWatcher()
	if err != nil { // the next connection tries again
		l.log(LogError, "watchdog: "+err.Error())
		return
	}
	track(watcher.FD())
	l.dog = &watchdog{loop: l, watcher: watcher, stopped: make(chan struct{})}
	spawn(l.dog.run)
}

// stop ends the goroutine; the loop is closed.
func (w *watchdog) stop() {
	close(w.stopped)
	untrack(w.watcher.FD())
	w.watcher.Close()
}

// verdict is what a look at the loop showed.
type verdict int

const (
	gone  verdict = iota // the loop is closed
	idle                 // nothing is to be done until its descriptor turns readable
	alive                // the host polls, or all is done that can be without it
	more                 // there is more to be read at once
)

func (w *watchdog) run() {
	nap := time.NewTimer(0)
	defer nap.Stop()
	for w.wait() {
		for v := alive; v != idle; {
			nap.Reset(w.loop.patience)
			select {
			case <-w.stopped:
				return
			case <-nap.C:
			}
			for v = more; v == more; { // in slices, so that the host gets in
				v = w.look()
			}
			if v == gone {
				return
			}
		}
	}
}

// wait sleeps until the loop's descriptor is readable; false: it never will be.
func (w *watchdog) wait() bool {
	l := w.loop
	l.postMu.Lock() // Close marks the loop as shut before its descriptor ends
	if l.shut || w.watcher.Watch(l.poller.FD()) != nil {
		l.postMu.Unlock()
		return false
	}
	l.postMu.Unlock()
	if !w.watcher.Wait() {
		return false
	}
	l.postMu.Lock()
	if !l.shut {
		w.watcher.Forget(l.poller.FD())
	}
	l.postMu.Unlock()
	if l.mu.TryLock() {
		w.polls = l.polls
		l.mu.Unlock()
	}
	return true
}

// look steps in when the host has not polled since the last look.
func (w *watchdog) look() verdict {
	l := w.loop
	if !l.mu.TryLock() {
		return alive // whoever is inside, it is not for long
	}
	defer l.mu.Unlock()
	if l.closed {
		return gone
	}
	if l.polls != w.polls {
		w.polls, w.stepping = l.polls, false
		return alive
	}
	ready := w.found[:l.poller.Wait(w.found[:])]
	if len(ready) == 0 && !l.signalled.Load() {
		return idle
	}
	if !w.stepping {
		w.stepping = true
		l.stalls++
	}
	if l.stepIn(ready, clock()) {
		return more
	}
	return alive
}

// stepIn does what Poll would, without events: what is read waits for Poll. It
// returns whether bytes came.
func (l *Loop) stepIn(ready []netpoll.Ready, now int64) bool {
	if l.attention.Load() && l.attend(now) {
		l.Wake() // it is the host's
	}
	came := 0
	for _, c := range l.ready {
		if came < sliceBytes {
			came += c.stepIn(c.reader.more, now)
		}
	}
	for _, r := range ready {
		s := l.at(r.Tag)
		if s == nil || s.conn == nil { // accepting is for the host to do
			continue
		}
		if r.Events&^epollIn != 0 {
			s.conn.flush(now)
		}
		if r.Events&^epollOut != 0 && came < sliceBytes {
			came += s.conn.stepIn(true, now)
		}
	}
	for _, c := range l.fed {
		if came < sliceBytes && c.fedReady() {
			came += c.stepIn(true, now)
		}
	}
	l.timers.run(now)
	l.timers.arm(now)
	l.settle()
	return came > 0
}

// stepIn reads ahead when there is something to read, and returns how many bytes came.
func (c *Conn) stepIn(readable bool, now int64) (came int) {
	if c.phase != phaseOpen || c.freed.Load() || c.opts.ReadAhead == 0 {
		return 0
	}
	if !readable {
		c.serveRest(now)
		return 0
	}
	came = c.readAhead(now)
	c.account()
	if c.reader.eof || !c.held() || !c.park() {
		c.loop.queue(c)
	}
	return came
}
