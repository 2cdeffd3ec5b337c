package libws

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"aiows/libws/wire"
)

// TestStallRaces: a host that polls, stalls, pauses and sends while its peer floods and
// pings; then the connection, or the loop, ends at any moment. What was told by then is
// the start of what was sent.
func TestStallRaces(t *testing.T) {
	for range 8 {
		whileStalled(t, readingAhead(100_000), func(h *host, c *Conn, p *peer) {
			var peers sync.WaitGroup
			peers.Go(func() {
				for i := uint64(0); ; i++ {
					b := append(binary.BigEndian.AppendUint64(nil, i), make([]byte, rand.IntN(5000))...)
					if _, err := p.stream.Write(append(p.frame(2, true, b), p.frame(9, true, b[:8])...)); err != nil {
						return
					}
				}
			})
			peers.Go(func() {
				for {
					if _, _, err := p.next(); err != nil {
						return
					}
				}
			})
			next, pinged := uint64(0), uint64(0)
			for end := time.Now().Add(20 * hasty); time.Now().Before(end); {
				switch rand.IntN(8) {
				case 0:
					_ = c.Pause()
				case 1, 2:
					_ = c.Resume()
				case 3:
					time.Sleep(time.Duration(rand.IntN(int(3 * hasty))))
				case 4:
					_, _ = c.Send(Binary, 0, make([]byte, rand.IntN(20_000)))
				}
				h.cap = 1 + rand.IntN(128)
				h.poll(0)
				for _, e := range h.seen {
					want := &next
					if e.Type == EventPing {
						want = &pinged
					} else if e.Type != EventMessage {
						continue
					}
					if got := binary.BigEndian.Uint64(e.data); got != *want {
						p.t.Fatalf("%s %d, expected %d", wire.Opcode(e.Kind), got, *want)
					}
					*want++
				}
				h.seen = h.seen[:0]
			}
			// The ends come from another thread, while this one stalls or polls.
			var ends sync.WaitGroup
			ends.Go(func() {
				time.Sleep(time.Duration(rand.IntN(int(3 * hasty))))
				switch rand.IntN(4) {
				case 0:
					c.Free()
				case 1:
					_ = c.Abort()
				case 2:
					_ = c.Close(1000, "")
				}
				time.Sleep(time.Duration(rand.IntN(int(3 * hasty))))
				h.loop.Close()
			})
			for polls := rand.IntN(2) * 1000; polls > 0; polls-- {
				if _, _, err := h.loop.Poll(h.buf[:], false); err != nil {
					break
				}
			}
			ends.Wait()
			p.socket.Close()
			peers.Wait()
		})
	}
}
