package main

// #include "gate.h"
import "C"

import (
	"sync/atomic"
	"unsafe"

	"aiows/libws"
)

// logTarget is level<<32 | fd; level 0 is off.
var logTarget atomic.Uint64

var levelNames = [...]string{libws.LogError: "error", libws.LogInfo: "info", libws.LogDebug: "debug"}

//export go_set_log
func go_set_log(level, fd C.int32_t) (rc C.int32_t) {
	defer guard(&rc)
	logTarget.Store(uint64(level)<<32 | uint64(uint32(fd)))
	return C.AIOWS_OK
}

func logs(level libws.LogLevel) bool { return uint64(level) <= logTarget.Load()>>32 }

func writeLog(level libws.LogLevel, text string) {
	target := logTarget.Load()
	if level < libws.LogError || uint64(level) > target>>32 {
		return
	}
	line := "aiows: " + levelNames[level] + ": " + text + "\n"
	C.gate_write(C.int(int32(target)), (*C.char)(unsafe.Pointer(unsafe.StringData(line))), C.size_t(len(line)))
}
