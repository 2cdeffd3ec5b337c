// Package deflate is permessage-deflate, RFC 7692: its negotiation on both sides, and
// the streams. It does no I/O and knows no connections.
//
// [Answer] and [Accept] negotiate; a [Sender] compresses what one end sends and a
// [Receiver] inflates what it receives. Both keep only what compression has to
// remember: what is heavy is pooled and shared by all connections.
package deflate
