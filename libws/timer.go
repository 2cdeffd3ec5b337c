package libws

import (
	"container/heap"
	"time"
)

// timers orders what has a deadline; the loop lock guards it.
//
// One runtime timer serves the whole loop: armed for the earliest deadline, it
// does nothing but make the loop's descriptor readable.
type timers struct {
	heap  timerHeap
	rt    *time.Timer
	armed int64 // deadline the runtime timer runs for; 0: none
	fire  func()
}

// timed is something with a deadline.
type timed interface {
	timer() *timer
	expire(now int64) // called with the loop lock held once at has passed
}

// timer is the heap entry of a timed.
type timer struct {
	at    int64 // 0: not in the heap
	index int
}

type timerHeap []timed

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].timer().at < h[j].timer().at }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timer().index, h[j].timer().index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(timed)
	t.timer().index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	old := *h
	n := len(old) - 1
	t := old[n]
	old[n] = nil
	*h = old[:n]
	return t
}

// set moves the deadline of t; 0 removes it.
func (ts *timers) set(t timed, at int64) {
	e := t.timer()
	switch {
	case e.at == at:
		return
	case e.at == 0:
		e.at = at
		heap.Push(&ts.heap, t)
	case at == 0:
		heap.Remove(&ts.heap, e.index)
		e.at = 0
	default:
		e.at = at
		heap.Fix(&ts.heap, e.index)
	}
}

// run expires what is due.
func (ts *timers) run(now int64) {
	for len(ts.heap) > 0 {
		t := ts.heap[0]
		if t.timer().at > now {
			return
		}
		heap.Pop(&ts.heap)
		t.timer().at = 0
		t.expire(now)
	}
}

// arm brings the runtime timer in line with the earliest deadline. A timer that
// fires early only wakes the host, so it is left alone when the deadline moved
// back.
func (ts *timers) arm(now int64) {
	if len(ts.heap) == 0 {
		return
	}
	at := ts.heap[0].timer().at
	if ts.armed > now && ts.armed <= at {
		return
	}
	ts.armed = at
	d := time.Duration(max(at-now, 0))
	if ts.rt == nil {
		ts.rt = time.AfterFunc(d, ts.fire)
	} else {
		ts.rt.Reset(d)
	}
}

func (ts *timers) stop() {
	if ts.rt != nil {
		ts.rt.Stop()
	}
	for _, t := range ts.heap {
		t.timer().at = 0
	}
	ts.heap = nil
}
