//go:build linux

package loadgen

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// usage is one reading of the kernel's books on a process.
type usage struct {
	cpu    time.Duration // user and system time of all threads, exact to the nanosecond
	rss    int64         // resident memory in bytes
	writes int64         // write(2) and writev(2) calls; send(2) is not among them
}

// errNoField means that a file below /proc lacks a line that every kernel has.
var errNoField = errors.New("field not found")

// readUsage reads the process with the given id.
func readUsage(pid int) (u usage, err error) {
	if u.cpu, err = processCPU(pid); err != nil {
		return usage{}, fmt.Errorf("loadgen: CPU clock of process %d: %w", pid, err)
	}
	kilobytes, err := procField(pid, "status", "VmRSS:")
	if err != nil {
		return usage{}, err
	}
	u.rss = kilobytes << 10
	u.writes, err = procField(pid, "io", "syscw:")
	return u, err
}

// processCPU reads the CPU clock of another process. Its clock id is the
// complement of the process id with CPUCLOCK_SCHED (2) in the low three bits.
func processCPU(pid int) (time.Duration, error) {
	var ts syscall.Timespec
	clock := uint32(int32(^pid)<<3 | 2)
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&ts)), 0) //nolint:gosec // the kernel fills it during the call
	if errno != 0 {
		return 0, errno
	}
	return time.Duration(ts.Nano()), nil
}

// procField is the number that follows a label in a file of /proc/PID.
func procField(pid int, file, label string) (int64, error) {
	path := fmt.Sprintf("/proc/%d/%s", pid, file)
	text, err := os.ReadFile(path) //nolint:gosec // below /proc
	if err != nil {
		return 0, fmt.Errorf("loadgen: %w", err)
	}
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte(label))
		if fields := bytes.Fields(rest); ok && len(fields) > 0 {
			return strconv.ParseInt(string(fields[0]), 10, 64)
		}
	}
	return 0, fmt.Errorf("loadgen: %s in %s: %w", label, path, errNoField)
}
