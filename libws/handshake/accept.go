package handshake

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
)

// Accept returns the Sec-WebSocket-Accept value of a Sec-WebSocket-Key (RFC 6455 section 4.2.2).
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// newKey returns a fresh Sec-WebSocket-Key.
func newKey() string {
	var nonce [16]byte
	rand.Read(nonce[:]) // never fails: the program ends instead
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// isKey reports whether key is 16 bytes in base64. The four bits that the last
// octet leaves unused may be anything: clients that pick 22 letters exist.
func isKey(key string) bool {
	nonce, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(nonce) == 16 && len(key) == 24
}
