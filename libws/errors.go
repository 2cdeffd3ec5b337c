package libws

import (
	"syscall"

	"aiows/libws/dial"
)

// Error says why an operation or a connection failed.
type Error struct {
	Code       Code
	Text       string        // what happened, naming the value; "" for the Code's own text
	Errno      syscall.Errno // of the system call behind it, or 0
	CloseCode  uint16        // the close code sent because of it, or 0
	HTTPStatus int           // of the peer's answer, or 0

	Attempts []dial.Attempt // CodeConnect, CodeTimeout: each address that was tried
}

func (e *Error) Error() string {
	if e.Text != "" {
		return e.Text
	}
	return e.Code.Error()
}

// Error returns the text of the code, so that a bare Code is an error too.
func (c Code) Error() string {
	if t, ok := codeText[c]; ok {
		return t
	}
	return "unknown error"
}
