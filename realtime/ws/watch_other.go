//go:build !linux

package ws

// watch is a socket's place with the poller, which there is none of: a waiting
// goroutine notices by itself when its connection is closed.
type watch struct{}

func (s *socket) arm() { s.armPortable() }

func (s *socket) disarm() {}
