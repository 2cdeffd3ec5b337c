package libws

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// TestMain fails the run for a goroutine, a descriptor or a block that is left over.
func TestMain(m *testing.M) {
	FDHook = descriptors.hook
	before := runtime.NumGoroutine()
	code := m.Run()
	if fuzzing := flag.Lookup("test.fuzz"); fuzzing != nil && fuzzing.Value.String() != "" {
		os.Exit(code) // the fuzzer's own goroutine waits for signals
	}
	if !eventually(func() bool { return runtime.NumGoroutine() <= before }) {
		fmt.Fprintf(os.Stderr, "%d goroutines at the end, %d at the start\n", runtime.NumGoroutine(), before)
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		code = 1
	}
	if wrong := descriptors.wrong(); wrong != "" {
		fmt.Fprintln(os.Stderr, wrong)
		code = 1
	}
	os.Exit(code)
}

// hang bounds what a test waits for; reaching it is a failure.
const hang = 60 * time.Second

func eventually(f func() bool) bool {
	for deadline := time.Now().Add(hang); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

var descriptors = fdSet{open: map[int]bool{}}

// fdSet is what the package says about its descriptors.
type fdSet struct {
	mu     sync.Mutex
	open   map[int]bool
	errors string
}

func (s *fdSet) hook(fd int, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[fd] == open {
		s.errors += fmt.Sprintf("descriptor %d: open %v twice\n", fd, open)
	}
	if open {
		s.open[fd] = true
	} else {
		delete(s.open, fd)
	}
}

func (s *fdSet) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (s *fdSet) wrong() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) > 0 {
		return s.errors + fmt.Sprintf("descriptors left open: %v", s.open)
	}
	return s.errors
}

// checkedHeap is an Allocator that spoils what is freed and knows what is live.
type checkedHeap struct {
	t  testing.TB
	mu sync.Mutex

	live   map[*byte]int
	calls  int
	fail   func(call, n int) bool // nil: never
	failed int
}

var (
	spoiled = make([]byte, 1<<20)
	fresh   = make([]byte, 1<<20)
)

func init() {
	for i := range spoiled {
		spoiled[i], fresh[i] = 0xDD, 0xA5
	}
}

func spoil(b, with []byte) {
	for len(b) > 0 {
		b = b[copy(b, with):]
	}
}

func (a *checkedHeap) Alloc(n int) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	if a.fail != nil && a.fail(a.calls, n) {
		a.failed++
		return nil
	}
	b := make([]byte, n)
	spoil(b, fresh)
	if n == 0 {
		a.t.Error("an allocation of nothing")
		return b
	}
	a.live[unsafe.SliceData(b)] = n
	return b
}

func (a *checkedHeap) Free(b []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n, ok := a.live[unsafe.SliceData(b)]; !ok || n != len(b) {
		a.t.Errorf("free of %d bytes at %p, which is a live block: %v, of %d", len(b), b, ok, n)
		return
	}
	delete(a.live, unsafe.SliceData(b))
	spoil(b, spoiled)
}

// sizes returns how many blocks of each length are live, and the bytes in all.
func (a *checkedHeap) sizes() (blocks map[int]int, bytes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	blocks = map[int]int{}
	for _, n := range a.live {
		blocks[n]++
		bytes += n
	}
	return blocks, bytes
}

// refused returns how many allocations failed.
func (a *checkedHeap) refused() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

func (a *checkedHeap) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.live)
}
