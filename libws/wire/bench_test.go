package wire

import (
	"bytes"
	"fmt"
	"testing"
	"unicode/utf8"
)

// The standard library stands beside each UTF-8 case as the thing to beat.
func BenchmarkUTF8(b *testing.B) {
	texts := []struct{ name, text string }{
		{"ascii", "hello, world 123 "},
		{"json", `{"name":"Zoë","city":"北京","price":12.5,"qty":100,"note":"nothing to see"},`},
		{"cyrillic", "Привет, мир! Как дела? "},
		{"cjk", "漢字仮名交じり文"},
		{"emoji", "😀😁😂🤣"},
	}
	for _, t := range texts {
		for _, n := range []int{16, 256, 16 << 10} {
			s := bytes.Repeat([]byte(t.text), n/len(t.text)+1)[:n]
			for !utf8.Valid(s) {
				s = s[:len(s)-1]
			}
			for _, f := range []struct {
				name  string
				valid func([]byte) bool
			}{{"wire", ValidUTF8}, {"std", utf8.Valid}} {
				b.Run(fmt.Sprintf("%s/%d/%s", t.name, n, f.name), func(b *testing.B) {
					b.SetBytes(int64(len(s)))
					for b.Loop() {
						if !f.valid(s) {
							b.Fatal("valid text refused")
						}
					}
				})
			}
		}
	}
}

func BenchmarkMask(b *testing.B) {
	for _, n := range []int{16, 125, 256, 16 << 10, 1 << 20} {
		src, dst := make([]byte, n), make([]byte, n)
		b.Run(fmt.Sprintf("inplace/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				Mask(src, 0x3D21FA37, 1)
			}
		})
		b.Run(fmt.Sprintf("copy/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				MaskCopy(dst, src, 0x3D21FA37, 1)
			}
		})
	}
}

func BenchmarkHeader(b *testing.B) {
	for _, length := range []int64{125, 256, 1 << 20} {
		raw := AppendHeader(nil, Header{Fin: true, Opcode: OpBinary, Masked: true, Key: 0x3D21FA37, Length: length})
		b.Run(fmt.Sprintf("parse/%d", length), func(b *testing.B) {
			for b.Loop() {
				h, n, err := ParseHeader(raw)
				if n == 0 || err != nil || CheckHeader(&h, Server, false, 0) != nil {
					b.Fatal("valid header refused")
				}
			}
		})
		b.Run(fmt.Sprintf("append/%d", length), func(b *testing.B) {
			var buf [MaxHeaderLen]byte
			for b.Loop() {
				AppendHeader(buf[:0], Header{Fin: true, Opcode: OpBinary, Masked: true, Key: 0x3D21FA37, Length: length})
			}
		})
	}
}
