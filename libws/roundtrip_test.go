package libws

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"aiows/libws/wire"
)

func TestPercentilesAreWithinASixteenth(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	shapes := map[string]func() int64{
		"one":       func() int64 { return 1_234_567 },
		"loopback":  func() int64 { return 20_000 + random.Int64N(80_000) },
		"long tail": func() int64 { return int64(3e6 * (1 + random.ExpFloat64())) },
		"two peaks": func() int64 { return []int64{30e6, 900e6}[random.IntN(2)] + random.Int64N(1e6) },
		"anything":  func() int64 { return random.Int64N(1 << random.IntN(50)) },
	}
	for name, draw := range shapes {
		for _, n := range []int{1, 2, 10, 1000} {
			trips := new(roundTrips)
			var all []int64
			for range n {
				all = append(all, draw())
				trips.add(all[len(all)-1])
			}
			slices.Sort(all)
			s := trips.summary()
			if s.Samples != uint64(n) || int64(s.Max) != all[n-1] {
				t.Errorf("%s, %d: samples %d, max %v, want %v", name, n, s.Samples, s.Max, all[n-1])
			}
			for percent, got := range map[int]time.Duration{50: s.P50, 90: s.P90, 99: s.P99} {
				want := min(all[(n*percent+99)/100-1], maxMicroseconds*1000)
				// Below 8 microseconds a bucket is one microsecond.
				if off := max(want/16, 500) + 1; int64(got) < want-off || int64(got) > want+off {
					t.Errorf("%s, %d: p%d is %v, want %v within %v", name, n, percent, got, time.Duration(want), time.Duration(off))
				}
			}
		}
	}
}

func TestBucketsFollowEachOther(t *testing.T) {
	last := -1
	for us := int64(0); us < 1<<33; us += max(1, us/64) {
		b := bucketOf(us * 1000)
		if b < last || b > last+1 || b >= bucketCount {
			t.Fatalf("%d us is in bucket %d after %d, of %d", us, b, last, bucketCount)
		}
		last = b
	}
	if last != bucketCount-1 {
		t.Errorf("the last bucket in use is %d, want %d", last, bucketCount-1)
	}
}

func TestOldRoundTripsWeighLess(t *testing.T) {
	trips := new(roundTrips)
	for range 70_000 {
		trips.add(1e6)
	}
	for range 60_000 {
		trips.add(9e6)
	}
	s := trips.summary()
	if s.Samples != 130_000 || s.P50 < 8*time.Millisecond {
		t.Errorf("%d samples, p50 %v; want 130000 and that of the newer ones", s.Samples, s.P50)
	}
}

func TestPongsFindTheirPings(t *testing.T) {
	trips := new(roundTrips)
	for i := range hostPings + 2 {
		trips.pinged([]byte{byte(i)}, int64(1000*i))
	}
	for _, c := range []struct {
		payload byte
		want    int64
	}{
		{0, 0}, {1, 0}, // given up for newer ones
		{3, 47_000}, {3, 0}, {2, 0}, // answered by 3
		{hostPings + 1, 50_000 - 1000*(hostPings+1)}, {hostPings, 0},
	} {
		if got := trips.ponged([]byte{c.payload}, 50_000); got != c.want {
			t.Errorf("pong %d: %d, want %d", c.payload, got, c.want)
		}
	}
	if len(trips.waiting) != 0 {
		t.Errorf("%d pings still wait", len(trips.waiting))
	}
}

// TestHostPingsAreMeasured: also when the answer is read ahead of what the host takes.
func TestHostPingsAreMeasured(t *testing.T) {
	inBothRoles(t, pinging(0, 0), func(h *host, c *Conn, p *peer) {
		ping := func(payload string) {
			if err := c.Ping([]byte(payload)); err != nil {
				p.t.Fatal(err)
			}
			h.async("a pong", func() {
				p.expect(wire.OpPing, payload)
				p.send(wire.OpPong, payload)
			})
		}
		ping("one")
		h.until(EventPong, 1)
		if err := c.Pause(); err != nil {
			p.t.Fatal(err)
		}
		p.send(wire.OpText, "unread")
		ping("two")
		h.while("the second answer", func() bool { return c.Stats().RoundTrips.Samples == 2 })
		if n := len(h.take(EventPong)); n != 0 {
			p.t.Errorf("%d pongs were told before the message", n)
		}
		if err := c.Resume(); err != nil {
			p.t.Fatal(err)
		}
		h.until(EventPong, 1)
		p.send(wire.OpPong, "two") // again, which measures nothing
		h.until(EventPong, 1)
		s := c.Stats()
		if s.RoundTrips.Samples != 2 || s.Latency <= 0 || s.Latency > s.RoundTrips.Max {
			p.t.Errorf("%+v, latency %v", s.RoundTrips, s.Latency)
		}
	})
}
