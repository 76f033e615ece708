//go:build unix

package ws

import "syscall"

// directIO says that descriptors may be written to without the runtime's poller.
const directIO = true

// writeNow writes what the socket takes without waiting. The caller holds the
// lock under which the descriptor is closed.
func writeNow(fd int, b []byte) (int, error) {
	written := 0
	for written < len(b) {
		n, err := syscall.Write(fd, b[written:])
		switch {
		case err == nil:
			written += n
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return written, nil
		default:
			return written, err
		}
	}
	return written, nil
}
