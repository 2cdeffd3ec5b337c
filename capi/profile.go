//go:build aiows_profile

package main

import "C"

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
)

// A library with the tag aiows_profile writes where its CPU time went to a file of
// the folder that AIOWS_PROFILE names, when the process exits: for make pgo.
var profile = begin(os.Getenv("AIOWS_PROFILE"))

// profileRate is ten times what pprof would choose, in samples a second: processes
// of the benchmark live for a second or two. pprof complains about it on stderr.
const profileRate = 1000

func begin(folder string) *os.File {
	if folder == "" {
		return nil
	}
	f, err := os.Create(filepath.Join(folder, fmt.Sprintf("%d.prof", os.Getpid())))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return nil
	}
	runtime.SetCPUProfileRate(profileRate)
	if err := pprof.StartCPUProfile(f); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return f
}

var ended sync.Once

//export go_profile_end
func go_profile_end() {
	ended.Do(func() {
		if profile != nil {
			pprof.StopCPUProfile()
			_ = profile.Close()
		}
	})
}
