// Package wire is the WebSocket protocol as octets: frame headers, masking,
// UTF-8, close codes and the rules of RFC 6455 that a receiver enforces.
//
// Everything here is a function over bytes. Nothing does I/O, blocks, starts a
// goroutine or keeps a reference to a slice it was given, and all functions
// may be called from any number of threads at once; a [UTF8] value belongs to
// one caller at a time.
package wire
