//go:build unix

package redistest

import (
	"fmt"
	"os"
	"slices"
	"sync"
)

// T is what a server needs of the test that it belongs to: a *testing.T, or a
// Process.
type T interface {
	Helper()
	Cleanup(f func())
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	TempDir() string
}

// Process stands for all tests of a test binary, which may share servers. End
// belongs into TestMain.
type Process struct {
	mu   sync.Mutex
	ends []func()
}

// Helper does nothing.
func (p *Process) Helper() {}

// Cleanup has f called by End.
func (p *Process) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends = append(p.ends, f)
}

// Fatal panics.
func (p *Process) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// Fatalf panics.
func (p *Process) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// TempDir is a folder of its own.
func (p *Process) TempDir() string {
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// End ends all servers, the last one first.
func (p *Process) End() {
	p.mu.Lock()
	ends := p.ends
	p.ends = nil
	p.mu.Unlock()
	for _, end := range slices.Backward(ends) {
		end()
	}
}
