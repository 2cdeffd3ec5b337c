package main

import (
	"slices"
	"time"
)

// percentiles sorts times and returns some of them in microseconds.
func percentiles(times []time.Duration) map[string]float64 {
	if len(times) == 0 {
		return nil
	}
	slices.Sort(times)
	found := map[string]float64{}
	for name, share := range map[string]float64{"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999} {
		at := min(len(times)-1, int(share*float64(len(times))))
		found[name] = float64(times[at].Nanoseconds()) / 1000
	}
	return found
}
