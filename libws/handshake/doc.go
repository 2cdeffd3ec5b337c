// Package handshake is the opening handshake of RFC 6455 section 4, both
// sides, as functions over bytes: it does no I/O and knows no sockets.
//
// A client fills in a [Request], sends [Built.Bytes], feeds what comes back to
// a [Parser] and hands the result to [CheckResponse]. A server feeds a Parser,
// calls [ServerRequest.CheckUpgrade] and answers with
// [ServerRequest.AppendAccept] or [AppendReject].
//
// The parser takes the grammar of RFC 9112 literally: what two parsers could
// read in two ways (a bare line feed, a folded line, a space before the colon)
// is refused. Nothing that this package writes can hold a CR, LF or NUL that
// came from a caller.
//
// Values of this package are not safe for concurrent use.
package handshake
