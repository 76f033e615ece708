//go:build !unix

package ws

// watch is a socket's place with the poller, which there is none of.
type watch struct{}

func (s *socket) arm() { go s.readAll() }

func (s *socket) disarm() {}
