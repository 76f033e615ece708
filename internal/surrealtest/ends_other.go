//go:build unix && !linux

package surrealtest

import "syscall"

// endsWithUs can do nothing here: a server outlives a test that is killed.
func endsWithUs() *syscall.SysProcAttr { return nil }
