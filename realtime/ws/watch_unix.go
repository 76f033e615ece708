//go:build unix

package ws

import "syscall"

// armPortable waits for input with a goroutine that does nothing else, so its
// stack stays as small as it can be. The message is read in a fresh one.
func (s *socket) armPortable() {
	c, ok := s.raw.(syscall.Conn)
	if !ok {
		go s.readAll()
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		go s.readAll()
		return
	}
	go func() {
		_ = raw.Read(readable) // an error shows again when the message is read
		go s.ready()
	}()
}

// readable reports whether a read would not wait: there is input, an end or an
// error. It takes nothing.
func readable(fd uintptr) bool {
	var b [1]byte
	n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
	return n > 0 || err != syscall.EAGAIN && err != syscall.EINTR
}
