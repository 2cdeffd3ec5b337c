package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
)

var symbols = []string{"BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "LTCUSDT", "DOTUSDT", "LINKUSDT"}

// ticks makes messages as a market-data stream sends them, JSON of trades. No two are
// alike, and the same seed makes the same ones.
type ticks struct {
	random *rand.Rand
	number int
	millis int
	prices []int // in cents
}

func newTicks(seed uint64) *ticks {
	t := &ticks{random: rand.New(rand.NewPCG(seed, 7)), number: 812345678, millis: 1700000000000}
	for range symbols {
		t.prices = append(t.prices, 1000+t.random.IntN(5000000))
	}
	return t
}

// tradeLen is about what a trade takes, with what follows it.
const tradeLen = 126

// append adds a message of size bytes, give or take half a trade from 200 on.
func (t *ticks) append(b []byte, size int) []byte {
	begin := len(b)
	if size < 200 { // one trade and nothing around it
		return t.trade(b)
	}
	t.number++
	b = append(b, `{"type":"trades","sequence":`...)
	b = strconv.AppendInt(b, int64(t.number), 10)
	b = append(b, `,"data":[`...)
	for first := true; first || len(b)-begin+tradeLen/2 <= size; first = false {
		if !first {
			b = append(b, ',')
		}
		b = t.trade(b)
	}
	return append(b, `]}`...)
}

// trade adds an object of about 125 bytes.
func (t *ticks) trade(b []byte) []byte {
	t.number++
	t.millis += t.random.IntN(90)
	which := t.random.IntN(len(symbols))
	t.prices[which] += t.random.IntN(200) - 100
	price := max(1, t.prices[which])
	return fmt.Appendf(b, `{"e":"trade","s":"%s","t":%d,"p":"%d.%02d","q":"%d.%05d","b":%d,"a":%d,"T":%d,"m":%t}`,
		symbols[which], t.number, price/100, price%100, t.random.IntN(20), t.random.IntN(100000),
		70000000+t.random.IntN(9000000), 70000000+t.random.IntN(9000000), t.millis, t.random.IntN(2) == 0)
}

// messages writes "messages FILE SIZE TOTAL": messages of about SIZE bytes, a line each,
// TOTAL bytes in all.
func messages(arguments []string) error {
	if len(arguments) != 3 {
		return fmt.Errorf("usage: peer messages FILE SIZE TOTAL")
	}
	size, err := strconv.Atoi(arguments[1])
	if err != nil {
		return err
	}
	total, err := strconv.Atoi(arguments[2])
	if err != nil {
		return err
	}
	file, err := os.Create(arguments[0])
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	t := newTicks(1)
	var line []byte
	for written := 0; written < total; written += len(line) {
		line = append(t.append(line[:0], size), '\n')
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return w.Flush()
}
