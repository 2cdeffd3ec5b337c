package deflate

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

var benchSizes = []int{128, 1 << 10, 16 << 10}

// distinct is a set of messages of which no two are the same.
func distinct(size int) (list [][]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		list = append(list, jsonText(r, size))
	}
	return list
}

// BenchmarkSender: distinct JSON messages, the bytes on the wire beside the time.
func BenchmarkSender(b *testing.B) {
	for _, size := range benchSizes {
		texts := distinct(size)
		for _, level := range []int{1, 2, 3, 4, 5, 6} {
			for _, history := range []int{1 << 10, 2 << 10, 4 << 10} {
				b.Run(fmt.Sprintf("%d/level %d/history %d", size, level, history), func(b *testing.B) {
					c := Config{Level: level, History: history}
					s := NewSender(c.agreement(parameters{}), true, newHeap())
					b.ReportAllocs()
					total := 0
					for i := 0; b.Loop(); i++ {
						if p := s.Message(texts[i%len(texts)]); p != nil {
							total += len(p.Bytes())
							p.Release()
						} else {
							total += size
						}
					}
					b.ReportMetric(float64(total)/float64(b.N), "B/message")
				})
			}
		}
	}
}

// BenchmarkReceiver: what BenchmarkSender sends.
func BenchmarkReceiver(b *testing.B) {
	for _, size := range benchSizes {
		texts := distinct(size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			a := new(Config).agreement(parameters{})
			s, r := NewSender(a, true, newHeap()), NewReceiver(a, false, newHeap())
			var payloads [][]byte
			for _, text := range texts {
				p := s.Message(text)
				payloads = append(payloads, append([]byte(nil), p.Bytes()...))
				p.Release()
			}
			room, into := make([]byte, size), &blocks{}
			// The first refers to nothing: the second time round it still fits.
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				if _, err := r.Inflate(payloads[i%len(payloads)], room, into, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
