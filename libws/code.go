// Code generated from include/aiows.h by go generate; DO NOT EDIT.

package libws

// Code is the class of an Error, with the number of its AIOWS_ERR_*.
type Code int32

const (
	CodeAgain       Code = -1
	CodeBusy        Code = -2
	CodeHandle      Code = -3
	CodeArgument    Code = -4
	CodeState       Code = -5
	CodeClosed      Code = -6
	CodeMemory      Code = -7
	CodeForked      Code = -8
	CodeInternal    Code = -9
	CodeUTF8        Code = -10
	CodeURI         Code = -11
	CodeHeader      Code = -12
	CodeResolve     Code = -13
	CodeConnect     Code = -14
	CodeTLS         Code = -15
	CodeCertificate Code = -16
	CodeTimeout     Code = -17
	CodeHandshake   Code = -18
	CodeStatus      Code = -19
	CodeProtocol    Code = -20
	CodeTooBig      Code = -21
	CodeLost        Code = -22
	CodeAborted     Code = -23
	CodeKeepalive   Code = -24
	CodeSystem      Code = -25
	CodeUnsupported Code = -26
	CodeProxy       Code = -27
)

var codeText = map[Code]string{
	CodeAgain:       "too many bytes are waiting to be sent",
	CodeBusy:        "another thread is inside the loop or the connection",
	CodeHandle:      "not a live handle of this kind",
	CodeArgument:    "invalid argument",
	CodeState:       "not possible in this state",
	CodeClosed:      "the connection is closed or closing",
	CodeMemory:      "out of memory",
	CodeForked:      "the library was used before fork; connect after fork instead",
	CodeInternal:    "internal error; the library stopped",
	CodeUTF8:        "text is not valid UTF-8",
	CodeURI:         "not a valid ws or wss URI",
	CodeHeader:      "header field refused",
	CodeResolve:     "host name could not be resolved",
	CodeConnect:     "connection could not be opened",
	CodeTLS:         "TLS failed",
	CodeCertificate: "certificate could not be verified or loaded",
	CodeTimeout:     "timed out",
	CodeHandshake:   "the peer's handshake is not valid",
	CodeStatus:      "the server answered with another status than 101",
	CodeProtocol:    "the peer broke RFC 6455",
	CodeTooBig:      "message over the size limit",
	CodeLost:        "the connection ended without a close handshake",
	CodeAborted:     "the connection was aborted by the program",
	CodeKeepalive:   "no answer to a ping in time",
	CodeSystem:      "a system call failed",
	CodeUnsupported: "not supported",
	CodeProxy:       "the proxy refused or failed",
}
