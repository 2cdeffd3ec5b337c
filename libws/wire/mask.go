package wire

import (
	"encoding/binary"
	"math/bits"
)

// Mask XORs b in place with key (RFC 6455 section 5.3; masking and unmasking
// are the same). The first octet of b meets octet pos&3 of the key. It returns
// the position for the octets that follow b, so that a payload may come in
// pieces of any size.
func Mask(b []byte, key uint32, pos int) int {
	next := (pos + len(b)) & 3
	k := bits.RotateLeft32(key, -8*(pos&3))
	kk := uint64(k)<<32 | uint64(k)
	for len(b) >= 64 {
		p := (*[64]byte)(b)
		maskWord(p[0:8], kk)
		maskWord(p[8:16], kk)
		maskWord(p[16:24], kk)
		maskWord(p[24:32], kk)
		maskWord(p[32:40], kk)
		maskWord(p[40:48], kk)
		maskWord(p[48:56], kk)
		maskWord(p[56:64], kk)
		b = b[64:]
	}
	for len(b) >= 8 {
		maskWord(b, kk)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(kk)
		kk >>= 8
	}
	return next
}

// MaskCopy writes src XOR key to dst[:len(src)], with positions as in [Mask].
// dst and src may not overlap; it panics when dst is the shorter.
func MaskCopy(dst, src []byte, key uint32, pos int) int {
	next := (pos + len(src)) & 3
	dst = dst[:len(src):len(dst)]
	k := bits.RotateLeft32(key, -8*(pos&3))
	kk := uint64(k)<<32 | uint64(k)
	for len(src) >= 64 && len(dst) >= 64 {
		d, s := (*[64]byte)(dst), (*[64]byte)(src)
		copyWord(d[0:8], s[0:8], kk)
		copyWord(d[8:16], s[8:16], kk)
		copyWord(d[16:24], s[16:24], kk)
		copyWord(d[24:32], s[24:32], kk)
		copyWord(d[32:40], s[32:40], kk)
		copyWord(d[40:48], s[40:48], kk)
		copyWord(d[48:56], s[48:56], kk)
		copyWord(d[56:64], s[56:64], kk)
		dst, src = dst[64:], src[64:]
	}
	for len(src) >= 8 && len(dst) >= 8 {
		copyWord(dst, src, kk)
		dst, src = dst[8:], src[8:]
	}
	for i, c := range src {
		dst[i] = c ^ byte(kk)
		kk >>= 8
	}
	return next
}

// maskWord XORs the first eight octets of b with kk.
func maskWord(b []byte, kk uint64) { copyWord(b, b, kk) }

// copyWord writes the first eight octets of src XOR kk to dst.
func copyWord(dst, src []byte, kk uint64) {
	binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(src)^kk)
}
