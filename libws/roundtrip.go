package libws

import (
	"hash/maphash"
	"math"
	"math/bits"
	"slices"
	"sync"
	"time"

	"aiows/libws/wire"
)

const (
	// Round trips are counted in buckets an eighth of a power of two wide, so that a
	// percentile is off by at most a sixteenth; below 8 microseconds they are exact.
	bucketsPerDouble = 8
	maxMicroseconds  = 1<<32 - 1 // 71 minutes; more counts as that
	bucketCount      = (32 - 3 + 1) * bucketsPerDouble

	// hostPings is how many pings of the host are timed at a time; of more, the oldest
	// goes untimed.
	hostPings = 32
)

// roundTrips measures pings: keepalive's and the host's. It is made when there is
// something to measure, so that a connection without pings pays a pointer. Its mutex
// is a leaf lock.
type roundTrips struct {
	mu      sync.Mutex
	waiting []hostPing // sent by the host and not answered
	buckets *[bucketCount]uint16
	samples uint64
	longest int64
}

// hostPing is a ping of the host, known by a hash: payloads may be long.
type hostPing struct {
	payload uint64
	sentAt  int64
}

var pingSeed = maphash.MakeSeed()

// trips returns the connection's round trips, made if need be.
func (c *Conn) trips() *roundTrips {
	if t := c.measured.Load(); t != nil {
		return t
	}
	c.measured.CompareAndSwap(nil, new(roundTrips))
	return c.measured.Load()
}

// hashOf hashes a copy: what Go hashes it reads 16 bytes at a time, also from before or
// behind a short payload, whose memory is not Go's.
func hashOf(payload []byte) uint64 {
	var own [wire.MaxControlPayload]byte
	return maphash.Bytes(pingSeed, own[:copy(own[:], payload)])
}

// pinged notes that the host sends a ping.
func (t *roundTrips) pinged(payload []byte, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == hostPings {
		t.waiting = slices.Delete(t.waiting, 0, 1)
	}
	t.waiting = append(t.waiting, hostPing{hashOf(payload), now})
}

// ponged returns how long the answer to a ping of the host took, 0 when the payload is
// not that of one. It answers the pings before, too (RFC 6455 5.5.3), which are not
// measured.
func (t *roundTrips) ponged(payload []byte, at int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	hash := hashOf(payload)
	for i, p := range t.waiting {
		if p.payload == hash {
			t.waiting = slices.Delete(t.waiting, 0, i+1)
			return max(at-p.sentAt, 1)
		}
	}
	return 0
}

// add counts a round trip of ns nanoseconds.
func (t *roundTrips) add(ns int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buckets == nil {
		t.buckets = new([bucketCount]uint16)
	}
	t.samples++
	t.longest = max(t.longest, ns)
	b := &t.buckets[bucketOf(ns)]
	if *b == math.MaxUint16 {
		// Half of everything: what is old weighs less.
		for i := range t.buckets {
			t.buckets[i] = t.buckets[i]/2 + t.buckets[i]%2
		}
	}
	*b++
}

// bucketOf returns where a round trip is counted.
func bucketOf(ns int64) int {
	us := uint64(min(max(ns, 0)/1000, maxMicroseconds))
	if us < 2*bucketsPerDouble {
		return int(us)
	}
	shift := bits.Len64(us) - 4
	return shift*bucketsPerDouble + int(us>>shift)
}

// middleOf returns the nanoseconds that a bucket stands for.
func middleOf(bucket int) int64 {
	shift := 0
	if bucket >= 2*bucketsPerDouble {
		shift = bucket/bucketsPerDouble - 1
		bucket -= shift * bucketsPerDouble
	}
	return (2*int64(bucket) + 1) << shift * 500
}

// RoundTrips says how long pings took.
type RoundTrips struct {
	Samples       uint64
	P50, P90, P99 time.Duration // within 1/16
	Max           time.Duration
}

func (t *roundTrips) summary() (r RoundTrips) {
	if t == nil {
		return r
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.samples == 0 {
		return r
	}
	var total uint64
	for _, n := range t.buckets {
		total += uint64(n)
	}
	at := func(percent uint64) time.Duration {
		rank := max((total*percent+99)/100, 1) // the nearest rank
		for i, n := range t.buckets {
			if rank <= uint64(n) {
				return time.Duration(min(middleOf(i), t.longest))
			}
			rank -= uint64(n)
		}
		return time.Duration(t.longest)
	}
	return RoundTrips{
		Samples: t.samples, P50: at(50), P90: at(90), P99: at(99), Max: time.Duration(t.longest),
	}
}

// roundTrip counts a measured one.
func (c *Conn) roundTrip(ns int64) {
	c.counters.latency.Store(ns)
	c.trips().add(ns)
}

// ponged measures the answer to a ping of the host.
func (c *Conn) ponged(payload []byte, at int64) {
	if t := c.measured.Load(); t != nil {
		if ns := t.ponged(payload, at); ns > 0 {
			c.roundTrip(ns)
		}
	}
}
