package dial

import (
	"bufio"
	"bytes"
	"io"
	"strconv"
	"strings"

	"aiows/libws/handshake"
)

// maxBody is how much of the body of an answer other than 101 is kept.
const maxBody = 64 << 10

// ReadBody reads what a server says beside a status other than 101; start of it was
// read with the head. What is wrong with it only cuts it short. It stops where the
// body ends (RFC 9112 6.3), since the server may keep the connection.
func ReadBody(stream io.Reader, start []byte, r *handshake.Response) []byte {
	if r.Status < 200 || r.Status == 204 || r.Status == 304 {
		return nil
	}
	in := io.MultiReader(bytes.NewReader(start), stream)
	if r.Header.HasToken("Transfer-Encoding", "chunked") {
		return readChunks(bufio.NewReader(in))
	}
	limit := int64(maxBody)
	if n, err := strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		limit = min(n, maxBody)
	}
	body, _ := io.ReadAll(io.LimitReader(in, limit))
	return body
}

// readChunks undoes the chunked transfer coding (RFC 9112 7.1).
func readChunks(in *bufio.Reader) (body []byte) {
	for len(body) < maxBody {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return body
		}
		digits, _, _ := strings.Cut(string(line), ";")
		size, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 63)
		if err != nil || size == 0 {
			return body
		}
		n := min(int64(size), int64(maxBody-len(body)))
		chunk, err := io.ReadAll(io.LimitReader(in, n))
		body = append(body, chunk...)
		if err != nil || int64(len(chunk)) < n {
			return body
		}
		if _, err := in.ReadSlice('\n'); err != nil { // the CRLF behind the data
			return body
		}
	}
	return body
}
