//go:build aiows_test

package main

// #include <stdint.h>
// #include <stdlib.h>
import "C"

import (
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file is in no library that anybody installs. It lets the tests plant the
// faults that their checkers must find, and count goroutines.

//export aiows_test_goroutines
func aiows_test_goroutines() C.int32_t {
	return C.int32_t(runtime.NumGoroutine())
}

//export aiows_test_leak
func aiows_test_leak() {
	b := cMemory{}.Alloc(12345)
	b[0] = 1
}

var sink byte

//export aiows_test_use_after_free
func aiows_test_use_after_free() {
	b := cMemory{}.Alloc(64)
	b[0] = 1
	cMemory{}.Free(b)
	sink += *(*byte)(unsafe.Pointer(&b[0]))
}

//export aiows_test_descriptor
func aiows_test_descriptor() C.int32_t {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return C.int32_t(fd)
}

//export aiows_test_goroutine
func aiows_test_goroutine() {
	go time.Sleep(time.Hour)
}

//export aiows_test_panic
func aiows_test_panic() (rc C.int32_t) {
	defer guard(&rc)
	var list []int
	return C.int32_t(list[runtime.NumCPU()])
}
