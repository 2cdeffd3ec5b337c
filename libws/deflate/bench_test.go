package deflate

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/flate"
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
			for _, history := range []int{1 << 10, 1536, 2 << 10, 4 << 10} {
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

// BenchmarkReceiver: what BenchmarkSender sends, by the Receiver and by flate.NewReader,
// which is primed with a window for each message.
func BenchmarkReceiver(b *testing.B) {
	for _, size := range benchSizes {
		texts := distinct(size)
		a := new(Config).agreement(parameters{})
		s := NewSender(a, true, newHeap())
		var payloads [][]byte
		for _, text := range texts {
			p := s.Message(text)
			payloads = append(payloads, append([]byte(nil), p.Bytes()...))
			p.Release()
		}
		room := make([]byte, size)
		// The first message refers to nothing: the second time round it still fits.
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r, into := NewReceiver(a, false, newHeap()), &blocks{}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				if _, err := r.Inflate(payloads[i%len(payloads)], room, into, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%d/flate", size), func(b *testing.B) {
			window := bytes.Repeat(texts[0], 1<<maxBits/size)
			in := bytes.NewReader(nil)
			r := flate.NewReader(in)
			var payload []byte
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				// The tail, and an empty last block for io.EOF.
				payload = append(append(payload[:0], payloads[i%len(payloads)]...), 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff)
				in.Reset(payload)
				if err := r.(flate.Resetter).Reset(in, window); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(r, room); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
