package delta

import (
	"encoding/base64"
	"sync"
)

const (
	// maxShared bounds the deltas that are kept for others, in number and in bytes.
	// What is beyond is computed for each socket.
	maxShared      = 64
	maxSharedBytes = 1 << 20
)

// Shared computes each delta of one fan-out once, for all sockets that have the same
// base. The zero value is ready. It may be used from many goroutines, and is dropped
// when the message is out.
type Shared struct {
	mu     sync.Mutex
	deltas map[pair]*sharedDelta
	bytes  int
}

type pair struct {
	algorithm    Algorithm
	base, target *Text
}

type sharedDelta struct {
	once  sync.Once
	delta []byte
}

// Delta is the delta that turns base into target, which must not be changed. It is
// nil when no frame with it could be shorter than the target.
func (s *Shared) Delta(a Algorithm, base, target *Text) []byte {
	p := pair{a, base, target}
	s.mu.Lock()
	d := s.deltas[p]
	if d == nil && len(s.deltas) < maxShared && s.bytes < maxSharedBytes {
		if s.deltas == nil {
			s.deltas = make(map[pair]*sharedDelta)
		}
		d = new(sharedDelta)
		s.deltas[p] = d
	}
	s.mu.Unlock()
	if d == nil {
		return p.encode()
	}
	d.once.Do(func() {
		d.delta = p.encode()
		s.mu.Lock()
		s.bytes += len(d.delta)
		s.mu.Unlock()
	})
	return d.delta
}

func (p pair) encode() []byte {
	d := Encode(p.algorithm, p.base.bytes, p.target.bytes)
	if base64.StdEncoding.EncodedLen(len(d)) >= len(p.target.bytes) {
		return nil
	}
	return d
}
