//go:build !unix

package ws

import "errors"

// directIO is off: sockets are written to by a goroutine.
const directIO = false

func writeNow(int, []byte) (int, error) { return 0, errors.ErrUnsupported }
