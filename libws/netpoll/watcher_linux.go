package netpoll

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Watcher waits on a goroutine, which takes no thread, for another descriptor to turn
// readable. It hears of that once each time it is told to watch; in between that
// descriptor pays nothing for it.
type Watcher struct {
	fd   int
	file *os.File
	conn syscall.RawConn
}

// NewWatcher makes a Watcher that watches nothing yet.
func NewWatcher() (*Watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // or os takes it for a file that blocks
		_ = unix.Close(fd)
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "epoll")
	conn, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &Watcher{fd, file, conn}, nil
}

// FD returns the descriptor that the Watcher owns.
func (w *Watcher) FD() int { return w.fd }

// Watch makes Wait return once fd is readable. Forget precedes the next Watch.
func (w *Watcher) Watch(fd int) error {
	return unix.EpollCtl(w.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT})
}

// Forget ends watching fd: what is merely silent would still be asked at every event.
func (w *Watcher) Forget(fd int) { _ = unix.EpollCtl(w.fd, unix.EPOLL_CTL_DEL, fd, nil) }

// Wait blocks its goroutine. It returns false after Close.
func (w *Watcher) Wait() bool {
	err := w.conn.Read(func(fd uintptr) bool {
		var ready [1]unix.EpollEvent
		n, _, _ := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&ready)), 1, 0, 0, 0)
		return n == 1
	})
	return err == nil
}

// Close ends Wait; the descriptor is closed once that returned.
func (w *Watcher) Close() { _ = w.file.Close() }
