package eventstream

// Pause hands nothing on while f runs.
func (s *Server) Pause(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}
