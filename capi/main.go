//go:debug updatemaxprocs=0
//go:debug containermaxprocs=0

package main

// #cgo CFLAGS: -std=gnu11 -Wall -Wextra -Wno-unused-parameter -I${SRCDIR}/../include
// #cgo LDFLAGS: -lpthread
// #include "gate.h"
// #include "version.h"
import "C"

import (
	"runtime"
	"runtime/debug"

	"aiows/libws"
	"aiows/libws/dial"
)

const version = C.AIOWS_VERSION_TEXT

// main is what package main must have; a shared library never calls it.
func main() {}

// The environment of the host (GOGC, GOMEMLIMIT, GOMAXPROCS) is meant for other
// programs: what matters is set here.
func init() {
	// Payloads live in C, so the Go heap is small, and a message allocates nothing; an
	// opening does. With 400 each of 2,000 compressing connections took 3 KiB more, with
	// 100 a server opened a sixth less a second than with 200 (tests/bench).
	debug.SetGCPercent(150)
	debug.SetMemoryLimit(memoryLimit(uint64(C.gate_memory())))
	// A call into Go waits 10 to 50 ms while every P computes, as in a storm of TLS
	// handshakes. With more of them than cores the kernel shares the cores out, and
	// is fair to the host's thread.
	runtime.GOMAXPROCS(2*runtime.NumCPU() + 2)

	libws.FDHook = func(fd int, open bool) { C.gate_fd(C.int(fd), C.int(truth(open))) }
	dial.SocketHook = func(fd int) { C.gate_fd(C.int(fd), 1) }
	libws.PanicHook = func(reason any) { poison(reason, debug.Stack()) }
	C.gate_started()
}

// memoryLimit lets the Go heap have a quarter of the machine before the collector
// works harder, and never less than what ten thousand TLS connections need.
func memoryLimit(machine uint64) int64 {
	const least = 512 << 20
	return int64(max(least, machine/4))
}

// truth is b as C says it.
func truth(b bool) C.int32_t {
	if b {
		return 1
	}
	return 0
}
