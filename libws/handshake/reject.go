package handshake

import "strconv"

// AppendReject appends a complete answer other than 101 to b, after which the
// server closes: status line, Content-Length, Connection: close, extra, body.
// It holds no Date. status is 200 to 599; 204, 205 and 304 go without a body.
// extra may repeat Content-Length and Connection only with the values that are
// sent anyway. On an error, an [*Error], b comes back as it was.
func AppendReject(b []byte, status int, extra Header, body []byte) ([]byte, error) {
	length := strconv.Itoa(len(body))
	bodiless := status == 204 || status == 205 || status == 304
	if status < 200 || status > 599 || bodiless && len(body) > 0 {
		return b, fail(ErrStatus, strconv.Itoa(status)+" with "+length+" octets")
	}
	own := Header{}
	if status != 204 && status != 304 { // RFC 9110 section 8.6
		own = own.Add("Content-Length", length)
	}
	own = own.Add("Connection", "close")
	if extra.Has("Upgrade") { // RFC 9110 section 7.8
		own[len(own)-1].Value = "close, Upgrade"
	}
	var others Header
	for _, f := range extra {
		if err := CheckField(f.Name, f.Value); err != nil {
			return b, err
		}
		switch {
		case equalFold(f.Name, "Content-Length"):
			if f.Value != length {
				return b, fail(ErrOwnField, "Content-Length: "+quote(f.Value)+", expected "+quote(length))
			}
		case equalFold(f.Name, "Connection"):
			if !equalFold(f.Value, "close") {
				return b, fail(ErrOwnField, "Connection: "+quote(f.Value)+", expected \"close\"")
			}
		case equalFold(f.Name, "Transfer-Encoding"):
			return b, fail(ErrOwnField, f.Name)
		default:
			others = append(others, f)
		}
	}
	b = append(b, "HTTP/1.1 "+strconv.Itoa(status)+" "+reasons[status]+"\r\n"...)
	return append(appendFields(b, own, others), body...), nil
}

// reasons are the phrases of the IANA HTTP Status Code Registry; a status
// without one goes without.
var reasons = map[int]string{
	200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content",
	205: "Reset Content", 206: "Partial Content", 207: "Multi-Status", 208: "Already Reported", 226: "IM Used",
	300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
	305: "Use Proxy", 307: "Temporary Redirect", 308: "Permanent Redirect",
	400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
	405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout",
	409: "Conflict", 410: "Gone", 411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large",
	414: "URI Too Long", 415: "Unsupported Media Type", 416: "Range Not Satisfiable", 417: "Expectation Failed",
	421: "Misdirected Request", 422: "Unprocessable Content", 423: "Locked", 424: "Failed Dependency",
	425: "Too Early", 426: "Upgrade Required", 428: "Precondition Required", 429: "Too Many Requests",
	431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons",
	500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
	504: "Gateway Timeout", 505: "HTTP Version Not Supported", 506: "Variant Also Negotiates",
	507: "Insufficient Storage", 508: "Loop Detected", 510: "Not Extended", 511: "Network Authentication Required",
}
