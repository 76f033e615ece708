package surrealtest

import "syscall"

// endsWithUs makes the kernel end the server when this process is killed.
func endsWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
