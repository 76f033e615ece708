//go:build unix && !linux

package redistest

import "syscall"

// endsWithUs can do nothing here: a server outlives a test that is killed.
func endsWithUs() *syscall.SysProcAttr { return nil }
