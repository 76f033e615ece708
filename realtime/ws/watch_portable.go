package ws

// earlyBuffer is what a waiting read takes; the rest of a message is read by the
// goroutine that handles it.
const earlyBuffer = 128

// armPortable waits for input with a goroutine that does nothing but read, so
// its stack stays as small as it can be. The message is handled in a fresh one.
func (s *socket) armPortable() {
	go func() {
		b := make([]byte, earlyBuffer)
		n, _ := s.raw.Read(b) // an error shows again when the message is read
		s.early = b[:n]
		go s.ready()
	}()
}
