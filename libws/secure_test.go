package libws

import (
	"fmt"
	"runtime"
	"testing"
)

// TestSilentTLSClients: who sends nothing holds no goroutine, however many there are, and
// who leaves again is not even given one.
func TestSilentTLSClients(t *testing.T) {
	h := newHost(t)
	secure := newTestTLS(t)
	ln := h.listen(secure)
	before := runtime.NumGoroutine()
	var silent []*peer
	for range handshakers + 50 {
		silent = append(silent, h.ask(ln, nil, nil))
	}
	h.while("all", func() bool { return h.loop.Stats().Connections == len(silent) })
	if n := runtime.NumGoroutine() - before; n > 5 {
		t.Errorf("%d goroutines for %d clients that say nothing", n, len(silent))
	}
	p := h.ask(ln, secure, []byte(sampleRequest))
	c := h.accept(1, quiet(nil))
	h.until(EventOpen, 1)
	p.head()
	for i, p := range silent {
		if i%2 == 0 {
			p.reset()
		} else {
			_ = p.socket.CloseWrite()
		}
	}
	h.while("the end of the silent", func() bool { return h.loop.Stats().Connections == 1 })
	c.Free()
}

// TestQueuedHandshakes: clients that stop in the middle fill the goroutines there are; the
// others wait in a queue, which each way out leaves clean.
func TestQueuedHandshakes(t *testing.T) {
	const queued = 20
	secure := newTestTLS(t)
	for _, way := range []string{"served", "listener closed", "loop closed"} {
		t.Run(way, func(t *testing.T) {
			h := newHost(t)
			ln := h.listen(secure)
			var stalled []*peer
			for range handshakers {
				stalled = append(stalled, h.ask(ln, nil, []byte{0x16}))
			}
			count := func() (running, waiting int) {
				handshakes.mu.Lock()
				defer handshakes.mu.Unlock()
				return handshakes.running, len(handshakes.waiting)
			}
			h.while("goroutines", func() bool {
				running, waiting := count()
				return running == handshakers && waiting == 0
			})
			done := make(chan error, queued)
			for range queued {
				p := h.ask(ln, nil, nil)
				go func() { done <- secureClient(p.socket, secure).Handshake() }()
			}
			h.while("the queue", func() bool {
				running, waiting := count()
				return running == handshakers && waiting == queued
			})
			switch way {
			case "served":
				stalled[0].reset() // its goroutine serves them all
			case "listener closed":
				ln.Close()
			case "loop closed":
				h.loop.Close()
			}
			for range queued {
				var err error
				if way == "loop closed" {
					err = <-done
				} else {
					h.async("a client", func() { err = <-done })
				}
				if way == "served" && err != nil { // otherwise some may just make it
					t.Errorf("a client that was queued: %v", err)
				}
			}
			if way == "served" {
				for _, p := range stalled {
					p.reset()
				}
				h.while("handshakes", func() bool { return h.loop.Stats().Connections <= queued })
			}
			h.loop.Close()
			if !eventually(func() bool { running, waiting := count(); return running+waiting == 0 }) {
				t.Error(fmt.Sprint(count()))
			}
		})
	}
}
