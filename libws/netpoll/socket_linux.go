package netpoll

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Errno is the error of a raw call; 0 means none.
type Errno = syscall.Errno

// Again reports whether e means that the socket is not ready.
func Again(e Errno) bool { return e == unix.EAGAIN || e == unix.EINTR }

// Read reads into b; n is 0 with no error at the end of the stream. recvfrom, since
// it passes by the file layer: an echo takes 1 to 2% less CPU than with read
// (tests/bench --subject capi).
func Read(fd int, b []byte) (n int, e Errno) {
	r, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// Peek reads into b what stays to be read.
func Peek(fd int, b []byte) (n int, e Errno) {
	r, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_PEEK, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// Readv reads into a, then into b.
func Readv(fd int, a, b []byte) (n int, e Errno) {
	var iov [2]unix.Iovec
	iov[0].Base, iov[1].Base = unsafe.SliceData(a), unsafe.SliceData(b)
	iov[0].SetLen(len(a))
	iov[1].SetLen(len(b))
	r, _, e := syscall.RawSyscall(unix.SYS_READV, uintptr(fd), uintptr(unsafe.Pointer(&iov[0])), 2)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// Send writes as much of b as the socket takes. It never raises SIGPIPE.
func Send(fd int, b []byte) (n int, e Errno) {
	r, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// Sendv writes a, then b, as one call.
func Sendv(fd int, a, b []byte) (n int, e Errno) {
	var iov [2]unix.Iovec
	iov[0].Base, iov[1].Base = unsafe.SliceData(a), unsafe.SliceData(b)
	iov[0].SetLen(len(a))
	iov[1].SetLen(len(b))
	var msg unix.Msghdr
	msg.Iov = &iov[0]
	msg.SetIovlen(2)
	r, _, e := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_NOSIGNAL)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// ShutdownWrite sends FIN after what was written.
func ShutdownWrite(fd int) { _ = unix.Shutdown(fd, unix.SHUT_WR) }

// Close shuts fd down and closes it; the shutdown reaches the peer even while a
// forked child holds a copy.
func Close(fd int) {
	_ = unix.Shutdown(fd, unix.SHUT_RDWR)
	_ = unix.Close(fd)
}

// Waiting reports whether fd has bytes, its end or an error to be read.
func Waiting(fd int) bool {
	var b [1]byte
	_, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b)), 1, unix.MSG_PEEK, 0, 0)
	return !Again(e)
}
